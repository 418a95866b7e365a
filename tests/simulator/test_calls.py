"""Calls: ringing, answering, the sideband, the caller."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime_events.audio import PCM16
from realtime_events.simulator import EchoBrain, IncomingCall, Say, Simulator, ToneVoice
from realtime_events.simulator.errors import Refusal

from ..hosting import hosted

KEY = {"Authorization": "Bearer test-key"}
ACCEPT = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
SECRET = "whsec_" + base64.b64encode(b"test secret").decode()
OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"


async def post(sim: Simulator, path: str, body: Any = None) -> int:
    """Posts JSON to a call and gives the status."""
    async with aiohttp.ClientSession() as http:
        data = None if body is None else json.dumps(body)
        async with http.post(f"{sim.http_url}/v1/realtime/calls/{path}", data=data, headers=KEY) as answer:
            return answer.status


@contextlib.asynccontextmanager
async def sideband(sim: Simulator, call: IncomingCall) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Joins a call."""
    url = f"{sim.url}?call_id={call.id}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=KEY) as socket:
        yield socket


async def until(socket: aiohttp.ClientWebSocketResponse, name: str) -> list[dict[str, Any]]:
    """Gives the events up to one of this name."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while not events or events[-1]["type"] != name:
            events.append(await socket.receive_json())
    return events


async def test_an_incoming_call_is_told_by_a_signed_webhook() -> None:
    got: list[tuple[bytes, Any]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((await request.read(), request.headers))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with hosted(app) as host, Simulator() as sim:
        call = await sim.ring(webhook_url=f"http://{host.place}/hook", secret=SECRET, sip_headers={"X-Account": "7"})
    ((body, headers),) = got
    event = json.loads(body)
    assert (event["type"], event["object"], event["data"]["call_id"]) == ("realtime.call.incoming", "event", call.id)
    assert {"name": "X-Account", "value": "7"} in event["data"]["sip_headers"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"test secret", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_an_accepted_call_is_joined_by_its_id() -> None:
    async with Simulator(brain=EchoBrain()) as sim:
        call = await sim.ring()
        assert await post(sim, f"{call.id}/accept", ACCEPT) == 200
        async with sideband(sim, call) as socket:
            (created,) = await until(socket, "session.created")
            assert created["session"]["instructions"] == "Be brief."
            call.press("5")
            (pressed,) = await until(socket, "input_audio_buffer.dtmf_event_received")
            assert pressed["event"] == "5"
            assert "event_id" not in pressed


async def test_the_call_goes_on_without_its_sideband() -> None:
    async with Simulator(brain=EchoBrain()) as sim:
        call = await sim.ring()
        await post(sim, f"{call.id}/accept", ACCEPT)
        async with sideband(sim, call) as socket:
            first = (await until(socket, "session.created"))[0]["session"]["id"]
        async with sideband(sim, call) as socket:
            assert (await until(socket, "session.created"))[0]["session"]["id"] == first


async def test_a_second_sideband_takes_the_place_of_the_first() -> None:
    async with Simulator(brain=EchoBrain()) as sim:
        call = await sim.ring()
        await post(sim, f"{call.id}/accept", ACCEPT)
        async with sideband(sim, call) as first:
            await until(first, "session.created")
            async with sideband(sim, call) as second:
                await until(second, "session.created")
                async with asyncio.timeout(5):
                    assert (await first.receive()).data == 1001
                call.press("1")
                await until(second, "input_audio_buffer.dtmf_event_received")


async def test_the_caller_speaks_and_is_answered(question: bytes) -> None:
    async with Simulator(brain=EchoBrain(), pace=None) as sim:
        call = await sim.ring()
        await post(sim, f"{call.id}/accept", ACCEPT)
        async with sideband(sim, call) as socket:
            await until(socket, "session.created")
            call.say(question)
            events = await until(socket, "output_audio_buffer.stopped")
            names = [event["type"] for event in events]
            assert names[0] == "input_audio_buffer.speech_started"
            assert "output_audio_buffer.started" in names
            assert "response.output_audio_transcript.done" in names
            assert "response.output_audio.delta" not in names


async def test_hanging_up_ends_session_and_sideband() -> None:
    async with Simulator() as sim:
        call = await sim.ring()
        await post(sim, f"{call.id}/accept", ACCEPT)
        async with sideband(sim, call) as socket:
            await until(socket, "session.created")
            assert await post(sim, f"{call.id}/hangup") == 200
            async with asyncio.timeout(5):
                assert (await socket.receive()).data == 1000
        assert call.state == "ended"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with sideband(sim, call):
                pass
        assert refused.value.status == 404


async def test_a_call_is_rejected_or_referred() -> None:
    async with Simulator() as sim:
        rejected, referred = await sim.ring(), await sim.ring()
        assert await post(sim, f"{rejected.id}/reject", {"status_code": 486}) == 200
        assert (rejected.state, rejected.reject_code) == ("rejected", 486)
        assert await post(sim, f"{rejected.id}/accept", ACCEPT) == 409
        await post(sim, f"{referred.id}/accept", ACCEPT)
        assert await post(sim, f"{referred.id}/refer", {"target_uri": "mail:x"}) == 400
        assert await post(sim, f"{referred.id}/refer", {"target_uri": "tel:+15550100"}) == 200
        assert (referred.state, referred.refer_to) == ("referred", "tel:+15550100")
        assert await post(sim, "rtc_nobody/hangup") == 404


async def test_an_sdp_offer_is_answered_and_names_the_call() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        form = aiohttp.FormData()
        form.add_field("sdp", OFFER, content_type="application/sdp")
        form.add_field("session", json.dumps(ACCEPT), content_type="application/json")
        async with http.post(f"{sim.http_url}/v1/realtime/calls", data=form, headers=KEY) as answer:
            assert (answer.status, answer.content_type) == (201, "application/sdp")
            assert (await answer.text()).startswith("v=0")
            call_id = answer.headers["Location"].rsplit("/", 1)[-1]
        assert call_id.startswith("rtc_")
        (call,) = sim.calls
        assert call.session is not None
        assert call.session.config.instructions == "Be brief."


async def test_a_raw_offer_needs_a_model() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        url, headers = f"{sim.http_url}/v1/realtime/calls", {**KEY, "Content-Type": "application/sdp"}
        for query, data, status in (("", OFFER, 400), ("?model=m", OFFER, 201), ("?model=m", "hello", 400)):
            async with http.post(f"{url}{query}", data=data, headers=headers) as answer:
                assert answer.status == status


def test_the_output_buffer_is_played_in_real_time(connect: Any) -> None:
    client = connect([Say("One two three four five six seven.")], is_call=True, pace=4.0)
    frames = client.say("count")
    length_s = PCM16.duration_ms(len(b"".join(ToneVoice().speak("One two three four five six seven.")))) / 1000
    assert frames.types.index("response.done") < frames.types.index("output_audio_buffer.stopped")
    assert client.now == pytest.approx(length_s)


def test_the_output_buffer_is_cleared_by_the_client_and_by_the_user(connect: Any, question: bytes) -> None:
    client = connect(is_call=True, pace=4.0)
    assert client.refused("output_audio_buffer.clear")["code"] == "output_audio_buffer_empty"
    client.send("response.create")
    client.send("response.cancel")
    assert client.send("output_audio_buffer.clear").types == ["output_audio_buffer.cleared"]
    client.send("response.create")
    client.wait(0.1)
    frames = client.speak(question)
    assert frames.types[:2] == ["input_audio_buffer.speech_started", "output_audio_buffer.cleared"]


def test_there_are_only_the_keys_of_a_telephone() -> None:
    call = IncomingCall("rtc_1", clock=lambda: 0.0)
    with pytest.raises(Refusal, match="Invalid value: 'x'"):
        call.press("x")
    with pytest.raises(Refusal, match="is ringing, not active"):
        call.press("1")
