"""Session configuration: what a session is told, and what it says of itself.

Owns one shape for requests and answers, for realtime and transcription sessions alike, because the server's answer is
the request with `id`, `object` and `expires_at` added. Everything nested is one flat struct with an open `type`, so
that a kind of tool or turn detection newer than this package still decodes.
"""

from __future__ import annotations

from typing import Any

from .base import UNSET, Number, Struct, UnsetType
from .enums import (
    AllowedCaller,
    AudioFormatType,
    ConnectorId,
    Delay,
    Detail,
    Eagerness,
    Effort,
    Include,
    Modality,
    Model,
    NoiseReductionType,
    PromptVariableType,
    RequireApproval,
    SessionType,
    ToolChoiceMode,
    ToolChoiceType,
    ToolType,
    TracingMode,
    TranscriptionModel,
    TruncationMode,
    TruncationType,
    TurnDetectionType,
    Voice,
)


class AudioFormat(Struct, frozen=True, kw_only=True):
    """An audio format.

    `audio/pcm` is 16-bit little-endian mono at `rate` 24,000 Hz; `audio/pcmu` and `audio/pcma` are G.711 at 8,000 Hz
    and carry no rate.
    """

    type: AudioFormatType | UnsetType | None = UNSET
    rate: int | UnsetType | None = UNSET


class NoiseReduction(Struct, frozen=True, kw_only=True):
    """Noise reduction of the input: `near_field` for headsets, `far_field` for rooms.

    `strength` is 1 when first enabled and kept when left out.
    """

    type: NoiseReductionType | UnsetType | None = UNSET
    strength: Number | UnsetType | None = UNSET


class InputTranscription(Struct, frozen=True, kw_only=True):
    """How the user's speech is transcribed.

    `language` is ISO 639-1. `languages` and `keywords` are for `gpt-transcribe` and `gpt-live-transcribe`, `delay` for
    `gpt-realtime-whisper`, which takes no `prompt`.
    """

    model: TranscriptionModel | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    languages: list[str] | UnsetType | None = UNSET
    keywords: list[str] | UnsetType | None = UNSET
    prompt: str | UnsetType | None = UNSET
    delay: Delay | UnsetType | None = UNSET


class TurnDetection(Struct, frozen=True, kw_only=True):
    """How the server finds the end of the user's turn.

    `server_vad` hears silence: `threshold` (0 to 1), `prefix_padding_ms`, `silence_duration_ms`, `idle_timeout_ms`.
    `semantic_vad` hears meaning: `eagerness`. `create_response` answers a turn by itself, `interrupt_response` lets a
    barge-in cancel the running response. In place of this struct, None turns detection off.
    """

    type: TurnDetectionType | UnsetType | None = UNSET
    threshold: Number | UnsetType | None = UNSET
    prefix_padding_ms: int | UnsetType | None = UNSET
    silence_duration_ms: int | UnsetType | None = UNSET
    idle_timeout_ms: int | UnsetType | None = UNSET
    eagerness: Eagerness | UnsetType | None = UNSET
    create_response: bool | UnsetType | None = UNSET
    interrupt_response: bool | UnsetType | None = UNSET


class CustomVoice(Struct, frozen=True, kw_only=True):
    """A voice of your own, by its id."""

    id: str = ""


class AudioInput(Struct, frozen=True, kw_only=True):
    """The input half of the audio configuration. None switches off what it stands for."""

    format: AudioFormat | UnsetType | None = UNSET
    noise_reduction: NoiseReduction | UnsetType | None = UNSET
    transcription: InputTranscription | UnsetType | None = UNSET
    turn_detection: TurnDetection | UnsetType | None = UNSET


class AudioOutput(Struct, frozen=True, kw_only=True):
    """The output half of the audio configuration. `speed` is 0.25 to 1.5; the voice is fixed once it has spoken."""

    format: AudioFormat | UnsetType | None = UNSET
    voice: Voice | CustomVoice | UnsetType | None = UNSET
    speed: Number | UnsetType | None = UNSET


class AudioConfig(Struct, frozen=True, kw_only=True):
    """The audio configuration of a session, or of one response (then only its output)."""

    input: AudioInput | UnsetType | None = UNSET
    output: AudioOutput | UnsetType | None = UNSET


class ToolFilter(Struct, frozen=True, kw_only=True):
    """Some tools of an MCP server, by name or because they only read."""

    read_only: bool | UnsetType | None = UNSET
    tool_names: list[str] | UnsetType | None = UNSET


class ApprovalFilter(Struct, frozen=True, kw_only=True):
    """Which tools of an MCP server `always` or `never` ask for approval."""

    always: ToolFilter | UnsetType | None = UNSET
    never: ToolFilter | UnsetType | None = UNSET


