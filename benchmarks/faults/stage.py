"""The stage: a simulator with a proxy in front of it, the client that is led through it, and a watch on both.

Owns what every scene needs; knows no fault and no client. Everything shares one event loop, so that both sides can be
counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from benchmarks.faults.clients import TOOL, Client, Order, Told
from realtime_events.simulator import Brain, Call, EchoBrain, Plan, Request, Say, SimulatedSession, Simulator
from realtime_events.testing import FaultProxy

LOOK_S = 0.002
CLOSING_S = 5.0
READY_S = 10.0


class Clerk:
    """A brain that looks things up if the user wants it to, and else says back what it heard."""

    def plan(self, request: Request) -> Plan:
        """Gives a call, or words."""
        last = request.conversation[-1]
        wants = last.type == "message" and any("Look" in (part.text or "") for part in last.content or ())
        return [Call(TOOL, "{}")] if wants else EchoBrain().plan(request)


class Talker:
    """A brain that talks for about half a minute, whatever it is told."""

    def plan(self, request: Request) -> Plan:
        """Gives the talk."""
        return [Say("This is one of many sentences, and each of them takes a while to say. " * 8)]


class Stage:
    """One simulator, one proxy, any number of clients."""

    def __init__(self, sim: Simulator, proxy: FaultProxy, make: type[Client], stack: AsyncExitStack) -> None:
        self.sim, self.proxy, self.handshakes_s = sim, proxy, list[float]()
        self._make, self._stack = make, stack

    @property
    def sessions(self) -> list[SimulatedSession]:
        """The sessions of the server so far."""
        return [session for session in self.sim.sessions if isinstance(session, SimulatedSession)]

    async def enter(self, told: Told, *, proxy: FaultProxy | None = None, **wishes: Any) -> Client:
        """Brings a client on, and waits until the server has its configuration."""
        before = len(self.sim.sessions)
        client = self._make(Order(url=(proxy or self.proxy).endpoint.url, **wishes), told)
        self._stack.push_async_callback(_closed, client)
        await client.__aenter__()
        await until(lambda: any(session.config.tools for session in self.sessions[before:]), READY_S)
        return client

    async def watch_handshakes(self) -> None:
        """Notes when each connection arrives."""
        while True:
            seen = len(self.handshakes_s)
            await self.proxy.wait_until(lambda seen=seen: self.proxy.connections_accepted > seen, timeout=3_600)
            self.handshakes_s += [time.monotonic()] * (self.proxy.connections_accepted - seen)


@asynccontextmanager
async def staged(
    make: type[Client], *, brain: Brain | None = None, buffer_bytes: int | None = None, **simulator: Any
) -> AsyncIterator[Stage]:
    """Sets a stage. Closing is bounded: what a client does with a fault when it is closed is nobody's concern here."""
    settings: dict[str, Any] = {"brain": brain or EchoBrain(), "pace": None, **simulator}
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(Simulator(**settings))
        proxy = await stack.enter_async_context(FaultProxy(sim.endpoint, buffer_bytes=buffer_bytes))
        stage = Stage(sim, proxy, make, stack)
        watching = asyncio.create_task(stage.watch_handshakes(), name="watch handshakes")
        stack.callback(watching.cancel)
        yield stage


async def until(condition: Callable[[], object], timeout: float) -> float | None:
    """Looks until a condition holds, and gives the seconds that it took; None if it did not in time."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() > began_s + timeout:
            return None
        await asyncio.sleep(LOOK_S)
    return time.monotonic() - began_s


async def _closed(client: Client) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSING_S):
            await client.__aexit__()
