"""Resuming: what a fresh session must be told, so that it goes on where the old one was lost.

Owns the choice and the new ids: ids of a dead incarnation are never sent to a new one. Pure. Before it: the
conversation of the old incarnation; after it: the session, which says it again, and the conversation, which takes the
new ids.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from ..events.base import UNSET
from ..events.items import Item
from ..events.session import SessionConfig
from .conversation import Conversation

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(slots=True)
class Resumption:
    """What was said again, and what was not.

    Attributes:
        ids: The new id of each item that was said again, by its old one.
        call_ids: The new id of each tool call, by its old one.
        dropped: The old ids of finished items that cannot be said again, or that the server refused.
        lost_in_flight: The old ids of items that were not finished.
        behind: The new id of the item that a new item comes behind, "root" for the first; UNSET for the end.
        told: The configuration that the new session was told; None before it was told any.
    """

    ids: dict[str, str] = field(default_factory=dict[str, str])
    call_ids: dict[str, str] = field(default_factory=dict[str, str])
    dropped: list[str] = field(default_factory=list[str])
    lost_in_flight: list[str] = field(default_factory=list[str])
    behind: dict[str, Any] = field(default_factory=dict[str, Any])
    told: SessionConfig | None = None
    _refused: dict[str, None] = field(default_factory=dict[str, None])

    def take(
        self, conversation: Conversation, new_id: Callable[[str], str], open_calls: Set[str] = frozenset()
    ) -> list[Item]:
        """Give the items that have to be said, with new ids; those that have one already are left out.

        The tool calls of `open_calls` are among them, although their output will follow later.
        """
        seed = conversation.seed(open_calls)
        self.dropped, self.lost_in_flight = list(self._refused), []
        for dropped in seed.dropped:
            item = conversation.get(dropped.item_id)
            in_flight = item is not None and item.status == "in_progress"
            (self.lost_in_flight if in_flight else self.dropped).append(dropped.item_id)
        new = {item.id: item for item in seed.items if item.id not in self.ids and item.id not in self._refused}
        items, before, is_first = list[Item](), "root", not self.ids
        for known in conversation:
            if known.id in new:
                items.append(self._renamed(new[known.id], new_id))
                # What was finished after the first round goes to its place among the others.
                self.behind[items[-1].id or ""] = UNSET if is_first else before
            before = self.ids.get(known.id, before)
        return items

    def _renamed(self, item: Item, new_id: Callable[[str], str]) -> Item:
        renamed = self.ids[item.id or ""] = new_id("item")
        call_id: Any = UNSET
        if item.call_id:
            call_id = self.call_ids.setdefault(item.call_id, new_id("call"))
        return msgspec.structs.replace(item, id=renamed, call_id=call_id)

    @property
    def lost(self) -> list[str]:
        """The old ids of all items that the new session does not know."""
        return [*self.dropped, *self.lost_in_flight]

    def refused(self, new_item_id: str) -> None:
        """Take note that the server did not take an item."""
        for old, new in list(self.ids.items()):
            if new == new_item_id:
                del self.ids[old]
                self._refused[old] = None
                self.dropped.append(old)


def merged(config: SessionConfig, changes: SessionConfig) -> SessionConfig:
    """Give a configuration with changes: what is absent is kept, and None stays None."""
    return _merged(config, changes)


def _merged(old: S, new: S) -> S:
    changed: dict[str, Any] = {}
    for name in new.__struct_fields__:
        value, before = getattr(new, name), getattr(old, name)
        if value is UNSET:
            continue
        mergeable = isinstance(value, msgspec.Struct) and type(before) is type(value) and not hasattr(value, "type")
        changed[name] = _merged(before, value) if mergeable else value
    return msgspec.structs.replace(old, **changed)
