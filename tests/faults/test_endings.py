"""How soon a session says that its connection has ended, in each way that a connection can end."""

from __future__ import annotations

import asyncio
import gc
import socket
import statistics
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_events import ConnectionLostError, Realtime, TransportError
from realtime_events.events import ConnectionClosed, ConnectionLost
from realtime_events.simulator import Call, EchoBrain, Say, ScriptBrain, Simulator, Step
from realtime_events.testing import FaultProxy, Toxics

from .server import Delays, Visit, hosting

WAIT_S = 10.0
TIMES = 5
SOON_S = 0.1
LIMIT_BYTES = 4096
PING_S, DEAD_S = 0.05, 0.15
TEXT = {"output_modalities": ["text"]}

Act = Callable[[Visit], Awaitable[Any]]


async def close(visit: Visit) -> None:
    """Says farewell with a code and a reason."""
    await visit.ws.close(code=1011, message=b"an accident")


async def fin(visit: Visit) -> None:
    """Closes the socket without a CLOSE frame."""
    assert visit.request.transport is not None
    visit.request.transport.close()


async def rst(visit: Visit) -> None:
    """Resets the connection."""
    assert visit.request.transport is not None
    visit.request.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    visit.request.transport.abort()


async def break_the_protocol(visit: Visit) -> None:
    """Sends a frame with an opcode that there is not (RFC 6455 section 5.2)."""
    visit.write_raw(b"\x83\x00")


async def say_too_much(visit: Visit) -> None:
    """Sends a frame over the client's limit."""
    await visit.ws.send_str("x" * (LIMIT_BYTES + 1))


# How the connection ends, the code that is told, and by whom it says that it was ended.
ENDINGS: list[tuple[Act, int, str]] = [
    (close, 1011, "server"),
    (fin, 1006, "network"),
    (rst, 1006, "network"),
    (break_the_protocol, 1002, "client"),
    (say_too_much, 1009, "client"),
]


async def times_to_the_event(act: Act, reconnect: bool) -> tuple[list[float], list[Any]]:
    """Gives the seconds from what a server does to the event that tells it, and the events, one for each session."""
    loop, delays, told_s, told = asyncio.get_running_loop(), Delays(), list[float](), list[Any]()
    for _ in range(TIMES):
        rt, heard = Realtime(), asyncio.Event()

        def note(event: Any, heard: asyncio.Event = heard) -> None:
            if not heard.is_set():
                told_s.append(loop.time())
                told.append(event)
            heard.set()

        rt.on(["connection.lost", "connection.closed"], note, delivery="inline")
        async with asyncio.timeout(WAIT_S), hosting() as host:
            how: Any = {"reconnect": delays.policy() if reconnect else False, "max_frame_bytes": LIMIT_BYTES}
            async with rt.connect(endpoint=host.endpoint, **how):
                told_s.append(-loop.time())
                acting = asyncio.ensure_future(act(host.visits[0]))
                await heard.wait()
                await acting
    return [before + after for before, after in zip(told_s[::2], told_s[1::2], strict=True)], told


@pytest.mark.parametrize("reconnect", [True, False])
@pytest.mark.parametrize(("act", "code", "initiator"), ENDINGS)
async def test_an_ending_is_told_within_a_tenth_of_a_second(
    act: Act, code: int, initiator: str, reconnect: bool
) -> None:
    """B40: as `connection.lost` where another connection follows, else as `connection.closed`."""
    times_s, told = await times_to_the_event(act, reconnect)
    goes_on = reconnect and code != 1009
    assert {type(event) for event in told} == {ConnectionLost if goes_on else ConnectionClosed}
    assert {(event.code, event.initiator) for event in told} == {(code, initiator)}
    assert statistics.median(times_s) < SOON_S, times_s


async def test_a_close_of_our_own_is_told_within_a_tenth_of_a_second() -> None:
    """B40: once, to every session."""
    loop, rt, times_s, closed = asyncio.get_running_loop(), Realtime(), list[float](), list[ConnectionClosed]()

    @rt.on(ConnectionClosed, delivery="inline")
    def note(event: ConnectionClosed) -> None:
        times_s.append(loop.time() - began_s)
        closed.append(event)

    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        for _ in range(TIMES):
            session = await rt.connect(endpoint=sim.endpoint)
            began_s = loop.time()
            await session.close()
    assert [(event.code, event.initiator) for event in closed] == [(1000, "client")] * TIMES
    assert statistics.median(times_s) < SOON_S, times_s


