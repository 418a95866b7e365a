"""Tool calls through a whole session: the frames that reach the server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from realtime_events import Realtime, Session, ToolCall, Turn
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
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
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

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
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
