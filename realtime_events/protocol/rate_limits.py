"""Rate limits: what is left of them, and how long a response that was refused for them has to wait.

Owns the latest word of the server on each limit. Pure: the time is an argument. Before it: `rate_limits.updated` and
failed responses; after it: whoever wants to try again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from ..events.response import Response
from ..events.server import RateLimit

__all__ = ["RateLimits", "wait_of"]

_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_UNITS_S = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400} | {
    "millisecond": 0.001,
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
}


@dataclass(slots=True)
class RateLimits:
    """The latest word on each limit, by its name."""

    latest: dict[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    _told_s: dict[str, float] = field(default_factory=dict[str, float])

    def update(self, limits: Iterable[RateLimit], now: float) -> None:
        """Take the server's word; a limit that it does not name keeps its last one."""
        for limit in limits:
            name = limit.name or ""
            self.latest[name] = limit
            self._told_s[name] = now

    def at(self, now: float) -> list[RateLimit]:
        """Give the limits with the seconds that are left now until they are whole again."""
        return [self._left(name, limit, now) for name, limit in self.latest.items()]

    def _left(self, name: str, limit: RateLimit, now: float) -> RateLimit:
        if not limit.reset_seconds:
            return limit
        left_s = max(0.0, limit.reset_seconds - (now - self._told_s[name]))
        return msgspec.structs.replace(limit, reset_seconds=left_s)


def wait_of(response: Response, rate_limits: Iterable[RateLimit] = ()) -> float | None:
    """Give how many seconds to wait before asking again for a response that failed for a rate limit.

    The server's sentence counts ("try again in 1.2s"), else the limit that takes longest to be whole again, among those
    that are used up if any is.

    Args:
        response: The response as it ended.
        rate_limits: What is known of the limits now.

    Returns:
        Seconds; None if the response did not fail for a rate limit, or if nothing says how long it takes.
    """
    error = response.status_details.error if response.status_details else None
    if response.status != "failed" or not error or error.code != "rate_limit_exceeded":
        return None
    if (said_s := _seconds_in(error.message or "")) is not None:
        return said_s
    limits = [limit for limit in rate_limits if isinstance(limit.reset_seconds, int | float)]
    used_up = [limit for limit in limits if isinstance(limit.remaining, int) and limit.remaining <= 0]
    return max((float(limit.reset_seconds or 0) for limit in used_up or limits), default=None)


def _seconds_in(message: str) -> float | None:
    """Read a duration such as `1.2s`, `350ms`, `1m30s` or `20 seconds`."""
    found = _TRY_AGAIN.search(message)
    if found is None:
        return None
    known = [(float(number), _unit_s(unit)) for number, unit in _DURATION.findall(found[1])]
    seconds = [number * unit_s for number, unit_s in known if unit_s is not None]
    return sum(seconds) if seconds else None


def _unit_s(unit: str) -> float | None:
    unit = unit.lower()
    return _UNITS_S.get(unit) or _UNITS_S.get(unit.removesuffix("s"))
