"""The `openai` SDK against the simulator: what a user of the SDK sees."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from realtime_events.audio import PCM16, PCMU, Resampler, encode_ulaw
from realtime_events.simulator import EchoBrain, RuleBrain, Simulator

from .conftest import NOTES, QUESTION, LongWinded, Simulate, pieces, speech

openai = pytest.importorskip("openai", reason="the openai SDK is not installed; `nox -s interop` installs it")
websockets = pytest.importorskip("websockets", reason="the openai SDK needs websockets for the Realtime API")

MODEL = "gpt-realtime-2.1"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Seen:
    """One connection of the SDK, and every event that it has given."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def until(self, *names: str) -> Any:
        """Reads until there was a further event of each name, in any order; gives the last."""
        missing = set(names)
        while True:
            event = await self.connection.recv()
            self.events.append(event)
            assert event.type != "error", event
            missing.discard(event.type)
            if not missing:
                return event

    def all(self, name: str) -> list[Any]:
        """Gives the events of a name so far."""
        return [event for event in self.events if event.type == name]

    @property
    def types(self) -> list[str]:
        """Gives the names of the events, each run of the same name once."""
        names = [event.type for event in self.events]
        return [name for name, before in zip(names, [None, *names], strict=False) if name != before]

    async def ask(self, text: str, **response: Any) -> Any:
        """Sends a text, asks for a response and gives its `response.done`."""
        await self.connection.conversation.item.create(item=user(text))
        await self.connection.response.create(response=response)
        return (await self.until("response.done")).response

    async def speak(self, audio: bytes) -> None:
        """Sends audio as a microphone does."""
        for piece in pieces(audio):
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode())


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def client_of(sim: Simulator, key: str = "test-key") -> Any:
    return openai.AsyncOpenAI(api_key=key, base_url=f"{sim.http_url}/v1", max_retries=0)


@contextlib.asynccontextmanager
async def connect(sim: Simulator, *, key: str = "test-key", **options: Any) -> AsyncIterator[Seen]:
    """Connects the SDK and reads to `session.created`."""
    async with client_of(sim, key) as client, client.realtime.connect(**(options or {"model": MODEL})) as connection:
        seen = Seen(connection)
        await seen.until("session.created")
        yield seen


async def test_connecting_and_updating_the_session(simulate: Simulate) -> None:
    async with simulate() as sim, connect(sim) as seen:
        (created,) = seen.events
        assert created.session.model == MODEL
        assert created.session.audio.input.turn_detection.type == "server_vad"
        await seen.connection.session.update(
            session={
                "type": "realtime",
                "instructions": "Be brief.",
                "output_modalities": ["text"],
                "tools": [WEATHER],
                "audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}},
            }
        )
        session = (await seen.until("session.updated")).session
        assert (session.instructions, session.output_modalities) == ("Be brief.", ["text"])
        assert session.tools[0].name == "get_weather"
        assert session.audio.input.turn_detection.eagerness == "high"
        assert session.audio.output.voice == created.session.audio.output.voice


