"""The base classes of every event.

Owns what all events share: frozen, keyword-only msgspec structs whose `type` is their name.
Knows no event by name. Before it: `secrecy.py`, which says what `repr` hides; after it: the vocabulary modules beside
it.

Three states of an optional wire field are three different values: absent is `UNSET`, null is `None`, and zero is
zero. Both `UNSET` and `None` are false, so `if event.field:` asks for a value that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, cast

import msgspec
from msgspec import UNSET, UnsetType

from ..secrecy import HIDDEN, URL_FIELDS, bare_url, hide_keys, is_secret_field

__all__ = [
    "UNSET",
    "ClientEvent",
    "DeltaEvent",
    "Event",
    "LocalEvent",
    "MalformedEvent",
    "Number",
    "ServerEvent",
    "Struct",
    "UnknownEvent",
    "UnsetType",
]


Number: TypeAlias = int | float
"""A JSON number, kept as it came: 1 stays 1 and 1.0 stays 1.0."""

_AUDIO = frozenset({"audio", "delta"})


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that events are made of. Its `repr` leaves out what is absent, keys, and the bytes of audio."""

    def __repr__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = ", ".join(f"{name}={_shown(name, value)}" for name, value in fields if value is not UNSET)
        return f"{type(self).__name__}({shown})"


def _shown(name: str, value: object) -> str:
    if value and is_secret_field(name):
        return HIDDEN
    if isinstance(value, bytes):
        return f"<pcm {len(value)} B>" if name in _AUDIO else f"<{len(value)} B>"
    if isinstance(value, str):
        return _shown_text(name, value)
    if isinstance(value, dict):
        fields = cast("Mapping[object, object]", value).items()
        return "{" + ", ".join(f"{key!r}: {_shown(str(key), inner)}" for key, inner in fields) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(name, inner) for inner in cast("list[object]", value)) + "]"
    return repr(value)


def _shown_text(name: str, text: str) -> str:
    if name in URL_FIELDS:
        return repr(bare_url(text))
    if text.startswith("data:"):  # an image
        return f"<{text[:80].partition(',')[0]}, {len(text)} characters>"
    return repr(hide_keys(text))


class Event(Struct, frozen=True, kw_only=True):
    """Anything a handler can be given."""

    @property
    def type(self) -> str:
        """The event's name, as on the wire for wire events."""
        return str(self.__struct_config__.tag)


class ServerEvent(Event, frozen=True, kw_only=True, tag_field="type"):
    """An event that the server sends. `event_id` is the server's own; a few servers and one event leave it out."""

    event_id: str | UnsetType = UNSET


class DeltaEvent(ServerEvent, frozen=True, kw_only=True):
    """A piece of something that comes again whole in a later event.

    A lane that is full may drop its oldest deltas, and only those.
    """


class ClientEvent(Event, frozen=True, kw_only=True, tag_field="type"):
    """An event that the client sends. `event_id` comes back in the server's `error` if the event is refused."""

    event_id: str | UnsetType = UNSET


class LocalEvent(Event, frozen=True, kw_only=True, tag_field="type"):
    """An event made by this package, never seen on the wire."""


class UnknownEvent(Event, frozen=True, kw_only=True):
    """A frame whose `type` this package does not know; published as `event.unknown`.

    `type` is the wire's type, `raw` the frame's bytes as they came.
    """

    type: str  # pyright: ignore[reportIncompatibleMethodOverride]
    raw: bytes


class MalformedEvent(Event, frozen=True, kw_only=True, tag="event.malformed"):
    """A frame that is no event; published as `event.malformed`.

    `raw` is the frame's bytes as they came, `reason` what is wrong with them.
    """

    raw: bytes
    reason: str
