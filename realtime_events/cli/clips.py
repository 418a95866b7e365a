"""Recordings whose words the simulator is told, because it understands no other speech without the extra `local`.

Owns where the words of a recording stand. Before it: `simulate`, `run --wav` and `demo`; after it: `ClipRecogniser`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..audio import read_wav
from ..exceptions import ConfigurationError
from .speaking import load_speech

if TYPE_CHECKING:
    from ..simulator import ClipRecogniser

PACKAGED = "weather_bern.wav"
PACKAGED_WORDS = "Hello! What is the weather in Bern today?"


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording and its words: pcm16 mono at 24 kHz that the simulator shall understand."""

    pcm: bytes
    words: str


def packaged_clip() -> Clip:
    """Give the recording that comes with this package."""
    recording = (files("realtime_events.simulator") / "data" / PACKAGED).read_bytes()
    return Clip(read_wav(BytesIO(recording)), PACKAGED_WORDS)


def words_beside(path: Path) -> str | None:
    """Give the words of a recording from the text file of its name; None where there is none."""
    text = path.with_suffix(".txt")
    return " ".join(text.read_text("utf-8").split()) if text.is_file() else None


def clip_of(path: Path) -> Clip:
    """Read a recording and the words beside it.

    Raises:
        ConfigurationError: The recording cannot be read, or nothing beside it says its words.
    """
    words = words_beside(path)
    if words is None:
        raise ConfigurationError(f"{path}: its words are not known; write them to {path.with_suffix('.txt')}")
    return Clip(load_speech(path), words)


def ears(clips: Iterable[Clip]) -> ClipRecogniser:
    """Give a recogniser that understands these recordings."""
    from ..simulator import ClipRecogniser

    recogniser = ClipRecogniser()
    for clip in clips:
        recogniser.add(clip.pcm, clip.words)
    return recogniser
