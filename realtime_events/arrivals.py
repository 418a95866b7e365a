"""Arrivals: what a transcription or a translation has given and nobody has taken yet, and how that ends.

Owns the waiting of whoever iterates. Knows no piece of what arrives. Before it: the handle of such a session, which
puts pieces in on the reader and never awaits; after it: the user's `async for`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from .events import local
from .exceptions import ConnectionLostError

P = TypeVar("P")


class Arrivals(Generic[P]):
    """Pieces in the order in which they are taken, until all have come or the connection is lost.

    Attributes:
        ready: The pieces that nobody has taken; who puts one in calls `notify`.
        is_over: Whether no more will come.
        lost: Why no more will come, where that is no good end.
    """

    def __init__(self) -> None:
        self.ready: deque[P] = deque()
        self.is_over = False
        self.lost: ConnectionLostError | None = None
        self._wake = asyncio.Event()

    def notify(self) -> None:
        """Wake everybody who waits."""
        self._wake.set()

    def end(self) -> None:
        """Take note that no more will come."""
        self.is_over = True
        self._wake.set()

    def end_with(self, closed: local.ConnectionClosed, *, is_complete: bool) -> None:
        """End with the connection: a loss, unless it was closed on this side or everything had come."""
        if closed.initiator != "client" and not is_complete:
            self.lost = ConnectionLostError(closed.code, closed.reason, initiator=closed.initiator)
        self.end()

    async def news(self) -> None:
        """Wait until `notify` is called, or `end`."""
        self._wake.clear()
        await self._wake.wait()

    async def next(self) -> P:
        """Give the first piece, or wait for one.

        Raises:
            StopAsyncIteration: All pieces were taken.
            ConnectionLostError: The connection was lost, and what had come was taken.
        """
        while not self.ready:
            if self.is_over:
                if self.lost is not None:
                    raise self.lost
                raise StopAsyncIteration
            await self.news()
        return self.ready.popleft()
