"""State: turns, responses and tool batches, with times passed in and no loop."""

from __future__ import annotations

import itertools
import pathlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events import ConnectionLostError, ResponseFailed, ServerError, user
from realtime_events.events import (
    SERVER_EVENTS,
    AudioFlush,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ErrorDetails,
    ErrorEvent,
    FailureDetails,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    Item,
    OutputAudioBufferClear,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    SendRejected,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    StatusDetails,
    ToolCall,
    ToolOrphaned,
    ToolResult,
    TurnDone,
    TurnStarted,
    Usage,
)
from realtime_events.events.response import ResponseCreateParams
from realtime_events.events.session import AudioConfig, AudioInput, SessionConfig, TurnDetection
from realtime_events.protocol.batches import Batches, ToolLimits, WhenDone, output_item_id
from realtime_events.protocol.core import QUIET, SWALLOW, TABLE, Core
from realtime_events.protocol.exchange import REMEMBERED_OUTPUTS, REMEMBERED_SPEECH
from realtime_events.protocol.requests import REMEMBERED_SENDS, Requests
from realtime_events.protocol.responses import TAG, Wanted
from realtime_events.protocol.turns import Turn


class Bench:
    """A core with a clock and a log of what it asked for."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        self.core = Core(new_id=lambda kind: f"{kind}_{next(numbers)}", retain_audio_bytes=1000)
        self.now = 0.0
        self.sent: list[Any] = []
        self.started: list[ToolCall] = []
        self.events: list[Any] = []
        self.settled: list[tuple[Any, Any]] = []

    def hear(self, *events: Any) -> None:
        for event in events:
            if (quiet := QUIET.get(type(event))) is not None:
                quiet(self.core.output, event, lambda: self.now)
            elif (apply := TABLE.get(type(event))) is not None:
                apply(self.core, event, self.now)
            self.drain()

    def drain(self) -> None:
        effects = self.core.effects
        self.events += effects.before + effects.after
        self.settled += effects.settled
        for event in effects.send:
            self.core.sent(event, self.now)
        self.sent += effects.send
        self.started += effects.start
        for part in (effects.before, effects.after, effects.settled, effects.send, effects.start):
            part.clear()

    def ask(self, words: str, waiter: Any = "waiter") -> None:
        self.core.ask(user(words), self.now, waiter)
        self.drain()

    def answer(
        self, call_id: str, output: str = "18 °C", *, respond: bool = True, when_done: WhenDone = "idle"
    ) -> bool:
        result = ToolResult(call_id=call_id, name="get_weather", arguments="{}", output=output)
        answered = self.core.answer_tool(result, self.now, respond=respond, when_done=when_done)
        self.drain()
        return answered

    def kinds(self) -> list[str]:
        return [event.item.type if isinstance(event, ConversationItemCreate) else event.type for event in self.sent]


def created(number: int, conversation_id: str | None = "conv_1") -> ResponseCreated:
    return ResponseCreated(response=Response(id=f"resp_{number}", conversation_id=conversation_id))


def done(number: int, *items: Item, status: str = "completed", **more: Any) -> ResponseDone:
    response = Response(
        id=f"resp_{number}", status=status, output=list(items), usage=Usage(total_tokens=10, input_tokens=7), **more
    )
    return ResponseDone(response=response)


def delta(text: str, number: int = 1, item: str = "") -> ResponseOutputTextDelta:
    return ResponseOutputTextDelta(response_id=f"resp_{number}", item_id=item or f"item_{number}", delta=text)


def call_item(call_id: str) -> Item:
    return Item(type="function_call", id=f"item_{call_id}", call_id=call_id, name="get_weather", arguments="{}")


def call_events(call_id: str, number: int = 1) -> list[Any]:
    """The three events in which one call shows up."""
    item = call_item(call_id)
    return [
        ResponseFunctionCallArgumentsDone(
            response_id=f"resp_{number}", item_id=f"item_{call_id}", call_id=call_id, name="get_weather", arguments="{}"
        ),
        ResponseOutputItemDone(response_id=f"resp_{number}", item=item),
    ]


def test_a_turn_collects_text_usage_and_its_timeline() -> None:
    bench = Bench()
    bench.ask("Hello?")
    assert bench.kinds() == ["message", "response.create"]
    bench.now = 0.1
    bench.hear(created(1))
    bench.now = 0.25
    bench.hear(delta("Hi "), delta("there"), delta("Second part", item="item_b"))
    bench.now = 0.5
    bench.hear(done(1))
    [(waiter, turn)] = bench.settled
    assert waiter == "waiter" and turn.text == "Hi there\nSecond part" and turn.user_text == "Hello?"
    assert turn.status == "completed" and turn.usage.total_tokens == 10
    assert {name: round(ms) for name, ms in turn.timeline_ms.items()} == {
        "response_created": 100,
        "first_delta": 250,
        "done": 500,
    }
    assert [type(event) for event in bench.events] == [TurnStarted, TurnDone]


def test_the_whole_text_wins_over_its_deltas() -> None:
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(created(1), delta("Hi th"))
    bench.hear(ResponseOutputTextDone(response_id="resp_1", item_id="item_1", text="Hi there"), done(1))
    assert bench.settled[0][1].text == "Hi there"


def test_a_server_that_sends_no_deltas_is_understood_by_its_finished_response() -> None:
    bench = Bench()
    bench.ask("Hello?")

    item = msgspec.convert(
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}, Item
    )
    bench.hear(created(1), done(1, item))
    assert bench.settled[0][1].text == "Hi"


def test_audio_is_counted_in_milliseconds_and_kept_only_up_to_the_cap() -> None:
    """B24."""
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(created(1))
    for _ in range(3):
        bench.hear(ResponseOutputAudioDelta(response_id="resp_1", item_id="item_a", delta=b"\1" * 480))
    bench.hear(done(1))
    turn = bench.settled[0][1]
    assert turn.audio_ms == 30.0 and len(turn.audio) == 1000 and "first_audio" in turn.timeline_ms


def test_a_call_that_shows_up_in_three_events_runs_once() -> None:
    """B31."""
    bench = Bench()
    bench.ask("Weather?")
    bench.hear(created(1), *call_events("call_1"), done(1, call_item("call_1")))
    assert [call.call_id for call in bench.started] == ["call_1"]
    assert bench.started[0] == ToolCall(
        call_id="call_1", name="get_weather", arguments="{}", item_id="item_call_1", response_id="resp_1"
    )


def test_the_beta_dialects_call_gets_its_name_from_the_item() -> None:
    """B31: `function_call_arguments.done` has no name there."""
    bench = Bench()
    nameless = ResponseFunctionCallArgumentsDone(
        response_id="resp_1", item_id="item_1", call_id="call_1", arguments='{"city":"Bern"}'
    )
    bench.ask("Weather?")
    bench.hear(created(1), ResponseOutputItemAdded(response_id="resp_1", item=call_item("call_1")), nameless)
    assert [(call.name, call.arguments) for call in bench.started] == [("get_weather", '{"city":"Bern"}')]


@pytest.mark.parametrize("order", list(itertools.permutations(["a", "b", "c", "done"])))
def test_parallel_calls_get_one_follow_up_in_every_order_of_completion(order: tuple[str, ...]) -> None:
    """B32: all outputs, then exactly one `response.create`, after `response.done`."""
    bench = Bench()
    bench.ask("Weather in three cities?")
    bench.sent.clear()
    bench.hear(created(1), *call_events("a"), *call_events("b"), *call_events("c"))
    for step in order:
        if step == "done":
            bench.hear(done(1, call_item("a"), call_item("b"), call_item("c")))
        else:
            assert bench.answer(step) is True
            assert bench.answer(step) is False
        assert bench.kinds().count("response.create") == (1 if step == order[-1] else 0)
    assert bench.kinds() == ["function_call_output"] * 3 + ["response.create"]
    assert not bench.settled
    bench.hear(created(2), delta("Sunny.", 2), done(2))
    turn = bench.settled[0][1]
    assert turn.text == "Sunny." and turn.usage.total_tokens == 20
    assert sorted(result.call_id for result in turn.tool_calls) == ["a", "b", "c"]


def speaking_again(*, when_done: WhenDone) -> Bench:
    """A call of the first turn is answered while the assistant speaks in the second."""
    bench = Bench()
    bench.ask("Look this up.")
    bench.hear(created(1), *call_events("a"), done(1, call_item("a")))
    bench.hear(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0), InputAudioBufferSpeechStopped(item_id="u"))
    bench.hear(created(2), delta("Meanwhile", 2))
    bench.sent.clear()
    bench.answer("a", when_done=when_done)
    return bench


def test_a_result_that_arrives_while_the_assistant_speaks_waits_until_it_has_ended() -> None:
    """B34: the output is there at once, the request to speak of it later."""
    bench = speaking_again(when_done="idle")
    assert bench.kinds() == ["function_call_output"]
    bench.hear(done(2))
    assert bench.kinds() == ["function_call_output", "response.create"]


def test_an_urgent_result_interrupts() -> None:
    """B34, B12: the running response is cancelled, and no other is asked for before it has ended."""
    bench = speaking_again(when_done="interrupt")
    assert bench.kinds() == ["function_call_output", "response.cancel"]
    assert any(isinstance(event, AudioFlush) and event.response_id == "resp_2" for event in bench.events)
    bench.hear(done(2, status="cancelled"))
    assert bench.kinds() == ["function_call_output", "response.cancel", "response.create"]


def test_an_urgent_result_does_not_wait_for_the_user() -> None:
    """B34."""
    bench = Bench()
    bench.ask("Wake me.")
    bench.hear(created(1), *call_events("a"), done(1, call_item("a")))
    bench.hear(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
    bench.sent.clear()
    bench.answer("a", when_done="interrupt")
    assert bench.kinds() == ["function_call_output", "response.create"]


def test_a_silent_result_is_not_spoken_of_unless_nobody_speaks() -> None:
    """B34: the next response will know it."""
    bench = speaking_again(when_done="silent")
    bench.hear(done(2))
    assert bench.kinds() == ["function_call_output"]
    bench = Bench()
    bench.ask("Note this.")
    bench.hear(created(1), *call_events("a"), done(1, call_item("a")))
    bench.sent.clear()
    bench.answer("a", when_done="silent")
    assert bench.kinds() == ["function_call_output", "response.create"]


def test_a_call_of_a_cancelled_response_is_answered_and_not_spoken_of() -> None:
    """B30, B34: the user did not want to hear it."""
    bench = Bench()
    bench.ask("Look this up.")
    bench.hear(created(1), *call_events("a"), done(1, call_item("a"), status="cancelled"))
    bench.sent.clear()
    assert bench.answer("a")
    assert bench.kinds() == ["function_call_output"]


@pytest.mark.parametrize("is_written", [True, False])
def test_an_output_is_in_doubt_only_if_it_was_written_before_the_connection_was_lost(is_written: bool) -> None:
    """B36: it is a part of the conversation that goes on in either case."""
    bench = Bench()
    bench.ask("Look this up.")
    bench.hear(created(1), *call_events("a"))
    assert bench.answer("a")
    if not is_written:
        bench.core.exchange.not_written(output_item_id("a"))
    bench.core.cut(ConnectionLostError(1006, "gone", initiator="network"), 1.0)
    orphans = [event for event in bench.core.effects.after if isinstance(event, ToolOrphaned)]
    assert [(orphan.call.call_id, orphan.unknown) for orphan in orphans] == [("a", is_written)]
    assert output_item_id("a") in bench.core.conversation


def test_an_output_has_the_same_id_whenever_it_is_sent() -> None:
    """A resend after doubt can be looked up by it; the API takes ids of 32 characters."""
    assert output_item_id("call_1") == output_item_id("call_1") != output_item_id("call_2")
    assert len(output_item_id("call_" + "x" * 100)) <= 32


def test_calls_beyond_a_limit_are_started_with_the_reason_why_they_must_not_run() -> None:
    """B30: whoever runs tools answers them; sixteen in a response, sixty in a minute."""
    limits, now = ToolLimits(), 0.0
    batches = Batches(limits)
    refused = []
    for number in range(70):
        call = ToolCall(call_id=f"c{number}", name="f", arguments="{}", response_id=f"resp_{number // 17}")
        refused.append(batches.begin(call, None, now))
    assert [number for number, reason in enumerate(refused) if "in one response" in reason] == [16, 33, 50, 67]
    assert [number for number, reason in enumerate(refused) if "in a minute" in reason] == [63, 64, 65, 66, 68, 69]
    late = ToolCall(call_id="late", name="f", arguments="{}", response_id="resp_9")
    assert batches.begin(late, None, 60.0) == ""


def test_the_calls_of_a_minute_count_over_turns_and_connections() -> None:
    """B33: a model that begins turn after turn is no slower a run-away; a second later there is room for one more."""
    refused, before = list[str](), Batches(ToolLimits())
    for number in range(500):  # twenty in each second
        if number % 50 == 0:  # each time another turn; and another session of the server, as after a rotation
            turn, batches = Turn(started_s=number / 20), Batches(ToolLimits())
            batches.go_on_from(before)
            before = batches
        call = ToolCall(call_id=f"c{number}", name="f", arguments="{}", response_id=f"resp_{number}")
        refused.append(batches.begin(call, turn, number / 20))
    assert refused[:60] == [""] * 60
    assert all("60 tool calls in a minute" in reason for reason in refused[60:])
    late = ToolCall(call_id="late", name="f", arguments="{}", response_id="resp_late")
    assert batches.begin(late, turn, 59.99) and not batches.begin(late, turn, 60.0)


def test_a_call_id_in_another_item_is_known_and_counted() -> None:
    """B31: the three events that show one item are one; a later response may use the id, too."""
    batches = Batches(ToolLimits())

    def shown(item_id: str, response_id: str = "resp_1") -> ToolCall:
        return ToolCall(call_id="c", name="f", arguments="{}", item_id=item_id, response_id=response_id)

    assert not batches.knows(shown("a"))
    batches.begin(shown("a"), None, 0.0)
    assert batches.knows(shown("a")) and batches.knows(shown("")) and batches.duplicates == 0
    assert batches.knows(shown("b")) and batches.knows(shown("b")) and batches.duplicates == 1
    assert batches.knows(shown("c", "resp_2")) and batches.duplicates == 2


def test_a_session_remembers_a_bounded_number_of_calls() -> None:
    """B24: answered ones are forgotten in time, open ones never."""
    batches = Batches(ToolLimits())
    for number in range(5_000):
        batches.begin(ToolCall(call_id=str(number), name="f", arguments="{}", response_id=str(number)), None, number)
        if number:
            batch = batches.of(str(number))
            assert batch is not None
            batch.answer(str(number), respond=True, when_done="idle")
    known = {id: batches.knows(ToolCall(call_id=id, name="f", arguments="{}")) for id in ("0", "1", "4999")}
    assert known == {"0": True, "1": False, "4999": True} and batches.of("0") is not None


def test_a_tool_that_wants_no_answer_ends_the_turn_without_a_follow_up() -> None:
    """B32: `respond=False`."""
    bench = Bench()
    bench.ask("Remember this.")
    bench.sent.clear()
    bench.hear(created(1), *call_events("a"), done(1))
    bench.answer("a", respond=False)
    assert bench.kinds() == ["function_call_output"]
    assert bench.settled[0][1].status == "running" or bench.settled[0][1].tool_calls


def test_the_follow_up_waits_until_the_user_has_stopped_speaking() -> None:
    """B32: here with turn detection that creates no response by itself."""
    bench = Bench()
    quiet = TurnDetection(type="server_vad", create_response=False)
    config = SessionConfig(id="s", audio=AudioConfig(input=AudioInput(turn_detection=quiet)))
    bench.hear(SessionCreated(session=config))
    bench.ask("Weather?")
    bench.sent.clear()
    bench.hear(created(1), *call_events("a"), done(1))
    bench.core.user_speaking = True
    bench.answer("a")
    assert bench.kinds() == ["function_call_output"]
    bench.hear(InputAudioBufferSpeechStopped(item_id="item_u", audio_end_ms=900))
    assert bench.kinds() == ["function_call_output", "response.create"]


def test_no_follow_up_is_asked_for_where_a_newer_turn_has_begun() -> None:
    """B32: the server's own response to the newer turn has heard the outputs."""
    bench = Bench()
    detection = TurnDetection(type="server_vad", create_response=True, interrupt_response=True)
    config = SessionConfig(id="s", audio=AudioConfig(input=AudioInput(turn_detection=detection)))
    bench.hear(SessionCreated(session=config))
    bench.ask("Weather?")
    bench.sent.clear()
    bench.hear(created(1), *call_events("a"), done(1))
    bench.hear(InputAudioBufferSpeechStarted(item_id="item_u", audio_start_ms=100))
    bench.answer("a")
    bench.hear(InputAudioBufferSpeechStopped(item_id="item_u", audio_end_ms=900), created(2))
    assert bench.kinds() == ["function_call_output"]


