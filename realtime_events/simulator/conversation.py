"""The conversation of a simulated session: its items in order, with their audio.

Owns items, order and audio, and the limits on them. Knows no event and no time. Before it: `session.py`,
`listening.py` and `answering.py`, which add items; after it: the brain, which reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..audio import AudioFormat
from ..events.base import UNSET, UnsetType
from ..events.items import ContentPart, Item
from .errors import Refusal
from .ids import Ids

MOST_ITEMS = 20_000
MOST_CONTENT_BYTES = 64 * 1024 * 1024
MOST_AUDIO_BYTES = 32 * 1024 * 1024
ROOT = "root"
AUDIO_PARTS = ("input_audio", "output_audio")


class Entry:
    """One item, and what the server knows of it that events leave out.

    `audio` is in `audio_format`, and still grows while the item is not final; `heard` is what the recogniser made of
    a user's audio, None while it listens; `cut_ms` is where the client truncated it.
    """

    __slots__ = ("audio", "audio_format", "cut_ms", "heard", "is_final", "item", "size_bytes")

    def __init__(self, item: Item, *, size_bytes: int = 0) -> None:
        self.item = item
        self.audio: bytes | bytearray = b""
        self.audio_format: AudioFormat | None = None
        self.cut_ms: int | None = None
        self.heard: str | None = ""
        self.is_final = True
        self.size_bytes = size_bytes

    @property
    def id(self) -> str:
        """The item's id, which an item of a conversation always has."""
        return str(self.item.id)

    @property
    def audio_ms(self) -> int:
        """The length of the audio in whole milliseconds."""
        return int(self.audio_format.duration_ms(len(self.audio))) if self.audio_format else 0


