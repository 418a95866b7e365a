"""Runs tool calls, and answers each exactly once.

Owns the tasks of running tools, their time, and who has been answered. Knows no session: an answer goes out through
`answer`, news through `publish`. Before it: the session, which starts calls as the model makes them; after it: the
session again, which sends the output and asks for one response per batch.

How every call gets one answer: a call is in `_running` until `_settle` takes it out, and only who takes it out
answers. Three may try: the end of its task (a done-callback, so a task cancelled before its first step counts too),
its timer, and `cancel`. The timer and `cancel` do not wait for the task: a tool that swallows its cancellation, or a
thread that never returns, delays nobody. While a call waits for approval the timer is that of the approval.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Mapping, Set
from typing import Any

import msgspec

from .. import logs
from ..events.base import LocalEvent
from ..events.local import (
    ToolApprovalRequested,
    ToolCall,
    ToolDone,
    ToolFailed,
    ToolProgress,
    ToolResult,
    ToolStarted,
)
from ..exceptions import ToolError, ToolNotFound, ToolTimeout, one_line
from ..protocol.batches import ToolLimits, WhenDone
from .annotations import injection_key
from .approvals import Approvals
from .attempts import Attempts, Repeats
from .calling import Caller, Say, Tools
from .options import ToolOptions
from .output import MAX_OUTPUT_BYTES, Outcome, encode_output, failure_text
from .registry import SESSION_TYPE, Tool
from .threads import ThreadPool

__all__ = ["ToolRunner"]

logger = logs.logger("tools")

Publish = Callable[[LocalEvent], object]
Answer = Callable[[ToolResult, bool, WhenDone], object]

_REMEMBERED_CALLS = 4096
_GRACE_S = 5.0  # how long a tool may go on after its cancellation before it counts as abandoned

_NO_TOOL = ToolOptions()
_LIMITS = ToolLimits()


class _Running:
    """A call that has no answer yet."""

    __slots__ = ("call", "options", "same", "started_s", "task", "timer", "tool", "turn")

    def __init__(
        self, call: ToolCall, tool: Tool | None, started_s: float, turn: object | None, same: Repeats | None
    ) -> None:
        self.call = call
        self.same = same
        self.tool = tool
        self.options = tool.options if tool is not None else _NO_TOOL
        self.started_s = started_s
        self.turn = turn
        self.task: asyncio.Task[Outcome] | None = None
        self.timer: asyncio.TimerHandle | None = None


class ToolRunner:
    """Runs the tool calls of one session.

    Args:
        registry: the tools, read anew at every call.
        publish: takes the local events `tool.started`, `tool.progress`, `tool.done` and `tool.failed`.
        answer: takes each call's result once, with the output for the model, whether a response should follow, and what
            becomes of it while somebody speaks.
        say: has the assistant say a text on behalf of a call (by its id) that runs.
        inject: what to inject, by type; the `ToolCall` itself is added.
        turn: gives the turn that runs; attempts are counted within it.
        limits: how many calls run at once, and how often one may be repeated.
        clock: gives seconds; durations are measured with it.
        threads: where sync tools run; by default threads of the runner's own, started when needed.
    """

    def __init__(  # noqa: PLR0913  each is one thing that a session lends it
        self,
        registry: Tools,
        *,
        publish: Publish,
        answer: Answer,
        say: Callable[[str, str], object] | None = None,
        inject: Mapping[type, object] | None = None,
        turn: Callable[[], object | None] = lambda: None,
        limits: ToolLimits = _LIMITS,
        clock: Callable[[], float] = time.monotonic,
        threads: ThreadPool | None = None,
    ) -> None:
        self.duplicates = 0
        """How many times a call was started that had been started before."""
        self._late_results = self._abandoned = 0
        self._registry = registry
        self._publish = publish
        self._answer = answer
        self._say = say
        self._clock = clock
        self._turn = turn
        self._attempts = Attempts(limits.identical)
        injected = {injection_key(tp): value for tp, value in (inject or {}).items()}
        self.approvals = Approvals(self._request_approval, injected.get(SESSION_TYPE))
        self._caller = Caller(
            registry, self.approvals, inject=injected, tell=self._told, parallel=limits.parallel, threads=threads
        )
        self._running: dict[str, _Running] = {}
        self._tasks: dict[asyncio.Task[Outcome], _Running] = {}
        self._seen: dict[str, None] = {}
        self._closed = False

    @property
    def pending(self) -> int:
        """How many calls have no answer yet."""
        return len(self._running)

    @property
    def late_results(self) -> int:
        """How many results came after their call was answered; nobody was given them."""
        return self._late_results + self._caller.places.late_results

    @property
    def abandoned(self) -> int:
        """How many calls went on although they were told to stop."""
        return self._abandoned + self._caller.places.abandoned

    def start(self, call: ToolCall) -> None:
        """Run a call in a task of its own; a call id that was started before is ignored and counted.

        Must be called on the event loop. The answer never comes before this returns.
        """
        if call.call_id in self._seen:
            self.duplicates += 1
            return
        self._remember(call.call_id)
        turn, tool = self._turn(), self._find(call.name)
        same = self._attempts.count(call, turn)
        if tool is not None and not call.refused:
            refused = self._attempts.refusal(call, tool.options, same)
            call = msgspec.structs.replace(call, refused=refused) if refused else call
        running = self._running[call.call_id] = _Running(call, tool, self._clock(), turn, same)
        self._tell(self._publish, ToolStarted(call=call))
        if self._running.get(call.call_id) is running:  # a handler of that event may have cancelled it
            self._launch(running)

    async def run(self, call: ToolCall) -> Outcome:
        """Run a call here and now: no answer, event, approval or limit; whatever the tool does becomes an outcome.

        Raises:
            asyncio.CancelledError: the caller was cancelled. One that the tool raised by itself is an outcome.
        """
        return await self._outcome(call, lambda: self._caller.by_hand(call))

    async def _outcome(self, call: ToolCall, calling: Callable[[], Coroutine[Any, Any, Any]]) -> Outcome:
        try:
            value = await calling()
            tool = self._find(call.name)
            limit_bytes = tool.options.max_output_bytes if tool is not None else MAX_OUTPUT_BYTES
            return Outcome(output=encode_output(value, limit_bytes), value=value)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return _failure(call, self._find(call.name), error)
        except BaseException as error:  # noqa: BLE001  asyncio turns Ctrl-C into a cancellation: this is the tool's own
            return _failure(call, self._find(call.name), error)

    def _find(self, name: str) -> Tool | None:
        try:
            return self._registry.get(name)
        except ToolNotFound:
            return None

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
            if running.options.on_interrupt == "cancel":
                self.cancel(running.call.call_id, reason="the user interrupted")

    async def close(self, *, grace_s: float = 0.25, spare: Set[asyncio.Task[Any]] = frozenset()) -> None:
        """Stop every call and wait up to `grace_s` for the tasks to end; threads end after the job they are at.

        Twice is fine. The tasks to spare are those that asked for it: a tool that closes its own session is not
        cancelled; its call is answered, and it ends by itself.
        """
        self._closed = True
        try:
            for running in list(self._running.values()):
                closed = ToolError(f"{running.call.name!r} gave no result: the session was closed")
                self._settle(running, _failure(running.call, running.tool, closed))
            for running in self._tasks.values():
                _stop_timer(running)
            ending = self._tasks.keys() - spare - {asyncio.current_task()}
            for task in ending:
                task.cancel()
            if ending:
                _, left = await asyncio.wait(ending, timeout=grace_s)
                for task in left:
                    logger.warning("%s goes on although it was cancelled", task.get_name())
        finally:
            self._caller.close()

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
        call, options = running.call, running.options
        if options.approval == "never":
            running.timer = loop.call_later(options.timeout_s, self._time_out, running)
        else:
            running.timer = loop.call_later(options.approval_timeout_s, self._expire, running)
        same, twin = running.same, self._attempts.twin(running.same)
        calling = functools.partial(self._caller, call, functools.partial(self._begin, running), twin)
        task = loop.create_task(self._outcome(call, calling), name=f"tool {call.name} {call.call_id}")
        self._tasks[task] = running
        running.task = task
        if same is not None and twin is None and not call.refused:
            same.running = task
        task.add_done_callback(functools.partial(self._task_ended, running))

    def _begin(self, running: _Running) -> None:
        """Start the time of a call that was approved."""
        if running.options.approval == "never" or running.call.call_id not in self._running:
            return
        assert running.timer is not None
        running.timer.cancel()
        loop = asyncio.get_running_loop()
        running.timer = loop.call_later(running.options.timeout_s, self._time_out, running)

    def _request_approval(self, call: ToolCall, tool: Tool) -> None:
        options = tool.options
        event = ToolApprovalRequested(call=call, kind=options.kind, expires_s=options.approval_timeout_s)
        self._tell(self._publish, event)

    def _told(self, call: ToolCall, news: Any) -> None:
        """Pass on what a running tool yields; one whose call is answered has nothing to say any more."""
        if call.call_id not in self._running and call.call_id in self._seen:
            return
        self._tell(self._publish, ToolProgress(call=call, progress=news))
        if isinstance(news, Say) and self._say is not None:
            self._tell(self._say, call.call_id, news.text)

    def _task_ended(self, running: _Running, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[task]
        if self._running.get(running.call.call_id) is not running:
            _stop_timer(running)
            self._late_results += not task.cancelled()
            return
        if task.cancelled():
            error: BaseException | None = ToolError(f"{running.call.name!r} gave no result: it was cancelled")
        else:
            error = task.exception()
        self._settle(running, task.result() if error is None else _failure(running.call, running.tool, error))

    def _time_out(self, running: _Running) -> None:
        self._stop(running, ToolTimeout(running.call.name, running.options.timeout_s))

    def _expire(self, running: _Running) -> None:
        limit = f"{running.options.approval_timeout_s:g} s"
        self._stop(running, ToolError(f"{running.call.name!r} was not run: nobody approved it within {limit}"))

    def _stop(self, running: _Running, error: ToolError) -> None:
        self._settle(running, _failure(running.call, running.tool, error))
        if running.task is not None and running.task.cancel() and not self._closed:
            running.timer = asyncio.get_running_loop().call_later(_GRACE_S, self._give_up, running)

    def _give_up(self, running: _Running) -> None:
        """Count a tool that takes no notice of its cancellation; its place stays taken until it ends."""
        self._abandoned += 1
        logger.warning("tool %s goes on although it was cancelled", one_line(running.call.name, limit=64))

    def _settle(self, running: _Running, outcome: Outcome) -> None:
        """Answer a call, unless it was answered before."""
        call = running.call
        if self._running.get(call.call_id) is not running:
            return
        del self._running[call.call_id]
        _stop_timer(running)
        duration_ms = (self._clock() - running.started_s) * 1000
        if outcome.error is None:
            logger.debug("tool %s done in %.1f ms (%s)", call.name, duration_ms, call.call_id)
            self._tell(self._publish, ToolDone(call=call, output=outcome.output, duration_ms=duration_ms))
        else:
            _log_failure(running, outcome.error)
            if not call.refused:
                self._attempts.failed(call, running.turn)
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
        self._tell(self._answer, result, running.options.respond, running.options.when_done)

    def _tell(self, listener: Callable[..., object], *news: object) -> None:
        """Call a listener; its failure must not keep another from being told."""
        try:
            listener(*news)
        except Exception:
            logger.exception("%r failed on %s", listener, type(news[0]).__name__)


def _stop_timer(running: _Running) -> None:
    if running.timer is not None:
        running.timer.cancel()


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
