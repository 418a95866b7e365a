"""Lines: what was said, item by item, while the transcripts of the items come in any order.

Owns `Line` and the order of lines: partial ones grow, a final one settles its item, and final lines leave in the order
of the items, whichever transcript is ready first. Pure. Before it: the events of a transcription session; after it:
`transcription.py`, which hands the lines out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from ..events import server, transcription
from ..events.base import UNSET, Event, Struct, UnsetType
from ..events.response import FailureDetails, InputTokenDetails
from ..events.transcription import LogProb, TranscriptionUsage
from .captions import Caption
from .conversation.order import ROOT, Order

S = TypeVar("S", bound=Struct)

NOT_TRANSCRIBED: Final = FailureDetails(code="no_transcript", message="the connection ended before the transcript came")


class Line(Struct, frozen=True, kw_only=True):
    """A line of a transcript. A partial line is replaced by the next one of the same `item_id` and `segment_id`.

    Attributes:
        item_id: The item it belongs to.
        text: The words so far; all of them, once `is_final`.
        is_final: Whether nothing of it changes any more.
        speaker: Who spoke, by a model that tells speakers apart; else empty.
        segment_id: Which segment of the item it is, by such a model; else empty.
        start_ms: Where it begins, counted from the first audio that was sent.
        end_ms: Where it ends; not before `start_ms`.
        languages: The languages that were heard, as ISO 639-1 codes, by a model that tells them.
        logprobs: How sure the model is of each token of a final line, if that was asked for.
        error: Why the item was not transcribed; None if it was.
    """

    item_id: str
    text: str
    is_final: bool
    speaker: str = ""
    segment_id: str = ""
    start_ms: int = 0
    end_ms: int = 0
    languages: tuple[str, ...] = ()
    logprobs: tuple[LogProb, ...] = ()
    error: FailureDetails | None = None

    @property
    def caption(self) -> Caption:
        """The line as a caption."""
        note = f"not transcribed: {self.error.message or self.error.code or 'no reason given'}" if self.error else ""
        return Caption(
            start_ms=self.start_ms, end_ms=self.end_ms, text=self.text.strip(), speaker=self.speaker, note=note
        )


@dataclass(slots=True)
class _Item:
    """What is known of one item. `finals` is None until its transcript has come or failed."""

    id: str
    start_ms: int | None = None
    end_ms: int | None = None
    text: str = ""
    is_committed: bool = False
    segments: dict[str, transcription.ConversationItemInputAudioTranscriptionSegment] = field(
        default_factory=dict[str, transcription.ConversationItemInputAudioTranscriptionSegment]
    )
    finals: list[Line] | None = None
    is_told: bool = False

    @property
    def is_awaited(self) -> bool:
        return self.finals is None and (self.is_committed or bool(self.text or self.segments))


class Lines:
    """The lines of one transcription session."""

    def __init__(self) -> None:
        self.speaking: str | None = None
        self.sent_ms = 0.0
        self.usage = TranscriptionUsage()
        self._items: dict[str, _Item] = {}
        self._order = Order()
        self._commits: deque[int] = deque()
        self._committed_ms = 0
        self._begin_ms = 0

    # Looking.

    @property
    def uncommitted_ms(self) -> float:
        """How much audio was sent since the end of the last item."""
        return self.sent_ms - self._committed_ms

    @property
    def awaited(self) -> int:
        """How many items have no final line yet."""
        return sum(item.is_awaited for item in self._items.values())

    def finals(self) -> list[Line]:
        """Give every final line so far, in the order of the items."""
        return [line for item_id in self._order.ids() for line in self._items[item_id].finals or ()]

    # What this side does.

    def commit(self) -> None:
        """Note that the audio sent so far is committed by hand; an item that the server did not end ends there."""
        self._commits.append(int(self.sent_ms))

    def not_committed(self) -> None:
        """Note that the server refused the last commit."""
        if self._commits:
            self._commits.pop()

    def cut(self) -> list[Line]:
        """Settle what has no final line, because none can come any more; later items are of another session."""
        for item in self._items.values():
            if item.is_awaited:
                item.finals = [self._line(item, text=item.text, is_final=True, error=NOT_TRANSCRIBED)]
        self.speaking = None
        self._commits.clear()
        self._begin_ms = self._committed_ms = int(self.sent_ms)
        return self._release()

    # What the server says.

    def feed(self, event: Event) -> list[Line]:
        """Take an event of the session, and give the lines that it brings."""
        take = TABLE.get(type(event))
        if take is None or self._order.is_removed(getattr(event, "item_id", "")):
            return []
        return take(self, event)

    def speech_started(self, event: server.InputAudioBufferSpeechStarted) -> list[Line]:
        """Somebody begins to speak."""
        self.speaking = event.item_id
        self._item(event.item_id).start_ms = self._begin_ms + event.audio_start_ms
        return []

    def speech_stopped(self, event: server.InputAudioBufferSpeechStopped) -> list[Line]:
        """Turn detection has heard the end of an item."""
        self._item(event.item_id).end_ms = self._begin_ms + event.audio_end_ms
        return []

    def timed_out(self, event: server.InputAudioBufferTimeoutTriggered) -> list[Line]:
        """Nobody spoke for so long that the silence becomes an item."""
        item = self._item(event.item_id)
        item.start_ms, item.end_ms = self._begin_ms + event.audio_start_ms, self._begin_ms + event.audio_end_ms
        return []

    def committed(self, event: server.InputAudioBufferCommitted) -> list[Line]:
        """Audio has become an item, and will be transcribed."""
        if not event.item_id:
            return []
        item = self._item(event.item_id)
        item.is_committed = True
        self.speaking = None
        if item.end_ms is None:  # Turn detection did not end it: a commit of ours did.
            item.end_ms = self._commits.popleft() if self._commits else int(self.sent_ms)
        if item.start_ms is None:
            item.start_ms = min(self._committed_ms, item.end_ms)
        self._committed_ms = max(self._committed_ms, item.end_ms)
        self._place(event.item_id, event.previous_item_id)
        return []

    def cleared(self, event: server.InputAudioBufferCleared) -> list[Line]:
        """What was sent and is no item yet is thrown away."""
        self.speaking = None
        self._committed_ms = int(self.sent_ms)
        for item in list(self._items.values()):
            if not item.is_committed and item.finals is None:
                del self._items[item.id]
                self._order.forget(item.id)
        return self._release()

    def added(self, event: server.ConversationItemAdded) -> list[Line]:
        """An item has its place."""
        if event.item.id and event.item.id in self._items:
            self._place(event.item.id, event.previous_item_id)
        return []

    def deleted(self, event: server.ConversationItemDeleted) -> list[Line]:
        """An item is gone: no transcript of it will come."""
        if self._item(event.item_id).finals is not None:
            return []  # What was said was said.
        del self._items[event.item_id]
        self._order.remove(event.item_id)
        return self._release()

    def delta(self, event: transcription.ConversationItemInputAudioTranscriptionDelta) -> list[Line]:
        """An item's words go on."""
        item = self._item(event.item_id)
        if item.finals is not None or not event.delta:
            return []
        item.text += event.delta
        return [self._line(item, text=item.text)]

    def segment(self, event: transcription.ConversationItemInputAudioTranscriptionSegment) -> list[Line]:
        """One speaker's part of an item is known."""
        item = self._item(event.item_id)
        if item.finals is not None:
            return []
        item.segments[event.id or str(len(item.segments))] = event
        return [self._of_segment(item, event)]

    def completed(self, event: transcription.ConversationItemInputAudioTranscriptionCompleted) -> list[Line]:
        """An item's transcript is whole."""
        item = self._item(event.item_id)
        if item.finals is not None:
            return []
        if event.usage:
            self.usage = _sum(self.usage, event.usage)
        heard: dict[str, Any] = {
            "is_final": True,
            "languages": tuple(language.code for language in event.languages or ()),
            "logprobs": tuple(event.logprobs or ()),
        }
        if item.segments:
            finals = [self._of_segment(item, segment, **heard) for segment in item.segments.values()]
        else:
            finals = [self._line(item, text=event.transcript, **heard)]
        return self._settle(item, finals)

    def failed(self, event: transcription.ConversationItemInputAudioTranscriptionFailed) -> list[Line]:
        """An item cannot be transcribed."""
        item = self._item(event.item_id)
        if item.finals is not None:
            return []
        return self._settle(item, [self._line(item, text=item.text, is_final=True, error=event.error)])

    # Order.

    def _item(self, item_id: str) -> _Item:
        if item_id not in self._items:
            self._items[item_id] = _Item(item_id)
            self._order.see(item_id)
        return self._items[item_id]

    def _place(self, item_id: str, previous: str | UnsetType | None) -> None:
        if previous is not UNSET:
            self._order.put(item_id, previous or ROOT, sureness=1)

    def _settle(self, item: _Item, finals: list[Line]) -> list[Line]:
        item.finals = finals
        return self._release()

    def _release(self) -> list[Line]:
        """Give the final lines up to the first item that still waits for its own."""
        released: list[Line] = []
        for item_id in self._order.ids():
            item = self._items[item_id]
            if item.is_committed and item.finals is None:
                break
            if item.finals is not None and not item.is_told:
                item.is_told = True
                released += item.finals
        return released

    def _line(self, item: _Item, *, text: str, is_final: bool = False, **more: Any) -> Line:
        start_ms = item.start_ms or 0
        end_ms = max(item.end_ms or 0, start_ms)
        fields: dict[str, Any] = {"start_ms": start_ms, "end_ms": end_ms, **more}
        return Line(item_id=item.id, text=text, is_final=is_final, **fields)

    def _of_segment(self, item: _Item, segment: Any, **more: Any) -> Line:
        """Give a segment as a line; its seconds count from the beginning of its item."""
        start_ms = item.start_ms or 0
        return self._line(
            item,
            text=segment.text,
            speaker=segment.speaker,
            segment_id=segment.id,
            start_ms=start_ms + int(segment.start * 1000),
            end_ms=start_ms + int(max(segment.start, segment.end) * 1000),
            **more,
        )


