"""Attempts: how often the model has tried, so that it does not try for ever.

Owns the counts of one turn: failures of each tool, and the same call made again, in one response or response after
response. Pure. Before it: `runner`, which asks before each call; after it: `runner`, which answers the call unrun, or
with the result of the same call.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from ..events.local import ToolCall
from .arguments import fingerprint
from .options import ToolOptions

__all__ = ["Attempts", "Repeats"]

_Key = tuple[str, bytes]


class Repeats:
    """One call that comes again and again: how often in a row, and the last of this response that runs or has run."""

    __slots__ = ("count", "running")

    def __init__(self, count: int) -> None:
        self.count = count
        self.running: asyncio.Future[Any] | None = None


class Attempts:
    """Counts the attempts of the turn that runs; without a turn nothing is counted.

    Args:
        identical: How often in a row one tool may be called with the same arguments.
    """

    def __init__(self, identical: int) -> None:
        self._identical = identical
        self._turn: object | None = None
        self._failures: Counter[str] = Counter()
        self._response_id = ""
        self._before: dict[_Key, int] = {}
        self._now: dict[_Key, Repeats] = {}

    def count(self, call: ToolCall, turn: object | None) -> Repeats | None:
        """Count a call, and give what is known of its like; None without a turn."""
        if turn is None:
            return None
        self._enter(turn, call.response_id)
        key = (call.name, fingerprint(call.arguments))
        same = self._now.get(key)
        if same is None:
            same = self._now[key] = Repeats(self._before.get(key, 0))
        same.count += 1
        return same

    def twin(self, same: Repeats | None) -> asyncio.Future[Any] | None:
        """Give the same call of the same response that a call beyond the limit can share the result of."""
        return same.running if same is not None and same.count > self._identical else None

    def refusal(self, call: ToolCall, options: ToolOptions, same: Repeats | None) -> str:
        """Give the reason why a counted call must not run, or ""."""
        if same is None:
            return ""
        # Who only reads at the same time reads the same: that is no loop, and need not be done again.
        if same.count > self._identical and not (options.kind == "read" and self.twin(same)):
            return (
                f"{call.name!r} was called with the same arguments {self._identical} times in a row; do not repeat it"
            )
        if self._failures[call.name] >= options.max_attempts:
            tried = f"{call.name!r} has failed {self._failures[call.name]} times in this turn"
            return f"{tried}; do not call it again before the user has spoken"
        return ""

    def failed(self, call: ToolCall, turn: object | None) -> None:
        """Count a failed call, unless its turn is over."""
        if turn is not None and turn is self._turn:
            self._failures[call.name] += 1

    def _enter(self, turn: object, response_id: str) -> None:
        if turn is not self._turn:
            self._turn = turn
            self._failures.clear()
            self._before, self._now, self._response_id = {}, {}, response_id
        elif response_id != self._response_id:
            self._before = {key: same.count for key, same in self._now.items()}
            self._now, self._response_id = {}, response_id
