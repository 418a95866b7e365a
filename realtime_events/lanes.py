"""Lanes: how an event gets from the reader to handlers, streams and waits, without anybody waiting for anybody.

Owns the bounded queues of one session and the tasks that empty them. Knows no wire event names and no socket.
Before it: the reader, which calls `publish` and never awaits; after it: the user's handlers.

A lane belongs to one handler in one session. It starts with its first event, holds no task while idle, and keeps its
events in order. When it is full it drops its oldest deltas and counts them; nothing else is ever dropped: a lane that
is full of other events ends the session and says why.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Set
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .events.base import DeltaEvent, Event
from .events.local import FrameReceived, HandlerFailed, HandlerLagging, HandlerSlow
from .exceptions import ConfigurationError, RealtimeError
from .handlers import Middleware, Place, Registration, event_name, key_matches

if TYPE_CHECKING:
    from .emitter import Emitter

log = logging.getLogger("realtime_events.handlers")

SLOW_HANDLER_S = 0.020
LAGGING_SHARE = 0.8
CANCEL_TIMEOUT_S = 0.05
NEVER_REPORTED = (HandlerFailed, HandlerSlow, HandlerLagging)

E_co = TypeVar("E_co", covariant=True)
Put = Callable[[Any], None]


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


def is_failure(error: BaseException) -> bool:
    """Say whether what foreign code raised is its own failure, not the end of the program or of the running task.

    A handler that awaits a cancelled future raises CancelledError although nobody has cancelled the handler.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


class Inbox:
    """A bounded queue: warns at 80 %, drops its oldest deltas when full, overflows when it holds nothing to drop."""

    __slots__ = ("_dispatcher", "_full", "_lagging", "_warn_at", "dropped", "max_pending", "place", "queue")

    def __init__(self, dispatcher: Dispatcher, place: Place, max_pending: int) -> None:
        self._dispatcher = dispatcher
        self.place = place
        self.max_pending = max_pending
        self.queue: deque[Any] = deque()
        self.dropped = 0
        self._warn_at = max(1, int(max_pending * LAGGING_SHARE))
        self._lagging = False
        self._full = False

    def crowded(self) -> None:
        """Deal with a queue over 80 %: ask the reader to yield, report it, and make room if it is over the limit."""
        self._dispatcher.pressure = True
        if len(self.queue) > self.max_pending:
            self._make_room()
        if not self._lagging:
            self._lagging = True
            self._report()

    def caught_up(self) -> None:
        """Report the end of a lag that cost events, once the queue is empty again."""
        self._lagging = False
        if self.dropped:
            self._report()
            self.dropped = 0

    def _make_room(self) -> None:
        for index, event in enumerate(self.queue):
            if isinstance(event, DeltaEvent):
                del self.queue[index]
                self.dropped += 1
                break
        if self._dispatcher.close_when_full or len(self.queue) > self.max_pending:
            if not self._full:
                self._full = True
                log.error("the lane of %s is full", self.place)
            # Without the file: the reason goes to the server in the CLOSE frame.
            self._dispatcher.overflow(f"{self.place.name} holds {len(self.queue):,} unhandled events")

    def _report(self) -> None:
        self._dispatcher.report(
            HandlerLagging(
                handler=self.place.name,
                where=self.place.where,
                pending=len(self.queue),
                max_pending=self.max_pending,
                dropped=self.dropped,
            )
        )


