"""Listening: events of one session, for whoever waits for them or iterates over them.

Owns the call shapes of waits and streams. Knows no lane and no wire name. Before it: the application; after it: the
dispatcher, which brings the events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, cast

from ..events.base import Event
from ..handlers import key_of, keys_of
from ..streams import Stream
from .looking import Looking

if TYPE_CHECKING:
    from ..overloads import StreamOf, WaitFor

STREAM_MAX_PENDING = 1000


def _as_wait_for(method: Callable[..., Any]) -> WaitFor:
    """Give a method back with the overloads that tell type checkers the payload of each event."""
    return cast("WaitFor", method)


def _as_stream(method: Callable[..., Any]) -> StreamOf:
    """Give a method back with the overloads that tell type checkers the payload of each event."""
    return cast("StreamOf", method)


class Listening(Looking):
    """What can be heard of a session."""

    def emit(self, name: str, payload: Any = None) -> bool:
        """Emit an event of the application (a name that starts with `app.`) to this session's handlers alone.

        Args:
            name: Its name.
            payload: What the handlers are given.

        Returns:
            Whether anybody listens.
        """
        return self._dispatcher.publish_named(key_of(name), payload)

    @_as_wait_for
    async def wait_for(
        self, *targets: Any, when: Callable[[Any], object] | None = None, timeout: float | None = None
    ) -> Any:
        """Wait for the next event of a name, glob or class: `await session.wait_for("response.done", timeout=10)`.

        What came before the call is not seen.

        Args:
            targets: Names in any spelling, globs such as `response.*`, or event classes; any of them counts.
            when: Says of an event whether it is the one; what it raises is raised here.
            timeout: Seconds to wait; None waits for as long as the session lives.

        Raises:
            TimeoutError: None came within `timeout` seconds.
            ConnectionLostError: The connection has ended for good.
        """
        keys = keys_of(targets)
        if self.is_closed:
            raise self._connection.lost()
        return await self._dispatcher.wait_for(keys, when, timeout)

    @_as_stream
    def stream(
        self, *targets: Any, when: Callable[[Any], object] | None = None, max_pending: int = STREAM_MAX_PENDING
    ) -> Stream[Any]:
        """Give the coming events of names, globs or classes as an async iterator; without any of them, all events.

        It begins now, not with the first step of the iteration, goes on over a lost connection that is made again, and
        ends when the session ends for good. Leaving it as `async with`, or forgetting it, ends it, too.

        Args:
            targets: Names in any spelling, globs such as `response.*`, or event classes.
            when: Says of each event whether it is wanted.
            max_pending: How many events may wait for the iterator; where more do, the oldest deltas among them go.
        """
        stream = self._dispatcher.subscribe(keys_of(targets or ("*",)), when, max_pending)
        if self.is_closed:
            self._dispatcher.end_waits(self._connection.lost())
        return stream

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.stream()
