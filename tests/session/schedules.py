"""Seeded schedules for a session that is cut, refused, rotated and interrupted, and the four laws that hold throughout.

A schedule is made of a seed alone, before anything runs, so that the same one can be played against the server of this
file, which is only memory, on a clock that jumps (`play`), and against the simulator over real sockets (`play_wire` in
`test_reconnect_machine.py`). The server keeps its own books; the laws compare them with what the session told its
handlers.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import selectors
from collections import Counter, deque
from typing import Any

import msgspec

from realtime_events import Options, Realtime, RealtimeError, Session
from realtime_events.endpoint import Endpoint
from realtime_events.events import (
    AudioGap,
    ConnectionLost,
    ConnectionRestored,
    SessionRotated,
    ToolDone,
    ToolOrphaned,
    ToolResult,
    client,
    server,
)
from realtime_events.events.items import ContentPart, Item
from realtime_events.events.response import Response
from realtime_events.events.session import AudioConfig, AudioInput, SessionConfig, TurnDetection
from realtime_events.exceptions import ConnectionLostError, HandshakeError
from realtime_events.outbox import Sending
from realtime_events.protocol import codec
from realtime_events.reconnect import Reconnect
from realtime_events.transport import Ending

PCM = 48  # bytes of a millisecond
BOUND_S = 3_000.0  # of the clock that jumps
ROOM_BYTES = 65_536
TOOLS = ("patient", "polite", "urgent", "silent", "quiet")

Step = tuple[str, float]
WEIGHTS = {
    "audio": 22,
    "commit": 5,
    "clear": 1,
    "flood": 1,
    "hold": 3,
    "let_go": 5,
    "lag": 3,
    "arrive": 4,
    "drop": 3,
    "refuse": 2,
    "break_next": 1,
    "rotate": 3,
    "speech": 5,
    "hush": 5,
    "begin": 12,
    "delta": 10,
    "call": 9,
    "end": 9,
    "tool": 9,
    "tool_again": 2,
    "interrupt": 2,
    "ask": 5,
    "unknown": 1,
    "pass": 6,
}


def schedule(seed: int, steps: int) -> list[Step]:
    """Give what happens, in order; each step has a number from 0 to 1, from which it takes all else that it needs."""
    dice = random.Random(f"schedule {seed}")
    verbs = dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=steps)
    if dice.random() < 0.1:
        verbs.insert(dice.randrange(steps), "close")
    return [(verb, dice.random()) for verb in verbs]


class _Jumping(selectors.DefaultSelector):
    """Moves the clock on instead of waiting: nothing but timers can wake this loop."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer will ever wake anybody")
        self.now += max(0.0, timeout)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop without sockets, whose clock jumps to the next timer."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class Incarnation:
    """One server-side session with its connection, and its books; it is the session's transport, too.

    Every id that it makes begins with its own name, so that one that turns up elsewhere is known for what it is.
    """

    def __init__(self, number: int, config: SessionConfig, *, dies_after: int = 0) -> None:
        self.name = f"s{number}"
        self.config = config
        self.frames: deque[bytes] = deque()
        self.delivered: list[Any] = []
        self.received: list[Any] = []
        self.on_the_way: list[bytes] | None = None
        self.written_audio: list[bytes] = []
        self.audio: list[bytes] = []
        self.lost_audio: list[bytes] = []
        self.known = set[str]()
        self.said: list[str] = []
        self.broken: list[str] = []
        self.died_with: list[bytes] = []
        self.calls: dict[str, None] = {}
        self.outputs = Counter[str]()
        self.asked: deque[client.ResponseCreate] = deque()
        self.active = ""
        self.output: list[Item] = []
        self.speaking = False
        self.committed_at: dict[str, int] = {}
        self.unsent_bytes = 0
        self.ending: Ending | None = None
        self.published_from: int | None = 0 if number == 1 else None
        self.published_to: int | None = None
        self._dies_after = dies_after
        self._numbers = itertools.count(1)
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self.say(server.SessionCreated(session=msgspec.structs.replace(config, id=self.name)))

    def new(self, kind: str) -> str:
        return f"{self.name}_{kind}_{next(self._numbers)}"

    # What it says.

    def say(self, *events: Any) -> None:
        for event in events:
            if self.ending is None:
                self.frames.append(codec.encode(msgspec.structs.replace(event, event_id=self.new("event"))))
        self._wake.set()

    def speak(self) -> None:
        if not self.config.audio.input.turn_detection or self.speaking:  # type: ignore[union-attr]
            return
        self.speaking = True
        at_ms = len(b"".join(self.audio)) // PCM
        self.say(server.InputAudioBufferSpeechStarted(item_id=self.new("item"), audio_start_ms=at_ms))

    def hush(self) -> None:
        if self.speaking:
            self.speaking, item_id = False, self.new("item")
            at_ms = len(b"".join(self.audio)) // PCM
            self.say(server.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=at_ms))
            self._commit(item_id)

    def _commit(self, item_id: str) -> None:
        self.known.add(item_id)
        self.committed_at[item_id] = len(b"".join(self.audio))
        item = Item(
            type="message", id=item_id, role="user", status="completed", content=[ContentPart(type="input_audio")]
        )
        self.say(
            server.InputAudioBufferCommitted(item_id=item_id, previous_item_id=None),
            server.ConversationItemAdded(item=item),
            server.ConversationItemDone(item=item),
        )

    def begin(self, *, unasked: bool) -> None:
        if self.active or not (self.asked or unasked):
            return
        request = self.asked.popleft() if self.asked else None
        metadata = request.response.metadata if request is not None and request.response else None
        self.active, self.output = self.new("resp"), []
        self.known.add(self.active)
        self.say(server.ResponseCreated(response=Response(id=self.active, conversation_id="c", metadata=metadata)))

    def delta(self, pick: float) -> None:
        """Say some more: of a new message at first, then of that one."""
        if not self.active:
            return
        if not self.output or self.output[-1].type != "message" or pick < 0.2:
            item = Item(type="message", id=self.new("item"), role="assistant", status="in_progress", content=[])
            self.output.append(item)
            self.known.add(str(item.id))
            self.say(
                server.ResponseOutputItemAdded(response_id=self.active, item=item),
                server.ConversationItemAdded(item=item),
            )
        where = {"response_id": self.active, "item_id": str(self.output[-1].id)}
        self.say(
            server.ResponseOutputAudioTranscriptDelta(**where, delta="word "),
            server.ResponseOutputAudioDelta(**where, delta=b"\1" * (PCM * 40)),
        )

    def call(self, pick: float) -> None:
        """Call a tool, shown by one or both of the events that show it, or by the end of the response."""
        if not self.active:
            return
        call_id, name = self.new("call"), TOOLS[int(pick * 50) % len(TOOLS)]
        item = Item(
            type="function_call", id=self.new("item"), call_id=call_id, name=name, arguments="{}", status="completed"
        )
        self.calls[call_id] = None
        self.known |= {call_id, str(item.id)}
        self.output.append(item)
        arguments = server.ResponseFunctionCallArgumentsDone(
            response_id=self.active, item_id=str(item.id), call_id=call_id, name=name, arguments="{}"
        )
        done = server.ResponseOutputItemDone(response_id=self.active, item=item)
        self.say(server.ConversationItemAdded(item=item))
        shown = ((arguments,), (done,), (arguments, done), (done, arguments), ())
        self.say(*shown[int(pick * 5)], server.ConversationItemDone(item=item))

    def end(self, status: str) -> None:
        if not self.active:
            return
        finished: list[Item] = []
        for item in self.output:
            if item.type == "message":
                part = ContentPart(type="output_audio", transcript="word ")
                item = msgspec.structs.replace(
                    item, status="completed" if status == "completed" else "incomplete", content=[part]
                )
                self.say(
                    server.ResponseOutputItemDone(response_id=self.active, item=item),
                    server.ConversationItemDone(item=item),
                )
            finished.append(item)
        self.say(
            server.ResponseDone(response=Response(id=self.active, conversation_id="c", status=status, output=finished))
        )
        self.active = ""

    def published(self, until: int) -> list[Any]:
        """Give what the client read while this was the current one."""
        return [] if self.published_from is None else self.delivered[self.published_from : self.published_to or until]

    @property
    def lost_frames(self) -> list[bytes]:
        """What was written and never arrived."""
        return [*(self.on_the_way or []), *self.died_with]

    @property
    def confirmed_bytes(self) -> int:
        """How much of its audio the client knows to have been heard."""
        told = [0]
        for event in self.delivered:
            if isinstance(event, server.InputAudioBufferSpeechStarted):
                told.append(event.audio_start_ms * PCM)
            elif isinstance(event, server.InputAudioBufferSpeechStopped):
                told.append(event.audio_end_ms * PCM)
            elif isinstance(event, server.InputAudioBufferCommitted):
                told.append(self.committed_at[event.item_id])
        return max(told)

    # What it is told.

    def claim(self, holds: bool, broken: str) -> None:
        """Note a broken law; raised here, it would end up with the client, which calls this."""
        if not holds:
            self.broken.append(f"{self.name}: {broken}")

    def take(self, frame: bytes) -> None:
        event: Any = codec.decode(frame, side="client")
        self.received.append(event)
        if self._dies_after and len(self.received) >= self._dies_after:
            self.died_with.append(frame)
            self.finish(Ending(1006, "gone while it was configured", "network"))
            return
        if isinstance(event, client.InputAudioBufferAppend):
            self.claim(event.audio not in self.audio, "audio: said twice in one incarnation")
            self.audio.append(event.audio)
        elif isinstance(event, client.SessionUpdate):
            self.say(server.SessionUpdated(session=self.config))
        elif isinstance(event, client.InputAudioBufferCommit):
            self._commit(self.new("item"))
        elif isinstance(event, client.InputAudioBufferClear):
            self.say(server.InputAudioBufferCleared())
        elif isinstance(event, client.ConversationItemCreate):
            self._take_item(event.item)
        elif isinstance(event, client.ConversationItemTruncate):
            self.is_known(event.item_id)
            self.say(server.ConversationItemTruncated(item_id=event.item_id, audio_end_ms=event.audio_end_ms))
        elif isinstance(event, client.ResponseCreate):
            self.asked.append(event)
        elif isinstance(event, client.ResponseCancel):
            self.is_known(str(event.response_id))
            if event.response_id == self.active:
                self.end("cancelled")

    def is_known(self, some_id: str) -> None:
        self.claim(some_id in self.known, f"was sent {some_id}, which is not of it")

    def _take_item(self, item: Item) -> None:
        self.claim(bool(item.id) and item.id not in self.known, f"item {item.id} was said twice")
        if item.type == "function_call_output":
            self.is_known(str(item.call_id))
            self.outputs[str(item.call_id)] += 1
            self.claim(self.outputs[str(item.call_id)] == 1, f"{item.call_id} was answered twice")
        elif item.type == "function_call":
            self.known.add(str(item.call_id))
        self.known.add(str(item.id))
        self.said.append(str(item.id))
        self.say(server.ConversationItemAdded(item=item), server.ConversationItemDone(item=item))

    # The transport.

    async def run(self, on_frame: Any) -> Ending:
        while True:
            while self.frames:
                frame = self.frames.popleft()
                self.delivered.append(codec.decode(frame, side="server"))
                if on_frame(frame):
                    await asyncio.sleep(0)
            if self.ending is not None:
                return self.ending
            self._wake.clear()
            await self._wake.wait()

    async def send(self, data: bytes) -> None:
        self.write(data)

    def write(self, data: bytes) -> None:
        self._check()
        event: Any = codec.decode(data, side="client")
        if isinstance(event, client.InputAudioBufferAppend):
            self.written_audio.append(event.audio)
        if self.on_the_way is not None:
            self.on_the_way.append(data)
        else:
            self.take(data)

    def arrive(self) -> None:
        """Let all that is on the way arrive."""
        waiting, self.on_the_way = self.on_the_way or [], None
        for frame in waiting:
            self.take(frame)

    @property
    def has_room(self) -> bool:
        return self.unsent_bytes <= ROOM_BYTES

    def let_go(self) -> None:
        self.unsent_bytes = 0
        self._room.set()

    async def drain(self) -> None:
        while self.ending is None and not self.has_room:
            self._room.clear()
            await self._room.wait()
        self._check()

    def _check(self) -> None:
        if self.ending is not None:
            raise ConnectionLostError(self.ending.code, self.ending.reason, initiator=self.ending.initiator)

    def finish(self, ending: Ending, *, torn: bool = False) -> None:
        """End; `torn` loses what the server had said and the client had not read yet."""
        if self.ending is None:
            self.ending = ending
            if torn:
                self.frames.clear()
        self._wake.set()
        self._room.set()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.ending is None:
            self.arrive()  # An orderly end comes behind all that was written.
        self.finish(Ending(code, reason, "client"))

    def abort(self) -> None:
        self.finish(Ending(1006, "aborted", "client"), torn=True)


