"""Audio in pieces, in time: cutting, pacing, and what came just before.

Owns no clock and never waits: a caller says what time it is and is told how long to wait. Knows neither sockets nor
events. Before it: `formats`; after it: whoever sends.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from ..exceptions import ConfigurationError
from .formats import PCM16, AudioFormat

__all__ = ["Pacer", "PreRoll", "pieces"]


def pieces(
    audio: bytes, format: AudioFormat = PCM16, *, piece_ms: float = 20, silence_ms: float = 0
) -> Iterator[bytes]:
    """Yields audio in pieces of one length, of whole samples; the last may be shorter.

    Args:
        audio: Whole samples of the format.
        format: What they are.
        piece_ms: How long a piece lasts.
        silence_ms: How much silence follows the audio; turn detection hears by it that somebody has ended.

    Raises:
        AudioFormatError: if pcm16 has an odd length.
        ConfigurationError: if a piece would hold no sample.
    """
    size = format.n_bytes(piece_ms)
    if size < 1:
        raise ConfigurationError(f"piece_ms={piece_ms:g} is less than one sample at {format.rate} Hz")
    whole = format.check(audio) + format.silence(silence_ms)
    return (whole[start : start + size] for start in range(0, len(whole), size))


class Pacer:
    """Tells when each piece of a stream is due, so that audio goes out as fast as it sounds.

    What is due is counted from the first piece on, so delays of single pieces never add up; who is late catches up.

    Args:
        pace: The speed relative to real time; infinite never waits.

    Raises:
        ConfigurationError: if the pace is not above zero.
    """

    def __init__(self, pace: float = 1.0) -> None:
        if not pace > 0:
            raise ConfigurationError(f"pace={pace:g} is not above zero")
        self._pace = pace
        self._begun_s: float | None = None
        self._taken_ms = 0.0

    def wait_s(self, now_s: float, piece_ms: float) -> float:
        """Gives how long to wait before the next piece goes out, in seconds; zero if it is due.

        Args:
            now_s: The time of any clock that never goes back.
            piece_ms: How long this piece lasts.
        """
        if self._begun_s is None:
            self._begun_s = now_s
        due_s = self._begun_s + self._taken_ms / 1000 / self._pace
        self._taken_ms += piece_ms
        return max(0.0, due_s - now_s) if math.isfinite(self._pace) else 0.0


class PreRoll:
    """Keeps the last milliseconds of a stream, for whoever begins to listen when somebody already talks.

    Args:
        duration_ms: How much is kept.
        format: What the stream is.
    """

    def __init__(self, duration_ms: float, format: AudioFormat = PCM16) -> None:
        self._format = format
        self._limit = format.n_bytes(duration_ms)
        self._kept: deque[bytes] = deque()
        self._size = 0

    @property
    def duration_ms(self) -> float:
        """How much is kept now."""
        return self._format.duration_ms(self._size)

    def feed(self, audio: bytes) -> None:
        """Takes the next chunk of the stream, and forgets what is too old.

        Raises:
            AudioFormatError: if pcm16 has an odd length.
        """
        self._kept.append(self._format.check(audio))
        self._size += len(audio)
        while self._size > self._limit:
            oldest = self._kept.popleft()
            newer = oldest[self._size - self._limit :]
            self._size -= len(oldest) - len(newer)
            if newer:
                self._kept.appendleft(newer)

    def take(self) -> bytes:
        """Gives what is kept, oldest first, and forgets it."""
        kept = b"".join(self._kept)
        self._kept.clear()
        self._size = 0
        return kept
