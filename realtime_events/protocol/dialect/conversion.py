"""Events from one dialect to the other.

Owns the fields that GA and beta call differently or nest differently. Loaded when the first beta event is seen.

What a dialect has no word for is left out. Both ways are total: no event makes them raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from ... import events as ga
from ...events import beta
from ...events.base import UNSET, Event, Struct, UnsetType

_Target = TypeVar("_Target", bound=Struct)

_FORMAT_TO_GA = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_FORMAT_TO_BETA = {ga_type: beta_name for beta_name, ga_type in _FORMAT_TO_GA.items()}
_TOOL_CHOICE_MODES = frozenset({"auto", "none", "required"})


def to_ga(event: Event) -> Event:
    """Give the GA event of an event of either dialect."""
    convert = _TO_GA.get(type(event))
    return event if convert is None else convert(event)


def to_beta(event: Event) -> Event | None:
    """Give the beta event of an event of either dialect; None where beta has no word for it."""
    convert = _TO_BETA.get(type(event))
    return event if convert is None else convert(event)


def _carry(source: Struct, target: type[_Target], **changed: Any) -> _Target:
    """Make a `target` of the fields it shares with `source`, and of those given."""
    fields = source.__struct_fields__
    shared = {name: getattr(source, name) for name in target.__struct_fields__ if name in fields}
    return target(**(shared | changed))


# ── sessions and responses ───────────────────────────────────────────────────────────────────────────────────────────


def session_to_ga(session: beta.Session, type: str) -> ga.SessionConfig:
    """Give a flat session as the nested one of GA; `type` is `realtime` or `transcription`."""
    audio_input = _unless_empty(
        ga.AudioInput(
            format=_format_to_ga(session.input_audio_format),
            noise_reduction=session.input_audio_noise_reduction,
            transcription=session.input_audio_transcription,
            turn_detection=_turn_detection_to_ga(session.turn_detection),
        )
    )
    audio_output = _output_to_ga(session, speed=session.speed)
    return _carry(
        session,
        ga.SessionConfig,
        type=type,
        output_modalities=UNSET if type == "transcription" else _modalities_to_ga(session.modalities),
        audio=_unless_empty(ga.AudioConfig(input=audio_input, output=audio_output)),
        max_output_tokens=session.max_response_output_tokens,
        tool_choice=_tool_choice_to_ga(session.tool_choice),
    )


def session_to_beta(session: ga.SessionConfig) -> beta.Session:
    """Give a nested session as the flat one of beta."""
    audio = session.audio or ga.AudioConfig()
    heard = audio.input or ga.AudioInput()
    spoken = audio.output or ga.AudioOutput()
    return _carry(
        session,
        beta.Session,
        modalities=_modalities_to_beta(session.output_modalities),
        voice=_voice_to_beta(spoken.voice),
        speed=spoken.speed,
        input_audio_format=_format_to_beta(heard.format),
        output_audio_format=_format_to_beta(spoken.format),
        input_audio_noise_reduction=_without(heard.noise_reduction, "strength"),
        input_audio_transcription=_without(heard.transcription, "languages", "keywords", "delay"),
        turn_detection=_without(heard.turn_detection, "idle_timeout_ms"),
        max_response_output_tokens=session.max_output_tokens,
        tools=_tools_to_beta(session.tools),
        tool_choice=_tool_choice_to_beta(session.tool_choice),
    )


def _response_to_ga(response: beta.Response) -> ga.Response:
    return _carry(
        response,
        ga.Response,
        output=_items(response.output, _item_to_ga),
        output_modalities=_modalities_to_ga(response.modalities),
        audio=_unless_empty(ga.AudioConfig(output=_output_to_ga(response))),
    )


def _response_to_beta(response: ga.Response) -> beta.Response:
    spoken = (response.audio or ga.AudioConfig()).output or ga.AudioOutput()
    return _carry(
        response,
        beta.Response,
        output=_items(response.output, _item_to_beta),
        modalities=_modalities_to_beta(response.output_modalities),
        voice=_voice_to_beta(spoken.voice),
        output_audio_format=_format_to_beta(spoken.format),
        usage=_usage_to_beta(response.usage),
    )


def _params_to_ga(params: beta.ResponseCreateParams | UnsetType | None) -> ga.ResponseCreateParams | UnsetType | None:
    if not isinstance(params, beta.ResponseCreateParams):
        return params
    return _carry(
        params,
        ga.ResponseCreateParams,
        input=_input_to_ga(params.input),
        output_modalities=_modalities_to_ga(params.modalities),
        audio=_unless_empty(ga.AudioConfig(output=_output_to_ga(params))),
        max_output_tokens=params.max_response_output_tokens,
        tool_choice=_tool_choice_to_ga(params.tool_choice),
    )


def _params_to_beta(params: ga.ResponseCreateParams | UnsetType | None) -> beta.ResponseCreateParams | UnsetType | None:
    if not isinstance(params, ga.ResponseCreateParams):
        return params
    spoken = (params.audio or ga.AudioConfig()).output or ga.AudioOutput()
    return _carry(
        params,
        beta.ResponseCreateParams,
        input=_items(params.input, _item_to_beta),
        modalities=_modalities_to_beta(params.output_modalities),
        voice=_voice_to_beta(spoken.voice),
        output_audio_format=_format_to_beta(spoken.format),
        max_response_output_tokens=params.max_output_tokens,
        tools=_tools_to_beta(params.tools),
        tool_choice=_tool_choice_to_beta(params.tool_choice),
    )


# ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _items(items: list[ga.Item] | UnsetType | None, convert: Callable[[ga.Item], ga.Item]) -> Any:
    return [convert(item) for item in items] if items else items


def _item_to_ga(item: ga.Item) -> ga.Item:
    """Name each part as GA does: what the assistant says is output, what anybody else says is input.

    A reference to another item, which beta allows among the parts, is none in GA.
    """
    if not item.content or not item.role:
        return item
    prefix = "output_" if item.role == "assistant" else "input_"
    return replace(item, content=[_part_to_ga(part, prefix) for part in item.content if part.type != "item_reference"])


def _part_to_ga(part: ga.ContentPart, prefix: str) -> ga.ContentPart:
    if not isinstance(part.type, str):
        return part
    bare = part.type.removeprefix("input_").removeprefix("output_")
    return replace(part, type=prefix + bare) if bare in ("text", "audio") else part


def _item_to_beta(item: ga.Item) -> ga.Item:
    if not item.content:
        return item
    return replace(item, content=[_part_to_beta(part) for part in item.content])


def _part_to_beta(part: ga.ContentPart) -> ga.ContentPart:
    if not isinstance(part.type, str):
        return part
    return replace(part, type=part.type.removeprefix("output_"))


def _input_to_ga(items: list[ga.Item] | UnsetType | None) -> list[ga.Item] | UnsetType | None:
    """Convert the input of a response; a reference inside a message becomes an item of its own before it."""
    if not items:
        return items
    converted: list[ga.Item] = []
    for item in items:
        references = [part for part in item.content or () if part.type == "item_reference"]
        converted.extend(ga.Item(type="item_reference", id=part.id) for part in references)
        if len(references) < len(item.content or ()) or not references:
            converted.append(_item_to_ga(item))
    return converted


# ── single fields ────────────────────────────────────────────────────────────────────────────────────────────────────


def _unless_empty(struct: _Target) -> _Target | UnsetType:
    return UNSET if all(getattr(struct, name) is UNSET for name in struct.__struct_fields__) else struct


def _without(struct: Any, *names: str) -> Any:
    """Give a struct without the fields that beta has no word for; None and UNSET as they are."""
    return replace(struct, **dict.fromkeys(names, UNSET)) if struct else struct


def _output_to_ga(
    source: beta.Session | beta.Response | beta.ResponseCreateParams, **more: Any
) -> ga.AudioOutput | UnsetType:
    return _unless_empty(
        ga.AudioOutput(format=_format_to_ga(source.output_audio_format), voice=source.voice, **more),
    )


def _format_to_ga(name: str | UnsetType | None) -> ga.AudioFormat | UnsetType | None:
    if not isinstance(name, str):
        return name
    return ga.AudioFormat(type=_FORMAT_TO_GA.get(name, name), rate=24_000 if name == "pcm16" else UNSET)


def _format_to_beta(audio_format: ga.AudioFormat | UnsetType | None) -> str | UnsetType | None:
    if not isinstance(audio_format, ga.AudioFormat):
        return audio_format
    said = audio_format.type
    return _FORMAT_TO_BETA.get(said, said) if isinstance(said, str) else said


def _modalities_to_ga(modalities: list[str] | UnsetType | None) -> list[str] | UnsetType | None:
    """GA takes one modality; its audio always brings the text along, as beta's `["text", "audio"]` does."""
    return ["audio"] if modalities and "audio" in modalities else modalities


