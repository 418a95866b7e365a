"""LiveKit's plugin for OpenAI under its `AgentSession`, which needs no LiveKit server for this."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import aiohttp
from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool, io
from livekit.plugins import openai

from benchmarks.faults.clients import INSTRUCTIONS, MODEL, TOOL, TOOL_SAYS, Order, Told

RATE_HZ = 24_000


class Speaker(io.AudioOutput):
    """Where the assistant's audio goes; the first piece may take long."""

    def __init__(self, order: Order, told: Told) -> None:
        super().__init__(label="speaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self._slow_s, self._told = order.slow_s, told

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Takes a piece."""
        await super().capture_frame(frame)
        slow_s, self._slow_s = self._slow_s, 0.0
        if slow_s:
            self._told.note("slow")
            await asyncio.sleep(slow_s)

    def flush(self) -> None:
        """Has played everything."""
        super().flush()
        self.on_playback_finished(playback_position=0.0, interrupted=False)

    def clear_buffer(self) -> None:
        """Stops playing."""
        self.on_playback_finished(playback_position=0.0, interrupted=True)


class Client:
    """One `AgentSession` with its agent."""

    def __init__(self, order: Order, told: Told) -> None:
        self._order, self._told = order, told

        async def look_up() -> str:
            told.note("tool")
            await asyncio.sleep(order.tool_s)
            return "42"

        tool = function_tool(look_up, name=TOOL, description=TOOL_SAYS)
        self._agent = Agent(instructions=INSTRUCTIONS, tools=[tool])

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()  # Inside a worker of LiveKit, the worker brings it.
        modalities: Any = {} if self._order.speaks else {"modalities": ["text"]}
        self._model = openai.realtime.RealtimeModel(
            base_url=self._order.base_url, api_key=self._order.key, model=MODEL, http_session=self._http, **modalities
        )
        self._session: AgentSession[None] = AgentSession(llm=self._model)
        if self._order.speaks:
            self._session.output.audio = Speaker(self._order, self._told)
        self._listen()
        await self._session.start(self._agent)
        self._agent.realtime_llm_session.on("openai_server_event_received", self._hear_raw)
        self._agent.realtime_llm_session.on("session_reconnected", lambda event: self._told.note("back"))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.aclose()
        await self._http.close()

    def _listen(self) -> None:
        told, on = self._told, self._session.on
        on("error", lambda event: told.note("trouble" if event.error.recoverable else "failed", event.error.error))
        on("close", lambda event: told.note("over", event.reason.value))
        on("user_state_changed", lambda event: told.note("hearing") if event.new_state == "speaking" else None)
        on("conversation_item_added", self._added)

    def _added(self, event: Any) -> None:
        if getattr(event.item, "role", "") == "assistant":
            self._told.note("answer", event.item.text_content or "")

    def _hear_raw(self, event: dict[str, Any]) -> None:
        if event["type"].startswith("simulator."):
            self._told.note("frame", event["type"])

    async def ask(self, text: str) -> None:
        try:
            self._session.generate_reply(user_input=text)
        except RuntimeError as error:
            self._told.note("failed", error)

    async def instruct(self, text: str) -> None:
        await self._agent.update_instructions(text)

    async def say(self, pcm: bytes) -> None:
        frame = rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2)
        self._agent.realtime_llm_session.push_audio(frame)

    def things(self) -> dict[str, Any]:
        return {"model": self._model, "session": self._session, "realtime": self._agent.realtime_llm_session}
