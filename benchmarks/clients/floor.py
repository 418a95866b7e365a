"""The floor: aiohttp's WebSocket client, one decode into a tagged union, a dict look-up and one awaited handler.

The union is the one that `realtime_events` decodes with; everything a framework adds is missing here on purpose.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Union

import aiohttp
import msgspec

from benchmarks.clients import Live, Tally, no_op
from realtime_events.events.client import ConversationItemCreate, InputAudioBufferAppend
from realtime_events.events.items import Item
from realtime_events.events.server import SERVER_EVENTS

RESPOND = '{"type":"response.create"}'
Handler = Callable[[Any, Any], Awaitable[None]]


class Client:
    """One `ClientSession`, and a reader task for each WebSocket."""

    def __init__(self, url: str, tally: Tally) -> None:
        self._url = url
        self._tally = tally
        self._decode = msgspec.json.Decoder(Union[SERVER_EVENTS]).decode  # noqa: UP007 - a union made from a tuple
        handlers = {
            tally.delta_name: self._on_delta,
            "response.function_call_arguments.done": self._on_call,
            "response.done": self._on_done,
            "input_audio_buffer.committed": self._on_committed,
        }
        self._encode = msgspec.json.Encoder().encode
        self._answered = False
        self._handlers: dict[type, Handler] = {
            event: handlers[name] for event in SERVER_EVENTS if (name := event.__struct_config__.tag) in handlers
        }

    async def __aenter__(self) -> Client:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Live]:
        """Connects one WebSocket."""
        url = f"{self._url}?model=bench"
        async with self._http.ws_connect(url, decode_text=False, max_msg_size=1 << 26) as socket:
            reading = asyncio.create_task(self._read(socket))

            async def respond() -> None:
                await socket.send_str(RESPOND)
                await self._tally.settled()

            async def append(pcm: bytes) -> None:
                await socket.send_frame(self._encode(InputAudioBufferAppend(audio=pcm)), aiohttp.WSMsgType.TEXT)

            async def commit() -> None:
                await socket.send_str('{"type":"input_audio_buffer.commit"}')
                await self._tally.committed

            yield Live(respond, append, commit)
            await socket.close()
            await reading

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            event = self._decode(message.data)
            handler = self._handlers.get(type(event))
            if handler is not None:
                await handler(event, socket)

    async def _on_delta(self, event: Any, socket: Any) -> None:
        self._tally.heard(event.delta)

    async def _on_done(self, event: Any, socket: Any) -> None:
        if self._answered:
            self._answered = False
            await socket.send_str(RESPOND)
        self._tally.response_done()

    async def _on_call(self, event: Any, socket: Any) -> None:
        item = Item(type="function_call_output", call_id=event.call_id, output=await no_op())
        await socket.send_frame(self._encode(ConversationItemCreate(item=item)), aiohttp.WSMsgType.TEXT)
        self._answered = True

    async def _on_committed(self, event: Any, socket: Any) -> None:
        self._tally.audio_committed(event.item_id)