class Lane(Inbox):
    """The ordered queue of one handler in one session, emptied by one task; by several for `concurrent` delivery."""

    __slots__ = ("_call", "_registration", "_running", "_width")

    def __init__(self, dispatcher: Dispatcher, registration: Registration, *, width: int = 1) -> None:
        super().__init__(dispatcher, registration.place, registration.max_pending)
        self._registration = registration
        self._call = _asynchronous_call(dispatcher, registration)
        self._running = 0
        self._width = width

    def put(self, event: Any) -> None:
        """Queue an event, and start the task that empties the queue if it rests."""
        queue = self.queue
        queue.append(event)
        if len(queue) > self._warn_at:
            self.crowded()
        if self._running < self._width:
            self._start()

    def _start(self) -> None:
        self._running += 1
        self._dispatcher.own(self, self._run() if self._call is not None else self._run_plain())

    async def _run(self) -> None:
        queue, call = self.queue, self._call
        assert call is not None
        try:
            while queue:
                event = queue.popleft()
                try:
                    await call(event)
                except BaseException as error:
                    if not is_failure(error):
                        raise
                    self._dispatcher.failed(self._registration.place, event, error)
        finally:
            self._rest()

    async def _run_plain(self) -> None:
        queue, call = self.queue, _plain_call(self._dispatcher, self._registration)
        try:
            while queue:
                event = queue.popleft()
                result = call(event)
                # A plain function may hand back an awaitable, as a lambda around a coroutine does.
                if result is not None and inspect.isawaitable(result):
                    try:
                        await result
                    except BaseException as error:
                        if not is_failure(error):
                            raise
                        self._dispatcher.failed(self._registration.place, event, error)
        finally:
            self._rest()

    def _rest(self) -> None:
        self._running -= 1
        if self._lagging and not self.queue:
            self.caught_up()


class LatestLane(Lane):
    """A lane in which only the newest event waits."""

    __slots__ = ()

    def put(self, event: Any) -> None:
        """Queue an event in place of the one that waits."""
        self.queue.clear()
        super().put(event)


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

    def end(self, _error: Exception) -> None:
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

    def end(self, error: Exception) -> None:
        """Fail the wait."""
        fail(self.future, error)


