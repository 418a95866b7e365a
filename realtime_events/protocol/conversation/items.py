"""One item of the conversation as we know it: what was said, how far it has come, what was heard of it.

Owns `ConversationItem` and what it is made of. Whatever is told of an item in any order ends in the same item: a whole
text wins over its pieces, and of two whole texts the longer one. Knows no event and no other item. Before it:
`history.py`, which tells it what events say; after it: whoever reads the conversation.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ...events.base import UNSET
from ...events.items import ContentPart, Item, McpError
from ...events.response import FailureDetails
from .hearing import words_heard

MOST_PARTS: Final = 1_024
PCM16_BYTES_PER_MS: Final = 48
AUDIO_PARTS: Final = ("audio", "input_audio", "output_audio")
CLIENT_ROLES: Final = ("user", "system")
# Items that are whole from the beginning: nobody generates them.
WHOLE_TYPES: Final = ("function_call_output", "mcp_approval_response")
# How sure a status is. What an item says of itself is surer than what follows from its response.
INFERRED, SAID, SAID_INCOMPLETE = 1, 2, 3


class Words(msgspec.Struct, kw_only=True, omit_defaults=True, eq=False):
    """Text that comes in pieces. `pieces` is live: deltas are appended to it until the text is whole."""

    pieces: list[str] = []
    is_whole: bool = False

    def __str__(self) -> str:
        return "".join(self.pieces)

    def write(self, text: str) -> None:
        """Set the whole text; it wins over the pieces, and over a shorter whole text. Nothing at all says nothing."""
        if not text:
            return
        if self.is_whole:
            known = str(self)
            if (len(text), text) <= (len(known), known):
                return
        self.pieces[:] = [text]
        # A new list, so that a delta that comes too late for whoever kept the old one changes nothing.
        self.pieces = [text]
        self.is_whole = True

    def live(self) -> list[str]:
        """Give the list to which deltas are appended; one that nobody reads once the text is whole."""
        return [] if self.is_whole else self.pieces


class Part(Words, kw_only=True, omit_defaults=True, eq=False):
    """One content part: its words are its text or, for audio, its transcript. `image_url` is a data URI."""

    type: str = ""
    image_url: str = ""
    detail: str = ""

    @property
    def is_audio(self) -> bool:
        """Whether the part is audio."""
        return self.type in AUDIO_PARTS

    @property
    def text(self) -> str:
        """The text so far; "" for audio."""
        return "" if self.is_audio else str(self)

    @property
    def transcript(self) -> str:
        """What the audio says, so far; "" for anything but audio."""
        return str(self) if self.is_audio else ""

    def become(self, kind: str) -> None:
        """Set the type. `text` and `audio`, as some events call the parts of a response, are given their full name."""
        self.type = {"text": "output_text", "audio": "output_audio"}.get(kind, kind) or self.type


class Segment(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What one speaker said, in seconds from the beginning of the item's audio."""

    id: str = ""
    speaker: str = ""
    text: str = ""
    start_s: float = 0.0
    end_s: float = 0.0


class Transcription(msgspec.Struct, kw_only=True, omit_defaults=True, eq=False):
    """How the transcription of a user's audio goes. Its words are in the item's part."""

    status: Literal["pending", "completed", "failed"] = "pending"
    error: FailureDetails | None = None
    languages: list[str] = []
    segments: list[Segment] = []

    def add(self, segment: Segment) -> None:
        """Take a segment in, by its time; one that is known already changes nothing."""
        if segment not in self.segments:
            self.segments = sorted([*self.segments, segment], key=lambda s: (s.start_s, s.end_s, s.id, s.text))


