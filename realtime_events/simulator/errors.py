"""Refusals, in the API's words.

Owns the sentences, codes and parameters with which the service refuses a client event or an HTTP request. Knows no
socket and no session. The codes are those that the service is seen to use; where none is known, the nearest one of
its family is taken (see `docs/explanation/fidelity.md`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

MESSAGE_LIMIT = 1_000
INVALID_REQUEST = "invalid_request_error"
SERVER_FAILED = "The server had an error while processing your request."

_EVENT = re.compile(r"^[\w.]+: ")
_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_EXPECTED = re.compile(r"^Expected `([^`]+)`, got `([^`]+)`")
_MISSING = re.compile(r"^Object missing required field `([^`]+)`")
_JSON_NAMES = {"str": "a string", "int": "an integer", "float": "a number", "bool": "a boolean", "null": "null"}


class Refusal(Exception):
    """Something that the client asked for and does not get.

    Fields: `message`, `type`, `code`, `param` (the field at fault, dotted from the event), and for HTTP `status` and
    `headers`.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None,
        param: str | None = None,
        type: str = INVALID_REQUEST,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = _cut(message, MESSAGE_LIMIT)
        self.code = code
        self.param = param and _cut(param)
        self.type = type
        self.status = status
        self.headers = dict(headers or {})
        super().__init__(message)

    def body(self) -> bytes:
        """Give the API's error body, as HTTP answers carry it."""
        said = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": said})


def missing(param: str) -> Refusal:
    """A field that must be there is not."""
    return Refusal(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def unknown(param: str) -> Refusal:
    """A field that the API does not have."""
    return Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def invalid_value(param: str, got: object, supported: Iterable[str] = ()) -> Refusal:
    """A value outside the closed set of the field."""
    names = [f"'{name}'" for name in supported]
    shown = f"'{got}'" if isinstance(got, str) else msgspec.json.encode(got).decode()
    choice = f" Supported values are: {_list(names)}." if names else ""
    return Refusal(f"Invalid value: {_cut(shown)}.{choice}", code="invalid_value", param=param)


def out_of_range(param: str, got: float, low: float, high: float) -> Refusal:
    """A number outside its range."""
    code, edge, bound = (
        ("decimal_below_min_value", "below minimum value. Expected a value >=", low)
        if got < low
        else ("decimal_above_max_value", "above maximum value. Expected a value <=", high)
    )
    if isinstance(got, int):
        code = code.replace("decimal", "integer")
    kind = "integer" if isinstance(got, int) else "decimal"
    return Refusal(f"Invalid '{param}': {kind} {edge} {bound}, but got {got} instead.", code=code, param=param)


def too_long(param: str, got: int, limit: int) -> Refusal:
    """A string over its limit."""
    text = (
        f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {got} instead."
    )
    return Refusal(text, code="string_above_max_length", param=param)


def not_matching(param: str, pattern: str) -> Refusal:
    """A string of the wrong form."""
    text = f"Invalid '{param}': string does not match pattern. Expected a string that matches '{pattern}'."
    return Refusal(text, code="invalid_value", param=param)


_BETA_PARAMS = {
    "audio.input.format": "input_audio_format",
    "audio.input.transcription": "input_audio_transcription",
    "audio.input.noise_reduction": "input_audio_noise_reduction",
    "audio.input.turn_detection": "turn_detection",
    "audio.output.format": "output_audio_format",
    "audio.output.voice": "voice",
    "audio.output.speed": "speed",
    "output_modalities": "modalities",
    "max_output_tokens": "max_response_output_tokens",
}


def beta_param(param: str | None) -> str | None:
    """Give a field in the words of the beta dialect."""
    root, _, path = (param or "").partition(".")
    for ga, beta in _BETA_PARAMS.items():
        if path == ga or path.startswith(f"{ga}."):
            tail = "" if ga.endswith("format") else path[len(ga) :]
            return f"{root}.{beta}{tail}"
    return param


def from_validation(reason: str) -> Refusal:
    """Turn msgspec's sentence about a frame of the wrong shape into the API's."""
    reason = _EVENT.sub("", reason)
    at = _AT.search(reason)
    path = at.group(1) if at else ""
    if lost := _MISSING.match(reason):
        return missing(".".join(filter(None, (path, lost.group(1)))))
    if wrong := _EXPECTED.match(reason):
        expected, got = (_in_words(name) for name in wrong.groups())
        text = f"Invalid type for '{path or 'event'}': expected {expected}, but got {got} instead."
        return Refusal(text, code="invalid_type", param=path or None)
    if reason.startswith("Invalid base64"):
        text = f"Invalid '{path}'. Expected base64-encoded audio bytes but got an invalid value."
        return Refusal(text, code="invalid_value", param=path)
    return Refusal(f"Invalid event: {_cut(reason)}.", code="invalid_event", param=path or None)


def check_known(sent: bytes, understood: bytes) -> None:
    """Refuse a JSON text with a field that is not in what was understood of it.

    Raises:
        Refusal: There is one, or the text is broken where nobody looked (in a field that is not known).
    """
    try:
        lost = first_unknown(msgspec.json.decode(sent), msgspec.json.decode(understood))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise from_validation(str(error)) from None
    if lost is not None:
        raise unknown(lost)


def first_unknown(sent: Any, understood: Any, path: str = "") -> str | None:
    """Give the path of the first field that was sent and not understood.

    `understood` is what is left of `sent` after it went through the vocabulary, which drops what it does not know.
    """
    if isinstance(sent, dict) and isinstance(understood, dict):
        for key, value in cast(dict[str, Any], sent).items():
            here = f"{path}.{key}" if path else key
            if key not in understood:
                return here
            if found := first_unknown(value, understood[key], here):
                return found
    if isinstance(sent, list) and isinstance(understood, list):
        pairs = zip(_list_of(sent), _list_of(understood), strict=False)
        for index, (one, other) in enumerate(pairs):
            if found := first_unknown(one, other, f"{path}[{index}]"):
                return found
    return None


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"


def _in_words(names: str) -> str:
    words = [name.strip() for name in names.split("|")]
    return " or ".join(_in_word(word) for word in words if word != "null" or len(words) == 1)


def _in_word(name: str) -> str:
    return _JSON_NAMES.get(name, f"an {name}" if name[:1] in "aeiou" else f"a {name}")


def _cut(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _list_of(value: Any) -> list[Any]:
    return list(value)