def _modalities_to_beta(modalities: list[str] | UnsetType | None) -> list[str] | UnsetType | None:
    return ["text", "audio"] if modalities and "audio" in modalities else modalities


def _turn_detection_to_ga(turn_detection: ga.TurnDetection | UnsetType | None) -> ga.TurnDetection | UnsetType | None:
    """GA wants the `type` that beta may leave out; beta then means server VAD, of which `eagerness` is no setting."""
    if not isinstance(turn_detection, ga.TurnDetection) or turn_detection.type:
        return turn_detection
    return replace(turn_detection, type="semantic_vad" if turn_detection.eagerness else "server_vad")


def _voice_to_beta(voice: str | ga.CustomVoice | UnsetType | None) -> str | UnsetType | None:
    return UNSET if isinstance(voice, ga.CustomVoice) else voice


def _tools_to_beta(tools: list[ga.Tool] | UnsetType | None) -> list[ga.Tool] | UnsetType | None:
    return [tool for tool in tools if tool.type != "mcp"] if tools else tools


def _tool_choice_to_ga(choice: str | UnsetType | None) -> str | ga.ToolChoice | UnsetType | None:
    if isinstance(choice, str) and choice not in _TOOL_CHOICE_MODES:
        return ga.ToolChoice(type="function", name=choice)
    return choice


