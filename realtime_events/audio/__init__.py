"""Bytes in, bytes out: formats, G.711, rates, pieces, WAV files.

Owns audio as data; knows no wire event, no socket and no device. pcm16 is 16-bit little-endian mono everywhere.
"""

from .convert import Converter
from .formats import (
    PCM16,
    PCMA,
    PCMU,
    AudioFormat,
    decode_alaw,
    decode_ulaw,
    encode_alaw,
    encode_ulaw,
)
from .ledger import AudioLedger
from .pacing import Pacer, PreRoll, pieces
from .resample import Resampler
from .wav import load_audio, read_wav, write_wav

__all__ = [
    "PCM16",
    "PCMA",
    "PCMU",
    "AudioFormat",
    "AudioLedger",
    "Converter",
    "Pacer",
    "PreRoll",
    "Resampler",
    "decode_alaw",
    "decode_ulaw",
    "encode_alaw",
    "encode_ulaw",
    "load_audio",
    "pieces",
    "read_wav",
    "write_wav",
]
