"""Places: how many calls run at once, those included that were given up and go on.

Owns the places of a session and of each tool, and the threads that nobody waits for any more: a thread cannot be
stopped, so it keeps the places of its call until it ends. Knows no argument and no result. Before it: `calling`, which
takes places for a call; after it: the user's function, which runs meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from typing import Any

from .. import logs
from ..exceptions import ToolError
from .registry import Tool

__all__ = ["Places"]

logger = logs.logger("tools")

_SHARE = 4
"""One tool may take up one of so many places with calls that were given up."""


class Places:
    """The places for the calls of one session.

    Args:
        parallel: How many there are.
    """

    def __init__(self, parallel: int) -> None:
        self.late_results = 0
        """How many threads have ended although nobody waited for their result any more."""
        self.abandoned = 0
        """How many threads went on although their call was given up."""
        self._parallel = parallel
        self._of_all = asyncio.Semaphore(parallel)
        self._of_tools: dict[str, asyncio.Semaphore] = {}
        self._still_running: Counter[str] = Counter()  # abandoned threads, by tool

    async def take(self, tool: Tool, taken: ExitStack) -> None:
        """Wait for a place for a call of a tool; it is given back when `taken` is closed.

        Raises:
            ToolError: So many calls of the tool still run that were given up, or they have taken every place: it may be
                that none of them ever ends.
        """
        self._refuse_if_busy(tool)
        if (limit := tool.options.max_concurrency) is not None:
            # The tool's own place first: its queue must not keep places from other tools.
            await _take(self._of_tools.setdefault(tool.name, asyncio.Semaphore(limit)), taken)
        await _take(self._of_all, taken)

    def _refuse_if_busy(self, tool: Tool) -> None:
        of_tool, of_all = self._still_running[tool.name], self._still_running.total()
        if of_tool >= max(1, self._parallel // _SHARE) or of_all >= self._parallel:
            left = f"{of_tool} of its calls" if of_tool else f"{of_all} calls of other tools"
            raise ToolError(f"{tool.name!r} is busy: {left} still run although their time is over; try again later")

    def keep(self, thread: Future[Any], tool: Tool, taken: ExitStack) -> None:
        """Keep what was taken for a call that was given up, until its thread has ended."""
        loop, kept = asyncio.get_running_loop(), taken.pop_all()
        self.abandoned += 1
        self._still_running[tool.name] += 1
        logger.warning("a thread of tool %s goes on although nobody waits for it", tool.name)

        def ended() -> None:
            self.late_results += 1
            self._still_running[tool.name] -= 1
            kept.close()

        def told(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # The loop was closed meanwhile, and nobody waits for a place.
                loop.call_soon_threadsafe(ended)

        thread.add_done_callback(told)


async def _take(place: asyncio.Semaphore, taken: ExitStack) -> None:
    await place.acquire()
    taken.callback(place.release)
