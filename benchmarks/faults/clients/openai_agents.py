"""`openai-agents`: a `RealtimeSession` of its runner, iterated as its documentation does."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner

from benchmarks.faults.clients import INSTRUCTIONS, MODEL, TOOL, TOOL_SAYS, Order, Told


class Client:
    """One agent with its session."""

    def __init__(self, order: Order, told: Told) -> None:
        self._order, self._told = order, told
        self._slow_s = order.slow_s

        async def look_up() -> str:
            told.note("tool")
            await asyncio.sleep(order.tool_s)
            return "42"

        self._tools: Any = [function_tool(look_up, name_override=TOOL, description_override=TOOL_SAYS)]

    def _agent(self, instructions: str) -> Any:
        return RealtimeAgent(name="Ada", instructions=instructions, tools=self._tools)

    async def __aenter__(self) -> Self:
        settings: Any = {"model_name": MODEL, "tracing": None}
        if not self._order.speaks:
            settings["output_modalities"] = ["text"]
        config: Any = {
            "url": f"{self._order.url}?model={MODEL}",
            "api_key": self._order.key,
            "initial_model_settings": settings,
        }
        runner = RealtimeRunner(self._agent(INSTRUCTIONS))
        self._session = await runner.run(model_config=config)
        await self._session.enter()
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._listening.cancel()
        await self._session.close()

    async def _listen(self) -> None:
        try:
            async for event in self._session:
                await self._hear(event)
        except Exception as error:  # noqa: BLE001 - whatever ends the iterator is what the application is told
            self._told.note("over", error)
        else:
            self._told.note("over", "the iterator of events has ended")

    async def _hear(self, event: Any) -> None:
        if event.type == "audio" and self._slow_s:
            slow_s, self._slow_s = self._slow_s, 0.0
            self._told.note("slow")
            await asyncio.sleep(slow_s)
        elif event.type == "audio_interrupted":
            self._told.note("hearing")
        elif event.type == "error":
            self._told.note("trouble", str(event.error))
        elif event.type == "raw_model_event" and event.data.type == "raw_server_event":
            self._hear_raw(event.data.data)

    def _hear_raw(self, event: dict[str, Any]) -> None:
        if event["type"] == "response.done":
            for item in event["response"]["output"]:
                for part in item.get("content") or ():
                    self._told.note("answer", part.get("text") or part.get("transcript") or "")
        elif event["type"].startswith("simulator."):
            self._told.note("frame", event["type"])

    async def ask(self, text: str) -> None:
        await self._try(self._session.send_message(text))

    async def instruct(self, text: str) -> None:
        await self._try(self._session.update_agent(self._agent(text)))

    async def say(self, pcm: bytes) -> None:
        await self._try(self._session.send_audio(pcm))

    async def _try(self, call: Any) -> None:
        try:
            await call
        except Exception as error:  # noqa: BLE001 - whatever it raises is what the application is told
            self._told.note("failed", error)

    def things(self) -> dict[str, Any]:
        return {"session": self._session, "model": self._session.model}
