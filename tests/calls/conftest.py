"""A call that was accepted, and a switchboard that is told of calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime_events import Realtime, RestClient
from realtime_events.simulator import IncomingCall, Simulator
from realtime_events.simulator.calls import signed
from realtime_events.switchboard import Switchboard

from ..hosting import Host, hosted

SECRET = "whsec_Y2FuYXJ5LW1hdGVyaWFs"
ACCEPT = {"model": "gpt-realtime-2.1", "instructions": "Be brief."}


async def accepted(sim: Simulator, **config: Any) -> IncomingCall:
    """Lets a call ring and accepts it by REST."""
    call = await sim.ring()
    async with RestClient(sim.endpoint) as rest:
        await rest.accept_call(call.id, {**ACCEPT, **config})
    return call


class Line:
    """A switchboard on a socket, the simulator that rings it, and what its sessions tell."""

    def __init__(self, sim: Simulator, rt: Realtime, board: Switchboard) -> None:
        self.sim = sim
        self.rt = rt
        self.board = board
        self.url = ""
        self.host: Host | None = None
        self.opened: asyncio.Queue[Any] = asyncio.Queue()
        self.closed: asyncio.Queue[Any] = asyncio.Queue()
        rt.on("connection.opened", lambda event, session: self.opened.put_nowait(session))
        rt.on("connection.closed", lambda event, session: self.closed.put_nowait(event))

    async def ring(self, **settings: Any) -> IncomingCall:
        """Lets a call come in."""
        return await self.sim.ring(webhook_url=self.url, secret=SECRET, **settings)

    async def post(self, body: bytes, id: str) -> int:
        """Posts a signed webhook."""
        headers = signed(body, webhook_id=id, unix_s=int(time.time()), secret=SECRET)
        async with aiohttp.ClientSession() as http, http.post(self.url, data=body, headers=headers) as answer:
            return answer.status

    async def drained(self) -> None:
        """Ends the web application, and so waits for what is in hand."""
        assert self.host is not None
        await self.host.stop()


@asynccontextmanager
async def serving(rt: Realtime, sim: Simulator, **settings: Any) -> AsyncIterator[Line]:
    """Serves a switchboard; a test has twenty seconds."""
    settings.setdefault("endpoint", sim.endpoint)
    settings.setdefault("drain_s", 5.0)
    line = Line(sim, rt, rt.webhooks(SECRET, **settings))
    app = web.Application()
    line.board.add_to(app, "/webhook")
    async with hosted(app) as host, asyncio.timeout(20):
        line.host, line.url = host, f"http://{host.place}/webhook"
        yield line


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Gives a simulator that answers at once."""
    async with Simulator(pace=None) as simulator:
        yield simulator
