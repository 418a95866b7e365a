"""Web applications that tests serve on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True)
class Host:
    """Where an application is served (`127.0.0.1:8080`), and how to end it before the block does."""

    place: str
    stop: Callable[[], Awaitable[None]]


@asynccontextmanager
async def hosted(app: web.Application, *, shutdown_timeout: float = 0.1) -> AsyncIterator[Host]:
    """Serves an application on a free port of loopback, while the block lasts."""
    runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Host(f"127.0.0.1:{runner.addresses[0][1]}", runner.cleanup)
    finally:
        await runner.cleanup()
