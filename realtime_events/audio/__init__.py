"""Bytes in, bytes out: formats, G.711, rates, WAV files.

Owns audio as data; knows no wire event, no socket and no device. pcm16 is 16-bit little-endian mono everywhere.
"""

from .formats import (
    PCM16,
    PCMA,
    PCMU,
    AudioFormat,
    decode_alaw,
    decode_ulaw,
    encode_alaw,
    encode_ulaw,
    read_wav,
    write_wav,
)
from .resample import Resampler

__all__ = [
    "PCM16",
    "PCMA",
    "PCMU",
    "AudioFormat",
    "Resampler",
    "decode_alaw",
    "decode_ulaw",
    "encode_alaw",
    "encode_ulaw",
    "read_wav",
    "write_wav",
]
