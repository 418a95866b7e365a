"""Running tool calls: each is answered exactly once, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from realtime_events.events import LocalEvent, ToolCall, ToolDone, ToolFailed, ToolProgress, ToolResult, ToolStarted
from realtime_events.exceptions import ToolArgumentsError, ToolError, ToolNotFound, ToolTimeout
from realtime_events.protocol.batches import ToolLimits
from realtime_events.tools import Progress, ThreadPool, ToolRegistry, ToolRunner

WAIT_S = 5
SHORT_S = 0.02


class Session:
    """Stands for the live session."""


class Desk:
    """A runner with its tools, and everything it said."""

    def __init__(self) -> None:
        self.registry = ToolRegistry(injectable=[Session])
        self.session = Session()
        self.now_s = 100.0
        self.answers: list[tuple[str, str, bool]] = []
        self.events: list[LocalEvent] = []
        self.entered = asyncio.Event()
        self._changed = asyncio.Event()
        self.runner = ToolRunner(
            self.registry,
            publish=self.publish,
            answer=self.answer,
            inject={Session: self.session},
            clock=lambda: self.now_s,
        )

    def publish(self, event: LocalEvent) -> None:
        self.events.append(event)
        self._changed.set()

    def answer(self, result: ToolResult, respond: bool, when_done: str) -> None:
        self.answers.append((result.call_id, result.output, respond))

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def call(self, name: str, arguments: str = "{}", call_id: str = "call_1") -> str:
        """Make one call and give the output of its one answer."""
        before = len(self.events)
        self.runner.start(ToolCall(call_id=call_id, name=name, arguments=arguments))
        await self.until(lambda: any(isinstance(e, ToolDone | ToolFailed) for e in self.events[before:]))
        assert [answer[0] for answer in self.answers].count(call_id) == 1
        return next(output for answered, output, _ in self.answers if answered == call_id)

    @property
    def failure(self) -> BaseException:
        return next(event.error for event in self.events if isinstance(event, ToolFailed))


def tool_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("tool ")]


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    async with asyncio.timeout(WAIT_S):
        await desk.runner.close()
    assert desk.runner.pending == 0
    assert tool_tasks() == [], "B46: a task was left"


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds back a sync tool; opened at the end, so that no thread outlives its test."""
    gate = threading.Event()
    yield gate
    gate.set()


class Abort(BaseException):
    """No `Exception`."""


