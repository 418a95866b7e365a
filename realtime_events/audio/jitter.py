"""The jitter buffer: audio that comes in bursts, given out at the even pace of a loudspeaker.

Owns what waits to be played, when playing begins, and how much of each item has left the loudspeaker. Knows no device
and no event. Before it: whoever receives audio; after it: a device's callback, which runs in a thread of its own, hence
the lock.
"""

from __future__ import annotations

import math
import threading
from collections import deque

import msgspec

from .formats import PCM16, AudioFormat

__all__ = ["JitterBuffer", "Position"]

_ITEMS_KEPT = 64


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an item was heard; `is_over` says that all of it was, and that nothing more of it comes."""

    item_id: str
    ms: float
    is_over: bool


class _Item:
    __slots__ = ("given", "has_ended", "heard", "told")

    def __init__(self) -> None:
        self.given = self.heard = 0
        self.has_ended = False
        self.told: tuple[int, bool] = (0, False)

    @property
    def state(self) -> tuple[int, bool]:
        return self.heard, self.has_ended and self.heard == self.given


class JitterBuffer:
    """Takes audio of items as it comes, and gives it out in blocks, with silence where there is none.

    Playing begins when `start_ms` wait, or when the item has ended. If the audio of an item runs out before its end,
    that is an underrun: it is counted, and playing begins anew.

    Args:
        format: What the audio is.
        start_ms: How much has to wait before playing begins.

    Attributes:
        underruns: How often the audio of an item ran out before its end.
    """

    def __init__(self, format: AudioFormat = PCM16, *, start_ms: float = 60) -> None:
        self.underruns = 0
        self._format = format
        self._silence = format.silence(1)[: format.sample_bytes]
        self._start_bytes = format.n_bytes(start_ms)
        self._lock = threading.Lock()
        self._items: dict[str, _Item] = {}
        self._waiting: deque[tuple[_Item, memoryview]] = deque()
        self._waiting_bytes = 0
        self._newest: _Item | None = None
        self._runs = False
        # What the device was given and has not played yet, oldest first; None is silence.
        self._handed: deque[tuple[_Item | None, int]] = deque()
        self._handed_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing that was given out is still to be heard."""
        with self._lock:
            return not self._waiting and all(item is None for item, _ in self._handed)

    @property
    def waiting_ms(self) -> float:
        """How much waits."""
        return self._format.duration_ms(self._waiting_bytes)

    def put(self, item_id: str, audio: bytes) -> None:
        """Adds audio to the end of an item."""
        with self._lock:
            item = self._newest = self._item(item_id)
            item.given += len(audio)
            if audio:
                self._waiting.append((item, memoryview(audio)))
                self._waiting_bytes += len(audio)

    def end(self, item_id: str) -> None:
        """Takes note that nothing more of an item comes."""
        with self._lock:
            if item_id in self._items:
                self._items[item_id].has_ended = True

    def clear(self) -> None:
        """Throws away what waits; what was given out already will be heard, and counts."""
        with self._lock:
            for item, audio in self._waiting:
                item.given -= len(audio)
                item.has_ended = True
            self._waiting.clear()
            self._waiting_bytes = 0
            self._newest = None
            self._runs = False

    def take(self, n_bytes: int, delay_ms: float = 0) -> bytes:
        """Gives the next block for the device.

        Args:
            n_bytes: How much the device wants, in whole samples.
            delay_ms: How long it takes until the first sample of this block leaves the loudspeaker: so much of what was
                given out before has not been heard.
        """
        with self._lock:
            self._count_heard(self._delay_bytes(delay_ms))
            audio = self._next(n_bytes) if self._may_play() else b""
            if missing := n_bytes - len(audio):
                self.underruns += self._runs and not self._is_complete()
                self._runs = False
                self._hand(None, missing)
        return audio + self._silence * (missing // self._format.sample_bytes)

    def positions(self) -> list[Position]:
        """Gives the positions that changed since they were last asked for."""
        with self._lock:
            changed = [(item_id, item) for item_id, item in self._items.items() if item.state != item.told]
            for _, item in changed:
                item.told = item.state
            return [
                Position(item_id=item_id, ms=self._format.duration_ms(item.heard), is_over=item.state[1])
                for item_id, item in changed
            ]

    def _item(self, item_id: str) -> _Item:
        if item_id not in self._items:
            self._items[item_id] = _Item()
            if len(self._items) > _ITEMS_KEPT:
                del self._items[next(iter(self._items))]
        return self._items[item_id]

    def _is_complete(self) -> bool:
        return self._newest is None or self._newest.has_ended

    def _may_play(self) -> bool:
        if not self._runs and self._waiting:
            self._runs = self._waiting_bytes >= self._start_bytes or self._is_complete()
        return self._runs

    def _next(self, n_bytes: int) -> bytes:
        parts: list[memoryview] = []
        while n_bytes and self._waiting:
            item, audio = self._waiting.popleft()
            part = audio[:n_bytes]
            if len(part) < len(audio):
                self._waiting.appendleft((item, audio[n_bytes:]))
            parts.append(part)
            n_bytes -= len(part)
            self._waiting_bytes -= len(part)
            self._hand(item, len(part))
        return b"".join(parts)

    def _hand(self, item: _Item | None, n_bytes: int) -> None:
        self._handed.append((item, n_bytes))
        self._handed_bytes += n_bytes

    def _delay_bytes(self, delay_ms: float) -> int:
        # Up to whole samples: no position runs ahead. Rounded first: 5 ms, from two clock times, are 4.9999 or 5.0001.
        samples = math.ceil(round(max(0.0, delay_ms) * self._format.rate / 1000, 3))
        return samples * self._format.sample_bytes

    def _count_heard(self, unheard_bytes: int) -> None:
        heard = self._handed_bytes - unheard_bytes
        while heard > 0:
            item, n_bytes = self._handed.popleft()
            part = min(n_bytes, heard)
            if part < n_bytes:
                self._handed.appendleft((item, n_bytes - part))
            if item is not None:
                item.heard += part
            heard -= part
            self._handed_bytes -= part