async def test_a_text_turn(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, connect(sim) as seen:
        response = await seen.ask("One two three four.", output_modalities=["text"])
        assert "".join(event.delta for event in seen.all("response.output_text.delta")) == "One two three four."
        assert response.status == "completed"
        assert response.output[0].content[0].text == "One two three four."
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
        assert seen.types == [
            "session.created",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]


async def test_an_audio_turn_found_by_the_servers_vad(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, connect(sim) as seen:
        transcription = {"transcription": {"model": "gpt-4o-transcribe"}}
        await seen.connection.session.update(session={"type": "realtime", "audio": {"input": transcription}})
        await seen.until("session.updated")
        await seen.speak(speech("weather_bern.wav"))
        await seen.until("response.done", "conversation.item.input_audio_transcription.completed")
        response = seen.all("response.done")[0].response
        started, stopped = seen.all("input_audio_buffer.speech_started"), seen.all("input_audio_buffer.speech_stopped")
        assert [len(started), len(stopped)] == [1, 1]
        assert 0 <= started[0].audio_start_ms < 1_000 < stopped[0].audio_end_ms
        (committed,) = seen.all("input_audio_buffer.committed")
        assert started[0].item_id == stopped[0].item_id == committed.item_id
        (heard,) = seen.all("conversation.item.input_audio_transcription.completed")
        assert (heard.item_id, heard.transcript) == (committed.item_id, QUESTION)
        assert "".join(event.delta for event in seen.all("response.output_audio_transcript.delta")) == QUESTION
        audio = b"".join(base64.b64decode(event.delta) for event in seen.all("response.output_audio.delta"))
        assert PCM16.duration_ms(len(audio)) > 1_000
        assert response.output[0].content[0].transcript == QUESTION
        assert response.usage.output_token_details.audio_tokens > 0


async def test_the_audio_of_an_answer_can_be_retrieved(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, connect(sim) as seen:
        response = await seen.ask("Say that again.")
        sent = b"".join(base64.b64decode(event.delta) for event in seen.all("response.output_audio.delta"))
        await seen.connection.conversation.item.retrieve(item_id=response.output[0].id)
        (part,) = (await seen.until("conversation.item.retrieved")).item.content
        assert base64.b64decode(part.audio) == sent != b""


async def test_a_tool_call_is_answered_by_the_client(simulate: Simulate) -> None:
    async with simulate(brain=RuleBrain()) as sim, connect(sim) as seen:
        await seen.connection.session.update(session={"type": "realtime", "tools": [WEATHER], "tool_choice": "auto"})
        await seen.until("session.updated")
        (call,) = (await seen.ask(QUESTION)).output
        assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Bern"})
        (done,) = seen.all("response.function_call_arguments.done")
        assert (done.name, done.call_id, done.arguments) == (call.name, call.call_id, call.arguments)
        pieces_of_it = seen.all("response.function_call_arguments.delta")
        assert "".join(event.delta for event in pieces_of_it) == call.arguments
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 23 degrees."}
        await seen.connection.conversation.item.create(item=output)
        await seen.connection.response.create()
        answer = (await seen.until("response.done")).response
        assert "23 degrees" in answer.output[0].content[0].transcript


async def test_responses_out_of_band_run_beside_the_conversation(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, connect(sim) as seen:
        for topic in ("first", "second"):
            await seen.connection.response.create(
                response={
                    "conversation": "none",
                    "metadata": {"topic": topic},
                    "output_modalities": ["text"],
                    "input": [user(f"The {topic} topic.")],
                }
            )
        await seen.ask("The conversation itself.", output_modalities=["text"])
        while len(seen.all("response.done")) < 3:
            await seen.until("response.done")
        done = {(event.response.metadata or {}).get("topic"): event.response for event in seen.all("response.done")}
        texts = {topic: response.output[0].content[0].text for topic, response in done.items()}
        assert texts == {"first": "The first topic.", "second": "The second topic.", None: "The conversation itself."}
        assert done["first"].conversation_id is done["second"].conversation_id is None
        assert done[None].conversation_id
        added = [event.item.id for event in seen.all("conversation.item.added")]
        assert done[None].output[0].id in added
        assert done["first"].output[0].id not in added


async def test_cancelling_a_response(simulate: Simulate) -> None:
    async with simulate(brain=LongWinded(), pace=1.0) as sim, connect(sim) as seen:
        await seen.connection.response.create()
        await seen.until("response.output_audio.delta")
        await seen.connection.response.cancel()
        response = (await seen.until("response.done")).response
        assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
        assert response.output[0].status == "incomplete"
        assert len(seen.all("response.output_audio.done")) == 1


async def test_speaking_over_an_answer_cuts_it(simulate: Simulate) -> None:
    async with simulate(brain=LongWinded(), pace=1.0) as sim, connect(sim) as seen:
        await seen.connection.response.create()
        await seen.until("response.output_audio.delta")
        await seen.speak(speech("stop.wav"))
        response = (await seen.until("response.done")).response
        assert (response.status, response.status_details.reason) == ("cancelled", "turn_detected")
        assert "input_audio_buffer.speech_started" in seen.types


async def test_truncating_what_was_not_heard(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, connect(sim) as seen:
        item_id = (await seen.ask("A sentence of some length, said aloud.")).output[0].id
        await seen.connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=500)
        truncated = await seen.until("conversation.item.truncated")
        assert (truncated.item_id, truncated.audio_end_ms) == (item_id, 500)
        await seen.connection.conversation.item.retrieve(item_id=item_id)
        (part,) = (await seen.until("conversation.item.retrieved")).item.content
        assert PCM16.duration_ms(len(base64.b64decode(part.audio))) == 500
        assert not part.transcript


async def test_an_error_names_the_event_at_fault(simulate: Simulate) -> None:
    async with simulate() as sim, connect(sim) as seen:
        await seen.connection.conversation.item.delete(item_id="item_nowhere", event_id="mine")
        event = await seen.connection.recv()
        assert (event.type, event.error.type, event.error.event_id) == ("error", "invalid_request_error", "mine")
        assert "item_nowhere" in event.error.message


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


async def test_a_hosted_mcp_tool_that_must_be_approved(simulate: Simulate) -> None:
    notes = {
        "type": "mcp",
        "server_label": "notes",
        "server_url": "https://notes.example",
        "require_approval": "always",
    }
    async with simulate(brain=RuleBrain(), mcp_servers={"notes": NOTES}) as sim, connect(sim) as seen:
        await seen.connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": [notes]}
        )
        await seen.until("mcp_list_tools.in_progress", "mcp_list_tools.completed", "conversation.item.done")
        (listed,) = [event.item for event in seen.all("conversation.item.done")]
        assert [tool.name for tool in listed.tools] == ["find_note"]
        (request,) = (await seen.ask("Find the note about apples.")).output
        assert (request.type, request.server_label, request.name) == ("mcp_approval_request", "notes", "find_note")
        answer = {"type": "mcp_approval_response", "id": "yes", "approval_request_id": request.id, "approve": True}
        await seen.connection.conversation.item.create(item=answer)
        await seen.until("response.mcp_call.completed")
        done = await seen.until("conversation.item.done")
        assert (done.item.type, done.item.output) == ("mcp_call", "Apples are in the cellar.")
        await seen.connection.response.create()
        response = (await seen.until("response.done")).response
        assert "cellar" in response.output[0].content[0].text


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
            await seen.until("output_audio_buffer.stopped")
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


async def test_a_telephones_audio_both_ways(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, connect(sim) as seen:
        telephone = {"format": {"type": "audio/pcmu"}}
        await seen.connection.session.update(
            session={"type": "realtime", "audio": {"input": telephone, "output": telephone}}
        )
        assert (await seen.until("session.updated")).session.audio.output.format.type == "audio/pcmu"
        await seen.speak(encode_ulaw(Resampler(24_000, 8_000).feed(speech("weather_bern.wav"))))
        response = (await seen.until("response.done")).response
        assert response.output[0].content[0].transcript == QUESTION
        audio = b"".join(base64.b64decode(event.delta) for event in seen.all("response.output_audio.delta"))
        assert PCMU.duration_ms(len(audio)) > 1_000


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
