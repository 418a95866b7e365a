"""Reconnecting: whether a connection that has ended is made again, when, and the loop that does it.

Owns the policy (a table of close codes and errors, back-off with full jitter) and the pace at which the sessions of one
process knock at a server. Knows no event and no State: what a working session is, is for the session to say. Before it:
the connection, which has ended; after it: the session, whose `establish` it calls.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import re
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeVar

from .exceptions import HandshakeError, RealtimeError, ServerError, SessionExpired, TransportError

if TYPE_CHECKING:
    from .transport import Ending

T = TypeVar("T")

# RFC 6455 section 7.4.1, and what the API means by its own 4000.
GOING_AWAY, PROTOCOL_ERROR, BAD_DATA, REFUSED_BY_POLICY, TOO_BIG = 1001, 1002, 1007, 1008, 1009
INTERNAL_ERROR, RESTARTING, TRY_LATER, BETA_IS_SHUT = 1011, 1012, 1013, 4000
FATAL_CODES = frozenset({REFUSED_BY_POLICY, TOO_BIG, BETA_IS_SHUT})
OUR_COMPLAINTS = frozenset({PROTOCOL_ERROR, BAD_DATA})
FATAL_SERVER_CODES = frozenset({"insufficient_quota", "invalid_api_key", "model_not_found", "beta_api_shape_disabled"})

QUICK_S = 1.0  # a server that goes away on purpose has another one ready
TRY_LATER_S = 5.0
MAX_RETRY_AFTER_S = 60.0
COMPLAINTS, COMPLAINTS_WITHIN_S = 3, 60.0

BETWEEN_HANDSHAKES_S = 1 / 400  # 40 in any 100 ms, for all sessions of a process
BREAKER_FAILURES = 20
BREAKER_S = 5.0
BREAKER_LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How a lost connection is made again. Times are in seconds.

    Attributes:
        attempts: How often it is tried in a row without progress, before the session ends for good.
        first_delay_s: What the first delay is at the most; each further one is twice as long at the most.
        max_delay_s: What no delay is longer than, unless the server asks for it.
        jitter: Gives a number from 0 to 1, by which each delay is multiplied: full jitter.
        sleep: Waits.
    """

    attempts: int = 10
    first_delay_s: float = 0.5
    max_delay_s: float = 8.0
    jitter: Callable[[], float] = field(default=random.random, repr=False)
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)

    def delay_s(self, attempt: int, cause: Ending | BaseException) -> float:
        """Give how long to wait before an attempt, the first of which is 1."""
        if attempt == 1 and isinstance(cause, SessionExpired):
            return 0.0  # Nothing is wrong with the server.
        backoff_s: float = self.jitter() * min(self.max_delay_s, self.first_delay_s * 2.0 ** min(attempt - 1, 30))
        if isinstance(cause, BaseException):
            asked_s = retry_after_s(cause.headers) if isinstance(cause, HandshakeError) else None
            return max(backoff_s, min(asked_s or 0.0, MAX_RETRY_AFTER_S))
        if attempt == 1 and cause.code in (GOING_AWAY, RESTARTING):
            return self.jitter() * QUICK_S
        return max(backoff_s, TRY_LATER_S) if cause.code == TRY_LATER else backoff_s


def may_reconnect(ending: Ending) -> bool:
    """Say whether a connection that ended so may be made again."""
    if ending.initiator == "client":
        return ending.code in OUR_COMPLAINTS  # What the peer sent was wrong; everything else was our own wish or fault.
    return ending.code not in FATAL_CODES


def may_retry(error: BaseException) -> bool:
    """Say whether an attempt that failed so may be repeated."""
    if isinstance(error, HandshakeError) and "insufficient_quota" in error.body:
        return False
    if isinstance(error, TransportError):
        return error.can_reconnect
    if isinstance(error, ServerError):
        return error.code not in FATAL_SERVER_CODES and error.type != "invalid_request_error"
    return isinstance(error, TimeoutError)


