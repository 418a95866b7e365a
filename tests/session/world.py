"""The world of a schedule: a session with its tools, its user, its network and its servers.

Owns what each step does, and keeps what the session's handlers were given. Knows no time. Before it: `playing.py`,
which takes the steps; after it: `incarnation.py`, the servers, and `laws.py`, which judges.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

from realtime_events import Options, Realtime, RealtimeError, Session
from realtime_events.endpoint import Endpoint
from realtime_events.events import (
    AudioGap,
    ConnectionClosed,
    ConnectionLost,
    ConnectionRestored,
    SessionRotated,
    ToolApprovalRequested,
    ToolDone,
    ToolFailed,
    ToolOrphaned,
    ToolResult,
)
from realtime_events.events.session import AudioConfig, AudioInput, SessionConfig, TurnDetection
from realtime_events.exceptions import HandshakeError
from realtime_events.outbox import Sending
from realtime_events.reconnect import Reconnect
from realtime_events.transport import Ending

from .incarnation import PCM, ROOM_BYTES, Incarnation

TOOLS: dict[str, dict[str, Any]] = {
    "patient": {},
    "polite": {"on_interrupt": "cancel"},
    "urgent": {"when_done": "interrupt"},
    "silent": {"when_done": "silent"},
    "quiet": {"respond": False},
    "careful": {"approval": "always"},
}


# Faults that are known and not mended yet; what would find them again is left out until then.
KNOWN = frozenset[str]()
LIVES = (ConnectionLost, ConnectionClosed, ConnectionRestored, SessionRotated)


class World:
    """A session, its servers one after the other, its tools, its user, and what its handlers were given.

    Args:
        number: Which options the session has, and how the dice of its network fall.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.dice = random.Random(f"world {number}")
        self.incarnations: list[Incarnation] = []
        self.refusals = 0
        self.breaks = 0
        self.sizes: dict[int, int] = {}
        self.accepted: dict[int, bytes] = {}
        self.numbers = itertools.count(1)
        self.gates: list[asyncio.Future[str]] = []
        self.results: list[ToolResult] = []
        self.requests: list[str] = []
        self.released = asyncio.Event()
        self.broken: list[str] = []
        self.orphans: list[ToolOrphaned] = []
        self.gaps: list[AudioGap] = []
        self.inline: list[Any] = []
        self.lane: list[Any] = []
        self.lives: list[str] = []
        self.before: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.counts = Counter[str]()
        self.rotated_out = set[str]()
        self.vad = self.dice.random() < 0.7
        self.config = self._config()
        self.session = self._session()
        self._note_items()

    def _session(self) -> Session:
        rt = Realtime()
        for name, how in TOOLS.items():
            rt.tool(self._gated, name=name, **how)
        rt.on("*", self._see, delivery="inline")
        rt.on("*", self._hear)
        policy: Any = self.dice.choice(["block", "block", "drop_oldest", "drop_newest"])
        options = Options(
            reconnect=Reconnect(jitter=self.dice.random),
            rotate=self.dice.choice([True, True, 20.0]),
            sending=Sending(
                policy=policy, max_ms=self.dice.choice([400, 1_000]), timeout_s=self.dice.choice([0.5, 5.0])
            ),
        )
        return Session(
            rt,
            Endpoint(url="ws://localhost/v1/realtime", api_key="test-key"),
            model="any",
            options=options,
            config=self.config,
            dial=self._dial,  # type: ignore[arg-type]
            clock=asyncio.get_running_loop().time,
        )

    def _config(self) -> SessionConfig:
        detection = TurnDetection(type="server_vad", create_response=self.dice.random() < 0.5) if self.vad else None
        return SessionConfig(type="realtime", audio=AudioConfig(input=AudioInput(turn_detection=detection)))

    async def _dial(self, url: str, headers: dict[str, str], options: Options) -> Incarnation:
        self.counts["dialled"] += 1
        dice = random.Random(f"world {self.number} dial {self.counts['dialled']}")  # Whatever was thrown before.
        await asyncio.sleep(dice.choice([0, 0, 0.05]))
        if self.refusals:
            self.refusals -= 1
            raise dice.choice([HandshakeError(503), TimeoutError("no answer")])
        dies_after, self.breaks = (1 + dice.randrange(4) if self.breaks else 0), 0
        self.incarnations.append(Incarnation(len(self.incarnations) + 1, self.config, dies_after=dies_after))
        return self.incarnations[-1]

    @property
    def now_in(self) -> Incarnation:
        """The server-side session that the client talks to."""
        return self.session._connection._transport  # type: ignore[return-value]

    @property
    def ring(self) -> Any:
        """The queue of the session's audio, with its counters."""
        return self.session._connection._outbox.ring  # type: ignore[union-attr]

    def talks_to(self, one: Incarnation) -> bool:
        """Say whether the session talks to this one still, as far as it knows, or has closed it itself at the end."""
        if one.ending is not None and one.ending.initiator == "client":
            return one.name not in self.rotated_out and one.published_from is not None
        return one is self.now_in and not self.session._connection.ended.done()

    @property
    def is_offline(self) -> bool:
        """Whether the session knows that its connection is lost."""
        return self.session._line.is_offline

    # What its handlers are given.

    def _see(self, event: Any) -> None:
        self.inline.append(event)
        if isinstance(event, ToolDone | ToolFailed):
            call = event.call
            self.results.append(
                ToolResult(call_id=call.call_id, name=call.name, arguments=call.arguments, output=event.output)
            )
        elif isinstance(event, AudioGap):
            self.gaps.append(event)
        elif isinstance(event, ToolOrphaned):
            self.orphans.append(event)
        elif isinstance(event, ToolApprovalRequested):
            self.requests.append(event.call.call_id)
        elif isinstance(event, LIVES):
            self._lives(event)
        self.counts[event.type] += 1

    def _hear(self, event: Any) -> None:
        self.lane.append(event)

    def _lives(self, event: ConnectionLost | ConnectionClosed | ConnectionRestored | SessionRotated) -> None:
        self.lives.append(event.type)
        if isinstance(event, SessionRotated):
            old = next(one for one in self.incarnations if one.name == event.old_session_id)
            old.published_to = len(old.delivered)
            self.rotated_out.add(old.name)
        if isinstance(event, SessionRotated | ConnectionRestored):
            self._goes_on(self.now_in, event)

    def _goes_on(self, new: Incarnation, event: SessionRotated | ConnectionRestored) -> None:
        """Note that a new session has taken over, and whether it is told honestly what it knows."""
        new.published_from = len(new.delivered)
        missing = {*event.dropped, *event.lost_in_flight}
        forced_out = isinstance(event, SessionRotated) and event.old_session_id in self._orphaned_outputs()
        if forced_out and "an output that nobody confirmed is in no list of a forced rotation" in KNOWN:
            return
        self.claim(
            new,
            {
                "what was replayed is not what the server was told": sorted(event.replayed) == sorted(new.said),
                "the conversation is not what the server was told": self.items == new.said,
                "what is named as lost was never there": missing <= set(self.before),
                "an item was lost without its name": len(self.before) == len(missing) + len(event.replayed),
                "an id is named twice": len(missing) == len(event.dropped) + len(event.lost_in_flight),
            },
        )

    def _orphaned_outputs(self) -> set[str]:
        """The sessions that were left with outputs that they had not confirmed."""
        return {event.call.call_id.partition("_call_")[0] for event in self.orphans if event.unknown}

    def claim(self, one: Incarnation, laws: dict[str, bool]) -> None:
        """Note a broken law; raised here, it would be a handler's failure."""
        self.broken += [f"{one.name}: {law}" for law, holds in laws.items() if not holds]

    @property
    def items(self) -> list[str]:
        """The ids of the items that the session's conversation has."""
        return [item.id for item in self.session.conversation]

    def _note_items(self) -> None:
        """Note which items there are whenever a new session takes over."""
        conversation: Any = self.session.conversation
        carry_over = conversation.carry_over

        def noted(*ids: Any) -> None:
            self.before = self.items
            carry_over(*ids)

        conversation.carry_over = noted

    # Its tools and its user.

    async def _gated(self) -> str:
        self.gates.append(asyncio.get_running_loop().create_future())
        return await self.gates[-1]

    def _spawn(self, what: Any) -> None:
        async def quietly() -> None:
            try:
                await what
            except (RealtimeError, TimeoutError):
                self.counts["told that it failed"] += 1

        self.tasks.append(asyncio.get_running_loop().create_task(quietly()))

    async def _append(self, number: int, ms: int) -> None:
        piece = number.to_bytes(8, "big").ljust(ms * PCM, b"\0")
        await self.session.send_audio(piece)
        self.accepted[number] = piece

    async def _talk(self) -> None:
        async with self.session.talk() as talk:
            await self.released.wait()
        await talk

    # The steps.

    def do(self, verb: str, pick: float) -> None:
        """Let one thing happen."""
        getattr(self, f"do_{verb}")(pick)

    def do_audio(self, pick: float) -> None:
        self._spawn(self._append(next(self.numbers), (20, 20, 100)[int(pick * 3)]))

    def do_flood(self, pick: float) -> None:
        for _ in range(30):
            self.do_audio(0.9)

    def do_commit(self, pick: float) -> None:
        if self.vad and "whose commit a committed answers" in KNOWN:
            return
        self._spawn(self.session.commit_audio(if_enough=True, timeout=(2.0, 400.0)[pick > 0.7]))

    def do_clear(self, pick: float) -> None:
        self._spawn(self.session.clear_audio(timeout=2.0))

    def do_press(self, pick: float) -> None:
        if not self.vad:
            self.released.clear()
            self._spawn(self._talk())

    def do_release(self, pick: float) -> None:
        self.released.set()

    def do_hold(self, pick: float) -> None:
        self.now_in.unsent_bytes = 2 * ROOM_BYTES

    def do_let_go(self, pick: float) -> None:
        self.now_in.let_go()

    def do_lag(self, pick: float) -> None:
        if self.now_in.on_the_way is None:
            self.now_in.on_the_way = []

    def do_arrive(self, pick: float) -> None:
        if self.now_in.ending is None:
            self.now_in.arrive()

    def do_drop(self, pick: float) -> None:
        code = (1006, 1006, 1006, 1006, 1006, 1000, 1001, 1011, 1012, 1013)[int(pick * 10)]
        code = 1008 if pick > 0.995 else code
        victim = self.incarnations[-1] if pick % 0.1 > 0.05 else self.now_in  # Perhaps one that is being prepared.
        is_known = code not in (1000, 1006)  # how much had not arrived by then
        unacknowledged_bytes = sum(map(len, victim.on_the_way or ())) if is_known else None
        initiator: Any = "network" if code == 1006 else "server"
        ending = Ending(code, "cut", initiator, unacknowledged_bytes=unacknowledged_bytes)
        victim.finish(ending, torn=pick < 0.25)

    def do_refuse(self, pick: float) -> None:
        self.refusals += 1 + int(pick * 3)

    def do_break_next(self, pick: float) -> None:
        self.breaks = 1

    def do_rotate(self, pick: float) -> None:
        self.session._line.rotate()

    def do_speech(self, pick: float) -> None:
        self.now_in.speak()

    def do_hush(self, pick: float) -> None:
        self.now_in.hush()

    def do_begin(self, pick: float) -> None:
        self.now_in.begin(unasked=pick < 0.5)

    def do_delta(self, pick: float) -> None:
        self.now_in.delta(pick)

    def do_call(self, pick: float) -> None:
        self.now_in.call(pick)

    def do_consult(self, pick: float) -> None:
        self.now_in.consult()

    def do_decide(self, pick: float) -> None:
        """Approve or deny a call that waits, of a tool of ours or of a hosted one; perhaps while nobody can be told."""
        if not self.requests:
            return
        call_id, is_offline = self.requests.pop(int(pick * len(self.requests))), self.is_offline
        is_hosted = any(call_id in one.consultations for one in self.incarnations)
        decide = self.session.approve if pick * 10 % 1 < 0.5 else self.session.deny
        is_taken = decide(call_id).result()
        nobody_hears = is_hosted and is_offline
        self.claim(self.now_in, {"a decision was taken that nobody can be told": not (is_taken and nobody_hears)})

    def do_end(self, pick: float) -> None:
        self.now_in.end(("completed", "completed", "completed", "completed", "incomplete", "failed")[int(pick * 6)])

    def do_tool(self, pick: float) -> None:
        waiting = [gate for gate in self.gates if not gate.done()]
        if waiting:
            gate = waiting[int(pick * 97) % len(waiting)]
            gate.set_exception(ValueError("bad")) if pick > 0.8 else gate.set_result("well")

    def do_tool_again(self, pick: float) -> None:
        if self.results:
            again = self.results[int(pick * len(self.results))]
            self.session._answer_tool(again, True, "idle")

    def do_interrupt(self, pick: float) -> None:
        self._spawn(self.session.interrupt(timeout=2.0))

    def do_ask(self, pick: float) -> None:
        self._spawn(self.session.ask("Please.", timeout=(2.0, 20.0)[pick > 0.5]))

    def do_unknown(self, pick: float) -> None:
        self.now_in.frames.append(b'{"type":"new.thing","event_id":"%s"}' % self.now_in.new("event").encode())
        self.now_in.say()

    def do_wait(self, pick: float) -> None:
        """Time passes."""

    def do_close(self, pick: float) -> None:
        self._spawn(self.session.close())

    # The end.

    async def settle(self) -> None:
        """Let everything end in good order, so that what is owed then is owed for ever."""
        self.refusals = self.breaks = 0
        self.released.set()
        for _ in range(400):
            one = self.now_in
            if one.ending is None:
                one.arrive()
            one.let_go()
            one.hush()
            one.begin(unasked=False)
            one.end("completed")
            for gate in self.gates:
                if not gate.done():
                    gate.set_result("late")
            for call_id in self.requests:
                self.session.deny(call_id)
            await asyncio.sleep(0.25)
