"""The library, with its defaults: an application as its README writes it."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from benchmarks.faults.clients import INSTRUCTIONS, MODEL, TOOL, Order, Told
from realtime_events import Endpoint, Realtime, RealtimeError


class Client:
    """One `Realtime` with its one session."""

    def __init__(self, order: Order, told: Told) -> None:
        self._told = told
        self._slow_s = order.slow_s
        self._asking: set[asyncio.Task[None]] = set()
        modalities = {} if order.speaks else {"output_modalities": ["text"]}
        self._endpoint = Endpoint(url=order.url, api_key=order.key)
        self._rt = Realtime(model=MODEL, instructions=INSTRUCTIONS, session=modalities, endpoint=self._endpoint)
        self._listen()

        @self._rt.tool(name=TOOL)
        async def look_up() -> str:
            """Finds a number in a slow register."""
            told.note("tool")
            await asyncio.sleep(order.tool_s)
            return "42"

    def _listen(self) -> None:
        told, on = self._told, self._rt.on
        on("response.done", self._done)
        on("response.output_audio.delta", self._play)
        on("input_audio_buffer.speech_started", lambda event: told.note("hearing"))
        on("error", lambda event: told.note("trouble", event.error.message))
        on("event.malformed", lambda event: told.note("trouble", event.reason))
        on("event.unknown", lambda event: told.note("frame", event.raw.decode()))
        on("connection.lost", lambda event: told.note("lost", f"{event.code} {event.reason}"))
        on("connection.restored", lambda event: told.note("back"))
        on("connection.closed", lambda event: told.note("over", f"{event.code} {event.reason}"))
        on("tool.orphaned", lambda event: told.note("orphaned", event.call.call_id))

    async def _done(self, event: Any) -> None:
        for item in event.response.output:
            for part in item.content or ():
                self._told.note("answer", part.text or part.transcript or "")

    async def _play(self, event: Any) -> None:
        slow_s, self._slow_s = self._slow_s, 0.0
        if slow_s:
            self._told.note("slow")
            await asyncio.sleep(slow_s)

    async def __aenter__(self) -> Self:
        self._session = await self._rt.connect()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._asking:
            task.cancel()
        await self._session.close()

    async def ask(self, text: str) -> None:
        task = asyncio.create_task(self._ask(text), name="ask")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, text: str) -> None:
        try:
            await self._session.ask(text)
        except (RealtimeError, TimeoutError) as error:
            self._told.note("failed", error)

    async def instruct(self, text: str) -> None:
        await self._session.update(instructions=text)

    async def say(self, pcm: bytes) -> None:
        try:
            await self._session.send_audio(pcm)
        except (RealtimeError, TimeoutError) as error:
            self._told.note("failed", error)

    def things(self) -> dict[str, Any]:
        return {"endpoint": self._endpoint, "application": self._rt, "session": self._session}
