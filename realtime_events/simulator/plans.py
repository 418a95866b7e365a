"""What a brain is asked, and what it answers.

Owns the seam between the simulator's session and any brain: the request of one response, and the plan of items that
the session then makes real, with deltas, audio, ids and usage. Knows no event and no time. Before it: `answering.py`;
after it: the brains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from ..events.base import Struct
from ..events.items import Item
from ..events.session import Tool

__all__ = ["Brain", "Call", "Fail", "Plan", "Request", "Say"]


class Request(Struct, frozen=True, kw_only=True):
    """All that a response is made from: the conversation's items in order, and the response's settings.

    `tool_choice` is `"auto"`, `"none"`, `"required"` or an object with `type` and `name`, as a mapping or a struct.
    `session_number` tells the server's sessions apart; `turn` counts the responses of this one's conversation.
    """

    conversation: Sequence[Item]
    tools: Sequence[Tool] = ()
    tool_choice: Any = "auto"
    instructions: str = ""
    output_modalities: Sequence[str] = ("audio",)
    metadata: Mapping[str, str] | None = None
    session_number: int = 0
    turn: int = 0


class Say(msgspec.Struct, frozen=True):
    """One message of the assistant, spoken or written as the response's modality says."""

    text: str


class Call(msgspec.Struct, frozen=True):
    """One call of a tool; `arguments` is JSON text."""

    name: str
    arguments: str


class Fail(msgspec.Struct, frozen=True):
    """The response ends as failed, with this error."""

    type: str
    code: str
    message: str


Plan: TypeAlias = Sequence[Say | Call | Fail]


class Brain(Protocol):
    """Decides what a response says and calls. It may block: the session asks it off its own path."""

    def plan(self, request: Request) -> Plan:
        """Gives the items of one response, in order."""
        ...
