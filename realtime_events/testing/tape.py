"""A tape as a test: what happened in the field, played into the application under test.

Owns `tape` and what it gives. Knows no test framework. The room before is the test; the one after is the replay, which
the application takes for a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..app import Realtime
from ..events.base import Event
from ..events.local import TurnDone
from ..protocol.turns import Turn
from ..recorder import Tape, replay
from ..recorder.replaying import Tools

if TYPE_CHECKING:
    from ..transport import Ending

E = TypeVar("E", bound=Event)

TIMEOUT_S = 30.0


@dataclass
class Played:
    """What an application went through while a tape was played into it.

    Attributes:
        tape: The tape.
        ending: How it ended.
        events: Every event that was published, in order, the local ones included.
        turns: Every turn that ended, in order.
    """

    tape: Tape
    ending: Ending
    events: list[Event] = field(default_factory=list[Event])
    turns: list[Turn] = field(default_factory=list[Turn])

    def of(self, kind: type[E]) -> list[E]:
        """Give the events of a class."""
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def tape(
    path: str | Path, app: Realtime, *, tools: Tools = "mock", timeout: float = TIMEOUT_S
) -> AsyncGenerator[Played]:
    """Play a whole tape into an application, handlers and all, and give what came of it.

    `async with tape("call.jsonl", rt) as played:` begins its block when the tape has ended.

    Args:
        path: The tape.
        app: The application under test.
        tools: `mock` has its tools answer what is on the tape; `real` runs them.
        timeout: Seconds that the playing may take.

    Raises:
        ConfigurationError: There is no such tape.
        TimeoutError: It took longer.
    """
    playing = replay(path, tools=tools)
    events: list[Event] = []
    async with asyncio.timeout(timeout):
        app.on("*", events.append)
        try:
            async with app.connect(dial=playing) as session:
                ending = await session.wait_closed()
        finally:
            app.off("*", events.append)
    turns = [event.turn for event in events if isinstance(event, TurnDone)]
    yield Played(playing.tape, ending, events, turns)