def retry_after_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Give the seconds that `Retry-After` asks for (RFC 9110 section 10.2.3), by number or date; None for neither.

    Args:
        headers: Those of the answer, in any case.
        now: The time of day in seconds.
    """
    said = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", said, re.ASCII):
        return float(said)
    try:
        then_s = email.utils.parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(then_s - (time.time() if now is None else now), 0.0)


class Complaints:
    """Counts the connections that this side ended because the peer broke the protocol; a few are forgiven."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def forgives(self, ending: Ending, now: float) -> bool:
        """Take note of an ending, and say whether it may be forgiven."""
        if ending.initiator != "client":
            return True
        self._times = [*(time for time in self._times if time > now - COMPLAINTS_WITHIN_S), now]
        return len(self._times) <= COMPLAINTS


async def reconnect(
    cause: Ending | BaseException,
    establish: Callable[[int], Awaitable[T]],
    *,
    policy: Reconnect,
    place: str,
    failed: int = 0,
) -> T:
    """Try until there is a working session, and give what `establish` gives.

    Args:
        cause: Why there is none.
        establish: Makes one; it is told the number of the attempt.
        policy: How often and when.
        place: Which server; all sessions of a process that want it share its pace.
        failed: How many attempts have failed since the last progress.

    Raises:
        RealtimeError: What the last attempt failed with: it may not be repeated, or was the last one.
        TimeoutError: The last attempt took too long.
    """
    attempt = failed
    while True:
        attempt += 1
        await policy.sleep(policy.delay_s(attempt, cause))
        await Handshakes.of_this_loop().admit(place)
        try:
            working = await establish(attempt)
        except (RealtimeError, TimeoutError) as error:
            if may_retry(error):  # A key that is refused says nothing of the server.
                Handshakes.of_this_loop().failed(place)
            if attempt >= policy.attempts or not may_retry(error):
                raise
            cause = error
        else:
            Handshakes.of_this_loop().succeeded(place)
            return working


class Handshakes:
    """The pace of all sessions of one event loop, and a circuit breaker for each server.

    Handshakes are spaced, so that many sessions that were dropped at once come back without a stampede. After many
    failures in a row, whoever the session, nobody knocks for a while; then one does, and all go on if it gets in.
    """

    _all: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Handshakes]] = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        # Nothing here may hold the loop: it is the key under which this object is kept until the loop is gone.
        self._next_s = self._last_s = 0.0
        self._failures: dict[str, int] = {}
        self._open_until_s: dict[str, float] = {}

    @classmethod
    def of_this_loop(cls) -> Handshakes:
        """Give that of the running loop."""
        return cls._all.setdefault(asyncio.get_running_loop(), cls())

    async def admit(self, place: str) -> None:
        """Wait for one's turn."""
        await self._while_open(place)
        turn_s = self._next_s = max(self._next_s + BETWEEN_HANDSHAKES_S, _now_s())
        # A loop that was blocked wakes many at once: each looks again whether it is really its turn.
        while (wait_s := max(turn_s, self._last_s + BETWEEN_HANDSHAKES_S) - _now_s()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait_s)
        self._last_s = _now_s()

    async def _while_open(self, place: str) -> None:
        """Wait while the breaker is open; the first to see its time pass probes, the others wait for the outcome."""
        while (until_s := self._open_until_s.get(place)) is not None:
            left_s = until_s - _now_s()
            if left_s <= 0:
                self._open_until_s[place] = _now_s() + BREAKER_S
                return
            await asyncio.sleep(min(left_s, BREAKER_LOOK_S))

    def failed(self, place: str) -> None:
        """Take note of an attempt that failed."""
        self._failures[place] = self._failures.get(place, 0) + 1
        if self._failures[place] >= BREAKER_FAILURES:
            self._open_until_s[place] = _now_s() + BREAKER_S

    def succeeded(self, place: str) -> None:
        """Take note of an attempt that got in: the breaker closes."""
        self._failures.pop(place, None)
        self._open_until_s.pop(place, None)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