def test_a_call_cut_off_by_a_cancellation_is_no_call() -> None:

    bench = Bench()
    bench.ask("Weather?")
    cut = msgspec.structs.replace(call_item("a"), status="incomplete", arguments='{"ci')
    bench.hear(created(1), ResponseOutputItemDone(response_id="resp_1", item=cut), done(1, cut, status="cancelled"))
    assert not bench.started and bench.settled[0][1].status == "cancelled"


def test_asks_never_make_two_in_band_responses_at_once() -> None:
    """B12: the second waits for the end of the first."""
    bench = Bench()
    bench.ask("One?", "first")
    bench.hear(created(1))
    bench.ask("Two?", "second")
    assert bench.kinds() == ["message", "response.create"]
    bench.hear(done(1))
    assert bench.kinds()[2:] == ["message", "response.create"]
    bench.hear(created(2), delta("2", 2), done(2))
    assert [(waiter, turn.user_text) for waiter, turn in bench.settled] == [("first", "One?"), ("second", "Two?")]


def test_a_second_ask_before_the_first_has_begun_is_said_after_it() -> None:
    """B12: the model does not hear the second question together with the first."""
    bench = Bench()
    bench.ask("One?", "first")
    bench.ask("Two?", "second")
    assert bench.kinds() == ["message", "response.create"]
    bench.hear(created(1), delta("1"), done(1))
    assert bench.kinds() == ["message", "response.create"] * 2
    bench.hear(created(2), delta("2", 2), done(2))
    assert [(waiter, turn.text) for waiter, turn in bench.settled] == [("first", "1"), ("second", "2")]


