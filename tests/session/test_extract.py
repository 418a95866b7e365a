"""Extracting: a side question whose answer is a value of a Python type."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pytest

from realtime_events import Realtime, RemoteProtocolError, ResponseFailed, ServerError, Session
from realtime_events.events import (
    ContentPart,
    ErrorDetails,
    ErrorEvent,
    Item,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
)
from realtime_events.extracting import Question
from realtime_events.simulator import Simulator
from realtime_events.simulator.plans import Call, Say
from realtime_events.simulator.scripts import Expect, Step
from realtime_events.testing import Peer


class Mood(msgspec.Struct):
    feeling: Literal["happy", "sad", "angry"]
    score: float


class Address(msgspec.Struct):
    street: str
    number: int


class Order(msgspec.Struct):
    dishes: list[str]
    address: Address
    note: str | None = None


@dataclass
class Person:
    name: str
    age: int


def calling(arguments: str) -> Response:
    call = Item(type="function_call", id="i", call_id="c", name="answer", arguments=arguments)
    return Response(id="resp", status="completed", output=[call])


def writing(text: str) -> Response:
    item = Item(type="message", role="assistant", content=[ContentPart(type="output_text", text=text)])
    return Response(id="resp", status="completed", output=[item])


@asynccontextmanager
async def asked(output: Any, *answers: Response, **params: Any) -> AsyncIterator[tuple[asyncio.Task[Any], Peer]]:
    """A question under way, to which the server gives these answers one after the other."""
    peer = Peer()
    async with (
        asyncio.timeout(5),
        Realtime().connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session,
    ):
        asking = asyncio.create_task(session.extract("How is the user?", output=output, **params))
        for number, answer in enumerate(answers, start=1):
            await answered(peer, number, answer)
        yield asking, peer
        assert not session.conversation.items


async def answered(peer: Peer, number: int, answer: Response) -> None:
    def requests() -> list[ResponseCreate]:
        return [event for event in peer.sent if isinstance(event, ResponseCreate)]

    await peer.heard(ResponseCreate, lambda _: len(requests()) >= number)
    params = requests()[number - 1].response
    assert params
    named = msgspec.structs.replace(answer, id=f"resp_{number}", conversation_id=None, metadata=params.metadata)
    peer.say(ResponseCreated(response=named), ResponseDone(response=named))


# ── the question ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_question_is_asked_out_of_band_as_text_with_the_schema_of_the_answer() -> None:
    async with asked(Mood, calling('{"answer":{"feeling":"sad","score":0.5}}')) as (asking, peer):
        assert await asking == Mood(feeling="sad", score=0.5)
        [request] = peer.sent
        params = request.response
        assert (params.conversation, params.output_modalities) == ("none", ["text"])
        assert "How is the user?" in params.instructions
        [tool] = params.tools
        assert params.tool_choice == msgspec.convert({"type": "function", "name": tool.name}, type(params.tool_choice))
        shown = msgspec.json.encode(tool.parameters).decode()
        assert all(word in shown for word in ("feeling", "score", "happy", "angry")) and "required" in shown


@pytest.mark.parametrize(
    ("output", "arguments", "answer"),
    [
        (Mood, '{"feeling":"happy","score":1}', Mood(feeling="happy", score=1.0)),
        (Person, '{"name":"Ada","age":36}', Person(name="Ada", age=36)),
        (list[int], "[3,1,2]", [3, 1, 2]),
        (Literal["yes", "no"], '"no"', "no"),
        (int, "7", 7),
        (int | None, "null", None),
        (
            Order,
            '{"dishes":["soup"],"address":{"street":"Main St","number":3}}',
            Order(dishes=["soup"], address=Address(street="Main St", number=3)),
        ),
        (list[Address], '[{"street":"Main St","number":3}]', [Address(street="Main St", number=3)]),
        (dict[str, bool], '{"vegan":true}', {"vegan": True}),
    ],
)
async def test_an_answer_is_a_value_of_its_type(output: Any, arguments: str, answer: Any) -> None:
    async with asked(output, calling(f'{{"answer":{arguments}}}')) as (asking, peer):
        assert await asking == answer and len(peer.sent) == 1


@pytest.mark.parametrize(
    ("output", "text", "answer"),
    [
        (Person, '{"answer":{"name":"Ada","age":36}}', Person(name="Ada", age=36)),
        (Person, '{"name":"Ada","age":36}', Person(name="Ada", age=36)),
        (Person, '```json\n{"name":"Ada","age":36}\n```', Person(name="Ada", age=36)),
        (list[int], "```\n[1, 2]\n```\n", [1, 2]),
        (Literal["yes", "no"], "yes", "yes"),
        (str, "The user is fine.", "The user is fine."),
        (bool, " true ", True),
    ],
)
async def test_a_model_that_writes_its_answer_instead_of_calling_is_understood(
    output: Any, text: str, answer: Any
) -> None:
    async with asked(output, writing(text)) as (asking, peer):
        assert await asking == answer and len(peer.sent) == 1


async def test_an_answer_whose_own_field_is_called_answer_is_understood_in_writing() -> None:
    class Reply(msgspec.Struct):
        answer: str

    async with asked(Reply, writing('{"answer":"yes"}')) as (asking, _):
        assert await asking == Reply(answer="yes")


async def test_the_parameters_of_a_request_can_be_given_too() -> None:
    async with asked(int, calling('{"answer":1}'), input=[], metadata={"why": "test"}) as (asking, peer):
        await asking
        assert peer.sent[0].response.input == [] and peer.sent[0].response.metadata["why"] == "test"


async def test_a_type_without_a_schema_is_refused_before_anything_is_sent() -> None:
    peer = Peer()
    async with (
        asyncio.timeout(5),
        Realtime().connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session,
    ):
        with pytest.raises(TypeError):
            await session.extract("?", output=Session)
        assert peer.sent == []


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (calling('{"answer":{"feeling":"furious","score":1}}'), ["feeling", "furious"]),
        (calling('{"answer":{"feeling":"sad"}}'), ["score", '{"answer":{"feeling":"sad"}}']),
        (calling('{"ans'), ["JSON", '{"ans']),
        (writing("I am not sure."), ["I am not sure."]),
        (Response(id="resp", status="incomplete", output=[]), ["no answer"]),
    ],
)
async def test_a_wrong_answer_is_sent_back_once_with_what_is_wrong(wrong: Response, told: list[str]) -> None:
    async with asked(Mood, wrong, calling('{"answer":{"feeling":"angry","score":1}}')) as (asking, peer):
        assert await asking == Mood(feeling="angry", score=1.0)
        first, second = (event.response.instructions for event in peer.sent)
        assert second.startswith(first) and all(word in second for word in told)


async def test_a_second_wrong_answer_is_an_error_that_says_what_is_wrong() -> None:
    wrong = calling('{"answer":{"name":"Ada","age":"old"}}')
    async with asked(Person, wrong, wrong) as (asking, peer):
        with pytest.raises(RemoteProtocolError, match=r"Person.*age.*old"):
            await asking
        assert len(peer.sent) == 2


async def test_a_question_that_is_not_answered_in_time_is_given_up() -> None:
    """B12: and its response is cancelled once it begins."""
    peer = Peer()
    async with (
        asyncio.timeout(5),
        Realtime().connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session,
    ):
        with pytest.raises(TimeoutError, match=r"the question was not answered within 0\.01 s"):
            await session.extract("?", output=int, timeout=0.01)
        [request] = peer.sent
        begun = Response(id="resp_1", conversation_id=None, metadata=request.response.metadata)
        peer.say(ResponseCreated(response=begun))
        assert (await peer.heard(ResponseCancel)).response_id == "resp_1"


async def test_a_failed_response_and_a_refused_request_are_raised() -> None:
    """B11, B20."""
    async with asked(int, Response(id="resp", status="failed")) as (asking, _):
        with pytest.raises(ResponseFailed):
            await asking
    async with asked(int) as (asking, peer):
        request = await peer.heard(ResponseCreate)
        error = ErrorDetails(type="invalid_request_error", message="schema too deep", event_id=request.event_id)
        peer.say(ErrorEvent(error=error))
        with pytest.raises(ServerError, match="schema too deep"):
            await asking


def test_a_long_wrong_answer_is_shown_to_the_model_in_part() -> None:
    question = Question("?", int)
    assert not question.take(writing("x" * 100_000))
    assert len(question.params()["instructions"]) < 10_000


# ── with the simulator ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_simulator_answers_questions_of_any_type_beside_the_conversation() -> None:
    async with asyncio.timeout(10), Simulator(pace=None) as sim, Realtime().connect(endpoint=sim.endpoint) as session:
        await session.ask("My name is Ada, I am 36 years old, and I am happy.")
        items = [item.id for item in session.conversation.items]
        person, mood, numbers, order, pair = await asyncio.gather(
            session.extract("Who is the user?", output=Person),
            session.extract("How is the user?", output=Mood),
            session.extract("Which numbers were said?", output=list[int]),
            session.extract("What was ordered?", output=Order),
            session.extract("A number and a word?", output=tuple[int, str]),
        )
        assert person == Person(name="Ada", age=36) and mood.feeling == "happy" and numbers == [36]
        assert isinstance(order, Order) and isinstance(order.address.number, int)
        assert isinstance(pair[0], int) and isinstance(pair[1], str)
        assert [item.id for item in session.conversation.items] == items == [item.id for item in sim.sessions[0].items]


async def test_the_simulator_is_asked_again_after_a_wrong_answer() -> None:
    steps = [
        Step(emit=[Call("answer", '{"answer":{"name":"Ada"}}')]),
        Step(emit=[Say('{"name":"Ada","age":36}')], expect=Expect(instructions="age", tools=["answer"])),
    ]
    async with asyncio.timeout(10), Simulator(script=steps, pace=None) as sim:
        async with Realtime().connect(endpoint=sim.endpoint) as session:
            assert await session.extract("Who?", output=Person) == Person(name="Ada", age=36)
        sim.assert_done()
