"""Tool calls through a whole session: the frames that reach the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime_events import Realtime, Say, Session, ToolCall, Turn
from realtime_events.events import (
    ConversationItemCreate,
    InputAudioBufferSpeechStarted,
    Item,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
)
from realtime_events.protocol.responses import TAG
from realtime_events.testing import Peer


def called(*calls: tuple[str, str, str]) -> list[Any]:
    """A response that makes calls (id, name, arguments), each shown in its three events."""
    items = [
        Item(type="function_call", id=f"item_{call_id}", call_id=call_id, name=name, arguments=arguments)
        for call_id, name, arguments in calls
    ]
    shown: list[Any] = [ResponseCreated(response=Response(id="resp_1", conversation_id="conv_1"))]
    for item, (call_id, name, arguments) in zip(items, calls, strict=True):
        shown.append(
            ResponseFunctionCallArgumentsDone(
                response_id="resp_1", item_id=f"item_{call_id}", call_id=call_id, name=name, arguments=arguments
            )
        )
        shown.append(ResponseOutputItemDone(response_id="resp_1", item=item))
    shown.append(ResponseDone(response=Response(id="resp_1", status="completed", output=items)))
    return shown


ANSWER = [
    ResponseCreated(response=Response(id="resp_2", conversation_id="conv_1")),
    ResponseOutputTextDelta(response_id="resp_2", item_id="item_a", delta="Done."),
    ResponseDone(response=Response(id="resp_2", status="completed", output=[])),
]


async def asked(rt: Realtime, *calls: tuple[str, str, str]) -> tuple[Turn, list[Any]]:
    """Ask something, have the model make calls, and give the turn and what was sent after them."""
    peer = Peer()
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        asking = asyncio.create_task(session.ask("Please."))
        await peer.heard(ResponseCreate)
        peer.sent.clear()
        peer.say(*called(*calls))
        await peer.heard(ResponseCreate)
        after = list(peer.sent)
        peer.say(*ANSWER)
        return await asking, after


def outputs(sent: list[Any]) -> dict[str, str]:
    given = [event.item for event in sent if isinstance(event, ConversationItemCreate)]
    assert all(item.type == "function_call_output" for item in given)
    assert len({item.call_id for item in given}) == len(given)
    return {item.call_id: item.output for item in given}


async def test_a_call_is_answered_by_itself_and_the_model_is_asked_to_go_on() -> None:
    """B30, B31, B32."""
    rt = Realtime()

    @rt.tool
    async def get_weather(city: str) -> dict[str, Any]:
        """Look up the weather."""
        return {"city": city, "celsius": 18}

    turn, sent = await asked(rt, ("call_1", "get_weather", '{"city":"Bern"}'))
    assert outputs(sent) == {"call_1": '{"city":"Bern","celsius":18}'}
    assert [type(event) for event in sent] == [ConversationItemCreate, ResponseCreate]
    [result] = turn.tool_calls
    assert (result.name, result.arguments, result.ok) == ("get_weather", '{"city":"Bern"}', True)
    assert result.output == '{"city":"Bern","celsius":18}' and turn.text == "Done."


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("call_1", "get_wether", "{}"), ["get_wether", "get_weather"]),
        (("call_1", "get_weather", "{not json"), ["JSON"]),
        (("call_1", "get_weather", '{"city":5}'), ["city", "str"]),
        (("call_1", "get_weather", "{}"), ["city"]),
        (("call_1", "get_weather", '{"city":"Atlantis"}'), ["sunk"]),
    ],
)
async def test_a_call_that_goes_wrong_is_answered_too_and_the_model_is_told_why(
    call: tuple[str, str, str], told: list[str]
) -> None:
    """B30."""
    from realtime_events import ToolError

    rt, failed = Realtime(), []
    rt.on("tool.failed", failed.append)

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the weather."""
        raise ToolError(f"{city} has sunk")

    turn, sent = await asked(rt, call)
    output = outputs(sent)["call_1"]
    assert all(word in output for word in told), output
    assert len(failed) == 1 and not turn.tool_calls[0].ok


