"""The connection by itself: before it was opened, and when its reader fails."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from realtime_events import ConnectionLostError
from realtime_events.audio import AudioLedger
from realtime_events.audio.formats import PCMU
from realtime_events.connection import READER_FAILED, Connection
from realtime_events.dispatcher import Dispatcher
from realtime_events.emitter import Emitter
from realtime_events.events import InputAudioBufferAppend
from realtime_events.outbox import Sending
from realtime_events.protocol.core import Core
from realtime_events.testing import ManualClock
from realtime_events.transport import Ending

APPEND = InputAudioBufferAppend(audio=bytes(960))


class Desk:
    """A connection, and what is told of it."""

    def __init__(self) -> None:
        self.endings: list[tuple[Ending, bool]] = []
        self.connection = Connection(
            Core(new_id=lambda kind: f"{kind}_1"),
            Dispatcher(Emitter(), None, overflow=lambda _: None),
            start_call=lambda call: None,
            interrupt_calls=lambda: None,
            speaks="ga",
            kind="realtime",
            clock=ManualClock(),
            on_end=lambda ending, cut: self.endings.append((ending, cut)),
            sending=Sending(),
        )


class Broken:
    """A door whose reading fails in a way that nobody has foreseen."""

    unsent_bytes = 0
    has_room = True

    def __init__(self) -> None:
        self.aborted = 0

    async def run(self, on_frame: Any) -> Ending:
        raise ZeroDivisionError("nobody has foreseen this")

    def abort(self) -> None:
        self.aborted += 1


async def test_what_was_never_opened_has_nothing_to_lose_and_its_end_is_told_once() -> None:
    """B40: whatever a session asks of it meanwhile."""
    desk, other = Desk(), Desk()
    connection = desk.connection
    connection.abort()
    connection.pause_audio()
    connection.audio_is(PCMU, keep_ms=100)
    connection.take_over(other.connection)
    assert not desk.endings, "an abort has ended what was not open"
    assert connection.audio_ledger == AudioLedger() and connection.waiting_bytes == 0
    assert connection.audio_in_doubt() == []
    for _ in range(2):
        await connection.close(1000, "not needed")
        connection.end_audio()
    assert desk.endings == [(Ending(1000, "not needed", "client"), False)]
    assert "not needed" in str(connection.lost())


async def test_before_it_is_open_whoever_sends_is_told_so() -> None:
    """B40: not even audio, which nobody answers, is accepted silently."""
    connection = Desk().connection
    with pytest.raises(ConnectionLostError, match="the session is not open"):
        await connection.send_audio(APPEND)
    with pytest.raises(ConnectionLostError, match="the session is not open"):
        await connection.write(b"{}")


async def test_a_reader_that_fails_ends_the_connection_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    """B40: a fault of ours is logged with its traceback; nobody waits for ever, and the socket is dropped."""
    desk, door = Desk(), Broken()
    async with asyncio.timeout(5):
        with caplog.at_level(logging.ERROR, logger="realtime_events.session"):
            desk.connection.open(door)  # type: ignore[arg-type]
            ending = await desk.connection.ended
    assert (ending.code, ending.reason) == (READER_FAILED, "ZeroDivisionError in the reader")
    assert door.aborted and desk.endings == [(ending, False)]
    with pytest.raises(ConnectionLostError, match="ZeroDivisionError in the reader"):
        await desk.connection.created
    assert [record.exc_info is not None for record in caplog.records] == [True]