def test_a_request_that_races_the_servers_own_response_is_made_again_once() -> None:
    """B12."""
    bench = Bench()
    bench.ask("One?")
    [refused] = [event for event in bench.sent if isinstance(event, ResponseCreate)]
    already = ErrorDetails(
        type="invalid_request_error",
        code="conversation_already_has_active_response",
        message="busy",
        event_id=refused.event_id,
    )
    bench.core.user_speaking = True
    bench.hear(ErrorEvent(error=already))
    assert bench.kinds() == ["message", "response.create"]
    bench.core.user_speaking = False
    bench.hear(created(7, None), done(7))
    again = [event for event in bench.sent if isinstance(event, ResponseCreate)]
    assert len(again) == 2 and again[0].event_id != again[1].event_id

    bench.hear(ErrorEvent(error=msgspec.structs.replace(already, event_id=again[1].event_id)))
    [(_, error)] = bench.settled
    assert isinstance(error, ServerError) and error.code == "conversation_already_has_active_response"


@pytest.mark.parametrize("status", ["completed", "cancelled", "incomplete"])
def test_only_a_failed_response_is_an_error(status: str) -> None:
    """B20."""
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(created(1), delta("Hi"), done(1, status=status))
    turn = bench.settled[0][1]
    assert turn.status == status and turn.text == "Hi"


