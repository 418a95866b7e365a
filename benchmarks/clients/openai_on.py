"""The `openai` SDK with handlers registered by `.on(...)` and run by `dispatch_events`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.clients import Live, no_op, openai_iterate


class Client(openai_iterate.Client):
    """As its sibling, but a task dispatches while the connection lives. Calls are answered on the last connection."""

    _connection: Any = None
    _answered = False

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Live]:
        """Connects one session."""
        async with self._openai.realtime.connect(model="bench") as connection:
            connection.on(self._tally.delta_name, self.on_delta)
            connection.on("response.done", self._on_done)
            connection.on("response.function_call_arguments.done", self._on_call)
            connection.on("input_audio_buffer.committed", self._on_committed)
            self._connection = connection
            dispatching = asyncio.create_task(connection.dispatch_events())

            async def respond() -> None:
                await connection.response.create()
                await self._tally.settled()

            yield self.live(connection, respond)
            await connection.close()
            await dispatching

    async def _on_done(self, event: Any) -> None:
        if self._answered:
            self._answered = False
            await self._connection.response.create()
        self._tally.response_done()

    async def _on_call(self, event: Any) -> None:
        item = {"type": "function_call_output", "call_id": event.call_id, "output": await no_op()}
        await self._connection.conversation.item.create(item=item)
        self._answered = True

    async def _on_committed(self, event: Any) -> None:
        self._tally.audio_committed(event.item_id)
