"""What the voice without an engine promises: speech-like audio of the right length, always the same."""

from __future__ import annotations

import subprocess
import sys
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio import PCM16
from realtime_events.simulator.vad import EnergyVad
from realtime_events.simulator.voice import ToneVoice, syllables

TEXT = "It is eighteen degrees and sunny in Bern today, so a light jacket will do. Have a nice day!"


def speech(text: str = TEXT) -> bytes:
    return b"".join(ToneVoice().speak(text))


def test_a_text_lasts_as_long_as_a_person_would_need() -> None:
    """B23: 120 to 200 words a minute."""
    minutes = PCM16.duration_ms(len(speech())) / 60_000
    assert 120 < len(TEXT.split()) / minutes < 200


def test_a_word_is_a_chunk_of_whole_samples() -> None:
    """B23: so that words and audio can be laid side by side."""
    chunks = list(ToneVoice().speak(TEXT))
    assert len(chunks) == len(TEXT.split())
    assert all(chunk and len(chunk) % 2 == 0 for chunk in chunks)


def test_a_full_stop_is_a_longer_pause_than_a_comma() -> None:
    """B23."""
    lengths = [len(speech(f"word{mark} word")) for mark in ("", ",", ".")]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize("text", ["", "   ", "— … !", "\n"])
def test_a_text_without_words_is_not_spoken(text: str) -> None:
    """B23."""
    assert speech(text) == b""


def test_the_audio_does_not_click_and_leaves_room() -> None:
    """B23: no step between samples is larger than the tone's own slope, none is near full scale."""
    samples = array("h", speech())
    assert max(map(abs, samples)) < 16_000
    assert max(abs(after - before) for before, after in pairwise(samples)) < 1_500


def test_the_audio_is_speech_to_the_turn_detection() -> None:
    """B20: two simulators could talk to each other."""
    heard = EnergyVad().feed(speech("Please tell me the weather in Bern.") + PCM16.silence(1_000))
    assert [change.kind for change in heard] == ["started", "stopped"]


def test_another_process_speaks_the_same() -> None:
    """B23: whatever its hash seed is."""
    code = "import sys, zlib; from realtime_events.simulator.voice import ToneVoice; "
    code += f"print(zlib.crc32(b''.join(ToneVoice().speak({TEXT!r}))))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("word", "count"),
    [("hello", 2), ("weather", 2), ("the", 1), ("make", 1), ("table", 1), ("strengths", 1), ("rhythm", 1), ("2024", 4),
     ("東京", 2), ("brr", 1), ("umbrella", 3), ("—", 0)],
)  # fmt: skip
def test_syllables_are_counted_roughly(word: str, count: int) -> None:
    """B23: close enough for a length; "table" has one too few."""
    assert syllables(word) == count


@given(st.text(max_size=60))
def test_any_text_can_be_spoken(text: str) -> None:
    """B23: whole samples, lone surrogates and all."""
    assert len(speech(text)) % 2 == 0
