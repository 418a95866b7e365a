"""The outbox: who overtakes whom, what is dropped and named, and what an ended connection leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from realtime_events.audio.ring import Gap
from realtime_events.exceptions import ConnectionLostError
from realtime_events.outbox import Outbox, Place, Sending
from realtime_events.testing import ManualClock
from realtime_events.transport import Transport

PIECE = 960  # 20 ms of pcm16 at 24 kHz


class Door:
    """A transport that keeps what is written, and is full when the test says so."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.unsent_bytes = 0
        self.ended = False
        self._room = asyncio.Event()

    @property
    def has_room(self) -> bool:
        return self.unsent_bytes <= 1000

    def write(self, data: bytes) -> None:
        if self.ended:
            raise ConnectionLostError(1006, "gone")
        self.written.append(data.decode())

    async def drain(self) -> None:
        while not self.has_room:
            self._room.clear()
            await self._room.wait()

    def fill(self) -> None:
        self.unsent_bytes = 10_000_000

    def empty(self) -> None:
        self.unsent_bytes = 0
        self._room.set()


class Desk:
    """An outbox with its door, a clock, and the gaps it told of."""

    def __init__(self, **sending: Any) -> None:
        self.door = Door()
        self.clock = ManualClock()
        self.gaps: list[Gap] = []
        how = Sending(**sending)
        self.outbox = Outbox(cast(Transport, self.door), clock=self.clock, on_gap=self.gaps.append, sending=how)

    async def audio(self, *names: str) -> None:
        for name in names:
            await self.outbox.send_audio(name.encode(), PIECE)

    async def drained(self) -> list[str]:
        """Empty the door and give all that was written once nothing waits."""
        self.door.empty()
        async with asyncio.timeout(5):
            while self.outbox.ring or self.outbox.waiting_bytes:
                await asyncio.sleep(0)
        return self.door.written


@asynccontextmanager
async def full(**sending: Any) -> AsyncGenerator[Desk]:
    """Give a desk whose door is full."""
    desk = Desk(**sending)
    desk.door.fill()
    yield desk
    desk.outbox.end()


async def test_audio_is_written_at_once_and_without_a_task_while_the_door_has_room() -> None:
    """B17."""
    desk = Desk()
    tasks = asyncio.all_tasks()
    await desk.audio("a1", "a2")
    assert desk.door.written == ["a1", "a2"]
    assert asyncio.all_tasks() == tasks
    assert (desk.outbox.ring.accepted_bytes, desk.outbox.ring.sent_bytes) == (2 * PIECE, 2 * PIECE)


@pytest.mark.parametrize("place", [Place.AHEAD, Place.AT_ONCE, Place.AFTER_COMMIT])
async def test_control_overtakes_audio_that_waits(place: Place) -> None:
    """B15."""
    async with full() as desk:
        await desk.audio("a1", "a2")
        desk.outbox.post(b"control", place)
        assert desk.door.written == ["control"]
        assert await desk.drained() == ["control", "a1", "a2"]


async def test_a_commit_keeps_its_place_and_what_builds_on_it_follows_it() -> None:
    """B15."""
    async with full() as desk:
        await desk.audio("a1")
        desk.outbox.post(b"commit", Place.IN_LINE)
        await desk.audio("a2")
        desk.outbox.post(b"create", Place.AFTER_COMMIT)
        desk.outbox.post(b"update", Place.AHEAD)
        desk.outbox.post(b"truncate", Place.AT_ONCE)
        assert await desk.drained() == ["truncate", "a1", "commit", "create", "update", "a2"]


async def test_control_overtakes_a_commit_that_nothing_follows() -> None:
    """B15."""
    async with full() as desk:
        await desk.audio("a1")
        desk.outbox.post(b"commit", Place.IN_LINE)
        desk.outbox.post(b"cancel", Place.AHEAD)
        assert desk.door.written == ["cancel"]