def test_a_failed_response_raises_with_type_code_and_message() -> None:
    """B20."""
    bench = Bench()
    bench.ask("Hello?")
    details = StatusDetails(
        type="failed", error=FailureDetails(type="server_error", code="rate_limit_exceeded", message="slow down")
    )
    bench.hear(created(1), done(1, status="failed", status_details=details))
    [(_, error)] = bench.settled
    assert isinstance(error, ResponseFailed)
    assert (error.type, error.code, error.message) == ("server_error", "rate_limit_exceeded", "slow down")


def test_an_out_of_band_response_is_no_part_of_the_turn() -> None:
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(
        created(1), delta("Hi"), created(2, None), delta("side", 2, "item_side"), done(2), delta(" there"), done(1)
    )
    turn = bench.settled[0][1]
    assert turn.text == "Hi there" and len(turn.responses) == 1


def test_a_barge_in_flushes_players_before_anything_else() -> None:
    """B22."""
    bench = Bench()
    detection = TurnDetection(type="server_vad", interrupt_response=True)
    bench.hear(
        SessionCreated(session=SessionConfig(id="s", audio=AudioConfig(input=AudioInput(turn_detection=detection))))
    )
    bench.ask("Hello?")
    bench.hear(created(1))
    bench.core.speech_started(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=1), 0.0)
    assert [type(event) for event in bench.core.effects.before] == [AudioFlush]