class Dispatcher:
    """One session's lanes, streams and waits, and the table from event class to them.

    `pressure` is set when a lane is over 80 % full: the reader then yields before its next frame.
    """

    def __init__(
        self,
        emitter: Emitter,
        session: Any,
        *,
        overflow: Callable[[str], None],
        close_when_full: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.emitter = emitter
        self.session = session
        self.overflow = overflow
        self.close_when_full = close_when_full
        self.clock = clock
        self.middlewares = emitter.middlewares
        self.pressure = False
        self.tapped = False
        self.table: dict[type[Event] | str, tuple[Put, ...]] = {}
        self._lanes: dict[Registration, Put] = {}
        self._subscribers: dict[Subscription | Wait, None] = {}
        self._tasks: dict[asyncio.Task[None], Lane] = {}
        self._finished = False
        self._hinted: set[str] = set()
        emitter.attach(self)
        self.forget_table()

    def forget_table(self) -> None:
        """Look up again who listens to what, because somebody came or went; `tapped` says whether raw frames count."""
        self.table.clear()
        self.tapped = self.has_listener(FrameReceived)

    # Publishing: called by the reader, never awaits.

    def publish(self, event: Event) -> None:
        """Put an event into every lane, stream and wait that asked for its class."""
        kind = type(event)
        puts = self.table.get(kind)
        if puts is None:
            puts = self.resolve(kind)
        for put in puts:
            put(event)

    def publish_named(self, name: str, payload: Any) -> bool:
        """Put a payload of the application's own under a name; says whether anybody listens."""
        puts = self.table.get(name)
        if puts is None:
            puts = self.resolve(name)
        for put in puts:
            put(payload)
        return bool(puts)

    def has_listener(self, kind: type[Event]) -> bool:
        """Say whether anybody asked for events of this class."""
        puts = self.table.get(kind)
        return bool(self.resolve(kind) if puts is None else puts)

    def resolve(self, kind: type[Event] | str) -> tuple[Put, ...]:
        """Find who listens to a class or name, once; registering anything makes the table forget."""
        if self._finished:
            return ()
        name = kind if isinstance(kind, str) else event_name(kind)
        handlers = [r for r in self.emitter.registrations() if r.matches(name) and self._can_tell(r, kind)]
        puts = [self._lane_of(r) for r in handlers]
        puts += [s.put for s in self._subscribers if any(key_matches(key, name) for key in s.keys)]
        self.table[kind] = tuple(puts)
        if not puts and not isinstance(kind, str) and kind is not FrameReceived:
            self._hint(name, kind)
        return self.table[kind]

    def _hint(self, name: str, kind: type[Event]) -> None:
        if name in self._hinted or not log.isEnabledFor(logging.DEBUG):
            return
        self._hinted.add(name)
        function = "on_" + name.replace(".", "_")
        log.debug(
            'no handler for %s; to hear it:\n\n@rt.on("%s")\nasync def %s(event: %s) -> None:\n    ...\n',
            name,
            name,
            function,
            kind.__name__,
        )

    def _can_tell(self, registration: Registration, kind: type[Event] | str) -> bool:
        """Say whether a handler can be given an event: one that asks for a session needs one.

        Raises:
            ConfigurationError: The application emits to a handler that asks for a session, where there is none.
        """
        if self.session is not None or not registration.wants_session:
            return True
        if isinstance(kind, str):
            raise ConfigurationError(f"{registration.place} asks for a session, and this event belongs to none")
        return False

    def _lane_of(self, registration: Registration) -> Put:
        put = self._lanes.get(registration)
        if put is None:
            put = self._lanes[registration] = _guarded(self, registration, _delivery(self, registration))
        return put

    # Streams and waits.

    def subscribe(self, keys: tuple[str, ...], when: Any, max_pending: int) -> Stream[Any]:
        """Give a stream of the events of these keys."""
        subscription = Subscription(self, keys, when, max_pending)
        self._add(subscription)
        return Stream(self, subscription)

    async def wait_for(self, keys: tuple[str, ...], when: Any, timeout: float | None) -> Any:
        """Wait for the first fitting event; the wait removes itself however it ends."""
        wait = Wait(self, keys, when)
        self._add(wait)
        try:
            async with within(timeout, f"no {' or '.join(keys)} came"):
                return await wait.future
        finally:
            self.unsubscribe(wait)

    def _add(self, subscriber: Subscription | Wait) -> None:
        self._subscribers[subscriber] = None
        self.forget_table()

    def unsubscribe(self, subscriber: Subscription | Wait) -> None:
        """Forget a stream or a wait; twice is fine."""
        if self._subscribers.pop(subscriber, subscriber) is None:
            self.forget_table()

    # Failures and slowness, reported as events.

    def failed(self, place: Place, event: Any, error: BaseException) -> None:
        """Publish a handler's failure, or log it where nobody listens or the failing one is such a listener."""
        if not isinstance(event, NEVER_REPORTED) and self.has_listener(HandlerFailed):
            self.publish(HandlerFailed(handler=place.name, where=place.where, event=event, error=error))
            return
        named = getattr(event, "type", type(event).__name__)
        log.error("handler %s failed on %s", place, named, exc_info=error)

    def took(self, registration: Registration, event: Any, seconds: float) -> None:
        """Report a plain handler that kept the loop for too long."""
        place = registration.place
        self.report(HandlerSlow(handler=place.name, where=place.where, event=event, duration_ms=seconds * 1000))

    def report(self, event: HandlerSlow | HandlerLagging) -> None:
        """Publish what is wrong with a handler, or log it where nobody listens."""
        told = isinstance(event, HandlerSlow) and isinstance(event.event, NEVER_REPORTED)
        if told:
            return
        if self.has_listener(type(event)):
            self.publish(event)
        elif isinstance(event, HandlerSlow):
            log.warning("handler %s (%s) kept the loop for %.0f ms", event.handler, event.where, event.duration_ms)
        else:
            log.warning(
                "handler %s (%s) lags: %d of %d events wait, %d deltas dropped",
                event.handler,
                event.where,
                event.pending,
                event.max_pending,
                event.dropped,
            )

    # Tasks: every one is owned here.

    def own(self, lane: Lane, work: Coroutine[Any, Any, None]) -> None:
        """Run a lane's coroutine as a task of this dispatcher."""
        task = asyncio.get_running_loop().create_task(work, name=lane.place.name)
        self._tasks[task] = lane
        task.add_done_callback(self._tasks.pop)

    def forget(self, registration: Registration) -> None:
        """Drop the lane of a handler that was removed; what it holds is still handled."""
        self._lanes.pop(registration, None)

    def end_waits(self, error: Exception) -> None:
        """End every stream (after what it holds) and fail every wait."""
        for subscriber in list(self._subscribers):
            subscriber.end(error)

    async def finish(self, grace_s: float, spare: Set[asyncio.Task[Any]] = frozenset()) -> None:
        """Let the lanes finish for a while, then cancel what still runs, but for the tasks to spare.

        What handlers emit meanwhile is handled meanwhile; nothing is after that.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while (running := self._tasks.keys() - spare) and (left_s := until - loop.time()) > 0:
            await asyncio.wait(running, timeout=left_s)
        self._finished = True
        self.forget_table()
        for lane in self._tasks.values():
            lane.queue.clear()  # A handler may swallow its cancellation; its lane must not go on to the next event.
        for task in (late := self._tasks.keys() - spare):
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCEL_TIMEOUT_S)
        self.emitter.detach(self)


def _delivery(dispatcher: Dispatcher, registration: Registration) -> Put:
    """Give the `put` of a registration's kind of delivery."""
    if registration.delivery == "inline":
        return _plain_call(dispatcher, registration)
    if registration.delivery == "latest":
        return LatestLane(dispatcher, registration).put
    width = registration.max_pending if registration.delivery == "concurrent" else 1
    return Lane(dispatcher, registration, width=width).put


def _guarded(dispatcher: Dispatcher, registration: Registration, put: Put) -> Put:
    """Wrap a `put` in the registration's predicate and in `once`, where it has them."""
    when = registration.when
    if when is None and not registration.once:
        return put

    def admit(event: Any) -> None:
        if when is not None:
            try:
                if not when(event):
                    return
            except BaseException as error:
                if not is_failure(error):
                    raise
                dispatcher.failed(registration.place, event, error)
                return
        if registration.once and not dispatcher.emitter.claim_once(registration):
            return
        put(event)

    return admit


def _asynchronous_call(dispatcher: Dispatcher, registration: Registration) -> Callable[[Any], Awaitable[Any]] | None:
    """Give the handler as one awaitable call of the event, or None where a plain call will do."""
    middlewares = [*dispatcher.middlewares, *registration.middlewares]
    fn, session = registration.fn, dispatcher.session
    call: Callable[[Any], Awaitable[Any]]
    if registration.delivery == "thread":
        arguments = (session,) if registration.wants_session else ()

        async def in_thread(event: Any) -> None:
            await asyncio.to_thread(_in_thread, fn, event, *arguments)

        call = in_thread
    elif registration.is_async:
        call = (lambda event: fn(event, session)) if registration.wants_session else fn
    elif not middlewares:
        return None
    else:
        plain = _unguarded_plain_call(dispatcher, registration)

        async def awaited(event: Any) -> None:
            result = plain(event)
            if inspect.isawaitable(result):
                await result

        call = awaited
    return _wrapped(call, middlewares, session)


def _in_thread(fn: Callable[..., Any], *arguments: Any) -> None:
    try:
        fn(*arguments)
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error  # Python 3.11 would wait for ever.


def _wrapped(
    call: Callable[[Any], Awaitable[Any]], middlewares: Iterable[Middleware], session: Any
) -> Callable[[Any], Awaitable[Any]]:
    """Fold middlewares around a call; the first one registered is the outermost."""
    for middleware in reversed(list(middlewares)):
        call = _around(middleware, call, session)
    return call


def _around(middleware: Middleware, inner: Callable[[Any], Awaitable[Any]], session: Any) -> Callable[[Any], Any]:
    return lambda event: middleware(event, session, inner)


def _unguarded_plain_call(dispatcher: Dispatcher, registration: Registration) -> Callable[[Any], Any]:
    """Give a plain handler as one timed call of the event."""
    fn, session, clock = registration.fn, dispatcher.session, dispatcher.clock
    arguments = (session,) if registration.wants_session else ()

    def call(event: Any) -> Any:
        started = clock()
        result = fn(event, *arguments)
        if (took := clock() - started) > SLOW_HANDLER_S:
            dispatcher.took(registration, event, took)
        return result

    return call


def _plain_call(dispatcher: Dispatcher, registration: Registration) -> Callable[[Any], Any]:
    """Give a plain handler as one timed call of the event whose failure is reported."""
    timed = _unguarded_plain_call(dispatcher, registration)

    def call(event: Any) -> Any:
        try:
            return timed(event)
        except BaseException as error:
            if not is_failure(error):
                raise
            dispatcher.failed(registration.place, event, error)
            return None

    return call
