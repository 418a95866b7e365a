"""`demo`: what a newcomer sees first, and what a program reads from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import realtime_events.simulator
from realtime_events.audio import PCM16, read_wav
from realtime_events.cli import main
from realtime_events.simulator import EchoBrain, Simulator


def demo_as_json(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["demo", "--json", *options]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    told: dict[str, Any] = json.loads(printed.out)
    return told


def test_the_demo_shows_who_said_what_and_the_tool_call(capsys: pytest.CaptureFixture[str]) -> None:
    """B52: the speech, the text, the call with arguments and output, and the answers are on the screen."""
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    assert "Hello! What is the weather in Bern today?" in shown
    assert 'get_weather({"city":"Bern"}) → 18 °C and sunny in Bern' in shown
    assert shown.count("assistant ") == 2
    assert " s of speech" in shown
    assert "first audio" in shown


def test_the_demo_as_json_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """One object with the transcript, the calls, the counts, the audio and the timings; nothing else on stdout."""
    told = demo_as_json(capsys)
    assert list(told) == ["ok", "transcript", "tool_calls", "events", "audio_ms", "timings_ms"]
    assert told["ok"] is True
    assert [line["role"] for line in told["transcript"]] == ["user", "assistant"] * 2
    assert told["transcript"][0]["text"] == "Hello! What is the weather in Bern today?"
    assert told["tool_calls"][0] == {
        "name": "get_weather",
        "arguments": {"city": "Bern"},
        "output": "18 °C and sunny in Bern",
    }
    assert set(told["timings_ms"]) == {"connect", "first_event", "first_audio", "turn"}
    assert all(value > 0 for value in told["timings_ms"].values())


def test_the_demo_counts_the_events_that_its_bot_heard(capsys: pytest.CaptureFixture[str]) -> None:
    """Two turns of two responses each, one of them spoken to: every other count follows from the protocol."""
    events = demo_as_json(capsys)["events"]
    once = ("session.created", "session.updated", "connection.opened", "connection.closed")
    spoken = ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed")
    assert {events[name] for name in once + spoken} == {1}
    assert events["turn.started"] == events["turn.done"] == events["tool.done"] == 2
    assert events["response.created"] == events["response.done"] == 4
    assert "error" not in events


def test_the_demo_writes_the_speech_it_heard(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """`--audio` holds as much audio as the JSON says was received."""
    told = demo_as_json(capsys, "--audio", "out.wav")
    heard = read_wav(folder / "out.wav")
    assert round(PCM16.duration_ms(len(heard))) == told["audio_ms"] > 1_000


def test_a_demo_without_its_tool_call_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that never calls the tool makes `ok` false, a line on stderr, and exit code 1."""

    def forgetful(**settings: Any) -> Simulator:
        return Simulator(brain=EchoBrain(), **settings)

    monkeypatch.setattr(realtime_events.simulator, "Simulator", forgetful)
    assert main(["demo", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ok"] is False
    assert "get_weather was not called for Bern" in printed.err
    assert "Traceback" not in printed.err


def test_speech_that_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is a line, not a traceback."""
    assert main(["demo", "--audio", "nowhere/out.wav"]) == 2
    assert "nowhere" in capsys.readouterr().err


async def test_the_demo_as_a_process_prints_one_object(start: Any) -> None:
    """What a program reads from `python -m realtime_events demo --json` parses as it is."""
    async with start("demo", "--json") as child:
        code, out, err = await child.ends()
    assert (code, err) == (0, "")
    assert json.loads(out)["ok"] is True
