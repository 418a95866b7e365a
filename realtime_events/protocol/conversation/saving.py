"""A conversation as JSON text, and back.

Owns the envelope and its version. Fields that a newer version added are passed over; a newer format is refused. Before
it: `history.py`; after it: a file of the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ...exceptions import ConfigurationError
from .items import PCM16_BYTES_PER_MS, ConversationItem

FORMAT: Final = "realtime_events.conversation"
VERSION: Final = 1


class _Header(msgspec.Struct, kw_only=True):
    format: str = ""
    version: int = 0


class Saved(_Header, kw_only=True):
    """A conversation as it is saved; times are on the clock of the session that had it."""

    began_s: float | None = None
    bytes_per_ms: int = PCM16_BYTES_PER_MS
    items: list[ConversationItem]


def to_json(items: Sequence[ConversationItem], *, began_s: float | None, bytes_per_ms: int) -> str:
    """Give items as JSON text."""
    saved = Saved(format=FORMAT, version=VERSION, began_s=began_s, bytes_per_ms=bytes_per_ms, items=list(items))
    return msgspec.json.encode(saved).decode()


def from_json(data: str | bytes) -> Saved:
    """Give what was saved.

    Raises:
        ConfigurationError: This is no saved conversation, or one of a newer format.
    """
    try:
        header = msgspec.json.decode(data, type=_Header)
        if header.format != FORMAT:
            raise ConfigurationError(f"this is no saved conversation: its format is {header.format!r}, not {FORMAT!r}")
        if header.version != VERSION:
            raise ConfigurationError(f"the conversation was saved as version {header.version}; known is {VERSION}")
        saved = msgspec.json.decode(data, type=Saved)
    # A lone surrogate cannot be encoded, and nesting without end meets the interpreter's limit.
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigurationError(f"this is no saved conversation: {error}") from error
    _check_ids(saved.items)
    return saved


def _check_ids(items: Sequence[ConversationItem]) -> None:
    seen: set[str] = set()
    for item in items:
        if not item.id or item.id in seen:
            what = f"two items have the id {item.id!r}" if item.id else "an item has no id"
            raise ConfigurationError(f"this is no saved conversation: {what}")
        seen.add(item.id)
