"""The aiohttp handler of webhooks: quick answers, work in tasks of its own, and an orderly end.

Owns the reading of a request and the tasks that handle what was told. Before it: aiohttp; after it: `verifying.py`, and
then the application's own function.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from aiohttp import web

from ..bodies import read_body
from ..events.webhooks import WebhookEvent
from ..exceptions import WebhookVerificationError, one_line
from ..logs import logger
from .replays import TOLERANCE_S, SeenIds
from .verifying import MOST_BODY_BYTES, Secrets, hidden, verify_webhook

log = logger("webhooks")

OnEvent: TypeAlias = Callable[[WebhookEvent], Awaitable[object] | object]

READ_TIMEOUT_S = 5.0
DRAIN_S = 10.0
LEAVE_S = 5.0
MOST_RUNNING = 1_000
TAKEN_BEFORE = 409


class WebhookHandler:
    """Answers webhooks at once and hands each verified event, once, to a function that may take its time.

        handler = WebhookHandler(on_event)
        handler.add_to(app, "/webhook")

    A delivery is answered with 200 as soon as its task is made, and a repeated one with 200 and nothing else, so that
    the sender rests; 4xx says what is wrong with a request (see `WebhookVerificationError.status`), 503 that the
    process is ending or has `most_running` events in hand, and that the sender may come again.

    Args:
        on_event: What to do with an event; sync (then quick) or async. What it raises is logged.
        secret: The secret, or several of which any may have signed; `OPENAI_WEBHOOK_SECRET` where it is left out.
        tolerance_s: How far a timestamp may lie from the clock, in either direction.
        seen: The memory of deliveries; one of its own where it is left out.
        most_running: How many events may be in hand at once.
        drain_s: How long, at the end, events in hand may take to end by themselves.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: There is no secret.
    """

    def __init__(
        self,
        on_event: OnEvent,
        *,
        secret: str | Sequence[str] | None = None,
        tolerance_s: float = TOLERANCE_S,
        seen: SeenIds | None = None,
        most_running: int = MOST_RUNNING,
        drain_s: float = DRAIN_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._on_event = on_event
        secret = hidden(secret)  # bound again, so that no traceback with locals shows it
        self._secrets = Secrets(secret)
        self._tolerance_s = tolerance_s
        self._seen = SeenIds() if seen is None else seen
        self._most_running = most_running
        self._drain_s = drain_s
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._draining = False

    def add_to(self, app: web.Application, path: str) -> None:
        """Receive webhooks at a path, and drain when the application shuts down."""
        app.router.add_post(path, self.handle)
        app.on_shutdown.append(self._shut_down)

    @property
    def running(self) -> int:
        """How many events are in hand."""
        return len(self._running)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request; this is what aiohttp calls."""
        # A compressed body would reach us unpacked, and the signature is of the bytes that were sent.
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            return web.Response(status=415)
        try:
            body = await _read(request)
            if self._draining or len(self._running) >= self._most_running:
                return web.Response(status=503, headers={"Retry-After": "1"})
            event = self._verified(body, request.headers)
        except WebhookVerificationError as error:
            if error.status == TAKEN_BEFORE:
                return web.Response()
            log.warning("a webhook was refused: %s", error)
            return web.Response(status=error.status)
        self._start(event)
        return web.Response()

    async def drain(self) -> None:
        """Take no more events, let those in hand end within `drain_s`, and cancel what still runs then."""
        self._draining = True
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=self._drain_s)
        for task in late:
            task.cancel()
        if late:
            log.warning("%d webhooks were still being handled after %g s", len(late), self._drain_s)
            await asyncio.wait(late, timeout=LEAVE_S)  # One may swallow its cancellation.

    async def _shut_down(self, app: web.Application) -> None:
        await self.drain()

    def _verified(self, body: bytes, headers: Mapping[str, str]) -> WebhookEvent:
        return verify_webhook(
            body,
            headers,
            secret=self._secrets,
            tolerance_s=self._tolerance_s,
            now=self._clock(),
            seen=self._seen,
        )

    def _start(self, event: WebhookEvent) -> None:
        task = asyncio.create_task(self._run(event), name="realtime_events.webhooks.event")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, event: WebhookEvent) -> None:
        try:
            given = self._on_event(event)
            if inspect.isawaitable(given):
                await given
        except Exception:  # the application's own function; the sender has its answer already
            log.exception("handling webhook %s failed", one_line(event.id, limit=80))


async def _read(request: web.Request) -> bytes:
    """Read a body up to the limit.

    Raises:
        WebhookVerificationError: It is larger (413), or does not come (408).
    """
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            body = await read_body(request.content, MOST_BODY_BYTES)
    except TimeoutError:
        raise WebhookVerificationError("the body did not come", status=408) from None
    if body is None:
        raise WebhookVerificationError(f"the body is over {MOST_BODY_BYTES:,} bytes", status=413)
    return body
