"""The `openai` SDK, as its tests use it: a connection that remembers what it gave. Skips them where it is missing."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime_events.simulator import Simulator

from .conftest import pieces

openai = pytest.importorskip("openai", reason="the openai SDK is not installed; `nox -s interop` installs it")
websockets = pytest.importorskip("websockets", reason="the openai SDK needs websockets for the Realtime API")

MODEL = "gpt-realtime-2.1"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Seen:
    """One connection of the SDK, and every event that it has given."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def until(self, *names: str) -> Any:
        """Reads until there was a further event of each name, in any order; gives the last."""
        missing = set(names)
        while True:
            event = await self.connection.recv()
            self.events.append(event)
            assert event.type != "error", event
            missing.discard(event.type)
            if not missing:
                return event

    def all(self, name: str) -> list[Any]:
        """Gives the events of a name so far."""
        return [event for event in self.events if event.type == name]

    @property
    def types(self) -> list[str]:
        """Gives the names of the events, each run of the same name once."""
        names = [event.type for event in self.events]
        return [name for name, before in zip(names, [None, *names], strict=False) if name != before]

    async def ask(self, text: str, **response: Any) -> Any:
        """Sends a text, asks for a response and gives its `response.done`."""
        await self.connection.conversation.item.create(item=user(text))
        await self.connection.response.create(response=response)
        return (await self.until("response.done")).response

    async def speak(self, audio: bytes) -> None:
        """Sends audio as a microphone does."""
        for piece in pieces(audio):
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode())


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def client_of(sim: Simulator, key: str = "test-key") -> Any:
    return openai.AsyncOpenAI(api_key=key, base_url=f"{sim.http_url}/v1", max_retries=0)


@contextlib.asynccontextmanager
async def connect(sim: Simulator, *, key: str = "test-key", **options: Any) -> AsyncIterator[Seen]:
    """Connects the SDK and reads to `session.created`."""
    async with client_of(sim, key) as client, client.realtime.connect(**(options or {"model": MODEL})) as connection:
        seen = Seen(connection)
        await seen.until("session.created")
        yield seen
