"""The library: an application with one async handler per delta, as its README writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.clients import Live, Tally, no_op
from realtime_events import Endpoint, Options, Realtime, ToolLimits
from realtime_events.events import InputAudioBufferCommit, ResponseCreate


class Client:
    """One `Realtime`, any number of its sessions, which connect with `changes`."""

    def __init__(self, url: str, tally: Tally) -> None:
        self._tally = tally
        self.changes: dict[str, Any] = {}
        endpoint = Endpoint(url=url.replace("http", "ws", 1), api_key="test-key")
        # What is measured calls a tool more often than any model should be let.
        options = Options(tool_limits=ToolLimits(calls_per_minute=1_000_000))
        self._rt = Realtime(endpoint=endpoint, options=options)
        self._rt.on(tally.delta_name, self._on_delta)
        self._rt.on("response.done", self._on_done)
        if tally.traffic.tool:
            self._rt.tool(no_op)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Live]:
        """Connects one session."""
        async with self._rt.connect(**self.changes) as session:

            async def respond() -> None:
                await session.send(ResponseCreate())
                await self._tally.settled()

            async def commit() -> None:
                answer = await session.request(InputAudioBufferCommit())  # Unchecked: there may be no audio.
                self._tally.audio_committed(answer.item_id)

            yield Live(respond, session.send_audio, commit)

    async def _on_delta(self, event: Any) -> None:
        self._tally.heard(event.delta)

    async def _on_done(self, event: Any) -> None:
        self._tally.response_done()
