"""The `openai` SDK against the simulator: turns, tools and interruptions, as a user of the SDK sees them."""

from __future__ import annotations

import base64
import json

from realtime_events.audio import PCM16, PCMU, Resampler, encode_ulaw
from realtime_events.simulator import EchoBrain, RuleBrain

from .conftest import NOTES, QUESTION, LongWinded, Simulate, speech
from .openai_sdk import MODEL, WEATHER, connect, user


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
