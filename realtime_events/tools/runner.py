"""Runs tool calls, and answers each exactly once.

Owns the tasks and threads of running tools, and who has been answered. Knows no session: an answer goes out through
`answer`, news through `publish`. Before it: the session, which starts calls as the model makes them; after it: the
session again, which sends the output and asks for one response per batch.

How every call gets one answer: a call is in `_running` until `_settle` takes it out, and only who takes it out
answers. Three may try: the end of its task (a done-callback, so a task cancelled before its first step counts too),
its timer, and `cancel`. The timer and `cancel` do not wait for the task: a tool that swallows its cancellation, or a
thread that never returns, delays nobody.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from ..events.base import LocalEvent
from ..events.local import ToolCall, ToolDone, ToolFailed, ToolProgress, ToolResult, ToolStarted
from ..exceptions import ToolError, ToolTimeout, one_line
from .annotations import injection_key
from .output import encode_output, failure_text
from .registry import Tool, ToolRegistry
from .threads import ThreadPool

__all__ = ["Outcome", "Progress", "ToolRunner"]

logger = logging.getLogger("realtime_events.tools")

Publish = Callable[[LocalEvent], object]
Answer = Callable[[ToolResult, bool], object]

_REMEMBERED_CALLS = 4096
_NOTHING: Any = object()


class Progress(msgspec.Struct, frozen=True):
    """What an async generator tool yields to tell how far it is; `fraction` goes from 0 to 1."""

    text: str = ""
    fraction: float | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool call ended: `output` is the text for the model, `error` what went wrong, if anything did."""

    output: str
    error: BaseException | None = None
    value: Any = None


class _Running:
    """A call that has no answer yet."""

    __slots__ = ("call", "respond", "started_s", "task", "timer", "tool")

    def __init__(self, call: ToolCall, tool: Tool | None, started_s: float) -> None:
        self.call = call
        self.tool = tool
        self.respond = tool is None or tool.options.respond
        self.started_s = started_s
        self.task: asyncio.Task[Outcome] | None = None
        self.timer: asyncio.TimerHandle | None = None


