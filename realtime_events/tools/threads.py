"""Threads for sync tools and for handlers that ask for one.

Owns a bounded number of daemon threads, started as they are needed, ended when they have had nothing to do for a while.
Knows no tool, no handler and no event loop.

`concurrent.futures.ThreadPoolExecutor` is joined when the interpreter exits, so one function that never returns would
keep the process for ever; daemon threads end with it.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

__all__ = ["ThreadPool"]

T = TypeVar("T")

IDLE_S = 10.0

_Job = tuple[Future[Any], contextvars.Context, Callable[[], Any]]


class ThreadPool:
    """Runs sync functions on at most `size` daemon threads."""

    def __init__(self, size: int = 16, *, name: str = "tool", idle_s: float = IDLE_S) -> None:
        self._size = size
        self._name = name
        self._idle_s = idle_s
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._unfinished = 0
        self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` on a thread, in a copy of the caller's context; a job cancelled before its turn is skipped.

        Raises:
            RuntimeError: the pool is closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the thread pool is closed")
            self._jobs.put((future, contextvars.copy_context(), work))
            self._unfinished += 1
            if len(self._threads) < min(self._unfinished, self._size):
                self._start()
        return future

    def close(self) -> None:
        """Cancel what waits and let each thread end after the job it is at; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            assert job is not None  # None is put below, and nowhere else.
            job[0].cancel()
        for _ in tuple(self._threads):
            self._jobs.put(None)

    def join(self, timeout_s: float) -> int:
        """Wait until the threads of a closed pool have ended, for a while; gives how many have not."""
        until_s = time.monotonic() + timeout_s
        threads = tuple(self._threads)
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return sum(thread.is_alive() for thread in threads)

    def _start(self) -> None:
        name = f"{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, context, work = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(context.run(work))
                except BaseException as error:  # noqa: BLE001  the future carries it
                    future.set_exception(error)
            # An idle thread must not keep the last job's arguments and result alive.
            del job, future, context, work
            with self._lock:
                self._unfinished -= 1

    def _next(self) -> _Job | None:
        """Give the next job; None if the thread shall end."""
        while True:
            try:
                return self._jobs.get(timeout=self._idle_s)
            except Empty:
                with self._lock:  # Under the lock, so that no job is put between the look and the leaving.
                    if self._jobs.empty():
                        self._threads.discard(threading.current_thread())
                        return None
