"""One connection, looked at frame by frame.

Owns what an experiment sees and says: every frame as it came, with none of what a session makes of it, since that is
what is asked about. Before it: the experiments; after it: the door and the codec.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from ...endpoint import Endpoint
from ...events.base import UNSET, ClientEvent, Event
from ...events.client import ConversationItemCreate, ConversationItemDelete, ConversationItemRetrieve
from ...events.items import Item
from ...events.server import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemRetrieved,
    ErrorEvent,
    SessionCreated,
)
from ...exceptions import ConnectionLostError, HandshakeError, RestError
from ...protocol import codec
from ...protocol.requests import server_error
from ...transport import Ending, WebSocketTransport, dial

ANSWER_S = 10.0
NO_CODE = "an error without a code"

Fits = Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame that came in: the event, and its bytes."""

    event: Event
    data: bytes


class Line:
    """One open connection, and all that came in on it."""

    def __init__(self, transport: WebSocketTransport) -> None:
        self.seen: list[Seen] = []
        self.ending: Ending | None = None
        self._transport = transport
        self._news = asyncio.Event()

    async def read(self) -> None:
        """Take in what comes, until the connection has ended."""
        self.ending = await self._transport.run(self._take)
        self._news.set()

    def _take(self, data: bytes) -> bool:
        self.seen.append(Seen(codec.decode(data), data))
        self._news.set()
        return False

    async def until(self, fits: Fits, *, since: int = 0, timeout: float | None = None) -> Event | None:
        """Give the first event that fits, of those from `since` on; None if none comes in time.

        Raises:
            ConnectionLostError: The connection has ended, and none came before.
        """
        place, limit_s = since, ANSWER_S if timeout is None else timeout
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    while place < len(self.seen):
                        place += 1
                        if fits(self.seen[place - 1].event):
                            return self.seen[place - 1].event
                    if self.ending is not None:
                        raise ConnectionLostError(self.ending.code, self.ending.reason, initiator=self.ending.initiator)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None

    async def ended(self, timeout: float) -> Ending | None:
        """Give how the connection ended; None if it stays for as long as this."""
        try:
            await self.until(lambda _: False, since=len(self.seen), timeout=timeout)
        except ConnectionLostError:
            pass
        return self.ending

    async def created(self) -> SessionCreated:
        """Give the event that tells of the session.

        Raises:
            TimeoutError: There is none in time.
            ServerError: There is an error instead.
            ConnectionLostError: The connection has ended before.
        """
        event = await self.until(lambda event: isinstance(event, SessionCreated | ErrorEvent))
        if isinstance(event, ErrorEvent):
            raise server_error(event)
        if not isinstance(event, SessionCreated):
            raise TimeoutError(f"the server sent no session.created within {ANSWER_S:g} s")
        return event

    async def say(self, event: ClientEvent) -> str:
        """Send an event, and give the id that it went out under."""
        event_id = new_id("event")
        await self._transport.send(codec.encode(msgspec.structs.replace(event, event_id=event_id)))
        return event_id

    async def reply(self, event: ClientEvent, fits: Fits, *, timeout: float | None = None) -> Reply:
        """Send an event, and give what answers it: an event that fits, or an error that may be about it."""
        since = len(self.seen)
        event_id = await self.say(event)

        def answers(event: Event) -> bool:
            return fits(event) or (
                isinstance(event, ErrorEvent) and event.error.event_id in (event_id, None, UNSET, "")
            )

        return Reply(event_id, await self.until(answers, since=since, timeout=timeout))

    async def create(self, item: Item) -> Reply:
        """Put an item into the conversation, with its own id, and give what answers that."""
        return await self.reply(ConversationItemCreate(item=item), tells_of(str(item.id)))

    async def retrieve(self, item_id: str) -> Reply:
        """Ask for an item; all that came before the answer was sent before."""
        return await self.reply(
            ConversationItemRetrieve(item_id=item_id),
            lambda event: isinstance(event, ConversationItemRetrieved) and event.item.id == item_id,
        )

    async def delete(self, item_id: str) -> None:
        """Take an item out again, without waiting for an answer."""
        await self.say(ConversationItemDelete(item_id=item_id))


@dataclass(frozen=True, slots=True)
class Reply:
    """What answered an event: an event, an error, or nothing in time."""

    event_id: str
    event: Event | None

    @property
    def error(self) -> ErrorEvent | None:
        """The error, where it is one."""
        return self.event if isinstance(self.event, ErrorEvent) else None

    @property
    def told(self) -> str:
        """The answer as one word: the code of an error, or the name of the event."""
        if self.event is None:
            return "no answer"
        return code_of(self.event) if isinstance(self.event, ErrorEvent) else self.event.type


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where the questions are asked, and how far they may go.

    Attributes:
        endpoint: The server, and as whom.
        model: The model of new sessions.
        call_id: A call that runs; None if there is none.
        may_hang_up: Whether the call may be ended.
        may_wait: Whether a session may be kept until it reaches its limit.
        note: Tells the person what goes on.
    """

    endpoint: Endpoint
    model: str
    note: Callable[[str], None]
    call_id: str | None = None
    may_hang_up: bool = False
    may_wait: bool = False

    @asynccontextmanager
    async def session(self, endpoint: Endpoint | None = None) -> AsyncGenerator[Line]:
        """Open a session of its own, and close it at the end of the block."""
        async with _opened(endpoint or self.endpoint, model=self.model) as line:
            yield line

    @asynccontextmanager
    async def sideband(self) -> AsyncGenerator[Line]:
        """Join the call, and leave it at the end of the block."""
        async with _opened(self.endpoint, call_id=self.call_id) as line:
            yield line


@asynccontextmanager
async def _opened(endpoint: Endpoint, *, model: str | None = None, call_id: str | None = None) -> AsyncGenerator[Line]:
    headers = await endpoint.handshake_headers()
    transport = await dial(endpoint.connect_url(model=model, call_id=call_id), headers)
    line = Line(transport)
    reading = asyncio.create_task(line.read(), name="realtime_events.cli.probe.read")
    try:
        yield line
    finally:
        await transport.close()
        await reading


def tells_of(item_id: str | None) -> Fits:
    """Give what fits the events by which a new item of an id is told; without an id, any item."""

    def fits(event: Event) -> bool:
        if not isinstance(event, ConversationItemAdded | ConversationItemCreated):
            return False
        return item_id is None or event.item.id == item_id

    return fits


def new_id(prefix: str) -> str:
    """Give a fresh id, as short as the service takes it."""
    return f"{prefix}_{secrets.token_hex(8)}"


def code_of(event: ErrorEvent) -> str:
    """Give the code of an error, or its type."""
    return event.error.code or event.error.type or NO_CODE


def in_short(error: Exception) -> str:
    """Say in a few words what went wrong, with nothing that the server wrote: it may name the organisation."""
    if isinstance(error, HandshakeError):
        return f"the handshake was refused with HTTP {error.status}"
    if isinstance(error, RestError):
        return f"the request was refused with HTTP {error.status}" if error.status else "the request got no answer"
    if isinstance(error, ConnectionLostError):
        return f"the connection was closed by the {error.initiator} with code {error.code}"
    return "the server did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
