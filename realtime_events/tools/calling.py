"""Calling: one call of one tool, from the model's arguments to the value that its function gives.

Owns the order of things (limits, arguments, approval, a free place, the function, again if it failed) and where the
function runs. Answers nobody and keeps no time: whoever awaits it is cancelled when the time is over. Before it:
`runner`; after it: the user's function.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, aclosing
from typing import Any, Protocol

import msgspec

from ..events.local import ToolCall
from ..exceptions import ToolError
from .annotations import injection_key
from .approvals import Approvals
from .arguments import fingerprint
from .output import Outcome
from .places import Places
from .registry import Tool
from .threads import ThreadPool

__all__ = ["Caller", "Progress", "Say", "Tools"]

_MAX_DELAY_S = 5.0
_SPARE_THREADS = 16  # for what holds no place: functions that decide about approvals, and calls by hand
_NOTHING: Any = object()
_CALL_KEY = injection_key(ToolCall)


class Progress(msgspec.Struct, frozen=True):
    """What an async generator tool yields to tell how far it is; `fraction` goes from 0 to 1."""

    text: str = ""
    fraction: float | None = None


class Say(msgspec.Struct, frozen=True):
    """What an async generator tool yields to have the assistant say something while it works."""

    text: str


class Tools(Protocol):
    """Where tools are found: a registry, or what one session is offered of it."""

    @property
    def provided(self) -> Mapping[str, Any]:
        """What is injected, by key."""
        ...

    def get(self, name: str) -> Tool:
        """Give the tool of this name, or raise `ToolNotFound`."""
        ...


class Caller:
    """Calls the tools of one session.

    Args:
        tools: The tools, looked at anew for every call.
        approvals: Who is asked before a call.
        inject: What is injected, by key, besides what `tools` provides.
        tell: Takes what a generator tool yields on its way, and its call.
        parallel: How many calls run at once.
        threads: Where sync tools run; by default threads of its own, as many as there are calls, started when needed.
    """

    def __init__(
        self,
        tools: Tools,
        approvals: Approvals,
        *,
        inject: Mapping[str, Any],
        tell: Callable[[ToolCall, Any], None],
        parallel: int,
        threads: ThreadPool | None,
    ) -> None:
        self._tools = tools
        self._approvals = approvals
        self._inject = inject
        self._tell = tell
        self.places = Places(parallel)
        self._parallel = parallel
        self._twins: dict[tuple[str, bytes], asyncio.Task[Any]] = {}
        self._shared_threads = threads
        self._own_threads: ThreadPool | None = None

    def close(self) -> None:
        """Let every thread end after the job it is at."""
        if self._own_threads is not None:
            self._own_threads.close()

    async def by_hand(self, call: ToolCall) -> Any:
        """Call a tool because the program says so: no approval, no limit, no retry."""
        tool = self._tools.get(call.name)
        with ExitStack() as nothing:
            return await self._value(tool, tool.decode(tool.name, call.arguments), call, nothing)

    async def __call__(
        self, call: ToolCall, begin: Callable[[], None], twin: asyncio.Future[Outcome] | None = None
    ) -> Any:
        """Call a tool as the model asks for it; `begin` is called once nobody else has a say in it any more.

        With a twin, the function is not called: the call gets the result of that one.
        """
        if call.refused:
            raise ToolError(call.refused)
        tool = self._tools.get(call.name)
        if twin is not None:
            return await self._result_of(twin, tool)
        arguments = tool.decode(tool.name, call.arguments)
        await self._approvals.ask(tool, call, self._in_thread)
        begin()
        if tool.options.on_duplicate == "run":
            return await self._with_a_place(tool, arguments, call)
        key = (tool.name, fingerprint(call.arguments))
        if key in self._twins:
            if tool.options.on_duplicate == "refuse":
                raise ToolError(f"{tool.name!r} is running with the same arguments; its result will come")
            return await self._result_of(self._twins[key], tool)
        task = asyncio.current_task()
        assert task is not None
        self._twins[key] = task
        try:
            return await self._with_a_place(tool, arguments, call)
        finally:
            del self._twins[key]

    async def _result_of(self, twin: asyncio.Future[Outcome], tool: Tool) -> Any:
        await asyncio.wait([twin])
        if twin.cancelled():
            raise ToolError(f"{tool.name!r} gave no result: the same call before it was cancelled")
        outcome = twin.result()
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    async def _with_a_place(self, tool: Tool, arguments: dict[str, Any], call: ToolCall) -> Any:
        with ExitStack() as taken:
            await self.places.take(tool, taken)
            return await self._with_retries(tool, arguments, call, taken)

    async def _with_retries(self, tool: Tool, arguments: dict[str, Any], call: ToolCall, taken: ExitStack) -> Any:
        options = tool.options
        for retry in range(options.retries):
            try:
                return await self._value(tool, arguments, call, taken)
            except ToolError:
                raise
            except Exception:  # noqa: BLE001  the last failure is the one that is told
                await asyncio.sleep(min(options.retry_delay_s * 2**retry, _MAX_DELAY_S))
        return await self._value(tool, arguments, call, taken)

    async def _value(self, tool: Tool, arguments: dict[str, Any], call: ToolCall, taken: ExitStack) -> Any:
        """Call the tool's function, wherever it belongs, and give its result."""
        inject = {**self._tools.provided, **self._inject, _CALL_KEY: call} if tool.injected else {}
        work = tool.bind(arguments, inject)
        if tool.is_async:
            value = work()
        else:
            value = await self._in_thread(work, lambda thread: self.places.keep(thread, tool, taken))
        if inspect.isasyncgen(value):
            return await self._last_of(value, call)
        return await value if inspect.isawaitable(value) else value

    async def _in_thread(
        self, work: Callable[[], Any], abandon: Callable[[Future[Any]], None] = lambda thread: None
    ) -> Any:
        """Run a function in a thread; `abandon` is called if nobody waits for it any more, and it goes on."""

        def job() -> tuple[Any, BaseException | None]:
            # As a value: a future cannot carry every exception (StopIteration would never arrive).
            try:
                return work(), None
            except BaseException as error:  # noqa: BLE001  raised again on the loop
                return None, error

        threads = self._shared_threads or self._own_threads
        if threads is None:
            threads = self._own_threads = ThreadPool(self._parallel + _SPARE_THREADS)
        thread = threads.submit(job)
        try:
            value, error = await asyncio.wrap_future(thread)
        except asyncio.CancelledError:
            if not thread.done():  # One that had not begun was cancelled with its waiter.
                abandon(thread)
            raise
        if error is not None:
            raise error
        return value

    async def _last_of(self, values: AsyncGenerator[Any, Any], call: ToolCall) -> Any:
        """Tell what an async generator yields on its way, and give the last value that is no `Progress` or `Say`."""
        last: Any = _NOTHING
        async with aclosing(values):
            async for value in values:
                is_news = isinstance(value, Progress | Say)
                news = value if is_news else last
                if not is_news:
                    last = value
                if news is not _NOTHING:
                    self._tell(call, news)
        return None if last is _NOTHING else last
