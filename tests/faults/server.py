"""A server that only greets: what the simulator is too well-behaved for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from realtime_events import Endpoint
from realtime_events.reconnect import Reconnect

Answer = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One connection that was let in."""

    number: int
    request: web.Request
    ws: web.WebSocketResponse

    async def greet(self) -> None:
        await self.ws.send_json(
            {
                "type": "session.created",
                "event_id": "event_1",
                "session": {"type": "realtime", "id": f"sess_{self.number}", "object": "realtime.session"},
            }
        )

    def write_raw(self, data: bytes) -> None:
        """Writes past the WebSocket layer."""
        assert self.request.transport is not None
        self.request.transport.write(data)

    async def wait(self) -> None:
        """Reads on until the client has gone."""
        async for _ in self.ws:
            pass


@dataclass
class Host:
    """The server, and whom it has seen."""

    endpoint: Endpoint
    handshakes_s: list[float] = field(default_factory=list[float])
    visits: list[Visit] = field(default_factory=list[Visit])

    def cut_all(self) -> None:
        """Drops every connection at once."""
        for visit in self.visits:
            if visit.request.transport is not None:
                visit.request.transport.abort()


async def stay(visit: Visit) -> None:
    """Greets, and does nothing more."""
    await visit.greet()
    await visit.wait()


@asynccontextmanager
async def hosting(
    answer: Answer = stay, *, refuse: Callable[[int], web.Response | None] | None = None
) -> AsyncIterator[Host]:
    """Listens on loopback; `refuse` is told the number of the handshake, and may give an answer of its own."""
    host = Host(Endpoint(url="ws://127.0.0.1:1/v1/realtime", api_key="test-key"))

    async def handle(request: web.Request) -> web.StreamResponse:
        host.handshakes_s.append(asyncio.get_running_loop().time())
        refusal = refuse(len(host.handshakes_s)) if refuse is not None else None
        if refusal is not None:
            return refusal
        ws = web.WebSocketResponse(timeout=0.2)
        await ws.prepare(request)
        visit = Visit(len(host.visits) + 1, request, ws)
        host.visits.append(visit)
        await answer(visit)
        return ws

    app = web.Application()
    app.router.add_get("/v1/realtime", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        host.endpoint = Endpoint(url=f"ws://127.0.0.1:{port}/v1/realtime", api_key="test-key")
        yield host
    finally:
        host.cut_all()
        await runner.cleanup()


class Delays(list[float]):
    """The delays that a policy asks for, none of which is waited for."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)

    def policy(self, attempts: int = 10) -> Reconnect:
        """A policy without dice, whose delays are noted here."""
        return Reconnect(attempts=attempts, jitter=lambda: 1.0, sleep=self)
