"""Seeded schedules against the four laws: audio, answers, delivery, and nothing lost in silence."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import Any

import pytest

from realtime_events import Realtime, RealtimeError, Session
from realtime_events.events import AudioGap, ConversationItemCreate
from realtime_events.reconnect import Reconnect
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import FaultProxy, Toxics

from .schedules import play, schedule

STEPS = 150
IN_EVERY_RUN, IN_ONE_GO, NIGHTLY = 500, 50, 10_000
ON_SOCKETS, ON_SOCKETS_NIGHTLY = 5, 100
WIRE_STEPS = 60
WIRE_BOUND_S = 30.0
PIECE_MS = 20
THIS = "tests/session/test_reconnect_machine.py"


def play_or_tell(seed: int) -> Counter[str]:
    """Play a schedule; where a law is broken, say how to play it again."""
    try:
        return play(seed, STEPS).counts
    except BaseException as error:
        error.add_note(f"play it again: SEED={seed} python -m pytest {THIS}::test_one_schedule")
        raise


@pytest.mark.parametrize("first", range(0, IN_EVERY_RUN, IN_ONE_GO))
def test_no_schedule_breaks_a_law(first: int) -> None:
    """B36, B42, B43: accepted = queued + sent + named; one answer to a call; each event once; nothing in silence."""
    counts = Counter[str]()
    for seed in range(first, first + IN_ONE_GO):
        counts += play_or_tell(seed)
    happened = ("connection.lost", "connection.restored", "session.rotated", "audio.gap", "tool.done", "tool.orphaned")
    assert all(counts[name] for name in happened), f"the schedules have become too tame: {counts}"


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(IN_EVERY_RUN, NIGHTLY, 500))
def test_no_schedule_of_many_breaks_a_law(first: int) -> None:
    """B36, B42, B43: the same, further."""
    for seed in range(first, first + 500):
        play_or_tell(seed)


def test_one_schedule() -> None:
    """B42: the schedule of `SEED`, to look at a broken law; the first one without it."""
    play_or_tell(int(os.environ.get("SEED", "0")))


class Wire:
    """The same schedule with sockets, a network that breaks, and the simulator, which answers by itself."""

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
        return session.interrupt(timeout=2) if verb == "interrupt" else None

    async def befall(self, verb: str) -> None:
        """Let something happen to the network, or some time pass."""
        proxy = self.proxy
        if verb in ("hold", "lag"):
            proxy.up = Toxics(stall_after_bytes=0)
        elif verb in ("refuse", "break_next"):
            proxy.gate = "reset"
        elif verb in ("let_go", "arrive", "pass"):
            proxy.heal()
        if verb in ("drop", "refuse", "break_next"):
            proxy.cut()
        if verb == "pass" and not self.session.is_closed:
            self.spawn(self.session.wait_for("*", timeout=0.05))
            await asyncio.wait(self.tasks[-1:])


async def play_wire(seed: int) -> None:
    """Play a schedule through the network, and check the laws.

    Raises:
        AssertionError: A law is broken.
    """
    gaps: list[AudioGap] = []
    rt, gaps = (
        Realtime(session={"output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}),
        list[AudioGap](),
    )
    rt.on("audio.gap", gaps.append, delivery="inline")
    policy = Reconnect(first_delay_s=0.01, max_delay_s=0.05, attempts=100, jitter=random.Random(seed).random)
    async with asyncio.timeout(WIRE_BOUND_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=policy) as session:
                wire = Wire(proxy, session)
                for verb, pick in schedule(seed, WIRE_STEPS):
                    await wire.step(verb, pick)
                proxy.heal()
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


@pytest.mark.parametrize("seed", range(ON_SOCKETS))
async def test_a_schedule_on_real_sockets_breaks_no_law(seed: int) -> None:
    """B42: the same schedule through the network."""
    await play_wire(int(os.environ.get("SEED", seed)))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(ON_SOCKETS, ON_SOCKETS_NIGHTLY))
async def test_many_schedules_on_real_sockets_break_no_law(seed: int) -> None:
    """B42: the same, further."""
    await play_wire(seed)
