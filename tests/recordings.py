"""Recorded speech, its words, and files of audio that are made up."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

from realtime_events.audio import read_wav
from realtime_events.simulator import ClipRecogniser

AUDIO = Path(__file__).parent / "fixtures" / "audio"
WORDS: dict[str, str] = json.loads((AUDIO / "transcripts.json").read_text("utf-8"))
WEATHER, STOP = AUDIO / "weather_bern.wav", AUDIO / "stop.wav"


def ears(*clips: Path) -> ClipRecogniser:
    """Gives ears that know these recordings; by themselves a question and an interruption."""
    known = ClipRecogniser()
    for clip in clips or (WEATHER, STOP):
        known.add(read_wav(clip), WORDS[clip.name])
    return known


def wav(frames: bytes, *, channels: int = 1, sample_bytes: int = 2, rate: int = 24_000) -> bytes:
    """Gives what the standard library writes."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(sample_bytes)
        file.setframerate(rate)
        file.writeframes(frames)
    return target.getvalue()
