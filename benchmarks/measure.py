"""One measurement in a process of its own: `python -m benchmarks.measure '{"scenario": …}'` prints its numbers as JSON.

Owns the clocks: CPU time is that of this process, memory is its resident set or what tracemalloc saw. The process
imports one client only. After it: `schedule.py`, which starts it and collects.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from benchmarks.clients import TIMEOUT_S, Client, Live, Tally, TimedTally, load
from benchmarks.frames import Traffic, pieces

STATM = Path("/proc/self/statm")
WARM_SESSIONS = 200
WARM_PIECES = 1000
MARK_EVERY = 1000
WINDOWS = 10
SETTLE_S = 0.3
TOOL_S = 0.1
SPOKEN_MS = 20

Numbers = dict[str, float]


async def burst(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the CPU time per delta, the median of `count` triggers after one that warms up."""
    tally = Tally(traffic)
    spent_s: list[float] = []
    async with client(url, tally) as app, app.session() as live:
        for _ in range(count + 1):
            before_s = time.process_time()
            await live.respond()
            spent_s.append(time.process_time() - before_s)
    return {"us": statistics.median(spent_s[1:]) / traffic.events * 1e6}


async def whole(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the CPU time per delta of `count` triggers after one that warms up, and of closing the session.

    So all is counted that other threads do later because of these deltas, and nothing that is left of the first.
    """
    async with client(url, Tally(traffic)) as app:
        async with app.session() as live:
            await live.respond()
            await asyncio.sleep(SETTLE_S)
            before_s = time.process_time()
            for _ in range(count):
                await live.respond()
        spent_s = time.process_time() - before_s
    return {"us": spent_s / (traffic.events * count) * 1e6}


async def long(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the CPU time per delta of the first and the last windows of one session, and their ratio."""
    tally = Tally(traffic, mark_every=MARK_EVERY)
    tally.marks.append(time.process_time())
    async with client(url, tally) as app, app.session() as live:
        for _ in range(count):
            await live.respond()
    return flatness(tally.marks)


def flatness(marks_s: list[float], windows: int = WINDOWS) -> Numbers:
    """Compares the medians of the first and the last windows between marks; the very first mark starts the clock.

    The median leaves out a window in which something else happened, such as the connecting in the first.
    """
    spent_us = [(after - before) / MARK_EVERY * 1e6 for before, after in pairwise(marks_s)]
    windows = max(min(windows, len(spent_us) // 2), 1)
    first, last = statistics.median(spent_us[:windows]), statistics.median(spent_us[-windows:])
    return {"us_first": first, "us_last": last, "last_over_first": last / first}


async def growth(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the bytes that stay allocated per delta after the first trigger."""
    tally = Tally(traffic)
    tracemalloc.start()
    kept: list[int] = []
    async with client(url, tally) as app, app.session() as live:
        for _ in range(count + 1):
            await live.respond()
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    return {"bytes": (kept[-1] - kept[0]) / (traffic.events * count)}


async def idle(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the resident memory per open session that does nothing, from the difference that `count` of them make."""
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(client(url, Tally(traffic)))
        for _ in range(WARM_SESSIONS):
            await stack.enter_async_context(app.session())
        before = await _settled_bytes()
        for _ in range(count):
            await stack.enter_async_context(app.session())
        after = await _settled_bytes()
    return {"kb": (after - before) / count / 1000}


async def turn(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the time on the clock from the trigger to the end of its last response, the median and the 99th in 100."""
    took_s: list[float] = []
    async with client(url, Tally(traffic)) as app, app.session() as live:
        for _ in range(count):
            before_s = time.perf_counter()
            await live.respond()
            took_s.append(time.perf_counter() - before_s)
    ranked = sorted(took_s)
    return {"ms": statistics.median(ranked) * 1e3, "p99_ms": ranked[len(ranked) * 99 // 100] * 1e3}


async def answer(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the time from a call's last events to the output of its tool, by the clock of the server on the wire."""
    tally = Tally(traffic)
    async with client(url, tally) as app, app.session() as live, asyncio.timeout(TIMEOUT_S):
        for _ in range(count):
            await live.respond()
        await live.commit()
    _, median_us, p99_us = (await tally.committed).split("_")
    return {"ms": int(median_us) / 1e3, "p99_ms": int(p99_us) / 1e3}


async def schemas(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the time on the clock of making `count` tools of functions, the first ones of the process; no server."""
    from realtime_events import Realtime

    rt, functions = Realtime(), [_function(number) for number in range(count)]
    before_s = time.perf_counter()
    for function in functions:
        rt.tool(function)
    took_s = time.perf_counter() - before_s
    if len(rt.tools) != count:
        raise AssertionError(f"{len(rt.tools)} tools of {count} functions")
    return {"ms": took_s * 1e3}


def _function(number: int) -> Callable[..., Awaitable[str]]:
    async def book(
        city: str, day: Literal["today", "tomorrow"], guests: int = 2, wishes: list[str] | None = None
    ) -> str:
        """Book a table.

        Args:
            city: Where.
            day: When.
            guests: For how many.
            wishes: What else matters.
        """
        return f"{city}, {day}, {guests}, {wishes}"

    book.__name__ = f"book_{number}"
    return book


async def parallel(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the time from the first arguments of `count` calls of a tool of 100 ms to the last `tool.done`."""
    from realtime_events import Realtime
    from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step

    rt, begun_s, ended_s = Realtime(session={"output_modalities": ["text"]}), [], []
    rt.on("response.function_call_arguments.done", lambda _: begun_s.append(time.perf_counter()))
    rt.on("tool.done", lambda _: ended_s.append(time.perf_counter()))

    @rt.tool
    async def slow() -> str:
        await asyncio.sleep(TOOL_S)
        return "done"

    brain = ScriptBrain([Step(emit=[Call("slow", "{}") for _ in range(count)]), Step(emit=[Say("Done.")])])
    async with (
        asyncio.timeout(TIMEOUT_S),
        Simulator(brain=brain, pace=None) as sim,
        rt.connect(endpoint=sim.endpoint) as session,
    ):
        turn = await session.ask("Go.")
    if [call.output for call in turn.tool_calls] != ["done"] * count or len(ended_s) != count:
        raise AssertionError(f"{len(ended_s)} outputs of {count} calls")
    by_hand_s = time.perf_counter()
    await asyncio.gather(*(asyncio.sleep(TOOL_S) for _ in range(count)))
    by_hand_s = time.perf_counter() - by_hand_s
    return {"ms": (max(ended_s) - min(begun_s)) * 1e3, "by_hand_ms": by_hand_s * 1e3}


async def send(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the CPU time of sending one piece of audio, and makes sure that the server got every piece."""
    tally = Tally(traffic)
    pcm, *_ = pieces(traffic)
    assert isinstance(pcm, bytes)
    async with client(url, tally) as app, app.session() as live, asyncio.timeout(TIMEOUT_S):
        for _ in range(WARM_PIECES):
            await live.append(pcm)
        before_s = time.process_time()
        for _ in range(count):
            await live.append(pcm)
        spent_s = time.process_time() - before_s
        await live.commit()
    if (got := await tally.committed) != f"item_{WARM_PIECES + count}":
        raise AssertionError(f"the server got {got} of {WARM_PIECES + count}")
    return {"us": spent_s / count * 1e6}


async def duplex(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the CPU time that a second of audio costs that is sent and heard at the speed of speech."""
    async with client(url, Tally(traffic)) as app, app.session() as live, asyncio.timeout(TIMEOUT_S):
        before_s = time.process_time()
        await _converse(live, traffic, 0.0)
        spent_s = time.process_time() - before_s
    return {"ms": spent_s / (traffic.deltas * traffic.delta_ms / 1e3) * 1e3}


async def crowd(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives how late audio comes to the handlers of `count` sessions that all send and hear audio, and their CPU."""
    tally = TimedTally(replace(traffic, responses=count))
    async with client(url, tally) as app, AsyncExitStack() as stack, asyncio.timeout(TIMEOUT_S):
        lives = [await stack.enter_async_context(app.session()) for _ in range(count)]
        before_s, spent_s = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as talking:
            for place, live in enumerate(lives):
                talking.create_task(_converse(live, traffic, traffic.delta_ms / 1e3 * place / count))
        took_s, spent_s = time.perf_counter() - before_s, time.process_time() - spent_s
    late_ms = sorted(late_s * 1e3 for late_s in tally.late_s)
    return {
        "p50_ms": statistics.median(late_ms),
        "p99_ms": late_ms[len(late_ms) * 99 // 100],
        "worst_ms": late_ms[-1],
        "cores": spent_s / took_s,
    }


async def _converse(live: Live, traffic: Traffic, after_s: float) -> None:
    """Sends audio at the speed of speech while a response comes."""
    pcm, *_ = pieces(replace(traffic, delta_ms=SPOKEN_MS))
    assert isinstance(pcm, bytes)
    await asyncio.sleep(after_s)
    answering = asyncio.create_task(live.respond(), name="bench answer")
    due_s = time.monotonic()
    while not answering.done():
        await live.append(pcm)
        due_s += SPOKEN_MS / 1e3
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    await answering


async def interrupt(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives the time from the user's first word to `audio.flush` and to the truncation, while much audio waits.

    Both begin when the server sends `speech_started`; the truncation ends when the server has read it, behind all that
    the kernel held before it.
    """
    from benchmarks.interrupting import Interrupted

    async with Interrupted(url) as call, asyncio.timeout(TIMEOUT_S):
        for _ in range(count):
            await call.be_interrupted()
    flush_ms, wire_ms = sorted(call.flush_ms), sorted(call.wire_ms)
    return {
        "flush_p99_ms": flush_ms[count * 99 // 100],
        "wire_p50_ms": statistics.median(wire_ms),
        "wire_p99_ms": wire_ms[count * 99 // 100],
    }


async def hour(client: type[Client], url: str, traffic: Traffic, count: int) -> Numbers:
    """Gives what `count` simulated minutes of a call keep from the fifth on, of old items and of ones that stay."""
    from benchmarks.hour import growth

    gone_bytes, gone = await growth(count / 60, deletes=True)
    kept_bytes, kept = await growth(count / 60, deletes=False)
    share = 1 - 5 / count
    return {
        "turns": gone.turns,
        "gone_bytes": gone_bytes / (gone.items * share),
        "kept_bytes": kept_bytes / (kept.items * share),
    }


async def _settled_bytes() -> int:
    await asyncio.sleep(0.3)  # Long enough for every greeting to be read and handled.
    gc.collect()
    return _resident_bytes()


def _resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


_ALL = (burst, whole, long, growth, idle, turn, answer, schemas, parallel, send, duplex, crowd, interrupt, hour)
MEASURES = {measure.__name__: measure for measure in _ALL}


def main() -> None:
    """Runs the measurement that the argument describes."""
    order = json.loads(sys.argv[1])
    traffic = Traffic(**order["traffic"])
    measure = MEASURES[order["measure"]]
    print(json.dumps(asyncio.run(measure(load(order["client"]), order["url"], traffic, order["count"]))))


if __name__ == "__main__":
    main()
