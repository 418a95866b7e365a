"""`simulate` with ears, a script and faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from realtime_events import Endpoint, HandshakeError, Realtime
from realtime_events.cli import main
from realtime_events.cli.clips import PACKAGED_WORDS, packaged_clip
from realtime_events.cli.speaking import load_speech, say_to

DATA = Path(__file__).parents[1] / "fixtures" / "audio"


async def heard(start: Any, clip: bytes, *options: str) -> str:
    """Say a clip to a simulator of its own, and give what it understood."""
    async with start("simulate", *options) as server:
        url = (await server.says("ws://")).strip()
        session_config = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        rt = Realtime(endpoint=Endpoint(url=url, api_key="test-key"), session=session_config)
        async with rt.connect() as session:
            [turn] = await say_to(session, clip, silence_ms=1_000, pace=float("inf"))
            return turn.user_text


async def test_the_recording_in_the_package_is_understood(start: Any) -> None:
    """So that any client can hold a spoken turn with nothing installed."""
    assert await heard(start, packaged_clip().pcm) == PACKAGED_WORDS


async def test_other_recordings_are_understood_if_their_words_stand_beside_them(start: Any, folder: Path) -> None:
    recording = (DATA / "stop.wav").read_bytes()
    (folder / "mine.wav").write_bytes(recording)
    (folder / "mine.txt").write_text("Stop, wait a moment.\n")
    assert await heard(start, load_speech(folder / "mine.wav"), "--clip", "mine.wav") == "Stop, wait a moment."


def test_a_recording_without_words_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.wav").write_bytes((DATA / "stop.wav").read_bytes())
    assert main(["simulate", "--clip", str(folder / "mine.wav")]) == 2
    assert "write them to" in capsys.readouterr().err


async def test_a_script_answers_step_by_step(start: Any, folder: Path) -> None:
    script = {"steps": [{"expect": {"user": "Ping"}, "emit": [{"say": "Pong"}]}]}
    (folder / "steps.json").write_text(json.dumps(script))
    async with start("simulate", "--script", "steps.json") as server:
        url = (await server.says("ws://")).strip()
        async with Realtime(endpoint=Endpoint(url=url, api_key="test-key")).connect() as session:
            assert (await session.ask("Ping", timeout=10)).text == "Pong"


async def test_faults_are_taken_from_the_command_line(start: Any) -> None:
    async with start("simulate", "--faults", "refuse=503x1") as server:
        url = (await server.says("ws://")).strip()
        rt = Realtime(endpoint=Endpoint(url=url, api_key="test-key"))
        with pytest.raises(HandshakeError, match="503"):
            await rt.connect(connect_retry_s=0)
        async with rt.connect() as session:
            assert session.id


def test_a_specification_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--faults", "explode"]) == 2
    assert "explode" in capsys.readouterr().err
    assert main(["simulate", "--script", "nowhere.json"]) == 2
    assert "nowhere.json" in capsys.readouterr().err
