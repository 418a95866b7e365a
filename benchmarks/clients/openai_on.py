"""The `openai` SDK with handlers registered by `.on(...)` and run by `dispatch_events`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.clients import Live, openai_iterate


class Client(openai_iterate.Client):
    """As its sibling, but a task dispatches while the connection lives."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Live]:
        """Connects one session."""
        async with self._openai.realtime.connect(model="bench") as connection:
            connection.on(self._tally.delta_name, self.on_delta)
            connection.on("response.done", self._on_done)
            connection.on("input_audio_buffer.committed", self._on_committed)
            dispatching = asyncio.create_task(connection.dispatch_events())

            async def respond() -> None:
                await connection.response.create()
                await self._tally.settled()

            yield self.live(connection, respond)
            await connection.close()
            await dispatching

    async def _on_done(self, event: Any) -> None:
        self._tally.response_done()

    async def _on_committed(self, event: Any) -> None:
        self._tally.audio_committed(event.item_id)
