"""What formats promise: exact arithmetic, and both values in every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_events.audio import PCM16, PCMA, PCMU, AudioFormat, read_wav
from realtime_events.exceptions import AudioFormatError

FIXTURES = Path(__file__).parent.parent / "fixtures" / "audio"


@pytest.mark.parametrize(("audio", "bytes_per_ms"), [(PCM16, 48), (PCMU, 8), (PCMA, 8)])
def test_bytes_and_milliseconds_agree(audio: AudioFormat, bytes_per_ms: int) -> None:
    """B16."""
    assert audio.bytes_per_ms == bytes_per_ms
    assert audio.duration_ms(bytes_per_ms * 250) == 250
    assert audio.n_bytes(250) == bytes_per_ms * 250


def test_a_part_of_a_millisecond_is_never_half_a_sample() -> None:
    """B16: 44.1 samples a millisecond."""
    odd_rate = AudioFormat(rate=44_100)
    assert odd_rate.n_bytes(1) == 88
    assert odd_rate.duration_ms(88) == pytest.approx(0.998, abs=0.001)


@pytest.mark.parametrize("audio", [PCM16, PCMU, PCMA])
def test_silence_of_a_format_decodes_to_nearly_nothing(audio: AudioFormat) -> None:
    """B26: A-law has no zero; its smallest value is 8."""
    pcm = audio.to_pcm16(audio.silence(10))
    assert len(pcm) == 2 * 10 * audio.rate // 1000
    assert set(pcm[0::2]) <= {0, 8}
    assert set(pcm[1::2]) == {0}


@pytest.mark.parametrize("audio", [PCM16, PCMU, PCMA])
def test_a_format_reads_what_it_writes(audio: AudioFormat) -> None:
    """B26."""
    once = audio.to_pcm16(audio.from_pcm16(read_wav(FIXTURES / "stop.wav")))
    assert audio.to_pcm16(audio.from_pcm16(once)) == once


def test_pcm16_of_odd_length_is_refused_with_both_values() -> None:
    """B16."""
    assert PCM16.check(b"ab") == b"ab"
    with pytest.raises(AudioFormatError, match="expected pcm16 of an even number of bytes, got 3 bytes"):
        PCM16.check(b"abc")
    assert PCMU.check(b"abc") == b"abc"


def test_an_unknown_format_is_refused_with_both_values() -> None:
    """B16."""
    with pytest.raises(AudioFormatError, match="expected audio/pcm or audio/pcmu or audio/pcma, got 'audio/opus'"):
        AudioFormat(type="audio/opus")
    with pytest.raises(AudioFormatError, match="got 0 Hz"):
        AudioFormat(rate=0)