def _tool_choice_to_beta(choice: str | ga.ToolChoice | UnsetType | None) -> str | UnsetType | None:
    if isinstance(choice, ga.ToolChoice):
        return choice.name if choice.type == "function" else UNSET
    return choice


def _usage_to_beta(usage: ga.Usage | UnsetType | None) -> ga.Usage | UnsetType | None:
    if not usage:
        return usage
    return replace(
        usage, input_token_details=_without(usage.input_token_details, "image_tokens", "cached_tokens_details")
    )


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_RENAMED: tuple[tuple[type[Event], type[Event]], ...] = (
    (beta.ResponseTextDelta, ga.ResponseOutputTextDelta),
    (beta.ResponseTextDone, ga.ResponseOutputTextDone),
    (beta.ResponseAudioDelta, ga.ResponseOutputAudioDelta),
    (beta.ResponseAudioDone, ga.ResponseOutputAudioDone),
    (beta.ResponseAudioTranscriptDelta, ga.ResponseOutputAudioTranscriptDelta),
    (beta.ResponseAudioTranscriptDone, ga.ResponseOutputAudioTranscriptDone),
    (beta.ResponseFunctionCallArgumentsDone, ga.ResponseFunctionCallArgumentsDone),
)
_WITH_ITEM: tuple[type[Event], ...] = (
    ga.ConversationItemRetrieved,
    ga.ResponseOutputItemAdded,
    ga.ResponseOutputItemDone,
    ga.ConversationItemCreate,
)
_SESSIONS: tuple[tuple[type[Event], type[Event], type[Event]], ...] = (
    (ga.SessionCreated, beta.SessionCreated, beta.TranscriptionSessionCreated),
    (ga.SessionUpdated, beta.SessionUpdated, beta.TranscriptionSessionUpdated),
    (ga.SessionUpdate, beta.SessionUpdate, beta.TranscriptionSessionUpdate),
)


def _into(target: type[Event]) -> Callable[[Any], Event]:
    return lambda event: _carry(event, target)


def _into_with_item(target: type[Event], convert: Callable[[ga.Item], ga.Item]) -> Callable[[Any], Event]:
    return lambda event: _carry(event, target, item=convert(event.item))


def _into_ga_session(target: type[Event], type: str) -> Callable[[Any], Event]:
    return lambda event: _carry(event, target, session=session_to_ga(event.session, type))


def _into_beta_session(realtime: type[Event], transcription: type[Event]) -> Callable[[Any], Event]:
    def convert(event: Any) -> Event:
        target = transcription if event.session.type == "transcription" else realtime
        return _carry(event, target, session=session_to_beta(event.session))

    return convert


_TO_GA: dict[type[Event], Callable[[Any], Event]] = {
    **{old: _into(new) for old, new in _RENAMED},
    **{cls: _into_with_item(cls, _item_to_ga) for cls in _WITH_ITEM},
    **{realtime: _into_ga_session(new, "realtime") for new, realtime, _ in _SESSIONS},
    **{transcription: _into_ga_session(new, "transcription") for new, _, transcription in _SESSIONS},
    ga.ConversationItemCreated: _into_with_item(ga.ConversationItemAdded, _item_to_ga),
    beta.ResponseCreated: lambda event: _carry(event, ga.ResponseCreated, response=_response_to_ga(event.response)),
    beta.ResponseDone: lambda event: _carry(event, ga.ResponseDone, response=_response_to_ga(event.response)),
    beta.ResponseCreate: lambda event: _carry(event, ga.ResponseCreate, response=_params_to_ga(event.response)),
}

_TO_BETA: dict[type[Event], Callable[[Any], Event | None]] = {
    **{new: _into(old) for old, new in _RENAMED},
    **{cls: _into_with_item(cls, _item_to_beta) for cls in _WITH_ITEM},
    **{new: _into_beta_session(realtime, transcription) for new, realtime, transcription in _SESSIONS},
    ga.ConversationItemAdded: _into_with_item(ga.ConversationItemCreated, _item_to_beta),
    ga.ConversationItemCreated: _into_with_item(ga.ConversationItemCreated, _item_to_beta),
    ga.ConversationItemDone: lambda event: None,
    ga.ResponseCreated: lambda event: _carry(event, beta.ResponseCreated, response=_response_to_beta(event.response)),
    ga.ResponseDone: lambda event: _carry(event, beta.ResponseDone, response=_response_to_beta(event.response)),
    ga.ResponseCreate: lambda event: _carry(event, beta.ResponseCreate, response=_params_to_beta(event.response)),
}