class ConversationItem(msgspec.Struct, kw_only=True, omit_defaults=True, eq=False):
    """One item of the conversation.

    Attributes:
        type: As in `Item`: `message`, `function_call` and so on; "" while nobody said it.
        role: `user`, `assistant` or `system` for messages.
        status: `in_progress`, `completed` or `incomplete`.
        response_id: The response that generated it, "" if none did.
        parts: The content parts of a message; their words are live.
        audio_bytes: How much audio of an assistant item was received; the audio itself is not kept.
        bytes_per_ms: How many of these bytes are a millisecond.
        audio_end_ms: Where its audio was cut by an interruption; None if it was not.
        speech_start_ms: Where the user began to speak, in the session's input audio; None if nobody said it.
        speech_end_ms: Where the user stopped, likewise.
        output: A tool's output, or that of a hosted MCP server.
        tools: The names of the tools an MCP server lists.
        error: Why the call to an MCP server failed.
        transcription: How the transcription of a user's audio goes; None for what is not a user's audio.
        started_s: When it began, on the session's clock: speech, playback where somebody says so, or first sight.
        ended_s: When it was whole, or the user stopped speaking.
        is_cancelled: Whether its response was cancelled.
        in_conversation: Whether the server said so; not so for what belongs to an out-of-band response.
    """

    id: str
    type: str = ""
    role: str = ""
    phase: str = ""
    status: Literal["in_progress", "completed", "incomplete"] = "in_progress"
    sureness: int = 0
    response_id: str = ""
    parts: list[Part] = []
    audio_bytes: int = 0
    bytes_per_ms: int = PCM16_BYTES_PER_MS
    audio_end_ms: int | None = None
    noted_words: str | None = None
    speech_start_ms: int | None = None
    speech_end_ms: int | None = None
    call_id: str = ""
    name: str = ""
    argument_words: Words = msgspec.field(default_factory=Words)
    output: str = ""
    server_label: str = ""
    tools: list[str] = []
    error: McpError | None = None
    approval_request_id: str = ""
    approve: bool | None = None
    reason: str = ""
    transcription: Transcription | None = None
    started_s: float | None = None
    ended_s: float | None = None
    is_cancelled: bool = False
    in_conversation: bool = False

    def __repr__(self) -> str:
        return f"ConversationItem({self.id!r}, {self.role or self.type}, {self.status}, {self.text!r})"

    # What it says.

    @property
    def text(self) -> str:
        """All its words so far: texts and transcripts, one line for each part."""
        return "\n".join(filter(None, map(str, self.parts)))

    @property
    def arguments(self) -> str:
        """A call's arguments so far: JSON once they are whole."""
        return str(self.argument_words)

    @property
    def audio_ms(self) -> float:
        """How long its audio is: what was received of an assistant's, what was spoken of a user's."""
        if self.speech_start_ms is not None and self.speech_end_ms is not None:
            return max(0, self.speech_end_ms - self.speech_start_ms)
        return self.audio_bytes / (self.bytes_per_ms or 1)

    @property
    def heard(self) -> str | None:
        """The words that were heard of an item that was cut off; None if all were."""
        if self.audio_end_ms is None:
            return None
        return self.heard_after(self.audio_end_ms) if self.noted_words is None else self.noted_words

    @property
    def heard_text(self) -> str:
        """The words that reached the other side."""
        heard = self.heard
        return self.text if heard is None else heard

    @property
    def interrupted(self) -> bool:
        """Whether it was cut off before its end."""
        return self.audio_end_ms is not None or (self.is_cancelled and self.status == "incomplete")

    @property
    def is_audio(self) -> bool:
        """Whether it is spoken."""
        return self.audio_bytes > 0 or self.speech_start_ms is not None or any(part.is_audio for part in self.parts)

    def heard_after(self, ms: float) -> str:
        """Give the words that had been heard after so many milliseconds of its audio: an estimate."""
        return words_heard(self.text, ms, self.audio_ms)

    # What it is told.

    def part(self, index: int) -> Part:
        """Give a content part, made if need be; one that nobody reads if the index is beyond all reason."""
        if not 0 <= index < MOST_PARTS:
            return Part()
        while len(self.parts) <= index:
            self.parts.append(Part())
        return self.parts[index]

    def spoken_part(self, index: int) -> Part:
        """Give a part of what the user said."""
        part = self.part(index)
        part.type = part.type or "input_audio"
        return part

    def transcribing(self) -> Transcription:
        """Give the state of the transcription, which is pending if nobody said so before."""
        if self.transcription is None:
            self.transcription = Transcription()
        return self.transcription

    def end(self, now: float) -> None:
        """Note when it was whole, the first time."""
        if self.ended_s is None:
            self.ended_s = now

    def settle(self, status: Literal["completed", "incomplete"], sureness: int) -> None:
        """Set the status, unless a surer one is known."""
        if sureness > self.sureness:
            self.status, self.sureness = status, sureness

    def cut(self, audio_end_ms: int) -> None:
        """Note that its audio stopped here; the earliest stop counts."""
        if self.audio_end_ms is None or audio_end_ms < self.audio_end_ms:
            self.audio_end_ms, self.noted_words = max(0, audio_end_ms), None

    def take(self, item: Item, *, is_final: bool) -> None:
        """Take over what the server says the item is."""
        self.type = item.type or self.type
        self.role = item.role or self.role
        self.phase = item.phase or self.phase
        self.call_id = item.call_id or self.call_id
        self.name = item.name or self.name
        self.output = item.output or self.output
        if item.status == "completed":
            self.settle("completed", SAID)
        elif item.status == "incomplete":
            self.settle("incomplete", SAID_INCOMPLETE)
        elif is_final or self.role in CLIENT_ROLES or self.type in WHOLE_TYPES:
            self.settle("completed", INFERRED)
        self._take_mcp(item)
        # What is not whole comes again in deltas, and would be there twice.
        is_whole = is_final or item.status in ("completed", "incomplete") or self.role in CLIENT_ROLES
        if is_whole:
            self.argument_words.write(item.arguments or "")
        for index, given in enumerate(item.content or ()):
            self.take_part(index, given, is_whole=is_whole)

    def take_part(self, index: int, given: ContentPart, *, is_whole: bool) -> None:
        """Take over what the server says a part is; its audio is left out."""
        part = self.part(index)
        part.become(given.type or "")
        part.image_url = given.image_url or part.image_url
        part.detail = given.detail or part.detail
        if part.type == "input_audio":
            self.transcribing()
        if is_whole:
            part.write(given.text or given.transcript or "")

    def _take_mcp(self, item: Item) -> None:
        self.server_label = item.server_label or self.server_label
        self.approval_request_id = item.approval_request_id or self.approval_request_id
        self.reason = item.reason or self.reason
        self.error = item.error or self.error
        if item.tools:
            self.tools = [tool.name for tool in item.tools]
        if isinstance(item.approve, bool):
            self.approve = item.approve

    # What can be said again.

    def to_item(self) -> Item | None:
        """Give what can be said again in a new session, or None.

        Speech becomes its transcript, and of an item that was cut off only what was heard. Nothing can be said again of
        an item that is in progress or empty, of a call whose arguments were cut off, and of a hosted MCP server's.
        """
        if self.status == "in_progress":
            return None
        if self.type == "function_call_output" and self.call_id:
            return Item(type=self.type, id=self.id, call_id=self.call_id, output=self.output)
        if self.type == "function_call" and self.call_id and self.name and self.status == "completed":
            arguments = self.arguments or "{}"
            return Item(type=self.type, id=self.id, call_id=self.call_id, name=self.name, arguments=arguments)
        if self.type == "message" and (content := self._said_again()):
            return Item(
                type="message", id=self.id, role=self.role or "user", content=content, phase=self.phase or UNSET
            )
        return None

    def _said_again(self) -> list[ContentPart]:
        kind = "output_text" if self.role == "assistant" else "input_text"
        if self.audio_end_ms is not None:
            return [ContentPart(type=kind, text=self.heard)] if self.heard else []
        return [again for part in self.parts if (again := _part_again(part, kind)) is not None]


def _part_again(part: Part, kind: str) -> ContentPart | None:
    if part.image_url:
        return ContentPart(type="input_image", image_url=part.image_url, detail=part.detail or UNSET)
    words = str(part)
    return ContentPart(type=kind, text=words) if words else None
