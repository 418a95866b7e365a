"""The connection: a frame's walk through the rooms, both ways, on one socket.

Owns the order of the rooms: decode, State, lanes on the way in; State, encode, door on the way out; and how a
connection ends. Knows no command of a user's. Before it: the door, which gives it frames; after it: the lanes. The
session, which owns it, holds what outlives it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from .audio import AudioFormat, AudioLedger
from .audio.ring import Gap
from .dispatcher import Dispatcher
from .events import client, local, server, translation
from .events.base import ClientEvent, Event, MalformedEvent, UnknownEvent
from .exceptions import ConnectionLostError, TransportError, one_line
from .logs import logger
from .options import Options
from .outbox import Outbox, Place, Sending, place_of
from .protocol import codec, dialect
from .protocol.core import QUIET, SWALLOW, TABLE, Core
from .protocol.requests import server_error
from .streams import check_loop, fail, within

if TYPE_CHECKING:
    from .transport import Ending, Transport

log = logger("session")

WARNINGS_PER_SESSION = 100
READER_FAILED = 1011  # RFC 6455 section 7.4.1: an unexpected condition on this side
AUDIO = (client.InputAudioBufferAppend, translation.SessionInputAudioBufferAppend)
CREATED = (server.SessionCreated, translation.SessionCreated)


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
        on_end: Called once, when the connection has ended and State knows it; told how, and whether a response was cut.
        sending: How audio waits while the network is slower than it comes.
    """

    __slots__ = (
        "_clock",
        "_core",
        "_decode",
        "_dialect",
        "_dispatcher",
        "_interrupt_calls",
        "_kind",
        "_loop",
        "_on_end",
        "_outbox",
        "_output",
        "_reading",
        "_sending",
        "_start_call",
        "_transport",
        "_warned",
        "_was_said",
        "created",
        "ended",
        "received",
        "sent",
    )

    def __init__(  # noqa: PLR0913 - only the session makes connections; each argument is one room that a frame meets
        self,
        core: Core,
        dispatcher: Dispatcher,
        *,
        start_call: Callable[[local.ToolCall], None],
        interrupt_calls: Callable[[], None],
        speaks: dialect.Dialect,
        kind: codec.Kind,
        clock: Callable[[], float],
        on_end: Callable[[Ending, bool], None],
        sending: Sending,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self.created: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[Ending] = loop.create_future()
        self.received = self.sent = 0
        self._core = core
        self._output = core.output
        self._dispatcher = dispatcher
        self._start_call = start_call
        self._interrupt_calls = interrupt_calls
        self._dialect: dialect.Dialect = speaks
        self._kind: codec.Kind = kind
        self._clock = clock
        self._on_end = on_end
        self._transport: Transport | None = None
        self._reading: asyncio.Task[None] | None = None
        self._sending = sending
        self._outbox: Outbox | None = None
        self._was_said = True
        self._warned: set[str] = set()
        self._decode = self._decoder()

    # The way in and the way out.

    def open(self, transport: Transport) -> None:
        """Begin to read."""
        self._transport = transport
        self._outbox = Outbox(
            transport, clock=self._clock, on_gap=self._tell_gap, on_lag=self._tell_lag, sending=self._sending
        )
        self._reading = asyncio.get_running_loop().create_task(self._read(), name="realtime_events.session.read")

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, and return once everybody has been told that it has ended."""
        if self._transport is not None:
            await self._transport.close(code, reason)
        if self._reading is not None:
            await asyncio.wait({self._reading})
        elif not self.ended.done():
            # The connection was never made: nobody shall wait for it.
            self.ended.set_result(_ending(code, reason))
            self._on_end(self.ended.result(), False)

    def abort(self) -> None:
        """Drop the socket at once; that it has ended is told as ever."""
        if self._transport is not None:
            self._transport.abort()

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
        """The connection has ended: tell State, and whoever waits for an answer."""
        self.ended.set_result(ending)
        cause = self.lost()
        cut = self._core.cut(cause, self._clock())
        if not self.created.done():
            self.created.set_exception(cause)
            self.created.exception()  # Nobody may be waiting any more.
        self.carry_out()
        self._on_end(ending, cut)

    # Its life within a session: silent until it is whole, then in the place of the one before.

    def speak_to(self, dispatcher: Dispatcher) -> None:
        """Publish from now on to these lanes."""
        self._dispatcher = dispatcher

    def retire(self, silent: Dispatcher) -> None:
        """Make nothing any more of what still comes: another connection has taken the place of this one."""
        self._dispatcher = silent
        self._decode = _unheard

    def pause_audio(self) -> None:
        """Let audio wait for the connection that follows; whatever else waits is lost with this one."""
        if self._outbox is not None:
            self._outbox.pause()

    def end_audio(self) -> None:
        """Name all audio that was accepted and waits, since no connection follows."""
        if self._outbox is not None:
            self._outbox.end(self.lost())

    def take_over(self, before: Connection) -> None:
        """Say the last audio of the connection before again, if it lives, then send what waited there."""
        if self._outbox is not None and before._outbox is not None:
            ring, listened = before._outbox.ring, bool(before._core.turn_detection)
            before._confirm_audio()
            again, lost = ring.ledger.move(was_heard=listened)
            self._was_said = self._outbox.take_over(before._outbox, again)
            for gap in ring.named(lost, "the session was rotated before it was committed"):
                self._tell_gap(gap)

    # Inwards: decode, State, lanes. Nothing here awaits.

    def _on_frame(self, data: bytes) -> bool:
        try:
            event = self._decode(data)
        except codec.DECODE_ERRORS as error:
            event = self._recover(data, error)
        self.received += 1
        kind = type(event)
        dispatcher = self._dispatcher
        if dispatcher.tapped:
            dispatcher.publish(local.FrameReceived(data=data, event=event))
        apply = QUIET.get(kind)
        if apply is not None:
            if apply(self._output, event, self._clock) is not None:
                return False
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
        self._publish_before()
        if outcome is not SWALLOW:
            self._dispatcher.publish(event if outcome is None else outcome)
        if isinstance(event, CREATED) and not self.created.done():
            self.created.set_result(None)
        elif isinstance(event, server.ErrorEvent) and outcome is not SWALLOW:
            self._tell_error(event)
        if effects:
            self.carry_out()

    def _publish_before(self) -> None:
        """Take out what nobody shall hear any more, and publish what comes before everything else."""
        effects = self._core.effects
        if effects.purge:
            self._dispatcher.purge(effects.purge)
            effects.purge = set()
        self._publish_all(effects.before)

    def _tell_gap(self, gap: Gap) -> None:
        self._dispatcher.publish(_named(gap))

    def _tell_lag(self, age_s: float, waiting_ms: float) -> None:
        self._dispatcher.publish(local.AudioLagging(age_s=age_s, waiting_ms=waiting_ms))

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
        self._publish_before()
        self._publish_all(effects.after)
        settled, effects.settled = effects.settled, []
        for future, outcome in settled:
            _settle(future, outcome)
        if effects.audio_settled_until and self._outbox is not None:
            self._outbox.ring.ledger.confirm_until(effects.audio_settled_until)
            effects.audio_settled_until = 0
        sends, effects.send = effects.send, []
        for event in sends:
            self._core.sent(event, self._clock(), audio_until=self._accepted_bytes)
            self._post(event)
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
            # Not what stands in it: it may be audio, or a secret.
            log.warning("a frame of %d bytes is no event: %s", len(data), event.reason)
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
        outbox = self._open_outbox()
        if isinstance(stamped, AUDIO):
            await outbox.send_audio(frame, len(stamped.audio))
        else:
            self._core.sent(stamped, self._clock(), audio_until=self._accepted_bytes)
            await outbox.send(frame, place_of(stamped))
        return stamped

    @property
    def waiting_bytes(self) -> int:
        """How much accepted audio has not been sent yet."""
        return self._outbox.ring.queued_bytes if self._outbox is not None else 0

    @property
    def audio_ledger(self) -> AudioLedger:
        """What became of the user's audio so far."""
        self._confirm_audio()
        return self._outbox.ring.books() if self._outbox is not None else AudioLedger()

    @property
    def uncommitted_ms(self) -> float:
        """The same in milliseconds."""
        return self._outbox.ring.format.duration_ms(self.uncommitted_bytes) if self._outbox is not None else 0.0

    @property
    def uncommitted_bytes(self) -> int:
        """How much audio was sent, and waits for an event of the server that covers it."""
        return self.audio_ledger.open_bytes

    @property
    def _accepted_bytes(self) -> int:
        return self._outbox.ring.accepted_bytes if self._outbox is not None else 0

    def audio_is(self, format: AudioFormat, *, keep_ms: float) -> None:
        """Take note of the format of the audio that will be sent, and how much of it to keep for saying it again."""
        if self._outbox is not None:
            self._outbox.ring.ledger.keep_bytes = format.n_bytes(keep_ms)
            if not self._outbox.ring:
                self._outbox.ring.format = format

    async def send_audio(self, event: client.InputAudioBufferAppend) -> None:
        """Send audio, which nobody answers; it is accepted when this returns."""
        outbox = self._outbox
        if outbox is None:
            raise self.lost()
        check_loop(self._loop)
        self.sent += 1
        await outbox.send_audio(self._encode(event), len(event.audio))

    async def request(self, event: ClientEvent, timeout: float | None) -> Any:
        """Send an event and wait for the server's acknowledgement, or for its refusal."""
        stamped = self._core.stamp(event)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        frame = self._encode(stamped)
        outbox = self._open_outbox()
        self._core.sent(stamped, self._clock(), future, audio_until=self._accepted_bytes)
        try:
            async with within(timeout, f"the server did not answer {event.type}"):
                await outbox.send(frame, place_of(stamped))
                return await future
        finally:
            self._core.abandon(stamped)

    async def answers(self, events: Iterable[ClientEvent], timeout: float | None) -> None:
        """Wait until the server has confirmed events that have been sent, or has refused them, which is an answer.

        Once the connection has ended, nobody is there to confirm anything.
        """
        if self.ended.done():
            return
        futures = list(filter(None, (self._answer_to(event) for event in events)))
        if futures:
            async with within(timeout, "the server did not confirm the interruption"):
                await asyncio.wait(futures)

    def _answer_to(self, event: ClientEvent) -> asyncio.Future[Any] | None:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        return future if self._core.await_answer(event, future) else None

    async def write(self, data: bytes) -> None:
        """Send one frame as it is."""
        await self._open_outbox().send(data, Place.IN_LINE)  # It may be audio, or a commit.

    def audio_in_doubt(self) -> list[local.AudioGap]:
        """Give the audio that was written here and that no event of the server has covered, now that it is lost."""
        if self._outbox is None:
            return []
        ring = self._outbox.ring
        self._confirm_audio()
        on_wire = self.ended.result().unacknowledged_bytes if self.ended.done() else None
        # Base64: on the wire, three bytes of audio are four at least.
        most_bytes = on_wire * 3 // 4 if on_wire is not None and self._was_said else None
        delivered, unknown = ring.ledger.lose(most_bytes)
        reason = "the connection was lost"
        return [
            *(_named(gap, delivered=True) for gap in ring.named(delivered, reason)),
            *(_named(gap, unknown=True) for gap in ring.named(unknown, reason)),
        ]

    def _confirm_audio(self) -> None:
        """Settle what the server has heard speech in: `audio_start_ms` counts all audio written in its session."""
        if self._outbox is not None:
            ring = self._outbox.ring
            ring.ledger.confirm_first(int(self._core.heard_until_ms * ring.format.bytes_per_ms))

    def _open_outbox(self) -> Outbox:
        check_loop(self._loop)
        self.sent += 1
        if self._outbox is None or self.ended.done():
            raise self.lost()
        return self._outbox

    def _post(self, event: ClientEvent) -> None:
        """Send from where nothing may be awaited; frames keep their order."""
        frame = self._encode(event)
        try:
            self._open_outbox().post(frame, place_of(event))
        except TransportError:
            # The reader tells how the connection ended; what was to be sent is in State's books.
            if isinstance(event, client.ConversationItemCreate):
                self._core.exchange.not_written(event.item.id or "")

    def _encode(self, event: ClientEvent) -> bytes:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("→ %s %r", event.type, event)
        return codec.encode(event, dialect=self._dialect)


def _unheard(data: bytes) -> Event:
    return UnknownEvent(type="", raw=data)


def _logged(decode: Callable[[bytes], Event]) -> Callable[[bytes], Event]:
    """Log every event that is decoded."""

    def logged(data: bytes) -> Event:
        event = decode(data)
        log.debug("← %s %r", event.type, event)
        return event

    return logged


def _named(gap: Gap, *, unknown: bool = False, delivered: bool = False) -> local.AudioGap:
    return local.AudioGap(
        start_ms=gap.start_ms,
        length_ms=gap.length_ms,
        bytes=gap.length_bytes,
        reason=gap.reason,
        unknown=unknown,
        delivered=delivered,
    )


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