class Tool(Struct, frozen=True, kw_only=True):
    """A tool the model is offered: a function of ours, or an MCP server of which it may call any tool.

    A `function` has `name`, `description` and `parameters` (a JSON Schema). An `mcp` tool has `server_label` and one of
    `server_url`, `connector_id` and `tunnel_id`; `authorization` and `headers` never show in its `repr`.
    """

    type: ToolType | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    parameters: dict[str, Any] | UnsetType | None = UNSET
    server_label: str | UnsetType | None = UNSET
    server_url: str | UnsetType | None = UNSET
    connector_id: ConnectorId | UnsetType | None = UNSET
    tunnel_id: str | UnsetType | None = UNSET
    server_description: str | UnsetType | None = UNSET
    authorization: str | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType | None = UNSET
    allowed_callers: list[AllowedCaller] | UnsetType | None = UNSET
    allowed_tools: list[str] | ToolFilter | UnsetType | None = UNSET
    require_approval: RequireApproval | ApprovalFilter | UnsetType | None = UNSET
    defer_loading: bool | UnsetType | None = UNSET


class ToolChoice(Struct, frozen=True, kw_only=True):
    """One tool the model must call: a `function` by `name`, or an `mcp` server by `server_label` (and `name`)."""

    type: ToolChoiceType | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    server_label: str | UnsetType | None = UNSET


class CacheBreakpoint(Struct, frozen=True, kw_only=True):
    """A place up to which the prompt is cached, and for how long (`30m`, `12h`)."""

    mode: str | UnsetType | None = UNSET
    ttl: str | UnsetType | None = UNSET


class PromptVariable(Struct, frozen=True, kw_only=True):
    """A value of a prompt's variable that is more than a string: a text, an image or a file."""

    type: PromptVariableType | UnsetType | None = UNSET
    text: str | UnsetType | None = UNSET
    image_url: str | UnsetType | None = UNSET
    detail: Detail | UnsetType | None = UNSET
    file_id: str | UnsetType | None = UNSET
    file_data: str | UnsetType | None = UNSET
    file_url: str | UnsetType | None = UNSET
    filename: str | UnsetType | None = UNSET
    prompt_cache_breakpoint: CacheBreakpoint | UnsetType | None = UNSET


class Prompt(Struct, frozen=True, kw_only=True):
    """A prompt stored at the vendor, by its id, with the values of its variables."""

    id: str | UnsetType | None = UNSET
    version: str | UnsetType | None = UNSET
    variables: dict[str, str | PromptVariable] | UnsetType | None = UNSET


class Reasoning(Struct, frozen=True, kw_only=True):
    """How much a reasoning model thinks before it speaks."""

    effort: Effort | UnsetType | None = UNSET


class Tracing(Struct, frozen=True, kw_only=True):
    """How the session is named in the vendor's traces. Once on it cannot be changed."""

    workflow_name: str | UnsetType | None = UNSET
    group_id: str | UnsetType | None = UNSET
    metadata: Any = UNSET


class TokenLimits(Struct, frozen=True, kw_only=True):
    """How many tokens of conversation may follow the instructions before the oldest are truncated."""

    post_instructions: int | UnsetType | None = UNSET


class Truncation(Struct, frozen=True, kw_only=True):
    """How much of a conversation that has grown too long is kept: `retention_ratio`, from 0 to 1."""

    type: TruncationType | UnsetType | None = UNSET
    retention_ratio: Number | UnsetType | None = UNSET
    token_limits: TokenLimits | UnsetType | None = UNSET


class SessionConfig(Struct, frozen=True, kw_only=True):
    """A session's configuration, as it is asked for and as the server confirms it.

    `type` is `realtime` or `transcription`; a transcription session has only `audio.input` and `include`. The server
    adds `id`, `object` and `expires_at` (seconds since 1970). In an update, what is absent is kept, and `""`, `[]` and
    None clear. `max_output_tokens` is a number or `"inf"`.
    """

    type: SessionType | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    object: str | UnsetType | None = UNSET
    expires_at: int | UnsetType | None = UNSET
    model: Model | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    output_modalities: list[Modality] | UnsetType | None = UNSET
    audio: AudioConfig | UnsetType | None = UNSET
    include: list[Include] | UnsetType | None = UNSET
    max_output_tokens: int | str | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    prompt: Prompt | UnsetType | None = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: ToolChoiceMode | ToolChoice | UnsetType | None = UNSET
    tracing: TracingMode | Tracing | UnsetType | None = UNSET
    truncation: TruncationMode | Truncation | UnsetType | None = UNSET
