"""The connection: a frame's walk through the rooms, both ways, on one socket.

Owns the order of the rooms: decode, State, lanes on the way in; State, encode, door on the way out; and how a
connection ends. Knows no command of a user's. Before it: the door, which gives it frames; after it: the lanes. The
session, which owns it, holds what outlives it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .dispatcher import Dispatcher
from .events import local, server
from .events.base import ClientEvent, Event, MalformedEvent, UnknownEvent
from .exceptions import ConnectionLostError, RealtimeError, one_line
from .options import Options
from .protocol import codec, dialect
from .protocol.core import QUIET, SWALLOW, TABLE, Core
from .protocol.requests import server_error
from .streams import fail, within

if TYPE_CHECKING:
    from .transport import Ending, Transport

log = logging.getLogger("realtime_events.session")

WARNINGS_PER_SESSION = 100
READER_FAILED = 1011  # RFC 6455 section 7.4.1: an unexpected condition on this side


class Dial(Protocol):
    """How a session gets its door; `transport.dial` by default, a memory pipe in tests."""

    async def __call__(self, url: str, headers: dict[str, str], options: Options) -> Transport:
        """Open the connection."""
        ...


class Connection:
    """One socket with everything that a frame meets on its way.

    Args:
        core: State.
        dispatcher: The lanes.
        start_call: Runs a tool call.
        interrupt_calls: Called when the user begins to speak, for the tool calls that shall stop then.
        speaks: The dialect of the server.
        kind: The kind of session.
        clock: Gives seconds.
        on_end: Called once, after everybody has been told that the connection has ended.
    """

    __slots__ = (
        "_clock",
        "_core",
        "_decode",
        "_dialect",
        "_dispatcher",
        "_interrupt_calls",
        "_kind",
        "_on_end",
        "_outbox",
        "_reading",
        "_sending",
        "_start_call",
        "_transport",
        "_warned",
        "created",
        "ended",
    )

    def __init__(
        self,
        core: Core,
        dispatcher: Dispatcher,
        *,
        start_call: Callable[[local.ToolCall], None],
        interrupt_calls: Callable[[], None],
        speaks: dialect.Dialect,
        kind: codec.Kind,
        clock: Callable[[], float],
        on_end: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.created: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[Ending] = loop.create_future()
        self._core = core
        self._dispatcher = dispatcher
        self._start_call = start_call
        self._interrupt_calls = interrupt_calls
        self._dialect: dialect.Dialect = speaks
        self._kind: codec.Kind = kind
        self._clock = clock
        self._on_end = on_end
        self._transport: Transport | None = None
        self._reading: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._outbox: list[bytes] = []
        self._warned: set[str] = set()
        self._decode = self._decoder()

    # The way in and the way out.

    def open(self, transport: Transport) -> None:
        """Begin to read."""
        self._transport = transport
        self._reading = asyncio.get_running_loop().create_task(self._read(), name="realtime_events.session.read")

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, and return once everybody has been told that it has ended."""
        if self._transport is not None:
            await self._transport.close(code, reason)
        if self._reading is not None:
            await asyncio.wait({self._reading, self._sending or self._reading})
        elif not self.ended.done():
            # The connection was never made: there is nobody to tell, but nobody shall wait for it either.
            self.ended.set_result(_ending(code, reason))
            self._dispatcher.end_waits(self.lost())

    def lost(self) -> Exception:
        """Give the error for whoever wants something of a connection that has ended."""
        if not self.ended.done():
            return ConnectionLostError(1006, "the session is not open", initiator="client")
        ending = self.ended.result()
        return ending.error or ConnectionLostError(ending.code, ending.reason, initiator=ending.initiator)

    async def _read(self) -> None:
        assert self._transport is not None
        try:
            ending = await self._transport.run(self._on_frame)
        except Exception as error:
            log.exception("the reader failed; the session ends")
            self._transport.abort()
            ending = _ending(READER_FAILED, f"{type(error).__name__} in the reader")
        self._finish(ending)

    def _finish(self, ending: Ending) -> None:
        """The connection has ended for good: tell State, every handler, every stream and every wait."""
        self.ended.set_result(ending)
        cause = self.lost()
        cut = self._core.cut(cause, self._clock())
        if not self.created.done():
            self.created.set_exception(cause)
            self.created.exception()  # Nobody may be waiting any more.
        self.carry_out()
        self._dispatcher.publish(
            local.ConnectionClosed(code=ending.code, reason=ending.reason, initiator=ending.initiator, response_cut=cut)
        )
        self._dispatcher.end_waits(cause)
        session_id = self._core.session_id
        log.info("session %s ended: code %s by the %s, %s", session_id, ending.code, ending.initiator, ending.reason)
        self._on_end()

    # Inwards: decode, State, lanes. Nothing here awaits.

    def _on_frame(self, data: bytes) -> bool:
        try:
            event = self._decode(data)
        except codec.DECODE_ERRORS as error:
            event = self._recover(data, error)
        kind = type(event)
        dispatcher = self._dispatcher
        if dispatcher.tapped:
            dispatcher.publish(local.FrameReceived(data=data, event=event))
        apply = QUIET.get(kind)
        if apply is not None:
            apply(self._core, event, self._clock)
        elif kind in TABLE:
            self._apply(event)
            return self._yields()
        puts = dispatcher.table.get(kind)
        if puts is None:
            puts = dispatcher.resolve(kind)
        for put in puts:
            put(event)
        return self._yields() if dispatcher.pressure else False

    def _yields(self) -> bool:
        crowded, self._dispatcher.pressure = self._dispatcher.pressure, False
        return crowded

    def _apply(self, event: Event) -> None:
        """Give an event to State, then publish it among the local events that it causes."""
        outcome = TABLE[type(event)](self._core, event, self._clock())
        effects = self._core.effects
        if effects.before:
            self._publish_all(effects.before)
        if outcome is not SWALLOW:
            self._dispatcher.publish(event if outcome is None else outcome)
        if isinstance(event, server.SessionCreated) and not self.created.done():
            self.created.set_result(None)
        elif isinstance(event, server.ErrorEvent):
            self._tell_error(event)
        if effects:
            self.carry_out()

    def _publish_all(self, events: list[Event]) -> None:
        publish = self._dispatcher.publish
        waiting, events[:] = events[:], []
        for event in waiting:
            if isinstance(event, local.ToolLoopStopped):
                log.error("the model called tools in %d responses of one turn; it is stopped", event.rounds)
            publish(event)

    def carry_out(self) -> None:
        """Do what State asks for: publish, settle, send, start tools."""
        effects = self._core.effects
        self._publish_all(effects.after)
        settled, effects.settled = effects.settled, []
        for future, outcome in settled:
            _settle(future, outcome)
        sends, effects.send = effects.send, []
        for event in sends:
            self._core.sent(event, self._clock())
            self._post(self._encode(event))
        calls, effects.start = effects.start, []
        for call in calls:
            self._start_call(call)
        if effects.interrupted:
            effects.interrupted = False
            self._interrupt_calls()

    def _tell_error(self, event: server.ErrorEvent) -> None:
        """Log the API's error where nobody listens and nobody waits for it; it closes nothing."""
        awaited = bool(self._core.effects.settled)
        if not self.created.done():
            self.created.set_exception(server_error(event))
        elif not awaited and not self._dispatcher.has_listener(server.ErrorEvent):
            log.error("the server reports %s", server_error(event))

    def _decoder(self) -> Callable[[bytes], Event]:
        """Give the quickest way from a frame to a canonical event."""
        wire = codec.decoder(dialect=self._dialect, side="server", kind=self._kind).decode
        decode: Callable[[bytes], Event] = wire
        if self._dialect == "beta":
            decode = lambda data: dialect.to_ga(wire(data))  # noqa: E731
        return _logged(decode) if log.isEnabledFor(logging.DEBUG) else decode

    def _recover(self, data: bytes, error: Exception) -> Event:
        """Name a frame that is no known event; each type is warned of once in a session."""
        event = codec.recover(data, error, dialect=self._dialect, side="server", kind=self._kind)
        if isinstance(event, UnknownEvent) and self._is_news(event.type):
            log.warning("unknown event %r; it is published as event.unknown", one_line(event.type, limit=100))
        elif isinstance(event, MalformedEvent) and self._is_news(event.reason):
            start = one_line(data[:200].decode("utf-8", "backslashreplace"), limit=200)
            log.warning("a frame is no event (%s); it starts %s", event.reason, start)
        return event

    def _is_news(self, what: str) -> bool:
        if what in self._warned or len(self._warned) >= WARNINGS_PER_SESSION:
            return False
        self._warned.add(what)
        return True

    # Outwards: State, encode, door.

    async def send(self, event: ClientEvent) -> ClientEvent:
        """Send an event, and give it as it went out."""
        stamped = self._core.stamp(event)
        frame = self._encode(stamped)  # First: what cannot be said has not been sent.
        self._core.sent(stamped, self._clock())
        await self.write(frame)
        return stamped

    async def request(self, event: ClientEvent, timeout: float | None) -> Any:
        """Send an event and wait for the server's acknowledgement, or for its refusal."""
        stamped = self._core.stamp(event)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        frame = self._encode(stamped)
        self._core.sent(stamped, self._clock(), future)
        try:
            await self.write(frame)
            async with within(timeout, f"the server did not answer {event.type}"):
                return await future
        finally:
            self._core.abandon(stamped)

    async def write(self, data: bytes) -> None:
        """Send one frame as it is."""
        if self._transport is None or self.ended.done():
            raise self.lost()
        await self._transport.send(data)

    def _post(self, data: bytes) -> None:
        """Send from where nothing may be awaited; frames keep their order."""
        self._outbox.append(data)
        if self._sending is None or self._sending.done():
            loop = asyncio.get_running_loop()
            self._sending = loop.create_task(self._flush(), name="realtime_events.session.send")

    async def _flush(self) -> None:
        while self._outbox:
            frames, self._outbox = self._outbox, []
            for frame in frames:
                try:
                    await self.write(frame)
                except RealtimeError:
                    return  # The reader tells how the connection ended.

    def _encode(self, event: ClientEvent) -> bytes:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("→ %s %r", event.type, event)
        return codec.encode(event, dialect=self._dialect)


def _logged(decode: Callable[[bytes], Event]) -> Callable[[bytes], Event]:
    """Log every event that is decoded."""

    def logged(data: bytes) -> Event:
        event = decode(data)
        log.debug("← %s %r", event.type, event)
        return event

    return logged


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        fail(future, outcome)
    else:
        future.set_result(outcome)


def _ending(code: int, reason: str) -> Ending:
    from .transport import Ending

    return Ending(code, reason, "client")
