"""`openai-agents` against the simulator: it validates every event strictly, and keeps a history of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from realtime_events.audio import PCM16
from realtime_events.simulator import Call, EchoBrain, RuleBrain, Say, ScriptBrain, Simulator
from realtime_events.simulator.scripts import Expect, Step

from .conftest import QUESTION, STORY, LongWinded, Simulate, pieces, speech

agents = pytest.importorskip("agents", reason="openai-agents is not installed; `nox -s interop` installs it")
realtime = pytest.importorskip("agents.realtime", reason="openai-agents has no realtime part here")

TEXT = {"output_modalities": ["text"]}


class Seen:
    """One session of the agents SDK, and every event that it has given."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.events: list[Any] = []
        self._stream = aiter(session)

    async def until(self, name: str, fits: Callable[[Any], object] = lambda event: True) -> Any:
        """Reads to the next event of a name that fits and gives it; an error of any kind fails the test."""
        while True:
            event = await anext(self._stream)
            self.events.append(event)
            assert event.type != "error", event.error
            if event.type == "raw_model_event":
                assert event.data.type not in ("error", "exception"), event.data
            if event.type == name and fits(event):
                return event

    async def server(self, name: str) -> dict[str, Any]:
        """Reads to the next event of the server with this name."""
        found = await self.until("raw_model_event", lambda event: _raw(event).get("type") == name)
        return _raw(found)

    def all(self, name: str) -> list[Any]:
        """Gives the events of a name so far."""
        return [event for event in self.events if event.type == name]

    def said(self, role: str) -> list[str]:
        """Gives what the SDK's history holds of one side, a text for each message."""
        history = self.all("history_updated")[-1].history
        messages = [item for item in history if item.type == "message" and item.role == role]
        parts = [(message.content[0] if message.content else None) for message in messages]
        return [getattr(part, "transcript", None) or getattr(part, "text", None) or "" for part in parts]


def _raw(event: Any) -> dict[str, Any]:
    return event.data.data if event.data.type == "raw_server_event" else {}


@contextlib.asynccontextmanager
async def run(sim: Simulator, agent: Any | None = None, **settings: Any) -> AsyncIterator[Seen]:
    """Starts an agent on a simulator, and waits for its configuration to be in effect."""
    runner = realtime.RealtimeRunner(agent or realtime.RealtimeAgent(name="Ada", instructions="Be brief."))
    config = {
        "url": f"{sim.url}?model=gpt-realtime-2.1",
        "api_key": "test-key",
        "initial_model_settings": {"model_name": "gpt-realtime-2.1", **settings},
    }
    async with await runner.run(model_config=config) as session:
        seen = Seen(session)
        await seen.server("session.updated")
        yield seen
    assert not sim.sessions[0].sent.named("error")


async def test_a_text_turn(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, run(sim, **TEXT) as seen:
        await seen.session.send_message("One two three four.")
        await seen.server("response.done")
        await seen.until("agent_end")
        deltas = [event.data.delta for event in seen.all("raw_model_event") if event.data.type == "output_text_delta"]
        assert "".join(deltas) == "One two three four."
        assert seen.said("user") == ["One two three four."]
        assert seen.said("assistant") == ["One two three four."]


async def test_an_audio_turn_with_semantic_turn_detection(simulate: Simulate) -> None:
    async with simulate(brain=EchoBrain()) as sim, run(sim) as seen:
        assert sim.sessions[0].config.audio.input.turn_detection.type == "semantic_vad"
        for piece in pieces(speech("weather_bern.wav")):
            await seen.session.send_audio(piece)
        await seen.until("audio_end")
        audio = b"".join(event.audio.data for event in seen.all("audio"))
        assert PCM16.duration_ms(len(audio)) > 1_000
        await seen.server("response.done")
        await seen.server("conversation.item.retrieved")
        await seen.session.send_message("And a second turn.")
        await seen.server("response.done")
        await seen.until("agent_end")
        assert seen.said("user") == [QUESTION, "And a second turn."]
        assert seen.said("assistant") == [QUESTION, "And a second turn."]


async def test_a_function_tool_is_called_and_its_result_spoken(simulate: Simulate) -> None:
    asked: list[str] = []

    @agents.function_tool
    def get_weather(city: str) -> str:
        """Tells the current weather in a city."""
        asked.append(city)
        return "Sunny, 23 degrees."

    agent = realtime.RealtimeAgent(name="Ada", instructions="Be brief.", tools=[get_weather])
    async with simulate(brain=RuleBrain()) as sim, run(sim, agent, **TEXT) as seen:
        await seen.session.send_message(QUESTION)
        assert (await seen.until("tool_start")).tool.name == "get_weather"
        assert (await seen.until("tool_end")).output == "Sunny, 23 degrees."
        await seen.until("history_updated", lambda _: any("23 degrees" in text for text in seen.said("assistant")))
        assert asked == ["Bern"]


async def test_a_handoff_changes_the_agent(simulate: Simulate) -> None:
    brain = ScriptBrain(
        [
            Step(expect=Expect(user="pay"), emit=[Call("transfer_to_billing", "{}")]),
            Step(expect=Expect(instructions="You know the bills."), emit=[Say("Billing speaking.")]),
        ]
    )
    billing = realtime.RealtimeAgent(name="Billing", instructions="You know the bills.")
    desk = realtime.RealtimeAgent(name="Desk", instructions="Send people on.", handoffs=[billing])
    async with simulate(brain=brain) as sim, run(sim, desk, **TEXT) as seen:
        await seen.session.send_message("I want to pay.")
        handoff = await seen.until("handoff")
        assert (handoff.from_agent.name, handoff.to_agent.name) == ("Desk", "Billing")
        await seen.until("history_updated", lambda _: "Billing speaking." in seen.said("assistant"))
        brain.assert_done()


async def test_interrupting_cancels_and_truncates(simulate: Simulate) -> None:
    detection = {"turn_detection": {"type": "server_vad", "interrupt_response": False}}
    async with simulate(brain=LongWinded(), pace=1.0) as sim, run(sim, **detection) as seen:
        await seen.session.send_message("Tell me a story.")
        item_id = (await seen.until("audio")).audio.item_id
        await seen.session.interrupt()
        assert (await seen.until("audio_interrupted")).item_id == item_id
        assert (await seen.server("conversation.item.truncated"))["item_id"] == item_id
        response = (await seen.server("response.done"))["response"]
        assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "client_cancelled")
        await seen.server("conversation.item.retrieved")


async def test_speaking_over_an_answer_interrupts_it(simulate: Simulate) -> None:
    brain = ScriptBrain([Step(emit=[Say(STORY)]), Step(expect=Expect(user="stop"), emit=[Say("As you wish.")])])
    async with simulate(brain=brain, pace=1.0) as sim, run(sim, turn_detection={"type": "server_vad"}) as seen:
        await seen.session.send_message("Tell me a story.")
        item_id = (await seen.until("audio")).audio.item_id
        for piece in pieces(speech("stop.wav")):
            await seen.session.send_audio(piece)
        assert (await seen.until("audio_interrupted")).item_id == item_id
        response = (await seen.server("response.done"))["response"]
        assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "turn_detected")
        await seen.until("audio_end", lambda event: event.item_id != item_id)
        brain.assert_done()
