"""Admission: who of the Internet may ask for anything at all.

Owns the origin check, the application's own check of users, rate limits, and the refusals of them. Knows nothing of
keys and sessions. Before it: aiohttp; after it: `routes.py`, for those who were let in.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from ..exceptions import ConfigurationError
from .limiting import Limiter, RateLimit

Authorize: TypeAlias = Callable[[web.Request], Awaitable[str | None] | str | None]
"""Gives the name of the user who asks, or None for nobody known; sync or async."""

MOST_FAILURES = RateLimit(requests=20, window_s=60.0)


class Refused(Exception):
    """A request is answered with this status and no more; caught by `routes.py`."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        super().__init__(code)

    def answer(self) -> web.Response:
        """Give the answer, in the shape of the API's own errors."""
        body = {"error": {"code": self.code, "message": self.message}}
        answer = web.json_response(body, status=self.status)
        if self.retry_after_s is not None:
            answer.headers[hdrs.RETRY_AFTER] = str(max(math.ceil(self.retry_after_s), 1))
        return answer


class Admission:
    """Lets requests in: from a page of ours, by a user the application knows, who does not ask too often.

    Args:
        authorize: The application's own check.
        origins: The pages that may ask, as `https://app.example`; None takes the page's own host and no other.
        rate_limit: How often each user may; None does not count. Failed attempts are counted by address in any case.
        clock: Seconds that only grow.

    Raises:
        ConfigurationError: One of the origins is none.
    """

    def __init__(
        self,
        authorize: Authorize,
        *,
        origins: Iterable[str] | None,
        rate_limit: RateLimit | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authorize = authorize
        self._origins = None if origins is None else frozenset(map(_origin, origins))
        self._requests = None if rate_limit is None else Limiter(rate_limit, clock)
        self._failures = Limiter(MOST_FAILURES, clock)

    async def admit(self, request: web.Request) -> str:
        """Give the name of the user who asks.

        Raises:
            Refused: The page is none of ours (403), the user is unknown (401), or this is too often (429).
        """
        self.check_origin(request)
        address = request.remote or ""
        _keep_waiting(self._failures, address)
        given = self._authorize(request)
        user: object = await given if inspect.isawaitable(given) else given
        if not isinstance(user, str) or not user:  # whatever the hook's annotation says
            self._failures.count(address)
            raise Refused(401, "unauthorized", "Sign in first.")
        if self._requests is not None:
            _keep_waiting(self._requests, user)
            self._requests.count(user)
        return user

    def check_origin(self, request: web.Request) -> str:
        """Give the origin of the page that asks; every browser names it, and no page can name another's.

        Raises:
            Refused: It is not named, or none of ours (403).
        """
        origin = request.headers.get(hdrs.ORIGIN, "").lower()
        if self._origins is None:
            ours = bool(origin) and urlsplit(origin).netloc == request.host.lower()
        else:
            ours = origin in self._origins
        if not ours:
            raise Refused(403, "foreign_origin", "This page may not ask here.")
        return origin

    def is_listed(self, origin: str) -> bool:
        """Say whether an origin was named by the application, so that its pages may read the answers."""
        return self._origins is not None and origin.lower() in self._origins


def _origin(text: str) -> str:
    parts = urlsplit(text.lower())
    if parts.scheme not in ("http", "https") or not parts.netloc or text.lower() != f"{parts.scheme}://{parts.netloc}":
        raise ConfigurationError(f"{text!r} is no origin; it should look like https://app.example")
    return text.lower()


def _keep_waiting(limiter: Limiter, name: str) -> None:
    if wait_s := limiter.wait_s(name):
        raise Refused(429, "too_many_requests", "Too many requests; come again later.", retry_after_s=wait_s)
