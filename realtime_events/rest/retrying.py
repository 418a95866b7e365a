"""What is tried again, and when.

Owns the table of which failure of which call is passing, and the waits between attempts. Knows no HTTP client: time
and chance come in. Before it: `client.py`; after it: `requests.py`.

| failure | a call that may be repeated (secrets) | a call that must not happen twice (calls) |
| --- | --- | --- |
| no connection: refused, no such name, no answer to SYN | again | again: nothing was sent |
| 429 | again | again: it was refused before it was done |
| 503 with Retry-After | again | again: the server says itself that it did nothing yet |
| 408, 425, 500, 502, 503, 504, connection lost, time over | again | no: it may have been done |
| 429 `insufficient_quota`, TLS, redirects, any other 4xx, an answer of the wrong form | no | no: it would fail again |

A client secret that nobody reads expires by itself, so a second one does no harm. An SDP offer that is sent again would
be a second call; a call accepted, referred or hung up again would be refused for having been done.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ..exceptions import RestError
from ..logs import logger

log = logger("rest")

_T = TypeVar("_T")

REFUSED_UNDONE = frozenset({429})
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
HOPELESS_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when to try again; exponential back-off with full jitter. Times are in seconds.

    Attributes:
        attempts: How many there are at most, the first included; 1 never tries again.
        first_delay_s: The upper bound of the first wait; each further one doubles it.
        max_delay_s: The upper bound of any wait that we choose.
        longest_wait_s: The longest `Retry-After` that is waited for; a longer one is an error at once.
        jitter: Gives a number from 0 to 1.
        sleep: Waits.
    """

    attempts: int = 3
    first_delay_s: float = 0.5
    max_delay_s: float = 8.0
    longest_wait_s: float = 30.0
    jitter: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def delay_s(self, failed: int, retry_after_s: float | None) -> float:
        """Give the wait after so many failures; never less than the server asked for."""
        bound_s: float = min(self.max_delay_s, self.first_delay_s * 2 ** (failed - 1))
        return (retry_after_s or 0.0) + self.jitter() * bound_s

    async def run(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Run attempts until one succeeds or fails for good.

        Raises:
            RestError: The last failure.
        """
        failed = 0
        while True:
            try:
                return await attempt()
            except RestError as error:
                failed += 1
                wait_s = self.delay_s(failed, error.retry_after_s)
                too_long = (error.retry_after_s or 0.0) > self.longest_wait_s
                if not error.retryable or too_long or failed >= self.attempts:
                    raise
                log.info("trying again in %.1f s: %s", wait_s, error)
            await self.sleep(wait_s)


def is_retryable(status: int, code: str | None, *, repeatable: bool, says_when: bool) -> bool:
    """Say whether a refusal of the server is worth another attempt, by the table above."""
    if code in HOPELESS_CODES:
        return False
    if repeatable:
        return status in PASSING
    return status in REFUSED_UNDONE or (status == 503 and says_when)
