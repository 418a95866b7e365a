"""State and the runner together, against any server and any user: one output for each call, one response at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime_events import LocalProtocolError, user
from realtime_events.events import (
    ConversationItemCreate,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    Item,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputItemDone,
    SessionCreated,
    ToolCall,
    ToolResult,
)
from realtime_events.events.session import AudioConfig, AudioInput, SessionConfig, TurnDetection
from realtime_events.protocol.batches import WhenDone
from realtime_events.protocol.core import TABLE, Core
from realtime_events.tools import ToolRegistry, ToolRunner

WAIT_S = 5
TOOLS = ["patient", "polite", "urgent", "silent", "quiet", "nothing"]
NAMES = st.sampled_from(TOOLS)


class Conversation(RuleBasedStateMachine):
    """Plays the server and the user; the tools end when a rule says so."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.numbers = itertools.count(1)
        self.core = Core(new_id=lambda kind: f"{kind}_{next(self.numbers)}")
        self.now = 0.0
        self.gates: dict[str, asyncio.Future[str]] = {}
        self.outputs: Counter[str] = Counter()
        self.calls: dict[str, None] = {}
        self.active = ""
        self.asked = 0
        self.by_itself = False
        self.heard = False
        self.items: list[Item] = []
        self.runner = ToolRunner(
            self.registry(),
            publish=lambda event: None,
            answer=self.answer,
            say=self.say_for,
            turn=lambda: self.core.turn,
        )

    def registry(self) -> ToolRegistry:
        registry = ToolRegistry()

        async def gated(call: ToolCall) -> str:
            return await self.gates[call.call_id]

        registry.tool(gated, name="patient")
        registry.tool(gated, name="polite", on_interrupt="cancel")
        registry.tool(gated, name="urgent", when_done="interrupt")
        registry.tool(gated, name="silent", when_done="silent")
        registry.tool(gated, name="quiet", respond=False)
        return registry

    def answer(self, result: ToolResult, respond: bool, when_done: WhenDone) -> None:
        self.core.answer_tool(result, self.now, respond=respond, when_done=when_done)
        self.carry_out()

    def say_for(self, call_id: str, text: str) -> None:
        self.core.exchange.say(call_id, text, self.now)
        self.carry_out()

    def carry_out(self) -> None:
        effects = self.core.effects
        effects.before.clear()
        effects.after.clear()
        effects.settled.clear()
        sends, effects.send = effects.send, []
        for event in sends:
            self.core.sent(event, self.now)
            self.take(event)
        starts, effects.start = effects.start, []
        for call in starts:
            self.gates.setdefault(call.call_id, self.loop.create_future())
            self.runner.start(call)
        if effects.interrupted:
            effects.interrupted = False
            self.runner.interrupt()

    def take(self, event: Any) -> None:
        """What the server gets."""
        if isinstance(event, ConversationItemCreate) and event.item.type == "function_call_output":
            assert event.item.call_id in self.calls, "an output for a call that nobody made"
            self.outputs[str(event.item.call_id)] += 1
        elif isinstance(event, ResponseCreate):
            assert not self.active and not self.asked, "B12: two responses at once"
            self.asked += 1
        elif isinstance(event, ResponseCancel):
            assert event.response_id == self.active

    def hear(self, *events: Any) -> None:
        def act() -> None:
            for event in events:
                self.now += 1
                TABLE[type(event)](self.core, event, self.now)
                self.carry_out()

        self.do(act)

    def do(self, what: Any) -> None:
        """Do something on the loop and let it come to rest."""

        async def bounded() -> None:
            async with asyncio.timeout(WAIT_S):
                what()
                for _ in range(8):
                    await asyncio.sleep(0)

        self.loop.run_until_complete(bounded())

    @initialize(by_itself=st.sampled_from([None, True, False]))
    def begin(self, by_itself: bool | None) -> None:
        self.by_itself = bool(by_itself)
        detection = None if by_itself is None else TurnDetection(type="server_vad", create_response=by_itself)
        config = SessionConfig(id="s", audio=AudioConfig(input=AudioInput(turn_detection=detection)))
        self.hear(SessionCreated(session=config))

    # The user.

    @rule()
    def ask(self) -> None:
        def act() -> None:
            try:
                self.core.ask(user("Please."), self.now, object())
            except LocalProtocolError:
                return
            self.carry_out()

        self.do(act)

    @rule()
    def speak(self) -> None:
        self.hear(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))

    @rule()
    def stop_speaking(self) -> None:
        self.heard = self.by_itself
        self.hear(InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=1))

    @rule()
    def interrupt(self) -> None:
        self.do(self.runner.interrupt)

    # The server.

    @precondition(lambda self: not self.active)
    @rule(unasked=st.booleans())
    def begin_response(self, unasked: bool) -> None:
        if not self.asked and not unasked:
            return
        self.asked, self.heard = 0, False
        self.active, self.items = f"resp_{next(self.numbers)}", []
        self.hear(ResponseCreated(response=Response(id=self.active, conversation_id="conv_1")))

    @precondition(lambda self: self.active)
    @rule(name=NAMES, text=st.sampled_from(["{}", "["]), shown=st.sampled_from(["arguments", "item", "both", "done"]))
    def call(self, name: str, text: str, shown: str) -> None:
        call_id = f"call_{next(self.numbers)}"
        item = Item(type="function_call", id=f"item_{call_id}", call_id=call_id, name=name, arguments=text)
        self.calls[call_id] = None
        self.items.append(item)
        self.show(item, shown)

    @precondition(lambda self: self.active and self.items)
    @rule()
    def repeat_a_call(self) -> None:
        self.show(self.items[-1], "both")

    def show(self, item: Item, shown: str) -> None:
        if shown in ("arguments", "both"):
            self.hear(
                ResponseFunctionCallArgumentsDone(
                    response_id=self.active,
                    item_id=str(item.id),
                    call_id=str(item.call_id),
                    name=str(item.name),
                    arguments=str(item.arguments),
                )
            )
        if shown in ("item", "both"):
            self.hear(ResponseOutputItemDone(response_id=self.active, item=item))

    @precondition(lambda self: self.active)
    @rule(status=st.sampled_from(["completed", "completed", "completed", "cancelled", "failed", "incomplete"]))
    def end_response(self, status: str) -> None:
        response = Response(id=self.active, status=status, output=self.items)
        self.active = ""
        self.hear(ResponseDone(response=response))

    # The tools.

    @precondition(lambda self: self.gates)
    @rule(pick=st.integers(0, 50), error=st.sampled_from([None, None, ValueError, SystemExit]))
    def end_call(self, pick: int, error: type[BaseException] | None) -> None:
        open_gates = [gate for gate in self.gates.values() if not gate.done()]
        if not open_gates:
            return
        gate = open_gates[pick % len(open_gates)]
        self.do(lambda: gate.set_result("done") if error is None else gate.set_exception(error()))

    @precondition(lambda self: self.calls)
    @rule(pick=st.integers(0, 50))
    def cancel_call(self, pick: int) -> None:
        call_id = list(self.calls)[pick % len(self.calls)]
        self.do(lambda: self.runner.cancel(call_id))

    @precondition(lambda self: self.calls)
    @rule(pick=st.integers(0, 50))
    def say(self, pick: int) -> None:
        call_id = list(self.calls)[pick % len(self.calls)]
        self.do(lambda: self.say_for(call_id, "One moment."))

    @invariant()
    def no_call_is_answered_twice(self) -> None:
        assert all(count == 1 for count in self.outputs.values())

    def teardown(self) -> None:
        """Let everything end in good order: then every call is answered, and nothing is owed."""
        self.stop_speaking()
        for _ in range(60):
            if self.active:
                self.end_response("completed")
            elif self.asked or self.heard:  # A server that answers speech by itself does so.
                self.begin_response(unasked=True)
            elif any(not gate.done() for gate in self.gates.values()):
                self.end_call(0, None)
        assert sorted(self.outputs) == sorted(self.calls)
        assert self.runner.pending == 0
        assert not self.active and not self.asked
        assert self.core.turn is None, "B32: a turn was left without its follow-up or its end"

        async def close() -> None:
            async with asyncio.timeout(WAIT_S):
                await self.runner.close()

        self.loop.run_until_complete(close())
        for gate in self.gates.values():
            _ = gate.cancelled() or (gate.done() and gate.exception())  # so that asyncio does not miss a reader
        self.loop.close()


Conversation.TestCase.settings = settings(stateful_step_count=30)
TestAnyConversation = Conversation.TestCase
