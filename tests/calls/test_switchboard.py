"""Calls that come in: accepted with the application's settings, refused, held, and hung up in the end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import pytest

from realtime_events import ConfigurationError, Realtime, Reject, RestClient, TransportError
from realtime_events.call import CALL_ENDED
from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step
from realtime_events.webhooks import IncomingCall, UnknownWebhook

from .conftest import SECRET, serving

CANARY = "canary-7f3a"


async def test_a_call_is_accepted_with_the_settings_of_the_application(sim: Simulator) -> None:
    """They go with the acceptance, so that nothing is left to be told when the session is attached."""
    rt = Realtime(model="gpt-realtime-2.1-mini", instructions="You are a porter.", voice="cedar")

    @rt.tool
    def ring_the_bell() -> str:
        """Ring the bell."""
        return "ding"

    async with serving(rt, sim) as line:
        call = await line.ring()
        session = await line.opened.get()
        assert line.board.sessions == [session]
        assert (session.call.id, session.call.header("from")) == (call.id, call.sip_headers[0].value)
        assert session.model == "gpt-realtime-2.1-mini"
        assert session.config.instructions == "You are a porter."
        assert session.config.audio.output.voice == "cedar"
        assert [tool.name for tool in session.config.tools] == ["ring_the_bell"]
        call.hang_up()
        assert (await line.closed.get()).reason == CALL_ENDED
        await line.drained()
        assert line.board.sessions == []
    assert list(sim.sessions[-1].received) == []


async def test_the_same_handlers_hear_and_the_same_tools_run() -> None:
    """B30: a tool call on the phone is answered as any other."""
    rt = Realtime()
    heard: list[str] = []

    @rt.tool
    async def look_up(number: int) -> str:
        """Look up an order."""
        return f"order {number} is on its way"

    @rt.on("connection.opened")
    async def greet(_: object, session: Any) -> None:
        turn = await session.ask("Where is order 7?")
        heard.extend([turn.tool_calls[0].output, turn.text])
        await session.call.hang_up()

    script = ScriptBrain([Step(emit=[Call("look_up", '{"number": 7}')]), Step(emit=[Say("On its way.")])])
    async with Simulator(brain=script, pace=None) as sim, serving(rt, sim) as line:
        call = await line.ring()
        assert (await line.closed.get()).reason == CALL_ENDED
        assert call.state == "ended"
    assert heard == ["order 7 is on its way", "On its way."]


@pytest.mark.parametrize("code", [603, 486, 404])
async def test_a_call_is_refused_with_the_code_of_the_application(sim: Simulator, code: int) -> None:
    """No session is made for it."""

    async def decide(call: IncomingCall) -> Reject:
        return Reject(code)

    async with serving(Realtime(), sim, on_call=decide) as line:
        call = await line.ring()
        await line.drained()
    assert (call.state, call.reject_code) == ("rejected", code)
    assert sim.sessions == []


async def test_a_call_is_accepted_with_what_the_application_decides_for_it(sim: Simulator) -> None:
    """A plain function will do; the rest stays as it is."""
    rt = Realtime(instructions="You are a porter.", voice="cedar")

    def decide(call: IncomingCall) -> dict[str, str]:
        return {"instructions": "You speak French."} if call.header("X-Language") == "fr" else {}

    async with serving(rt, sim, on_call=decide) as line:
        await line.ring(sip_headers={"X-Language": "fr"})
        session = await line.opened.get()
        assert session.config.instructions == "You speak French."
        assert session.config.audio.output.voice == "cedar"
        await session.close()


async def fails(call: IncomingCall) -> None:
    """Decides nothing."""
    raise RuntimeError("the database is away")


@pytest.mark.parametrize("decide", [fails, lambda call: {"no_such_option": 1}, lambda call: {"kind": "translation"}])
async def test_a_decision_that_fails_refuses_the_call_and_is_named(
    sim: Simulator, decide: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """B02: the caller is not left ringing, and the next one is taken."""
    async with serving(Realtime(), sim, on_call=decide) as line:
        call = await line.ring()
        await line.drained()
    assert (call.state, call.reject_code) == ("rejected", 500)
    assert f"call {call.id} is refused: deciding on it failed" in caplog.text


async def test_a_decision_that_does_not_come_refuses_the_call(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody lets a phone ring for ever."""
    monkeypatch.setattr("realtime_events.switchboard.DECISION_TIMEOUT_S", 0.01)

    async def decide(call: IncomingCall) -> None:
        await asyncio.Event().wait()

    async with serving(Realtime(), sim, on_call=decide) as line:
        call = await line.ring()
        await line.drained()
    assert (call.state, call.reject_code) == ("rejected", 480)


