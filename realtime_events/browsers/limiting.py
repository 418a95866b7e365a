"""How often one user may ask.

Owns the arithmetic of rate limits, on a clock that it is given. Knows no request. Before it: `admission.py`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ..exceptions import ConfigurationError

MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """So many requests in so many seconds, at once or spread, for each user.

    Raises:
        ConfigurationError: Nobody could ever ask.
    """

    requests: int = 10
    window_s: float = 60.0

    def __post_init__(self) -> None:
        if self.requests < 1 or not self.window_s > 0:
            raise ConfigurationError(f"{self.requests} requests in {self.window_s:g} s let nobody in")


class Limiter:
    """Counts requests by name, with one number for each name (the generic cell rate algorithm).

    Of very many names the one that asked the longest ago is forgotten, so that a flood of names takes no memory.
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, name: str) -> float:
        """Give how long this name has to wait until its next request; 0 where it has not."""
        earliest = self._next(name) - self._limit.window_s
        return max(earliest - self._clock(), 0.0)

    def count(self, name: str) -> None:
        """Count a request of this name."""
        self._free_at[name] = self._next(name)
        self._free_at.move_to_end(name)
        if len(self._free_at) > MOST_NAMES:
            self._free_at.popitem(last=False)

    def _next(self, name: str) -> float:
        """Give the time at which the name would be as free as one that never asked, one request from now."""
        each_s = self._limit.window_s / self._limit.requests
        return max(self._free_at.get(name, 0.0), self._clock()) + each_s
