"""A session that is interrupted while much audio waits to be sent: the user's first word against a full line.

Owns the stop-watch on the client's side; the server (`server.py`) has the other. Before it and after it: `measure.py`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from realtime_events import Endpoint, Realtime
from realtime_events.audio.ring import Ring
from realtime_events.events import ResponseCreate

WAITING_BYTES = 1_000_000
PIECE = bytes(4_800)


class Interrupted:
    """One session; each time it is talked to, it sends more audio than the line takes, and is interrupted.

    Attributes:
        flush_ms: From `speech_started` leaving the server to `audio.flush` in its handler, each time.
        wire_ms: From the same to the truncation read by the server.
    """

    def __init__(self, url: str) -> None:
        self.flush_ms: list[float] = []
        self.wire_ms: list[float] = []
        self._rt = Realtime(endpoint=Endpoint(url=url.replace("http", "ws", 1), api_key="test-key"))
        self._rt.on("response.done", self._on_done)
        self._rt.on("input_audio_buffer.speech_started", self._on_speech)
        self._rt.on("audio.flush", self._on_flush)
        self._rt.on("conversation.item.truncated", self._on_truncated)
        self._open = AsyncExitStack()
        self._done, self._truncated = asyncio.Event(), asyncio.Event()
        self._flushed_s = 0.0

    async def __aenter__(self) -> Interrupted:
        self._session = await self._open.enter_async_context(self._rt.connect())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    async def be_interrupted(self) -> None:
        """Ask for a response, talk more than the line takes, and return when the interruption is over.

        Raises:
            AssertionError: There was less to wait behind than this is about.
        """
        rounds = len(self.flush_ms)
        self._done.clear()
        self._truncated.clear()
        await self._session.send(ResponseCreate())
        await self._done.wait()
        while self._ring.queued_bytes < WAITING_BYTES:
            await self._session.send_audio(PIECE)
        if len(self.flush_ms) > rounds:
            raise AssertionError(f"the user spoke before {WAITING_BYTES} bytes of audio waited")
        await self._truncated.wait()
        while self._ring:  # noqa: ASYNC110 - the audio goes on in its own time, and nobody is told of its end
            await asyncio.sleep(0.001)

    @property
    def _ring(self) -> Ring:
        outbox = self._session._connection._outbox
        assert outbox is not None
        return outbox.ring

    async def _on_done(self, event: Any) -> None:
        self._done.set()

    async def _on_flush(self, event: Any) -> None:
        self._flushed_s = time.monotonic()

    async def _on_speech(self, event: Any) -> None:
        self.flush_ms.append(self._flushed_s * 1e3 - int(event.event_id.removeprefix("event_")) / 1e3)

    async def _on_truncated(self, event: Any) -> None:
        self.wire_ms.append(int(event.event_id.removeprefix("event_")) / 1e3)
        self._truncated.set()