async def test_to_more_calls_than_are_held_at_once_the_line_is_busy(sim: Simulator) -> None:
    """B47: those that are held notice nothing, and a place is free again when one has ended."""
    async with serving(Realtime(), sim, most_calls=1, drain_s=0.0) as line:
        first = await line.ring()
        session = await line.opened.get()
        second = await line.ring()
        while second.state == "ringing":
            await asyncio.sleep(0)
        assert (second.state, second.reject_code) == ("rejected", 486)
        first.hang_up()
        await session.wait_closed()
        while line.board.sessions:
            await asyncio.sleep(0)
        third = await line.ring()
        await line.opened.get()
        assert third.state == "active"


async def test_a_call_that_is_told_twice_is_taken_once(sim: Simulator) -> None:
    """B51: under another id of the webhook, too."""
    async with serving(Realtime(), sim, drain_s=0.0) as line:
        call = await line.ring()
        session = await line.opened.get()
        body = b'{"id":"evt_2","type":"realtime.call.incoming","data":{"call_id":"%s"}}' % call.id.encode()
        assert await line.post(body, "wh_other") == 200
        assert line.board.sessions == [session]
        assert call.state == "active"


async def test_a_call_whose_session_is_closed_is_hung_up(sim: Simulator) -> None:
    """Nobody is left talking to a model without its tools."""
    async with serving(Realtime(), sim) as line:
        call = await line.ring()
        await (await line.opened.get()).close()
        await line.drained()
    assert call.state == "ended"


