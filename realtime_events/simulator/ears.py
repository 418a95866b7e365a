"""The simulator's ears: pcm16 to words.

Owns `Recogniser`, the seam that a real speech engine fills, and `ClipRecogniser`, which knows the recordings it was
given and nothing else. Knows no session and no turn. Before it: `hearing.py`, with the audio of a user item.

A clip is known by how its loudness moves in two bands of the telephone's range, 50 times a second. Correlation does
not care how loud the clip is played, where in the audio it lies, or whether G.711 was in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import mul
from typing import Protocol

from ..audio import Resampler
from ..audio.samples import dot, to_samples
from ..events.base import Struct
from ..exceptions import AudioFormatError

__all__ = ["INAUDIBLE", "ClipRecogniser", "Recogniser"]

INAUDIBLE = "[inaudible]"

_HOP = 160  # samples at 8 kHz: 20 ms
_QUIET = 0.05  # of the loudest frame; below it a clip's ends are silence
_ALIKE = 0.8  # other speech comes to 0.65 at most, the clip through G.711 and noise to 0.9 at least
_CUT = 10  # frames that turn detection may have cut off at either end
_SHORTEST = 8  # frames: anything shorter is alike to too much


class Recogniser(Protocol):
    """Gives the words of speech."""

    def hear(self, pcm: bytes) -> str:
        """Gives the words in pcm16 mono at 24 kHz; `[inaudible]` where there are none to make out."""
        ...


class _Clip(Struct, frozen=True, kw_only=True):
    words: str
    bands: tuple[Sequence[float], ...]  # each with its mean taken out and a length of one

    @property
    def frames(self) -> int:
        return len(self.bands[0])


class _Find(Struct, frozen=True, kw_only=True):
    likeness: float
    start: int
    end: int
    words: str


class ClipRecogniser:
    """Knows the clips that were added, also several in a row; all other audio is `[inaudible]`."""

    def __init__(self) -> None:
        self._clips: list[_Clip] = []

    def add(self, pcm: bytes, words: str) -> None:
        """Makes a clip known: its audio, pcm16 mono at 24 kHz, and its words.

        Raises:
            AudioFormatError: if it has an odd length, or less than 160 ms that are not silence.
        """
        bands = _trimmed(_bands(pcm))
        if len(bands[0]) < _SHORTEST:
            raise AudioFormatError("a clip with at least 160 ms of sound", f"{len(bands[0]) * 20} ms")
        self._clips.append(_Clip(words=words, bands=tuple(map(_unit, bands))))

    def hear(self, pcm: bytes) -> str:
        """Gives the words of the clips in the audio, in their order.

        Raises:
            AudioFormatError: if the length is odd.
        """
        edge = [0.0] * _CUT
        bands = tuple([*edge, *band, *edge] for band in _bands(pcm))
        finds = sorted((find for clip in self._clips for find in _finds(clip, bands)), key=lambda one: -one.likeness)
        kept: list[_Find] = []
        for find in finds:
            if all(find.end <= other.start or other.end <= find.start for other in kept):
                kept.append(find)
        return " ".join(find.words for find in sorted(kept, key=lambda one: one.start)) or INAUDIBLE


def _bands(pcm: bytes) -> tuple[list[float], list[float]]:
    """Gives the loudness below and above 2 kHz in each frame of 20 ms."""
    samples = to_samples(Resampler(24_000, 8_000).feed(pcm)).tolist()
    low: list[float] = []
    high: list[float] = []
    for place in range(0, len(samples) - _HOP, _HOP):
        frame = samples[place : place + _HOP + 1]
        energy, likeness = dot(frame, frame), dot(frame[:-1], frame[1:])
        low.append(math.sqrt(max(energy + likeness, 0)))
        high.append(math.sqrt(max(energy - likeness, 0)))
    return low, high


def _trimmed(bands: tuple[list[float], list[float]]) -> tuple[list[float], list[float]]:
    """Takes the silence off both ends."""
    loudness = list(map(max, *bands))
    sounding = [place for place, level in enumerate(loudness) if level > _QUIET * max(loudness)]
    first, last = (sounding[0], sounding[-1] + 1) if sounding else (0, 0)
    low, high = bands
    return low[first:last], high[first:last]


def _unit(band: Sequence[float]) -> list[float]:
    mean = sum(band) / len(band)
    centred = [level - mean for level in band]
    length = math.sqrt(sum(map(mul, centred, centred))) or 1.0
    return [level / length for level in centred]


def _finds(clip: _Clip, bands: tuple[list[float], ...]) -> Iterator[_Find]:
    """Yields where the clip may be: every place at which all bands move alike."""
    count = clip.frames
    for start in range(len(bands[0]) - count + 1):
        likeness = 1.0
        for own, band in zip(clip.bands, bands, strict=True):
            if likeness > _ALIKE:
                likeness = min(likeness, _likeness(own, band[start : start + count]))
        if likeness > _ALIKE:
            yield _Find(likeness=likeness, start=start, end=start + count, words=clip.words)


def _likeness(own: Sequence[float], heard: Sequence[float]) -> float:
    """Gives the correlation of a clip's band with as much of the audio's, from -1 to 1."""
    mean = sum(heard) / len(heard)
    length = math.sqrt(max(sum(map(mul, heard, heard)) - mean * mean * len(heard), 0.0))
    return sum(map(mul, own, heard)) / length if length > 1.0 else 0.0
