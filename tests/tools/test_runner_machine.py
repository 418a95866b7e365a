"""Any order of calls, ends, cancellations and interruptions: exactly one answer each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime_events.events import LocalEvent, ToolCall, ToolDone, ToolFailed, ToolStarted
from realtime_events.tools import ToolRegistry, ToolRunner

WAIT_S = 5
CALL_IDS = st.sampled_from([f"call_{number}" for number in range(6)])


class Calls(RuleBasedStateMachine):
    """Drives a runner whose tools end when a rule says so."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.answers: list[str] = []
        self.events: list[LocalEvent] = []
        self.gates: dict[str, asyncio.Future[str]] = {}
        self.started: dict[str, None] = {}
        self.runner = ToolRunner(
            self.registry(),
            publish=self.events.append,
            answer=lambda result, respond, when_done: self.answers.append(result.call_id),
        )

    def registry(self) -> ToolRegistry:
        registry = ToolRegistry()

        async def gated(call: ToolCall) -> str:
            return await self.gate(call.call_id)

        async def stubborn(call: ToolCall) -> str:
            gate = self.gate(call.call_id)
            while not gate.done():
                try:
                    await asyncio.shield(gate)
                except asyncio.CancelledError:
                    continue
            return gate.result()

        registry.tool(gated)
        registry.tool(gated, name="polite", on_interrupt="cancel")
        registry.tool(stubborn)
        return registry

    def gate(self, call_id: str) -> asyncio.Future[str]:
        return self.gates.setdefault(call_id, self.loop.create_future())

    def do(self, what: Callable[[], Any]) -> None:
        """Do something on the loop and let it come to rest."""

        async def act() -> None:
            result = what()
            if isinstance(result, Awaitable):
                await result

        async def bounded() -> None:
            async with asyncio.timeout(WAIT_S):
                await act()

        self.loop.run_until_complete(bounded())

    @rule(
        call_id=CALL_IDS,
        name=st.sampled_from(["gated", "polite", "stubborn", "nothing"]),
        text=st.sampled_from(["{}", "["]),
    )
    def start(self, call_id: str, name: str, text: str) -> None:
        self.do(lambda: self.runner.start(ToolCall(call_id=call_id, name=name, arguments=text)))
        self.started[call_id] = None

    @rule(call_id=CALL_IDS, error=st.sampled_from([None, ValueError, SystemExit, asyncio.CancelledError]))
    def end(self, call_id: str, error: type[BaseException] | None) -> None:
        def open_gate() -> None:
            gate = self.gate(call_id)
            if gate.done():
                return
            if error is None:
                gate.set_result("done")
            elif error is asyncio.CancelledError:
                gate.cancel()
            else:
                gate.set_exception(error())

        self.do(open_gate)

    @rule(call_id=CALL_IDS)
    def cancel(self, call_id: str) -> None:
        self.do(lambda: self.runner.cancel(call_id))

    @rule()
    def interrupt(self) -> None:
        self.do(self.runner.interrupt)

    @rule(call_id=CALL_IDS)
    def cancel_the_task(self, call_id: str) -> None:
        for task in asyncio.all_tasks(self.loop):
            if task.get_name().endswith(f" {call_id}"):
                self.do(task.cancel)

    @invariant()
    def no_call_is_answered_twice_and_none_is_forgotten(self) -> None:
        assert all(count == 1 for count in Counter(self.answers).values())
        assert len(self.answers) + self.runner.pending == len(self.started)

    def teardown(self) -> None:
        for call_id in self.started:
            self.end(call_id, None)
        self.do(self.runner.close)
        for gate in self.gates.values():
            _ = gate.cancelled() or (gate.done() and gate.exception())  # so that asyncio does not miss a reader
        self.loop.close()
        assert sorted(self.answers) == sorted(self.started)
        begun = [event.call.call_id for event in self.events if isinstance(event, ToolStarted)]
        ended = [event.call.call_id for event in self.events if isinstance(event, ToolDone | ToolFailed)]
        assert begun == list(self.started)
        assert ended == self.answers


Calls.TestCase.settings = settings(stateful_step_count=25)
TestAnyOrderOfThings = Calls.TestCase