class ToolRunner:
    """Runs the tool calls of one session.

    Args:
        registry: the tools, read anew at every call.
        publish: takes the local events `tool.started`, `tool.progress`, `tool.done` and `tool.failed`.
        answer: takes each call's result once, with the output for the model, and whether a response should follow.
        inject: what to inject, by type; the `ToolCall` itself is added.
        clock: gives seconds; durations are measured with it.
        threads: where sync tools run; by default 16 threads of the runner's own, started when needed.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        publish: Publish,
        answer: Answer,
        inject: Mapping[type, object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        threads: ThreadPool | None = None,
    ) -> None:
        self.duplicates = 0
        """How many times a call was started that had been started before."""
        self._registry = registry
        self._publish = publish
        self._answer = answer
        self._inject = {injection_key(tp): value for tp, value in (inject or {}).items()}
        self._clock = clock
        self._shared_threads = threads
        self._own_threads: ThreadPool | None = None
        self._running: dict[str, _Running] = {}
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._seen: dict[str, None] = {}
        self._closed = False

    @property
    def pending(self) -> int:
        """How many calls have no answer yet."""
        return len(self._running)

    def start(self, call: ToolCall) -> None:
        """Run a call in a task of its own; a call id that was started before is ignored and counted.

        Must be called on the event loop. The answer never comes before this returns.
        """
        if call.call_id in self._seen:
            self.duplicates += 1
            return
        self._remember(call.call_id)
        tool = self._registry.get(call.name) if call.name in self._registry else None
        running = self._running[call.call_id] = _Running(call, tool, self._clock())
        self._tell(self._publish, ToolStarted(call=call))
        if self._running.get(call.call_id) is running:  # a handler of that event may have cancelled it
            self._launch(running)

    async def run(self, call: ToolCall) -> Outcome:
        """Run a call here and now, with no answer, event or time limit; whatever the tool does becomes an outcome.

        Raises:
            asyncio.CancelledError: the caller was cancelled. One that the tool raised by itself is an outcome.
        """
        tool: Tool | None = None
        try:
            tool = self._registry.get(call.name)
            value = await self._value(tool, call)
            return Outcome(output=encode_output(value), value=value)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return _failure(call, tool, error)
        except BaseException as error:  # noqa: BLE001  asyncio turns Ctrl-C into a cancellation: this is the tool's own
            return _failure(call, tool, error)

    def cancel(self, call_id: str, *, reason: str = "it was cancelled") -> bool:
        """Stop a call and tell the model so; false if it has its answer already."""
        running = self._running.get(call_id)
        if running is None:
            return False
        self._stop(running, ToolError(f"{running.call.name!r} gave no result: {reason}"))
        return True

    def interrupt(self) -> None:
        """Stop every call whose tool says `on_interrupt="cancel"`: the user has interrupted."""
        for running in list(self._running.values()):
            if running.tool is not None and running.tool.options.on_interrupt == "cancel":
                self.cancel(running.call.call_id, reason="the user interrupted")

    async def close(self, *, grace_s: float = 0.25) -> None:
        """Stop every call and wait up to `grace_s` for the tasks to end; threads end after the job they are at.

        May be called by a tool, and twice.
        """
        self._closed = True
        try:
            for call_id in list(self._running):
                self.cancel(call_id, reason="the session was closed")
            # A tool that closes its own session is not cancelled: its call is answered, and it ends by itself.
            ending = self._tasks - {asyncio.current_task()}
            for task in ending:
                task.cancel()
            if ending:
                _, left = await asyncio.wait(ending, timeout=grace_s)
                for task in left:
                    logger.warning("%s goes on although it was cancelled", task.get_name())
        finally:
            if self._own_threads is not None:
                self._own_threads.close()

    def _remember(self, call_id: str) -> None:
        """Bound the memory of a long session; a call shows up again within its own response, so the newest do."""
        self._seen[call_id] = None
        if len(self._seen) > _REMEMBERED_CALLS:
            del self._seen[next(iter(self._seen))]

    def _launch(self, running: _Running) -> None:
        if self._closed:
            self.cancel(running.call.call_id, reason="the session was closed")
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self.run(running.call), name=f"tool {running.call.name} {running.call.call_id}")
        self._tasks.add(task)
        running.task = task
        if running.tool is not None:
            running.timer = loop.call_later(running.tool.options.timeout_s, self._time_out, running)
        task.add_done_callback(functools.partial(self._task_ended, running))

    async def _value(self, tool: Tool, call: ToolCall) -> Any:
        """Call the tool's function, wherever it belongs, and give its result."""
        arguments = tool.decode(tool.name, call.arguments)
        work = tool.bind(arguments, {**self._inject, _CALL_KEY: call} if tool.injected else {})
        value = work() if tool.is_async else await self._in_thread(work)
        if inspect.isasyncgen(value):
            return await self._last_of(value, call)
        return await value if inspect.isawaitable(value) else value

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        def job() -> tuple[Any, BaseException | None]:
            # As a value: a future cannot carry every exception (StopIteration would never arrive).
            try:
                return work(), None
            except BaseException as error:  # noqa: BLE001  raised again on the loop
                return None, error

        threads = self._shared_threads or self._own_threads
        if threads is None:
            threads = self._own_threads = ThreadPool()
        value, error = await asyncio.wrap_future(threads.submit(job))
        if error is not None:
            raise error
        return value

    async def _last_of(self, values: AsyncGenerator[Any, Any], call: ToolCall) -> Any:
        """Publish what an async generator yields as progress, and give the last value that is no `Progress`."""
        last: Any = _NOTHING
        async with aclosing(values):
            async for value in values:
                progress = value if isinstance(value, Progress) else last
                if not isinstance(value, Progress):
                    last = value
                if progress is not _NOTHING:
                    self._tell(self._publish, ToolProgress(call=call, progress=progress))
        return None if last is _NOTHING else last

    def _task_ended(self, running: _Running, task: asyncio.Task[Outcome]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            error: BaseException | None = ToolError(f"{running.call.name!r} gave no result: it was cancelled")
        else:
            error = task.exception()
        self._settle(running, task.result() if error is None else _failure(running.call, running.tool, error))

    def _time_out(self, running: _Running) -> None:
        limit_s = running.tool.options.timeout_s if running.tool is not None else 0
        self._stop(running, ToolTimeout(running.call.name, limit_s))

    def _stop(self, running: _Running, error: ToolError) -> None:
        self._settle(running, _failure(running.call, running.tool, error))
        if running.task is not None:
            running.task.cancel()

    def _settle(self, running: _Running, outcome: Outcome) -> None:
        """Answer a call, unless it was answered before."""
        call = running.call
        if self._running.get(call.call_id) is not running:
            return
        del self._running[call.call_id]
        if running.timer is not None:
            running.timer.cancel()
        duration_ms = (self._clock() - running.started_s) * 1000
        if outcome.error is None:
            logger.debug("tool %s done in %.1f ms (%s)", call.name, duration_ms, call.call_id)
            self._tell(self._publish, ToolDone(call=call, output=outcome.output, duration_ms=duration_ms))
        else:
            _log_failure(running, outcome.error)
            failed = ToolFailed(call=call, error=outcome.error, output=outcome.output, duration_ms=duration_ms)
            self._tell(self._publish, failed)
        # The answer comes last: it may end the turn, and `turn.done` follows the news of its tools.
        result = ToolResult(
            call_id=call.call_id,
            name=call.name,
            arguments=call.arguments,
            output=outcome.output,
            ok=outcome.error is None,
            duration_ms=duration_ms,
        )
        self._tell(self._answer, result, running.respond)

    def _tell(self, listener: Callable[..., object], *news: object) -> None:
        """Call a listener; its failure must not keep another from being told."""
        try:
            listener(*news)
        except Exception:
            logger.exception("%r failed on %s", listener, type(news[0]).__name__)


_CALL_KEY = injection_key(ToolCall)


def _failure(call: ToolCall, tool: Tool | None, error: BaseException) -> Outcome:
    expose = tool is not None and tool.options.expose_errors
    return Outcome(output=failure_text(call.name, error, expose=expose), error=error)


def _log_failure(running: _Running, error: BaseException) -> None:
    """Log an unexpected exception with its traceback, a foreseen one by its kind: its text may hold arguments."""
    name, where = running.call.name, running.tool.where if running.tool is not None else "not registered"
    if isinstance(error, ToolError):
        logger.warning("tool %s (%s) failed: %s", one_line(name, limit=64), where, type(error).__name__)
    else:
        logger.error("tool %s (%s) failed", name, where, exc_info=error)
