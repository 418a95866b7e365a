"""Resuming: what a tape knows of a session whose process has died.

Owns the way from a tape to the state in which the session was: the frames walk through State once more, and nobody acts
on what follows. Knows no socket. Before it: `tape.py`, which drops a torn end; after it: `Realtime.resume`, which opens
a session that goes on from there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..events import client
from ..events.base import UNSET, Event
from ..events.local import ToolCall
from ..events.session import SessionConfig
from ..exceptions import ConfigurationError
from ..protocol import codec, dialect, redaction
from ..protocol.conversation import Conversation
from ..protocol.core import QUIET, TABLE, Core
from ..protocol.resume import merged
from ..protocol.usage import SessionUsage
from .tape import Frame, Header, Tape

LEFT_TO_THE_APPLICATION = ("id", "object", "expires_at", "model", "tools", "type")


@dataclass(slots=True)
class Resumed:
    """What a tape knows of its session.

    Attributes:
        session_id: The server's id of the last server-side session.
        model: Which model it talked to.
        config: What the session was told, but for its tools, which are the application's.
        conversation: Its items, in order, with what was heard of them.
        usage: What all its responses used.
        open_calls: The tool calls that have no output: nobody will answer them.
        torn: Whether the end of the tape is missing.
    """

    session_id: str
    model: str
    config: SessionConfig
    conversation: Conversation
    usage: SessionUsage
    open_calls: list[ToolCall]
    torn: bool

    @classmethod
    def of(cls, tape: Tape | str | Path) -> Resumed:
        """Read a tape.

        Raises:
            ConfigurationError: It is no tape, or none of a realtime session.
        """
        tape = tape if isinstance(tape, Tape) else Tape.read(tape)
        if tape.header.kind != "realtime":
            raise ConfigurationError(f"a tape of a {tape.header.kind} session cannot be resumed")
        reading = _Reading(tape.header)
        for frame in tape.frames:
            reading.take(frame)
        core = reading.core
        return cls(
            session_id=core.session_id,
            model=tape.header.model,
            config=reading.config,
            conversation=core.conversation,
            usage=core.usage,
            open_calls=core.exchange.batches.orphan(),
            torn=tape.torn,
        )


class _Reading:
    """State, fed with the frames of a tape."""

    def __init__(self, header: Header) -> None:
        self.config = SessionConfig()
        self._header = header
        self._epoch = 0
        numbers = itertools.count(1)
        self._new_id: Callable[[str], str] = lambda kind: f"{kind}_tape{next(numbers)}"
        self.core = self._fresh()

    def _fresh(self) -> Core:
        return Core(new_id=self._new_id, splits_items=self._header.dialect == "beta")

    def take(self, frame: Frame) -> None:
        """Take a frame of either side."""
        if frame.epoch != self._epoch:
            self._begin(frame.epoch)
        said_by: Literal["server", "client"] = "server" if frame.direction == "in" else "client"
        data = redaction.with_silence(frame.data) if redaction.audio_bytes(frame.data) else frame.data
        event = dialect.to_ga(codec.decode(data, dialect=self._header.dialect, side=said_by))
        if frame.direction == "in":
            self._hear(event, frame.t_s)
        elif isinstance(event, client.SessionUpdate):
            self.config = merged(self.config, _to_be_said_again(event.session))
        elif isinstance(event, client.ConversationItemCreate) and event.item.type == "function_call_output":
            self._answered(event.item.call_id)

    def _begin(self, epoch: int) -> None:
        """Begin a connection: what outlives one is taken over, and the items that were said again come anew."""
        self._epoch = epoch
        before, self.core = self.core, self._fresh()
        self.core.usage = before.usage

    def _hear(self, event: Event, now: float) -> None:
        if (quiet := QUIET.get(type(event))) is not None:
            quiet(self.core.output, event, lambda: now)
        elif (apply := TABLE.get(type(event))) is not None:
            apply(self.core, event, now)
        effects = self.core.effects
        for part in (effects.before, effects.after, effects.settled, effects.send, effects.start):
            part.clear()
        effects.purge.clear()

    def _answered(self, call_id: Any) -> None:
        batch = self.core.exchange.batches.of(call_id) if isinstance(call_id, str) else None
        if batch is not None:
            batch.answer(str(call_id), respond=False, when_done="silent")


def _to_be_said_again(config: SessionConfig) -> SessionConfig:
    return msgspec.structs.replace(config, **dict.fromkeys(LEFT_TO_THE_APPLICATION, UNSET))
