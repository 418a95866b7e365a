"""Threads for sync tools.

Owns a bounded number of daemon threads, started as they are needed. Knows no tool and no event loop.

`concurrent.futures.ThreadPoolExecutor` is joined when the interpreter exits, so one tool that never returns would keep
the process for ever; daemon threads end with it.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

__all__ = ["ThreadPool"]

T = TypeVar("T")

_Job = tuple[Future[Any], contextvars.Context, Callable[[], Any]]


class ThreadPool:
    """Runs sync functions on at most `size` daemon threads."""

    def __init__(self, size: int = 16, *, name: str = "tool") -> None:
        self._size = size
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
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
            if self._threads < min(self._unfinished, self._size):
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
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
            if job is not None:
                job[0].cancel()
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
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
