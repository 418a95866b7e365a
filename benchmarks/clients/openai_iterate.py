"""The `openai` SDK, read by `async for`; audio arrives as base64 text, which the handler decodes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from benchmarks.clients import Live, Tally


class Client:
    """One `AsyncOpenAI`, any number of realtime connections."""

    def __init__(self, url: str, tally: Tally) -> None:
        self._tally = tally
        self._openai = AsyncOpenAI(api_key="test-key", base_url=url.removesuffix("/realtime"))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._openai.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Live]:
        """Connects one session."""
        async with self._openai.realtime.connect(model="bench") as connection:

            async def respond() -> None:
                await connection.response.create()
                await self._read(connection)
                await self._tally.settled()

            yield self.live(connection, respond)

    def live(self, connection: Any, respond: Callable[[], Awaitable[None]]) -> Live:
        """Gives what the measurements use of a connection."""

        async def append(pcm: bytes) -> None:
            await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

        async def commit() -> None:
            await connection.input_audio_buffer.commit()
            await self._tally.committed

        return Live(respond, append, commit)

    async def _read(self, connection: Any) -> None:
        name = self._tally.delta_name
        missing = self._tally.traffic.responses
        async for event in connection:
            if event.type == name:
                await self.on_delta(event)
            elif event.type == "response.done":
                self._tally.response_done()
                missing -= 1
                if not missing:
                    return

    async def on_delta(self, event: Any) -> None:
        """Hands over one delta, decoded."""
        self._tally.heard(base64.b64decode(event.delta) if self._tally.is_audio else event.delta)
