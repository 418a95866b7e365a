"""The memory of deliveries: a signed request that comes a second time is not taken a second time.

Owns ids and how long they are kept. Only what was verified gets in, so that nobody can fill it with forgeries.
"""

from __future__ import annotations

from collections import OrderedDict

KEPT_S = 600.0
TOLERANCE_S = 300.0
MOST_IDS = 100_000


class SeenIds:
    """The delivery ids of the last minutes, in memory.

    A copy of a request is refused by its timestamp once that is out of tolerance, so `kept_s` only has to outlast
    twice the tolerance; `most` bounds the memory, and the oldest ids go first. Share one between all handlers of a
    process. Several processes behind one address each have their own: there, keep ids where all of them look.
    """

    def __init__(self, *, kept_s: float = KEPT_S + TOLERANCE_S, most: int = MOST_IDS) -> None:
        self._kept_s = kept_s
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, delivery_id: str, now: float) -> bool:
        """Remember an id; False where it is remembered already. `now` is in seconds, of any steady clock."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if delivery_id in self._until:
            return False
        self._until[delivery_id] = now + self._kept_s
        if len(self._until) > self._most:
            self._until.popitem(last=False)
        return True
