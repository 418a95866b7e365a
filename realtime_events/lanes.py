"""Lanes: the bounded queue of one handler in one session, and the task that empties it.

Owns the bound: what is said at 80 %, what is dropped when full. Knows no wire event names, no socket, and not who asked
for which event. Before it: the dispatcher, which puts events in and never awaits; after it: the user's handler, by way
of `invocation.py`.

A lane starts with its first event, holds no task while idle, and keeps its events in order. When it is full, of events
or of the bytes of deltas, it drops its oldest deltas and counts them; nothing else is ever dropped: a lane that is full
of other events ends the session and says why.

Bytes are weighed where audio comes in, and only there: text is small, and it is the many. What a lane hands out it does
not weigh again; so what came in is added up, and what really waits is reckoned before anything is made of the sum.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from .events.base import DeltaEvent
from .events.local import HandlerLagging
from .handlers import Place, Registration
from .invocation import asynchronous_call, is_failure, plain_call
from .logs import logger

if TYPE_CHECKING:
    from .dispatcher import Dispatcher

log = logger("handlers")

LAGGING_SHARE = 0.8
MAX_PENDING_BYTES = 8 * 1024 * 1024


class Inbox:
    """A bounded queue: warns at 80 %, drops its oldest deltas when full, overflows when it holds nothing to drop."""

    max_pending_bytes = MAX_PENDING_BYTES

    __slots__ = (
        "_dispatcher",
        "_full",
        "_lagging",
        "_warn_at",
        "_weight_bytes",
        "dropped",
        "max_pending",
        "place",
        "queue",
    )

    def __init__(self, dispatcher: Dispatcher, place: Place, max_pending: int) -> None:
        self._dispatcher = dispatcher
        self.place = place
        self.max_pending = max_pending
        self.queue: deque[Any] = deque()
        self.dropped = 0
        self._weight_bytes = 0
        self._warn_at = max(1, int(max_pending * LAGGING_SHARE))
        self._lagging = False
        self._full = False

    def crowded(self) -> None:
        """Deal with a queue over 80 %: ask the reader to yield, report it, and make room if it is over the limit."""
        self._dispatcher.pressure = True
        if len(self.queue) > self.max_pending:
            self._make_room()
        self._lag()

    def weigh(self, event: Any) -> None:
        """Take note of how heavy an audio delta was that has been put; keep the queue within its bytes."""
        self._weight_bytes += len(event.delta)
        if self._weight_bytes > LAGGING_SHARE * self.max_pending_bytes:
            self._weight_bytes = sum(map(_weight_of, self.queue))
            if self._weight_bytes > LAGGING_SHARE * self.max_pending_bytes:
                self._heavy()

    def caught_up(self) -> None:
        """Report the end of a lag that cost events, once the queue is empty again."""
        self._lagging = False
        if self.dropped:
            self._report()
            self.dropped = 0

    def purge(self, response_ids: Set[str]) -> int:
        """Take out the deltas of these responses that still wait, and say how many; the rest keeps its order."""
        kept = [event for event in self.queue if not _is_delta_of(event, response_ids)]
        purged = len(self.queue) - len(kept)
        if purged:
            self.queue.clear()  # In place: a running task holds this queue.
            self.queue.extend(kept)
            if self._lagging and not kept:
                self.caught_up()
        return purged

    def _make_room(self) -> None:
        for index, event in enumerate(self.queue):
            if isinstance(event, DeltaEvent):
                del self.queue[index]
                self._count_dropped(1)
                break
        if self._dispatcher.close_when_full or len(self.queue) > self.max_pending:
            self._overflow(f"{len(self.queue):,} unhandled events")

    def _heavy(self) -> None:
        """Deal with a queue over 80 % of its bytes, as with one of too many events."""
        self._dispatcher.pressure = True
        if self._weight_bytes > self.max_pending_bytes:
            self._lighten()
            if self._dispatcher.close_when_full:
                self._overflow(f"{self._weight_bytes:,} bytes of unhandled audio")
        self._lag()

    def _lighten(self) -> None:
        """Drop the oldest deltas until the rest is light enough; the newest event stays, however heavy it is."""
        kept: list[Any] = []
        newest = self.queue[-1]
        for event in self.queue:
            weight = _weight_of(event) if self._weight_bytes > self.max_pending_bytes and event is not newest else 0
            if weight:
                self._weight_bytes -= weight
            else:
                kept.append(event)
        self._count_dropped(len(self.queue) - len(kept))
        self.queue.clear()  # In place: a running task holds this queue.
        self.queue.extend(kept)

    def _count_dropped(self, count: int) -> None:
        self.dropped += count
        self._dispatcher.dropped_deltas += count

    def _overflow(self, what: str) -> None:
        if not self._full:
            self._full = True
            log.error("the lane of %s is full", self.place)
        # Without the file: the reason goes to the server in the CLOSE frame.
        self._dispatcher.overflow(f"{self.place.name} holds {what}")

    def _lag(self) -> None:
        if not self._lagging:
            self._lagging = True
            self._report()

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


def _is_delta_of(event: Any, response_ids: Set[str]) -> bool:
    return isinstance(event, DeltaEvent) and getattr(event, "response_id", None) in response_ids


def _weight_of(event: Any) -> int:
    """Give how many bytes, or characters, a delta carries; nothing else has a weight."""
    if not isinstance(event, DeltaEvent):
        return 0
    payload: Any = getattr(event, "delta", None) or getattr(event, "audio", b"")
    return len(payload)


class Lane(Inbox):
    """The ordered queue of one handler in one session, emptied by one task; by several for `concurrent` delivery."""

    __slots__ = ("_call", "_registration", "_running", "_width")

    def __init__(self, dispatcher: Dispatcher, registration: Registration, *, width: int = 1) -> None:
        super().__init__(dispatcher, registration.place, registration.max_pending)
        self._registration = registration
        self._call = asynchronous_call(dispatcher, registration)
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
        queue, call = self.queue, plain_call(self._dispatcher, self._registration)
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
