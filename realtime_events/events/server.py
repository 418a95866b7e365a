"""The server events of the GA dialect: everything a realtime or transcription session can say.

Owns their shapes. Required are only the ids and resources without which an event says nothing; everything else has a
default, so that a server which leaves a field out is understood all the same. Times are milliseconds from the start
of the session's input audio or of an item's output audio, as said at each field.
"""

from __future__ import annotations

import msgspec

from .base import UNSET, DeltaEvent, Number, ServerEvent, Struct, UnsetType
from .enums import RateLimitName
from .items import ContentPart, Item
from .response import Response
from .session import SessionConfig
from .transcription import TRANSCRIPTION_EVENTS

# ── the session ──────────────────────────────────────────────────────────────────────────────────────────────────────


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """What went wrong. `event_id` is the client event at fault; `param` the field of it."""

    type: str = ""
    message: str = ""
    code: str | UnsetType | None = UNSET
    param: str | UnsetType | None = UNSET
    event_id: str | UnsetType | None = UNSET


class ErrorEvent(ServerEvent, frozen=True, kw_only=True, tag="error"):
    """The server refused a client event or met a problem of its own. Most errors leave the session open."""

    error: ErrorDetails


class SessionCreated(ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    """The session exists, with its default configuration; the first event of every connection."""

    session: SessionConfig


class SessionUpdated(ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    """The session's whole configuration after an update. It names no client event: updates are matched in order."""

    session: SessionConfig


class RateLimit(Struct, frozen=True, kw_only=True):
    """What is left of one limit, and in how many seconds it is whole again."""

    name: RateLimitName | UnsetType | None = UNSET
    limit: int | UnsetType | None = UNSET
    remaining: int | UnsetType | None = UNSET
    reset_seconds: Number | UnsetType | None = UNSET


class RateLimitsUpdated(ServerEvent, frozen=True, kw_only=True, tag="rate_limits.updated"):
    """What is left of the rate limits; comes at the start of a response, with its tokens reserved."""

    rate_limits: list[RateLimit] = msgspec.field(default_factory=list[RateLimit])


# ── the conversation ─────────────────────────────────────────────────────────────────────────────────────────────────


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation's id."""

    id: str | UnsetType | None = UNSET
    object: str | UnsetType | None = UNSET


class ConversationCreated(ServerEvent, frozen=True, kw_only=True, tag="conversation.created"):
    """The session's conversation exists."""

    conversation: Conversation = Conversation()


class ConversationItemAdded(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.added"):
    """An item is in the conversation; its content may still be growing.

    A `previous_item_id` of None means that nothing is before it.
    """

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class ConversationItemDone(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.done"):
    """An item of the conversation is final. Its audio is left out; `conversation.item.retrieve` fetches it."""

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class ConversationItemCreated(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.created"):
    """An item is in the conversation, in the words of the beta dialect, which some GA servers still use."""

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class ConversationItemRetrieved(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.retrieved"):
    """An item as the server has it, with its audio; answers `conversation.item.retrieve`."""

    item: Item


class ConversationItemTruncated(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.truncated"):
    """An assistant item was cut after `audio_end_ms` of its audio; its transcript is gone on the server."""

    item_id: str
    content_index: int = 0
    audio_end_ms: int = 0


class ConversationItemDeleted(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.deleted"):
    """An item was deleted."""

    item_id: str


# ── the input audio buffer ───────────────────────────────────────────────────────────────────────────────────────────


class InputAudioBufferSpeechStarted(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_started"):
    """The user began to speak, `audio_start_ms` into the session's input; `item_id` is the item to come."""

    item_id: str
    audio_start_ms: int = 0


class InputAudioBufferSpeechStopped(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_stopped"):
    """The user stopped speaking, `audio_end_ms` into the session's input."""

    item_id: str
    audio_end_ms: int = 0


class InputAudioBufferTimeoutTriggered(
    ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.timeout_triggered"
):
    """Nobody spoke for `idle_timeout_ms`, and a response follows; the silence is committed as `item_id`."""

    item_id: str
    audio_start_ms: int = 0
    audio_end_ms: int = 0


class InputAudioBufferCommitted(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.committed"):
    """The input buffer became the user item `item_id`, which is empty where a server does not name it."""

    item_id: str = ""
    previous_item_id: str | UnsetType | None = UNSET


class InputAudioBufferCleared(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.cleared"):
    """The input buffer was thrown away."""


class InputAudioBufferDtmfEventReceived(
    ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.dtmf_event_received"
):
    """The caller pressed a key (SIP only): `event` is `0` to `9`, `*`, `#` or `A` to `D`. Has no `event_id`.

    `received_at` is seconds since 1970.
    """

    event: str = ""
    received_at: int = 0


# ── the output audio buffer (WebRTC and SIP only) ────────────────────────────────────────────────────────────────────


class OutputAudioBufferStarted(ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.started"):
    """The server began to play a response."""

    response_id: str


class OutputAudioBufferStopped(ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.stopped"):
    """The server has played the whole response."""

    response_id: str


class OutputAudioBufferCleared(ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.cleared"):
    """The server stopped playing: the user barged in, or the client cleared the buffer."""

    response_id: str


# ── the response ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ResponseCreated(ServerEvent, frozen=True, kw_only=True, tag="response.created"):
    """A response began."""

    response: Response


class ResponseDone(ServerEvent, frozen=True, kw_only=True, tag="response.done"):
    """A response ended, however it ended; `response.status` says how."""

    response: Response


class ResponseOutputItemAdded(ServerEvent, frozen=True, kw_only=True, tag="response.output_item.added"):
    """A response began an item."""

    response_id: str
    item: Item
    output_index: int = 0


class ResponseOutputItemDone(ServerEvent, frozen=True, kw_only=True, tag="response.output_item.done"):
    """A response finished an item, or was cut while writing it; `item.status` says which."""

    response_id: str
    item: Item
    output_index: int = 0


class ResponseContentPartAdded(ServerEvent, frozen=True, kw_only=True, tag="response.content_part.added"):
    """A part of a message began. Its type is `text` or `audio`, also in the GA dialect."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ContentPart = ContentPart()


class ResponseContentPartDone(ServerEvent, frozen=True, kw_only=True, tag="response.content_part.done"):
    """A part of a message is whole."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ContentPart = ContentPart()


class ResponseOutputTextDelta(DeltaEvent, frozen=True, kw_only=True, gc=False, tag="response.output_text.delta"):
    """The next piece of a text part."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str = ""


class ResponseOutputTextDone(ServerEvent, frozen=True, kw_only=True, tag="response.output_text.done"):
    """The whole text of a part."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str = ""


class ResponseOutputAudioDelta(DeltaEvent, frozen=True, kw_only=True, gc=False, tag="response.output_audio.delta"):
    """The next piece of an audio part: `delta` is bytes in the session's output format."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: bytes = b""


class ResponseOutputAudioDone(ServerEvent, frozen=True, kw_only=True, tag="response.output_audio.done"):
    """An audio part is complete; the audio itself came in the deltas."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0


class ResponseOutputAudioTranscriptDelta(
    DeltaEvent, frozen=True, kw_only=True, gc=False, tag="response.output_audio_transcript.delta"
):
    """The next words of what an audio part says; runs ahead of the playback."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str = ""


class ResponseOutputAudioTranscriptDone(
    ServerEvent, frozen=True, kw_only=True, tag="response.output_audio_transcript.done"
):
    """All the words of an audio part."""

    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    transcript: str = ""


class ResponseFunctionCallArgumentsDelta(
    DeltaEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"
):
    """The next piece of a tool call's arguments; JSON only when put together."""

    response_id: str
    item_id: str
    call_id: str
    output_index: int = 0
    delta: str = ""


class ResponseFunctionCallArgumentsDone(
    ServerEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    """A tool call's whole arguments, as JSON text. A server that leaves `name` out has told it with the item."""

    response_id: str
    item_id: str
    call_id: str
    output_index: int = 0
    name: str = ""
    arguments: str = ""


# ── MCP ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class McpListToolsInProgress(ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.in_progress"):
    """The server asks an MCP server for its tools."""

    item_id: str


class McpListToolsCompleted(ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.completed"):
    """An MCP server has told its tools; they are in the item `item_id`."""

    item_id: str


class McpListToolsFailed(ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.failed"):
    """An MCP server did not tell its tools."""

    item_id: str


class ResponseMcpCallArgumentsDelta(DeltaEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.delta"):
    """The next piece of an MCP call's arguments. `obfuscation` is padding without meaning."""

    response_id: str
    item_id: str
    output_index: int = 0
    delta: str = ""
    obfuscation: str | UnsetType | None = UNSET


class ResponseMcpCallArgumentsDone(ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.done"):
    """An MCP call's whole arguments, as JSON text."""

    response_id: str
    item_id: str
    output_index: int = 0
    arguments: str = ""


class ResponseMcpCallInProgress(ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.in_progress"):
    """The server calls a tool of an MCP server."""

    item_id: str
    output_index: int = 0


class ResponseMcpCallCompleted(ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.completed"):
    """A call of an MCP server's tool is answered."""

    item_id: str
    output_index: int = 0


class ResponseMcpCallFailed(ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.failed"):
    """A call of an MCP server's tool failed; the item `item_id` says why."""

    item_id: str
    output_index: int = 0


SERVER_EVENTS: tuple[type[ServerEvent], ...] = (
    ErrorEvent,
    SessionCreated,
    SessionUpdated,
    RateLimitsUpdated,
    ConversationCreated,
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemCreated,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    ConversationItemDeleted,
    *TRANSCRIPTION_EVENTS,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    InputAudioBufferCommitted,
    InputAudioBufferCleared,
    InputAudioBufferDtmfEventReceived,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    OutputAudioBufferCleared,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    McpListToolsInProgress,
    McpListToolsCompleted,
    McpListToolsFailed,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallInProgress,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
)
