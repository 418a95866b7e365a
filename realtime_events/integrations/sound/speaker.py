"""The speaker: audio of items into a device, and how much of each was heard.

Owns which item is being given, and the telling of positions. Knows no session. Before it: whoever receives audio; after
it: `transducer.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from ...audio import PCM16, AudioFormat, Converter
from ...audio.jitter import JitterBuffer
from .transducer import Transducer


class Speaker(Transducer):
    """Plays the audio of items, and knows how much of each was heard; `async with` opens and closes it.

    Args:
        device: A number of `list_devices`, a part of a name (the first that fits), or None for the default one.
        format: What it is given. None means what the session gives, in `talk_through`, and pcm16 at 24 kHz elsewhere.
        start_ms: How much has to be there before an item is begun, against gaps where the network is uneven.
        block_ms: How much the device takes at a time; positions are as fine as this.
        on_played: Called on the event loop with an item's id and the milliseconds of it that were heard, whenever that
            changed.
        backend: What stands in for the module sounddevice, in tests.

    Attributes:
        device: The device that was found.
        underflows: How often the device itself ran dry because this program was too slow.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or there is no such device.
    """

    _side = "output"

    def __init__(
        self,
        device: int | str | None = None,
        *,
        format: AudioFormat | None = None,
        start_ms: float = 60,
        block_ms: float = 10,
        on_played: Callable[[str, float], object] | None = None,
        backend: Any = None,
    ) -> None:
        super().__init__(device, format=format, block_ms=block_ms, backend=backend)
        self.on_played = on_played
        self.underflows = 0
        self._buffer = JitterBuffer(self._own_format, start_ms=start_ms)
        self._whole_ms: dict[str, float] = {}
        self._begin_item("")

    @property
    def underruns(self) -> int:
        """How often the audio of an item ran out before its end."""
        return self._buffer.underruns

    async def __aenter__(self) -> Self:
        self._begin_item("")
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        self._buffer.clear()

    def play(self, item_id: str, audio: bytes) -> None:
        """Adds audio of an item, in the speaker's format, to what is to be played.

        Raises:
            AudioFormatError: if pcm16 has an odd length.
        """
        if item_id != self._item_id:
            self.end(self._item_id)
            self._begin_item(item_id)
        fresh = self._converter.feed(audio)
        self._given_bytes += len(audio)
        self._buffer.put(item_id, fresh)

    def end(self, item_id: str) -> None:
        """Takes note that nothing more of an item comes: what there is of it is played, however short."""
        if item_id and item_id == self._item_id:
            self._buffer.put(item_id, self._converter.flush())
            self._whole_ms[item_id] = self._format.duration_ms(self._given_bytes)
            self._buffer.end(item_id)
            self._begin_item("")

    def flush(self) -> None:
        """Throws away what waits; what the device has already been given is still heard."""
        self._whole_ms.clear()
        self._begin_item("")
        self._buffer.clear()

    async def finished(self) -> None:
        """Waits until everything that was given has been heard and reported.

        Raises:
            RealtimeError: The device has stopped by itself.
        """
        while self._stream is not None and not self._buffer.is_empty:
            await self._next_news()
        self._answer()

    async def watch(self) -> None:
        """Waits until the speaker is closed.

        Raises:
            RealtimeError: The device has stopped by itself: it was unplugged, for one.
        """
        while self._stream is not None:
            await self._next_news()

    @property
    def _format(self) -> AudioFormat:
        return self.format or PCM16

    def _begin_item(self, item_id: str) -> None:
        self._item_id = item_id
        self._given_bytes = 0
        self._converter = Converter(self._format, self._own_format)

    def _call(self, data: Any, frames: int, time: Any, status: Any) -> None:
        """Gives the device a block, in PortAudio's thread."""
        self.underflows += bool(status.output_underflow)
        delay_s = time.outputBufferDacTime - time.currentTime
        data[:] = self._buffer.take(len(data), 1000 * delay_s)
        self._bell.ring()

    def _answer(self) -> None:
        """Tells what was heard since the last time."""
        for position in self._buffer.positions():
            # The sum of converted samples may be a fraction of a sample off; who heard everything heard all of it.
            whole_ms = self._whole_ms.pop(position.item_id, position.ms) if position.is_over else position.ms
            if self.on_played is not None:
                self.on_played(position.item_id, whole_ms)
        super()._answer()
