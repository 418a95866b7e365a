"""npm's `@openai/agents-realtime` over WebSocket against the simulator."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_events.audio import PCM16
from realtime_events.simulator import EchoBrain, RuleBrain, Simulator

from .conftest import NOTES, QUESTION, LongWinded, RunNode, Simulate

SCRIPT = "agents_realtime.mjs"


def url_of(sim: Simulator) -> str:
    """Gives the whole URL, because this client adds no model to one that it is given."""
    return f"{sim.url}?model=gpt-realtime-2.1"


async def test_a_text_turn(simulate: Simulate, node: RunNode) -> None:
    async with simulate(brain=EchoBrain()) as sim:
        seen, last = await node(SCRIPT, "text", url_of(sim))
    assert seen["history"] == [["user", "One two three four."], ["assistant", "One two three four."]]
    assert seen["tokens"] > 0
    assert last == {"refused": []}


async def test_an_audio_turn(simulate: Simulate, node: RunNode, recording: Any) -> None:
    async with simulate(brain=EchoBrain()) as sim:
        seen, last = await node(SCRIPT, "audio", url_of(sim), recording("weather_bern.wav"))
    assert seen["history"] == [["user", QUESTION], ["assistant", QUESTION]]
    assert PCM16.duration_ms(seen["bytes"]) > 1_000
    assert last == {"refused": []}


async def test_a_tool_is_called_and_its_result_told(simulate: Simulate, node: RunNode) -> None:
    async with simulate(brain=RuleBrain()) as sim:
        call, seen, last = await node(SCRIPT, "tool", url_of(sim), QUESTION)
    assert call == {"tool": "get_weather", "city": "Bern"}
    assert "23 degrees" in seen["history"][-1][1]
    assert last == {"refused": []}


@pytest.mark.parametrize("approval", ["never", "always"])
async def test_a_hosted_mcp_tool_is_called(simulate: Simulate, node: RunNode, approval: str) -> None:
    async with simulate(brain=RuleBrain(), mcp_servers={"notes": NOTES}) as sim:
        listed, *asked, call, seen, last = await node(
            SCRIPT, "hosted", url_of(sim), approval, "Find the note about apples."
        )
    assert listed == {"tools": ["find_note"]}
    assert asked == ([{"approval": "find_note"}] if approval == "always" else [])
    assert call == {"name": "find_note", "output": "Apples are in the cellar."}
    assert seen["history"][-1] == ["assistant", "Apples are in the cellar."]
    assert last == {"refused": []}


async def test_interrupting_cancels_and_truncates(simulate: Simulate, node: RunNode) -> None:
    async with simulate(brain=LongWinded(), pace=1.0) as sim:
        seen, response, last = await node(SCRIPT, "interrupt", url_of(sim))
    assert (seen["status"], seen["reason"]) == ("cancelled", "client_cancelled")
    assert response["output"] == [seen["item"]]
    assert last == {"refused": []}


async def test_speaking_over_an_answer_interrupts_it(simulate: Simulate, node: RunNode, recording: Any) -> None:
    async with simulate(brain=LongWinded(), pace=1.0) as sim:
        seen, response, last = await node(SCRIPT, "barge_in", url_of(sim), recording("stop.wav"))
    assert (seen["status"], seen["reason"]) == ("cancelled", "turn_detected")
    assert response["output"] == [seen["item"]]
    assert last == {"refused": []}
