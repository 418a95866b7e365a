"""Threads for sync tools, and for handlers that ask for one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import CancelledError, wait
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from realtime_events import Realtime
from realtime_events.testing import Peer
from realtime_events.tools import ThreadPool

WAIT_S = 5


def test_work_runs_on_a_daemon_thread_in_the_context_of_its_caller() -> None:
    """A thread that never returns must not keep the process."""
    place: contextvars.ContextVar[str] = contextvars.ContextVar("place")
    place.set("here")
    pool = ThreadPool(name="mine")
    thread, seen = pool.submit(lambda: (threading.current_thread(), place.get())).result(WAIT_S)
    assert (thread.daemon, thread.name, seen) == (True, "mine-1", "here")
    pool.close()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_no_more_threads_run_than_are_needed_or_allowed() -> None:
    """The next job takes the thread that became free."""
    pool = ThreadPool(2)
    gate, names = threading.Event(), set[str]()

    def job() -> None:
        names.add(threading.current_thread().name)
        assert gate.wait(WAIT_S)

    held = [pool.submit(job) for _ in range(5)]
    assert not held[2].running()
    gate.set()
    wait(held, WAIT_S)
    assert names == {"tool-1", "tool-2"}
    pool.close()


def test_an_exception_of_any_kind_reaches_the_future() -> None:
    """And leaves the thread alive for the next job."""
    pool = ThreadPool(1)

    def fail() -> None:
        raise SystemExit(3)

    assert isinstance(pool.submit(fail).exception(WAIT_S), SystemExit)
    assert pool.submit(lambda: 5).result(WAIT_S) == 5
    pool.close()


def test_closing_drops_what_waits_and_lets_what_runs_end() -> None:
    """A second close does nothing; what comes later is refused."""
    pool = ThreadPool(1)
    began, gate = threading.Event(), threading.Event()

    def job() -> str:
        began.set()
        assert gate.wait(WAIT_S)
        return "done"

    running, waiting = pool.submit(job), pool.submit(lambda: "never")
    assert began.wait(WAIT_S)
    pool.close()
    pool.close()
    with pytest.raises(CancelledError):
        waiting.result(WAIT_S)
    gate.set()
    assert running.result(WAIT_S) == "done"
    with pytest.raises(RuntimeError):
        pool.submit(lambda: None)


def test_a_job_cancelled_before_its_turn_is_skipped() -> None:
    """A tool that timed out in the queue does not run afterwards."""
    pool = ThreadPool(1)
    gate, ran = threading.Event(), threading.Event()
    first = pool.submit(lambda: gate.wait(WAIT_S))
    skipped = pool.submit(ran.set)
    assert skipped.cancel()
    gate.set()
    assert first.result(WAIT_S)
    assert pool.submit(ran.is_set).result(WAIT_S) is False
    pool.close()


def test_a_thread_that_has_nothing_to_do_ends_and_another_takes_its_place() -> None:
    """B46: a pool that was busy once does not keep its threads for ever."""
    pool = ThreadPool(idle_s=0.01)
    first = pool.submit(threading.current_thread).result(5)
    first.join(5)
    assert not first.is_alive()
    assert pool.submit(threading.current_thread).result(5) is not first
    pool.close()


def test_a_job_that_comes_as_its_thread_gives_up_waiting_is_done_by_it() -> None:
    """B30: no job is left lying between the last look and the end of a thread."""

    class Late(SimpleQueue[Any]):
        """A queue whose first wait ends in the moment a job is put."""

        is_late = True

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if self.is_late:
                self.is_late = False
                raise Empty
            return super().get(block, timeout)

    pool = ThreadPool(1)
    pool._jobs = late = Late()
    assert pool.submit(lambda: "done").result(WAIT_S) == "done"
    assert not late.is_late
    pool.close()
    assert pool.join(WAIT_S) == 0


def test_a_closed_pool_is_waited_for_but_not_for_ever() -> None:
    """B46: who waits is told how many threads still run."""
    pool, may_end = ThreadPool(), threading.Event()
    job = pool.submit(lambda: may_end.wait(5))
    pool.close()
    assert pool.join(0.01) == 1
    may_end.set()
    assert pool.join(5) == 0
    assert job.result(0) is True


async def test_handlers_that_hang_in_threads_keep_none_of_another_session_waiting() -> None:
    """B47, B46: however many they are; and the threads end with their session, or with what they are at."""
    rt, may_end, ran = Realtime(), threading.Event(), asyncio.Event()
    loop, threads = asyncio.get_running_loop(), set[threading.Thread]()

    def hangs(event: object) -> None:
        threads.add(threading.current_thread())
        may_end.wait(WAIT_S)

    def runs(event: object) -> None:
        threads.add(threading.current_thread())
        loop.call_soon_threadsafe(ran.set)

    for number in range(40):
        rt.on(f"app.hang.{number}", hangs, delivery="thread")
    rt.on("app.run", runs, delivery="thread")
    peers = Peer(), Peer()
    async with asyncio.timeout(WAIT_S):
        async with (
            rt.connect(endpoint=peers[0].endpoint, dial=peers[0].dial) as one,
            rt.connect(endpoint=peers[1].endpoint, dial=peers[1].dial) as two,
        ):
            for number in range(40):
                one.emit(f"app.hang.{number}", "now")
            two.emit("app.run", "now")
            await ran.wait()
            may_end.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
    assert len(threads) == 41
