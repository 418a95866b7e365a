"""How a tool is run: retries, places, twins, approval, and what it says on its way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from realtime_events import ConfigurationError
from realtime_events.events import (
    LocalEvent,
    ToolApprovalRequested,
    ToolCall,
    ToolDone,
    ToolFailed,
    ToolProgress,
    ToolResult,
)
from realtime_events.exceptions import ToolError
from realtime_events.protocol.batches import ToolLimits
from realtime_events.tools import Progress, Say, ToolRegistry, ToolRunner

WAIT_S = 5


class Desk:
    """A runner within a turn, and everything it said."""

    def __init__(self) -> None:
        self.registry = ToolRegistry()
        self.turn: object = object()
        self.outputs: dict[str, str] = {}
        self.urgency: dict[str, str] = {}
        self.events: list[LocalEvent] = []
        self.said: list[tuple[str, str]] = []
        self.changed = asyncio.Event()
        self.running = 0
        self.most = 0
        self.runner = ToolRunner(
            self.registry,
            publish=self.publish,
            answer=self.answer,
            say=lambda call_id, text: self.said.append((call_id, text)),
            turn=lambda: self.turn,
            limits=ToolLimits(parallel=4),
        )

    def publish(self, event: LocalEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def answer(self, result: ToolResult, respond: bool, when_done: str) -> None:
        assert result.call_id not in self.outputs
        self.outputs[result.call_id] = result.output
        self.urgency[result.call_id] = when_done
        self.changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def start(self, name: str, call_id: str = "a", arguments: str = "{}", response_id: str = "") -> None:
        call = ToolCall(call_id=call_id, name=name, arguments=arguments, response_id=response_id)
        self.runner.start(call)

    async def call(self, name: str, call_id: str = "a", arguments: str = "{}", response_id: str = "") -> str:
        self.start(name, call_id, arguments, response_id)
        await self.until(lambda: call_id in self.outputs)
        return self.outputs[call_id]

    async def until_asked(self) -> ToolApprovalRequested:
        await self.until(lambda: any(isinstance(event, ToolApprovalRequested) for event in self.events))
        return next(event for event in self.events if isinstance(event, ToolApprovalRequested))


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    async with asyncio.timeout(WAIT_S):
        await desk.runner.close()
    assert desk.runner.pending == 0


def error_of(output: str) -> str:
    error: str = json.loads(output)["error"]
    return error


class TestRetries:
    @pytest.mark.parametrize(("failures", "ok"), [(0, True), (1, True), (2, True), (3, False)])
    async def test_an_unexpected_exception_is_tried_again_as_often_as_the_tool_says(
        self, desk: Desk, failures: int, ok: bool
    ) -> None:
        """B30: the last failure is the one that counts, and there is one answer."""
        tries: list[int] = []

        @desk.registry.tool(retries=2, retry_delay_s=0)
        async def flaky() -> str:
            tries.append(1)
            if len(tries) <= failures:
                raise OSError("connection reset")
            return "fine"

        output = await desk.call("flaky")
        assert (output == "fine") is ok
        assert len(tries) == min(failures + 1, 3)

    async def test_what_a_tool_says_to_the_model_is_not_tried_again(self, desk: Desk) -> None:
        """A `ToolError` is an answer."""
        tries: list[int] = []

        @desk.registry.tool(retries=2, retry_delay_s=0)
        async def refuse() -> None:
            tries.append(1)
            raise ToolError("there is no such account")

        assert "no such account" in await desk.call("refuse")
        assert len(tries) == 1

    async def test_the_time_limit_bounds_all_tries_together(self, desk: Desk) -> None:
        """B30: no call waits longer than it says."""

        @desk.registry.tool(retries=10, retry_delay_s=60, timeout_s=0.02)
        async def flaky() -> None:
            raise OSError

        assert "within 0.02 s" in await desk.call("flaky")

    @pytest.mark.parametrize("kind", ["write", "destructive"])
    def test_a_tool_that_does_more_than_read_is_retried_only_with_a_key(self, desk: Desk, kind: Any) -> None:
        """Its `ToolCall` tells the world that a retry is the same call."""
        with pytest.raises(ConfigurationError, match="take a ToolCall"):
            desk.registry.tool(lambda: None, name="pay", kind=kind, retries=1)

        @desk.registry.tool(kind=kind, retries=1)
        async def pay(call: ToolCall) -> None: ...

        assert desk.registry.get("pay").options.retries == 1


class TestPlaces:
    async def test_no_more_calls_run_at_once_than_a_tool_says(self, desk: Desk) -> None:
        """Others wait, and all are answered."""

        @desk.registry.tool(max_concurrency=2)
        async def busy() -> None:
            desk.running += 1
            desk.most = max(desk.most, desk.running)
            await asyncio.sleep(0)
            desk.running -= 1

        for number in range(6):
            desk.start("busy", str(number))
        await desk.until(lambda: len(desk.outputs) == 6)
        assert desk.most == 2

    async def test_a_tool_that_waits_for_itself_keeps_no_place_from_others(self, desk: Desk) -> None:
        """Of four places, one tool with a limit of one takes one."""
        release = asyncio.Event()

        @desk.registry.tool(max_concurrency=1)
        async def slow() -> None:
            await release.wait()

        desk.registry.tool(lambda: "quick", name="quick")
        for number in range(6):
            desk.start("slow", str(number))
        assert await desk.call("quick", "q") == "quick"
        release.set()
        await desk.until(lambda: len(desk.outputs) == 7)

    async def test_no_more_calls_run_at_once_than_a_session_allows(self, desk: Desk) -> None:
        """Here four, of ten different tools."""

        async def busy() -> None:
            desk.running += 1
            desk.most = max(desk.most, desk.running)
            await asyncio.sleep(0)
            desk.running -= 1

        for number in range(10):
            desk.registry.tool(busy, name=f"busy_{number}")
            desk.start(f"busy_{number}", str(number))
        await desk.until(lambda: len(desk.outputs) == 10)
        assert desk.most == 4


class TestTwins:
    @pytest.mark.parametrize(("on_duplicate", "runs"), [("run", 2), ("join", 1), ("refuse", 1)])
    async def test_a_call_with_the_arguments_of_one_that_runs(self, desk: Desk, on_duplicate: Any, runs: int) -> None:
        """B30: it runs too, gets the same result, or is refused; both are answered."""
        release, entered = asyncio.Event(), []

        @desk.registry.tool(on_duplicate=on_duplicate)
        async def order(what: str, n: int) -> str:
            entered.append(what)
            await release.wait()
            return f"ordered {n} {what}"

        desk.start("order", "a", '{"what": "tea", "n": 1}')
        desk.start("order", "b", '{"n":1,"what":"tea"}')
        desk.start("order", "c", '{"n":1,"what":"milk"}')
        while len(entered) < runs + 1:
            await asyncio.sleep(0)
        release.set()
        await desk.until(lambda: len(desk.outputs) == 3)
        assert sorted(entered) == ["milk"] + ["tea"] * runs
        assert desk.outputs["a"] == "ordered 1 tea"
        assert ("is running with the same arguments" in desk.outputs["b"]) is (on_duplicate == "refuse")
        assert (desk.outputs["b"] == "ordered 1 tea") is (on_duplicate != "refuse")

    async def test_the_twin_of_a_call_that_fails_fails(self, desk: Desk) -> None:
        """B30: whether it raised or was cancelled."""

        @desk.registry.tool(on_duplicate="join")
        async def wait(ms: int) -> None:
            await asyncio.sleep(ms / 1000)
            raise ToolError("out of tea")

        desk.start("wait", "a", '{"ms": 0}')
        assert "out of tea" in await desk.call("wait", "b", '{"ms":0}')
        desk.start("wait", "c", '{"ms": 60000}')
        desk.start("wait", "d", '{"ms": 60000 }')
        await asyncio.sleep(0)
        desk.runner.cancel("c")
        await desk.until(lambda: "d" in desk.outputs)
        assert "out of tea" not in desk.outputs["d"]


class TestAttempts:
    async def test_a_tool_that_keeps_failing_is_not_run_any_more_in_that_turn(self, desk: Desk) -> None:
        """Three times by default; the model is told to stop, and may try again in the next turn."""
        tries: list[str] = []

        @desk.registry.tool
        async def fail(how: str) -> None:
            tries.append(how)
            raise ToolError("no")

        for number in range(5):
            output = await desk.call("fail", str(number), json.dumps({"how": str(number)}), f"resp_{number}")
        assert len(tries) == 3
        assert "has failed 3 times in this turn; do not call it again" in output
        desk.turn = object()
        assert error_of(await desk.call("fail", "x", '{"how": "again"}')) == "no"

    async def test_one_call_may_not_come_in_response_after_response(self, desk: Desk) -> None:
        """B33: three in a row, in whatever spelling; another call in between does not help, a new turn does."""
        runs: list[str] = []

        @desk.registry.tool
        async def look(where: str) -> str:
            runs.append(where)
            return "nothing"

        for number in range(5):
            await desk.call("look", f"a{number}", '{"where":' + " " * number + '"here"}', f"resp_{number}")
            await desk.call("look", f"c{number}", json.dumps({"where": str(number)}), f"resp_{number}")
        assert runs.count("here") == 3
        assert "3 times in a row" in desk.outputs["a3"] and "3 times in a row" in desk.outputs["a4"]
        assert [where for where in runs if where != "here"] == list("01234")
        desk.turn = object()
        assert await desk.call("look", "again", '{"where":"here"}', "resp_9") == "nothing"

    async def test_a_call_that_stops_coming_may_come_again(self, desk: Desk) -> None:
        """B33: as when something is looked at now and then, in one long turn."""
        runs: list[int] = []
        desk.registry.tool(lambda: runs.append(1), name="poll")
        for number in range(9):
            await desk.call("poll" if number % 3 else "nothing", str(number), "{}", f"resp_{number}")
        assert len(runs) == 6

    @pytest.mark.parametrize("kind", ["read", "destructive"])
    async def test_a_call_runs_three_times_in_one_response_too(self, desk: Desk, kind: Any) -> None:
        """B33: one more that only reads gets the same result; any other, and one of the next response, is refused."""
        runs: list[int] = []

        @desk.registry.tool(kind=kind)
        async def look(where: str, n: int) -> str:
            runs.append(n)
            return f"seen {len(runs)}"

        for number in range(16):
            fields = ['"n":1', '"where":"here"']
            spelt = "{" + (", " if number % 3 else ",").join(fields[:: (-1) ** number]) + "}"
            desk.start("look", str(number), spelt, "resp_1")
        await desk.until(lambda: len(desk.outputs) == 16)
        assert len(runs) == 3
        others = [desk.outputs[str(number)] for number in range(3, 16)]
        if kind == "read":
            assert others == ["seen 3"] * 13
        else:
            assert all("3 times in a row" in other for other in others)
        assert "3 times in a row" in await desk.call("look", "next", '{"where":"here","n":1}', "resp_2")
        assert len(runs) == 3

    async def test_a_call_that_state_refuses_is_answered_unrun(self, desk: Desk) -> None:
        """B33: such as one beyond the limit of rounds."""
        ran: list[int] = []
        desk.registry.tool(lambda: ran.append(1), name="loop")
        desk.runner.start(ToolCall(call_id="a", name="loop", arguments="{}", refused="enough"))
        await desk.until(lambda: desk.outputs)
        assert error_of(desk.outputs["a"]) == "enough"
        assert ran == []


class TestApproval:
    @pytest.fixture
    def ran(self, desk: Desk) -> list[int]:
        ran: list[int] = []

        @desk.registry.tool(approval="always", kind="destructive", approval_timeout_s=3)
        async def pay(amount: int) -> str:
            ran.append(amount)
            return "paid"

        return ran

    async def test_a_call_waits_until_it_is_approved(self, desk: Desk, ran: list[int]) -> None:
        """B35: and says so, with the call and how long it waits."""
        desk.start("pay", arguments='{"amount": 5}')
        event = await desk.until_asked()
        assert (event.call.call_id, event.call.arguments) == ("a", '{"amount": 5}')
        assert (event.kind, event.expires_s) == ("destructive", 3)
        assert ran == [] and desk.outputs == {}
        assert desk.runner.approvals.approve("a", always=False)
        assert not desk.runner.approvals.approve("a", always=False)
        await desk.until(lambda: desk.outputs)
        assert (ran, desk.outputs) == ([5], {"a": "paid"})

    async def test_a_denied_call_is_answered_with_the_reason(self, desk: Desk, ran: list[int]) -> None:
        """B35."""
        desk.start("pay", arguments='{"amount": 5}')
        await desk.until_asked()
        assert desk.runner.approvals.deny("a", "too much")
        await desk.until(lambda: desk.outputs)
        assert error_of(desk.outputs["a"]) == "'pay' was not run: it was denied: too much"
        assert ran == []

    async def test_a_tool_that_is_always_allowed_asks_no_more(self, desk: Desk, ran: list[int]) -> None:
        """B35: for the rest of the session."""
        desk.start("pay", arguments='{"amount": 5}')
        await desk.until_asked()
        desk.runner.approvals.approve("a", always=True)
        assert await desk.call("pay", "b", '{"amount": 6}') == "paid"
        assert sum(isinstance(event, ToolApprovalRequested) for event in desk.events) == 1

    async def test_a_request_that_nobody_answers_expires(self, desk: Desk) -> None:
        """B35: that is one answer, and a late approval runs nothing."""
        ran: list[int] = []
        desk.registry.tool(lambda: ran.append(1), name="pay", approval="always", approval_timeout_s=0.02)
        assert "nobody approved it within 0.02 s" in await desk.call("pay")
        assert not desk.runner.approvals.approve("a", always=False)
        assert ran == []

    async def test_nobody_is_asked_about_arguments_that_do_not_fit(self, desk: Desk, ran: list[int]) -> None:
        """The model hears of them first."""
        assert "amount: missing" in await desk.call("pay")
        assert not [event for event in desk.events if isinstance(event, ToolApprovalRequested)]

    async def test_the_time_limit_begins_with_the_approval(self, desk: Desk) -> None:
        """B35: a person may take longer than a tool."""

        @desk.registry.tool(approval="always", timeout_s=0.02)
        async def slow() -> None:
            await asyncio.Event().wait()

        desk.start("slow")
        await desk.until_asked()
        await asyncio.sleep(0.03)
        assert desk.outputs == {}
        desk.runner.approvals.approve("a", always=False)
        await desk.until(lambda: desk.outputs)
        assert "within 0.02 s" in desk.outputs["a"]

    @pytest.mark.parametrize(
        ("decision", "told"),
        [(True, "paid"), (False, "it was denied"), ("not on Sundays", "it was denied: not on Sundays")],
    )
    @pytest.mark.parametrize("is_async", [True, False])
    async def test_a_function_may_decide(self, desk: Desk, decision: Any, told: str, is_async: bool) -> None:
        """B35: yes, no, or no with a reason; plain or async."""

        async def later(call: ToolCall) -> Any:
            return decision

        policy = later if is_async else lambda call, session: decision
        desk.registry.tool(lambda: "paid", name="pay", approval=policy)
        assert told in await desk.call("pay")

    async def test_a_function_may_leave_the_decision_to_somebody(self, desk: Desk) -> None:
        """B35: by None."""
        desk.registry.tool(lambda: "paid", name="pay", approval=lambda call: None)
        desk.start("pay")
        await desk.until_asked()
        desk.runner.approvals.deny("a", "")
        await desk.until(lambda: desk.outputs)
        assert error_of(desk.outputs["a"]) == "'pay' was not run: it was denied"

    async def test_a_function_that_fails_or_hangs_is_no_consent(self, desk: Desk) -> None:
        """B35: the call is answered all the same."""
        ran: list[int] = []

        async def hang(call: ToolCall) -> None:
            await asyncio.Event().wait()

        def fail(call: ToolCall) -> bool:
            raise OSError

        desk.registry.tool(lambda: ran.append(1), name="hangs", approval=hang, approval_timeout_s=0.02)
        desk.registry.tool(lambda: ran.append(1), name="fails", approval=fail)
        assert "nobody approved it" in await desk.call("hangs", "a")
        assert "internal error" in await desk.call("fails", "b")
        assert ran == []

    def test_an_approval_that_is_nothing_is_refused(self, desk: Desk) -> None:
        """When registered."""
        with pytest.raises(ConfigurationError, match="approval='sometimes'"):
            desk.registry.tool(lambda: None, name="pay", approval="sometimes")  # type: ignore[call-overload]


class TestOnTheWay:
    async def test_a_generator_says_something_and_tells_how_far_it_is(self, desk: Desk) -> None:
        """The last value is the output, whatever was said after it."""

        @desk.registry.tool
        async def search() -> AsyncIterator[Any]:
            yield Say("One moment.")
            yield Progress("looking", 0.5)
            yield {"found": 3}
            yield Say("There.")

        assert await desk.call("search") == '{"found":3}'
        assert desk.said == [("a", "One moment."), ("a", "There.")]
        told = [event.progress for event in desk.events if isinstance(event, ToolProgress)]
        assert told == [Say("One moment."), Progress("looking", 0.5), Say("There.")]

    async def test_a_call_that_has_its_answer_says_nothing_more(self, desk: Desk) -> None:
        """B30: such as a tool that swallows its cancellation."""
        over = asyncio.Event()

        @desk.registry.tool(timeout_s=0.02)
        async def stubborn() -> AsyncIterator[Any]:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                yield Say("I go on!")
            finally:
                over.set()

        await desk.call("stubborn")
        async with asyncio.timeout(WAIT_S):
            await over.wait()
        assert desk.said == []
        assert isinstance(desk.events[-1], ToolFailed)

    async def test_how_urgent_a_result_is_goes_with_its_answer(self, desk: Desk) -> None:
        """B34."""
        desk.registry.tool(lambda: "ring", name="alarm", when_done="interrupt")
        desk.registry.tool(lambda: "noted", name="note", when_done="silent")
        await desk.call("alarm", "a")
        await desk.call("note", "b")
        assert desk.urgency == {"a": "interrupt", "b": "silent"}
        assert sum(isinstance(event, ToolDone) for event in desk.events) == 2
