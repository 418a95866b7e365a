"""The relay: a browser's WebSocket on one side, a session of the application on the other.

Owns which events pass, in either direction. A page may speak, write and interrupt, and it is given speech, text and the
turns; instructions, tools, their arguments and outputs stay here. Knows no HTTP. Before it: `routes.py`, which let the
browser in; after it: the session, whose handlers and tools run as in any other.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from ..events import client, server
from ..events.base import UNSET, Event, MalformedEvent
from ..events.items import Item
from ..events.response import Response
from ..exceptions import AudioFormatError, ConnectionLostError, LocalProtocolError, one_line
from ..protocol import decode, encode
from ..session import Session

SHOWN = (
    "error",
    "input_audio_buffer.*",
    "conversation.item.input_audio_transcription.*",
    "conversation.item.truncated",
    "response.created",
    "response.done",
    "response.output_text.*",
    "response.output_audio.*",
    "response.output_audio_transcript.*",
)
PARTS_OF_A_USER = ("input_text", "input_audio")
AS_THEY_ARE = (client.InputAudioBufferCommit, client.InputAudioBufferClear, client.ResponseCancel)


class NotAllowed(Exception):
    """A browser said what it may not; it is told so and nothing is sent on."""


class Relay:
    """Moves events between one browser and one session until either leaves."""

    def __init__(self, socket: web.WebSocketResponse, session: Session) -> None:
        self._socket = socket
        self._session = session

    async def run(self) -> None:
        """Serve until the browser leaves or the session ends; both are closed then."""
        down = asyncio.create_task(self._down(), name="realtime_events.browsers.relay")
        try:
            await self._up()
        finally:
            down.cancel()
            await asyncio.gather(down, return_exceptions=True)
            await self._session.close()

    async def close(self, code: int = WSCloseCode.GOING_AWAY, reason: str = "the server is going away") -> None:
        """Send the browser away; `run` ends by it."""
        await self._socket.close(code=code, message=reason.encode()[:123])

    async def _up(self) -> None:
        async for message in self._socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            event = decode(message.data, side="client")
            try:
                await pass_on(self._session, event)
            except (NotAllowed, AudioFormatError, LocalProtocolError, TimeoutError) as refusal:
                await self._socket.send_str(encode(refused(event, str(refusal))).decode())
            except ConnectionLostError:
                return

    async def _down(self) -> None:
        async with self._session.stream(*SHOWN) as stream:
            async for event in stream:
                # Fails where the browser has left in this moment; `_up` sees it, too.
                with contextlib.suppress(ConnectionError):
                    await self._socket.send_str(encode(as_shown(event)).decode())
        await self.close(WSCloseCode.OK, "the session has ended")


async def pass_on(session: Session, event: Event) -> None:
    """Do in the session what a browser asks for.

    Raises:
        NotAllowed: A browser may not ask for that.
        AudioFormatError: What should be audio is none.
        ConnectionLostError: The session is over.
    """
    if isinstance(event, client.InputAudioBufferAppend):
        await session.send_audio(event.audio)
    elif isinstance(event, client.ConversationItemCreate):
        await session.send(client.ConversationItemCreate(item=_of_a_user(event)))
    elif isinstance(event, client.ResponseCreate):
        if event.response and event.response != type(event.response)():
            raise NotAllowed(
                "what a response is like is decided by the server: send response.create without `response`"
            )
        await session.send(client.ResponseCreate())
    elif isinstance(event, AS_THEY_ARE):
        await session.send(msgspec.structs.replace(event, event_id=UNSET))
    elif isinstance(event, MalformedEvent):
        raise NotAllowed(event.reason)
    else:
        raise NotAllowed(f"{one_line(event.type, limit=80)} is not for browsers")


def as_shown(event: Any) -> Event:
    """Give what a browser sees of an event: of a response only its id and how it ended."""
    if isinstance(event, server.ResponseCreated | server.ResponseDone):
        short = Response(id=event.response.id, status=event.response.status)
        return msgspec.structs.replace(event, response=short)
    shown: Event = event
    return shown


def refused(event: Event, why: str) -> server.ErrorEvent:
    """Make the error that tells a browser what it may not."""
    event_id = getattr(event, "event_id", UNSET)
    details = server.ErrorDetails(type="invalid_request_error", code="not_allowed", message=why, event_id=event_id)
    return server.ErrorEvent(error=details)


def _of_a_user(event: client.ConversationItemCreate) -> Item:
    """Give what a user says or writes, and nothing else of the item."""
    item = event.item
    parts = item.content or []
    if item.type != "message" or item.role != "user" or any(part.type not in PARTS_OF_A_USER for part in parts):
        raise NotAllowed("a browser may add what its user says and writes, and nothing else")
    return Item(type="message", role="user", content=parts)
