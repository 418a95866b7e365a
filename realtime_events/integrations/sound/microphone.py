"""The microphone: what a device hears, as an async iterator of bytes.

Owns the ring between the device's thread and whoever reads. Knows no session. Before it: `transducer.py`; after it:
whoever sends audio.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Self

from ...audio import PCM16, AudioFormat, Converter
from .transducer import Transducer


class Microphone(Transducer):
    """Gives what a microphone hears, as an async iterator of bytes; `async with` opens and closes it.

    Args:
        device: A number of `list_devices`, a part of a name (the first that fits), or None for the default one.
        format: What comes out. None means what the session wants, in `talk_through`, and pcm16 at 24 kHz elsewhere.
        block_ms: How much comes at a time.
        max_ms: How much waits at the most for somebody who does not read; then the oldest is dropped, and counted.
        backend: What stands in for the module sounddevice, in tests.

    Attributes:
        device: The device that was found.
        overflows: How often the device itself had lost something before it called.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or there is no such device.
    """

    _side = "input"

    def __init__(
        self,
        device: int | str | None = None,
        *,
        format: AudioFormat | None = None,
        block_ms: float = 20,
        max_ms: float = 1_000,
        backend: Any = None,
    ) -> None:
        super().__init__(device, format=format, block_ms=block_ms, backend=backend)
        self.overflows = 0
        self._ring: deque[bytes] = deque(maxlen=max(1, round(max_ms / block_ms)))
        self._dropped_bytes = 0

    @property
    def dropped_ms(self) -> float:
        """How much was dropped because nobody read it in time."""
        return self._own_format.duration_ms(self._dropped_bytes)

    async def __aenter__(self) -> Self:
        self._converter = Converter(self._own_format, self.format or PCM16)
        self._ring.clear()
        return await super().__aenter__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Gives the next audio in the microphone's format.

        Raises:
            RealtimeError: The device has stopped by itself: it was unplugged, for one.
        """
        while True:
            if self._ring:
                if audio := self._converter.feed(self._ring.popleft()):
                    return audio
                continue
            if self._stream is None:
                raise StopAsyncIteration
            # What came between the look into the ring and here has not rung yet: its bell is answered on this loop.
            await self._next_news()

    def _call(self, data: Any, frames: int, time: Any, status: Any) -> None:
        """Takes a block, in PortAudio's thread."""
        self.overflows += bool(status.input_overflow)
        if len(self._ring) == self._ring.maxlen:
            self._dropped_bytes += len(self._ring[0])
        self._ring.append(bytes(data))
        self._bell.ring()