class Conversation:
    """Items in order. Adding beyond the limits is refused; the oldest audio makes room for new audio."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._order: list[str] = []
        self._entries: dict[str, Entry] = {}
        self._content_bytes = 0
        self._audio_bytes = 0

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Entry]:
        return (self._entries[item_id] for item_id in self._order)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._entries

    def last_id(self) -> str | None:
        """Give the id of the last item, or None."""
        return self._order[-1] if self._order else None

    def find(self, item_id: str) -> Entry | None:
        """Give an item, or None."""
        return self._entries.get(item_id)

    def has_call(self, call_id: str) -> bool:
        """Tell whether a function call with this id is in the conversation."""
        return any(entry.item.type == "function_call" and entry.item.call_id == call_id for entry in self)

    def place_of(self, previous_item_id: str | UnsetType | None) -> int:
        """Give the index behind an item: the end if none is named, the front for `root`.

        Raises:
            Refusal: No such item.
        """
        if previous_item_id is UNSET or previous_item_id is None:
            return len(self._order)
        if previous_item_id == ROOT:
            return 0
        if previous_item_id not in self._entries:
            raise Refusal(
                f"Error adding item: the previous item with id '{previous_item_id}' does not exist.",
                code="item_create_invalid_previous_item_id",
                param="previous_item_id",
            )
        return self._order.index(str(previous_item_id)) + 1

    def add(self, item: Item, *, place: int | None = None) -> tuple[Entry, str | None]:
        """Add an item, and give it with the id of the one before it.

        Raises:
            Refusal: The id is taken, or the conversation is full.
        """
        item_id = item.id or self._ids("item")
        size = sum(len(part.text or "") + len(part.image_url or "") for part in item.content or ())
        size += len(item.output or "") + len(item.arguments or "")
        self._check_room(item_id, size)
        self._ids.pass_over(item_id)
        self._ids.pass_over(item.call_id or "")
        entry = Entry(msgspec.structs.replace(item, id=item_id), size_bytes=size)
        place = len(self._order) if place is None else place
        self._order.insert(place, item_id)
        self._entries[item_id] = entry
        self._content_bytes += size
        return entry, self._order[place - 1] if place else None

    def previous_id(self, item_id: str) -> str | None:
        """Give the id of the item before this one, or None."""
        if self._order and self._order[-1] == item_id:
            return self._order[-2] if len(self._order) > 1 else None
        place = self._order.index(item_id)
        return self._order[place - 1] if place else None

    def delete(self, item_id: str) -> Entry | None:
        """Take an item out; None where it is not there."""
        entry = self._entries.pop(item_id, None)
        if entry is not None:
            self._order.remove(item_id)
            self._content_bytes -= entry.size_bytes
            self._audio_bytes -= len(entry.audio)
        return entry

    def set_audio(self, entry: Entry, audio: bytes, audio_format: AudioFormat) -> None:
        """Give an item its audio; the oldest items lose theirs if there is too much."""
        if entry.id in self._entries:
            self._audio_bytes += len(audio) - len(entry.audio)
        entry.audio, entry.audio_format = audio, audio_format
        if self._audio_bytes > MOST_AUDIO_BYTES:
            self._forget_oldest_audio(keep=entry)

    def cut(self, entry: Entry, audio_end_ms: int) -> None:
        """Keep so much of an assistant item's audio, and none of its transcript; at its end if it still grows."""
        entry.cut_ms = audio_end_ms
        if not entry.is_final or entry.audio_format is None:
            return
        self.set_audio(entry, bytes(entry.audio[: entry.audio_format.n_bytes(audio_end_ms)]), entry.audio_format)
        parts = [msgspec.structs.replace(part, transcript="") for part in entry.item.content or ()]
        entry.item = msgspec.structs.replace(entry.item, content=parts)

    def forget_audio(self) -> None:
        """Forget all audio, when the session is over."""
        for entry in self:
            entry.audio = b""
        self._audio_bytes = 0

    def _forget_oldest_audio(self, *, keep: Entry) -> None:
        for entry in self:
            if self._audio_bytes <= MOST_AUDIO_BYTES:
                return
            if entry is not keep:
                self._audio_bytes -= len(entry.audio)
                entry.audio = b""

    def _check_room(self, item_id: str, size: int) -> None:
        if item_id in self._entries:
            text = f"Error adding item: an item with id '{item_id}' already exists."
            raise Refusal(text, code="item_create_duplicate_item_id", param="item.id")
        if len(self._order) >= MOST_ITEMS or self._content_bytes + size > MOST_CONTENT_BYTES:
            raise Refusal("The conversation is full.", code="context_length_exceeded", param="item")


def shown(item: Item) -> Item:
    """Give an item as events show it: without its audio, and with a transcript of null where there is none."""
    if not item.content:
        return item
    return msgspec.structs.replace(item, content=[_without_audio(part) for part in item.content])


def understood(entry: Entry) -> Item:
    """Give an item as the brain sees it: with the words of its audio."""
    item = shown(entry.item)
    if not entry.heard or not item.content:
        return item
    parts = [
        msgspec.structs.replace(part, transcript=entry.heard) if part.type == "input_audio" else part
        for part in item.content
    ]
    return msgspec.structs.replace(item, content=parts)


def sent_audio(item: Item) -> bytes:
    """Give the audio that a client put into an item."""
    return b"".join(part.audio or b"" for part in item.content or () if part.type == "input_audio")


def with_audio(entry: Entry) -> Item:
    """Give an item as `conversation.item.retrieved` shows it."""
    item = shown(entry.item)
    if not entry.audio or not item.content:
        return item
    audio = bytes(entry.audio)
    parts = [msgspec.structs.replace(part, audio=audio) if part.type in AUDIO_PARTS else part for part in item.content]
    return msgspec.structs.replace(item, content=parts)


def _without_audio(part: ContentPart) -> ContentPart:
    if part.type not in AUDIO_PARTS:
        return part
    nothing = None if part.type == "input_audio" else ""
    return msgspec.structs.replace(part, audio=UNSET, transcript=part.transcript or nothing)
