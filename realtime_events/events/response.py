"""Responses: what the server generates, how it ended and what it cost.

Owns the response resource of `response.created` and `response.done`, its status and usage, and the parameters of
`response.create`.
"""

from __future__ import annotations

from .base import UNSET, Struct, UnsetType
from .enums import ConversationChoice, Modality, ResponseStatus, StatusReason, ToolChoiceMode
from .items import Item
from .session import AudioConfig, Prompt, Reasoning, Tool, ToolChoice


class FailureDetails(Struct, frozen=True, kw_only=True):
    """Why a response or a transcription failed."""

    type: str | UnsetType | None = UNSET
    code: str | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET
    param: str | UnsetType | None = UNSET


class StatusDetails(Struct, frozen=True, kw_only=True):
    """How a response ended: `reason` if it was cancelled or is incomplete, `error` if it failed."""

    type: ResponseStatus | UnsetType | None = UNSET
    reason: StatusReason | UnsetType | None = UNSET
    error: FailureDetails | UnsetType | None = UNSET


class CachedTokenDetails(Struct, frozen=True, kw_only=True):
    """Cached tokens by modality."""

    text_tokens: int | UnsetType | None = UNSET
    audio_tokens: int | UnsetType | None = UNSET
    image_tokens: int | UnsetType | None = UNSET


class InputTokenDetails(Struct, frozen=True, kw_only=True):
    """Input tokens by modality. Cached tokens are a subset of them, not an addition."""

    text_tokens: int | UnsetType | None = UNSET
    audio_tokens: int | UnsetType | None = UNSET
    image_tokens: int | UnsetType | None = UNSET
    cached_tokens: int | UnsetType | None = UNSET
    cached_tokens_details: CachedTokenDetails | UnsetType | None = UNSET


class OutputTokenDetails(Struct, frozen=True, kw_only=True):
    """Output tokens by modality."""

    text_tokens: int | UnsetType | None = UNSET
    audio_tokens: int | UnsetType | None = UNSET


class Usage(Struct, frozen=True, kw_only=True):
    """The tokens of one response."""

    total_tokens: int | UnsetType | None = UNSET
    input_tokens: int | UnsetType | None = UNSET
    output_tokens: int | UnsetType | None = UNSET
    input_token_details: InputTokenDetails | UnsetType | None = UNSET
    output_token_details: OutputTokenDetails | UnsetType | None = UNSET


class Response(Struct, frozen=True, kw_only=True):
    """One server generation, as far as it has come.

    `conversation_id` is None for an out-of-band response. `output` has the finished items, without their audio.
    """

    id: str | UnsetType | None = UNSET
    object: str | UnsetType | None = UNSET
    status: ResponseStatus | UnsetType | None = UNSET
    status_details: StatusDetails | UnsetType | None = UNSET
    output: list[Item] | UnsetType | None = UNSET
    conversation_id: str | UnsetType | None = UNSET
    output_modalities: list[Modality] | UnsetType | None = UNSET
    audio: AudioConfig | UnsetType | None = UNSET
    max_output_tokens: int | str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    usage: Usage | UnsetType | None = UNSET


class ResponseCreateParams(Struct, frozen=True, kw_only=True):
    """What one response shall do otherwise than the session says.

    `conversation="none"` makes it out of band: it runs beside others and leaves no item behind. `input` replaces the
    conversation as context; `[]` empties it. `metadata` comes back in the response: at most 16 pairs.
    """

    conversation: ConversationChoice | UnsetType | None = UNSET
    input: list[Item] | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    output_modalities: list[Modality] | UnsetType | None = UNSET
    audio: AudioConfig | UnsetType | None = UNSET
    max_output_tokens: int | str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    prompt: Prompt | UnsetType | None = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: ToolChoiceMode | ToolChoice | UnsetType | None = UNSET
