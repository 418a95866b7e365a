"""The events of translation sessions, which use names of the other kinds with shapes of their own.

Owns a small vocabulary: audio goes in all the time, and translated audio and both transcripts come out without turns
or responses. The connection's kind, not an event's name, says that this module is meant. `error` is shared with the
other kinds.
"""

from __future__ import annotations

from .base import UNSET, ClientEvent, DeltaEvent, ServerEvent, Struct, UnsetType
from .enums import SessionType
from .server import ErrorEvent
from .session import InputTranscription, NoiseReduction


class TranslationInput(Struct, frozen=True, kw_only=True):
    """The input half of a translation's audio. None switches off what it stands for."""

    noise_reduction: NoiseReduction | UnsetType | None = UNSET
    transcription: InputTranscription | UnsetType | None = UNSET


class TranslationOutput(Struct, frozen=True, kw_only=True):
    """The output half of a translation's audio: the language to translate into, as an ISO 639-1 code."""

    language: str | UnsetType | None = UNSET


class TranslationAudio(Struct, frozen=True, kw_only=True):
    """The audio configuration of a translation session."""

    input: TranslationInput | UnsetType | None = UNSET
    output: TranslationOutput | UnsetType | None = UNSET


class TranslationSession(Struct, frozen=True, kw_only=True):
    """A translation session's configuration, as it is asked for and as the server confirms it.

    Only `audio` can be updated. `expires_at` is seconds since 1970.
    """

    type: SessionType | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    expires_at: int | UnsetType | None = UNSET
    audio: TranslationAudio | UnsetType | None = UNSET


class SessionCreated(ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    """The translation session exists."""

    session: TranslationSession


class SessionUpdated(ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    """The translation session's configuration after an update."""

    session: TranslationSession


class SessionClosed(ServerEvent, frozen=True, kw_only=True, tag="session.closed"):
    """Everything is translated and sent; answers `session.close`."""


class SessionInputTranscriptDelta(DeltaEvent, frozen=True, kw_only=True, tag="session.input_transcript.delta"):
    """The next words that were said, in their own language. `elapsed_ms` counts from the start of the session."""

    delta: str = ""
    elapsed_ms: int | UnsetType | None = UNSET


class SessionOutputTranscriptDelta(DeltaEvent, frozen=True, kw_only=True, tag="session.output_transcript.delta"):
    """The next words of the translation. `elapsed_ms` counts from the start of the session."""

    delta: str = ""
    elapsed_ms: int | UnsetType | None = UNSET


class SessionOutputAudioDelta(DeltaEvent, frozen=True, kw_only=True, tag="session.output_audio.delta"):
    """The next piece of translated speech: `delta` is bytes in `format` at `sample_rate` Hz with `channels`."""

    delta: bytes = b""
    elapsed_ms: int | UnsetType | None = UNSET
    format: str | UnsetType | None = UNSET
    sample_rate: int | UnsetType | None = UNSET
    channels: int | UnsetType | None = UNSET


class SessionUpdate(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    """Change the language, the transcription or the noise reduction; answered by `session.updated`."""

    session: TranslationSession


class SessionInputAudioBufferAppend(ClientEvent, frozen=True, kw_only=True, tag="session.input_audio_buffer.append"):
    """Add audio: 24 kHz 16-bit little-endian mono bytes, silence included. The server works in frames of 200 ms."""

    audio: bytes


class SessionClose(ClientEvent, frozen=True, kw_only=True, tag="session.close"):
    """Ask for the rest of the translation and the end; answered by `session.closed`."""


SERVER_EVENTS: tuple[type[ServerEvent], ...] = (
    ErrorEvent,
    SessionCreated,
    SessionUpdated,
    SessionClosed,
    SessionInputTranscriptDelta,
    SessionOutputTranscriptDelta,
    SessionOutputAudioDelta,
)
CLIENT_EVENTS: tuple[type[ClientEvent], ...] = (SessionUpdate, SessionInputAudioBufferAppend, SessionClose)
