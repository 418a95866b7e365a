"""From the conversation there is to the one that is wanted, in the fewest steps.

Owns the comparison of items and the plan. Items cannot be changed or moved on the server: one that is other, or stands
elsewhere, is deleted and created again, under a fresh id. Before it: `history.py`; after it: the session, which sends
the steps in their order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from ...events.base import UNSET, ClientEvent
from ...events.client import ConversationItemCreate, ConversationItemDelete
from ...events.items import ContentPart, Item
from ...exceptions import ConfigurationError
from .items import ConversationItem
from .order import ROOT

Wanted: TypeAlias = Item | ConversationItem
Key: TypeAlias = tuple[Any, ...]
Link: TypeAlias = tuple[int, int, Any]


def plan_edit(
    conversation: Iterable[ConversationItem], wanted: Sequence[Wanted], *, new_id: Callable[[str], str]
) -> list[ClientEvent]:
    """Give the fewest deletions and creations that turn a conversation into the items wanted, in their order.

    An item stays if it is wanted as it is, which means: with its id, or without one, and with the words that it has; it
    does not matter whether these are spoken or written. What must be created anew and was spoken is created as text.

    Args:
        conversation: The items there are.
        wanted: Items of the conversation, or new ones.
        new_id: Gives a fresh id with the given prefix.

    Raises:
        ConfigurationError: An item must be created anew, and cannot be: it is empty, unfinished or an MCP server's.
    """
    current = list(conversation)
    kept = _longest_common(current, wanted)
    stays = set(kept.values())
    steps: list[ClientEvent] = [
        ConversationItemDelete(item_id=item.id) for place, item in enumerate(current) if place not in stays
    ]
    taken, previous = {item.id for item in current}, ROOT
    for place, item in enumerate(wanted):
        if place in kept:
            previous = current[kept[place]].id
            continue
        item_id = item.id if item.id and item.id not in taken else new_id("item")
        taken.add(item_id)
        created = msgspec.structs.replace(creatable(item), id=item_id)
        steps.append(ConversationItemCreate(item=created, previous_item_id=previous))
        previous = item_id
    return steps


def creatable(item: Wanted) -> Item:
    """Give an item as a client can create it.

    Raises:
        ConfigurationError: It cannot be created.
    """
    made = item.to_item() if isinstance(item, ConversationItem) else _as_sent(item)
    if made is None:
        name = f"{item.type or 'item'} {item.id!r}"
        raise ConfigurationError(f"{name} cannot be created again: it is empty, unfinished or a hosted MCP server's")
    return made


def _as_sent(item: Item) -> Item | None:
    if item.type in ("mcp_call", "mcp_list_tools", "mcp_approval_request"):
        return None
    if item.content:
        content = [sent for part in item.content if (sent := _part_as_sent(part, item.role)) is not None]
        if not content:
            return None
        item = msgspec.structs.replace(item, content=content)
    elif item.type == "message":
        return None
    return msgspec.structs.replace(item, status=UNSET, object=UNSET)


def _part_as_sent(part: ContentPart, role: Any) -> ContentPart | None:
    """Give a part as a client can send it: speech that is not at hand as its transcript."""
    if part.image_url or (part.audio and role != "assistant"):
        return part
    words = part.text or part.transcript
    kind = "output_text" if role == "assistant" else "input_text"
    return ContentPart(type=kind, text=words) if words else None


def _longest_common(current: Sequence[ConversationItem], wanted: Sequence[Wanted]) -> dict[int, int]:
    """Give the longest common subsequence as places in `wanted` to places in `current`.

    All pairs that match, in the order of `wanted` and backwards in `current`: their longest rising subsequence is it.
    """
    ends: list[int] = []  # The lowest place in `current` at which a common subsequence of each length ends.
    links: list[Link] = []  # And how: a place in `wanted`, one in `current`, and the link before.
    for place, matching in enumerate(_matches(current, wanted)):
        for at in reversed(matching):
            length = bisect_left(ends, at)
            link: Link = (place, at, links[length - 1] if length else None)
            if length == len(ends):
                ends.append(at)
                links.append(link)
            else:
                ends[length], links[length] = at, link
    common: dict[int, int] = {}
    last: Link | None = links[-1] if links else None
    while last is not None:
        place, at, last = last
        common[place] = at
    return common


def _matches(current: Sequence[ConversationItem], wanted: Sequence[Wanted]) -> list[list[int]]:
    """Give for each item wanted the places of those items that are the same, in rising order."""
    by_content: defaultdict[Key, list[int]] = defaultdict(list)
    by_id = {item.id: place for place, item in enumerate(current)}
    keys = [_keys_of(item) for item in current]
    for place, known in enumerate(keys):
        for key in known:
            by_content[key].append(place)
    found: list[list[int]] = []
    for item in wanted:
        if not item.id:
            found.append(by_content.get(_key(item), []))
            continue
        at = by_id.get(item.id, -1)
        same = at >= 0 and (item is current[at] or not _keys_of(item).isdisjoint(keys[at]))
        found.append([at] if same else [])
    return found


def _keys_of(item: Wanted) -> set[Key]:
    """Give an item's contents: all of it, and what is left of it when it is said again."""
    again = item.to_item() if isinstance(item, ConversationItem) else None
    return {_key(item)} if again is None else {_key(item), _key(again)}


def _key(item: Wanted) -> Key:
    parts: list[tuple[Any, str]]
    if isinstance(item, ConversationItem):
        parts = [(str(part), part.image_url) for part in item.parts]
    else:
        parts = [
            (part.text or part.transcript or part.audio or "", part.image_url or "") for part in item.content or ()
        ]
    said = tuple(part for part in parts if any(part))
    call = (item.call_id or "", item.name or "", item.arguments or "", item.output or "")
    return (item.type or "", item.role or "", said, *call)
