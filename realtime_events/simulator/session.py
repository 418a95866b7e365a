"""One simulated session: client frames and time in, server frames and due times out.

Owns what each client event does, and what is said when it may not. Knows no socket, no clock and no randomness: the
time comes with each call, and the same calls give the same frames. Before it: `connection.py`, or a test with a clock
of its own; after it: the rooms that it hands each event to.

    session.receive(frame, now)      # a frame of the client; never raises
    for frame in session.poll(now):  # everything due by now
        ...
    session.next_due()               # when to poll again; None: after the next `receive`
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ..events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from ..events.base import Event, MalformedEvent, UnknownEvent
from ..events.items import Item
from ..events.response import ResponseCreateParams
from ..events.server import (
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    ErrorDetails,
    ErrorEvent,
    SessionCreated,
    SessionUpdated,
)
from ..events.session import SessionConfig
from ..protocol import Dialect, decode, encode, to_beta, to_ga
from .answering import Answering
from .config import DEFAULT_MODEL, Kind, initial, input_of, updated, wire_format
from .conversation import Entry, sent_audio, shown, with_audio
from .errors import Refusal, first_unknown, from_validation, invalid_value, missing, unknown
from .hearing import Hearing
from .listening import Listening
from .log import EventLog
from .stage import Organs, Stage
from .validation import check_item, check_response, check_session

log = logging.getLogger("realtime_events.simulator")

FRAMES_PER_POLL = 256
LIFETIME_S = 3_600.0
GOING_AWAY = 1001
TRANSCRIPTION_EVENTS = frozenset(
    {SessionUpdate, InputAudioBufferAppend, InputAudioBufferCommit, InputAudioBufferClear, ConversationItemRetrieve}
    | {ConversationItemDelete}
)


@dataclass(frozen=True, kw_only=True)
class SessionSetup:
    """What is decided before a session begins.

    Attributes:
        number: Which session of its server it is; part of every id.
        kind: `realtime` or `transcription`.
        model: The model it pretends to be.
        dialect: The spelling that it speaks.
        config: What a client secret or a call asks for, over the defaults.
        unix_s: Its beginning in seconds since 1970, for `expires_at`.
        lifetime_s: After how long it expires.
    """

    number: int = 1
    kind: Kind = "realtime"
    model: str = DEFAULT_MODEL
    dialect: Dialect = "ga"
    config: SessionConfig | None = None
    unix_s: float = 0.0
    lifetime_s: float = LIFETIME_S


class SimulatedSession:
    """A realtime or transcription session, sans-I/O.

    Args:
        organs: What it thinks, speaks and hears with.
        setup: What is decided before it begins.
        now: The time of its beginning, on the clock of all later calls.
    """

    def __init__(self, organs: Organs, setup: SessionSetup | None = None, *, now: float = 0.0) -> None:
        setup = setup or SessionSetup()
        self.kind: Kind = setup.kind
        self.dialect: Dialect = setup.dialect
        self.received = EventLog("received")
        self.sent = EventLog("sent")
        self.closing: tuple[int, str] | None = None
        self.is_over = False
        self._lifetime_s = setup.lifetime_s
        self._stage = Stage(setup.number, initial(setup.kind, model=setup.model), organs)
        self.id = self._stage.ids("sess")
        self._describe(setup.config, int(setup.unix_s + setup.lifetime_s))
        self._build()
        self._stage.send(SessionCreated(session=self._stage.config))
        self._stage.timeline.at(now + setup.lifetime_s, lambda _: self._expire())

    @property
    def config(self) -> SessionConfig:
        """The effective configuration."""
        return self._stage.config

    @property
    def items(self) -> list[Item]:
        """The items of the conversation, in order."""
        return [entry.item for entry in self._stage.conversation]

    def receive(self, data: bytes, now: float) -> None:
        """Take one frame of the client. Whatever it holds, the answer is an event; nothing is raised."""
        if self.closing is not None or self.is_over:
            return
        try:
            event = self._decode(data)
            self.received.add(event)
            self._handle(event, data, now)
        except Refusal as refusal:
            self._refuse(refusal, data)
        except Exception:
            log.exception("the simulator failed at a client event")
            text = "The server had an error while processing your request."
            self._refuse(Refusal(text, code="server_error", type="server_error"), data)

    def poll(self, now: float) -> list[bytes]:
        """Give the frames that are due, at most a few hundred at a time."""
        frames: list[bytes] = []
        outbox, timeline = self._stage.outbox, self._stage.timeline
        while len(frames) < FRAMES_PER_POLL and (outbox or self._advance(now)):
            while outbox:
                frames += self._encode(outbox.popleft())
        if self.closing is not None and not outbox:
            timeline.clear()
        return frames

    def next_due(self) -> float | None:
        """Give the time of the next frames: a time that is past where there are some now, None if none are planned."""
        return float("-inf") if self._stage.outbox else self._stage.timeline.next_due()

    def unsent(self) -> int:
        """Count the events that wait for `poll`."""
        return len(self._stage.outbox)

    def end(self, now: float) -> None:
        """Say that the connection is over; nothing is planned any more."""
        self.is_over = True
        self._stage.timeline.clear()

    def _advance(self, now: float) -> bool:
        return self.closing is None and self._stage.timeline.step(now)

    def _describe(self, config: SessionConfig | None, expires_at: int) -> None:
        stage = self._stage
        if config is not None:
            stage.config = updated(stage.config, config)
        stage.config = msgspec.structs.replace(stage.config, id=self.id, expires_at=expires_at)

    def _build(self) -> None:
        stage = self._stage
        self._hearing = Hearing(stage, on_heard=lambda now: self._answering.heard(now))
        self._answering = Answering(stage, hear=self._hearing.hear)
        answering = self._answering if self.kind == "realtime" else None
        self._listening = Listening(stage, self._hearing, answering)
        self._answering.on_over = self._listening.response_over
        self._handlers: dict[type[Event], Callable[[Any, float], None]] = {
            SessionUpdate: self._update,
            InputAudioBufferAppend: lambda event, now: self._listening.append(event.audio, now),
            InputAudioBufferCommit: lambda event, now: self._listening.commit(now),
            InputAudioBufferClear: lambda event, now: self._listening.clear(),
            OutputAudioBufferClear: self._clear_output,
            ConversationItemCreate: self._create_item,
            ConversationItemRetrieve: self._retrieve_item,
            ConversationItemTruncate: self._truncate_item,
            ConversationItemDelete: self._delete_item,
            ResponseCreate: self._create_response,
            ResponseCancel: lambda event, now: self._answering.cancel(event.response_id or None, now),
        }
        if self.kind == "transcription":
            self._handlers = {cls: run for cls, run in self._handlers.items() if cls in TRANSCRIPTION_EVENTS}

    # ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _decode(self, data: bytes) -> Event:
        event = decode(data, dialect=self.dialect, side="client")
        if type(event) is InputAudioBufferAppend:
            return event
        if isinstance(event, MalformedEvent):
            raise from_validation(event.reason)
        if isinstance(event, UnknownEvent):
            raise invalid_value("type", event.type, self._names())
        if lost := first_unknown(msgspec.json.decode(data), msgspec.json.decode(encode(event))):
            raise unknown(lost)
        return to_ga(event) if self.dialect == "beta" else event

    def _encode(self, event: Event) -> list[bytes]:
        self.sent.add(event)
        if self.dialect == "beta":
            said = to_beta(event)
            return [] if said is None else [encode(said)]
        return [encode(event)]

    def _names(self) -> list[str]:
        return [str(cls.__struct_config__.tag) for cls in self._handlers]

    def _handle(self, event: Event, data: bytes, now: float) -> None:
        handler = self._handlers.get(type(event))
        if handler is None:
            raise invalid_value("type", event.type, self._names())
        handler(event, now)

    def _refuse(self, refusal: Refusal, data: bytes) -> None:
        details = ErrorDetails(
            type=refusal.type,
            code=refusal.code,
            message=refusal.message,
            param=refusal.param,
            event_id=_event_id(data),
        )
        self._stage.send(ErrorEvent(error=details))

    # ── what each client event does ──────────────────────────────────────────────────────────────────────────────────

    def _update(self, event: SessionUpdate, now: float) -> None:
        stage = self._stage
        check_session(event.session, stage.config, has_spoken=stage.has_spoken)
        stage.config = updated(stage.config, event.session)
        self._listening.configure()
        stage.send(SessionUpdated(session=stage.config))

    def _create_item(self, event: ConversationItemCreate, now: float) -> None:
        check_item(event.item)
        self._check_pairing(event.item)
        conversation = self._stage.conversation
        place = conversation.place_of(event.previous_item_id)
        item = msgspec.structs.replace(shown(event.item), object="realtime.item", status="completed")
        entry, previous = conversation.add(item, place=place)
        self._stage.send(ConversationItemAdded(item=entry.item, previous_item_id=previous))
        self._stage.send(ConversationItemDone(item=entry.item, previous_item_id=previous))
        if audio := sent_audio(event.item):
            conversation.set_audio(entry, audio, wire_format(input_of(self._stage.config).format))
            self._hearing.hear(entry, now)

    def _check_pairing(self, item: Item) -> None:
        if item.type == "function_call_output" and not self._stage.conversation.has_call(str(item.call_id)):
            text = f"Tool call ID '{item.call_id}' not found in conversation."
            raise Refusal(text, code="invalid_tool_call_id", param="item.call_id")

    def _retrieve_item(self, event: ConversationItemRetrieve, now: float) -> None:
        entry = self._find(event.item_id, "retrieving", "retrieve")
        self._stage.send(ConversationItemRetrieved(item=with_audio(entry)))

    def _delete_item(self, event: ConversationItemDelete, now: float) -> None:
        entry = self._find(event.item_id, "deleting", "delete")
        self._stage.conversation.delete(entry.id)
        self._stage.send(ConversationItemDeleted(item_id=entry.id))

    def _truncate_item(self, event: ConversationItemTruncate, now: float) -> None:
        entry = self._find(event.item_id, "truncating", "truncate")
        if entry.item.role != "assistant" or not entry.audio:
            text = "Only model output audio messages can be truncated"
            raise Refusal(text, code="unsupported_content_type", param="item_id")
        if event.content_index != 0:
            raise invalid_value("content_index", event.content_index)
        if not 0 <= event.audio_end_ms <= entry.audio_ms:
            text = f"Audio content of {entry.audio_ms}ms is already shorter than {event.audio_end_ms}ms"
            raise Refusal(text, code="invalid_value", param="audio_end_ms")
        self._stage.conversation.cut(entry, event.audio_end_ms)
        self._stage.send(
            ConversationItemTruncated(
                item_id=entry.id, content_index=event.content_index, audio_end_ms=event.audio_end_ms
            )
        )

    def _create_response(self, event: ResponseCreate, now: float) -> None:
        params = event.response or ResponseCreateParams()
        check_response(params, tools=list(self._stage.config.tools or ()))
        self._answering.create(params, now)

    def _clear_output(self, event: OutputAudioBufferClear, now: float) -> None:
        text = "'output_audio_buffer.clear' is only supported in WebRTC and SIP sessions."
        raise Refusal(text, code="invalid_event", param="type")

    def _find(self, item_id: str, doing: str, verb: str) -> Entry:
        if not item_id:
            raise missing("item_id")
        entry = self._stage.conversation.find(item_id)
        if entry is None:
            text = f"Error {doing} item: the item with id '{item_id}' does not exist."
            raise Refusal(text, code=f"item_{verb}_invalid_item_id", param="item_id")
        return entry

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _expire(self) -> None:
        minutes = self._lifetime_s / 60
        text = f"Your session hit the maximum duration of {minutes:g} minutes."
        self._refuse(Refusal(text, code="session_expired"), b"")
        self.closing = (GOING_AWAY, text)


class _Header(msgspec.Struct):
    event_id: Any = None


def _event_id(data: bytes) -> str | None:
    try:
        found = msgspec.json.decode(data, type=_Header).event_id
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None
