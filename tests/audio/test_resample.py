"""What the resampler promises: the sound stays, what the lower rate cannot hold goes, chunks do not matter."""

from __future__ import annotations

import cmath
import math
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio import Resampler
from realtime_events.exceptions import AudioFormatError

RATES = [
    (24_000, 8_000),
    (8_000, 24_000),
    (48_000, 24_000),
    (24_000, 48_000),
    (16_000, 8_000),
    (24_000, 16_000),
    (16_000, 24_000),
    (32_000, 24_000),
]


def tone(frequency_hz: float, rate_hz: int, *, duration_s: float = 0.5, amplitude: int = 20_000) -> bytes:
    turn = 2 * math.pi * frequency_hz / rate_hz
    return array(
        "h", [round(amplitude * math.sin(turn * place)) for place in range(int(rate_hz * duration_s))]
    ).tobytes()


def amplitude(pcm: bytes, frequency_hz: float, rate_hz: int) -> float:
    """Gives how much of a frequency is in the steady part of the audio."""
    samples = array("h", pcm)[rate_hz // 20 :]
    turn = -2j * math.pi * frequency_hz / rate_hz
    return 2 * abs(sum(sample * cmath.exp(turn * place) for place, sample in enumerate(samples))) / len(samples)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_tone_that_both_rates_hold_keeps_its_strength(from_hz: int, to_hz: int) -> None:
    """B26."""
    heard = Resampler(from_hz, to_hz).feed(tone(1_000, from_hz))
    assert amplitude(heard, 1_000, to_hz) == pytest.approx(20_000, rel=0.01)


@pytest.mark.parametrize("frequency_hz", [4_800, 5_000, 6_000, 7_000, 9_000, 11_000])
def test_a_tone_above_the_lower_rate_is_gone(frequency_hz: int) -> None:
    """B26: 6 or 7 kHz would come back as 2 or 1 kHz without a filter."""
    heard = array("h", Resampler(24_000, 8_000).feed(tone(frequency_hz, 24_000)))[400:]
    assert max(map(abs, heard)) <= 20_000 / 1_000  # 60 dB


def test_a_raised_tone_has_no_mirror_image() -> None:
    """B26: 1 kHz at 8 kHz would mirror to 7 and 9 kHz without a filter."""
    heard = Resampler(8_000, 24_000).feed(tone(1_000, 8_000))
    assert amplitude(heard, 7_000, 24_000) < 20
    assert amplitude(heard, 9_000, 24_000) < 20


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("level", [-32_768, -1, 0, 1, 32_767])
def test_a_constant_stays_that_constant(from_hz: int, to_hz: int, level: int) -> None:
    """B26: silence is silence to the last bit, and full scale does not wrap around."""
    heard = array("h", Resampler(from_hz, to_hz).feed(array("h", [level] * 2_000).tobytes()))
    assert set(heard[-300:]) == {level}


def test_a_square_wave_at_full_scale_is_clipped_and_does_not_wrap_around() -> None:
    """B26: a filter overshoots at an edge, by more than 16 bits can hold."""
    square = array("h", [32_767 if place // 60 % 2 else -32_768 for place in range(6_000)]).tobytes()
    heard = array("h", Resampler(24_000, 8_000).feed(square))[20:]
    assert max(heard) == 32_767
    assert min(heard) == -32_768
    assert max(abs(b - a) for a, b in pairwise(heard)) < 50_000


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@given(data=st.data())
def test_chunks_of_any_size_give_what_the_whole_gives(from_hz: int, to_hz: int, data: st.DataObject) -> None:
    """B26."""
    pcm = data.draw(st.binary(max_size=900))[::-1] * 2
    cuts = sorted(2 * cut for cut in data.draw(st.lists(st.integers(0, len(pcm) // 2), max_size=6)))
    chunked = Resampler(from_hz, to_hz)
    pieces = [chunked.feed(pcm[a:b]) for a, b in zip([0, *cuts], [*cuts, len(pcm)], strict=True)]
    assert b"".join(pieces) == Resampler(from_hz, to_hz).feed(pcm)


def test_the_length_follows_the_rates() -> None:
    """B26: every third sample completes one at a third of the rate."""
    down, up = Resampler(24_000, 8_000), Resampler(8_000, 24_000)
    assert [len(down.feed(bytes(2 * count))) // 2 for count in (1, 1, 1, 4, 2)] == [0, 0, 1, 1, 1]
    assert len(up.feed(bytes(20))) == 60


def test_equal_rates_leave_the_audio_alone() -> None:
    """B26."""
    assert Resampler(8_000, 8_000).feed(b"abcd") == b"abcd"


@pytest.mark.parametrize(("from_hz", "to_hz"), [(0, 8_000), (8_000, -1), (44_100, 24_000), (24_000, 23_999)])
def test_rates_of_no_simple_ratio_are_refused_with_both_values(from_hz: int, to_hz: int) -> None:
    """B16."""
    with pytest.raises(AudioFormatError, match=f"got {from_hz} Hz and {to_hz} Hz"):
        Resampler(from_hz, to_hz)


def test_half_a_sample_is_refused_and_leaves_the_stream_as_it_was() -> None:
    """B16."""
    one, other = Resampler(8_000, 24_000), Resampler(8_000, 24_000)
    pcm = tone(500, 8_000)
    one.feed(pcm[:100])
    with pytest.raises(AudioFormatError, match="got 3 bytes"):
        one.feed(b"abc")
    assert one.feed(pcm[100:]) == other.feed(pcm)[300:]
