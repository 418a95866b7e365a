"""`openai-agents`: its WebSocket model with one listener, the layer under its `RealtimeSession`.

The session above it would add a queue and a second event per event; the model alone is the kinder comparison.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents.realtime import OpenAIRealtimeWebSocketModel, RealtimeModelListener
from agents.realtime.model_inputs import RealtimeModelSendAudio, RealtimeModelSendRawMessage

from benchmarks.clients import Live, Tally


class Client:
    """A model object for each session; the process holds nothing else."""

    def __init__(self, url: str, tally: Tally) -> None:
        self._url = f"{url.replace('http', 'ws', 1)}?model=bench"
        self._tally = tally

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Live]:
        """Connects one session, tracing off."""
        model = OpenAIRealtimeWebSocketModel()
        model.add_listener(Listener(self._tally))
        await model.connect({"url": self._url, "api_key": "test-key", "initial_model_settings": {"tracing": None}})

        async def respond() -> None:
            await model.send_event(RealtimeModelSendRawMessage(message={"type": "response.create"}))
            await self._tally.settled()

        async def append(pcm: bytes) -> None:
            await model.send_event(RealtimeModelSendAudio(audio=pcm))

        async def commit() -> None:
            await model.send_event(RealtimeModelSendRawMessage(message={"type": "input_audio_buffer.commit"}))
            await self._tally.committed

        try:
            yield Live(respond, append, commit)
        finally:
            await model.close()


class Listener(RealtimeModelListener):
    """Hands deltas and ends to the tally, and lets errors end the run."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def on_event(self, event: Any) -> None:
        """Takes every event of the model."""
        if event.type == "output_text_delta":
            await self._on_delta(event.delta)
        elif event.type == "audio":
            await self._on_delta(event.data)
        elif event.type == "turn_ended":
            self._tally.response_done()
        elif event.type == "raw_server_event" and event.data["type"] == "input_audio_buffer.committed":
            self._tally.audio_committed(event.data["item_id"])
        elif event.type in ("error", "exception"):
            self._tally.failed(event)

    async def _on_delta(self, delta: str | bytes) -> None:
        self._tally.heard(delta)
