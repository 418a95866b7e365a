"""The server's limit: a session that expires is refreshed, or says that it will end and how it did."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_events import Options, Realtime, SessionExpired
from realtime_events.events import ConnectionClosed, ConnectionLost, SessionExpiring
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import ManualClock
from realtime_events.vigil import Vigil

from .server import Delays

WAIT_S = 10.0
TEXT = {"output_modalities": ["text"]}


@pytest.mark.parametrize("rotate", [True, False])
async def test_a_session_that_expires_goes_on_at_once_in_a_fresh_one(rotate: bool) -> None:
    """B43: as if it had been rotated in time, with its conversation and without a pause."""
    rt, delays, lost = Realtime(session=TEXT), Delays(), list[ConnectionLost]()
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults="expire=0.3") as sim:

        @rt.on("connection.lost", delivery="inline")
        def heal(event: ConnectionLost) -> None:
            lost.append(event)
            sim.set_faults(None)

        async with rt.connect(endpoint=sim.endpoint, reconnect=delays.policy(), rotate=rotate) as session:
            restoring = asyncio.ensure_future(session.wait_for("connection.restored"))
            assert (await session.ask("One")).text == "One"
            assert len((await restoring).replayed) == 2
            assert (await session.ask("Two")).text == "Two"
            assert [item.text for item in session.conversation] == ["One", "One", "Two", "Two"]
    assert delays == [0.0] and [event.code for event in lost] == [1001]


async def test_a_session_that_expires_again_and_again_before_anything_happens_is_given_up() -> None:
    """B41, B43: the refresh is free only once without progress."""
    delays, rt = Delays(), Realtime()
    async with asyncio.timeout(WAIT_S), Simulator(faults="expire=0.01") as sim:
        async with rt.connect(endpoint=sim.endpoint, reconnect=delays.policy(attempts=3)) as session:
            waiting = asyncio.ensure_future(session.wait_for("app.never"))
            await session.wait_closed()
            with pytest.raises(SessionExpired):
                await waiting
    assert delays == [0.0, 1.0, 2.0] and len(sim.sessions) == 4


async def test_without_rotating_and_reconnecting_the_end_is_announced_and_named() -> None:
    """B43: `session.expiring` before, `SessionExpired` for whoever waits."""
    rt, expiring, closed = Realtime(), list[SessionExpiring](), list[ConnectionClosed]()
    rt.on("session.expiring", expiring.append)
    rt.on("connection.closed", closed.append)
    async with asyncio.timeout(WAIT_S), Simulator(faults="expire=0.5") as sim:
        async with rt.connect(endpoint=sim.endpoint, rotate=False, reconnect=False, stall_s=0.5) as session:
            waiting = asyncio.ensure_future(session.wait_for("app.never"))
            with pytest.raises(SessionExpired) as caught:
                await waiting
            assert caught.value.session_id == session.id and 0.0 < caught.value.lived_s < WAIT_S
            assert session.is_closed
    assert [event.session_id for event in expiring] == [session.id] and len(closed) == 1
    assert 0.0 <= expiring[0].left_s <= 300.0


def test_a_clock_that_is_set_neither_ends_nor_prolongs_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """B43: `expires_at` is a time of day; how long that is from the beginning, the monotonic clock says."""
    rotated, clock, unix_s = list[float](), ManualClock(now=0.0), 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: unix_s)
    config = SimpleNamespace(expires_at=int(unix_s) + 1_800)
    line: Any = SimpleNamespace(
        core=SimpleNamespace(session_id="sess_1", config=config, waiting_for=lambda: ""),
        connection=SimpleNamespace(received=0, sent=0),
        is_offline=False,
        can_rotate=True,
        lived_s=0.0,
        rotate=lambda: rotated.append(clock()),
    )
    nobody: Any = SimpleNamespace(publish=lambda event: None)
    vigil = Vigil(line, nobody, Options(), close=lambda reason: None, clock=clock, spread=lambda: 0.0)
    vigil.look()
    for jump_s in (0.0, 7_200.0, -86_400.0):
        unix_s += jump_s
        clock.advance(490.0)
        line.lived_s = clock()
        vigil.look()
    assert not rotated, "the clock was set forward, and the session ended early"
    clock.advance(40.0)
    line.lived_s = clock()
    vigil.look()
    assert rotated == [1_510.0], "the clock was set back, and the server's limit forgotten"
