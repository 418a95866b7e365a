"""The input audio buffer: what the client appended and nobody committed yet.

Owns the bytes, their place on the clock of the session's audio, and their conversion to what ears understand. Knows
no event and no turn. Before it: `listening.py`, which feeds it; after it: the same, which cuts turns out of it.
"""

from __future__ import annotations

from ..audio import PCM16, AudioFormat, Resampler
from .errors import Refusal

APPEND_LIMIT_BYTES = 15 * 1024 * 1024
BUFFER_LIMIT_BYTES = 32 * 1024 * 1024
SHORTEST_COMMIT_MS = 100


class Decoder:
    """Turns a stream of one wire format into pcm16 at 24 kHz, whatever its chunks."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._resampler = Resampler(audio_format.rate, PCM16.rate)
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Give the pcm that this piece completes; half a sample waits for its other half."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if odd := len(data) % self._format.sample_bytes:
            data, self._rest = data[:-odd], data[-odd:]
        return self._resampler.feed(self._format.to_pcm16(data))


class Encoder:
    """Turns a stream of pcm16 at 24 kHz into one wire format."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._resampler = Resampler(PCM16.rate, audio_format.rate)

    def feed(self, pcm: bytes) -> bytes:
        """Give the wire's bytes that this piece completes."""
        return self._format.from_pcm16(self._resampler.feed(pcm))


class InputAudio:
    """Audio of the wire, with the millisecond of the session's audio at which the kept part begins."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._data = bytearray()
        self._begin_ms = 0.0

    @property
    def begin_ms(self) -> float:
        """Where the kept audio begins."""
        return self._begin_ms

    @property
    def end_ms(self) -> float:
        """How much audio the session has been sent, kept or not."""
        return self._begin_ms + self.kept_ms

    @property
    def kept_ms(self) -> float:
        """How much audio is kept."""
        return self.audio_format.duration_ms(len(self._data))

    def append(self, data: bytes) -> None:
        """Keep more audio.

        Raises:
            Refusal: There is too much of it.
        """
        if len(data) > APPEND_LIMIT_BYTES:
            raise Refusal(
                f"Invalid 'audio': too large. Expected at most {APPEND_LIMIT_BYTES} bytes, but got {len(data)} bytes.",
                code="audio_above_max_length",
                param="audio",
            )
        if len(self._data) + len(data) > BUFFER_LIMIT_BYTES:
            raise Refusal("The input audio buffer is full.", code="input_audio_buffer_full", param="audio")
        self._data += data

    def take(self, until_ms: float | None = None) -> bytes:
        """Take the kept audio out, or its part before a millisecond."""
        count = len(self._data) if until_ms is None else self._bytes_before(until_ms)
        taken = bytes(self._data[:count])
        self._drop(count)
        return taken

    def peek(self, from_ms: float) -> bytes:
        """Give a copy of the kept audio from a millisecond on."""
        return bytes(self._data[self._bytes_before(from_ms) :])

    def forget_before(self, ms: float) -> None:
        """Drop what lies before a millisecond."""
        self._drop(self._bytes_before(ms))

    def change_format(self, audio_format: AudioFormat) -> None:
        """Go on in another format; what was kept is dropped, for it cannot be read as the new one."""
        self._drop(len(self._data))
        self.audio_format = audio_format

    def _bytes_before(self, ms: float) -> int:
        return min(len(self._data), self.audio_format.n_bytes(max(ms - self._begin_ms, 0)))

    def _drop(self, count: int) -> None:
        self._begin_ms += self.audio_format.duration_ms(count)
        del self._data[:count]