async def test_a_clear_takes_the_audio_since_the_last_commit_and_names_it() -> None:
    """B15, B17."""
    async with full() as desk:
        await desk.audio("a1", "a2")
        desk.outbox.post(b"clear", Place.CLEAR)
        assert desk.door.written == ["clear"]
        assert [(gap.start_ms, gap.length_ms, gap.reason) for gap in desk.gaps] == [(0, 40, "cleared")]
        await desk.audio("a3")
        desk.outbox.post(b"commit", Place.IN_LINE)
        await desk.audio("a4")
        desk.outbox.post(b"clear again", Place.CLEAR)
        assert await desk.drained() == ["clear", "a3", "commit", "clear again"]
        assert [(gap.start_ms, gap.length_ms) for gap in desk.gaps] == [(0, 40), (60, 20)]


async def test_a_full_queue_lets_senders_wait_in_their_order() -> None:
    """B15, B17."""
    async with full(max_ms=40) as desk:
        await desk.audio("a1", "a2")
        waiting = [asyncio.create_task(desk.audio(f"{who}1", f"{who}2")) for who in "bc"]
        await asyncio.sleep(0)
        assert desk.outbox.waiting_bytes == 4 * PIECE
        desk.outbox.post(b"cancel", Place.AHEAD)
        written = await desk.drained()
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
        written = await desk.drained()
        assert written[:5] == ["cancel", "a1", "a2", "b1", "c1"] and sorted(written[5:]) == ["b2", "c2"]
        assert not desk.gaps


async def test_a_sender_waits_only_so_long_and_nothing_of_it_is_sent() -> None:
    """B17."""
    async with full(max_ms=20, timeout_s=0.01) as desk:
        await desk.audio("a1")
        with pytest.raises(TimeoutError, match=r"no room for audio within 0\.01 s: 960 bytes wait already"):
            await desk.audio("a2")
        assert await desk.drained() == ["a1"]
        assert desk.outbox.ring.accepted_bytes == PIECE


async def test_a_cancelled_sender_leaves_the_queue() -> None:
    """B15."""
    async with full(max_ms=20) as desk:
        await desk.audio("a1")
        waiting = asyncio.create_task(desk.audio("a2"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert await desk.drained() == ["a1"]


async def test_drop_oldest_never_waits_and_names_what_it_drops() -> None:
    """B17."""
    async with full(policy="drop_oldest", max_ms=40) as desk:
        await desk.audio("a1", "a2", "a3", "a4")
        assert await desk.drained() == ["a3", "a4"]
        assert [(gap.start_ms, gap.length_ms, gap.reason) for gap in desk.gaps] == [
            (0, 20, "overflow"),
            (20, 20, "overflow"),
        ]


async def test_audio_that_is_too_old_is_dropped_before_it_is_written() -> None:
    """B17."""
    async with full(policy="drop_oldest") as desk:
        await desk.audio("a1", "a2")
        desk.clock.advance(1.5)
        await desk.audio("a3")
        desk.clock.advance(1.0)
        assert await desk.drained() == ["a3"]
        assert [(gap.start_ms, gap.length_ms, gap.reason) for gap in desk.gaps] == [(0, 40, "too old")]


async def test_the_end_frees_every_sender_and_names_what_was_not_sent() -> None:
    """B15, B17."""
    async with full(max_ms=20) as desk:
        await desk.audio("a1")
        waiting = asyncio.create_task(desk.audio("a2"))
        await asyncio.sleep(0)
        lost = ConnectionLostError(1006, "gone")
        desk.outbox.end(lost)
        with pytest.raises(ConnectionLostError, match="gone"):
            async with asyncio.timeout(5):
                await waiting
        assert [(gap.start_bytes, gap.length_bytes, gap.reason) for gap in desk.gaps] == [
            (0, PIECE, "the connection ended")
        ]
        with pytest.raises(ConnectionLostError, match="gone"):
            desk.outbox.post(b"control")
        with pytest.raises(ConnectionLostError, match="gone"):
            await desk.audio("a3")
        assert desk.door.written == []
