"""What to say again in a fresh session, so that it goes on with an old conversation.

Owns the choice: which items, and why not the others. Before it: `history.py`; after it: whoever seeds a session or
reconnects.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import NamedTuple

from ...events.items import Item
from .items import ConversationItem


class Dropped(NamedTuple):
    """An item that cannot be said again, and why."""

    item_id: str
    reason: str


class Seed(NamedTuple):
    """What to create, in order, and what is lost."""

    items: list[Item]
    dropped: list[Dropped]


def seed(items: Sequence[ConversationItem], open_calls: Set[str] = frozenset()) -> Seed:
    """Choose what can be said again; a tool call and its output only together, unless the call is being answered."""
    again = [(item, item.to_item()) for item in items]
    calls, outputs = _places(again, "function_call"), _places(again, "function_call_output")
    chosen, dropped = Seed([], []), list[Dropped]()
    answered: set[str] = set()
    for place, (item, said) in enumerate(again):
        if said is None:
            dropped.append(Dropped(item.id, _why_not(item)))
        elif item.type == "function_call" and outputs.get(item.call_id, -1) < place and item.call_id not in open_calls:
            dropped.append(Dropped(item.id, "a tool call without its output"))
        elif item.type == "function_call_output" and calls.get(item.call_id, place) >= place:
            dropped.append(Dropped(item.id, "a tool output without its call"))
        elif item.type == "function_call_output" and item.call_id in answered:
            dropped.append(Dropped(item.id, "a second output of one tool call"))
        else:
            if item.type == "function_call_output":
                answered.add(item.call_id)
            chosen.items.append(said)
    return Seed(chosen.items, dropped)


def _places(again: Sequence[tuple[ConversationItem, Item | None]], kind: str) -> dict[str, int]:
    return {item.call_id: place for place, (item, said) in enumerate(again) if said is not None and item.type == kind}


def _why_not(item: ConversationItem) -> str:
    if item.status == "in_progress":
        return "not finished"
    if item.type.startswith("mcp_"):
        return "of a hosted MCP server"
    if item.type == "function_call":
        return "a tool call that was cut off"
    if item.type != "message":
        return f"no client can create {item.type or 'an item without a type'}"
    if item.interrupted:
        return "nothing of it was heard"
    if item.transcription is not None:
        return "speech without a transcript"
    return "empty"
