"""The order of a conversation's items.

Owns which item stands behind which. The server says it once for each item, by the id of the item before; what it says
may come in any order, twice, or not at all. Knows ids only. Before it: `history.py`; after it: the list a user sees.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

ROOT: Final = "root"
SUREST: Final = 99  # A place that no later event moves.
REMEMBERED_REMOVED: Final = 1024


@dataclass(slots=True)
class _Place:
    """What is known of one id's place: `previous` is None while nobody said it, `told` is when it was said."""

    previous: str | None = None
    sureness: int = -1
    told: int = -1


class Order:
    """Ids in order.

    A removed id keeps its place without being shown, so that what stood behind it stays where it was. An id whose place
    nobody has told, or whose predecessor is not known yet, stands at the end, in the order of first sight. Of several
    ids with one predecessor, the one told last is nearest to it, because it was inserted there.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._named: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._walked: list[str] | None = []
        self._shown: list[str] | None = []
        self._told = 0

    def see(self, item_id: str) -> None:
        """Take note of an id whose place is not known."""
        if item_id not in self._places:
            self._places[item_id] = _Place()
            self._append(item_id, at_end=True)

    def put(self, item_id: str, previous: str, sureness: int) -> None:
        """Take note of the id before an id, `ROOT` for the front; what is surer wins, then what came first."""
        place = self._places.get(item_id)
        if previous == item_id or (place is not None and place.sureness >= sureness):
            return
        if place is not None and place.previous == previous:
            place.sureness = sureness
            return
        self._told += 1
        is_new = place is None
        self._places[item_id] = _Place(previous, sureness, self._told)
        self._named[previous] = None
        if is_new:
            self._append(item_id, at_end=self._is_last(previous))
        elif not self._stays_last(item_id, previous):
            self._walked = self._shown = None

    def remove(self, item_id: str) -> None:
        """Show an id no more, nor ever again."""
        self.see(item_id)
        self._removed[item_id] = None
        self._shown = None
        if len(self._removed) > 2 * REMEMBERED_REMOVED:
            self._compact()

    def _compact(self) -> None:
        """Forget the places of removed ids, and the oldest of those ids: what is shown stands as it stood."""
        shown = self.ids()
        self._removed = dict.fromkeys(list(self._removed)[-REMEMBERED_REMOVED:])
        self._places = {
            item_id: _Place(previous, SUREST, told)
            for told, (previous, item_id) in enumerate(pairwise([ROOT, *shown]), 1)
        }
        self._told = len(shown)
        self._named = dict.fromkeys([ROOT, *shown[:-1]])
        self._walked, self._shown = list(shown), list(shown)

    def forget(self, item_id: str) -> None:
        """Take an id out as if it had never been seen, unless it was removed."""
        if item_id not in self._removed and self._places.pop(item_id, None) is not None:
            self._walked = self._shown = None

    def is_removed(self, item_id: str) -> bool:
        """Say whether an id was removed."""
        return item_id in self._removed

    def ids(self) -> list[str]:
        """Give the ids in order; the list is ours."""
        if self._shown is None:
            if self._walked is None:
                self._walked = self._walk()
            self._shown = [item_id for item_id in self._walked if item_id not in self._removed]
        return self._shown

    def _append(self, item_id: str, *, at_end: bool) -> None:
        # Nearly every item comes after all others: then nothing needs to be walked again.
        if at_end and self._walked is not None and item_id not in self._named:
            self._walked.append(item_id)
            if self._shown is not None:
                self._shown.append(item_id)
        else:
            self._walked = self._shown = None

    def _is_last(self, previous: str) -> bool:
        return (self._walked[-1] if self._walked else ROOT) == previous

    def _stays_last(self, item_id: str, previous: str) -> bool:
        walked = self._walked
        if not walked or walked[-1] != item_id:
            return False
        return (walked[-2] if len(walked) > 1 else ROOT) == previous

    def _walk(self) -> list[str]:
        """Give all ids, each followed by those that were put behind it, the latest first."""
        followers: defaultdict[str, list[str]] = defaultdict(list)
        loose: list[str] = []
        for item_id, place in sorted(self._places.items(), key=lambda entry: entry[1].told):
            if place.previous is not None and (place.previous == ROOT or place.previous in self._places):
                followers[place.previous].append(item_id)
        for item_id, place in self._places.items():
            if place.previous is None or (place.previous != ROOT and place.previous not in self._places):
                loose.append(item_id)
        walked: dict[str, None] = {}
        # The ids themselves come last, for those that stand behind each other in a ring.
        stack = [*reversed(self._places), *reversed(loose), *followers[ROOT]]
        while stack:
            item_id = stack.pop()
            if item_id not in walked:
                walked[item_id] = None
                stack += followers[item_id]
        return list(walked)
