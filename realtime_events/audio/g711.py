"""G.711: the two ways a telephone writes a sample in one byte.

Owns µ-law (`audio/pcmu`) and A-law (`audio/pcma`), both ways, to and from pcm16 little-endian bytes. Knows no rate:
G.711 is spoken at 8 kHz, but a byte is a sample at any. Before it: bytes of the wire; after it: `resample`.

The encoder follows the decision values of ITU-T G.711 (tables 1a to 2b). A sample exactly on one goes up when positive
and towards zero when negative, as in the ITU's own software (G.191). Python's former `audioop.lin2ulaw` rounded
negative samples to 14 bits first, and so put 508 of them one step too low.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

from .samples import check_pcm16, from_samples, to_samples

__all__ = ["decode_alaw", "decode_ulaw", "encode_alaw", "encode_ulaw"]

_Level = Callable[[int], tuple[int, int]]  # code of a positive magnitude, 0 to 127 -> (first sample, output value)


def decode_ulaw(data: bytes) -> bytes:
    """Gives the pcm16 bytes of µ-law bytes, two for each."""
    return _decode(data, _ulaw_planes())


def decode_alaw(data: bytes) -> bytes:
    """Gives the pcm16 bytes of A-law bytes, two for each."""
    return _decode(data, _alaw_planes())


def encode_ulaw(pcm: bytes) -> bytes:
    """Gives the µ-law bytes of pcm16 bytes, one for each sample.

    Raises:
        AudioFormatError: if the length is odd.
    """
    return _encode(pcm, _ulaw_codes())


def encode_alaw(pcm: bytes) -> bytes:
    """Gives the A-law bytes of pcm16 bytes, one for each sample.

    Raises:
        AudioFormatError: if the length is odd.
    """
    return _encode(pcm, _alaw_codes())


def _decode(data: bytes, planes: tuple[bytes, bytes]) -> bytes:
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(planes[0])
    pcm[1::2] = data.translate(planes[1])
    return bytes(pcm)


def _encode(pcm: bytes, codes: bytes) -> bytes:
    check_pcm16(pcm)
    # A negative sample indexes the table from its end, where the codes of negative samples are.
    return bytes(map(codes.__getitem__, to_samples(pcm)))


def _ulaw_level(code: int) -> tuple[int, int]:
    """Gives where the interval of a µ-law magnitude begins and what it decodes to, in pcm16 units."""
    segment, step = divmod(code, 16)
    value = (((step << 3) + 132) << segment) - 132
    return max(value - (4 << segment), 0), value


def _alaw_level(code: int) -> tuple[int, int]:
    """Gives where the interval of an A-law magnitude begins and what it decodes to, in pcm16 units."""
    segment, step = divmod(code, 16)
    width = 16 << max(segment - 1, 0)
    first = step * width + (256 << (segment - 1) if segment else 0)
    return first, first + width // 2


def _outputs(level: _Level, inversion: int) -> Iterator[tuple[int, int]]:
    """Yields (wire byte, pcm16 value) for all 256 codes; on the wire some bits are inverted."""
    for code in range(128):
        value = level(code)[1]
        yield (code | 0x80) ^ inversion, value
        yield code ^ inversion, -value


def _planes(level: _Level, inversion: int) -> tuple[bytes, bytes]:
    """Gives the low and the high byte of each code's value as two tables for `bytes.translate`."""
    values = [value for _, value in sorted(_outputs(level, inversion))]
    pcm = from_samples(values)
    return pcm[0::2], pcm[1::2]


def _codes(level: _Level, inversion: int) -> bytes:
    """Gives the wire byte of every sample: 0 to 32767, then -32768 to -1."""
    edges = [level(code)[0] for code in range(128)] + [32768]
    widths = [last - first for first, last in pairwise(edges)]
    positive = b"".join(bytes([(code | 0x80) ^ inversion]) * width for code, width in enumerate(widths))
    negative = b"".join(bytes([code ^ inversion]) * width for code, width in enumerate(widths))
    return positive + negative[::-1]


# µ-law inverts all bits but the sign, which is set for positive samples (so zero is 0xFF); A-law inverts the even ones.
_ULAW_INVERSION = 0x7F
_ALAW_INVERSION = 0x55


@cache
def _ulaw_planes() -> tuple[bytes, bytes]:
    return _planes(_ulaw_level, _ULAW_INVERSION)


@cache
def _alaw_planes() -> tuple[bytes, bytes]:
    return _planes(_alaw_level, _ALAW_INVERSION)


@cache
def _ulaw_codes() -> bytes:
    return _codes(_ulaw_level, _ULAW_INVERSION)


@cache
def _alaw_codes() -> bytes:
    return _codes(_alaw_level, _ALAW_INVERSION)
