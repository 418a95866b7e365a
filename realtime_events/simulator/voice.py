"""The simulator's voice: text to pcm16 chunks.

Owns `Voice`, the seam that a real speech engine fills, and `ToneVoice`, which needs no engine. Knows no session, pace
or format of the wire: whoever speaks cuts, paces and encodes the chunks.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Protocol

from ..audio import PCM16
from ..audio.samples import from_samples

__all__ = ["ToneVoice", "Voice", "syllables"]

_SYLLABLE_MS = 190  # with the pauses 150 to 200 words a minute
_WORD_PAUSE_MS = 40
_PAUSES_MS = {",": 160, ";": 200, ":": 200, ".": 320, "!": 320, "?": 320, "…": 320}
_EDGE_MS = 25  # each tone swells and fades, so that nothing clicks
_AMPLITUDE = 7_000
_PARTIALS = (1.0, 0.45, 0.2)  # a little of the octave and the twelfth make it less of a whistle
_PITCHES_HZ = (146.8, 164.8, 174.6, 196.0, 220.0, 246.9, 261.6)
_VOWELS = re.compile(r"[aeiouyà-öø-ÿ]+", re.IGNORECASE)
_OWN_SYLLABLE = re.compile(r"[0-9぀-ヿ㐀-鿿가-힯]")  # digits, kana, ideographs, hangul
_SILENT_E = re.compile(r"[^aeiouy](?:e|es|ed)$", re.IGNORECASE)


class Voice(Protocol):
    """Speaks a text."""

    def speak(self, text: str) -> Iterable[bytes]:
        """Gives the text's speech in chunks of pcm16 mono at 24 kHz, each of whole samples, in order."""
        ...


class ToneVoice:
    """A tone for each syllable: speech of the right length and rhythm, made of nothing.

    The same text sounds the same in every process, and one chunk is one word with the pause after it.
    """

    def speak(self, text: str) -> Iterator[bytes]:
        """Gives one chunk of pcm16 mono at 24 kHz for each word; none for a text without words."""
        for word in text.split():
            pause_ms = _PAUSES_MS.get(word.rstrip("\"')]”’")[-1:], _WORD_PAUSE_MS)
            tones = b"".join(_tone(pitch) for pitch in _melody(word))
            if tones:
                yield tones + PCM16.silence(pause_ms)


def syllables(word: str) -> int:
    """Gives how many syllables an English word has, roughly; a digit or an ideograph counts as one of its own."""
    if not any(map(str.isalnum, word)):
        return 0
    vowels = len(_VOWELS.findall(word))
    if vowels > 1 and _SILENT_E.search(word.rstrip(".,;:!?…\"')")):
        vowels -= 1
    return max(vowels + len(_OWN_SYLLABLE.findall(word)), 1)


def _melody(word: str) -> Iterator[int]:
    """Yields the place of each syllable's pitch; the letters choose where the word begins."""
    begin = zlib.crc32(word.encode("utf-8", "replace"))
    return ((begin + 2 * place) % len(_PITCHES_HZ) for place in range(syllables(word)))


@cache
def _tone(pitch: int) -> bytes:
    """Gives one syllable at a pitch, swelling and fading."""
    count = PCM16.n_bytes(_SYLLABLE_MS) // 2
    edge = PCM16.n_bytes(_EDGE_MS) // 2
    turn = 2 * math.pi * _PITCHES_HZ[pitch] / PCM16.rate
    samples: list[int] = []
    for place in range(count):
        wave = sum(part * math.sin(turn * place * (order + 1)) for order, part in enumerate(_PARTIALS))
        near = min(place / edge, (count - 1 - place) / edge, 1.0)
        samples.append(round(_AMPLITUDE * wave * math.sin(near * math.pi / 2) ** 2))
    return from_samples(samples)
