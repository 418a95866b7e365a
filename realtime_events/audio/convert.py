"""From any format and rate to any other, in a stream.

Owns `Converter`: which of decoding, changing the rate and encoding a pair of formats needs. Knows neither sockets nor
events nor devices. Before it: `formats`, `g711`, `resample`; after it: whoever plays, sends or reads files.

Between rates of a simple ratio (8, 16, 24, 32 and 48 kHz) our own `Resampler` works, whatever is installed: it is exact
and needs no package. Other rates, 44.1 kHz above all, need soxr, from the extra `audio`. soxr's own output depends on
how the audio is cut (it dithers 16-bit samples, and some of its filters look at the length of a chunk), so it gets
floats and blocks of one size.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from ..exceptions import MissingExtra
from .formats import AudioFormat
from .resample import Resampler, is_simple

__all__ = ["Converter"]

_SOXR_BLOCK_MS = 10


class Converter:
    """Changes one stream of audio from one format to another; feed it the stream in chunks of whole samples.

    However the stream is cut, the same bytes come out. With what `flush` gives, the output lasts as long as the input
    and begins where it begins; without it, some milliseconds are still inside.

    Raises:
        MissingExtra: if the ratio of the rates is not simple (44.1 kHz) and the extra `audio` is not installed.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        self._begin()

    def feed(self, data: bytes) -> bytes:
        """Gives the audio of the target format that `data` completes.

        Raises:
            AudioFormatError: if pcm16 has an odd length.
        """
        if self.source == self.target:
            return self.source.check(data)
        pcm = self.source.to_pcm16(data)
        return self.target.from_pcm16(pcm if self._rate is None else self._rate.feed(pcm))

    def flush(self) -> bytes:
        """Gives the rest of the audio; what is fed after it is a new stream."""
        rest = self._rate.flush() if self._rate is not None else b""
        self._begin()
        return self.target.from_pcm16(rest)

    def _begin(self) -> None:
        from_hz, to_hz = self.source.rate, self.target.rate
        self._rate: _RateChange | None = None
        if from_hz != to_hz:
            self._rate = _Aligned(from_hz, to_hz) if is_simple(from_hz, to_hz) else _Soxr(from_hz, to_hz)


class _RateChange(Protocol):
    """Changes the rate of one stream of pcm16, and keeps its length."""

    def feed(self, pcm: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Aligned:
    """A `Resampler` whose delay is taken away at the beginning and given back at the end."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._resampler = Resampler(from_hz, to_hz)
        self._late_bytes = 2 * self._resampler.delay_samples
        self._fed = self._given = 0

    def feed(self, pcm: bytes) -> bytes:
        fresh = self._resampler.feed(pcm)
        late = fresh[self._late_bytes :]
        self._late_bytes -= min(self._late_bytes, len(fresh))
        self._fed += len(pcm) // 2
        self._given += len(late) // 2
        return late

    def flush(self) -> bytes:
        from_hz, to_hz = self._resampler.from_hz, self._resampler.to_hz
        missing = (self._fed * to_hz + from_hz // 2) // from_hz - self._given
        silence = bytes(2 * (2 * self._resampler.delay_samples * from_hz // to_hz))
        return self.feed(silence)[: 2 * missing]


class _Soxr:
    """A stream of the package soxr, fed so that its output depends on the sound alone."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._numpy, soxr = _package("numpy"), _package("soxr")
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
        self._block = 2 * max(1, from_hz * _SOXR_BLOCK_MS // 1000)
        self._rest = b""

    def feed(self, pcm: bytes) -> bytes:
        data = self._rest + pcm
        whole = len(data) - len(data) % self._block
        self._rest = data[whole:]
        return b"".join(self._changed(data[start : start + self._block]) for start in range(0, whole, self._block))

    def flush(self) -> bytes:
        return self._changed(self._rest, last=True)

    def _changed(self, pcm: bytes, *, last: bool = False) -> bytes:
        numpy = self._numpy
        samples = self._stream.resample_chunk(numpy.frombuffer(pcm, "<i2").astype("float32"), last=last)
        return bytes(numpy.clip(numpy.rint(samples), -32768, 32767).astype("<i2").tobytes())


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra("audio", name) from error