async def test_the_text_of_an_unexpected_exception_is_not_told_to_the_model() -> None:
    """B30."""
    rt = Realtime()

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the weather."""
        raise RuntimeError("password=hunter2")

    _, sent = await asked(rt, ("call_1", "get_weather", '{"city":"Bern"}'))
    assert "hunter2" not in outputs(sent)["call_1"]


async def test_parallel_calls_run_at_the_same_time_and_get_one_follow_up() -> None:
    """B32: each waits here for the other two."""
    rt, barrier = Realtime(), asyncio.Barrier(3)

    @rt.tool
    async def meet(name: str) -> str:
        """Meet the others."""
        await barrier.wait()
        return name

    _, sent = await asked(rt, *[(f"call_{n}", "meet", f'{{"name":"{n}"}}') for n in "abc"])
    assert outputs(sent) == {"call_a": "a", "call_b": "b", "call_c": "c"}
    assert [type(event) for event in sent].count(ResponseCreate) == 1 and isinstance(sent[-1], ResponseCreate)


async def test_a_tool_that_never_returns_delays_no_event() -> None:
    """B03: neither does a plain function that blocks its thread."""
    rt, peer, release, entered = Realtime(), Peer(), threading.Event(), []

    @rt.tool
    def block() -> str:
        """Block a thread."""
        entered.append(threading.current_thread() is threading.main_thread())
        release.wait(5)
        return "done"

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*called(("call_1", "block", "{}")))
        await session.wait_for("response.done")
        peer.say(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
        await session.wait_for("input_audio_buffer.speech_started")
        release.set()
        assert (await peer.heard(ConversationItemCreate)).item.output == "done"
    assert entered == [False]


async def test_the_session_and_the_call_are_injected_and_are_no_parameters() -> None:
    rt = Realtime()

    @rt.tool
    async def who(session: Session, call: ToolCall, greeting: str = "hi") -> str:
        """Tell who asks."""
        return f"{greeting} {session.id} {call.call_id}"

    assert list(rt.tools.definitions()[0]["parameters"]["properties"]) == ["greeting"]
    _, sent = await asked(rt, ("call_1", "who", "{}"))
    assert outputs(sent) == {"call_1": "hi sess_memory call_1"}


def in_response(number: int, *calls: tuple[str, str, str]) -> list[Any]:
    """A response of a number of its own that makes calls (id, name, arguments)."""
    items = [
        Item(type="function_call", id=f"item_{call_id}", call_id=call_id, name=name, arguments=arguments)
        for call_id, name, arguments in calls
    ]
    return [
        ResponseCreated(response=Response(id=f"resp_{number}", conversation_id="conv_1")),
        *[ResponseOutputItemDone(response_id=f"resp_{number}", item=item) for item in items],
        ResponseDone(response=Response(id=f"resp_{number}", status="completed", output=items)),
    ]


async def heard_another(peer: Peer, number: int) -> ResponseCreate:
    """Wait for the given number of requests for a response, and give the last."""
    async with asyncio.timeout(5):
        while len(asked_for := [event for event in peer.sent if isinstance(event, ResponseCreate)]) < number:
            await asyncio.sleep(0)
    return asked_for[-1]


async def test_a_run_away_turn_is_stopped_with_a_last_answer_without_tools(caplog: pytest.LogCaptureFixture) -> None:
    """B33: after ten rounds; calls made all the same are answered unrun, and no further response is asked for."""
    rt, peer, runs, stopped = Realtime(), Peer(), [], []
    rt.on("tool.loop_stopped", stopped.append)

    @rt.tool
    async def look(n: int) -> str:
        """Look once more."""
        runs.append(n)
        return "nothing yet"

    async with asyncio.timeout(10), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        asking = asyncio.create_task(session.ask("Please."))
        for number in range(1, 11):
            request = await heard_another(peer, number)
            assert not without_tag(request.response)
            peer.say(*in_response(number, (f"call_{number}", "look", f'{{"n":{number}}}')))
        request = await heard_another(peer, 11)
        assert request.response and request.response.tool_choice == "none"
        peer.say(*in_response(11, ("call_11", "look", '{"n":11}')))
        turn = await asking
    assert runs == list(range(1, 11))
    assert turn.rounds == 11 and [result.ok for result in turn.tool_calls] == [True] * 10 + [False]
    assert "10 rounds of tool calls in one turn are the limit" in turn.tool_calls[-1].output
    assert sum(isinstance(event, ResponseCreate) for event in peer.sent) == 11
    assert len(stopped) == 1 and stopped[0].turn is turn
    assert "the model called tools in 10 responses of one turn" in caplog.text


async def test_a_tool_speaks_while_it_works_and_the_turn_goes_on() -> None:
    """B12: what it says is a response of its own, asked for when none is active; the turn ends with the answer."""
    rt, peer, go_on = Realtime(), Peer(), asyncio.Event()

    @rt.tool
    async def search() -> AsyncIterator[Any]:
        """Search for long."""
        yield Say("One moment.")
        await go_on.wait()
        yield "found"
        yield Say("Never said: the call is answered first.")

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        asking = asyncio.create_task(session.ask("Search!"))
        await heard_another(peer, 1)
        peer.say(*in_response(1, ("call_1", "search", "{}")))
        request = await heard_another(peer, 2)
        assert request.response and "Say exactly this and nothing else: One moment." in request.response.instructions
        assert request.response.tool_choice == "none"
        peer.say(
            ResponseCreated(response=Response(id="resp_2", conversation_id="conv_1")),
            ResponseOutputTextDelta(response_id="resp_2", item_id="item_b", delta="One moment."),
        )
        await session.wait_for("response.text.delta")
        go_on.set()
        await peer.heard(ConversationItemCreate, lambda event: event.item.type == "function_call_output")
        peer.say(ResponseDone(response=Response(id="resp_2", status="completed", output=[])))
        request = await heard_another(peer, 3)
        assert not without_tag(request.response)
        peer.say(
            ResponseCreated(response=Response(id="resp_3", conversation_id="conv_1")),
            ResponseOutputTextDelta(response_id="resp_3", item_id="item_c", delta="Found it."),
            ResponseDone(response=Response(id="resp_3", status="completed", output=[])),
        )
        turn = await asking
    assert turn.text == "One moment.\nFound it."
    assert len(turn.tool_calls) == 1


@pytest.mark.parametrize("on_interrupt", ["finish", "cancel"])
@pytest.mark.parametrize("by", ["speech", "interrupt"])
async def test_an_interruption_stops_only_the_tools_that_say_so(on_interrupt: Any, by: str) -> None:
    """B34: a barge-in and `interrupt()` alike; the call is answered in any case."""
    rt, peer, entered, go_on = Realtime(), Peer(), asyncio.Event(), asyncio.Event()

    @rt.tool(on_interrupt=on_interrupt)
    async def work() -> str:
        """Work."""
        entered.set()
        await go_on.wait()
        return "done"

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*in_response(1, ("call_1", "work", "{}")))
        await entered.wait()
        if by == "speech":
            peer.say(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
            await session.wait_for("input_audio_buffer.speech_started")
        else:
            await session.interrupt()
        go_on.set()
        output = (await peer.heard(ConversationItemCreate)).item.output
    assert ("the user interrupted" in output) is (on_interrupt == "cancel")
    assert (output == "done") is (on_interrupt == "finish")


async def test_a_call_waits_for_the_sessions_approval() -> None:
    """B35: from a handler, awaited or not."""
    rt = Realtime()

    @rt.tool(approval="always")
    async def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    @rt.on("tool.approval_requested")
    async def decide(event: Any, session: Session) -> None:
        if event.call.call_id == "call_1":
            assert await session.approve(event.call.call_id)
            assert not await session.approve(event.call.call_id)
        else:
            session.deny(event.call.call_id, "once is enough")

    _, sent = await asked(rt, ("call_1", "pay", '{"amount":5}'), ("call_2", "pay", '{"amount":6}'))
    given = outputs(sent)
    assert given["call_1"] == "paid 5" and "once is enough" in given["call_2"]
    assert [type(event) for event in sent].count(ResponseCreate) == 1


async def test_a_call_of_a_conversation_that_has_ended_is_reported_and_not_answered() -> None:
    """B36: none is sent into the void."""
    rt, peer, entered, orphaned = Realtime(), Peer(), asyncio.Event(), []
    rt.on("tool.orphaned", orphaned.append)

    @rt.tool
    async def work() -> None:
        """Work."""
        entered.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*in_response(1, ("call_1", "work", "{}")))
        await entered.wait()
        peer.drop()
        await session.wait_closed()
    assert [event.call.call_id for event in orphaned] == ["call_1"]
    assert not [event for event in peer.sent if isinstance(event, ConversationItemCreate)]


async def test_a_session_counts_how_its_tools_were_used() -> None:
    """Each answered call counts once under its name, one for a tool that does not exist too."""
    rt, peer = Realtime(), Peer()

    @rt.tool
    async def divide(number: int) -> int:
        """Divide a hundred."""
        return 100 // number

    calls = [("call_1", "divide", '{"number":5}'), ("call_2", "divide", '{"number":0}'), ("call_3", "multiply", "{}")]
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*called(*calls))
        await peer.heard(ResponseCreate)
        used = {name: (usage.calls, usage.failed) for name, usage in session.tools.usage.items()}
        assert session.tools.usage["divide"].total_ms > 0
    assert used == {"divide": (2, 1), "multiply": (1, 1)}


def without_tag(response: Any) -> Any:
    """Give what a `response.create` asks for otherwise than the session says, but for the tag by which it is known."""
    asked = {field: value for field in response.__struct_fields__ if (value := getattr(response, field))}
    assert TAG in asked.pop("metadata")
    return asked
