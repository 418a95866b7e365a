"""The same schedules with real sockets: a network that breaks, and the simulator, which answers by itself.

Owns what each step does there, and the laws as far as they can be counted on both sides. Before it: `schedules.py`;
after it: the fault proxy and the simulator of `realtime_events`.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from realtime_events import Realtime, RealtimeError, Session
from realtime_events.events import AudioGap, ConversationItemCreate
from realtime_events.reconnect import Reconnect
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import FaultProxy, Toxics

from .schedules import Schedule

BOUND_S = 30.0
PIECE_MS = 20


class Wire:
    """A session behind a network that breaks, with its user."""

    def __init__(self, proxy: FaultProxy, session: Session) -> None:
        self.proxy, self.session = proxy, session
        self.accepted = 0
        self.tasks: list[asyncio.Task[Any]] = []

    def spawn(self, what: Any) -> None:
        async def quietly() -> None:
            try:
                await what
            except (RealtimeError, TimeoutError):
                pass  # Whoever asked is told; the laws are about what nobody is told.

        self.tasks.append(asyncio.ensure_future(quietly()))

    async def append(self) -> None:
        await self.session.send_audio(bytes(PIECE_MS * 48))
        self.accepted += 1

    async def step(self, verb: str, pick: float) -> None:
        """Do a step; those that a server of memory takes are the simulator's own business here."""
        if (asked := self.asked_by(verb)) is not None:
            self.spawn(asked)
        elif verb == "flood":
            for _ in range(30):
                self.spawn(self.append())
        elif verb == "rotate":
            self.session._line.rotate()
        else:
            await self.befall(verb)
        await asyncio.sleep(0)

    def asked_by(self, verb: str) -> Any:
        """Give what the user asks for in a step, if anything."""
        session = self.session
        if verb == "audio":
            return self.append()
        if verb == "commit":
            return session.commit_audio(if_enough=True, timeout=2)
        if verb == "ask":
            return session.ask("Please.", timeout=5)
        if verb == "close":
            return session.close()
        return session.interrupt(timeout=2) if verb == "interrupt" else None

    async def befall(self, verb: str) -> None:
        """Let something happen to the network, or some time pass."""
        proxy = self.proxy
        if verb in ("hold", "lag"):
            proxy.up = Toxics(stall_after_bytes=0)
        elif verb in ("refuse", "break_next"):
            proxy.gate = "reset"
        elif verb in ("let_go", "arrive", "wait"):
            proxy.heal()
        if verb in ("drop", "refuse", "break_next"):
            proxy.cut()
        if verb == "wait" and not self.session.is_closed:
            self.spawn(self.session.wait_for("*", timeout=0.05))
            await asyncio.wait(self.tasks[-1:])


async def play_wire(schedule: Schedule) -> None:
    """Play a schedule through the network, and check the laws.

    Raises:
        AssertionError: A law is broken.
    """
    gaps: list[AudioGap] = []
    rt = Realtime(session={"output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}})
    rt.on("audio.gap", gaps.append, delivery="inline")
    jitter = random.Random(schedule.world).random
    policy = Reconnect(first_delay_s=0.01, max_delay_s=0.05, attempts=100, jitter=jitter)
    async with asyncio.timeout(BOUND_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=policy) as session:
                wire = Wire(proxy, session)
                for verb, pick in schedule.steps:
                    await wire.step(verb, pick)
                proxy.heal()
                if wire.tasks:
                    await asyncio.wait(wire.tasks)
                if not session.is_closed:
                    assert (await session.ask("Still there?", timeout=10)).text == "Still there?"
            check_wire(sim, wire, gaps)


def check_wire(sim: Simulator, wire: Wire, gaps: list[AudioGap]) -> None:
    """The laws, counted on both sides."""
    heard = sum(one.received.counts["input_audio_buffer.append"] for one in sim.sessions)
    named_ms = sum(gap.length_ms for gap in gaps)
    assert wire.accepted * PIECE_MS <= heard * PIECE_MS + named_ms, "audio: something was lost in silence"
    said = [
        event.item.id for one in sim.sessions for event in one.received if isinstance(event, ConversationItemCreate)
    ]
    assert len(said) == len(set(said)), "an id of a dead session was sent to a new one"