def test_a_spoken_turn_begins_with_speech_and_ends_with_its_response() -> None:
    bench = Bench()
    bench.now = 10.0
    bench.hear(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
    bench.now = 11.0
    bench.hear(InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=1000))
    bench.now = 11.5
    bench.hear(created(1), delta("Hi"), done(1))
    [started, ended] = bench.events
    assert started.turn is ended.turn and ended.turn.text == "Hi"
    assert ended.turn.timeline_ms["speech_end"] == 1000 and ended.turn.timeline_ms["response_created"] == 1500


def samples() -> list[Any]:

    from realtime_events.protocol import decode

    folder = pathlib.Path(__file__).parents[1] / "fixtures" / "samples" / "ga"
    return [decode(path.read_bytes()) for path in sorted(folder.glob("server.*.json"))]


SAMPLES = samples()


@given(st.lists(st.sampled_from(SAMPLES), max_size=40))
def test_state_never_raises_whatever_arrives_in_whatever_order(events: list[Any]) -> None:
    """B01."""
    bench = Bench()
    for event in events:
        bench.hear(event)
        for call in bench.started[:]:
            bench.started.remove(call)
            bench.answer(call.call_id)


def test_there_are_samples_of_every_server_event() -> None:
    assert {type(event) for event in SAMPLES} >= set(SERVER_EVENTS)


# ── asks that end early, and servers that leave things out ───────────────────────────────────────────────────────────


def refusal(event: Any, code: str = "rate_limit_exceeded") -> ErrorEvent:
    return ErrorEvent(error=ErrorDetails(type="invalid_request_error", code=code, event_id=event.event_id))


def test_an_ask_that_was_given_up_does_not_get_in_the_way_of_the_next_nor_lend_it_its_answer() -> None:
    """B11: the response that was asked for first belongs to nobody, the second one to the second ask."""
    bench = Bench()
    first = bench.core.ask(user("one"), 0.0, "first")
    bench.drain()
    bench.core.give_up(first, 0.0)
    bench.ask("two", "second")
    bench.hear(created(1), delta("answer to one"), done(1))
    assert bench.settled == [] and bench.kinds() == ["message", "response.create", "message", "response.create"]
    bench.hear(created(2), delta("answer to two", 2), done(2))
    [(waiter, turn)] = bench.settled
    assert waiter == "second" and turn.text == "answer to two"
    started = [event.turn for event in bench.events if isinstance(event, TurnStarted)]
    assert {id(turn) for turn in started} == {id(event.turn) for event in bench.events if isinstance(event, TurnDone)}


def test_an_ask_that_was_given_up_before_its_response_was_asked_for_asks_for_none() -> None:
    bench = Bench()
    bench.hear(created(1))
    turn = bench.core.ask(user("never mind"), 0.0, "waiter")
    bench.core.give_up(turn, 0.0)
    bench.drain()
    bench.hear(done(1))
    assert bench.kinds() == [] and turn.status == "cut"


def test_an_ask_whose_item_is_refused_fails() -> None:
    """B11."""
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(refusal(bench.sent[0]))
    [(waiter, error)] = bench.settled
    assert waiter == "waiter" and isinstance(error, ServerError)
    assert [type(event) for event in bench.events] == [TurnStarted, TurnDone]


def test_a_refusal_that_an_ask_raises_is_not_reported_as_rejected_too() -> None:
    """B11: `send.rejected` is for what nobody awaits."""
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(refusal(bench.sent[1]))
    assert isinstance(bench.settled[0][1], ServerError)
    assert [type(event) for event in bench.events] == [TurnStarted, TurnDone]


def test_a_refused_response_fails_no_ask_but_its_own() -> None:
    """B11: the request that was refused is another's; the ask still waits for its turn."""
    bench = Bench()
    other = ResponseCreate(event_id="mine")
    bench.core.sent(other, 0.0)
    bench.ask("Hello?")
    bench.hear(refusal(other))
    assert bench.settled == [] and bench.kinds() == ["message", "response.create"]
    bench.hear(created(1), done(1))
    assert bench.settled[0][1].status == "completed"


