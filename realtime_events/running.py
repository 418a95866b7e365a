"""Running: a session as the work of a whole process, and the way out of it.

Owns what signals mean to a session, and the end of the event loop, which waits for nobody for long: a supervisor that
has asked a process to end kills it after a while, whatever it is at. Knows no frame and no handler. Before it:
`Realtime.run` and `Realtime.serve`; after it: the session, which is opened, drained and closed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .logs import logger
from .tools.threads import ThreadPool

if TYPE_CHECKING:
    from .session import Session
    from .transport import Ending

P = ParamSpec("P")
T = TypeVar("T")

log = logger("app")

LEAVE_S = 1.0
THREADS = 32


# A session and the signals to its process.


async def live(session: Session) -> Ending:
    """Open a session and give how it ended: SIGINT closes it, SIGTERM drains it, a second signal closes it at once.

    A signal that comes while the first connection is still tried ends it before it has begun.
    """
    loop = asyncio.get_running_loop()
    opening = loop.create_task(session.open(), name="realtime_events.running.open")
    ends = _Ends(session, opening)
    with _handled({signal.SIGINT: session.close, signal.SIGTERM: session.drain}, ends.begin):
        try:
            await ends.opened()
            return await session.wait_closed()
        finally:
            await session.close()
            await ends.over()


class _Ends:
    """What the signals to a process do to its session."""

    def __init__(self, session: Session, opening: asyncio.Task[Any]) -> None:
        self._session = session
        self._opening = opening
        self._is_told = False
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what a signal asks for; the second one asks for haste."""
        if not self._opening.done():
            self._opening.cancel()
        else:
            ending = self._session.close() if self._is_told else end()
            self._tasks.append(asyncio.get_running_loop().create_task(ending, name="realtime_events.running.end"))
        self._is_told = True

    async def opened(self) -> None:
        """Wait until the session is open, or a signal has kept it from being."""
        try:
            await self._opening
        except asyncio.CancelledError:
            if not self._is_told:
                raise

    async def over(self) -> None:
        """Wait until whatever a signal has begun has ended."""
        await asyncio.gather(*self._tasks)


@contextmanager
def drained_at_sigterm(session: Session) -> Generator[None]:
    """While the block runs, SIGTERM drains an open session, and a second one closes it."""
    tasks: list[asyncio.Task[None]] = []

    def begin(end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        ending = session.close() if tasks else end()
        tasks.append(asyncio.get_running_loop().create_task(ending, name="realtime_events.running.end"))

    with _handled({signal.SIGTERM: session.drain}, begin):
        yield


@contextmanager
def _handled(
    signals: dict[signal.Signals, Callable[[], Coroutine[Any, Any, None]]],
    handler: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
) -> Generator[None]:
    """Have a handler called with what each signal means, while the block runs."""
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []
    for number, meaning in signals.items():
        with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
            loop.add_signal_handler(number, handler, meaning)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


# The event loop of a process.


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do some work in an event loop of its own, as `asyncio.run` does, but leave without what does not end.

    A task that swallows its cancellation, and a function that never returns to `asyncio.to_thread`, are waited for
    `LEAVE_S` each; then they are named in the log and left behind.
    """
    left: set[asyncio.Task[Any]] = set()
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    try:
        return runner.run(_to_the_end(work, left))
    finally:
        if left:
            runner.get_loop().close()  # The runner would wait for them.
        else:
            runner.close()


async def _to_the_end(work: Callable[[], Coroutine[Any, Any, T]], left: set[asyncio.Task[Any]]) -> T:
    asyncio.get_running_loop().set_default_executor(_Threads())
    try:
        return await work()
    finally:
        left |= await _stubborn()


async def _stubborn() -> set[asyncio.Task[Any]]:
    """Cancel every other task, and give those that go on all the same."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if not others:
        return set()
    _, left = await asyncio.wait(others, timeout=LEAVE_S)
    for task in left:
        name = getattr(task.get_coro(), "__qualname__", "")
        log.warning("task %s (%s) goes on although it was cancelled; it is left behind", task.get_name(), name)
    return left


class _Threads(ThreadPoolExecutor):
    """Where a loop runs what takes a thread (`asyncio.to_thread`, names looked up), keeping no process from its end."""

    def __init__(self) -> None:
        super().__init__()
        self._pool = ThreadPool(THREADS, name="asyncio")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a thread."""
        return self._pool.submit(partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more, and wait for what runs, but not for long."""
        self._pool.close()
        if wait and (left := self._pool.join(LEAVE_S)):
            log.warning("%d functions still run in threads; they are left behind", left)