class TestResults:
    async def test_an_async_tool_gives_its_output(self, desk: Desk) -> None:
        """B30: a string as it is; the events carry call, output and duration."""

        @desk.registry.tool
        async def greet(name: str) -> str:
            desk.now_s += 0.25
            return f"Hello {name}"

        assert await desk.call("greet", '{"name": "Ada"}') == "Hello Ada"
        call = ToolCall(call_id="call_1", name="greet", arguments='{"name": "Ada"}')
        assert desk.events == [ToolStarted(call=call), ToolDone(call=call, output="Hello Ada", duration_ms=250.0)]
        assert desk.answers == [("call_1", "Hello Ada", True)]

    async def test_a_sync_tool_runs_on_a_thread_of_its_own(self, desk: Desk) -> None:
        """B03: it may block without holding up the session."""

        @desk.registry.tool
        def where() -> str:
            return threading.current_thread().name

        assert await desk.call("where") == "tool-1"

    async def test_a_sync_function_may_return_an_awaitable(self, desk: Desk) -> None:
        """A lambda over an async function is not seen to be async."""

        async def later() -> int:
            return 5

        desk.registry.tool(lambda: later(), name="later")
        assert await desk.call("later") == "5"

    async def test_an_async_generator_gives_progress_and_then_its_last_value(self, desk: Desk) -> None:
        """What it yields before the last value is progress, too."""

        @desk.registry.tool
        async def search() -> AsyncIterator[Any]:
            yield Progress("looking", 0.5)
            yield "almost"
            yield {"found": 3}
            yield Progress("tidying up", 1.0)

        assert await desk.call("search") == '{"found":3}'
        told = [event.progress for event in desk.events if isinstance(event, ToolProgress)]
        assert told == [Progress("looking", 0.5), "almost", Progress("tidying up", 1.0)]

    async def test_a_generator_that_yields_nothing_gives_null(self, desk: Desk) -> None:
        """B30: it is answered all the same."""

        @desk.registry.tool
        async def search() -> AsyncIterator[str]:
            for found in ():
                yield found

        assert await desk.call("search") == "null"

    async def test_the_session_and_the_call_are_injected(self, desk: Desk) -> None:
        """The model sees neither."""
        got: list[Any] = []

        @desk.registry.tool
        async def remember(what: str, session: Session, call: ToolCall) -> None:
            got.extend((what, session, call.call_id))

        await desk.call("remember", '{"what": "this"}', "call_7")
        assert got == ["this", desk.session, "call_7"]

    async def test_a_tool_without_a_follow_up_says_so(self, desk: Desk) -> None:
        """B32: `respond=False` stops the follow-up."""

        @desk.registry.tool(respond=False)
        async def note() -> str:
            return "noted"

        await desk.call("note")
        assert desk.answers == [("call_1", "noted", False)]

    async def test_calls_run_at_the_same_time_and_answer_in_the_order_of_completion(self, desk: Desk) -> None:
        """B32: the second call ends while the first waits for it."""
        second_is_done = asyncio.Event()

        @desk.registry.tool
        async def first() -> str:
            await second_is_done.wait()
            return "1"

        @desk.registry.tool
        async def second() -> str:
            second_is_done.set()
            return "2"

        for name in ("first", "second"):
            desk.runner.start(ToolCall(call_id=name, name=name, arguments="{}"))
        assert desk.runner.pending == 2
        await desk.until(lambda: len(desk.answers) == 2)
        assert [answer[0] for answer in desk.answers] == ["second", "first"]


CASES = [
    ("nothing", "{}", ToolNotFound, "there is no tool 'nothing'; available: pay, "),
    ("pay", "{amount: 5}", ToolArgumentsError, "the text is not valid JSON"),
    ("pay", "[5]", ToolArgumentsError, "they must be one JSON object"),
    ("pay", "{}", ToolArgumentsError, "amount: missing; expected integer"),
    ("pay", '{"amount": "5"}', ToolArgumentsError, 'amount: expected integer, got string "5"'),
    ("pay", '{"amount": 5, "to": "me"}', ToolArgumentsError, "to: unknown field; the fields are: amount"),
    ("pay", '{"amount": ' + "9" * 60_000 + "}", ToolArgumentsError, "amount: "),
    ("pay", '{"amount": ' + "9" * 1_000_000 + "}", ToolArgumentsError, "are more than the 65,536 there may be"),
    ("refuse", "{}", ToolError, "no such account"),
    ("crash", "{}", ValueError, "'crash' failed with an internal error"),
    ("open_crash", "{}", ValueError, "'open_crash' failed: ValueError: bad iban"),
    ("abort", "{}", Abort, "'abort' failed with an internal error"),
    ("leave", "{}", SystemExit, "'leave' failed with an internal error"),
    ("interrupt", "{}", KeyboardInterrupt, "'interrupt' failed with an internal error"),
    ("stop", "{}", RuntimeError, "'stop' failed with an internal error"),
    ("cancelled", "{}", asyncio.CancelledError, "'cancelled' failed with an internal error"),
    ("inner_timeout", "{}", TimeoutError, "'inner_timeout' failed with an internal error"),
    ("refuse_sync", "{}", ToolError, "no such account"),
    ("crash_sync", "{}", ValueError, "'crash_sync' failed with an internal error"),
    ("abort_sync", "{}", Abort, "'abort_sync' failed with an internal error"),
    ("leave_sync", "{}", SystemExit, "'leave_sync' failed with an internal error"),
    ("interrupt_sync", "{}", KeyboardInterrupt, "'interrupt_sync' failed with an internal error"),
    ("stop_sync", "{}", RuntimeError, "'stop_sync' failed with an internal error"),
    ("cancelled_sync", "{}", asyncio.CancelledError, "'cancelled_sync' failed with an internal error"),
    ("unwritable", "{}", TypeError, "'unwritable' failed with an internal error"),
]