@pytest.mark.parametrize("reconnect", [True, False])
async def test_a_dead_peer_is_told_a_tenth_of_a_second_after_its_time_at_the_latest(reconnect: bool) -> None:
    """B40, B44: interval and time-out, and no longer."""
    loop, rt, heard, told = asyncio.get_running_loop(), Realtime(), asyncio.Event(), list[Any]()

    @rt.on(["connection.lost", "connection.closed"], delivery="inline")
    def note(event: Any) -> None:
        told.append((type(event), loop.time() - began_s))
        heard.set()

    delays = Delays()
    async with asyncio.timeout(WAIT_S), hosting() as host, FaultProxy(host.endpoint) as proxy:
        policy = delays.policy() if reconnect else False
        how: Any = {"ping_interval_s": PING_S, "ping_timeout_s": DEAD_S, "reconnect": policy}
        async with rt.connect(endpoint=proxy.endpoint, **how):
            began_s = loop.time()
            proxy.up = proxy.down = Toxics(black_hole_after_bytes=0)
            await heard.wait()
            proxy.heal()
    kind, after_s = told[0]
    assert kind is (ConnectionLost if reconnect else ConnectionClosed)
    assert after_s < PING_S + DEAD_S + SOON_S


async def a_life(collect: Callable[[], object]) -> tuple[Counter[str], list[str]]:
    """Lives through questions, a tool call, a rotation and a loss; gives the events by name, and what was said."""
    rt, seen = Realtime(session=TEXT), Counter[str]()

    @rt.on("*", delivery="inline")
    def note(event: Any) -> None:
        seen[event.type] += event.type != "handler.slow"
        collect()

    @rt.on("response.done")
    async def hear(event: Any) -> None:
        collect()

    @rt.tool
    async def add(a: int, b: int) -> int:
        """Adds."""
        collect()
        await asyncio.sleep(0)
        return a + b

    said = [Say("One."), Call("add", '{"a": 1, "b": 2}'), Say("Three."), Say("Rotated."), Say("Restored.")]
    async with asyncio.timeout(WAIT_S), Simulator(brain=ScriptBrain([Step(emit=[one]) for one in said])) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=Delays().policy()) as session:
                answers = [(await session.ask("One?")).text, (await session.ask("And two?")).text]
                for change, event in ((session._line.rotate, "session.rotated"), (proxy.cut, "connection.restored")):
                    waiting = asyncio.ensure_future(session.wait_for(event))
                    await asyncio.sleep(0)
                    change()
                    collect()
                    await waiting
                    answers.append((await session.ask("And now?")).text)
                answers += [str(item.text) for item in session.conversation]
    return +seen, answers


async def test_collecting_garbage_between_any_two_events_changes_nothing() -> None:
    """B46: every task and every future has an owner."""
    without = await a_life(lambda: None)
    gc.collect()
    gc.freeze()  # Else each of a hundred collections goes through all that the test run has loaded.
    try:
        assert await a_life(gc.collect) == without
    finally:
        gc.unfreeze()
    assert without[1][:4] == ["One.", "Three.", "Rotated.", "Restored."]


def what_is_open() -> tuple[set[str], int]:
    """Gives the names of the tasks that run, and how many descriptors are open."""
    gc.collect()
    return {task.get_name() for task in asyncio.all_tasks()}, len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the descriptors are counted where Linux lists them")
async def test_nothing_is_left_of_a_session_that_is_closed_nor_of_one_that_never_came_to_be(tmp_path: Path) -> None:
    """B46: no task, no socket and no file, whatever it was in the middle of."""
    rt = Realtime(session=TEXT)

    @rt.tool
    async def wait() -> str:
        """Waits."""
        return str(await asyncio.Event().wait())

    brain = ScriptBrain([Step(emit=[Call("wait", "{}")])])
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain) as sim, FaultProxy(sim.endpoint) as proxy:
        async with rt.connect(endpoint=sim.endpoint):
            pass  # What sessions share, a pool and a watch, is there from now on, or goes with them.
        before = what_is_open()
        session = await rt.connect(endpoint=proxy.endpoint, record=tmp_path / "tape.jsonl")
        asking = asyncio.ensure_future(session.ask("Wait."))
        await session.wait_for("tool.started")
        await session.close()
        await asyncio.wait([asking])
        assert isinstance(asking.exception(), ConnectionLostError)
        for faults in ("refuse=401", "refuse=503", "close=1011:session.created"):
            sim.set_faults(faults)
            with pytest.raises(TransportError):
                await rt.connect(endpoint=sim.endpoint, connect_retry_s=0.0)
        proxy.cut()
        while what_is_open() != before:  # Until the server's side has noticed, too.
            await asyncio.sleep(0)
