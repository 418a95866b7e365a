"""An audio file on its way out: cut into pieces, as fast as they are taken or at the speed at which it was spoken.

Owns the one place where sending a file waits. Knows no event. Before it: `audio`, which reads, cuts and says when a
piece is due; after it: whoever sends audio.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncGenerator

from .audio import AudioFormat, Pacer, pieces, read_wav

PIECE_MS = 100


async def file_pieces(
    path: str | os.PathLike[str], audio_format: AudioFormat, pace: float | None
) -> AsyncGenerator[bytes]:
    """Give the audio of a mono 16-bit WAV file in pieces of 100 ms, in a format of the same rate.

    Args:
        path: The file.
        audio_format: What the pieces are to be.
        pace: The speed relative to real time: 1 is as it was spoken, None as fast as the pieces are taken.

    Raises:
        AudioFormatError: The file is no WAV file of that rate, or holds no audio.
        ConfigurationError: The pace is not above zero.
        OSError: The file cannot be read.
    """
    pacer, loop = Pacer(math.inf if pace is None else pace), asyncio.get_running_loop()
    audio = audio_format.from_pcm16(await asyncio.to_thread(read_wav, path, rate=audio_format.rate))
    for piece in pieces(audio, audio_format, piece_ms=PIECE_MS):
        if wait_s := pacer.wait_s(loop.time(), audio_format.duration_ms(len(piece))):
            await asyncio.sleep(wait_s)
        yield piece