class World:
    """A session, its servers one after the other, its tools, its user, and what its handlers were given."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(f"world {seed}")
        self.incarnations: list[Incarnation] = []
        self.refusals = 0
        self.breaks = 0
        self.holding = False
        self.accepted: list[tuple[int, bytes]] = []
        self.numbers = itertools.count(1)
        self.gates: list[asyncio.Future[str]] = []
        self.results: list[ToolResult] = []
        self.broken: list[str] = []
        self.orphans = Counter[str]()
        self.gaps: list[AudioGap] = []
        self.inline: list[Any] = []
        self.lane: list[Any] = []
        self.before: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.counts = Counter[str]()
        self.rotated_out = set[str]()
        self.vad = self.dice.random() < 0.7
        self.config = self._config()
        self.session = self._session()

    def _session(self) -> Session:
        rt = Realtime()
        for name, how in {
            "patient": {},
            "polite": {"on_interrupt": "cancel"},
            "urgent": {"when_done": "interrupt"},
            "silent": {"when_done": "silent"},
            "quiet": {"respond": False},
        }.items():
            rt.tool(self._gated, name=name, **how)  # type: ignore[call-overload]
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
        await asyncio.sleep(self.dice.choice([0, 0, 0.05]))
        if self.refusals:
            self.refusals -= 1
            raise self.dice.choice([HandshakeError(503), TimeoutError("no answer")])
        dies_after, self.breaks = (1 + self.dice.randrange(4) if self.breaks else 0), 0
        self.incarnations.append(Incarnation(len(self.incarnations) + 1, self.config, dies_after=dies_after))
        return self.incarnations[-1]

    # What its handlers are given.

    def _see(self, event: Any) -> None:
        self.inline.append(event)
        if isinstance(event, ToolDone):
            call = event.call
            self.results.append(
                ToolResult(call_id=call.call_id, name=call.name, arguments=call.arguments, output=event.output)
            )
        elif isinstance(event, AudioGap):
            self.gaps.append(event)
        elif isinstance(event, ToolOrphaned):
            self.orphans[event.call.call_id] += 1
        elif isinstance(event, ConnectionLost):
            self._lost(event)
        elif isinstance(event, ConnectionRestored):
            self._restored(event)
        elif isinstance(event, SessionRotated):
            self._rotated(event)
        self.counts[event.type] += 1

    def _hear(self, event: Any) -> None:
        self.lane.append(event)

    @property
    def now_in(self) -> Incarnation:
        """The server-side session that the client talks to."""
        return self.session._connection._transport  # type: ignore[return-value]

    def _lost(self, event: ConnectionLost) -> None:
        self.before = [item.id for item in self.session.conversation]

    def _restored(self, event: ConnectionRestored) -> None:
        new = self.now_in
        new.published_from = len(new.delivered)
        missing = {*event.dropped, *event.lost_in_flight}
        laws = {
            "silence: what was replayed is not what the server was told": list(event.replayed) == new.said,
            "silence: what is named as lost was never there": missing <= set(self.before),
            "silence: an item was lost without its name": len(self.before) == len(missing) + len(event.replayed),
            "an id is named twice": len(missing) == len(event.dropped) + len(event.lost_in_flight),
        }
        self.broken += [f"{new.name}: {law}" for law, holds in laws.items() if not holds]

    def _rotated(self, event: SessionRotated) -> None:
        old = next(one for one in self.incarnations if one.name == event.old_session_id)
        old.published_to = len(old.delivered)
        self.now_in.published_from = len(self.now_in.delivered)
        self.rotated_out.add(old.name)

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
        self.accepted.append((number, piece))

    # The steps.

    async def step(self, verb: str, pick: float) -> None:
        """Do one thing, and let the loop come on a little, or not at all."""
        getattr(self, f"do_{verb}")(pick)
        for _ in range(int(pick * 1_000) % 7):
            await asyncio.sleep(0)
        if verb == "pass":
            await asyncio.sleep((0.01, 0.05, 0.1, 0.5, 3.0, 25.0)[int(pick * 6)])
        self.check_ring()

    def do_audio(self, pick: float) -> None:
        self._spawn(self._append(next(self.numbers), (20, 20, 100)[int(pick * 3)]))

    def do_flood(self, pick: float) -> None:
        for _ in range(30):
            self.do_audio(0.9)

    def do_commit(self, pick: float) -> None:
        self._spawn(self.session.commit_audio(if_enough=True, timeout=2.0))

    def do_clear(self, pick: float) -> None:
        self._spawn(self.session.clear_audio(timeout=2.0))

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
        ending = Ending(code, "cut", "network" if code == 1006 else "server")
        victim = self.incarnations[-1] if pick % 0.1 > 0.05 else self.now_in  # Perhaps one that is being prepared.
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
        self.now_in.say(server.RateLimitsUpdated(rate_limits=[]))

    def do_pass(self, pick: float) -> None:
        """Time passes."""

    def do_close(self, pick: float) -> None:
        self._spawn(self.session.close())

    # The end.

    async def settle(self) -> None:
        """Let everything end in good order, so that what is owed then is owed for ever."""
        self.refusals = self.breaks = 0
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
            await asyncio.sleep(0.25)
        if not self.session.is_closed:
            self.check_calls_of(self.now_in, is_alive=True)
        await self.session.close()
        await asyncio.sleep(30)
        assert all(task.done() for task in self.tasks), "silence: somebody waits for ever"
        for task in self.tasks:
            task.result()

    # The laws.

    def check_ring(self) -> None:
        """Law of the audio, at every step."""
        ring = self.session._connection._outbox.ring  # type: ignore[union-attr]
        assert ring.accepted_bytes == ring.queued_bytes + ring.sent_bytes + ring.dropped_bytes
        assert sum(gap.bytes for gap in self.gaps if not gap.unknown) == ring.dropped_bytes

    def check(self) -> None:
        """All laws, when all is over."""
        self.check_ring()
        self.check_audio()
        assert not self.broken, self.broken
        for one in self.incarnations:
            assert not one.broken, one.broken
            self.check_calls_of(one, is_alive=False)
            self.check_delivery_of(one)
        assert self.counts["connection.closed"] == 1
        inline = [event for event in self.inline if not _is_delta(event)]
        assert [event for event in self.lane if not _is_delta(event)] == inline, "a lane and an inline handler differ"

    def check_audio(self) -> None:
        """Every accepted piece was heard by a server, or is named; never twice but for a rotation's last moment."""
        heard = Counter[bytes]()
        for one in self.incarnations:
            heard.update(set(one.audio))
        named, at = [(gap.start_ms * PCM, (gap.start_ms + gap.length_ms) * PCM) for gap in self.gaps], 0
        for number, piece in sorted(self.accepted):
            middle, at = at + len(piece) / 2, at + len(piece)
            is_named = any(start <= middle < end for start, end in named)
            assert heard[piece] or is_named, f"audio: piece {number} was lost in silence"
        assert {piece for _, piece in self.accepted} >= set(heard), "audio: a server heard what was never accepted"
        for one, after in itertools.pairwise(self.incarnations):
            twice = set(one.audio) & set(after.audio)
            assert not twice or one.name in self.rotated_out, "audio: said twice without a rotation"

    def check_calls_of(self, one: Incarnation, *, is_alive: bool) -> None:
        """Each call that the client was shown is answered once, or reported as orphaned, and never both."""
        shown = _calls_in(one.published(len(one.delivered)))
        for call_id in one.calls:
            answered, orphaned = one.outputs[call_id], self.orphans[call_id]
            assert answered <= 1 and orphaned <= 1
            if is_alive:
                assert answered == (call_id in shown), f"{call_id}: {answered} answers"
                assert not orphaned
            elif call_id in shown and not orphaned:
                assert answered or one.lost_frames, f"silence: nobody answered {call_id}, and nobody was told"

    def check_delivery_of(self, one: Incarnation) -> None:
        """Each event of the server was given once, and in order."""
        published = one.published(len(one.delivered))
        given = [event for event in self.inline if _id_of(event).startswith(f"{one.name}_event")]
        wanted = [event.event_id for event in published if not _is_delta(event)]
        assert [event.event_id for event in given if not _is_delta(event)] == wanted, f"{one.name}: events differ"
        deltas, every = [e.event_id for e in given if _is_delta(e)], [e.event_id for e in published if _is_delta(e)]
        left = iter(every)
        assert all(delta in left for delta in deltas), "deltas were given twice, or out of order"


def _id_of(event: Any) -> str:
    return str(getattr(event, "event_id", ""))


def _is_delta(event: Any) -> bool:
    return isinstance(event, server.ResponseOutputAudioTranscriptDelta | server.ResponseOutputAudioDelta)


def _calls_in(events: list[Any]) -> set[str]:
    shown = set[str]()
    for event in events:
        if isinstance(event, server.ResponseFunctionCallArgumentsDone):
            shown.add(event.call_id)
        elif isinstance(event, server.ResponseOutputItemDone):
            shown.add(str(event.item.call_id))
        elif isinstance(event, server.ResponseDone):
            shown |= {str(item.call_id) for item in event.response.output or ()}
    return shown


async def _played(seed: int, steps: int) -> World:
    world = World(seed)
    async with asyncio.timeout(BOUND_S):
        async with await world.session.open():
            for verb, pick in schedule(seed, steps):
                await world.step(verb, pick)
            await world.settle()
    world.check()
    return world


def play(seed: int, steps: int = 60) -> World:
    """Play a schedule on the clock that jumps, and check the laws; give the world as it was in the end.

    Raises:
        AssertionError: A law is broken.
    """
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(_played(seed, steps))
