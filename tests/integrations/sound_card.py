"""A sound card that is only memory: what sounddevice shows of PortAudio, moved by hand.

Its callbacks run in a thread of their own, as PortAudio's do, one at a time and only when a test says so.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any


class PortAudioError(Exception):
    pass


def device(name: str, *, inputs: int = 0, outputs: int = 0, rate: float = 48_000.0) -> dict[str, Any]:
    return {
        "name": name,
        "max_input_channels": inputs,
        "max_output_channels": outputs,
        "default_samplerate": rate,
    }


class Stream:
    def __init__(self, card: SoundCard, *, is_input: bool, **how: Any) -> None:
        if card.refusal:
            raise PortAudioError(card.refusal)
        self.how = how
        self.is_input = is_input
        self.is_open = True
        self.runs = False
        self._card = card
        card.streams.append(self)

    def start(self) -> None:
        if self._card.refusal_to_start:
            raise PortAudioError(self._card.refusal_to_start)
        self.runs = True

    def abort(self) -> None:
        self.runs = False
        self.how["finished_callback"]()

    def close(self) -> None:
        self.is_open = False

    def unplug(self) -> None:
        self.runs = False
        self._in_thread(self.how["finished_callback"])

    def hear(self, pcm: bytes, *, overflow: bool = False) -> None:
        """Calls back with a block that the microphone heard."""
        status = SimpleNamespace(input_overflow=overflow, output_underflow=False)
        self._in_thread(self.how["callback"], memoryview(pcm), len(pcm) // 2, SimpleNamespace(), status)

    def play(self, *, delay_ms: float = 0, underflow: bool = False) -> bytes:
        """Calls back for a block that the speaker plays, and gives it."""
        frames = self.how["blocksize"]
        block = bytearray(2 * frames)
        time = SimpleNamespace(currentTime=7.0, outputBufferDacTime=7.0 + delay_ms / 1000, inputBufferAdcTime=0.0)
        status = SimpleNamespace(input_overflow=False, output_underflow=underflow)
        self._in_thread(self.how["callback"], memoryview(block), frames, time, status)
        return bytes(block)

    def _in_thread(self, call: Any, *arguments: Any) -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(call, *arguments).result(5)


class SoundCard:
    """What stands in for the module sounddevice."""

    PortAudioError = PortAudioError

    def __init__(self, *devices: dict[str, Any], default: tuple[int, int] = (0, 1)) -> None:
        self.devices = [{"index": index, **found} for index, found in enumerate(devices)]
        self.default = {"input": default[0], "output": default[1]}
        self.streams: list[Stream] = []
        self.refusal = ""
        self.refusal_to_start = ""

    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any:
        if kind is None:
            return self.devices
        if self.default[kind] < 0:
            raise PortAudioError("Error querying device -1")
        return self.devices[self.default[kind]]

    def RawInputStream(self, **how: Any) -> Stream:  # noqa: N802 - sounddevice's name
        return Stream(self, is_input=True, **how)

    def RawOutputStream(self, **how: Any) -> Stream:  # noqa: N802 - sounddevice's name
        return Stream(self, is_input=False, **how)


def usual_card(*, rate: float = 24_000.0) -> SoundCard:
    """Gives a card with a microphone, a speaker and a headset."""
    return SoundCard(
        device("Built-in Microphone", inputs=2, rate=rate),
        device("Built-in Speaker", outputs=2, rate=rate),
        device("Blue Headset", inputs=1, outputs=2, rate=16_000.0),
    )
