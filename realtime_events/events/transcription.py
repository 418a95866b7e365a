"""The transcription of the user's speech: four server events and what they are made of.

Owns what a transcription session adds to the vocabulary. Such a session shares its other events (`session.*`,
`input_audio_buffer.*`, `conversation.item.*`, `error`) with realtime sessions, and these four with realtime sessions
whose input is transcribed. They come beside a response, before or after it.
"""

from __future__ import annotations

from .base import UNSET, DeltaEvent, Number, ServerEvent, Struct, UnsetType
from .enums import UsageType
from .response import FailureDetails, InputTokenDetails


class LogProb(Struct, frozen=True, kw_only=True):
    """How sure the model is of one token. `bytes` are the token's UTF-8 bytes."""

    token: str = ""
    bytes: list[int] | UnsetType | None = UNSET
    logprob: Number = 0


class TranscriptionLanguage(Struct, frozen=True, kw_only=True):
    """A language that was heard, as an ISO 639-1 code."""

    code: str = ""


class TranscriptionUsage(Struct, frozen=True, kw_only=True):
    """What a transcription cost: `type` says whether in `tokens` or in `seconds` (`duration`).

    It is billed by the transcription model, apart from the responses.
    """

    type: UsageType | UnsetType | None = UNSET
    total_tokens: int | UnsetType | None = UNSET
    input_tokens: int | UnsetType | None = UNSET
    output_tokens: int | UnsetType | None = UNSET
    input_token_details: InputTokenDetails | UnsetType | None = UNSET
    seconds: Number | UnsetType | None = UNSET


class ConversationItemInputAudioTranscriptionDelta(
    DeltaEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.delta"
):
    """The next words of a user item."""

    item_id: str
    content_index: int | UnsetType | None = UNSET
    delta: str | UnsetType | None = UNSET
    logprobs: list[LogProb] | UnsetType | None = UNSET


class ConversationItemInputAudioTranscriptionSegment(
    ServerEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.segment"
):
    """What one speaker said, by a model that tells speakers apart. `start` and `end` are seconds."""

    item_id: str
    content_index: int = 0
    id: str = ""
    speaker: str = ""
    text: str = ""
    start: Number = 0
    end: Number = 0


class ConversationItemInputAudioTranscriptionCompleted(
    ServerEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.completed"
):
    """The whole transcript of a user item. `languages` is empty where none was recognised."""

    item_id: str
    content_index: int = 0
    transcript: str = ""
    usage: TranscriptionUsage | UnsetType | None = UNSET
    languages: list[TranscriptionLanguage] | UnsetType | None = UNSET
    logprobs: list[LogProb] | UnsetType | None = UNSET


class ConversationItemInputAudioTranscriptionFailed(
    ServerEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.failed"
):
    """A user item could not be transcribed. The item itself is sound, and the model has heard it."""

    item_id: str
    content_index: int = 0
    error: FailureDetails = FailureDetails()


TRANSCRIPTION_EVENTS: tuple[type[ServerEvent], ...] = (
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionSegment,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
)
