"""What a simulated session will do, and when.

Owns an ordered list of actions with due times. Knows no clock and no event: time is a number of seconds that comes
in with each call. Before it: `session.py`, which puts actions in; after it: the same, which lets them run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TypeAlias

Action: TypeAlias = Callable[[float], None]


class Ticket:
    """One planned action; `cancel()` takes it back."""

    __slots__ = ("_action", "due", "order")

    def __init__(self, due: float, order: int, action: Action) -> None:
        self.due = due
        self.order = order
        self._action: Action | None = action

    def __lt__(self, other: Ticket) -> bool:
        return (self.due, self.order) < (other.due, other.order)

    @property
    def is_open(self) -> bool:
        """Whether the action is still to run."""
        return self._action is not None

    def cancel(self) -> None:
        """Take the action back; a second time is fine."""
        self._action = None

    def run(self) -> None:
        """Run the action once, at its own due time."""
        action, self._action = self._action, None
        if action is not None:
            action(self.due)


class Timeline:
    """Actions in the order of their due times; those due at the same time run in the order they came."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._order = 0

    def at(self, due: float, action: Action) -> Ticket:
        """Plan an action. It is called with its due time, so that what it plans next does not drift."""
        self._order += 1
        ticket = Ticket(due, self._order, action)
        heapq.heappush(self._tickets, ticket)
        return ticket

    def next_due(self) -> float | None:
        """Give the time of the next action, or None."""
        self._forget_cancelled()
        return self._tickets[0].due if self._tickets else None

    def step(self, now: float) -> bool:
        """Run the first action that is due; False where none is."""
        self._forget_cancelled()
        if not self._tickets or self._tickets[0].due > now:
            return False
        heapq.heappop(self._tickets).run()
        return True

    def clear(self) -> None:
        """Take everything back."""
        self._tickets.clear()

    def _forget_cancelled(self) -> None:
        while self._tickets and not self._tickets[0].is_open:
            heapq.heappop(self._tickets)
