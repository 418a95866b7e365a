"""WAV files: the one way in and the one way out.

Owns which files are read: mono, 16-bit samples or G.711. Everything else is refused, and the refusal says what was
expected and what the file holds. Knows no rate but the one that was asked for. Before it: files; after it: `convert`.

The header is read here, because the standard library's `wave` reads the extensible header only from Python 3.12 on, and
gives a file that was cut short as if it were whole.
"""

from __future__ import annotations

import os
import wave
from typing import BinaryIO

import msgspec

from ..exceptions import AudioFormatError
from .convert import Converter
from .formats import PCM16, AudioFormat
from .samples import check_pcm16

__all__ = ["WavSource", "load_audio", "read_wav", "write_wav"]

WavSource = str | os.PathLike[str] | BinaryIO

_EXPECTED = "a WAV file of 16-bit samples"
_ENCODINGS = {1: "pcm", 3: "float", 6: "A-law", 7: "µ-law"}
_EXTENSIBLE = 0xFFFE
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # what a program writes that cannot go back and fill in the size

_LOWEST_HZ, _HIGHEST_HZ = 1_000, 768_000  # beyond them a header is damaged, and believing it costs gigabytes


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    encoding: int
    channels: int
    rate: int
    sample_bits: int


def read_wav(source: WavSource, *, rate: int = 24_000) -> bytes:
    """Reads the samples of a mono 16-bit WAV file.

    Args:
        source: A path, or a file open for reading bytes.
        rate: The rate in Hz that the file must have; `load_audio` changes rates.

    Raises:
        AudioFormatError: if the file is no WAV file of that rate, is cut short, or holds no audio.
        OSError: if the file cannot be read.
    """
    held, audio = _read(source)
    _expect("16-bit samples", held.type == "audio/pcm", f"{_name(held)} samples")
    _expect(f"{rate} Hz", held.rate == rate, f"{held.rate} Hz")
    return audio


def load_audio(source: WavSource, format: AudioFormat = PCM16) -> bytes:
    """Reads a mono WAV file of any rate, 16-bit or G.711, and gives its audio in a format.

    Args:
        source: A path, or a file open for reading bytes.
        format: What the audio is changed to; pcm16 at 24 kHz unless you say otherwise.

    Raises:
        AudioFormatError: if the file is no such WAV file, is cut short, or holds no audio.
        MissingExtra: if its rate can only be changed by the extra `audio`.
        OSError: if the file cannot be read.
    """
    held, audio = _read(source)
    converter = Converter(held, format)
    return converter.feed(audio) + converter.flush()


def write_wav(target: WavSource, pcm: bytes | bytearray, *, rate: int = 24_000) -> None:
    """Writes pcm16 bytes as a mono 16-bit WAV file.

    Args:
        target: A path, or a file open for writing bytes.
        pcm: The samples; none makes a file without audio.
        rate: Their rate in Hz.

    Raises:
        AudioFormatError: if the length is odd.
        OSError: if the file cannot be written.
    """
    check_pcm16(pcm)
    if isinstance(target, str | os.PathLike):
        # Opened here: a path that `wave` cannot open leaves a broken object of its own behind.
        with open(target, "wb") as opened:
            write_wav(opened, pcm, rate=rate)
        return
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)


def _read(source: WavSource) -> tuple[AudioFormat, bytes]:
    """Gives what a file holds: the format, and all samples of it."""
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as opened:
            return _read(opened)
    _expect_riff(source.read(12))
    header = None
    while True:
        name, size = _chunk(source)
        if name == b"fmt ":
            header = _header(source.read(size + size % 2)[:size])
        elif name == b"data":
            break
        else:
            _expect(f"{size:,} more bytes", len(source.read(size + size % 2)) >= size, "a file that ends too early")
    if header is None:
        raise AudioFormatError(_EXPECTED, "samples before their format")
    held = _format(header)
    return held, _audio(source, size, held)


def _expect_riff(start: bytes) -> None:
    _expect(_EXPECTED, bool(start), "an empty file")
    is_wav = start[:4] == b"RIFF" and start[8:12] == b"WAVE"
    is_cut = len(start) < 12 and b"RIFF".startswith(start[:4])
    _expect(_EXPECTED, not is_cut, "a file that ends too early")
    _expect(_EXPECTED, is_wav, f"a file that begins with {start!r}")


def _chunk(file: BinaryIO) -> tuple[bytes, int]:
    head = file.read(8)
    _expect(_EXPECTED, len(head) == 8, "a file that ends before its samples")
    return head[:4], int.from_bytes(head[4:], "little")


def _header(data: bytes) -> _Header:
    _expect(_EXPECTED, len(data) >= 16, f"a format of {len(data)} bytes")
    encoding = int.from_bytes(data[:2], "little")
    if encoding == _EXTENSIBLE and len(data) >= 26:
        encoding = int.from_bytes(data[24:26], "little")  # the first bytes of the sub-format are the plain number
    return _Header(
        encoding=encoding,
        channels=int.from_bytes(data[2:4], "little"),
        rate=int.from_bytes(data[4:8], "little"),
        sample_bits=int.from_bytes(data[14:16], "little"),
    )


def _format(header: _Header) -> AudioFormat:
    _expect("mono", header.channels == 1, f"{header.channels} channels")
    _expect(
        f"a rate of {_LOWEST_HZ} to {_HIGHEST_HZ} Hz", _LOWEST_HZ <= header.rate <= _HIGHEST_HZ, f"{header.rate} Hz"
    )
    encoding, bits = _ENCODINGS.get(header.encoding, f"encoding {header.encoding}"), header.sample_bits
    if (encoding, bits) in (("A-law", 8), ("µ-law", 8)):
        return AudioFormat(type="audio/pcma" if encoding == "A-law" else "audio/pcmu", rate=header.rate)
    _expect("16-bit samples", encoding == "pcm" and bits == 16, f"{bits}-bit {encoding} samples")
    return AudioFormat(rate=header.rate)


def _name(held: AudioFormat) -> str:
    return {"audio/pcma": "8-bit A-law", "audio/pcmu": "8-bit µ-law"}.get(held.type, held.type)


def _audio(file: BinaryIO, size: int, held: AudioFormat) -> bytes:
    audio = file.read() if size in _UNKNOWN_SIZES else file.read(size)
    _expect("audio in the file", bool(audio), "none")
    _expect(f"{size:,} bytes of audio", size in _UNKNOWN_SIZES or len(audio) == size, f"{len(audio):,} bytes")
    return held.check(audio)


def _expect(expected: str, holds: bool, got: str) -> None:
    if not holds:
        raise AudioFormatError(expected, got)
