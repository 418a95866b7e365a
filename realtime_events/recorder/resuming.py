"""Resuming: what a tape knows of a session whose process has died.

Owns the way from a tape to the state in which the session was: the frames walk through State once more, and nobody acts
on what follows. Knows no socket. Before it: `tape.py`, which drops a torn end; after it: `Realtime.resume`, which opens
a session that goes on from there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..events import client, server
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


@dataclass(slots=True)
class _Epoch:
    """One connection of a tape, and whether its server-side session was told all that the one before knew.

    Attributes:
        core: Its State.
        owed: How many items it had to be told.
    """

    core: Core
    owed: int
    _told: dict[str, str] = field(default_factory=dict[str, str])
    _refused: set[str] = field(default_factory=set[str])
    _has_answered: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the session can be gone on with from here; a process may die while it says items again."""
        if self._has_answered:
            return True
        settled = [event for event, item in self._told.items() if event in self._refused or self._knows(item)]
        return len(settled) >= self.owed

    def _knows(self, item_id: str) -> bool:
        return item_id in self.core.conversation

    def said(self, event: client.ConversationItemCreate) -> None:
        """Take note of an item that the session was told."""
        self._told[event.event_id or ""] = event.item.id or ""

    def heard(self, event: Event) -> None:
        """Take note of what the session says to that."""
        if isinstance(event, server.ErrorEvent):
            self._refused.add(event.error.event_id or "")
        elif isinstance(event, server.ResponseCreated):
            self._has_answered = True


class _Reading:
    """State, fed with the frames of a tape."""

    def __init__(self, header: Header) -> None:
        self.config = SessionConfig()
        self._header = header
        self._epochs: dict[int, _Epoch] = {}
        numbers = itertools.count(1)
        self._new_id: Callable[[str], str] = lambda kind: f"{kind}_tape{next(numbers)}"

    @property
    def core(self) -> Core:
        """The State of the last server-side session that had been told everything."""
        for epoch in reversed(self._epochs.values()):
            if epoch.is_whole:
                return epoch.core
        return self._fresh()

    def _fresh(self) -> Core:
        return Core(new_id=self._new_id, splits_items=self._header.dialect == "beta")

    def take(self, frame: Frame) -> None:
        """Take a frame of either side."""
        epoch = self._epochs.get(frame.epoch) or self._begin(frame.epoch)
        said_by: Literal["server", "client"] = "server" if frame.direction == "in" else "client"
        data = redaction.with_silence(frame.data) if redaction.audio_bytes(frame.data) else frame.data
        event = dialect.to_ga(codec.decode(data, dialect=self._header.dialect, side=said_by))
        if frame.direction == "in":
            epoch.heard(event)
            self._hear(epoch.core, event, frame.t_s)
        elif isinstance(event, client.SessionUpdate):
            self.config = merged(self.config, _to_be_said_again(event.session))
        elif isinstance(event, client.ConversationItemCreate):
            epoch.said(event)
            if event.item.type == "function_call_output":
                self._answered(epoch.core, event.item.call_id)

    def _begin(self, number: int) -> _Epoch:
        """Begin a connection: what outlives one is taken over, and the items that were said again come anew."""
        before, core = self.core, self._fresh()
        core.usage = before.usage
        epoch = self._epochs[number] = _Epoch(core, owed=len(before.conversation.seed_items()))
        return epoch

    def _hear(self, core: Core, event: Event, now: float) -> None:
        if (quiet := QUIET.get(type(event))) is not None:
            quiet(core.output, event, lambda: now)
        elif (apply := TABLE.get(type(event))) is not None:
            apply(core, event, now)
        effects = core.effects
        for part in (effects.before, effects.after, effects.settled, effects.send, effects.start):
            part.clear()
        effects.purge.clear()

    def _answered(self, core: Core, call_id: Any) -> None:
        batch = core.exchange.batches.of(call_id) if isinstance(call_id, str) else None
        if batch is not None:
            batch.answer(str(call_id), respond=False, when_done="silent")


def _to_be_said_again(config: SessionConfig) -> SessionConfig:
    return msgspec.structs.replace(config, **dict.fromkeys(LEFT_TO_THE_APPLICATION, UNSET))
