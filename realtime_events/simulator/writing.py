"""Writing one output item: its events, piece by piece.

Owns how a message, spoken or written, and a function call come out in deltas, and how each is closed when it is whole
or cut. Knows no other item and no time but the wait after each piece. Before it: `generation.py`, which asks for the
pieces; after it: the same, which sends them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..audio import PCM16, AudioFormat
from ..events.base import ServerEvent
from ..events.items import ContentPart, Item
from ..events.server import (
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from .input_audio import Encoder
from .tokens import OUTPUT_AUDIO_MS_PER_TOKEN, Count, text_tokens
from .voice import Voice

AUDIO_DELTA_MS = 100
TOKEN_S = 0.02
ARGUMENT_PIECE = 12
_WORD = re.compile(r"\s*\S+\s*")


class Step(NamedTuple):
    """Events that come together; how long to wait before the next ones, and what the voice has to do for them."""

    events: list[ServerEvent]
    wait_s: float = 0.0
    job: Callable[[], None] | None = None


class Place(NamedTuple):
    """Where in which response an item is written."""

    response_id: str
    item_id: str
    output_index: int


class Writer(ABC):
    """Writes one item. `audio` is what has been spoken so far, in `audio_format`."""

    def __init__(self, place: Place, *, pace: float, audio_format: AudioFormat = PCM16) -> None:
        self.place = place
        self.audio = bytearray()
        self.audio_format = audio_format
        self._said = ""
        self._pace = pace

    @abstractmethod
    def item(self, status: str) -> Item:
        """Give the item as far as it has come."""

    def begin(self) -> list[ServerEvent]:
        """Give the events between the item's appearance and its first piece: none where it has no parts."""
        return []

    @abstractmethod
    def pieces(self, written: Count) -> Iterator[Step]:
        """Give the deltas, counting their tokens."""

    def finish(self) -> list[ServerEvent]:
        """Give the events between the last piece and the end of the item."""
        return []

    def _say(self, piece: str, written: Count) -> None:
        self._said += piece
        written.text += text_tokens(piece)


class TextWriter(Writer):
    """Writes a message of text."""

    def __init__(self, place: Place, text: str, *, pace: float) -> None:
        super().__init__(place, pace=pace)
        self._at = _at(place)
        self._words = _words(text)

    def item(self, status: str) -> Item:
        """Give the message as far as it has come."""
        content = [] if status == "in_progress" else [ContentPart(type="output_text", text=self._said)]
        return _message(self.place.item_id, status, content)

    def begin(self) -> list[ServerEvent]:
        """Open the text part."""
        return [ResponseContentPartAdded(**self._at, part=ContentPart(type="text", text=""))]

    def pieces(self, written: Count) -> Iterator[Step]:
        """Give word after word."""
        for word in self._words:
            self._say(word, written)
            yield Step([ResponseOutputTextDelta(**self._at, delta=word)], TOKEN_S / self._pace)

    def finish(self) -> list[ServerEvent]:
        """Close the text part."""
        return [
            ResponseOutputTextDone(**self._at, text=self._said),
            ResponseContentPartDone(**self._at, part=ContentPart(type="text", text=self._said)),
        ]


