"""Changing the rate of pcm16 audio by a simple ratio, without any package.

Owns a stateful low-pass resampler between 8, 16, 24 and 48 kHz, and rates like them. Knows neither sockets nor events.
Before it: `g711` or the wire; after it: whoever plays or listens. `convert` joins it with the formats.

A low-pass filter is a convolution, and a convolution is what multiplying two long numbers does to their digits. So
samples are packed as the digits of one big integer, filter taps as those of another, and CPython's multiplication
does the work in C, in under 1 ms for a second of audio at 8 or 24 kHz. Everything is integer
arithmetic, hence exact: audio fed in chunks gives the same bytes as audio fed at once.

To go from 24 to 16 kHz is to raise by 2 and lower by 3 with one filter: a block of 3 input samples gives 2 output
samples. Each place in the output block (`up` of them) sees each place in the input block (`down` of them) through taps
of its own, so that no sample is computed that is thrown away.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from operator import mul

from ..exceptions import AudioFormatError
from .samples import check_pcm16

__all__ = ["Resampler", "is_simple"]

_DIGIT_BYTES = 5
_TAP_BITS = 16  # taps sum to 1 << 16, so bytes 2 and 3 of a digit are the filtered sample
_IN_RANGE = 64  # byte 4 of a digit that fits 16 bits; less is below, more is above. The 64 keeps digits unsigned.
_MIDDLE = (_IN_RANGE << 32) + (1 << (_TAP_BITS - 1))  # the half rounds
_TAPS = 24  # at the lower rate: the filter is 3 ms long at 8 kHz
_MOST_PAIRS = 48  # of places in the blocks, each a multiplication: 44.1 to 24 kHz would need 11,760
_KAISER_BETA = 5.65  # 60 dB of stop band
_FLIP_SIGN = bytes(byte ^ 0x80 for byte in range(256))  # between signed and shifted up by 32768, in the high byte


class Resampler:
    """Changes the rate of one stream of pcm16 audio; feed it the stream in chunks of any even length.

    The rates stand in a simple ratio, such as 3 to 1 or 3 to 2. What the lower rate cannot hold is 60 dB down from 0.6
    of it on (4.8 kHz for 8). The audio comes out about 12 samples of the lower rate later (1.5 ms at 8 kHz).

    Raises:
        AudioFormatError: if the ratio of the rates is not simple.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if not is_simple(from_hz, to_hz):
            raise AudioFormatError("two rates of a simple ratio, such as 3 to 2", f"{from_hz} Hz and {to_hz} Hz")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._up, self._down = _ratio(from_hz, to_hz)
        self._reach = _reach(self._up, self._down)
        self._block = 2 * self._down  # the input bytes that give whole output samples
        self._history = bytes((self._reach - 1) * self._block)
        self._rest = b""

    @property
    def delay_samples(self) -> int:
        """How many samples of the output the audio comes later."""
        if self._up == self._down:
            return 0
        middle = (_length(self._up, self._down) - 1) / 2
        return round((middle - (self._down - 1)) / self._down)

    def feed(self, pcm: bytes) -> bytes:
        """Gives the audio at the new rate that `pcm` completes.

        Raises:
            AudioFormatError: if the length is odd.
        """
        check_pcm16(pcm)
        if self._up == self._down:
            return pcm
        data = self._rest + pcm
        whole = len(data) - len(data) % self._block
        data, self._rest = data[:whole], data[whole:]
        if not data:
            return b""
        data = self._history + data
        self._history = data[len(data) - len(self._history) :]
        return self._filtered(data)

    def _filtered(self, data: bytes) -> bytes:
        blocks, step = len(data) // self._block, 2 * self._up
        packed = [_pack(data, place, self._down) for place in range(self._down)]
        filtered = bytearray(step * (blocks - self._reach + 1))
        for place, taps in enumerate(_taps(self._up, self._down)):
            product = sum(map(mul, packed, taps))
            filtered[2 * place :: step], filtered[2 * place + 1 :: step] = _unpack(product, blocks, self._reach)
        return bytes(filtered)


def is_simple(from_hz: int, to_hz: int) -> bool:
    """Says whether a `Resampler` can go from one rate to the other."""
    if min(from_hz, to_hz) < 1:
        return False
    up, down = _ratio(from_hz, to_hz)
    return up * down <= _MOST_PAIRS


def _ratio(from_hz: int, to_hz: int) -> tuple[int, int]:
    common = math.gcd(from_hz, to_hz)
    return to_hz // common, from_hz // common


def _length(up: int, down: int) -> int:
    """Gives how many taps the filter has, at the rate that both rates divide."""
    return _TAPS * max(up, down)


def _reach(up: int, down: int) -> int:
    """Gives how many input blocks an output block sees, itself among them."""
    last_offset = up * down - 1
    return (_length(up, down) - 1 + (last_offset if min(up, down) > 1 else 0)) // (up * down) + 1


def _pack(data: bytes, place: int, every: int) -> int:
    """Gives every `every`-th sample from `place` on, shifted up by 32768, as the digits of one number."""
    low, high = data[2 * place :: 2 * every], data[2 * place + 1 :: 2 * every]
    digits = bytearray(_DIGIT_BYTES * len(low))
    digits[0::_DIGIT_BYTES] = low
    digits[1::_DIGIT_BYTES] = high.translate(_FLIP_SIGN)
    return int.from_bytes(digits, "little")


def _unpack(product: int, count: int, reach: int) -> tuple[bytes, bytes]:
    """Gives the low and high bytes of the samples in a product of `count` digits: those that saw all taps."""
    digits = (product + _MIDDLE * _ones(count + reach - 1)).to_bytes((count + reach) * _DIGIT_BYTES, "little")
    digits = digits[(reach - 1) * _DIGIT_BYTES : count * _DIGIT_BYTES]
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
def _taps(up: int, down: int) -> tuple[tuple[int, ...], ...]:
    """Gives for each place in an output block the taps of each place in an input block, as the digits of one number.

    They are a sinc in a Kaiser window, cut at half the lower rate. Rounding is made good in the largest tap of each
    output place, so that silence stays silence and a constant stays that constant.
    """
    length = _length(up, down)
    ideal = [_windowed_sinc(place, length, max(up, down)) for place in range(length)]
    return tuple(_taps_of(out, ideal, up, down) for out in range(up))


def _taps_of(out: int, ideal: list[float], up: int, down: int) -> tuple[int, ...]:
    # At the rate that both divide, output place `out` stands at `last`, input place `place` of `ago` blocks before at
    # place * up - ago * up * down, and the tap between them is the one of that distance.
    last = out * down + down - 1
    mine = range(last % up, len(ideal), up)
    whole = dict(zip(mine, _rounded([ideal[at] for at in mine]), strict=True))
    blocks = range(_reach(up, down))
    return tuple(
        _digits([whole.get(last - place * up + ago * up * down, 0) for ago in blocks]) for place in range(down)
    )


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
