"""Every way a tool call can go wrong, through a whole session and the simulator: the frames that reach the server.

B30, B32: each call gets exactly one output, and each response with calls exactly one follow-up.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_events import Realtime, Session, ToolError, ToolLimits
from realtime_events.events import (
    ConversationItemCreate,
    Item,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputItemDone,
)
from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step
from realtime_events.testing import Peer

WAIT_S = 10
SHORT_S = 0.02


class Abort(BaseException):
    """No `Exception`."""


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds back a thread; opened at the end, so that none outlives its test."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def rt(gate: threading.Event) -> Realtime:  # noqa: C901  a list, not a decision
    """An application whose tools go wrong, each in its own way."""
    rt = Realtime(session={"output_modalities": ["text"]})

    @rt.tool
    async def pay(amount: int, to: str = "me") -> str:
        return f"paid {amount} to {to}"

    @rt.tool(retries=1, retry_delay_s=0)
    async def crash() -> None:
        raise ValueError("password is 123")

    @rt.tool
    async def refuse() -> None:
        raise ToolError("there is no such account")

    @rt.tool
    async def abort() -> None:
        raise Abort("stop")

    @rt.tool
    def leave() -> None:
        raise SystemExit(3)

    @rt.tool
    async def cancel_itself() -> None:
        raise asyncio.CancelledError

    @rt.tool(timeout_s=SHORT_S)
    async def hang() -> None:
        await asyncio.Event().wait()

    @rt.tool(timeout_s=SHORT_S)
    def hang_in_a_thread() -> None:
        gate.wait(WAIT_S)

    @rt.tool(timeout_s=SHORT_S)
    async def hang_on() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "a result that comes too late"
        return ""

    @rt.tool
    async def give_what_is_no_json() -> object:
        return object()

    @rt.tool
    async def give_too_much() -> str:
        return "x" * 5_000_000

    @rt.tool
    async def yield_nothing() -> AsyncIterator[str]:
        for one in ():
            yield one

    @rt.tool
    async def yield_and_crash() -> AsyncIterator[str]:
        yield "almost"
        raise OSError("disk full")

    @rt.tool(approval="always")
    async def ask_first() -> str:
        return "must not run"

    @rt.tool(approval="always", approval_timeout_s=SHORT_S)
    async def ask_in_vain() -> str:
        return "must not run"

    @rt.on("tool.approval_requested")
    async def deny(event: Any, session: Session) -> None:
        if event.call.name == "ask_first":
            session.deny(event.call.call_id, "not today")

    return rt


WAYS = [
    ("pay", '{"amount": 5', "not valid JSON"),
    ("pay", "[5]", "one JSON object"),
    ("pay", "5", "one JSON object"),
    ("pay", "{}", "amount: missing; expected integer"),
    ("pay", '{"amount": 5, "extra": 1}', "extra: unknown field; the fields are: amount, to"),
    ("pay", '{"amount": "5"}', 'amount: expected integer, got string "5"'),
    ("pay", '{"amount": 5, "to": null}', "to: expected string, got null"),
    ("pay", '{"amount": 5, "to": "' + "x" * 100_000 + '"}', "100,023 bytes are more than the 65,536"),
    ("pay", '{"amount": ' + "[" * 5_000 + "]" * 5_000 + "}", "they are nested more than 32 levels deep"),
    ("pya", "{}", "there is no tool 'pya'; available: pay, crash"),
    ("crash", "{}", "'crash' failed with an internal error"),
    ("refuse", "{}", "there is no such account"),
    ("abort", "{}", "'abort' failed with an internal error"),
    ("leave", "{}", "'leave' failed with an internal error"),
    ("cancel_itself", "{}", "'cancel_itself' failed with an internal error"),
    ("hang", "{}", "'hang' gave no result within 0.02 s"),
    ("hang_in_a_thread", "{}", "'hang_in_a_thread' gave no result within 0.02 s"),
    ("hang_on", "{}", "'hang_on' gave no result within 0.02 s"),
    ("give_what_is_no_json", "{}", "'give_what_is_no_json' failed with an internal error"),
    ("give_too_much", "{}", "[cut: 5,000,000 bytes in all"),
    ("yield_nothing", "{}", "null"),
    ("yield_and_crash", "{}", "'yield_and_crash' failed with an internal error"),
    ("ask_first", "{}", "'ask_first' was not run: it was denied: not today"),
    ("ask_in_vain", "{}", "nobody approved it within 0.02 s"),
]


def outputs(sent: Any) -> dict[str, str]:
    """Give the outputs on the wire by call; fails if a call has two."""
    items = [event.item for event in sent if isinstance(event, ConversationItemCreate)]
    given = [(item.call_id, item.output) for item in items if item.type == "function_call_output"]
    assert len(dict(given)) == len(given)
    return dict(given)


def requests(sent: Any) -> int:
    return sum(isinstance(event, ResponseCreate) for event in sent)


async def through_the_simulator(rt: Realtime, *calls: Call) -> tuple[list[str], Any]:
    """Have the model make calls in one response; give their outputs in the order of the wire, and the turn."""
    brain = ScriptBrain([Step(emit=calls), Step(emit=[Say("That is all.")])])
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain, pace=float("inf")) as sim:
        async with rt.connect(endpoint=sim.endpoint) as session:
            turn = await session.ask("Go on.")
        received = sim.sessions[0].received
        # The item of the user, the outputs; the request of the turn, and one follow-up.
        assert len(outputs(received)) == len(calls)
        assert requests(received) == 2
        assert received.counts["conversation.item.create"] == 1 + len(calls)
        brain.assert_done()
    assert turn.text == "That is all."
    return list(outputs(received).values()), turn


@pytest.mark.parametrize(("name", "arguments", "told"), WAYS, ids=[f"{way[0]} {way[1][:24]}" for way in WAYS])
async def test_a_call_that_goes_wrong_gets_one_output_and_one_follow_up(
    rt: Realtime, name: str, arguments: str, told: str
) -> None:
    """B30: the model is told what was wrong, and never the text of an unexpected exception."""
    [output], turn = await through_the_simulator(rt, Call(name, arguments))
    assert told in (json.loads(output)["error"] if output.startswith('{"error"') else output)
    assert "password" not in output
    assert len(output) <= 256 * 1024
    [result] = turn.tool_calls
    assert result.output == output and result.ok is (told == "null" or "[cut:" in told)


async def test_calls_that_go_wrong_together_get_one_output_each_and_one_follow_up_together(rt: Realtime) -> None:
    """B32: sixteen of them in one response."""
    given, turn = await through_the_simulator(rt, *[Call(name, text) for name, text, _ in WAYS if len(text) < 99][:16])
    assert len(given) == 16 == len(turn.tool_calls)


async def test_calls_beyond_sixteen_in_a_response_are_answered_unrun() -> None:
    """B30: none is left open, however many there are."""
    rt, runs = Realtime(session={"output_modalities": ["text"]}), []

    @rt.tool
    def count(n: int) -> None:
        runs.append(n)

    given, _ = await through_the_simulator(rt, *[Call("count", f'{{"n":{n}}}') for n in range(20)])
    assert len(runs) == 16
    assert sum("16 tool calls in one response are the limit" in output for output in given) == 4


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
@pytest.mark.parametrize("failing", ["", "b", "abc"])
async def test_calls_may_end_in_any_order(order: tuple[str, ...], failing: str) -> None:
    """B32: the outputs go out as they come, the follow-up after the last."""
    rt = Realtime(session={"output_modalities": ["text"]})
    turns = {name: asyncio.Event() for name in "abc"}
    entered: list[str] = []

    @rt.tool
    async def wait(name: str) -> str:
        entered.append(name)
        if len(entered) == 3:
            turns[order[0]].set()
        await turns[name].wait()
        if name in failing:
            raise RuntimeError
        return name

    @rt.on("tool.done", "tool.failed")
    async def next_one(event: Any) -> None:
        place = order.index(json.loads(event.call.arguments)["name"])
        if place < 2:
            turns[order[place + 1]].set()

    given, turn = await through_the_simulator(rt, *[Call("wait", f'{{"name":"{name}"}}') for name in "abc"])
    assert [json.loads(result.arguments)["name"] for result in turn.tool_calls] == list(order)
    assert [output for output in given if "error" not in output] == [name for name in order if name not in failing]


async def test_a_loop_is_stopped_and_answered() -> None:
    """B33: through the simulator, with a limit of three rounds."""
    rt, runs = Realtime(session={"output_modalities": ["text"]}), []

    @rt.tool
    async def look(n: int) -> str:
        runs.append(n)
        return "nothing"

    steps = [Step(emit=[Call("look", f'{{"n":{n}}}')]) for n in range(3)]
    async with asyncio.timeout(WAIT_S), Simulator(brain=ScriptBrain([*steps, Step(emit=[Say("Sorry.")])])) as sim:
        async with rt.connect(endpoint=sim.endpoint, tool_limits=ToolLimits(rounds_per_turn=3)) as session:
            turn = await session.ask("Look.")
        last = [event for event in sim.sessions[0].received if isinstance(event, ResponseCreate)][-1]
        assert requests(sim.sessions[0].received) == 4
    assert runs == [0, 1, 2] and turn.text == "Sorry."
    assert last.response and last.response.tool_choice == "none"


async def test_a_call_that_an_interruption_stops_is_answered() -> None:
    """B30, B34: and the turn ends with the answer to it."""
    rt, entered = Realtime(session={"output_modalities": ["text"]}), asyncio.Event()

    @rt.tool(on_interrupt="cancel")
    async def work() -> None:
        entered.set()
        await asyncio.Event().wait()

    brain = ScriptBrain([Step(emit=[Call("work", "{}")]), Step(emit=[Say("Very well.")])])
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain) as sim:
        async with rt.connect(endpoint=sim.endpoint) as session:
            asking = asyncio.create_task(session.ask("Work."))
            await session.wait_for("response.done")
            await entered.wait()
            await session.interrupt()
            turn = await asking
        [output] = outputs(sim.sessions[0].received).values()
    assert "the user interrupted" in output and turn.text == "Very well."


# What the simulator, being a faithful server, does not do.


@asynccontextmanager
async def beside_a_peer(rt: Realtime) -> AsyncIterator[tuple[Session, Peer]]:
    peer = Peer()
    async with asyncio.timeout(WAIT_S), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.sent.clear()
        yield session, peer


def response(number: int, *call_ids: str, status: str = "completed") -> list[Any]:
    items = [
        Item(type="function_call", id=f"item_{number}_{n}", call_id=call_id, name="count", arguments="{}")
        for n, call_id in enumerate(call_ids)
    ]
    shown = [
        event
        for item in items
        for event in (
            ResponseFunctionCallArgumentsDone(
                response_id=f"resp_{number}", item_id=str(item.id), call_id=str(item.call_id), name="count"
            ),
            ResponseOutputItemDone(response_id=f"resp_{number}", item=item),
        )
    ]
    created = ResponseCreated(response=Response(id=f"resp_{number}", conversation_id="conv_1"))
    return [created, *shown, ResponseDone(response=Response(id=f"resp_{number}", status=status, output=items))]


@pytest.fixture
def counting() -> tuple[Realtime, list[int]]:
    rt, runs = Realtime(), []
    rt.tool(lambda: runs.append(1) or "ok", name="count")
    return rt, runs


async def test_a_call_id_that_comes_again_runs_once(counting: tuple[Realtime, list[int]]) -> None:
    """B31: three events of one call, twice in a response, and again in a later one."""
    rt, runs = counting
    async with beside_a_peer(rt) as (session, peer):
        peer.say(*response(1, "call_1", "call_1"))
        await peer.heard(ResponseCreate)
        peer.say(*response(2, "call_1"))
        turn = (await session.wait_for("turn.done")).turn
        sent = list(peer.sent)
        assert session.counters.duplicate_calls == 2, "the second item of the first response, and the one of the second"
    assert len(runs) == 1 == len(turn.tool_calls)
    assert [type(event) for event in sent] == [ConversationItemCreate, ResponseCreate]


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
async def test_a_call_of_a_response_that_did_not_complete_is_answered(
    counting: tuple[Realtime, list[int]], status: str
) -> None:
    """B30: without a follow-up."""
    rt, _ = counting
    async with beside_a_peer(rt) as (session, peer):
        peer.say(*response(1, "call_1", status=status))
        await peer.heard(ConversationItemCreate)
        await session.send({"type": "input_audio_buffer.clear"})
        assert outputs(peer.sent) == {"call_1": "ok"} and requests(peer.sent) == 0


async def test_a_connection_that_ends_while_a_tool_runs_leaves_nothing_open() -> None:
    """B36: nothing is sent, the call is reported, the tool is told."""
    rt, entered, orphaned, told = Realtime(), asyncio.Event(), [], []
    rt.on("tool.orphaned", orphaned.append)

    @rt.tool
    async def count() -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            told.append(True)

    async with beside_a_peer(rt) as (session, peer):
        peer.say(*response(1, "call_1"))
        await entered.wait()
        peer.drop()
        await session.wait_closed()
    assert [event.call.call_id for event in orphaned] == ["call_1"]
    assert told == [True] and peer.sent == []
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("tool ")]