class SpeechWriter(Writer):
    """Speaks a message: audio, and its transcript a little ahead of it."""

    def __init__(self, place: Place, text: str, *, voice: Voice, audio_format: AudioFormat, pace: float) -> None:
        super().__init__(place, pace=pace, audio_format=audio_format)
        self._at = _at(place)
        self._words = _words(text)
        self._text = text
        self._voice = voice

    def item(self, status: str) -> Item:
        """Give the message as far as it has come."""
        content = [] if status == "in_progress" else [ContentPart(type="output_audio", transcript=self._said)]
        return _message(self.place.item_id, status, content)

    def begin(self) -> list[ServerEvent]:
        """Open the audio part."""
        return [ResponseContentPartAdded(**self._at, part=ContentPart(type="audio", transcript=""))]

    def pieces(self, written: Count) -> Iterator[Step]:
        """Give the audio in pieces of 100 ms, each with the next word."""
        encoder = Encoder(self.audio_format)
        words = iter(self._words)
        fetching = Fetching(self._spoken())
        rest, size = b"", PCM16.n_bytes(AUDIO_DELTA_MS)
        while not fetching.is_over:
            yield Step([], job=fetching.fetch)
            rest += fetching.take()
            while len(rest) >= size or (rest and fetching.is_over):
                yield self._speak(rest[:size], next(words, ""), encoder, written)
                rest = rest[size:]
        for word in words:
            yield Step(self._speak_word(word, written))

    def finish(self) -> list[ServerEvent]:
        """Close the audio part."""
        return [
            ResponseOutputAudioDone(**self._at),
            ResponseOutputAudioTranscriptDone(**self._at, transcript=self._said),
            ResponseContentPartDone(**self._at, part=ContentPart(type="audio", transcript=self._said)),
        ]

    def _spoken(self) -> Iterator[bytes]:
        yield from self._voice.speak(self._text)  # Only when it is asked for: to call it may be the work.

    def _speak(self, pcm: bytes, word: str, encoder: Encoder, written: Count) -> Step:
        events = self._speak_word(word, written)
        spoken_ms = PCM16.duration_ms(len(pcm))
        if data := encoder.feed(pcm):
            self.audio += data
            written.audio += -int(-spoken_ms // OUTPUT_AUDIO_MS_PER_TOKEN)
            events.append(ResponseOutputAudioDelta(**self._at, delta=data))
        return Step(events, spoken_ms / 1000 / self._pace)

    def _speak_word(self, word: str, written: Count) -> list[ServerEvent]:
        if not word:
            return []
        self._say(word, written)
        return [ResponseOutputAudioTranscriptDelta(**self._at, delta=word)]


class Fetching:
    """The chunks of a voice, fetched one at a time; `fetch` may run on another thread, and raises nothing."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.is_over = False
        self._chunks = chunks
        self._fetched: bytes | Exception | None = b""

    def fetch(self) -> None:
        """Get the next chunk."""
        try:
            self._fetched = next(self._chunks, None)
        except Exception as broken:  # noqa: BLE001 - foreign code may raise anything
            self._fetched = broken

    def take(self) -> bytes:
        """Give the chunk that was fetched; nothing once it is over.

        Raises:
            Exception: What the voice raised.
        """
        if isinstance(self._fetched, Exception):
            raise self._fetched
        self.is_over = self._fetched is None
        return self._fetched or b""


class CallWriter(Writer):
    """Writes a function call."""

    def __init__(self, place: Place, *, name: str, arguments: str, call_id: str, pace: float) -> None:
        super().__init__(place, pace=pace)
        self._name = name
        self._arguments = arguments
        self._call_id = call_id

    def item(self, status: str) -> Item:
        """Give the call as far as it has come."""
        return Item(
            type="function_call",
            id=self.place.item_id,
            object="realtime.item",
            status=status,
            call_id=self._call_id,
            name=self._name,
            arguments=self._said,
        )

    def pieces(self, written: Count) -> Iterator[Step]:
        """Give the arguments in short pieces."""
        for piece in argument_pieces(self._arguments):
            self._say(piece, written)
            response_id, item_id, output_index = self.place
            yield Step(
                [
                    ResponseFunctionCallArgumentsDelta(
                        response_id=response_id,
                        item_id=item_id,
                        output_index=output_index,
                        call_id=self._call_id,
                        delta=piece,
                    )
                ],
                TOKEN_S / self._pace,
            )

    def finish(self) -> list[ServerEvent]:
        """Give the whole arguments."""
        response_id, item_id, output_index = self.place
        return [
            ResponseFunctionCallArgumentsDone(
                response_id=response_id,
                item_id=item_id,
                output_index=output_index,
                call_id=self._call_id,
                name=self._name,
                arguments=self._said,
            )
        ]


def argument_pieces(arguments: str) -> Iterator[str]:
    """Give the arguments of a call in pieces of a few characters."""
    for start in range(0, len(arguments), ARGUMENT_PIECE):
        yield arguments[start : start + ARGUMENT_PIECE]


def _at(place: Place) -> dict[str, Any]:
    return {**place._asdict(), "content_index": 0}


def _message(item_id: str, status: str, content: list[ContentPart]) -> Item:
    return Item(type="message", id=item_id, object="realtime.item", status=status, role="assistant", content=content)


def _words(text: str) -> list[str]:
    return _WORD.findall(text) or ([text] if text else [])


def rechunked(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Give the same bytes in chunks of one size; the last may be shorter."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if rest:
        yield rest
