"""The `openai` SDK with handlers registered by `.on(...)` and run by `dispatch_events`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.clients import Respond, openai_iterate


class Client(openai_iterate.Client):
    """As its sibling, but a task dispatches while the connection lives."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Respond]:
        """Connects one session."""
        async with self._openai.realtime.connect(model="bench") as connection:
            connection.on(self._tally.delta_name, self.on_delta)
            connection.on("response.done", self._on_done)
            dispatching = asyncio.create_task(connection.dispatch_events())

            async def respond() -> None:
                await connection.response.create()
                await self._tally.settled()

            yield respond
            await connection.close()
            await dispatching

    async def _on_done(self, event: Any) -> None:
        self._tally.response_done()
