"""Attempts: how often the model has tried, so that it does not try for ever.

Owns the counts of one turn: failures of each tool, and the same call made again response after response. Pure.
Before it: `runner`, which asks before each call; after it: `runner`, which answers the call unrun.
"""

from __future__ import annotations

from collections import Counter

from ..events.local import ToolCall
from .options import ToolOptions

__all__ = ["Attempts"]

_Key = tuple[str, str]


class Attempts:
    """Counts the attempts of the turn that runs; without a turn nothing is counted.

    Args:
        identical: In how many responses in a row one call may come with the same arguments.
    """

    def __init__(self, identical: int) -> None:
        self._identical = identical
        self._turn: object | None = None
        self._failures: Counter[str] = Counter()
        self._response_id = ""
        self._before: dict[_Key, int] = {}
        self._now: dict[_Key, int] = {}

    def refusal(self, call: ToolCall, options: ToolOptions, turn: object | None) -> str:
        """Count a call, and give the reason why it must not run, or ""."""
        if turn is None:
            return ""
        self._enter(turn, call.response_id)
        key = (call.name, call.arguments)
        self._now[key] = self._before.get(key, 0) + 1
        if self._now[key] > self._identical:
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
            self._before, self._now, self._response_id = self._now, {}, response_id
