"""Many sessions at once: they come back without a stampede, and one that fails troubles no other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import statistics
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from realtime_events import Endpoint, Realtime, RealtimeError, Session
from realtime_events.events import ConnectionRestored
from realtime_events.reconnect import BREAKER_FAILURES, BREAKER_S, RESTARTING, Handshakes, Reconnect
from realtime_events.simulator import Call, EchoBrain, Plan, Request, Simulator
from realtime_events.simulator.errors import Refusal

from .server import hosting

WELL = 96  # and four that are not
WAIT_S = 30.0
NOISE_S = 0.25  # what a busy machine may add to the longest wait
TEXT = {"output_modalities": ["text"]}
PLACE = "ws://localhost/v1/realtime"
QUICK = Reconnect(jitter=lambda: 0.0)
InVirtualTime = Callable[[Coroutine[Any, Any, Any]], Any]


def most_within(times_s: list[float], window_s: float) -> int:
    """Counts the most of some times that lie in any window of a length."""
    return max(sum(begin <= time < begin + window_s for time in times_s) for begin in times_s)


@pytest.mark.parametrize("sessions", [120, pytest.param(500, marks=pytest.mark.nightly)])
async def test_sessions_that_are_dropped_at_once_come_back_one_after_the_other(sessions: int) -> None:
    """B47: all within fifteen seconds, none long after the others, and without a stampede, counted by the server."""
    loop, waits_s, restored = asyncio.get_running_loop(), list[float](), list[ConnectionRestored]()
    rt, dice, everybody = Realtime(), random.Random(sessions), asyncio.Event()
    policy = Reconnect(jitter=dice.random)

    @rt.on("connection.restored", delivery="inline")
    def note(event: ConnectionRestored) -> None:
        restored.append(event)
        waits_s.append(loop.time() - cut_s)
        if len(restored) == sessions:
            everybody.set()

    async with asyncio.timeout(WAIT_S), hosting() as host, AsyncExitStack() as stack:
        for _ in range(sessions):
            await stack.enter_async_context(rt.connect(endpoint=host.endpoint, reconnect=policy))
        first, cut_s = len(host.handshakes_s), loop.time()
        host.cut_all()
        await everybody.wait()
        again_s = host.handshakes_s[first:]
    median_s, most = statistics.median(waits_s), most_within(again_s, 0.1)
    print(
        f"{sessions} sessions: half are back after {median_s:.2f} s, all after {max(waits_s):.2f} s; {most} in 100 ms"
    )
    assert len(again_s) == sessions and {event.attempt for event in restored} == {1}
    assert len({event.session_id for event in restored}) == sessions
    assert most <= 50
    assert max(waits_s) <= 15.0 and max(waits_s) <= 2 * median_s + NOISE_S


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


class Bystander:
    """One of many sessions that nothing is wrong with: what it was told, and how long it had to wait for it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[str] = []
        self.answered_s: list[float] = []
        self.restored_s = 0.0

    async def talk(self, number: int) -> None:
        """Asks, and takes the time."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        assert (await self.session.ask(f"{number}", timeout=WAIT_S)).text == f"{number}"
        self.answered_s.append(loop.time() - asked_s)


def turn_away(sim: Simulator, refused: dict[str, int]) -> Counter[str]:
    """Lets a simulator refuse some keys with a status, from now on or later, and counts how often it did."""
    keys: Any = sim._registry.keys
    admit, turned_away = keys.admit, Counter[str]()

    def choosy(headers: Mapping[str, str], query: Mapping[str, str]) -> Any:
        key = headers.get("Authorization", "").removeprefix("Bearer ")
        if key in refused:
            turned_away[key] += 1
            raise Refusal("not you", code="refused", status=refused[key])
        return admit(headers, query)

    keys.admit = choosy
    return turned_away


def a_wreck() -> Realtime:
    """An application whose handlers and tools all fail."""
    rt = Realtime(session=TEXT)

    @rt.on("*")
    async def broken(event: Any) -> None:
        raise ValueError("a handler that fails")

    @rt.on("response.*", delivery="inline")
    def broken_at_once(event: Any) -> None:
        raise ValueError("a handler that fails")

    @rt.tool
    async def look() -> str:
        raise ValueError("a tool that fails")

    return rt


class CallsFirst:
    """A brain that calls the tool where there is one, and then says what it was told."""

    def plan(self, request: Request) -> Plan:
        if request.tools and request.conversation[-1].type != "function_call_output":
            return [Call("look", "{}")]
        return EchoBrain().plan(request)


async def test_of_a_hundred_sessions_the_well_ones_do_not_notice_what_befalls_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """B47: one server; of four sessions one is fed garbage, two are refused, and one has nothing but bugs."""
    caplog.set_level("CRITICAL")
    refused, bystanders = dict[str, int](), list[Bystander]()
    rt = Realtime(session=TEXT)
    by_session = dict[Session, Bystander]()

    @rt.on("*", delivery="inline")
    def note(event: Any, session: Session) -> None:
        bystander = by_session.get(session)
        if bystander is not None:
            bystander.events.append(event.type)
            if isinstance(event, ConnectionRestored):
                bystander.restored_s = asyncio.get_running_loop().time()

    async with asyncio.timeout(WAIT_S), Simulator(brain=CallsFirst(), pace=None) as sim, AsyncExitStack() as stack:
        turned_away = turn_away(sim, refused)

        async def joining(app: Realtime, key: str, query: str = "", **how: Any) -> Session:
            endpoint = Endpoint(url=sim.url + query, api_key=f"test-key{key}")
            return await stack.enter_async_context(app.connect(endpoint=endpoint, reconnect=QUICK, **how))

        for _ in range(WELL):
            bystander = Bystander(await joining(rt, ""))
            by_session[bystander.session] = bystander
            bystanders.append(bystander)
        fed_garbage = await joining(Realtime(session=TEXT), "", "?faults=garbage:response.*")
        for_good, for_a_while = await joining(Realtime(), "-for-good"), await joining(Realtime(), "-for-a-while")
        buggy = await joining(a_wreck(), "")
        refused |= {"test-key-for-good": 401, "test-key-for-a-while": 503}

        async def suffer(session: Session) -> None:
            with contextlib.suppress(RealtimeError, TimeoutError):
                await session.ask("Can you hear me?", timeout=1.0)

        async with asyncio.TaskGroup() as group:
            for session in (fed_garbage, buggy):
                group.create_task(suffer(session))
            for number, bystander in enumerate(bystanders):
                group.create_task(bystander.talk(number))
        quiet = {tuple(sorted(set(bystander.events))) for bystander in bystanders}
        assert len(quiet) == 1 and not {"error", "handler.failed", "event.malformed", "connection.lost"} & set(*quiet)

        cut_s = asyncio.get_running_loop().time()
        for one in list(sim.sessions):
            one.close(RESTARTING, "a restart")
        await for_good.wait_closed()
        async with asyncio.TaskGroup() as group:
            for number, bystander in enumerate(bystanders):
                group.create_task(bystander.talk(number))
        await for_a_while.wait_closed()
    assert turned_away == {"test-key-for-good": 1, "test-key-for-a-while": QUICK.attempts}
    for bystander in bystanders:
        assert bystander.events.count("connection.lost") == bystander.events.count("connection.restored") == 1
        assert bystander.restored_s - cut_s < BREAKER_S and max(bystander.answered_s) < BREAKER_S


@pytest.mark.parametrize("failures", [1, BREAKER_FAILURES])
async def test_sessions_that_are_refused_for_good_open_no_breaker(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """B41, B47: a key that is refused says nothing of the server, however many have one."""
    monkeypatch.setattr("realtime_events.reconnect.BREAKER_FAILURES", failures)
    refused = dict[str, int]()
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim, AsyncExitStack() as stack:
        turned_away = turn_away(sim, refused)

        async def joining(key: str) -> Session:
            endpoint = Endpoint(url=sim.url, api_key=f"test-key{key}")
            return await stack.enter_async_context(Realtime(session=TEXT).connect(endpoint=endpoint, reconnect=QUICK))

        unwelcome = [await joining("-unwelcome") for _ in range(BREAKER_FAILURES + 1)]
        welcome = await joining("")
        refused["test-key-unwelcome"] = 401
        *others, last = sim.sessions
        for one in others:
            one.close(RESTARTING, "a restart")
        for session in unwelcome:
            await session.wait_closed()
        assert turned_away["test-key-unwelcome"] == len(unwelcome)
        cut_s = asyncio.get_running_loop().time()
        restoring = asyncio.ensure_future(welcome.wait_for("connection.restored"))
        await asyncio.sleep(0)
        last.close(RESTARTING, "a restart")
        await restoring
        assert asyncio.get_running_loop().time() - cut_s < BREAKER_S / 2
        assert (await welcome.ask("Well?")).text == "Well?"
