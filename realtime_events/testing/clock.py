"""A clock that is moved by hand.

Owns `ManualClock`, which stands in wherever the package takes `clock=`. Knows nothing else. The room before is the
test; the one after is whatever asks for the time.
"""

from __future__ import annotations


class ManualClock:
    """A clock that stands still until it is moved. Seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Give the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        self.now += seconds
