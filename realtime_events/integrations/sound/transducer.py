"""What a microphone and a speaker have in common: one device, which is opened and closed and may stop by itself.

Owns the open stream and the way from its thread to the event loop. Knows no side of its own. Before it: a device of
`devices.py`; after it: `microphone.py` and `speaker.py`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

from ...audio import AudioFormat
from ...exceptions import RealtimeError
from .devices import NAMES, Device, Side, find_device, portaudio_errors, sounddevice


class Bell:
    """Calls a function on the event loop for the thread of a device: once, however often it rings until then."""

    def __init__(self, answer: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer = answer
        self._rings = False

    def ring(self) -> None:
        """Has the function called soon; from any thread."""
        if self._rings or self._loop.is_closed():
            return
        self._rings = True
        try:
            self._loop.call_soon_threadsafe(self._answered)
        except RuntimeError:
            return  # The loop was closed in between: nobody is there any more.

    def _answered(self) -> None:
        # Before the answer: what comes while it runs rings again.
        self._rings = False
        self._answer()


class DeviceStream:
    """One open device.

    Opening and closing block the event loop for as long as PortAudio takes, some ten milliseconds: on Windows a device
    belongs to the thread that opened it.
    """

    def __init__(
        self,
        backend: Any,
        side: Side,
        device: Device,
        *,
        block_ms: float,
        callback: Callable[..., None],
        on_finish: Callable[[], None],
    ) -> None:
        self._on_finish = on_finish
        make = backend.RawInputStream if side == "input" else backend.RawOutputStream
        with portaudio_errors(backend, f"the {NAMES[side]} {device.name!r} cannot be opened"):
            self._stream = make(
                samplerate=device.rate,
                blocksize=max(1, int(device.rate * block_ms / 1000)),
                device=device.index,
                channels=1,
                dtype="int16",
                latency="low",
                callback=callback,
                finished_callback=self._finish,
            )
            try:
                self._stream.start()
            except backend.PortAudioError:
                self.close()
                raise

    def close(self) -> None:
        """Stops and closes the device; that is not told as its end."""
        self._on_finish = _nothing
        self._stream.abort()
        self._stream.close()

    def _finish(self) -> None:
        self._on_finish()


def _nothing() -> None:
    return


class Transducer(ABC):
    """A microphone or a speaker: `async with` opens and closes it."""

    _side: ClassVar[Side]

    def __init__(self, device: int | str | None, *, format: AudioFormat | None, block_ms: float, backend: Any) -> None:
        self._backend = backend or sounddevice()
        self.device = find_device(self._backend, self._side, device)
        self.format = format
        self._block_ms = block_ms
        self._own_format = AudioFormat(rate=self.device.rate)
        self._stream: DeviceStream | None = None
        self._has_stopped = False

    async def __aenter__(self) -> Self:
        self._news = asyncio.Event()
        self._bell = Bell(self._answer)
        self._has_stopped = False
        self._stream = DeviceStream(
            self._backend,
            self._side,
            self.device,
            block_ms=self._block_ms,
            callback=self._call,
            on_finish=self._stop,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._news.set()

    async def _next_news(self) -> None:
        """Waits until the device has called, or is closed.

        Raises:
            RealtimeError: The device has stopped by itself: it was unplugged, for one.
        """
        if self._has_stopped:
            raise RealtimeError(f"the {NAMES[self._side]} {self.device.name!r} has stopped")
        self._news.clear()
        await self._news.wait()

    @abstractmethod
    def _call(self, data: Any, frames: int, time: Any, status: Any) -> None:
        """Brings or takes a block, in PortAudio's thread; rings the bell afterwards."""

    def _answer(self) -> None:
        """Tells on the event loop that the bell was rung."""
        self._news.set()

    def _stop(self) -> None:
        self._has_stopped = True
        self._bell.ring()
