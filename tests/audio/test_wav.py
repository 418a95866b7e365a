"""What WAV files promise: what is read is read whole, and every refusal has both values."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio import PCM16, PCMA, PCMU, AudioFormat, load_audio, read_wav, write_wav
from realtime_events.exceptions import AudioFormatError, RealtimeError

from ..recordings import AUDIO, WORDS, wav

PCM_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
SAMPLES = bytes(range(48))


def chunk(name: bytes, body: bytes, *, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fmt(*, encoding: int = 1, bits: int = 16, rate: int = 24_000, extra: bytes = b"") -> bytes:
    sample_bytes = bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", encoding, 1, rate, rate * sample_bytes, sample_bytes, bits) + extra)


def extensible(encoding: int, bits: int = 16) -> bytes:
    return fmt(encoding=0xFFFE, bits=bits, extra=struct.pack("<HHIH", 22, bits, 4, encoding) + PCM_GUID_TAIL)


@pytest.mark.parametrize("name", WORDS)
def test_the_recorded_clips_are_read_as_the_standard_library_reads_them(name: str) -> None:
    """B16: every clip that has a transcript is there."""
    pcm = read_wav(AUDIO / name)
    with wave.open(str(AUDIO / name), "rb") as file:
        assert pcm == file.readframes(file.getnframes())
    assert PCM16.duration_ms(len(pcm)) > 1_000


def test_a_file_reads_back_what_was_written(tmp_path: Path) -> None:
    """B16."""
    target = tmp_path / "written.wav"
    write_wav(target, b"abcdef", rate=8_000)
    assert read_wav(target, rate=8_000) == b"abcdef"
    assert read_wav(str(target), rate=8_000) == b"abcdef"
    with target.open("rb") as opened:
        assert read_wav(opened, rate=8_000) == b"abcdef"


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(riff(extensible(1), chunk(b"data", SAMPLES)), id="extensible header"),
        pytest.param(riff(chunk(b"LIST", b"odd"), fmt(), chunk(b"fact", b"1234"), chunk(b"data", SAMPLES)), id="notes"),
        pytest.param(riff(fmt(), chunk(b"data", SAMPLES), chunk(b"LIST", b"after")), id="notes after the samples"),
        pytest.param(riff(fmt(), chunk(b"data", SAMPLES, size=0xFFFFFFFF)), id="written to a pipe"),
        pytest.param(riff(fmt(), chunk(b"data", SAMPLES, size=0)), id="never closed"),
    ],
)
def test_a_16_bit_file_is_read_however_it_was_written(file: bytes) -> None:
    """B16: a program that writes to a pipe cannot go back and fill in the size."""
    assert read_wav(io.BytesIO(file)) == SAMPLES


@pytest.mark.parametrize(
    ("file", "expected", "got"),
    [
        pytest.param(wav(SAMPLES, channels=2), "mono", "2 channels", id="stereo"),
        pytest.param(wav(SAMPLES, sample_bytes=1), "16-bit samples", "8-bit pcm samples", id="8 bits"),
        pytest.param(wav(SAMPLES, sample_bytes=3), "16-bit samples", "24-bit pcm samples", id="24 bits"),
        pytest.param(riff(fmt(encoding=3, bits=32), chunk(b"data", SAMPLES)), "16-bit samples", "32-bit float samples"),
        pytest.param(riff(extensible(3, 32), chunk(b"data", SAMPLES)), "16-bit samples", "32-bit float samples"),
        pytest.param(riff(fmt(encoding=7, bits=8), chunk(b"data", SAMPLES)), "16-bit samples", "8-bit µ-law samples"),
        pytest.param(riff(fmt(encoding=0x55, bits=0), chunk(b"data", SAMPLES)), "16-bit samples", "0-bit encoding 85"),
        pytest.param(wav(SAMPLES, rate=44_100), "24000 Hz", "44100 Hz", id="another rate"),
        pytest.param(riff(fmt(rate=0), chunk(b"data", SAMPLES)), "a rate of 1000 to 768000 Hz", "0 Hz", id="no rate"),
        pytest.param(wav(b""), "audio in the file", "none", id="no audio"),
        pytest.param(wav(SAMPLES)[:-1], "48 bytes of audio", "47 bytes", id="cut by a byte"),
        pytest.param(wav(SAMPLES)[:-24], "48 bytes of audio", "24 bytes", id="cut in half"),
        pytest.param(riff(fmt(), chunk(b"data", b"abc")), "even number of bytes", "3 bytes", id="odd"),
        pytest.param(riff(fmt()), "16-bit samples", "a file that ends before its samples", id="header only"),
        pytest.param(riff(fmt(), b"da"), "16-bit samples", "a file that ends before its samples", id="cut chunk"),
        pytest.param(riff(chunk(b"LIST", b"ab", size=90)), "90 more bytes", "ends too early", id="cut note"),
        pytest.param(riff(chunk(b"data", SAMPLES)), "16-bit samples", "samples before their format", id="no format"),
        pytest.param(riff(chunk(b"fmt ", b"short"), chunk(b"data", b"ab")), "16-bit samples", "a format of 5 bytes"),
        pytest.param(b"", "a WAV file of 16-bit samples", "an empty file", id="empty"),
        pytest.param(b"RIF", "a WAV file of 16-bit samples", "a file that ends too early", id="three bytes"),
        pytest.param(b"RIFF\x24\0\0\0AVI ", "a WAV file of 16-bit samples", "a file that begins with", id="a film"),
        pytest.param(b"Dear diary, today", "a WAV file of 16-bit samples", "begins with b'Dear diary, '", id="text"),
    ],
)
def test_a_file_that_is_not_as_asked_is_refused_with_both_values(file: bytes, expected: str, got: str) -> None:
    """B16."""
    with pytest.raises(AudioFormatError) as refused:
        read_wav(io.BytesIO(file))
    assert expected in refused.value.expected
    assert got in refused.value.got


@given(st.integers(0, 90), st.binary(max_size=12))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(place: int, damage: bytes) -> None:
    """B16: any bytes anywhere in the header or the samples."""
    file = wav(SAMPLES)
    try:
        assert len(load_audio(io.BytesIO(file[:place] + damage + file[place + len(damage) :])))
    except RealtimeError as error:
        assert str(error)


def test_a_file_of_another_rate_is_changed_on_request(tmp_path: Path) -> None:
    """B16: and lasts as long as before."""
    path = tmp_path / "low.wav"
    write_wav(path, bytes(16_000), rate=8_000)
    with pytest.raises(AudioFormatError, match="expected 24000 Hz, got 8000 Hz"):
        read_wav(path)
    assert load_audio(path) == bytes(48_000)
    assert load_audio(path, PCMU) == b"\xff" * 8_000
    assert len(load_audio(path, AudioFormat(rate=16_000))) == 32_000


@pytest.mark.parametrize(("encoding", "form"), [(6, PCMA), (7, PCMU)])
def test_a_telephone_recording_is_read(encoding: int, form: AudioFormat) -> None:
    """B16, B26: G.711 in a WAV file, as a switchboard writes it."""
    file = riff(fmt(encoding=encoding, bits=8, rate=8_000), chunk(b"data", SAMPLES))
    assert load_audio(io.BytesIO(file), form) == SAMPLES
    assert len(load_audio(io.BytesIO(file))) == 2 * 3 * len(SAMPLES)


def test_odd_audio_is_not_written(tmp_path: Path) -> None:
    """B16: and no file is left."""
    with pytest.raises(AudioFormatError, match="got 3 bytes"):
        write_wav(tmp_path / "odd.wav", b"abc")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_an_ordinary_os_error(tmp_path: Path) -> None:
    """B16: nothing is wrong with its format."""
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "missing.wav")
