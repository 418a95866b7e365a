"""The `openai` SDK: handlers by `.on(...)` under `dispatch_events`, reconnecting switched on by `on_reconnecting`.

The session is configured once after connecting, as the SDK's README does. A tool is the application's own work there:
this one runs it in a task, so that it holds up no event, and sends its output on the same connection object.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable
from typing import Any, Self

from openai import AsyncOpenAI

from benchmarks.faults.clients import INSTRUCTIONS, MODEL, TOOL, TOOL_SAYS, Order, Told


class Client:
    """One `AsyncOpenAI` with one realtime connection."""

    def __init__(self, order: Order, told: Told) -> None:
        self._order, self._told = order, told
        self._slow_s = order.slow_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._openai = AsyncOpenAI(api_key=order.key, base_url=order.base_url)

    async def __aenter__(self) -> Self:
        manager = self._openai.realtime.connect(model=MODEL, on_reconnecting=self._reconnecting)
        self._connection = await manager.enter()
        self._listen()
        tool = {"type": "function", "name": TOOL, "description": TOOL_SAYS, "parameters": {"type": "object"}}
        session: Any = {"type": "realtime", "instructions": INSTRUCTIONS, "tools": [tool]}
        if not self._order.speaks:
            session["output_modalities"] = ["text"]
        await self._connection.session.update(session=session)
        self._start(self._dispatch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._connection.close()

    def _reconnecting(self, event: Any) -> None:
        self._told.note("lost", f"{event.close_code}, attempt {event.attempt}")

    def _listen(self) -> None:
        told, on = self._told, self._connection.on
        on("response.done", self._done)
        on("response.output_audio.delta", self._play)
        on("response.function_call_arguments.done", self._call)
        on("input_audio_buffer.speech_started", lambda event: told.note("hearing"))
        on("error", lambda event: told.note("trouble", event.error.message))
        on("event", lambda event: told.note("frame", event.type) if event.type.startswith("simulator.") else None)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dispatch(self) -> None:
        try:
            await self._connection.dispatch_events()
        except Exception as error:  # noqa: BLE001 - whatever ends the loop is what the application is told
            self._told.note("over", error)
        else:
            self._told.note("over", "the loop of events has ended")

    async def _try(self, *calls: Awaitable[None]) -> None:
        try:
            for call in calls:
                await call
        except Exception as error:  # noqa: BLE001 - whatever it raises is what the application is told
            self._told.note("failed", error)

    async def _done(self, event: Any) -> None:
        for item in event.response.output:
            for part in getattr(item, "content", None) or ():
                self._told.note("answer", part.text or part.transcript or "")

    async def _play(self, event: Any) -> None:
        slow_s, self._slow_s = self._slow_s, 0.0
        if slow_s:
            self._told.note("slow")
            await asyncio.sleep(slow_s)

    async def _call(self, event: Any) -> None:
        self._start(self._run_tool(event.call_id))

    async def _run_tool(self, call_id: str) -> None:
        self._told.note("tool")
        await asyncio.sleep(self._order.tool_s)
        item: Any = {"type": "function_call_output", "call_id": call_id, "output": "42"}
        await self._try(self._connection.conversation.item.create(item=item), self._connection.response.create())

    async def ask(self, text: str) -> None:
        item: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self._try(self._connection.conversation.item.create(item=item), self._connection.response.create())

    async def instruct(self, text: str) -> None:
        await self._try(self._connection.session.update(session={"type": "realtime", "instructions": text}))

    async def say(self, pcm: bytes) -> None:
        await self._try(self._connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode()))

    def things(self) -> dict[str, Any]:
        return {"client": self._openai, "connection": self._connection}
