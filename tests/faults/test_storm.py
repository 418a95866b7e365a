"""Many sessions at once: they come back without a stampede, and one that fails troubles no other."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from realtime_events import HandshakeError, Realtime
from realtime_events.events import ConnectionRestored
from realtime_events.reconnect import BREAKER_FAILURES, BREAKER_S, Handshakes, Reconnect
from realtime_events.simulator import EchoBrain, Simulator

from .server import hosting

SESSIONS = 120
WAIT_S = 30.0
PLACE = "ws://localhost/v1/realtime"
QUICK = Reconnect(jitter=lambda: 0.0)
InVirtualTime = Callable[[Coroutine[Any, Any, Any]], Any]


def most_within(times_s: list[float], window_s: float) -> int:
    """Counts the most of some times that lie in any window of a length."""
    return max(sum(begin <= time < begin + window_s for time in times_s) for begin in times_s)


async def test_sessions_that_are_dropped_at_once_come_back_one_after_the_other() -> None:
    """B47: no more than fifty handshakes in any tenth of a second, counted by the server, and nobody is forgotten."""
    rt, restored = Realtime(), list[ConnectionRestored]()
    everybody = asyncio.Event()

    @rt.on("connection.restored", delivery="inline")
    def note(event: ConnectionRestored) -> None:
        restored.append(event)
        if len(restored) == SESSIONS:
            everybody.set()

    async with asyncio.timeout(WAIT_S), hosting() as host, AsyncExitStack() as stack:
        for _ in range(SESSIONS):
            await stack.enter_async_context(rt.connect(endpoint=host.endpoint, reconnect=QUICK))
        first = len(host.handshakes_s)
        host.cut_all()
        await everybody.wait()
        again_s = host.handshakes_s[first:]
    assert len(again_s) == SESSIONS and {event.attempt for event in restored} == {1}
    assert most_within(again_s, 0.1) <= 50
    assert len({event.session_id for event in restored}) == SESSIONS


async def test_handshakes_keep_their_distance_after_the_loop_was_blocked() -> None:
    """B47: those that became due meanwhile do not all go at once."""
    loop, turns, times_s = asyncio.get_running_loop(), Handshakes(), list[float]()

    async def knock() -> None:
        await turns.admit(PLACE)
        times_s.append(loop.time())

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(knock())
        await asyncio.sleep(0)
        until_s = loop.time() + 0.15
        while loop.time() < until_s:
            pass  # This is what blocks the loop.
    assert len(times_s) == 100 and most_within(times_s, 0.1) <= 50


def test_after_many_failures_one_knocks_and_all_follow_if_it_gets_in(in_virtual_time: InVirtualTime) -> None:
    """B47: the circuit breaker, for all sessions that want one server."""

    async def scene() -> tuple[list[float], list[float]]:
        loop, breaker = asyncio.get_running_loop(), Handshakes()
        began_s, in_s, elsewhere_s = loop.time(), list[float](), list[float]()
        for _ in range(BREAKER_FAILURES):
            breaker.failed(PLACE)

        async def knock() -> None:
            await breaker.admit(PLACE)
            in_s.append(loop.time() - began_s)
            if len(in_s) == 2:
                breaker.succeeded(PLACE)
            else:
                breaker.failed(PLACE)

        await breaker.admit("ws://elsewhere/v1/realtime")
        elsewhere_s.append(loop.time() - began_s)
        await asyncio.gather(*(knock() for _ in range(10)))
        return in_s, elsewhere_s

    in_s, elsewhere_s = in_virtual_time(scene())
    assert elsewhere_s[0] < 0.1, "another server was kept waiting"
    assert in_s[0] >= BREAKER_S, "somebody knocked although the breaker was open"
    assert in_s[1] >= in_s[0] + BREAKER_S, "the first one failed, and nobody waited"
    assert len(in_s) == 10 and in_s[-1] <= in_s[1] + 1.0, "the second one got in, and not all followed"


def test_the_pace_of_a_loop_ends_with_it() -> None:
    """B46: nothing keeps a loop that is closed."""

    async def visit() -> weakref.ref[Any]:
        await Handshakes.of_this_loop().admit(PLACE)
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(visit())
    gc.collect()
    assert loop() is None


async def test_one_session_that_is_always_refused_troubles_no_other() -> None:
    """B47: nineteen talk on while the twentieth is turned away at every attempt."""
    rt = Realtime(session={"output_modalities": ["text"]})
    refused = Reconnect(attempts=BREAKER_FAILURES // 2, jitter=lambda: 0.0)
    async with (
        asyncio.timeout(WAIT_S),
        Simulator(brain=EchoBrain(), pace=None) as sim,
        Simulator(faults="refuse=503") as closed,
        AsyncExitStack() as stack,
    ):
        sessions = [await stack.enter_async_context(rt.connect(endpoint=sim.endpoint)) for _ in range(19)]

        async def refuse() -> int:
            try:
                await rt.connect(endpoint=closed.endpoint, reconnect=refused, connect_retry_s=0.2)
            except HandshakeError as error:
                return error.status
            return 0

        asked = [session.ask(str(number)) for number, session in enumerate(sessions)]
        status, *turns = await asyncio.gather(refuse(), *asked)
    assert status == 503 and [turn.text for turn in turns] == [str(number) for number in range(19)]
