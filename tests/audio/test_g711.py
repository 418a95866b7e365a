"""What G.711 promises: the values of ITU-T G.711, in both directions, for every byte and every sample."""

from __future__ import annotations

import warnings
from array import array
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from realtime_events.exceptions import AudioFormatError

ALL_BYTES = bytes(range(256))
ALL_SAMPLES = list(range(-32768, 32768))
CODECS = [pytest.param(encode_ulaw, decode_ulaw, id="ulaw"), pytest.param(encode_alaw, decode_alaw, id="alaw")]
Codec = Callable[[bytes], bytes]


def pcm(samples: list[int]) -> bytes:
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def samples(data: bytes) -> list[int]:
    return [int.from_bytes(data[place : place + 2], "little", signed=True) for place in range(0, len(data), 2)]


def test_ulaw_decodes_to_the_output_values_of_the_standard() -> None:
    """B26: ITU-T G.711 tables 2a and 2b, whose values count in quarters of the 16-bit range."""
    positive = [8031, 4191, 3999, 2079, 1023, 495, 231, 99, 33, 0]
    wire = [0x80, 0x8F, 0x90, 0x9F, 0xAF, 0xBF, 0xCF, 0xDF, 0xEF, 0xFF]
    assert samples(decode_ulaw(bytes(wire))) == [4 * value for value in positive]
    assert samples(decode_ulaw(bytes(code & 0x7F for code in wire))) == [-4 * value for value in positive]


def test_alaw_decodes_to_the_output_values_of_the_standard() -> None:
    """B26: ITU-T G.711 tables 1a and 1b, whose values count in sixteenths of the 16-bit range, and even bits flip."""
    positive = [4032, 2112, 2016, 1056, 528, 264, 132, 66, 1]
    codes = [0xFF, 0xF0, 0xEF, 0xE0, 0xD0, 0xC0, 0xB0, 0xA0, 0x80]
    assert samples(decode_alaw(bytes(code ^ 0x55 for code in codes))) == [8 * value for value in positive]
    assert samples(decode_alaw(bytes(code ^ 0xD5 for code in codes))) == [-8 * value for value in positive]


def decision_values(starts: list[int], unit: int) -> list[int]:
    """Gives where the 128 intervals begin: 16 equal ones from each start to the next, in pcm16 units."""
    widths = [(after - start) // 16 for start, after in pairwise(starts)]
    return [unit * (start + step * width) for start, width in zip(starts, widths, strict=False) for step in range(16)]


# The starts are the decision values that open a segment in tables 1a and 2a; the last is the virtual one at the end.
# The first interval of µ-law is half as wide as the others of its segment, hence -1.
ULAW_STARTS = [-1, 31, 95, 223, 479, 991, 2015, 4063, 8159]
ALAW_STARTS = [0, 32, 64, 128, 256, 512, 1024, 2048, 4096]


@pytest.mark.parametrize(
    ("encode", "starts", "unit", "inversion"),
    [
        pytest.param(encode_ulaw, ULAW_STARTS, 4, 0x7F, id="ulaw"),
        pytest.param(encode_alaw, ALAW_STARTS, 8, 0x55, id="alaw"),
    ],
)
def test_every_sample_gets_the_code_of_its_interval(
    encode: Codec, starts: list[int], unit: int, inversion: int
) -> None:
    """B26: all 65,536 samples; a negative one on a decision value goes towards zero."""
    begins = decision_values(starts, unit)
    positive = [(bisect_right(begins, sample) - 1 | 0x80) ^ inversion for sample in range(32768)]
    negative = [(bisect_right(begins, -sample - 1) - 1) ^ inversion for sample in range(-32768, 0)]
    assert list(encode(pcm(ALL_SAMPLES))) == negative + positive


@pytest.mark.parametrize(("encode", "decode"), CODECS)
def test_every_byte_survives_decoding_and_encoding(encode: Codec, decode: Codec) -> None:
    """B26: only the two zeros of µ-law may trade places."""
    again = encode(decode(ALL_BYTES))
    assert [(a, b) for a, b in zip(ALL_BYTES, again, strict=True) if a != b] in ([], [(0x7F, 0xFF)])


@pytest.mark.parametrize(
    ("encode", "wire"), [pytest.param(encode_ulaw, 0xFF, id="ulaw"), pytest.param(encode_alaw, 0xD5, id="alaw")]
)
def test_silence_becomes_the_idle_byte(encode: Codec, wire: int) -> None:
    """B26: the positive zero of each law."""
    assert encode(bytes(20)) == bytes([wire]) * 10


def test_a_sample_between_two_values_goes_the_way_of_the_reference_software() -> None:
    """B26: up when positive, towards zero when negative (ITU-T G.191)."""
    assert samples(decode_ulaw(encode_ulaw(pcm([3, 4, -4, -5])))) == [0, 8, 0, -8]
    assert samples(decode_alaw(encode_alaw(pcm([15, 16, -16, -17])))) == [8, 24, -8, -24]


def test_all_values_agree_with_the_former_standard_library() -> None:
    """B26: where `audioop` still exists; its µ-law rounds negative samples another way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="audioop left the standard library in Python 3.13")
    every, positive = array("h", ALL_SAMPLES).tobytes(), array("h", ALL_SAMPLES[32768:]).tobytes()
    assert decode_ulaw(ALL_BYTES) == audioop.ulaw2lin(ALL_BYTES, 2)
    assert decode_alaw(ALL_BYTES) == audioop.alaw2lin(ALL_BYTES, 2)
    assert encode_alaw(every) == audioop.lin2alaw(every, 2)
    assert encode_ulaw(positive) == audioop.lin2ulaw(positive, 2)


@pytest.mark.parametrize("encode", [encode_ulaw, encode_alaw])
def test_half_a_sample_is_refused_with_both_values(encode: Codec) -> None:
    """B16."""
    with pytest.raises(AudioFormatError, match="even number of bytes, got 3 bytes"):
        encode(b"abc")


@given(st.binary(max_size=200), st.integers(0, 200))
def test_pieces_of_audio_convert_like_the_whole(data: bytes, place: int) -> None:
    """B26."""
    assert decode_ulaw(data[:place]) + decode_ulaw(data[place:]) == decode_ulaw(data)
    pcm_data = decode_alaw(data)
    assert encode_alaw(pcm_data[: 2 * place]) + encode_alaw(pcm_data[2 * place :]) == encode_alaw(pcm_data)
