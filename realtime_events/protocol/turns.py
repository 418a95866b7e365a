"""Turns: one user input and all responses it causes, tool rounds included.

Owns what a turn collects. Pure: no loop and no clock; times are passed in, in seconds, and shown in milliseconds.
Before it: `core.py`, which says what belongs to which turn; after it: the events `turn.started` and `turn.done`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..events.local import ToolResult
from ..events.response import Response, Usage
from .usage import add_usage

if TYPE_CHECKING:
    from .conversation import ConversationItem
    from .responses import Wanted

TurnStatus = Literal["running", "completed", "cancelled", "incomplete", "failed", "cut"]
Mark = Literal["speech_end", "response_created", "first_delta", "first_audio", "done"]


@dataclass(eq=False, slots=True)
class RunningResponse:
    """What is known of a response between `response.created` and `response.done`.

    Attributes:
        wanted: What asked for it; None where the server began it by itself.
        interruptible: Whether somebody who speaks may cut it.
        may_be_asked_for: Whether it began while a request waited for its response.
        silenced: Whether it was interrupted: no more of its deltas are published.
        parts: The pieces of each text or transcript, by item and content index.
        audio: Its items with audio.
        waiters: Who is to be told of its end.
    """

    id: str
    in_band: bool = True
    turn: Turn | None = None
    wanted: Wanted | None = None
    interruptible: bool = True
    silenced: bool = False
    may_be_asked_for: bool = False
    parts: dict[tuple[str, int], list[str]] = field(default_factory=dict[tuple[str, int], list[str]])
    audio: dict[str, ConversationItem] = field(default_factory=dict[str, "ConversationItem"])
    waiters: list[Any] = field(default_factory=list[Any])

    def audio_ms(self) -> float:
        """Give the milliseconds of audio received so far."""
        return sum(item.audio_ms for item in self.audio.values())

    def text(self) -> str:
        """Give the text and transcripts received so far, in the order in which their parts began."""
        return "\n".join(filter(None, ("".join(pieces) for pieces in self.parts.values())))


@dataclass(eq=False, slots=True, weakref_slot=True)
class Turn:
    """One user input and all responses it causes.

    Attributes:
        user_text: What the user wrote or, once transcribed, said.
        responses: The finished responses in order, tool rounds included.
        tool_calls: The answered tool calls in the order in which they ended.
        usage: The tokens of all responses together.
        timeline_ms: Milliseconds from the turn's start to `speech_end`, `response_created`, `first_delta`,
            `first_audio` and `done`; a mark that was not reached is missing.
        audio: The spoken audio in the session's output format, where `retain_audio` keeps it.
        status: How the last response ended; `running` until then, `cut` where the connection or a newer turn ended it.
    """

    started_s: float
    user_text: str = ""
    responses: list[Response] = field(default_factory=list[Response])
    tool_calls: list[ToolResult] = field(default_factory=list[ToolResult])
    usage: Usage = field(default_factory=Usage)
    timeline_ms: dict[str, float] = field(default_factory=dict[str, float])
    audio: bytearray = field(default_factory=bytearray, repr=False)
    status: TurnStatus = "running"
    rounds: int = 0
    _texts: list[str] = field(default_factory=list[str], repr=False)
    _audio_ms: float = field(default=0.0, repr=False)
    _running: RunningResponse | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """What the assistant has written or said so far, tool rounds included."""
        live = self._running.text() if self._running is not None else ""
        return "\n".join(filter(None, (*self._texts, live)))

    @property
    def audio_ms(self) -> float:
        """How many milliseconds of audio were received so far, kept or not."""
        return self._audio_ms + (self._running.audio_ms() if self._running is not None else 0.0)

    def mark(self, what: Mark, now: float) -> None:
        """Note the first time something happens."""
        self.timeline_ms.setdefault(what, (now - self.started_s) * 1000)

    def follow(self, running: RunningResponse) -> None:
        """Take up a response that has begun."""
        running.turn = self
        self._running = running

    def collect(self, running: RunningResponse, response: Response) -> None:
        """Take over a response that has ended."""
        if self._running is running:
            self._running = None
        if text := running.text() or text_of(response):
            self._texts.append(text)
        self._audio_ms += running.audio_ms()
        self.responses.append(response)
        if response.usage:
            self.usage = add_usage(self.usage, response.usage)


def text_of(response: Response) -> str:
    """Give the text and transcripts of a finished response, for servers that send no deltas."""
    parts = [part for item in response.output or () for part in item.content or () if item.role == "assistant"]
    return "\n".join(filter(None, (part.text or part.transcript or "" for part in parts)))