def _sum(total: TranscriptionUsage, more: TranscriptionUsage) -> TranscriptionUsage:
    """Add what a transcript cost: tokens, or seconds; a count that neither has stays absent."""
    details = InputTokenDetails()
    if total.input_token_details or more.input_token_details:
        details = _added(total.input_token_details or details, more.input_token_details or details)
        total = msgspec.structs.replace(total, input_token_details=details)
    return _added(total, more)


def _added(total: S, more: S) -> S:
    """Add two structs, number by number; anything else is kept as it came first."""
    sums: dict[str, Any] = {}
    for name in total.__struct_fields__:
        ours, theirs = getattr(total, name), getattr(more, name)
        both = isinstance(ours, int | float) and isinstance(theirs, int | float)
        sums[name] = ours + theirs if both else (ours or theirs)
    return type(total)(**sums)


TABLE: Final[dict[type[Event], Callable[[Lines, Any], list[Line]]]] = {
    server.InputAudioBufferSpeechStarted: Lines.speech_started,
    server.InputAudioBufferSpeechStopped: Lines.speech_stopped,
    server.InputAudioBufferTimeoutTriggered: Lines.timed_out,
    server.InputAudioBufferCommitted: Lines.committed,
    server.InputAudioBufferCleared: Lines.cleared,
    server.ConversationItemAdded: Lines.added,
    server.ConversationItemDeleted: Lines.deleted,
    transcription.ConversationItemInputAudioTranscriptionDelta: Lines.delta,
    transcription.ConversationItemInputAudioTranscriptionSegment: Lines.segment,
    transcription.ConversationItemInputAudioTranscriptionCompleted: Lines.completed,
    transcription.ConversationItemInputAudioTranscriptionFailed: Lines.failed,
}
