"""The dispatcher: how an event of one session gets to its handlers, streams and waits.

Owns the table from event class to queues, the tasks of the lanes, and the reports about handlers that fail, lag or are
slow. Knows no wire event names and no socket. Before it: the reader, which calls `publish` and never awaits; after it:
`lanes.py` and `streams.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Set
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import structs

from .events.base import DeltaEvent, Event, MalformedEvent, UnknownEvent
from .events.local import (
    AudioGap,
    ConnectionRestored,
    ConnectionStalled,
    FrameReceived,
    HandlerFailed,
    HandlerLagging,
    HandlerSlow,
    SendRejected,
    SessionRotated,
    ToolOrphaned,
)
from .exceptions import ConfigurationError
from .handlers import Place, Registration, event_name, key_matches
from .invocation import is_failure, plain_call
from .lanes import Inbox, Lane, LatestLane
from .logs import logger
from .streams import Stream, Subscriber, Subscription, Wait, within
from .tools.threads import ThreadPool

if TYPE_CHECKING:
    from .emitter import Emitter

log = logger("handlers")

CANCEL_TIMEOUT_S = 0.05
MOST_THREADS = 1_000  # a bound for the pool: each lane of a handler that asks for a thread uses one at a time
NEVER_REPORTED = (HandlerFailed, HandlerSlow, HandlerLagging)
COUNTED: frozenset[Any] = frozenset(
    {
        UnknownEvent,
        MalformedEvent,
        AudioGap,
        ConnectionRestored,
        ConnectionStalled,
        SendRejected,
        SessionRotated,
        ToolOrphaned,
    }
)

Put = Callable[[Any], None]


class Dispatcher:
    """One session's lanes, streams and waits, and the table from event class to them.

    `pressure` is set when a lane is over 80 % full: the reader then yields before its next frame. `told` counts the
    events that tell of something out of the ordinary, heard or not; `dropped_deltas` what full lanes have dropped.
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
        self.threads = ThreadPool(MOST_THREADS, name="handler")
        self.pressure = False
        self.told: Counter[type[Event]] = Counter()
        self.dropped_deltas = 0
        self.tapped = False
        self.table: dict[type[Event] | str, tuple[Put, ...]] = {}
        self._lanes: dict[Registration, tuple[Put, ...]] = {}
        self._subscribers: dict[Subscriber, None] = {}
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

    def purge(self, response_ids: Set[str]) -> int:
        """Take the deltas of these responses that still wait out of every lane and stream, and say how many.

        Text, transcript, audio and arguments alike: none of them is for anybody after an interruption. Whoever
        interrupts publishes no later ones. A delta that a handler has already been given is not taken back.
        """
        lanes = set(self._tasks.values())  # A lane that holds anything has a task.
        purged = sum(lane.purge(response_ids) for lane in lanes)
        return purged + sum(subscriber.purge(response_ids) for subscriber in self._subscribers)

    def resolve(self, kind: type[Event] | str) -> tuple[Put, ...]:
        """Find who listens to a class or name, once; registering anything makes the table forget."""
        if self._finished:
            return ()
        name = kind if isinstance(kind, str) else event_name(kind)
        handlers = [r for r in self.emitter.listening_to(name) if self._can_tell(r, kind)]
        ways = [self._lane_of(r) for r in handlers]
        ways += [_ways_to(s) for s in self._subscribers if any(key_matches(key, name) for key in s.keys)]
        puts = [put for put, *_ in ways]
        if not isinstance(kind, str) and _carries_audio(kind):  # Which is put first, and weighed then.
            puts += [weigh for _, *weighed in ways for weigh in weighed]
        if not puts and not isinstance(kind, str) and kind is not FrameReceived:
            self._hint(name, kind)
        if kind in COUNTED:  # As one more that listens: what is seldom told costs nothing where it is not.
            puts.append(self._count)
        self.table[kind] = tuple(puts)
        return self.table[kind]

    def _count(self, event: Event) -> None:
        self.told[type(event)] += 1

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

    def _lane_of(self, registration: Registration) -> tuple[Put, ...]:
        """Give how events are put into a handler's lane, and how audio in it is weighed, where it can gather."""
        ways = self._lanes.get(registration)
        if ways is None:
            put, *weigh = _delivery(self, registration)
            ways = self._lanes[registration] = (_guarded(self, registration, put), *weigh)
        return ways

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

    def follow(self, subscriber: Subscriber) -> Callable[[], None]:
        """Bring somebody the events of its keys, until what is given back is called."""
        self._add(subscriber)
        return lambda: self.unsubscribe(subscriber)

    def _add(self, subscriber: Subscriber) -> None:
        self._subscribers[subscriber] = None
        self.forget_table()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a stream or a wait; twice is fine."""
        if self._subscribers.pop(subscriber, subscriber) is None:
            self.forget_table()

    # Failures and slowness, reported as events.

    def failed(self, place: Place, event: Any, error: BaseException) -> None:
        """Publish a handler's failure, or log it where nobody listens or the failing one is such a listener."""
        self.told[HandlerFailed] += 1
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
        self.threads.close()
        self.emitter.detach(self)


def _delivery(dispatcher: Dispatcher, registration: Registration) -> tuple[Put, ...]:
    """Give the `put` of a registration's kind of delivery, and the `weigh` if events can gather in it."""
    if registration.delivery == "inline":
        return (plain_call(dispatcher, registration),)
    if registration.delivery == "latest":
        return (LatestLane(dispatcher, registration).put,)
    width = registration.max_pending if registration.delivery == "concurrent" else 1
    lane = Lane(dispatcher, registration, width=width)
    return lane.put, lane.weigh


def _ways_to(subscriber: Subscriber) -> tuple[Put, ...]:
    return (subscriber.put, subscriber.weigh) if isinstance(subscriber, Inbox) else (subscriber.put,)


@cache
def _carries_audio(kind: type[Event]) -> bool:
    """Say whether events of a class bring pieces of audio."""
    if not issubclass(kind, DeltaEvent):
        return False
    return any(field.name == "delta" and field.type is bytes for field in structs.fields(kind))


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