async def test_a_call_to_which_no_session_can_be_attached_is_hung_up(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """B46: it was accepted already; the reason is named, and nothing is left."""

    async def dial(*_: object) -> Any:
        raise TransportError("no route to the host")

    async with serving(Realtime(), sim, dial=dial, connect_retry_s=0) as line:
        call = await line.ring()
        while call.state != "ended":
            await asyncio.sleep(0)
        await line.drained()
        assert line.board.sessions == []
    assert f"call {call.id} has no session: no route to the host" in caplog.text


async def test_a_caller_who_gives_up_before_the_answer_costs_a_line_in_the_log(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """B41: the acceptance is refused, and no session is made."""
    async with serving(Realtime(), sim, on_call=lambda call: sim.calls[0].hang_up()) as line:
        call = await line.ring()
        await line.drained()
    assert call.state == "ended"
    assert sim.sessions == []
    assert f"call {call.id} could not be accepted" in caplog.text


async def test_the_end_of_the_process_waits_for_calls_and_then_hangs_up(sim: Simulator) -> None:
    """B50: one call ends within the grace, the other does not."""
    async with serving(Realtime(), sim, drain_s=0.2) as line:
        first, second = await line.ring(), await line.ring()
        one, two = await line.opened.get(), await line.opened.get()
        draining = asyncio.create_task(line.drained())
        await one.call.hang_up()
        assert (await line.closed.get()).reason == CALL_ENDED
        await draining
        assert line.board.sessions == []
        assert two.is_closed
    assert (first.state, second.state) == ("ended", "ended")


async def test_a_call_on_which_nobody_has_decided_at_the_end_is_refused(sim: Simulator) -> None:
    """B50: the caller is not left ringing."""
    asked = asyncio.Event()

    async def decide(call: IncomingCall) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with serving(Realtime(), sim, on_call=decide, drain_s=0.0) as line:
        call = await line.ring()
        await asked.wait()
        await line.drained()
    assert (call.state, call.reject_code) == ("rejected", 480)


async def test_a_call_whose_acceptance_is_in_doubt_at_the_end_is_hung_up(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B50: the server has accepted it, and its answer has not come."""
    accepted, accept = asyncio.Event(), RestClient.accept_call

    async def never_answers(rest: RestClient, call_id: str, session: Any) -> None:
        await accept(rest, call_id, session)
        accepted.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(RestClient, "accept_call", never_answers)
    async with serving(Realtime(), sim, drain_s=0.0) as line:
        call = await line.ring()
        await accepted.wait()
        assert call.state == "active"
        await line.drained()
    assert call.state == "ended"


async def test_who_is_called_at_the_end_of_the_process_is_not_cut_in_mid_sentence() -> None:
    """B50, G6: the call ends with the last word that the caller hears, before the grace does."""
    rt, happened = Realtime(), list[str]()
    rt.on("output_audio_buffer.stopped", lambda event: happened.append("heard"))
    rt.on("connection.closed", lambda event: happened.append("closed"))

    @rt.on("connection.opened")
    async def greet(_: object, session: Any) -> None:
        await session.respond()

    script = ScriptBrain([Step(emit=[Say("Good morning to you.")])])
    async with Simulator(brain=script, pace=None) as sim, serving(rt, sim, drain_s=2.0) as line:
        began_s = asyncio.get_running_loop().time()
        call = await line.ring()
        session = await line.opened.get()
        await session.wait_for("output_audio_buffer.started")
        await line.drained()
        assert asyncio.get_running_loop().time() - began_s < 1.9
    assert happened == ["heard", "closed"]
    assert call.state == "ended"


async def test_all_calls_are_hung_up_at_the_same_time(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """B50, G6: a hundred take no longer than one."""
    together, hang_up = asyncio.Barrier(3), RestClient.hang_up

    async def with_the_others(rest: RestClient, call_id: str) -> str | None:
        await together.wait()
        return await hang_up(rest, call_id)

    monkeypatch.setattr(RestClient, "hang_up", with_the_others)
    async with serving(Realtime(), sim, drain_s=0.0) as line:
        calls = [await line.ring() for _ in range(3)]
        for _ in calls:
            await line.opened.get()
        await line.drained()
    assert [call.state for call in calls] == ["ended"] * 3


async def test_a_call_that_ends_with_the_grace_is_hung_up_to_the_end(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B50: nobody is left talking to a model without its tools because the hanging up was cancelled."""
    asked, draining, hang_up = asyncio.Event(), asyncio.Event(), RestClient.hang_up

    async def slowly(rest: RestClient, call_id: str) -> str | None:
        asked.set()
        await draining.wait()
        return await hang_up(rest, call_id)

    monkeypatch.setattr(RestClient, "hang_up", slowly)
    async with serving(Realtime(), sim, drain_s=0.0) as line:
        call = await line.ring()
        await (await line.opened.get()).close()
        await asked.wait()
        drained = asyncio.create_task(line.drained())
        for _ in range(20):
            await asyncio.sleep(0)
        draining.set()
        await drained
    assert call.state == "ended"


async def test_while_the_process_ends_nobody_decides_on_a_call_any_more(sim: Simulator) -> None:
    """B50, G6: one on which the application thinks is refused at once, not when the grace is over."""
    asked = asyncio.Event()

    async def decide(call: IncomingCall) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with serving(Realtime(), sim, on_call=decide, drain_s=15.0) as line:
        call = await line.ring()
        await asked.wait()
        began_s = asyncio.get_running_loop().time()
        await line.drained()
        assert asyncio.get_running_loop().time() - began_s < 5.0
    assert (call.state, call.reject_code) == ("rejected", 480)


async def test_after_the_end_no_task_is_left(sim: Simulator) -> None:
    """B46: neither of the calls nor of their sessions."""
    async with serving(Realtime(), sim, drain_s=0.0) as line:
        await line.ring()
        await line.opened.get()
        await line.drained()
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith("realtime_events.")] == []


async def test_other_webhooks_are_handed_on(sim: Simulator) -> None:
    """They are told once, and cost no call."""
    told: asyncio.Queue[Any] = asyncio.Queue()
    async with serving(Realtime(), sim, on_event=told.put) as line:
        assert await line.post(b'{"id": "evt_1", "type": "batch.completed"}', "wh_1") == 200
        event = await told.get()
        assert isinstance(event, UnknownWebhook) and event.type == "batch.completed"
    async with serving(Realtime(), sim) as line:
        assert await line.post(b'{"id": "evt_1", "type": "batch.completed"}', "wh_1") == 200


async def test_a_forged_call_is_not_taken(sim: Simulator) -> None:
    """B51: the signature comes first."""
    async with serving(Realtime(), sim) as line:
        with pytest.raises(aiohttp.ClientResponseError, match="401"):
            await sim.ring(webhook_url=line.url, secret="another secret")
        await line.drained()
    assert [call.state for call in sim.calls] == ["ringing"]


async def test_no_key_and_nothing_of_the_caller_stands_in_a_log_or_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    """B48: searched at DEBUG."""
    caplog.set_level(logging.DEBUG)
    async with (
        Simulator(pace=None, api_key=f"key-{CANARY}") as sim,
        serving(Realtime(), sim, drain_s=0.2, on_call=lambda call: None if call.header("X-Yes") else Reject()) as line,
    ):
        await line.ring(caller=f"sip:{CANARY}@sip.example.com", sip_headers={"X-Yes": CANARY})
        session = await line.opened.get()
        shown = [repr(thing) for thing in (session, session.call, line.board, session.call.sip_headers[0])]
        await line.ring(caller=f"sip:{CANARY}@sip.example.com")
        await line.drained()
    assert CANARY not in caplog.text
    assert CANARY not in "".join(shown)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"secret": None}, "no webhook secret"),
        ({"secret": "s", "no_such_option": 1}, "no_such_option"),
        ({"secret": "s", "endpoint": None}, "no API key"),
    ],
    ids=["no secret", "an unknown name", "no key"],
)
async def test_what_could_never_work_is_refused_when_it_is_made(
    sim: Simulator, settings: dict[str, Any], match: str
) -> None:
    """B14: not when the first caller waits."""
    with pytest.raises(ConfigurationError, match=match):
        Realtime().webhooks(**{"endpoint": sim.endpoint, **settings})


@pytest.mark.parametrize("code", [0, 200, 299, 700])
def test_a_status_that_turns_nobody_away_is_refused(code: int) -> None:
    """RFC 3261 section 21: final answers that are not 2xx."""
    with pytest.raises(ConfigurationError, match=str(code)):
        Reject(code)
