"""Configurations as people write them: mappings and structs, checked before anything is sent.

Owns the strict reading of a configuration. The wire forgives what it does not know, but a field that somebody wrote is
meant: an unknown one is refused with the nearest name, and one of the beta dialect with the GA field to use.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from ...events.base import Struct
from ...events.response import ResponseCreateParams
from ...events.session import AudioFormat, SessionConfig, Tool
from ...exceptions import ConfigurationError, one_line

_Config = TypeVar("_Config", bound=Struct)

_GA_FORMATS = {
    "pcm16": '{"type": "audio/pcm", "rate": 24000}',
    "g711_ulaw": '{"type": "audio/pcmu"}',
    "g711_alaw": '{"type": "audio/pcma"}',
}
_OUTPUT_HINTS = {
    "modalities": "the beta dialect says so; use output_modalities",
    "voice": "the beta dialect has it here; use audio.output.voice",
    "output_audio_format": "the beta dialect says so; use audio.output.format",
    "max_response_output_tokens": "the beta dialect says so; use max_output_tokens",
    "temperature": "only the beta dialect has it",
}
_SESSION_HINTS = _OUTPUT_HINTS | {
    "speed": "the beta dialect has it here; use audio.output.speed",
    "input_audio_format": "the beta dialect says so; use audio.input.format",
    "input_audio_noise_reduction": "the beta dialect says so; use audio.input.noise_reduction",
    "input_audio_transcription": "the beta dialect says so; use audio.input.transcription",
    "turn_detection": "the beta dialect has it here; use audio.input.turn_detection",
    "client_secret": "only the beta dialect has it; client secrets are made over REST",
}
_HINTS: dict[type[Struct], dict[str, str]] = {
    ResponseCreateParams: _OUTPUT_HINTS,
    Tool: {"function": "its name, description and parameters stand beside type"},
}
"""What to say of a field that somebody may well have meant; anywhere else in a session it is `_SESSION_HINTS`."""


def session_config(config: Mapping[str, Any] | SessionConfig) -> SessionConfig:
    """Give a session's configuration from a mapping in the words of the GA dialect, read strictly.

    Raises `ConfigurationError` for a field or a value that is none, naming the field to use instead.
    """
    return _read(config, SessionConfig)


def response_params(params: Mapping[str, Any] | ResponseCreateParams) -> ResponseCreateParams:
    """Give the parameters of `response.create` from a mapping in the words of the GA dialect, read strictly.

    Raises `ConfigurationError` for a field or a value that is none, naming the field to use instead.
    """
    return _read(params, ResponseCreateParams)


def check_config(config: Mapping[str, Any] | Struct, *, dialect: str = "ga") -> None:
    """Refuse a session configuration that cannot be sent as it is meant.

    Raises `ConfigurationError` for a field or an audio format of the beta dialect, for one that does not exist, and,
    when `dialect` is `beta`, for a GA field that beta has no word for. `config` itself is in GA words either way.
    """
    read = session_config(config if isinstance(config, (SessionConfig, Mapping)) else msgspec.to_builtins(config))
    if dialect == "beta":
        _refuse_unsayable(read)


def _read(config: Mapping[str, Any] | _Config, cls: type[_Config]) -> _Config:
    given: Mapping[str, Any] = msgspec.to_builtins(config) if isinstance(config, Struct) else config
    _refuse_unknown(given, cls, "")
    if isinstance(config, cls):
        return config
    try:
        return msgspec.convert(given, cls)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"wrong value in the configuration: {one_line(str(error), limit=300)}") from None


def _refuse_unknown(given: Mapping[str, Any], cls: type[Struct], path: str) -> None:
    fields = _fields(cls)
    for name, value in given.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in fields:
            raise ConfigurationError(f"unknown field {where!r} in the configuration{_hint(str(name), cls)}")
        nested = fields[name]
        if nested is AudioFormat:
            _refuse_beta_format(value, where)
        if nested is not None:
            _refuse_unknown_within(value, nested, where)


def _refuse_unknown_within(value: Any, cls: type[Struct], path: str) -> None:
    if isinstance(value, Mapping):
        _refuse_unknown(cast("Mapping[str, Any]", value), cls, path)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(cast("Sequence[Any]", value)):
            _refuse_unknown_within(inner, cls, f"{path}[{index}]")


def _refuse_beta_format(value: Any, where: str) -> None:
    said = cast("Mapping[str, Any]", value).get("type") if isinstance(value, Mapping) else value
    if isinstance(said, str) and said in _GA_FORMATS:
        raise ConfigurationError(
            f"{said!r} at {where!r} is an audio format of the beta dialect; use {_GA_FORMATS[said]}"
        )


def _hint(name: str, cls: type[Struct]) -> str:
    if said := _HINTS.get(cls, _SESSION_HINTS).get(name):
        return f": {said}"
    if near := difflib.get_close_matches(name, _fields(cls), n=1):
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(_fields(cls))}"


@cache
def _fields(cls: type[Struct]) -> dict[str, type[Struct] | None]:
    """Give a struct's fields, each with the struct that it or its elements hold, if any."""
    return {name: next(_structs(hint), None) for name, hint in get_type_hints(cls).items()}


def _structs(hint: Any) -> Iterator[type[Struct]]:
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    # The keys of a dict are the user's own words, not fields.
    elif get_origin(hint) is not dict:
        for argument in get_args(hint):
            yield from _structs(argument)


def _refuse_unsayable(config: SessionConfig) -> None:
    from .conversion import session_to_beta, session_to_ga

    kind = "transcription" if config.type == "transcription" else "realtime"
    said = session_to_ga(session_to_beta(config), kind)
    lost = next(_lost(msgspec.to_builtins(config), msgspec.to_builtins(said), ""), None)
    if lost is not None:
        raise ConfigurationError(f"the beta dialect has no word for {lost!r}; leave it out or connect to a GA endpoint")


def _lost(meant: Mapping[str, Any], said: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, value in meant.items():
        where = f"{path}.{name}" if path else name
        other = said.get(name)
        if isinstance(value, Mapping):
            within = cast("Mapping[str, Any]", other if isinstance(other, Mapping) else {})
            yield from _lost(cast("Mapping[str, Any]", value), within, where)
        elif name not in said or value != other:
            yield where
