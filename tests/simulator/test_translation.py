"""Translation sessions: audio in, two transcripts and audio out, no turns."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import pytest

from realtime_events.simulator import ClipRecogniser, Organs, ToneVoice
from realtime_events.simulator.brains import EchoBrain
from realtime_events.simulator.setup import SessionSetup
from realtime_events.simulator.translating import SimulatedTranslation

WORDS = "What is the weather like in Bern?"


@pytest.fixture
def translate(connect_to: Any, question: bytes) -> Any:
    """Gives a client of a translation session that knows the question."""
    ears = ClipRecogniser()
    ears.add(question[:-48_000], WORDS)
    organs = Organs(brain=EchoBrain(), voice=ToneVoice(), recogniser=ears, pace=1.0)
    return connect_to(SimulatedTranslation(organs, SessionSetup(kind="translation", model="gpt-realtime-translate")))


def append(client: Any, audio: bytes) -> Any:
    frames = type(client.frames)()
    for start in range(0, len(audio), 9_600):
        piece = base64.b64encode(audio[start : start + 9_600]).decode()
        frames = frames + client.send("session.input_audio_buffer.append", audio=piece)
    return frames


def test_speech_comes_out_as_audio_and_words(translate: Any, question: bytes) -> None:
    frames = append(translate, question) + translate.wait()
    assert frames.one("session.output_transcript.delta")["delta"] == f"[en] {WORDS}"
    assert frames.all("session.input_transcript.delta") == []
    audio = frames.all("session.output_audio.delta")
    assert (audio[0]["sample_rate"], audio[0]["channels"], audio[0]["format"]) == (24_000, 1, "pcm16")
    assert len(base64.b64decode(audio[0]["delta"])) == 9_600
    assert {later["elapsed_ms"] - earlier["elapsed_ms"] for earlier, later in pairwise(audio)} == {200}


def test_the_language_and_the_transcription_can_be_changed(translate: Any, question: bytes) -> None:
    change = {"audio": {"output": {"language": "es"}, "input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
    (frame,) = translate.send("session.update", session=change)
    assert frame["type"] == "session.updated"
    frames = append(translate, question) + translate.wait()
    assert frames.one("session.input_transcript.delta")["delta"] == WORDS
    assert frames.one("session.output_transcript.delta")["delta"] == f"[es] {WORDS}"


def test_nothing_else_can_be_changed(translate: Any) -> None:
    assert translate.refused("session.update", session={"model": "other"})["param"] == "session.model"
    assert translate.refused("session.update", session={"instructions": "x"})["param"] == "session.instructions"
    assert translate.refused("response.create")["param"] == "type"
    assert translate.refused("input_audio_buffer.append", audio="")["param"] == "type"


def test_closing_sends_what_is_left_and_then_closes(translate: Any, question: bytes) -> None:
    append(translate, question[: 48 * 2_600])
    frames = translate.send("session.close") + translate.wait()
    assert frames.types[-1] == "session.closed"
    assert "session.output_audio.delta" in frames.types
    assert translate.session.closing == (1000, "")


def test_whatever_comes_is_answered_with_an_error(translate: Any) -> None:
    (frame,) = translate.raw(b"\xff")
    assert frame["error"]["type"] == "invalid_request_error"
