"""The applications under comparison: one file each, all of one shape.

Each file has a class `Client(order, told)`: an async context manager of one session, connected, configured and handled
as the documentation of its package shows. It notes in `told` what the package tells the application, and adds nothing
of its own: no connection is made again by an application, no error is hidden. A file imports its package, so it is
loaded by name, one per process.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

OURS = "realtime_events"
NAMES: Mapping[str, tuple[str, ...]] = {
    OURS: ("realtime-events", "aiohttp", "msgspec"),
    "openai_sdk": ("openai", "websockets"),
    "openai_agents": ("openai-agents", "websockets"),
    "livekit": ("livekit-agents", "livekit-plugins-openai", "aiohttp"),
}
"""Each client, with the packages whose versions say what was measured."""

MODEL = "gpt-realtime-2.1"
INSTRUCTIONS = "Be brief."
TOOL = "look_up"
TOOL_SAYS = "Finds a number in a slow register."


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an application is to be.

    Attributes:
        url: Where the server is, as `ws://host:port/v1/realtime`.
        key: The key it is given.
        speaks: Whether the assistant answers by voice, and the server listens for the user's; else all is text.
        tool_s: How long its one tool takes.
        slow_s: How long its handler of the assistant's audio takes for the first piece.
    """

    url: str
    key: str = "test-key"
    speaks: bool = False
    tool_s: float = 0.0
    slow_s: float = 0.0

    @property
    def base_url(self) -> str:
        """The URL of the API, from which most packages make that of the WebSocket."""
        return self.url.replace("ws", "http", 1).removesuffix("/realtime")


@dataclass(frozen=True)
class Note:
    """One thing that an application was told: its name, its text, and when on the monotonic clock."""

    name: str
    text: str
    at_s: float


@dataclass
class Told:
    """What an application was told, in order.

    The names are `answer` (a response is complete), `hearing` (the user has begun to speak), `slow` (the slow handler
    has begun), `tool` (the tool runs), `frame` (an event that the package does not know, with its type), `trouble` (an
    error, after which the session goes on), `failed` (a call of the application raised), `lost` and `back` (of the
    connection), `orphaned` (a tool call that nobody will answer, with its id) and `over` (the session has ended).
    """

    notes: list[Note] = field(default_factory=list[Note])
    errors: list[BaseException] = field(default_factory=list[BaseException])
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, name: str, text: object = "") -> None:
        """Takes a note, and keeps the error if it is one."""
        if isinstance(text, BaseException):
            self.errors.append(text)
        self.notes.append(Note(name, text if isinstance(text, str) else _shown(text), time.monotonic()))
        self._bell.set()

    def first(self, *names: str, after_s: float = 0.0, text: str = "") -> Note | None:
        """Gives the first note of any of these names, not before a time, with this in its text."""
        fits = (note for note in self.notes if note.name in names and note.at_s >= after_s and text in note.text)
        return next(fits, None)

    async def until(self, *names: str, after_s: float = 0.0, text: str = "", timeout: float) -> Note | None:
        """Waits for such a note and gives it; None if there is none in time."""
        try:
            async with asyncio.timeout(timeout):
                while (note := self.first(*names, after_s=after_s, text=text)) is None:
                    self._bell.clear()
                    await self._bell.wait()
        except TimeoutError:
            return None
        return note


def _shown(error: object) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)


class Client(Protocol):
    """What each file of this folder offers. No call waits for an answer of the server; failures are noted as told."""

    def __init__(self, order: Order, told: Told) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...

    async def ask(self, text: str) -> None:
        """Says something as the user and asks for a response."""

    async def instruct(self, text: str) -> None:
        """Changes the instructions."""

    async def say(self, pcm: bytes) -> None:
        """Sends a piece of the user's voice, pcm16 at 24 kHz."""

    def things(self) -> dict[str, Any]:
        """Gives the objects that an application holds, which a log or a debugger may show."""


def load(name: str) -> type[Client]:
    """Gives the client of a name; only then is its package imported."""
    client: type[Client] = importlib.import_module(f"benchmarks.faults.clients.{name}").Client
    return client
