"""The beta dialect: the names and shapes of the API before GA, which Azure's preview endpoints still speak.

Owns only what differs. An event that is the same in both dialects is the same class; an event that was only renamed
is the GA class under its old name; sessions and responses are flat where GA nests them.
"""

from __future__ import annotations

from .base import UNSET, ClientEvent, Number, ServerEvent, Struct, UnsetType
from .client import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseCancel,
)
from .enums import BetaAudioFormat, ConversationChoice, Include, Modality, Model, ResponseStatus, TracingMode, Voice
from .items import Item
from .response import StatusDetails, Usage
from .server import (
    ConversationCreated,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    ErrorEvent,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    RateLimitsUpdated,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from .session import InputTranscription, NoiseReduction, Tool, Tracing, TurnDetection
from .transcription import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
)


class ExpiresAfter(Struct, frozen=True, kw_only=True):
    """When a client secret ends: `seconds` after `anchor` (`created_at`)."""

    anchor: str | UnsetType | None = UNSET
    seconds: int | UnsetType | None = UNSET


class ClientSecret(Struct, frozen=True, kw_only=True):
    """A client secret, or the wish for one. `expires_at` is seconds since 1970 when the server says it."""

    value: str | UnsetType | None = UNSET
    expires_at: int | ExpiresAfter | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET


class Session(Struct, frozen=True, kw_only=True):
    """A session's flat configuration: realtime or transcription, asked for or confirmed."""

    id: str | UnsetType | None = UNSET
    object: str | UnsetType | None = UNSET
    expires_at: int | UnsetType | None = UNSET
    client_secret: ClientSecret | UnsetType | None = UNSET
    model: Model | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    modalities: list[Modality] | UnsetType | None = UNSET
    voice: Voice | UnsetType | None = UNSET
    speed: Number | UnsetType | None = UNSET
    input_audio_format: BetaAudioFormat | UnsetType | None = UNSET
    output_audio_format: BetaAudioFormat | UnsetType | None = UNSET
    input_audio_noise_reduction: NoiseReduction | UnsetType | None = UNSET
    input_audio_transcription: InputTranscription | UnsetType | None = UNSET
    turn_detection: TurnDetection | UnsetType | None = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: str | UnsetType | None = UNSET
    temperature: Number | UnsetType | None = UNSET
    max_response_output_tokens: int | str | UnsetType | None = UNSET
    tracing: TracingMode | Tracing | UnsetType | None = UNSET
    include: list[Include] | UnsetType | None = UNSET


class Response(Struct, frozen=True, kw_only=True):
    """One server generation. Its limit is `max_output_tokens`, as in GA."""

    id: str | UnsetType | None = UNSET
    object: str | UnsetType | None = UNSET
    status: ResponseStatus | UnsetType | None = UNSET
    status_details: StatusDetails | UnsetType | None = UNSET
    output: list[Item] | UnsetType | None = UNSET
    conversation_id: str | UnsetType | None = UNSET
    modalities: list[Modality] | UnsetType | None = UNSET
    voice: Voice | UnsetType | None = UNSET
    output_audio_format: BetaAudioFormat | UnsetType | None = UNSET
    temperature: Number | UnsetType | None = UNSET
    max_output_tokens: int | str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    usage: Usage | UnsetType | None = UNSET


class ResponseCreateParams(Struct, frozen=True, kw_only=True):
    """What one response shall do otherwise than the session says."""

    conversation: ConversationChoice | UnsetType | None = UNSET
    input: list[Item] | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    modalities: list[Modality] | UnsetType | None = UNSET
    voice: Voice | UnsetType | None = UNSET
    output_audio_format: BetaAudioFormat | UnsetType | None = UNSET
    temperature: Number | UnsetType | None = UNSET
    max_response_output_tokens: int | str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: str | UnsetType | None = UNSET


class SessionCreated(ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    """The session exists."""

    session: Session


class SessionUpdated(ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    """The session's configuration after an update."""

    session: Session


class TranscriptionSessionCreated(SessionCreated, frozen=True, kw_only=True, tag="transcription_session.created"):
    """The transcription session exists."""


class TranscriptionSessionUpdated(SessionUpdated, frozen=True, kw_only=True, tag="transcription_session.updated"):
    """The transcription session's configuration after an update."""


class ResponseCreated(ServerEvent, frozen=True, kw_only=True, tag="response.created"):
    """A response began."""

    response: Response


class ResponseDone(ServerEvent, frozen=True, kw_only=True, tag="response.done"):
    """A response ended, however it ended."""

    response: Response


class ResponseTextDelta(ResponseOutputTextDelta, frozen=True, kw_only=True, tag="response.text.delta"):
    """The next piece of a text part."""


class ResponseTextDone(ResponseOutputTextDone, frozen=True, kw_only=True, tag="response.text.done"):
    """The whole text of a part."""


class ResponseAudioDelta(ResponseOutputAudioDelta, frozen=True, kw_only=True, tag="response.audio.delta"):
    """The next piece of an audio part: `delta` is bytes in the session's output format."""


class ResponseAudioDone(ResponseOutputAudioDone, frozen=True, kw_only=True, tag="response.audio.done"):
    """An audio part is complete."""


class ResponseAudioTranscriptDelta(
    ResponseOutputAudioTranscriptDelta, frozen=True, kw_only=True, tag="response.audio_transcript.delta"
):
    """The next words of what an audio part says."""


class ResponseAudioTranscriptDone(
    ResponseOutputAudioTranscriptDone, frozen=True, kw_only=True, tag="response.audio_transcript.done"
):
    """All the words of an audio part."""


class ResponseFunctionCallArgumentsDone(
    ServerEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    """A tool call's whole arguments, as JSON text. The tool's name is in the item."""

    response_id: str
    item_id: str
    call_id: str
    output_index: int = 0
    arguments: str = ""


class SessionUpdate(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    """Change the session; answered by `session.updated`."""

    session: Session


class TranscriptionSessionUpdate(SessionUpdate, frozen=True, kw_only=True, tag="transcription_session.update"):
    """Change the transcription session; answered by `transcription_session.updated`."""


class ResponseCreate(ClientEvent, frozen=True, kw_only=True, tag="response.create"):
    """Ask for a response; answered by `response.created`."""

    response: ResponseCreateParams | UnsetType | None = UNSET


SERVER_EVENTS: tuple[type[ServerEvent], ...] = (
    ErrorEvent,
    SessionCreated,
    SessionUpdated,
    TranscriptionSessionCreated,
    TranscriptionSessionUpdated,
    RateLimitsUpdated,
    ConversationCreated,
    ConversationItemCreated,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    ConversationItemDeleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferCommitted,
    InputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    OutputAudioBufferCleared,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseTextDelta,
    ResponseTextDone,
    ResponseAudioDelta,
    ResponseAudioDone,
    ResponseAudioTranscriptDelta,
    ResponseAudioTranscriptDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
)
CLIENT_EVENTS: tuple[type[ClientEvent], ...] = (
    SessionUpdate,
    TranscriptionSessionUpdate,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferClear,
    OutputAudioBufferClear,
    ConversationItemCreate,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ConversationItemDelete,
    ResponseCreate,
    ResponseCancel,
)
