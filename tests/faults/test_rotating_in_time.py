"""Before the server's limit: when a session goes on in a fresh one, and how long its user is not heard meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from benchmarks.books import PIECE_MS, Books, piece
from benchmarks.hour import CONFIG, Server
from realtime_events import Options, Realtime, Session, SessionConfig
from realtime_events.events import SessionRotated
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import ManualClock
from realtime_events.vigil import Vigil

WAIT_S = 10.0
MINUTE_S = 60.0
LOOK_S = 5.0
SEEDS = range(8)
GAP_S = 0.3
LISTENS = {"output_modalities": ["text"], "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}


@dataclass
class Line:
    """A session whose clock is moved by hand, and which is looked at every five seconds of it."""

    session: Session
    server: Server
    clock: ManualClock
    spread: float
    rotated_s: list[float] = field(default_factory=list[float])
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, lived_s: float) -> None:
        """Lets the session live for so long, or until it has rotated."""
        while self.session._line.lived_s < lived_s and not self.rotated_s:
            self.clock.advance(LOOK_S)
            self.session._vigil.look()
            await self.say({"type": "rate_limits.updated", "event_id": "event_s", "rate_limits": []})
            await self._rotation()

    async def say(self, event: dict[str, Any]) -> None:
        """Lets the server say something, and waits until it was heard."""
        self._heard.clear()
        self.server.say(event)
        await self._heard.wait()

    async def _rotation(self) -> None:
        """Lets a rotation go as far as it goes without another event."""
        for _ in range(10):
            await asyncio.sleep(0)
        while self.server.incarnations == 2 and self.session._line._rotating is not None:
            await asyncio.sleep(0)

    def note(self, event: Any) -> None:
        """Takes note of what the session is told."""
        if isinstance(event, SessionRotated):
            self.rotated_s.append(self.clock() - 1000.0)
        self._heard.set()


@asynccontextmanager
async def line(seed: int) -> AsyncIterator[Line]:
    rt, server, clock = Realtime(), Server(), ManualClock(1000.0)
    config = msgspec.convert(CONFIG, SessionConfig)
    session = Session(rt, server.endpoint, model="any", options=Options(), config=config, dial=server.dial, clock=clock)
    it = Line(session, server, clock, random.Random(seed).random())
    rt.on("*", it.note, delivery="inline")
    async with asyncio.timeout(WAIT_S), await session.open():
        session._vigil.end()  # It looks by a clock that nobody moves: `Line` looks instead.
        session._vigil._spread = it.spread
        yield it


def speech(what: str) -> dict[str, Any]:
    at = "audio_start_ms" if what == "started" else "audio_end_ms"
    return {"type": f"input_audio_buffer.speech_{what}", "event_id": "event_s", "item_id": "item_1", at: 0}


@pytest.mark.parametrize("seed", SEEDS)
async def test_an_idle_session_is_refreshed_up_to_seven_minutes_before_the_limit(seed: int) -> None:
    """B43: after 55 minutes less up to two, by chance, so that sessions which began together do not rotate together."""
    async with line(seed) as it:
        await it.until(60 * MINUTE_S)
    due_s = 55 * MINUTE_S - it.spread * 2 * MINUTE_S
    assert due_s <= it.rotated_s[0] <= due_s + LOOK_S and 53 * MINUTE_S <= it.rotated_s[0] <= 55 * MINUTE_S + LOOK_S


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_session_that_is_busy_is_refreshed_when_its_turn_ends(seed: int) -> None:
    """B43: nobody is cut off in the middle of a sentence."""
    async with line(seed) as it:
        await it.say(speech("started"))
        await it.until(55.5 * MINUTE_S)
        assert not it.rotated_s
        await it.say(speech("stopped"))
        await it.say({"type": "input_audio_buffer.cleared", "event_id": "event_s"})
        await it.until(60 * MINUTE_S)
    assert 55.5 * MINUTE_S <= it.rotated_s[0] <= 55.5 * MINUTE_S + 2 * LOOK_S


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_session_that_is_never_idle_is_refreshed_after_58_minutes_at_the_latest(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B43: three minutes after it was due."""
    monkeypatch.setattr("realtime_events.lifeline.IDLE_LOOK_S", 0.0)  # It would wait by a clock that nobody moves.
    async with line(seed) as it:
        await it.say(speech("started"))
        await it.until(60 * MINUTE_S)
    due_s = 58 * MINUTE_S - it.spread * 2 * MINUTE_S
    assert due_s <= it.rotated_s[0] <= due_s + 2 * LOOK_S and it.rotated_s[0] <= 58 * MINUTE_S + 2 * LOOK_S


