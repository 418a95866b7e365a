"""The effective configuration of a session.

Owns the defaults and what an update does to them. Knows no connection. Before it: `validation.py`, which has refused
what may not be; after it: `session.py`, which obeys the result and shows it in `session.updated`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast

import msgspec

from ..audio import PCM16, PCMA, PCMU
from ..audio import AudioFormat as WireFormat
from ..events.base import UNSET, Struct
from ..events.response import ResponseCreateParams
from ..events.session import AudioConfig, AudioFormat, AudioInput, AudioOutput, SessionConfig, TurnDetection

Kind = Literal["realtime", "transcription", "translation"]

DEFAULT_MODEL = "gpt-realtime"
DEFAULT_VOICE = "marin"
DEFAULT_INSTRUCTIONS = "You are a helpful, friendly assistant. Answer briefly, in the language you are spoken to."
FORMATS = {"audio/pcm": PCM16, "audio/pcmu": PCMU, "audio/pcma": PCMA}
PCM = AudioFormat(type="audio/pcm", rate=24_000)

SERVER_VAD = TurnDetection(
    type="server_vad",
    threshold=0.5,
    prefix_padding_ms=300,
    silence_duration_ms=500,
    idle_timeout_ms=None,
    create_response=True,
    interrupt_response=True,
)
SEMANTIC_VAD = TurnDetection(type="semantic_vad", eagerness="auto", create_response=True, interrupt_response=True)

# What null means for a field that is never null itself.
CLEARED: dict[str, Any] = {
    "instructions": "",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "output_modalities": ["audio"],
    "truncation": "auto",
    "voice": DEFAULT_VOICE,
    "speed": 1.0,
    "format": PCM,
}

# What a session always has; null changes nothing there.
HALVES = ("audio", "input", "output")

_S = TypeVar("_S", bound=Struct)


def initial(kind: Kind, *, model: str) -> SessionConfig:
    """Give the configuration of a new session, without what says who it is."""
    if kind == "transcription":
        detection = msgspec.structs.replace(
            SERVER_VAD, idle_timeout_ms=UNSET, create_response=UNSET, interrupt_response=UNSET
        )
        heard = AudioInput(format=PCM, transcription=None, noise_reduction=None, turn_detection=detection)
        return SessionConfig(
            type="transcription", object="realtime.transcription_session", audio=AudioConfig(input=heard), include=None
        )
    heard = AudioInput(format=PCM, transcription=None, noise_reduction=None, turn_detection=SERVER_VAD)
    spoken = AudioOutput(format=PCM, voice=DEFAULT_VOICE, speed=1.0)
    return SessionConfig(
        type="realtime",
        object="realtime.session",
        model=model,
        output_modalities=["audio"],
        instructions=DEFAULT_INSTRUCTIONS,
        tools=[],
        tool_choice="auto",
        max_output_tokens="inf",
        tracing=None,
        truncation="auto",
        prompt=None,
        audio=AudioConfig(input=heard, output=spoken),
        include=None,
    )


def updated(config: SessionConfig, change: SessionConfig) -> SessionConfig:
    """Give the configuration after an update: what is absent is kept, what is null is cleared."""
    return _merge(config, change)


def input_of(config: SessionConfig) -> AudioInput:
    """Give the input half, which a realtime or transcription session always has."""
    audio = cast(AudioConfig, config.audio)
    return cast(AudioInput, audio.input)


def output_of(config: SessionConfig) -> AudioOutput:
    """Give the output half; an empty one for a transcription session."""
    audio = cast(AudioConfig, config.audio)
    return audio.output or AudioOutput(format=PCM)


def wire_format(stated: AudioFormat | Any) -> WireFormat:
    """Give the audio format that a configuration states."""
    return FORMATS[(stated or PCM).type or "audio/pcm"]


class ResponseSettings(Struct, frozen=True, kw_only=True):
    """What one response obeys: the session's configuration with the parameters of `response.create` over it."""

    instructions: str
    output_modalities: list[str]
    tools: list[Any]
    tool_choice: Any
    audio: AudioOutput
    max_output_tokens: int | str
    metadata: dict[str, str] | None
    in_band: bool
    parallel_tool_calls: bool

    @property
    def is_spoken(self) -> bool:
        """Whether messages are spoken, not written."""
        return "audio" in self.output_modalities


def settings_for(config: SessionConfig, params: ResponseCreateParams) -> ResponseSettings:
    """Put the parameters of one response over the configuration of its session."""
    audio = output_of(config)
    if params.audio and params.audio.output:
        audio = _merge(audio, params.audio.output)
    return ResponseSettings(
        instructions=_either(params.instructions, config.instructions, ""),
        output_modalities=list(_either(params.output_modalities, config.output_modalities, ["audio"])),
        tools=_either(params.tools, config.tools, []),
        tool_choice=_either(params.tool_choice, config.tool_choice, "auto"),
        audio=audio,
        max_output_tokens=_either(params.max_output_tokens, config.max_output_tokens, "inf"),
        metadata=params.metadata or None,
        in_band=params.conversation != "none",
        parallel_tool_calls=_either(params.parallel_tool_calls, config.parallel_tool_calls, True),
    )


def _either(first: Any, second: Any, default: Any) -> Any:
    return next((value for value in (first, second) if value is not UNSET and value is not None), default)


def _merge(base: _S, change: _S) -> _S:
    fresh: dict[str, Any] = {}
    for name in change.__struct_fields__:
        new = getattr(change, name)
        if new is not UNSET:
            fresh[name] = _merge_field(name, getattr(base, name), new)
    return msgspec.structs.replace(base, **fresh)


def _merge_field(name: str, old: Any, new: Any) -> Any:
    if new is None:
        return old if name in HALVES else CLEARED.get(name)
    if name == "turn_detection":
        return _merge_detection(old or None, new)
    if name == "format":
        return AudioFormat(
            type=new.type or "audio/pcm", rate=24_000 if (new.type or "audio/pcm") == "audio/pcm" else UNSET
        )
    mergeable = isinstance(new, AudioConfig | AudioInput | AudioOutput) or name in ("noise_reduction", "transcription")
    return _merge(old, new) if mergeable and old else new


def _merge_detection(old: TurnDetection | None, new: TurnDetection) -> TurnDetection:
    kind = new.type or (old.type if old else "server_vad")
    if old is None or old.type != kind:
        old = SEMANTIC_VAD if kind == "semantic_vad" else SERVER_VAD
    return _merge_plain(old, new)


def _merge_plain(old: TurnDetection, new: TurnDetection) -> TurnDetection:
    given = {name: getattr(new, name) for name in new.__struct_fields__ if getattr(new, name) is not UNSET}
    kept = {name: value for name, value in given.items() if value is not None or name == "idle_timeout_ms"}
    return msgspec.structs.replace(old, **kept)