def test_an_ask_whose_follow_up_is_refused_fails_instead_of_waiting_for_ever() -> None:
    bench = Bench()
    bench.ask("Weather?")
    bench.hear(created(1), *call_events("call_1"), done(1, call_item("call_1")))
    bench.answer("call_1")
    bench.hear(refusal(bench.sent[-1]))
    [(_, error)] = bench.settled
    assert isinstance(error, ServerError) and bench.core.turn is None


def test_every_turn_that_was_started_is_done_also_if_an_ask_overtakes_speech() -> None:
    bench = Bench()
    bench.hear(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
    bench.ask("typed")
    bench.hear(InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=9), created(1), done(1))
    started = [event.turn for event in bench.events if isinstance(event, TurnStarted)]
    finished = [event.turn for event in bench.events if isinstance(event, TurnDone)]
    assert len(started) == 2 and started == finished


def test_an_ask_during_a_tool_round_waits_and_does_not_take_the_rounds_answer() -> None:
    """B32: the follow-up belongs to the turn whose tools it follows."""
    bench = Bench()
    bench.ask("Weather?", "first")
    bench.hear(created(1), *call_events("call_1"), done(1, call_item("call_1")))
    bench.answer("call_1")
    bench.ask("And the time?", "second")
    bench.hear(created(2), delta("18 °C", 2), done(2), created(3), delta("Noon", 3), done(3))
    assert [(waiter, turn.text) for waiter, turn in bench.settled] == [("first", "18 °C"), ("second", "Noon")]


def test_a_response_whose_beginning_was_not_heard_still_answers_the_ask() -> None:
    """B01: one malformed `response.created` leaves nobody waiting."""
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(delta("Hi"), done(1), done(1))
    assert [turn.text for _, turn in bench.settled] == ["Hi"]
    assert not bench.core.response_active


def test_a_delta_after_the_end_of_its_response_leaves_nothing_behind() -> None:
    """B40: the ending must not say that it cut a response."""
    bench = Bench()
    bench.hear(created(1), done(1), delta("late"))
    assert bench.core.cut(ConnectionError(), 0.0) is False


@pytest.mark.parametrize("end", [InputAudioBufferCleared(), InputAudioBufferCommitted(item_id="u")])
def test_an_ask_made_while_somebody_spoke_goes_out_when_the_buffer_is_emptied(end: Any) -> None:
    bench = Bench()
    bench.hear(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
    bench.ask("typed")
    assert bench.kinds() == ["message"]
    bench.hear(end)
    assert bench.kinds() == ["message", "response.create"]


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (ConversationItemDelete(event_id="e", item_id="i"), ConversationItemDeleted(item_id="")),
        (
            ConversationItemTruncate(event_id="e", item_id="i", audio_end_ms=0),
            ConversationItemTruncated(item_id="", content_index=0, audio_end_ms=0),
        ),
    ],
)
def test_an_acknowledgement_without_an_id_acknowledges_nothing_and_harms_nothing(sent: Any, heard: Any) -> None:
    """B01: State never raises on an event."""
    bench = Bench()
    bench.core.sent(sent, 0.0, "waiter")
    bench.hear(heard)
    assert bench.settled == []


def test_a_request_that_nobody_awaits_any_more_keeps_its_place_but_takes_no_blame() -> None:
    """B11, B13: a late `session.updated` is the answer to the update that timed out, not to the next one."""
    bench = Bench()
    first, second = (SessionUpdate(event_id=name, session=SessionConfig()) for name in ("first", "second"))
    bench.core.sent(first, 0.0, "first")
    bench.core.abandon(first)
    bench.core.sent(second, 0.0, "second")
    late, timely = (SessionUpdated(session=SessionConfig(instructions=words)) for words in ("late", "timely"))
    bench.hear(late)
    assert bench.settled == []
    bench.hear(timely)
    assert bench.settled == [("second", timely)]
    bench.core.sent(first, 0.0, "first")
    bench.core.abandon(first)
    bench.core.sent(second, 0.0, "second")
    bench.hear(ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="no")))
    assert isinstance(bench.settled[1][1], ServerError) and bench.settled[1][0] == "second"


# ── what comes twice, late, or for nobody ────────────────────────────────────────────────────────────────────────────


def test_of_two_requests_of_the_applications_own_the_second_is_refused_by_the_server_and_told() -> None:
    """B11, B12: whoever sends by himself is told; the first one is answered as ever."""
    bench = Bench()
    first, second = ResponseCreate(event_id="first"), ResponseCreate(event_id="second")
    bench.core.sent(first, 0.0)
    bench.core.sent(second, 0.0)
    bench.hear(refusal(second), created(1))
    assert [event.event_id for event in bench.events if isinstance(event, SendRejected)] == ["second"]
    assert bench.core.response_active
    bench.hear(done(1))
    assert not bench.core.response_active


