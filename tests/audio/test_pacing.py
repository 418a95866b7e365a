"""What pieces, pacing and pre-roll promise: whole samples, no drift, the last milliseconds and no more."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio import PCM16, PCMU, AudioFormat, Pacer, PreRoll, pieces
from realtime_events.exceptions import AudioFormatError, ConfigurationError

FORMATS = st.sampled_from([PCM16, PCMU, AudioFormat(rate=44_100)])


@given(FORMATS, st.integers(0, 3_000), st.sampled_from([1, 7.5, 20, 100]), st.integers(0, 90))
def test_pieces_are_the_audio_and_the_silence_after_it(
    form: AudioFormat, samples: int, piece_ms: float, silence_ms: int
) -> None:
    """B16: each of one length and of whole samples; only the last is shorter."""
    audio = bytes(range(1, 251)) * (samples * form.sample_bytes // 250 + 1)
    audio = audio[: samples * form.sample_bytes]
    cut = list(pieces(audio, form, piece_ms=piece_ms, silence_ms=silence_ms))
    assert b"".join(cut) == audio + form.silence(silence_ms)
    assert {len(piece) for piece in cut[:-1]} <= {form.n_bytes(piece_ms)}
    assert all(0 < len(piece) <= form.n_bytes(piece_ms) for piece in cut)


def test_pieces_of_half_a_sample_are_refused() -> None:
    """B16: before the first one is asked for."""
    with pytest.raises(AudioFormatError, match="got 3 bytes"):
        pieces(b"abc")
    with pytest.raises(ConfigurationError, match="piece_ms=0.01 is less than one sample at 24000 Hz"):
        pieces(b"ab", piece_ms=0.01)


@pytest.mark.parametrize("pace", [0.5, 1.0, 4.0])
def test_pieces_are_due_at_their_place_in_the_sound_however_late_single_ones_go_out(pace: float) -> None:
    """B16: a delay is caught up and never adds up."""
    pacer, now_s = Pacer(pace), 100.0
    for number in range(500):
        now_s += pacer.wait_s(now_s, 20)
        assert now_s == pytest.approx(100 + number * 0.02 / pace)
        now_s += 0.015 / pace * (number % 2)  # the sending of every other piece takes long
    assert pacer.wait_s(now_s + 60, 20) == 0
    assert pacer.wait_s(now_s, 20) > 0


def test_an_infinite_pace_never_waits() -> None:
    """B16: as fast as the connection takes it."""
    pacer = Pacer(math.inf)
    assert [pacer.wait_s(5.0, 20) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("pace", [0, -1, math.nan])
def test_a_pace_that_never_arrives_is_refused(pace: float) -> None:
    """B16."""
    with pytest.raises(ConfigurationError, match=f"pace={pace:g} is not above zero"):
        Pacer(pace)


@given(st.lists(st.binary(max_size=60).map(lambda half: half + half), max_size=12), st.integers(0, 3))
def test_a_pre_roll_keeps_the_last_milliseconds_and_no_more(chunks: list[bytes], duration_ms: int) -> None:
    """B16: whatever the chunks, to the sample."""
    kept, limit = PreRoll(duration_ms), PCM16.n_bytes(duration_ms)
    for chunk in chunks:
        kept.feed(chunk)
        assert kept.duration_ms <= duration_ms
    whole = b"".join(chunks)
    assert kept.take() == whole[len(whole) - min(limit, len(whole)) :]
    assert kept.take() == b""
    assert kept.duration_ms == 0


def test_a_pre_roll_refuses_half_a_sample_and_keeps_what_it_had() -> None:
    """B16."""
    kept = PreRoll(100)
    kept.feed(b"ab")
    with pytest.raises(AudioFormatError, match="got 3 bytes"):
        kept.feed(b"abc")
    assert kept.take() == b"ab"
