"""Streams and waits: how the application takes events by itself, one after another or the first that fits.

Owns the async iterator behind `stream` and iteration, the future behind `wait_for`, and what bounds and ends a wait.
Knows no wire event names and no connection. Before it: the dispatcher, which puts events in and never awaits; after it:
the user's `async for` and `await`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Set
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .exceptions import LocalProtocolError, RealtimeError
from .handlers import Place
from .invocation import is_failure
from .lanes import Inbox

if TYPE_CHECKING:
    from .dispatcher import Dispatcher

E_co = TypeVar("E_co", covariant=True)


@asynccontextmanager
async def within(seconds: float | None, what: str) -> AsyncGenerator[None]:
    """Bound what the block waits for; None waits for ever.

    Raises:
        TimeoutError: It took longer; the sentence says what did not come, and for how long it was waited for.
    """
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise TimeoutError(f"{what} within {seconds:g} s") from None


def fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Fail a future, unless it is settled; who gave up waiting in the same moment leaves no complaint in the log."""
    if not future.done():
        future.set_exception(error)
        future.exception()


def check_loop(owner: asyncio.AbstractEventLoop) -> None:
    """Refuse what comes from another thread or another event loop than the session's own.

    Raises:
        LocalProtocolError: It does; the sentence says what to call instead.
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is not owner:
        raise LocalProtocolError(
            "a session belongs to the event loop that it was opened in; from another thread, call "
            "asyncio.run_coroutine_threadsafe(session.send_audio(audio), loop)"
        )


class Subscriber(Protocol):
    """Who is brought the events of some keys by the dispatcher."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The names and globs of the events."""
        ...

    def put(self, event: Any) -> None:
        """Take an event; never waits."""
        ...

    def purge(self, response_ids: Set[str]) -> int:
        """Take out the waiting deltas of these responses, and say how many they were."""
        ...

    def end(self, error: Exception) -> None:
        """Take note that no more will come."""
        ...


class Subscription(Inbox):
    """The queue behind a `Stream`; the dispatcher holds it, the user holds the stream."""

    __slots__ = ("_wake", "ended", "error", "keys", "when")

    def __init__(self, dispatcher: Dispatcher, keys: tuple[str, ...], when: Any, max_pending: int) -> None:
        super().__init__(dispatcher, Place(f"stream({', '.join(map(repr, keys))})", "a stream"), max_pending)
        self.keys = keys
        self.when = when
        self.ended = False
        self._wake = asyncio.Event()

    def put(self, event: Any) -> None:
        """Queue an event that fits, and wake the iterator."""
        if self.when is not None:
            try:
                if not self.when(event):
                    return
            except BaseException as error:
                if not is_failure(error):
                    raise
                self._dispatcher.failed(self.place, event, error)
                return
        self.queue.append(event)
        if len(self.queue) > self._warn_at:
            self.crowded()
        self._wake.set()

    def end(self, error: Exception) -> None:
        """End the stream after what it holds."""
        self.ended = True
        self._wake.set()

    async def next(self) -> Any:
        """Give the oldest event, or wait for one."""
        while not self.queue:
            if self.ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        event = self.queue.popleft()
        if self._lagging and not self.queue:
            self.caught_up()
        return event


class Stream(AsyncIterator[E_co], Generic[E_co]):
    """The events of some names, from now on, as an async iterator; it ends when the session ends for good.

    Leaving an `async with` block, `aclose()` or forgetting the stream unsubscribes it.
    """

    def __init__(self, dispatcher: Dispatcher, subscription: Subscription) -> None:
        self._subscription = subscription
        self._forget = weakref.finalize(self, dispatcher.unsubscribe, subscription)

    def __aiter__(self) -> Stream[E_co]:
        return self

    async def __anext__(self) -> E_co:
        try:
            return await self._subscription.next()  # type: ignore[no-any-return]
        except StopAsyncIteration:
            self._forget()
            raise

    async def __aenter__(self) -> Stream[E_co]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Unsubscribe; what is queued is dropped."""
        self._forget()
        self._subscription.queue.clear()
        self._subscription.end(RealtimeError("closed"))


class Wait:
    """One `wait_for`: the first event that fits settles it."""

    __slots__ = ("_dispatcher", "_when", "future", "keys")

    def __init__(self, dispatcher: Dispatcher, keys: tuple[str, ...], when: Any) -> None:
        self._dispatcher = dispatcher
        self.keys = keys
        self._when = when
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def put(self, event: Any) -> None:
        """Settle the wait with an event that fits."""
        if self.future.done():
            return
        try:
            if self._when is None or self._when(event):
                self.future.set_result(event)
        except BaseException as error:
            if not is_failure(error):
                raise
            if isinstance(error, StopIteration | asyncio.CancelledError):  # A future means something else by these.
                error = RuntimeError(f"the predicate of a wait raised {type(error).__name__}")
            fail(self.future, error)

    def purge(self, response_ids: Set[str]) -> int:
        """Take out nothing: a wait holds no events."""
        return 0

    def end(self, error: Exception) -> None:
        """Fail the wait."""
        fail(self.future, error)
