"""What formats and WAV files promise: exact arithmetic, and both values in every refusal."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import pytest

from realtime_events.audio import PCM16, PCMA, PCMU, AudioFormat, read_wav, write_wav
from realtime_events.exceptions import AudioFormatError

FIXTURES = Path(__file__).parent.parent / "fixtures" / "audio"


def wav(*, channels: int = 1, sample_bytes: int = 2, rate: int = 24_000, frames: bytes = bytes(48)) -> io.BytesIO:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(sample_bytes)
        file.setframerate(rate)
        file.writeframes(frames)
    target.seek(0)
    return target


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


@pytest.mark.parametrize("name", json.loads((FIXTURES / "transcripts.json").read_text()))
def test_the_recorded_clips_are_read(name: str) -> None:
    """B16: every clip that has a transcript is there."""
    assert PCM16.duration_ms(len(read_wav(FIXTURES / name))) > 1_000


def test_a_file_reads_back_what_was_written(tmp_path: Path) -> None:
    """B16."""
    target = tmp_path / "written.wav"
    write_wav(target, b"abcdef", rate=8_000)
    assert read_wav(target, rate=8_000) == b"abcdef"
    assert read_wav(str(target), rate=8_000) == b"abcdef"


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (wav(channels=2), "expected mono, got 2 channels"),
        (wav(sample_bytes=1), "expected 16-bit samples, got 8-bit samples"),
        (wav(rate=44_100), "expected 24000 Hz, got 44100 Hz"),
        (wav(frames=b""), "expected audio in the file, got none"),
        (io.BytesIO(b""), "expected a WAV file of 16-bit samples, got a file that ends too early"),
        (io.BytesIO(b"ID3 is no WAV file at all"), "expected a WAV file of 16-bit samples, got "),
        (io.BytesIO(wav().getvalue()[:-1]), "expected pcm16 of an even number of bytes, got 47 bytes"),
    ],
)
def test_a_file_that_is_not_as_asked_is_refused_with_both_values(file: io.BytesIO, sentence: str) -> None:
    """B16."""
    with pytest.raises(AudioFormatError, match=sentence):
        read_wav(file)


def test_odd_audio_is_not_written(tmp_path: Path) -> None:
    """B16: and no file is left."""
    with pytest.raises(AudioFormatError, match="got 3 bytes"):
        write_wav(tmp_path / "odd.wav", b"abc")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_an_ordinary_os_error(tmp_path: Path) -> None:
    """B16: nothing is wrong with its format."""
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "missing.wav")
