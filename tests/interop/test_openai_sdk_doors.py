"""The `openai` SDK against the simulator: every way in, and every kind of session."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from realtime_events.audio import PCM16
from realtime_events.simulator import EchoBrain, RuleBrain

from .conftest import QUESTION, STORY, Simulate, pieces, speech
from .openai_sdk import MODEL, WEATHER, Seen, client_of, connect, openai, user, websockets


async def test_a_wrong_key_is_refused(simulate: Simulate) -> None:
    async with simulate() as sim:
        with pytest.raises(websockets.exceptions.InvalidStatus, match="401"):
            async with connect(sim, key="another-key"):
                pass


async def test_a_client_secret_brings_its_configuration(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim:
        async with client_of(sim) as client:
            secret = await client.realtime.client_secrets.create(
                session={
                    "type": "realtime",
                    "model": MODEL,
                    "instructions": "Be brief.",
                    "output_modalities": ["text"],
                },
                expires_after={"anchor": "created_at", "seconds": 60},
            )
        assert secret.value.startswith("ek_")
        assert secret.session.instructions == "Be brief."
        async with connect(sim, key=secret.value, model=MODEL) as seen:
            assert seen.events[0].session.instructions == "Be brief."
            assert (await seen.ask("Hello there.")).output[0].content[0].text == "Hello there."


async def test_a_transcription_session(simulate: Simulate) -> None:
    async with simulate() as sim, connect(sim, extra_query={"intent": "transcription"}) as seen:
        assert seen.events[0].session.type == "transcription"
        await seen.connection.session.update(
            session={
                "type": "transcription",
                "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}}},
                "include": ["item.input_audio_transcription.logprobs"],
            }
        )
        await seen.until("session.updated")
        await seen.speak(speech("weather_bern.wav"))
        completed = await seen.until("conversation.item.input_audio_transcription.completed")
        assert completed.transcript == QUESTION
        assert completed.logprobs
        deltas = seen.all("conversation.item.input_audio_transcription.delta")
        assert "".join(event.delta for event in deltas) == QUESTION
        assert completed.usage.type == "tokens"
        assert not seen.all("response.created")


async def test_a_translation_session(simulate: Simulate) -> None:
    async with (
        simulate() as sim,
        client_of(sim) as client,
        client.realtime.translations.connect(model="gpt-realtime-translate") as connection,
    ):
        seen = Seen(connection)
        await seen.until("session.created")
        audio = {"input": {"transcription": {"model": "gpt-realtime-whisper"}}, "output": {"language": "de"}}
        await connection.session.update(session={"audio": audio})
        assert (await seen.until("session.updated")).session.audio.output.language == "de"
        for piece in pieces(speech("weather_bern.wav")):
            await connection.session.input_audio_buffer.append(audio=base64.b64encode(piece).decode())
        await connection.session.close()
        await seen.until("session.closed")
        assert "".join(event.delta for event in seen.all("session.input_transcript.delta")).strip() == QUESTION
        assert "".join(event.delta for event in seen.all("session.output_transcript.delta")).strip()
        spoken = b"".join(base64.b64decode(event.delta) for event in seen.all("session.output_audio.delta"))
        assert PCM16.duration_ms(len(spoken)) > 1_000


@contextlib.asynccontextmanager
async def webhook() -> AsyncIterator[tuple[str, asyncio.Queue[tuple[bytes, dict[str, str]]]]]:
    """Gives a URL, and a queue of the bodies and headers that are posted to it."""
    posted: asyncio.Queue[tuple[bytes, dict[str, str]]] = asyncio.Queue()

    async def take(request: web.BaseRequest) -> web.Response:
        posted.put_nowait((await request.read(), dict(request.headers)))
        return web.Response()

    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", posted
    finally:
        await runner.cleanup()


async def test_a_call_that_rings_is_accepted_joined_and_hung_up(simulate: Simulate) -> None:
    secret = "whsec_" + base64.b64encode(b"test secret").decode()
    async with simulate(brain=EchoBrain()) as sim, client_of(sim) as client, webhook() as (url, posted):
        ringing = await sim.ring(webhook_url=url, secret=secret, sip_headers={"X-Account": "7"})
        event = client.webhooks.unwrap(*(await posted.get()), secret=secret)
        assert (event.type, event.data.call_id) == ("realtime.call.incoming", ringing.id)
        assert {"X-Account": "7"}.items() <= {header.name: header.value for header in event.data.sip_headers}.items()
        await client.realtime.calls.accept(event.data.call_id, type="realtime", model=MODEL, instructions="Be brief.")
        async with connect(sim, call_id=event.data.call_id) as seen:
            assert seen.events[0].session.instructions == "Be brief."
            ringing.press("#")
            assert (await seen.until("input_audio_buffer.dtmf_event_received")).event == "#"
            ringing.say(speech("weather_bern.wav"))
            response = (await seen.until("response.done")).response
            assert response.output[0].content[0].transcript == QUESTION
            await seen.connection.output_audio_buffer.clear()
            assert (await seen.until("output_audio_buffer.cleared")).response_id == response.id
            assert [event.response_id for event in seen.all("output_audio_buffer.started")] == [response.id]
            assert not seen.all("response.output_audio.delta")
            await client.realtime.calls.hangup(event.data.call_id)
            with pytest.raises(websockets.exceptions.ConnectionClosedOK):
                await seen.until("never")
        assert ringing.is_over


async def test_calls_are_rejected_and_referred(simulate: Simulate) -> None:
    async with simulate() as sim, client_of(sim) as client:
        unwanted, misdialled = await sim.ring(), await sim.ring()
        await client.realtime.calls.reject(unwanted.id, status_code=486)
        await client.realtime.calls.accept(misdialled.id, type="realtime")
        await client.realtime.calls.refer(misdialled.id, target_uri="tel:+15550123")
        assert (unwanted.state, unwanted.reject_code) == ("rejected", 486)
        assert (misdialled.state, misdialled.refer_to) == ("referred", "tel:+15550123")
        with pytest.raises(openai.NotFoundError):
            await client.realtime.calls.hangup("rtc_nowhere")


async def test_an_offer_of_webrtc_is_answered(simulate: Simulate) -> None:
    async with simulate() as sim, client_of(sim) as client:
        offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        session = {"type": "realtime", "model": MODEL, "instructions": "Be brief."}
        answer = await client.realtime.calls.create(sdp=offer, session=session)
        assert answer.text.startswith("v=0\r\n")
        call_id = answer.response.headers["Location"].rpartition("/")[2]
        async with connect(sim, call_id=call_id) as seen:
            assert (seen.events[0].session.model, seen.events[0].session.instructions) == (MODEL, "Be brief.")


async def test_the_clients_of_the_beta(simulate: Simulate) -> None:
    async with simulate(brain=RuleBrain(), dialect="beta") as sim:
        urls = {"base_url": f"{sim.http_url}/v1", "websocket_base_url": sim.url.removesuffix("/realtime")}
        async with openai.AsyncOpenAI(api_key="test-key", max_retries=0, **urls) as client:
            made = await client.beta.realtime.sessions.create(
                model="gpt-4o-realtime-preview", instructions="Be brief.", modalities=["text"], tools=[WEATHER]
            )
        key = made.client_secret.value
        async with (
            openai.AsyncOpenAI(api_key=key, max_retries=0, **urls) as client,
            client.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection,
        ):
            seen = Seen(connection)
            session = (await seen.until("session.created")).session
            assert (session.instructions, session.modalities) == ("Be brief.", ["text"])
            (call,) = (await seen.ask(QUESTION)).output
            assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Bern"})
            output = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 23 degrees."}
            await connection.conversation.item.create(item=output)
            await connection.response.create()
            answer = (await seen.until("response.done")).response
            assert answer.output[0].content[0].text == seen.all("response.text.done")[0].text
            assert "23 degrees" in answer.output[0].content[0].text


async def test_the_simulator_by_itself_holds_a_spoken_turn_with_a_tool_and_an_interruption(
    child_environment: dict[str, str],
) -> None:
    arguments = (sys.executable, "-m", "realtime_events", "simulate", "--port", "0")
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*arguments, stdout=pipe, env=child_environment)
    try:
        async with asyncio.timeout(20):
            url = (await server.stdout.readline()).decode().strip()
            base_url = url.replace("ws://", "http://").removesuffix("/realtime")
            async with (
                openai.AsyncOpenAI(api_key="test-key", base_url=base_url) as client,
                client.realtime.connect(model=MODEL) as connection,
            ):
                seen = Seen(connection)
                await connection.session.update(session={"type": "realtime", "tools": [WEATHER]})
                await seen.speak(speech("weather_bern.wav"))
                (call,) = (await seen.until("response.done")).response.output
                assert (call.type, call.name, call.arguments) == ("function_call", "get_weather", '{"city":"Bern"}')
                output = {"type": "function_call_output", "call_id": call.call_id, "output": STORY}
                await connection.conversation.item.create(item=output)
                await connection.response.create()
                await seen.until("response.output_audio.delta")
                await seen.speak(speech("stop.wav"))
                response = (await seen.until("response.done")).response
                assert (response.status, response.status_details.reason) == ("cancelled", "turn_detected")
                server.send_signal(signal.SIGTERM)
                with pytest.raises(websockets.exceptions.ConnectionClosedOK, match="1001"):
                    await seen.until("never")
            assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def test_the_sdk_reconnects_after_the_server_broke_off(simulate: Simulate) -> None:
    codes: list[int] = []
    async with simulate(brain=EchoBrain(), faults="close=1011:response.created") as sim, client_of(sim) as client:

        def heal(event: Any) -> None:
            codes.append(event.close_code)
            sim.set_faults(None)

        names: list[str] = []
        connecting = client.realtime.connect(model=MODEL, on_reconnecting=heal, initial_delay=0.0, max_delay=0.0)
        async with connecting as connection:
            async for event in connection:
                names.append(event.type)
                if event.type == "session.created":
                    await connection.response.create(response={"output_modalities": ["text"]})
                if event.type == "response.done":
                    break
        assert codes == [1011]
        assert names.count("session.created") == len(sim.sessions) == 2


async def test_the_blocking_client_holds_a_turn(simulate: Simulate) -> None:
    def converse(url: str) -> str:
        client = openai.OpenAI(api_key="test-key", base_url=url)
        with client, client.realtime.connect(model=MODEL) as connection:
            connection.conversation.item.create(item=user("Hello from a thread."))
            connection.response.create(response={"output_modalities": ["text"]})
            for event in connection:
                if event.type == "response.done":
                    return str(event.response.output[0].content[0].text)
        return ""

    async with simulate(brain=EchoBrain()) as sim:
        assert await asyncio.to_thread(converse, f"{sim.http_url}/v1") == "Hello from a thread."
