"""Threads for sync tools."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import CancelledError, wait

import pytest

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


def test_a_closed_pool_is_waited_for_but_not_for_ever() -> None:
    """B46: who waits is told how many threads still run."""
    pool, may_end = ThreadPool(), threading.Event()
    job = pool.submit(lambda: may_end.wait(5))
    pool.close()
    assert pool.join(0.01) == 1
    may_end.set()
    assert pool.join(5) == 0
    assert job.result(0) is True
