"""npm's `openai-realtime-api`, a client of the beta dialect, against the simulator."""

from __future__ import annotations

from typing import Any

from realtime_events.audio import PCM16
from realtime_events.simulator import EchoBrain, RuleBrain

from .conftest import QUESTION, LongWinded, RunNode, Simulate, speech

SCRIPT = "openai_realtime_api.mjs"


async def test_a_text_turn(simulate: Simulate, node: RunNode) -> None:
    async with simulate(brain=EchoBrain(), dialect="beta") as sim:
        seen, last = await node(SCRIPT, "text", sim.url)
    assert seen == {"modalities": ["text"], "instructions": "Be brief.", "text": "One two three four."}
    assert last["items"] == [["user", "completed"], ["assistant", "completed"]]


async def test_a_turn_that_the_client_commits(simulate: Simulate, node: RunNode, recording: Any) -> None:
    async with simulate(brain=EchoBrain(), dialect="beta") as sim:
        (seen,) = await node(SCRIPT, "manual", sim.url, recording("weather_bern.wav"))
    assert seen["turn_detection"] is None
    assert seen["transcript"] == QUESTION
    assert seen["samples"] > 24_000


async def test_a_turn_found_by_the_servers_vad(simulate: Simulate, node: RunNode, recording: Any) -> None:
    async with simulate(brain=EchoBrain(), dialect="beta") as sim:
        seen, user = await node(SCRIPT, "vad", sim.url, recording("weather_bern.wav"))
    assert seen["heard"] == seen["transcript"] == user["user"] == QUESTION
    assert seen["samples"] > 24_000
    assert 24_000 < user["samples"] < PCM16.duration_ms(len(speech("weather_bern.wav"))) * 24


async def test_a_tool_is_called_and_its_result_told(simulate: Simulate, node: RunNode) -> None:
    async with simulate(brain=RuleBrain(), dialect="beta") as sim:
        call, seen = await node(SCRIPT, "tool", sim.url, QUESTION)
    assert call == {"tool": "get_weather", "city": "Bern"}
    assert "23 degrees" in seen["text"]


async def test_cancelling_truncates_what_was_not_played(simulate: Simulate, node: RunNode) -> None:
    async with simulate(brain=LongWinded(), dialect="beta", pace=1.0) as sim:
        seen, truncated = await node(SCRIPT, "cancel", sim.url)
    assert seen == {"status": "cancelled", "reason": "client_cancelled"}
    assert truncated == {"mine": True, "samples": 1_200}
