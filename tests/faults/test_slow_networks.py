"""A network that takes little or nothing: what becomes of a session's audio, by its policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from realtime_events import Options, Realtime, Session
from realtime_events.events import AudioGap, ConnectionLost
from realtime_events.outbox import Sending
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import FaultProxy, Toxics

from .server import Delays

WAIT_S = 20.0
PIECE = bytes(48_000)  # a second of pcm16
BUFFERS_BYTES = 4096
PING_S, DEAD_S = 0.2, 0.4
NARROW_BYTES_PER_S = 8_000  # 64 kbit/s
FLOOD = 400
MANUAL = {"output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}


@dataclass
class Line:
    """A session behind a network, and what both sides know of its audio."""

    sim: Simulator
    proxy: FaultProxy
    session: Session
    gaps: list[AudioGap] = field(default_factory=list[AudioGap])
    lost: list[ConnectionLost] = field(default_factory=list[ConnectionLost])
    accepted_bytes: int = 0

    async def flood(self, pieces: int = FLOOD) -> None:
        """Sends much more than the buffers of the system hold, or until nothing more is taken."""
        for _ in range(pieces):
            await self.session.send_audio(PIECE)
            self.accepted_bytes += len(PIECE)

    @property
    def arrived_bytes(self) -> int:
        """What came to the server, in all its sessions."""
        return sum(one.received.counts["input_audio_buffer.append"] * len(PIECE) for one in self.sim.sessions)

    async def all_arrives(self) -> None:
        """Waits until everything that was written has been read."""
        while self.session.audio_ledger.queued_bytes:
            await asyncio.sleep(0)
        await self.session.ask("Have you heard me?")


@asynccontextmanager
async def line(sending: Sending, **how: Any) -> AsyncIterator[Line]:
    rt = Realtime(session=MANUAL)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint, buffer_bytes=BUFFERS_BYTES) as proxy:
            connecting = rt.connect(endpoint=proxy.endpoint, sending=sending, reconnect=Delays().policy(), **how)
            async with connecting as session:
                it = Line(sim, proxy, session)
                rt.on(AudioGap, it.gaps.append, delivery="inline")
                rt.on(ConnectionLost, it.lost.append, delivery="inline")
                yield it


async def test_a_server_that_takes_nothing_costs_a_sender_a_bounded_wait_and_then_the_connection() -> None:
    """B17, B44: nothing is dropped for it; the pings end it, and what was written is named."""
    loop, sending = asyncio.get_running_loop(), Sending(timeout_s=0.1)
    assert sending.policy == Options().sending.policy == "block"
    async with line(sending, ping_interval_s=PING_S, ping_timeout_s=DEAD_S) as it:
        waiting = asyncio.ensure_future(it.session.wait_for("connection.lost"))
        await asyncio.sleep(0)
        began_s, it.proxy.up = loop.time(), Toxics(stall_after_bytes=0)
        with pytest.raises(TimeoutError, match="no room for audio"):
            await it.flood()
        assert not it.gaps and not it.lost, "the connection ended before its time"
        assert it.session.audio_ledger.accepted_bytes == it.accepted_bytes
        await waiting
        assert loop.time() - began_s < PING_S + DEAD_S + 1.0
        it.proxy.heal()
        await it.session.wait_for("connection.restored")
        await it.all_arrives()
        books = it.session.audio_ledger
    assert len(it.lost) == 1 and all(gap.unknown or gap.delivered for gap in it.gaps)
    assert sum(gap.bytes for gap in it.gaps) == books.unknown_bytes + books.delivered_bytes > 0
    assert it.sim.sessions[-1].received.counts["input_audio_buffer.append"] * len(PIECE) == books.open_bytes > 0
    assert books.accepted_bytes == it.accepted_bytes == books.open_bytes + books.unknown_bytes + books.delivered_bytes


async def test_on_a_narrow_line_a_sender_that_blocks_loses_nothing() -> None:
    """B17: the default policy."""
    async with line(Sending(timeout_s=0.1, max_ms=5_000)) as it:
        it.proxy.up = Toxics(bandwidth_bytes_per_s=NARROW_BYTES_PER_S)
        with pytest.raises(TimeoutError, match="no room for audio"):
            await it.flood()
        it.proxy.heal()
        await it.all_arrives()
        assert it.arrived_bytes == it.accepted_bytes == it.session.audio_ledger.open_bytes
    assert not it.gaps and not it.lost


async def test_on_a_narrow_line_old_audio_is_dropped_and_named_if_the_policy_says_so() -> None:
    """B17: nobody waits, the oldest goes first, and what is left arrives."""
    async with line(Sending(policy="drop_oldest", max_ms=5_000)) as it:
        it.proxy.up = Toxics(bandwidth_bytes_per_s=NARROW_BYTES_PER_S)
        await it.flood()
        named_bytes = sum(gap.bytes for gap in it.gaps)
        assert named_bytes > 0 and it.accepted_bytes == FLOOD * len(PIECE)
        it.proxy.heal()
        await it.all_arrives()
        books = it.session.audio_ledger
        assert it.arrived_bytes == it.accepted_bytes - named_bytes == books.open_bytes
        assert books.lost_bytes == named_bytes
    starts_ms = [gap.start_ms for gap in it.gaps]
    assert starts_ms == sorted(starts_ms) and not any(gap.unknown or gap.delivered for gap in it.gaps)
    assert {gap.reason for gap in it.gaps} <= {"overflow", "too old"} and not it.lost
