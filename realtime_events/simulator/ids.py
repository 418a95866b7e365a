"""The ids that a simulated server gives.

Owns counters. Knows no event. Ids look like the service's, are unique in one server, and are the same in every run,
so that a run can be compared with another.
"""

from __future__ import annotations

from collections import defaultdict

MOST_DIGITS = 9


class Ids:
    """Ids of one session: `ids("item")` gives `item_7_000001`, then `item_7_000002`."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._given: defaultdict[str, int] = defaultdict(int)

    def __call__(self, prefix: str) -> str:
        """Give the next id with this prefix."""
        self._given[prefix] += 1
        return f"{prefix}_{self._number}_{self._given[prefix]:06d}"

    def pass_over(self, taken: str) -> None:
        """Never give an id that a client brought along, such as one of the server that ran before."""
        prefix, _, count = taken.rpartition(f"_{self._number}_")
        if count.isdecimal() and len(count) <= MOST_DIGITS:
            self._given[prefix] = max(self._given[prefix], int(count))
