"""From what a tool returned or raised to the text that the model reads.

Owns the encoding, the size limit and the wording of failures. Knows no task and no socket.
Before it: `runner`; after it: the session, which sends the text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..exceptions import ToolError
from .foreign import encode_foreign

__all__ = ["MAX_OUTPUT_BYTES", "Outcome", "encode_output", "failure_text"]

MAX_OUTPUT_BYTES = 256 * 1024
"""How much of a result the model is given, where its tool says nothing else."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool call ended: `output` is the text for the model, `error` what went wrong, if anything did."""

    output: str
    error: BaseException | None = None
    value: Any = None


_encoder = msgspec.json.Encoder(enc_hook=encode_foreign)


def encode_output(value: Any, limit_bytes: int = MAX_OUTPUT_BYTES) -> str:
    """Give a result as text: a string as it is, anything else as JSON; cut at `limit_bytes` of UTF-8.

    Raises:
        TypeError: the value cannot be written as JSON; its type is named.
    """
    if isinstance(value, str):
        return _sendable(value, limit_bytes)
    try:
        return _sendable(_encoder.encode(value).decode(), limit_bytes)
    except (TypeError, ValueError, NotImplementedError, OverflowError, RecursionError) as error:
        raise TypeError(f"a result of type {type(value).__qualname__} cannot be written as JSON: {error}") from error


def failure_text(name: str, error: BaseException, *, expose: bool = False) -> str:
    """Tell the model why a call failed, as a JSON object with the field `error`.

    The text of a `ToolError` is meant for the model; that of any other exception is told only if `expose` says so.
    """
    if isinstance(error, ToolError):
        told = _text_of(error) or f"{name!r} failed"
    elif expose:
        told = f"{name!r} failed: {type(error).__name__}: {_text_of(error)}"
    else:
        told = f"{name!r} failed with an internal error"
    return _sendable(_encoder.encode({"error": _without_surrogates(told)}).decode(), MAX_OUTPUT_BYTES)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as worse:  # noqa: BLE001  somebody's __str__ must not cost the answer
        return f"(no text: {type(worse).__name__})"


def _sendable(text: str, limit_bytes: int) -> str:
    """Give a text that UTF-8 can carry and that is within the limit, marked where it was cut."""
    if text.isascii():
        return text if len(text) <= limit_bytes else _cut(text.encode(), limit_bytes)
    data = _without_surrogates(text).encode()
    return data.decode() if len(data) <= limit_bytes else _cut(data, limit_bytes)


def _cut(data: bytes, limit_bytes: int) -> str:
    marker = f"\n… [cut: {len(data):,} bytes in all, which is over the limit of {limit_bytes:,}]"
    return data[: limit_bytes - len(marker.encode())].decode(errors="ignore") + marker


def _without_surrogates(text: str) -> str:
    """Join surrogate pairs and replace lone ones, which no UTF-8 encoder takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
