"""The codec: frames to events and back.

Owns the decoding of a frame and what becomes of one that is no event; `decode` is total, no input makes it raise.
Knows no state and no meaning. Before it: the door, which gives bytes. After it: the dialect, then State.

A frame is decoded once, straight into the union of all events that its connection can carry. Only when that fails is
the frame's header looked at, to tell an event newer than this package from a broken one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeAlias, Union

import msgspec

from ..events.base import ClientEvent, Event, MalformedEvent, ServerEvent, UnknownEvent
from ..events.client import CLIENT_EVENTS
from ..events.server import SERVER_EVENTS
from ..exceptions import LocalProtocolError, one_line
from .dialect import Dialect, to_beta

Side: TypeAlias = Literal["server", "client"]
"""Who sent the frame."""

Kind: TypeAlias = Literal["realtime", "transcription", "translation"]
"""The kind of session; the kinds use the same names with other shapes."""

Decoder: TypeAlias = "msgspec.json.Decoder[ServerEvent | ClientEvent]"
"""What decodes the frames of one connection."""

# What msgspec raises is a ValueError only since 0.21; UnicodeError is one everywhere.
DECODE_ERRORS: tuple[type[Exception], ...] = (msgspec.MsgspecError, ValueError, RecursionError)
"""Everything that a decoder raises."""


class _Header(msgspec.Struct):
    type: Any = None


_decode_header: Callable[[bytes], _Header] = msgspec.json.Decoder(_Header).decode
_encode: Callable[[Event], bytes] = msgspec.json.Encoder().encode


def decode(data: bytes | str, *, dialect: Dialect = "ga", side: Side = "server", kind: Kind = "realtime") -> Event:
    """Give the event that a frame says, in the class of its own dialect; never raises.

    An event this package does not know is an `UnknownEvent`; anything else that does not fit is a `MalformedEvent`
    which says why. Both keep the frame's bytes.
    """
    try:
        return _decoder(dialect, side, kind).decode(data)
    except DECODE_ERRORS as error:
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
        return recover(raw, error, dialect=dialect, side=side, kind=kind)


def encode(event: Event, *, dialect: Dialect = "ga") -> bytes:
    """Give the frame of an event, with absent fields left out and null ones as null.

    A GA event is put into the words of `dialect`; an event of the beta dialect goes as it is, and one that was not
    understood as the bytes it came as. Raises `LocalProtocolError` for an event that the dialect has no word for.
    """
    if isinstance(event, (UnknownEvent, MalformedEvent)):
        return event.raw
    if dialect == "beta":
        said = to_beta(event)
        if said is None:
            raise LocalProtocolError(f"the beta dialect has no word for {event.type}")
        event = said
    return _encode(event)


def decoder(*, dialect: Dialect = "ga", side: Side = "server", kind: Kind = "realtime") -> Decoder:
    """Give the decoder of a connection, whose `decode` is the fast way in.

    It raises one of `DECODE_ERRORS` where the frame is no event that it knows; hand that to `recover`.
    """
    return _decoder(dialect, side, kind)


def recover(
    data: bytes, error: Exception, *, dialect: Dialect = "ga", side: Side = "server", kind: Kind = "realtime"
) -> UnknownEvent | MalformedEvent:
    """Give what a frame is that a decoder refused with `error`; never raises."""
    try:
        name = _decode_header(data).type
    except DECODE_ERRORS as broken:
        return MalformedEvent(raw=data, reason=_reason(broken))
    if isinstance(name, str) and name not in _names(dialect, side, kind):
        return UnknownEvent(type=name, raw=data)
    if name is None:
        return MalformedEvent(raw=data, reason="an object without `type`")
    if not isinstance(name, str):
        return MalformedEvent(raw=data, reason=f"`type` is no string, but of type {type(name).__name__}")
    return MalformedEvent(raw=data, reason=f"{name}: {_reason(error)}")


@cache
def _decoder(dialect: Dialect, side: Side, kind: Kind) -> Decoder:
    return msgspec.json.Decoder(Union[_events(dialect, side, kind)])  # noqa: UP007 - a union made from a tuple


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return one_line(str(error), limit=300)


def _events(dialect: Dialect, side: Side, kind: Kind) -> tuple[type[ServerEvent | ClientEvent], ...]:
    if kind == "translation":
        from ..events import translation

        return translation.SERVER_EVENTS if side == "server" else translation.CLIENT_EVENTS
    if dialect == "beta":
        from ..events import beta

        return beta.SERVER_EVENTS if side == "server" else beta.CLIENT_EVENTS
    return SERVER_EVENTS if side == "server" else CLIENT_EVENTS


@cache
def _names(dialect: Dialect, side: Side, kind: Kind) -> frozenset[str]:
    return frozenset(str(cls.__struct_config__.tag) for cls in _events(dialect, side, kind))
