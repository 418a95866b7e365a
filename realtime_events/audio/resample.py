"""Changing the rate of pcm16 audio by a whole factor, without any package.

Owns a stateful low-pass resampler (24 kHz to 8 kHz and back is what G.711 needs). Knows neither sockets nor events.
Before it: `g711` or the wire; after it: whoever plays or listens.

A low-pass filter is a convolution, and a convolution is what multiplying two long numbers does to their digits. So
samples are packed as the digits of one big integer, filter taps as those of another, and CPython's multiplication
does the work in C, in under 1 ms for a second of audio at 8 or 24 kHz. Everything is integer
arithmetic, hence exact: audio fed in chunks gives the same bytes as audio fed at once.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

from ..exceptions import AudioFormatError
from .samples import check_pcm16

__all__ = ["Resampler"]

_DIGIT_BYTES = 5
_TAP_BITS = 16  # taps sum to 1 << 16, so bytes 2 and 3 of a digit are the filtered sample
_IN_RANGE = 64  # byte 4 of a digit that fits 16 bits; less is below, more is above. The 64 keeps digits unsigned.
_MIDDLE = (_IN_RANGE << 32) + (1 << (_TAP_BITS - 1))  # the half rounds
_TAPS = 24  # per phase: the filter is this long at the lower rate (3 ms at 8 kHz)
_KAISER_BETA = 5.65  # 60 dB of stop band
_FLIP_SIGN = bytes(byte ^ 0x80 for byte in range(256))  # between signed and shifted up by 32768, in the high byte


class Resampler:
    """Changes the rate of one stream of pcm16 audio; feed it the stream in chunks of any even length.

    One rate must be a multiple of the other. What the lower rate cannot hold is 60 dB down from 0.6 of it on (4.8 kHz
    for 8). The audio comes out 12 samples of the lower rate later (1.5 ms at 8 kHz).

    Raises:
        AudioFormatError: if neither rate is a multiple of the other.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if min(from_hz, to_hz) < 1 or max(from_hz, to_hz) % min(from_hz, to_hz):
            raise AudioFormatError("two rates, one a multiple of the other", f"{from_hz} Hz and {to_hz} Hz")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._factor = max(from_hz, to_hz) // min(from_hz, to_hz)
        self._up = to_hz > from_hz
        self._block = 2 if self._up else 2 * self._factor  # the input bytes that give whole output samples
        self._history = bytes((_TAPS - 1) * self._block)
        self._rest = b""

    def feed(self, pcm: bytes) -> bytes:
        """Gives the audio at the new rate that `pcm` completes.

        Raises:
            AudioFormatError: if the length is odd.
        """
        check_pcm16(pcm)
        if self._factor == 1:
            return pcm
        data = self._rest + pcm
        whole = len(data) - len(data) % self._block
        data, self._rest = data[:whole], data[whole:]
        if not data:
            return b""
        data = self._history + data
        self._history = data[-len(self._history) :]
        return self._raise(data) if self._up else self._lower(data)

    def _lower(self, data: bytes) -> bytes:
        """Sums the phases of the input, each through its own taps: one output for `factor` inputs."""
        phases = enumerate(reversed(_taps(self._factor, up=False)))
        product = sum(_pack(data, phase, self._factor) * taps for phase, taps in phases)
        low, high = _unpack(product, len(data) // self._block)
        lowered = bytearray(2 * len(low))
        lowered[0::2], lowered[1::2] = low, high
        return bytes(lowered)

    def _raise(self, data: bytes) -> bytes:
        """Runs the input through each phase of the taps in turn: `factor` outputs for one input."""
        packed, count = _pack(data, 0, 1), len(data) // 2
        step = 2 * self._factor
        raised = bytearray(step * (count - _TAPS + 1))
        for phase, taps in enumerate(_taps(self._factor, up=True)):
            raised[2 * phase :: step], raised[2 * phase + 1 :: step] = _unpack(packed * taps, count)
        return bytes(raised)


def _pack(data: bytes, phase: int, factor: int) -> int:
    """Gives every `factor`-th sample from `phase` on, shifted up by 32768, as the digits of one number."""
    low, high = data[2 * phase :: 2 * factor], data[2 * phase + 1 :: 2 * factor]
    digits = bytearray(_DIGIT_BYTES * len(low))
    digits[0::_DIGIT_BYTES] = low
    digits[1::_DIGIT_BYTES] = high.translate(_FLIP_SIGN)
    return int.from_bytes(digits, "little")


def _unpack(product: int, count: int) -> tuple[bytes, bytes]:
    """Gives the low and high bytes of the samples in a product of `count` samples: those that saw all taps."""
    digits = (product + _MIDDLE * _ones(count + _TAPS - 1)).to_bytes((count + _TAPS) * _DIGIT_BYTES, "little")
    digits = digits[(_TAPS - 1) * _DIGIT_BYTES : count * _DIGIT_BYTES]
    low, high, above = (digits[place::_DIGIT_BYTES] for place in (2, 3, 4))
    if above.count(_IN_RANGE) < len(above):
        low, high = (_saturated(part, above) for part in (low, high))
    return low, high.translate(_FLIP_SIGN)


def _saturated(part: bytes, above: bytes) -> bytes:
    return bytes(
        byte if where == _IN_RANGE else 0xFF * (where > _IN_RANGE) for byte, where in zip(part, above, strict=True)
    )


@lru_cache(maxsize=64)
def _ones(count: int) -> int:
    """Gives the number of `count` digits that are all one."""
    return int.from_bytes(b"\1\0\0\0\0" * count, "little")


@cache
def _taps(factor: int, *, up: bool) -> tuple[int, ...]:
    """Gives the taps of each phase as the digits of one number: a sinc in a Kaiser window, cut at half the lower rate.

    Rounding is made good in the largest tap, so that silence stays silence and a constant stays that constant.
    """
    length = _TAPS * factor
    ideal = [_windowed_sinc(place, length, factor) for place in range(length)]
    phases = [ideal[phase::factor] for phase in range(factor)]
    if up:
        return tuple(_digits(_rounded(phase)) for phase in phases)
    whole = _rounded(ideal)
    return tuple(_digits(whole[phase::factor]) for phase in range(factor))


def _windowed_sinc(place: int, length: int, factor: int) -> float:
    away = place - (length - 1) / 2
    turn = math.pi * away / factor
    sinc = math.sin(turn) / turn if turn else 1.0
    return sinc * _bessel_i0(_KAISER_BETA * math.sqrt(1 - (2 * away / length) ** 2))


def _bessel_i0(x: float) -> float:
    """Gives the modified Bessel function of the first kind, order zero, by its power series."""
    return sum((x / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(25))


def _rounded(taps: list[float]) -> list[int]:
    scale = (1 << _TAP_BITS) / sum(taps)
    rounded = [round(tap * scale) for tap in taps]
    rounded[rounded.index(max(rounded))] += (1 << _TAP_BITS) - sum(rounded)
    return rounded


def _digits(taps: list[int]) -> int:
    return sum(tap << (8 * _DIGIT_BYTES * place) for place, tap in enumerate(taps))