def test_a_request_of_the_applications_own_beside_the_conversation_holds_nobody_up() -> None:
    """B12: out-of-band responses are exempt."""
    bench = Bench()
    bench.core.sent(ResponseCreate(event_id="aside", response=ResponseCreateParams(conversation="none")), 0.0)
    bench.ask("Hello?")
    assert bench.kinds() == ["message", "response.create"]
    bench.hear(created(1, None), delta("aside"), done(1), created(2), delta("Hi", 2), done(2))
    assert [turn.text for _, turn in bench.settled] == ["Hi"]


def test_a_response_that_ends_twice_counts_once() -> None:
    """B25: in a batch of calls, in the usage and in the turn."""
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(created(1), delta("Hi"), done(1))
    tokens = bench.core.usage.tokens
    bench.hear(done(1))
    assert bench.core.usage.tokens == tokens
    assert len([event for event in bench.events if isinstance(event, TurnDone)]) == 1


@pytest.mark.parametrize("asks", ["words", "speech", "nothing"])
def test_a_response_that_seemed_to_be_the_servers_own_is_the_answer_after_all_when_nothing_refused_it(
    asks: str,
) -> None:
    """B12: turn detection was about to begin one, and the server gives no tags back."""
    bench = Bench()
    detection = TurnDetection(type="server_vad")
    config = SessionConfig(type="realtime", audio=AudioConfig(input=AudioInput(turn_detection=detection)))
    bench.hear(
        SessionCreated(session=config),
        InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0),
        InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=9),
    )
    if asks == "words":
        bench.ask("Hello?")
    elif asks == "speech":
        bench.core.exchange.answer_speech(0.0, "waiter")
        bench.drain()
    else:
        wanted = Wanted(ResponseCreate(event_id="mine"), end_waiter="waiter")
        bench.core.exchange.want(wanted, 0.0)
        bench.drain()
    bench.hear(created(1), delta("Hi"), done(1))
    [(waiter, outcome)] = bench.settled
    assert waiter == "waiter" and (outcome.id == "resp_1" if asks == "nothing" else outcome.text == "Hi")
    started = [event.turn for event in bench.events if isinstance(event, TurnStarted)]
    finished = [event.turn for event in bench.events if isinstance(event, TurnDone)]
    assert {id(turn) for turn in started} == {id(turn) for turn in finished} and len(started) == len(finished)


def test_a_call_whose_name_nobody_has_said_yet_waits_for_the_event_that_says_it() -> None:
    """B31: the beta dialect leaves it out, and the item that brought it may be missing."""
    bench = Bench()
    nameless = ResponseFunctionCallArgumentsDone(response_id="resp_1", item_id="item_c", call_id="c", arguments="{}")
    bench.hear(created(1), nameless)
    assert not bench.started
    bench.hear(done(1, call_item("c")))
    assert [(call.call_id, call.name) for call in bench.started] == [("c", "get_weather")]


def test_words_of_long_ago_belong_to_no_turn_of_that_time() -> None:
    """B24: of the inputs whose words may come late only the newest few are remembered."""
    bench = Bench()
    for number in range(REMEMBERED_SPEECH + 1):
        bench.hear(
            InputAudioBufferSpeechStarted(item_id=f"u{number}", audio_start_ms=0),
            InputAudioBufferSpeechStopped(item_id=f"u{number}", audio_end_ms=9),
            created(number + 1),
            done(number + 1),
        )
    first, *_, last = [event.turn for event in bench.events if isinstance(event, TurnStarted)]
    bench.core.exchange.transcribed("u0", "too late")
    bench.core.exchange.transcribed(f"u{REMEMBERED_SPEECH}", "in time")
    assert (first.user_text, last.user_text) == ("", "in time")


def test_outputs_that_a_server_never_confirms_are_remembered_up_to_a_bound() -> None:
    """B24: the oldest is forgotten, and so is not named as in doubt twice."""
    bench = Bench()
    bench.hear(created(1))
    numbers = range(REMEMBERED_OUTPUTS + 1)
    for number in numbers:
        bench.hear(*call_events(f"c{number}"))
        bench.answer(f"c{number}", respond=False)
    unconfirmed = [output.call_id for output in bench.core.exchange.unconfirmed_outputs]
    assert unconfirmed == [f"c{number}" for number in numbers[1:]]
    bench.core.exchange.doubt_output(output_item_id("c0"))
    bench.core.exchange.doubt_output(output_item_id("c1"))
    bench.drain()
    assert [event.call.call_id for event in bench.events if isinstance(event, ToolOrphaned)] == ["c1"]


def test_a_clear_that_is_refused_where_the_server_plays_is_what_was_wanted() -> None:
    """B22: nothing is played any more; nobody is told of an error, whether somebody waits or not."""
    core = Core(new_id=lambda kind: f"{kind}_1", server_plays=True)
    for waiter in (None, "waiter"):
        event = OutputAudioBufferClear(event_id="clear")
        core.sent(event, 0.0, waiter)
        assert TABLE[ErrorEvent](core, refusal(event), 0.0) is SWALLOW
    assert [waiter for waiter, _ in core.effects.settled] == ["waiter"] and not core.effects.after


def test_nobody_waits_for_an_event_that_nothing_answers() -> None:
    """B22: an interruption is confirmed by what is answered at all."""
    bench = Bench()
    assert not bench.core.await_answer(ResponseCreate(event_id="e"), "waiter")
    assert not bench.core.await_answer(ResponseCancel(event_id="e", response_id="resp_9"), "waiter")


