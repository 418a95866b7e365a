"""What audio is.

Owns the formats of the wire (`AudioFormat`) and their arithmetic of bytes and milliseconds. Knows neither sockets nor
events nor files. Before it: bytes; after it: whoever plays, sends or listens. A rate is never guessed: audio that is
not what was asked for is refused with both values.
"""

from __future__ import annotations

import msgspec

from ..exceptions import AudioFormatError
from .g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from .samples import check_pcm16

__all__ = [
    "PCM16",
    "PCMA",
    "PCMU",
    "AudioFormat",
    "decode_alaw",
    "decode_ulaw",
    "encode_alaw",
    "encode_ulaw",
]

_SAMPLE_BYTES = {"audio/pcm": 2, "audio/pcmu": 1, "audio/pcma": 1}
_SILENCE = {"audio/pcm": b"\0\0", "audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}


class AudioFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A mono audio format: its type as on the wire (`audio/pcm`, `audio/pcmu`, `audio/pcma`) and its rate in Hz.

    Raises:
        AudioFormatError: if the type is unknown or the rate is not above zero.
    """

    type: str = "audio/pcm"
    rate: int = 24_000

    def __post_init__(self) -> None:
        if self.type not in _SAMPLE_BYTES:
            raise AudioFormatError(" or ".join(_SAMPLE_BYTES), repr(self.type))
        if self.rate < 1:
            raise AudioFormatError("a rate above zero", f"{self.rate} Hz")

    @property
    def sample_bytes(self) -> int:
        """The bytes of one sample: 2 in pcm16, 1 in G.711."""
        return _SAMPLE_BYTES[self.type]

    @property
    def bytes_per_ms(self) -> float:
        """The bytes of one millisecond: 48 for pcm16 at 24 kHz, 8 for G.711 at 8 kHz."""
        return self.sample_bytes * self.rate / 1000

    def duration_ms(self, n_bytes: int) -> float:
        """Gives how long so many bytes last."""
        return n_bytes * 1000 / (self.sample_bytes * self.rate)

    def n_bytes(self, duration_ms: float) -> int:
        """Gives the bytes of the whole samples in a duration."""
        return int(duration_ms * self.rate / 1000) * self.sample_bytes

    def silence(self, duration_ms: float) -> bytes:
        """Gives silence of a duration."""
        return _SILENCE[self.type] * (self.n_bytes(duration_ms) // self.sample_bytes)

    def check(self, data: bytes) -> bytes:
        """Gives the data back if it is whole samples of this format.

        Raises:
            AudioFormatError: if pcm16 has an odd length.
        """
        if self.sample_bytes == 2:
            check_pcm16(data)
        return data

    def to_pcm16(self, data: bytes) -> bytes:
        """Gives data of this format as pcm16 at the same rate.

        Raises:
            AudioFormatError: if pcm16 has an odd length.
        """
        decode = {"audio/pcm": self.check, "audio/pcmu": decode_ulaw, "audio/pcma": decode_alaw}[self.type]
        return decode(data)

    def from_pcm16(self, pcm: bytes) -> bytes:
        """Gives pcm16 of the same rate in this format.

        Raises:
            AudioFormatError: if the length is odd.
        """
        encode = {"audio/pcm": self.check, "audio/pcmu": encode_ulaw, "audio/pcma": encode_alaw}[self.type]
        return encode(pcm)


PCM16 = AudioFormat(type="audio/pcm", rate=24_000)
PCMU = AudioFormat(type="audio/pcmu", rate=8_000)
PCMA = AudioFormat(type="audio/pcma", rate=8_000)