class TestFailures:
    """B30: every way a call can go wrong gives one answer that says what was wrong."""

    @pytest.fixture
    def tools(self, desk: Desk) -> None:
        @desk.registry.tool
        async def pay(amount: int) -> str:
            return str(amount)

        def raises(error: BaseException, **options: Any) -> Callable[[str], None]:
            def register(name: str) -> None:
                async def fail() -> None:
                    raise error

                def fail_in_thread() -> None:
                    raise error

                desk.registry.tool(fail, name=name, **options)
                desk.registry.tool(fail_in_thread, name=f"{name}_sync", **options)

            return register

        raises(ToolError("no such account"))("refuse")
        raises(ValueError("password is 123"))("crash")
        raises(ValueError("bad iban"), expose_errors=True)("open_crash")
        raises(Abort("stop"))("abort")
        raises(SystemExit(3))("leave")
        raises(KeyboardInterrupt())("interrupt")
        raises(StopIteration())("stop")
        raises(asyncio.CancelledError())("cancelled")
        raises(TimeoutError("inner"))("inner_timeout")
        desk.registry.tool(lambda: object(), name="unwritable")
        desk.registry.tool(lambda: "x" * 5_000_000, name="huge")
        desk.registry.tool(lambda: "lone \ud800", name="surrogate")

    @pytest.mark.usefixtures("tools")
    @pytest.mark.parametrize(("name", "arguments", "kind", "told"), CASES, ids=[f"{c[0]} {c[1][:30]}" for c in CASES])
    async def test_a_failed_call_is_answered_once_with_what_was_wrong(
        self, desk: Desk, name: str, arguments: str, kind: type[BaseException], told: str
    ) -> None:
        """B30: as JSON with one field, `error`; an unexpected exception keeps its message to itself."""
        output = await desk.call(name, arguments)
        assert told in json.loads(output)["error"]
        assert len(output) < 600
        assert isinstance(desk.failure, kind)
        assert [type(event) for event in desk.events] == [ToolStarted, ToolFailed]

    @pytest.mark.usefixtures("tools")
    async def test_a_huge_result_is_cut_and_a_broken_one_mended(self, desk: Desk) -> None:
        """B30: both can be sent."""
        assert "[cut: 5,000,000 bytes in all" in await desk.call("huge", call_id="a")
        assert await desk.call("surrogate", call_id="b") == "lone \ufffd"

    async def test_a_result_is_cut_at_the_limit_of_its_tool(self, desk: Desk) -> None:
        """B48: `max_output_bytes`, for a result of any type."""
        desk.registry.tool(lambda: ["x" * 1_000], name="short", max_output_bytes=300)
        desk.registry.tool(lambda: "x" * 300_000, name="long", max_output_bytes=400_000)
        assert "[cut: 1,004 bytes in all" in (cut := await desk.call("short", call_id="a"))
        assert len(cut.encode()) == 300
        assert len(await desk.call("long", call_id="b")) == 300_000

    @pytest.mark.usefixtures("tools")
    async def test_a_failure_is_logged_without_arguments(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        """B48: a foreseen failure by its kind, an unexpected one with its traceback."""
        caplog.set_level(logging.INFO, "realtime_events.tools")
        await desk.call("pay", '{"amount": "secret-4711"}', "a")
        await desk.call("crash", call_id="b")
        assert "secret-4711" not in caplog.text
        assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
        assert "ToolArgumentsError" in caplog.messages[0]
        assert "password is 123" in caplog.text

    async def test_nothing_to_inject_is_a_failure_too(self, desk: Desk) -> None:
        """B30: a tool that was registered for another application."""
        registry = ToolRegistry(injectable=[Desk])

        @registry.tool
        async def needs(desk: Desk) -> None: ...

        desk.registry.include(registry)
        assert "internal error" in await desk.call("needs")


class TestOnce:
    async def test_a_call_seen_before_is_ignored_and_counted(self, desk: Desk) -> None:
        """B31: the same call shows up in three events of a response, and perhaps after its answer."""
        ran = 0

        @desk.registry.tool
        async def count() -> int:
            nonlocal ran
            ran += 1
            return ran

        call = ToolCall(call_id="call_1", name="count", arguments="{}")
        desk.runner.start(call)
        desk.runner.start(call)
        await desk.until(lambda: desk.answers)
        desk.runner.start(ToolCall(call_id="call_1", name="count", arguments='{"other": 1}'))
        assert desk.runner.duplicates == 2
        assert desk.runner.pending == 0
        assert desk.answers == [("call_1", "1", True)]
        assert len(desk.events) == 2

    async def test_a_listener_that_fails_costs_no_answer(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        """B30: neither publishing nor answering can stop what comes after it."""
        desk.registry.tool(lambda: "fine", name="fine")
        finished = asyncio.Event()
        said: list[str] = []

        def publish(event: LocalEvent) -> None:
            if isinstance(event, ToolDone):
                finished.set()
            raise RuntimeError("listener")

        def answer(result: ToolResult, respond: bool, when_done: str) -> None:
            said.append(result.output)
            raise RuntimeError("door")

        runner = ToolRunner(desk.registry, publish=publish, answer=answer)
        runner.start(ToolCall(call_id="a", name="fine", arguments="{}"))
        async with asyncio.timeout(WAIT_S):
            await finished.wait()
            await runner.close()
        assert said == ["fine"]
        assert len(caplog.records) == 3

    async def test_the_answer_never_comes_before_start_returns(self, desk: Desk) -> None:
        """Not even for a call that fails at once: who starts a batch can count it first."""
        desk.runner.start(ToolCall(call_id="a", name="nothing", arguments="{}"))
        assert desk.answers == []
        assert desk.runner.pending == 1
        await desk.until(lambda: desk.answers)

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
    async def test_tasks_that_start_at_once_change_nothing(self, desk: Desk) -> None:
        """B30: a tool that ends in its first step is answered after `start`, and once."""
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  new in 3.12

        @desk.registry.tool
        async def quick(call: ToolCall) -> str:
            return "quick" if desk.runner.pending else "answered already"

        desk.runner.start(ToolCall(call_id="a", name="quick", arguments="{}"))
        assert desk.answers == []
        await desk.until(lambda: desk.answers)
        assert desk.answers == [("a", "quick", True)]
        assert [type(event) for event in desk.events] == [ToolStarted, ToolDone]


class TestTimeouts:
    async def test_a_slow_tool_is_answered_with_its_limit_and_cancelled(self, desk: Desk) -> None:
        """B30: a timeout says how long; the tool is told by its cancellation."""
        stopped = asyncio.Event()

        @desk.registry.tool(timeout_s=SHORT_S)
        async def slow() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        assert json.loads(await desk.call("slow")) == {"error": "'slow' gave no result within 0.02 s"}
        assert isinstance(desk.failure, ToolTimeout)
        async with asyncio.timeout(WAIT_S):
            await stopped.wait()

    async def test_a_tool_that_swallows_its_cancellation_delays_nobody(self, desk: Desk) -> None:
        """B30: the answer does not wait for it, and its late result is not sent."""
        release, late = asyncio.Event(), asyncio.Event()

        @desk.registry.tool(timeout_s=SHORT_S)
        async def stubborn() -> str:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await release.wait()
            late.set()
            return "late"

        assert "gave no result within" in await desk.call("stubborn")
        release.set()
        async with asyncio.timeout(WAIT_S):
            await late.wait()
        assert len(desk.answers) == 1

    async def test_a_thread_that_never_returns_delays_nobody(self, desk: Desk, gate: threading.Event) -> None:
        """B30: it cannot be stopped, but the model need not wait."""

        @desk.registry.tool(timeout_s=SHORT_S)
        def stuck() -> None:
            gate.wait(WAIT_S)

        assert "gave no result within" in await desk.call("stuck")
        await desk.runner.close()

    async def test_sync_tools_that_wait_for_a_thread_time_out_as_well(self, desk: Desk, gate: threading.Event) -> None:
        """B30: seventeen stuck calls on sixteen threads are seventeen answers."""

        @desk.registry.tool(timeout_s=SHORT_S)
        def stuck() -> None:
            gate.wait(WAIT_S)

        for number in range(17):
            desk.runner.start(ToolCall(call_id=str(number), name="stuck", arguments="{}"))
        await desk.until(lambda: len(desk.answers) == 17)
        assert {answer[0] for answer in desk.answers} == {str(number) for number in range(17)}


class TestAbandoned:
    """B30, B46: a thread cannot be stopped; it keeps its place until it ends, and nobody waits for it."""

    def make_stuck(self, desk: Desk, gate: threading.Event, name: str, alive: list[str], **options: Any) -> None:
        def stuck() -> str:
            alive.append(name)
            gate.wait(WAIT_S)
            alive.remove(name)
            return "late"

        desk.registry.tool(stuck, name=name, **{"timeout_s": SHORT_S, **options})

    async def test_a_place_is_free_again_when_its_thread_has_ended(self, desk: Desk, gate: threading.Event) -> None:
        """`max_concurrency=1` holds: what waits behind a stuck thread times out, and does not run beside it."""
        alive: list[str] = []
        self.make_stuck(desk, gate, "stuck", alive, max_concurrency=1)
        for call_id in ("a", "b", "c"):
            assert "'stuck' gave no result within 0.02 s" in await desk.call("stuck", call_id=call_id)
        assert alive == ["stuck"] and desk.runner.abandoned == 1 and desk.runner.late_results == 0
        gate.set()
        async with asyncio.timeout(WAIT_S):
            while not desk.runner.late_results:
                await asyncio.sleep(0)
        assert alive == []
        desk.registry.tool(lambda: "well", name="other", max_concurrency=1)
        assert await desk.call("other", call_id="d") == "well"

    async def test_no_more_threads_live_than_calls_may_run(self, desk: Desk, gate: threading.Event) -> None:
        """With two places, a third call waits for the two that were given up."""
        alive: list[str] = []
        runner = ToolRunner(desk.registry, publish=desk.publish, answer=desk.answer, limits=ToolLimits(parallel=2))
        for name in ("one", "two", "three"):
            self.make_stuck(desk, gate, name, alive)
            runner.start(ToolCall(call_id=name, name=name, arguments="{}"))
        await desk.until(lambda: len(desk.answers) == 3)
        assert sorted(alive) == ["one", "two"]
        runner.start(ToolCall(call_id="four", name="three", arguments="{}"))
        await desk.until(lambda: len(desk.answers) == 4)
        busy = "'three' is busy: 2 calls of other tools still run although their time is over; try again later"
        assert json.loads(desk.answers[3][1])["error"] == busy
        gate.set()
        async with asyncio.timeout(WAIT_S):
            while runner.late_results < 2:
                await asyncio.sleep(0)
        desk.registry.tool(lambda: "well", name="well")
        runner.start(ToolCall(call_id="five", name="well", arguments="{}"))
        await desk.until(lambda: len(desk.answers) == 5)
        assert desk.answers[4][1] == "well"
        await runner.close()

    async def test_a_tool_that_keeps_hanging_leaves_the_others_their_places(
        self, desk: Desk, gate: threading.Event
    ) -> None:
        """A quarter of all places is what its lost threads can take, however often it is called."""
        alive: list[str] = []
        self.make_stuck(desk, gate, "stuck", alive)
        desk.registry.tool(lambda: "well", name="well")
        outputs = [await desk.call("stuck", call_id=str(number)) for number in range(20)]
        assert len(alive) == 4 == desk.runner.abandoned
        assert all("gave no result" in output for output in outputs[:4])
        assert all("'stuck' is busy: 4 of its calls still run" in output for output in outputs[4:])
        assert await desk.call("well", call_id="x") == "well"

    async def test_who_decides_about_approvals_takes_no_thread_from_tools(
        self, desk: Desk, gate: threading.Event
    ) -> None:
        """Sixteen functions that never decide, and a sync tool still runs."""

        @desk.registry.tool(approval=lambda call: gate.wait(WAIT_S), approval_timeout_s=SHORT_S)
        async def pay() -> None: ...

        desk.registry.tool(lambda: "well", name="well")
        for number in range(16):
            desk.runner.start(ToolCall(call_id=str(number), name="pay", arguments="{}"))
        await desk.until(lambda: len(desk.answers) == 16)
        assert await desk.call("well", call_id="x") == "well"

    async def test_a_tool_that_takes_no_notice_of_its_end_is_counted(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a while, and its late result, too."""
        monkeypatch.setattr("realtime_events.tools.runner._GRACE_S", SHORT_S)
        release, entered = asyncio.Event(), asyncio.Event()

        @desk.registry.tool
        async def stubborn() -> str:
            entered.set()
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()
            return "late"

        desk.runner.start(ToolCall(call_id="a", name="stubborn", arguments="{}"))
        await entered.wait()
        desk.runner.cancel("a")
        async with asyncio.timeout(WAIT_S):
            while not desk.runner.abandoned:
                await asyncio.sleep(0)
            assert desk.runner.late_results == 0
            release.set()
            while not desk.runner.late_results:
                await asyncio.sleep(0)
        assert (desk.runner.abandoned, desk.runner.late_results, len(desk.answers)) == (1, 1, 1)


class TestStopping:
    @pytest.fixture
    def waiting(self, desk: Desk) -> None:
        async def wait() -> str:
            desk.entered.set()
            await asyncio.Event().wait()
            return "never"

        desk.registry.tool(wait, name="patient")
        desk.registry.tool(wait, name="polite", on_interrupt="cancel")

    @pytest.mark.usefixtures("waiting")
    async def test_a_cancelled_call_is_answered_at_once(self, desk: Desk) -> None:
        """B30: even before its task took its first step; a second time there is nothing to cancel."""
        desk.runner.start(ToolCall(call_id="a", name="patient", arguments="{}"))
        assert desk.runner.cancel("a", reason="the user changed their mind")
        assert not desk.runner.cancel("a")
        assert desk.answers == [("a", '{"error":"\'patient\' gave no result: the user changed their mind"}', True)]

    @pytest.mark.usefixtures("waiting")
    async def test_a_task_cancelled_by_somebody_else_is_answered(self, desk: Desk) -> None:
        """B30: a loop that shuts down cancels every task it knows."""
        desk.runner.start(ToolCall(call_id="a", name="patient", arguments="{}"))
        [task] = [task for task in asyncio.all_tasks() if task.get_name() == "tool patient a"]
        task.cancel()
        await desk.until(lambda: desk.answers)
        assert "it was cancelled" in desk.answers[0][1]

    @pytest.mark.usefixtures("waiting")
    async def test_an_interruption_stops_only_tools_that_ask_for_it(self, desk: Desk) -> None:
        """B34: a barge-in does not cancel a tool unless it says so."""
        for name in ("patient", "polite"):
            desk.runner.start(ToolCall(call_id=name, name=name, arguments="{}"))
        desk.runner.interrupt()
        assert [answer[0] for answer in desk.answers] == ["polite"]
        assert "the user interrupted" in desk.answers[0][1]
        assert desk.runner.pending == 1

    async def test_a_call_cancelled_by_a_handler_of_its_start_never_runs(self, desk: Desk) -> None:
        """An inline handler of `tool.started` may refuse the call."""
        ran: list[str] = []
        desk.registry.tool(lambda: ran.append("ran"), name="eager")
        runner = ToolRunner(
            desk.registry,
            publish=lambda event: isinstance(event, ToolStarted) and runner.cancel(event.call.call_id),
            answer=desk.answer,
        )
        runner.start(ToolCall(call_id="a", name="eager", arguments="{}"))
        assert tool_tasks() == []
        await runner.close()
        assert len(desk.answers) == 1
        assert ran == []

    @pytest.mark.usefixtures("waiting")
    async def test_closing_answers_what_runs_and_what_comes_later(self, desk: Desk) -> None:
        """B46: no task is left; a second close does nothing."""
        desk.runner.start(ToolCall(call_id="a", name="patient", arguments="{}"))
        await desk.entered.wait()
        await desk.runner.close()
        desk.runner.start(ToolCall(call_id="b", name="patient", arguments="{}"))
        assert tool_tasks() == []
        await desk.runner.close()
        assert [answer[0] for answer in desk.answers] == ["a", "b"]
        assert all("the session was closed" in answer[1] for answer in desk.answers)

    async def test_closing_does_not_wait_for_a_tool_that_will_not_end(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        """B40: it is named in the log."""
        release = asyncio.Event()

        @desk.registry.tool
        async def stubborn() -> None:
            desk.entered.set()
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()

        desk.runner.start(ToolCall(call_id="a", name="stubborn", arguments="{}"))
        await desk.entered.wait()
        async with asyncio.timeout(1):
            await desk.runner.close(grace_s=0.01)
        release.set()
        assert "tool stubborn a goes on although it was cancelled" in caplog.text

    async def test_a_tool_may_close_its_own_runner(self, desk: Desk) -> None:
        """B40: as a hang-up tool does; it runs to its end."""
        ended = asyncio.Event()

        @desk.registry.tool
        async def hang_up() -> str:
            await desk.runner.close()
            ended.set()
            return "bye"

        assert "the session was closed" in await desk.call("hang_up")
        async with asyncio.timeout(WAIT_S):
            await ended.wait()
        assert len(desk.answers) == 1

    async def test_closing_that_is_cancelled_still_closes_the_threads(self, desk: Desk) -> None:
        """B40: what it had to say is said."""
        threads: list[threading.Thread] = []
        release, refused = asyncio.Event(), asyncio.Event()

        @desk.registry.tool
        def who() -> None:
            threads.append(threading.current_thread())

        @desk.registry.tool
        async def stubborn() -> None:
            desk.entered.set()
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    refused.set()

        await desk.call("who", call_id="a")
        desk.runner.start(ToolCall(call_id="b", name="stubborn", arguments="{}"))
        await desk.entered.wait()
        closing = asyncio.ensure_future(desk.runner.close(grace_s=WAIT_S))
        await refused.wait()
        closing.cancel()
        await asyncio.wait([closing])
        release.set()
        assert closing.cancelled()
        threads[0].join(WAIT_S)
        assert not threads[0].is_alive()

    async def test_threads_that_belong_to_somebody_else_stay_open(self, desk: Desk) -> None:
        """Several sessions may share them."""
        shared = ThreadPool(1)
        desk.registry.tool(lambda: "x", name="x")
        runner = ToolRunner(desk.registry, publish=desk.publish, answer=desk.answer, threads=shared)
        runner.start(ToolCall(call_id="a", name="x", arguments="{}"))
        await desk.until(lambda: len(desk.events) == 2)
        await runner.close()
        assert shared.submit(lambda: 5).result(WAIT_S) == 5
        shared.close()


class TestByHand:
    async def test_a_call_by_hand_gives_its_outcome_and_answers_nobody(self, desk: Desk) -> None:
        """The value itself is in it."""
        desk.registry.tool(lambda: {"a": 1}, name="look")
        outcome = await desk.runner.run(ToolCall(call_id="a", name="look", arguments="{}"))
        assert (outcome.value, outcome.output, outcome.error) == ({"a": 1}, '{"a":1}', None)
        assert desk.answers == []
        assert desk.events == []

    async def test_a_failed_call_by_hand_gives_its_error(self, desk: Desk) -> None:
        """Nothing is raised."""
        outcome = await desk.runner.run(ToolCall(call_id="a", name="look", arguments="{}"))
        assert isinstance(outcome.error, ToolNotFound)

    async def test_a_call_by_hand_can_be_cancelled(self, desk: Desk) -> None:
        """The caller's cancellation is the caller's."""

        @desk.registry.tool
        async def wait() -> None:
            desk.entered.set()
            await asyncio.Event().wait()

        by_hand = asyncio.ensure_future(desk.runner.run(ToolCall(call_id="a", name="wait", arguments="{}")))
        await desk.entered.wait()
        by_hand.cancel()
        await asyncio.wait([by_hand])
        assert by_hand.cancelled()


class TestMemory:
    async def test_a_finished_call_leaves_nothing_behind(self, desk: Desk) -> None:
        """B46: no task, no timer, and no reference to what it was about."""

        class Result:
            pass

        results: list[weakref.ref[Result]] = []

        @desk.registry.tool
        async def make() -> AsyncIterator[Any]:
            result = Result()
            results.append(weakref.ref(result))
            yield Progress()
            yield "made"

        await desk.call("make")
        scheduled: list[asyncio.TimerHandle] = vars(asyncio.get_running_loop())["_scheduled"]
        assert not [handle for handle in scheduled if not handle.cancelled() and "ToolRunner" in repr(handle)]
        assert not [value for value in vars(desk.runner).values() if isinstance(value, set) and value]
        gc.collect()
        assert results[0]() is None

    async def test_a_runner_remembers_a_bounded_number_of_calls(self, desk: Desk) -> None:
        """B24: an hour of calls must not grow without end."""
        for number in range(5_000):
            desk.runner.start(ToolCall(call_id=str(number), name="nothing", arguments="{}"))
        await desk.until(lambda: len(desk.answers) == 5_000)
        sizes = [len(value) for value in vars(desk.runner).values() if isinstance(value, dict | set)]
        assert max(sizes) < 5_000


async def test_a_call_that_a_listener_stops_while_all_are_stopped_is_answered_once() -> None:
    """B30: whoever hears of the end of one may end another."""
    desk, entered = Desk(), [asyncio.Event(), asyncio.Event()]

    @desk.registry.tool
    async def stay(number: int) -> None:
        """Stay."""
        entered[number].set()
        await asyncio.Event().wait()

    def publish(event: LocalEvent) -> None:
        desk.events.append(event)
        if isinstance(event, ToolFailed) and event.call.call_id == "first":
            assert desk.runner.cancel("second")

    desk.runner = ToolRunner(desk.registry, publish=publish, answer=desk.answer, inject={Session: desk.session})
    for number, call_id in enumerate(("first", "second")):
        desk.runner.start(ToolCall(call_id=call_id, name="stay", arguments=f'{{"number": {number}}}'))
    async with asyncio.timeout(WAIT_S):
        for one in entered:
            await one.wait()
        await desk.runner.close()
    assert [call_id for call_id, _, _ in desk.answers] == ["second", "first"]
    assert len([event for event in desk.events if isinstance(event, ToolFailed)]) == 2


async def test_a_sync_call_that_is_cancelled_before_its_thread_is_free_never_runs_and_keeps_no_place() -> None:
    """B30, B46: it is answered, and nothing goes on that somebody would have to wait for."""
    desk, gate, begun, ran = Desk(), threading.Event(), threading.Event(), list[str]()
    pool = ThreadPool(1)

    @desk.registry.tool
    def work(name: str) -> str:
        """Work."""
        ran.append(name)
        begun.set()
        gate.wait(WAIT_S)
        return name

    desk.runner = ToolRunner(
        desk.registry, publish=desk.publish, answer=desk.answer, inject={Session: desk.session}, threads=pool
    )
    try:
        desk.runner.start(ToolCall(call_id="first", name="work", arguments='{"name": "first"}'))
        await asyncio.to_thread(begun.wait, WAIT_S)
        desk.runner.start(ToolCall(call_id="second", name="work", arguments='{"name": "second"}'))
        await desk.until(lambda: sum(isinstance(event, ToolStarted) for event in desk.events) == 2)
        await asyncio.sleep(0)
        assert desk.runner.cancel("second")
        while len(tool_tasks()) > 1:
            await asyncio.sleep(0)
        assert desk.runner.abandoned == 0
    finally:
        gate.set()
    await desk.until(lambda: len(desk.answers) == 2)
    async with asyncio.timeout(WAIT_S):
        await desk.runner.close()
    pool.close()
    assert ran == ["first"] and [call_id for call_id, _, _ in desk.answers] == ["second", "first"]