def test_an_event_without_an_id_and_audio_are_not_kept_to_be_named_in_an_error() -> None:
    """B11, B24: and of very many sent events, those that somebody awaits are kept."""
    requests = Requests()
    requests.add(InputAudioBufferAppend(event_id="a", audio=b""), "waiter")
    requests.add(SessionUpdate(session=SessionConfig()), "waiter")
    assert not requests.awaited_type
    requests.add(ConversationItemDelete(event_id="awaited", item_id="i"), "waiter")
    for number in range(REMEMBERED_SENDS + 5):
        requests.add(ConversationItemDelete(event_id=str(number), item_id="i"))
    kept = [requests.attach(ConversationItemDelete(event_id=str(n), item_id="i"), "w") for n in (0, REMEMBERED_SENDS)]
    assert kept == [False, True] and requests.awaited_type == "conversation.item.delete"
    twice = ConversationItemDelete(event_id="awaited", item_id="i")
    assert not requests.attach(twice, "second"), "the answer belongs to who waits already"


def test_calls_that_are_all_open_are_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """B24, B31: an open call is never forgotten, however many there are."""
    monkeypatch.setattr("realtime_events.protocol.batches.REMEMBERED_CALLS", 2)
    batches = Batches(ToolLimits())
    calls = [ToolCall(call_id=id, name="f", arguments="{}", response_id="resp_1") for id in "abc"]
    for call in calls:
        batches.begin(call, None, 0.0)
    assert [batches.of(call.call_id) is not None for call in calls] == [True, True, True]


def test_of_the_calls_of_a_conversation_that_is_gone_those_that_were_not_said_again_are_over() -> None:
    """B36: nothing is answered in a session that does not know the call."""
    before, after = Batches(ToolLimits()), Batches(ToolLimits())
    for id in "ab":
        call = ToolCall(call_id=id, name="f", arguments="{}", item_id=f"item_{id}", response_id=f"resp_{id}")
        before.begin(call, None, 0.0)
    assert [call.call_id for call in before.orphan()] == ["a", "b"]
    assert after.take_in(before, {"b": "new_b"}, {"item_b": "new_item"}) == {"b": "new_b"}
    assert after.waiting == {"new_b"} and not before.waiting - {"new_b"}
    assert after.of("a") is None and after.of("new_a") is None


def test_a_turn_that_another_has_cut_is_over_although_its_response_ends_later() -> None:
    """B12: a server that lets two responses run at once; each turn is done once."""
    bench = Bench()
    bench.ask("Hello?")
    bench.hear(created(1), delta("Hi"), InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
    bench.hear(InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=9), created(2), delta("Yes", 2))
    assert [waiter for waiter, _ in bench.settled] == ["waiter"]
    bench.hear(done(1), done(2))
    started = [id(event.turn) for event in bench.events if isinstance(event, TurnStarted)]
    finished = [id(event.turn) for event in bench.events if isinstance(event, TurnDone)]
    assert len(started) == 2 and started == finished and len(bench.settled) == 1


def test_a_request_that_is_refused_after_its_turn_was_answered_changes_nothing() -> None:
    """B11, B12: somebody else had the same speech answered."""
    bench = Bench()
    bench.hear(
        InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0),
        InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=9),
    )
    bench.core.exchange.answer_speech(0.0, "waiter")
    bench.drain()
    other = Response(id="resp_1", conversation_id="conv_1", metadata={TAG: "of another client"})
    bench.hear(ResponseCreated(response=other), delta("Yes"), done(1))
    [(waiter, turn)] = bench.settled
    bench.hear(refusal(bench.sent[-1]))
    assert (waiter, turn.text, turn.status) == ("waiter", "Yes", "completed") and len(bench.settled) == 1
    assert len([event for event in bench.events if isinstance(event, TurnDone)]) == 1


def test_sent_events_that_are_all_awaited_are_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """B11: whoever waits is answered, however many there are."""
    monkeypatch.setattr("realtime_events.protocol.requests.REMEMBERED_SENDS", 1)
    requests = Requests()
    for name in "abc":
        requests.add(ConversationItemDelete(event_id=name, item_id=f"item_{name}"), name)
    answers = [requests.acknowledged_by(ConversationItemDeleted(item_id=f"item_{name}")) for name in "abc"]
    assert [request.waiter if request else None for request in answers] == ["a", "b", "c"]


def test_a_call_that_names_no_item_is_an_orphan_all_the_same_when_the_connection_is_lost() -> None:
    """B01, B36: there is nothing to finish in the conversation, and somebody is told."""
    bench = Bench()
    nameless = ResponseFunctionCallArgumentsDone(
        response_id="resp_1", item_id="", call_id="c", name="get_weather", arguments="{}"
    )
    bench.hear(created(1), nameless)
    bench.core.cut(ConnectionError(), 0.0)
    bench.drain()
    assert [event.call.call_id for event in bench.events if isinstance(event, ToolOrphaned)] == ["c"]
    assert not list(bench.core.conversation)