@pytest.mark.parametrize("life_s", [240.0, 1_800.0, 3_600.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_limit_that_the_server_names_is_obeyed(seed: int, life_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """B43: by `expires_at`, as long before it as before the limit of the API; never before half of a short life."""
    clock, rotated_s, spread, unix_s = ManualClock(0.0), list[float](), random.Random(seed).random(), 1_800_000_000
    monkeypatch.setattr(time, "time", lambda: unix_s + clock())
    config = SimpleNamespace(expires_at=unix_s + int(life_s))
    it: Any = SimpleNamespace(
        core=SimpleNamespace(session_id="sess_1", config=config, waiting_for=lambda: ""),
        connection=SimpleNamespace(received=0, sent=0),
        is_offline=False,
        can_rotate=True,
        lived_s=0.0,
        rotate=lambda: rotated_s.append(clock()),
    )
    nobody: Any = SimpleNamespace(publish=lambda event: None)
    vigil = Vigil(it, nobody, Options(), close=lambda reason: None, clock=clock, spread=lambda: spread)
    while not rotated_s and clock() < life_s:
        vigil.look()
        clock.advance(LOOK_S)
        it.lived_s = clock()
    due_s = life_s - min(5 * MINUTE_S + spread * 2 * MINUTE_S, life_s / 2)
    assert due_s <= rotated_s[0] <= due_s + LOOK_S


async def test_over_a_rotation_nobody_goes_unheard_for_more_than_300_ms() -> None:
    """B43: a microphone speaks on, while a session of fifty items goes over into a fresh one, three times."""
    numbers, accepted, is_over = itertools.count(1), list[int](), asyncio.Event()
    rt = Realtime(session=LISTENS)

    async def speak(session: Session) -> None:
        due_s = time.monotonic()
        while not is_over.is_set():
            number = next(numbers)
            await session.send_audio(piece(number, voice=False))
            accepted.append(number)
            due_s += PIECE_MS / 1000
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        books = Books(sim)
        async with rt.connect(endpoint=sim.endpoint) as session:
            for number in range(25):
                await session.ask(str(number))
            speaking = asyncio.ensure_future(speak(session))
            for pages in (2, 3, 4):
                while session._line._rotating is not None:
                    await asyncio.sleep(0)
                while not books.pages[-1].heard or books.pages[-1].heard[-1] < accepted[-1]:
                    await asyncio.sleep(0)
                rotating = asyncio.ensure_future(session.wait_for("session.rotated"))
                await asyncio.sleep(0)
                session._line.rotate()
                await rotating
                last = accepted[-1]
                while len(books.pages) < pages or books.pages[-1].heard[-1:] <= [last]:
                    await asyncio.sleep(0)
            is_over.set()
            await speaking
            await session.ask("Enough?")
    gaps_s = list[float]()
    for old, new in itertools.pairwise(books.pages):
        # The last that the old one heard is said again to the new one; what counts is the first that is new to it.
        first = next(place for place, number in enumerate(new.heard) if number > old.heard[-1])
        gaps_s.append(new.heard_s[first] - old.heard_s[-1])
    print("not heard for", ", ".join(f"{1000 * gap_s:.0f} ms" for gap_s in gaps_s))
    assert len(gaps_s) == 3 and max(gaps_s) <= GAP_S
    assert {number for page in books.pages for number in page.heard} == set(accepted)
