"""What a session was told and what it said, for tests and the status page.

Owns a bounded list of events on each side. Knows no meaning. Audio is left out of the list, so that an hour of it
costs nothing; how many events there were of each kind is counted for ever.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import overload

import msgspec

from ..events import InputAudioBufferAppend, ResponseOutputAudioDelta
from ..events.base import Event
from ..events.client import ConversationItemCreate
from ..events.server import ConversationItemRetrieved

MOST_EVENTS = 1_000
MOST_BYTES = 8 * 1024 * 1024
_HEAVY: dict[type[Event], str] = {InputAudioBufferAppend: "audio", ResponseOutputAudioDelta: "delta"}


class EventLog(Sequence[Event]):
    """The newest events of one side, the oldest first; its `counts` has the number of all of them by name."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.counts: Counter[str] = Counter()
        self._events: deque[Event] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0

    def add(self, event: Event, size_bytes: int) -> Event:
        """Note an event that came in a frame of this size, without its audio, and give what was noted."""
        self.counts[event.type] += 1
        noted = _light(event)
        self._events.append(noted)
        self._sizes.append(size_bytes if noted is event else 0)
        self._bytes += self._sizes[-1]
        while len(self._events) > MOST_EVENTS or (self._bytes > MOST_BYTES and len(self._events) > 1):
            self._events.popleft()
            self._bytes -= self._sizes.popleft()
        return noted

    def named(self, name: str) -> list[Event]:
        """Give the events of this name that are still in the log."""
        return [event for event in self._events if event.type == name]

    def __call__(self, name: str, **fields: object) -> Event:
        """Give the newest event of this name whose fields have these values.

        Raises:
            AssertionError: There is none; the message shows what there was instead.
        """
        for event in reversed(self._events):
            if event.type == name and all(getattr(event, key, None) == value for key, value in fields.items()):
                return event
        wanted = ", ".join(f"{key}={value!r}" for key, value in fields.items())
        nearest = self.named(name)[-3:] or list(self._events)[-5:]
        shown = "\n".join(f"  {event!r}"[:300] for event in nearest) or "  nothing"
        raise AssertionError(f"expected {self.side} {name}({wanted}); got:\n{shown}")

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._events))

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return list(self._events)[index]

    def __repr__(self) -> str:
        return f"<{self.side}: {', '.join(event.type for event in list(self._events)[-20:])}>"


def _light(event: Event) -> Event:
    if (field := _HEAVY.get(type(event))) is not None:
        return msgspec.structs.replace(event, **{field: b""})
    if isinstance(event, ConversationItemCreate | ConversationItemRetrieved) and event.item.content:
        parts = [msgspec.structs.replace(part, audio=b"") if part.audio else part for part in event.item.content]
        return msgspec.structs.replace(event, item=msgspec.structs.replace(event.item, content=parts))
    return event
