"""One simulated session: client frames and time in, server frames and due times out.

Owns what each client event does, and what is said when it may not. Knows no socket, no clock and no randomness: the
time comes with each call, and the same calls give the same frames. Before it: `connection.py`, or a test with a clock
of its own; after it: the rooms that it hands each event to.
"""

from __future__ import annotations

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
from ..events.items import Item
from ..events.response import ResponseCreateParams
from ..events.server import (
    Conversation,
    ConversationCreated,
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    InputAudioBufferDtmfEventReceived,
    SessionCreated,
    SessionUpdated,
)
from ..events.session import SessionConfig
from ..logs import logger
from .answering import Answering
from .config import initial, input_of, updated, wire_format
from .conversation import Entry, sent_audio, shown, with_audio
from .errors import Refusal, invalid_value, missing
from .exchange import Exchange, Handlers
from .hearing import Hearing
from .hosted import LISTING_S
from .listening import Listening
from .playback import Playback
from .setup import SessionSetup
from .stage import Organs, Stage
from .validation import check_beta_transcription, check_item, check_response, check_session

log = logger("simulator")

TRANSCRIPTION_EVENTS = frozenset(
    {SessionUpdate, InputAudioBufferAppend, InputAudioBufferCommit, InputAudioBufferClear, ConversationItemRetrieve}
    | {ConversationItemDelete}
)


class SimulatedSession(Exchange):
    """A realtime or transcription session, sans-I/O.

    Args:
        organs: What it thinks, speaks and hears with.
        setup: What is decided before it begins.
        now: The time of its beginning, on the clock of all later calls.
    """

    def __init__(self, organs: Organs, setup: SessionSetup | None = None, *, now: float = 0.0) -> None:
        setup = setup or SessionSetup()
        self._stage = Stage(setup.number, initial(setup.kind, model=setup.model), organs)
        super().__init__(self._stage, kind=setup.kind, dialect=setup.dialect)
        self._setup, self._began_at = setup, now
        if setup.is_call:
            self._stage.playback = Playback(self._stage)
        self._describe(setup.config, int(setup.unix_s + setup.lifetime_s))
        self._build()
        self._stage.send(SessionCreated(session=self._stage.config))
        if setup.dialect == "beta" and setup.kind == "realtime":
            conversation = Conversation(id=self._stage.conversation_id, object="realtime.conversation")
            self._stage.send(ConversationCreated(conversation=conversation))
        self._stage.timeline.at(now + setup.lifetime_s, lambda _: self.expire(setup.lifetime_s))

    @property
    def config(self) -> SessionConfig:
        """The effective configuration."""
        return self._stage.config

    @property
    def items(self) -> list[Item]:
        """The items of the conversation, in order."""
        return [entry.item for entry in self._stage.conversation]

    def greet(self) -> None:
        """Say again what the session is, to a sideband that has just joined."""
        self._stage.send(SessionCreated(session=self._stage.config))

    def hear(self, audio: bytes, now: float) -> None:
        """Take what the caller of a call says, in the input format of the session."""
        self._listening.append(audio, now)
        self.on_change()

    def press(self, key: str, now: float) -> None:
        """Let the caller of a call press a key."""
        received_at = int(self._setup.unix_s + now - self._began_at)
        self._stage.outbox.append(InputAudioBufferDtmfEventReceived(event=key, received_at=received_at))
        self.on_change()

    def end(self, now: float) -> None:
        """Say that the connection is over; a call goes on without its sideband."""
        if not self._setup.is_call or self.closing is not None:
            super().end(now)
            self._listening.forget()
            self._stage.conversation.forget_audio()

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
        handlers: Handlers = {
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
        transcribes = self.kind == "transcription"
        self._handlers = {cls: run for cls, run in handlers.items() if not transcribes or cls in TRANSCRIPTION_EVENTS}

    # ── what each client event does ──────────────────────────────────────────────────────────────────────────────────

    def _update(self, event: SessionUpdate, now: float) -> None:
        stage = self._stage
        check_session(event.session, stage.config, has_spoken=stage.has_spoken)
        if self.dialect == "beta" and self.kind == "transcription":
            check_beta_transcription(event.session)
        stage.config = updated(stage.config, event.session)
        self._listening.configure()
        stage.send(SessionUpdated(session=stage.config))
        stage.hosted.offer(stage.config.tools or (), due=now + LISTING_S / stage.organs.pace)

    def _create_item(self, event: ConversationItemCreate, now: float) -> None:
        check_item(event.item)
        self._check_pairing(event.item)
        if event.item.type == "mcp_approval_response":
            self._stage.hosted.check_answer(event.item)
        conversation = self._stage.conversation
        place = conversation.place_of(event.previous_item_id)
        item = shown(event.item)
        if not str(item.type).startswith("mcp_"):
            item = msgspec.structs.replace(item, object="realtime.item", status="completed")
        entry, previous = conversation.add(item, place=place)
        self._stage.send(ConversationItemAdded(item=entry.item, previous_item_id=previous))
        self._stage.send(ConversationItemDone(item=entry.item, previous_item_id=previous))
        if audio := sent_audio(event.item):
            conversation.set_audio(entry, audio, wire_format(input_of(self._stage.config).format))
            self._hearing.hear(entry, now)
        if event.item.type == "mcp_approval_response":
            self._stage.hosted.decide(event.item)

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
        self._stage.hosted.offer(params.tools or ())
        self._answering.create(params, now)

    def _clear_output(self, event: OutputAudioBufferClear, now: float) -> None:
        playback = self._stage.playback
        if playback is None:
            text = "'output_audio_buffer.clear' is only supported in WebRTC and SIP sessions."
            raise Refusal(text, code="invalid_event", param="type")
        playback.check_playing()
        playback.clear()

    def _find(self, item_id: str, doing: str, verb: str) -> Entry:
        if not item_id:
            raise missing("item_id")
        entry = self._stage.conversation.find(item_id)
        if entry is None:
            text = f"Error {doing} item: the item with id '{item_id}' does not exist."
            raise Refusal(text, code=f"item_{verb}_invalid_item_id", param="item_id")
        return entry
