"""The clients under comparison: one file each, all of one shape.

Each file has a class `Client(url, tally)`: an async context manager for what one process holds once. Its `session()`
is a context manager of one connection and gives it as `Live`. A client awaits one handler per delta, which gives the
tally what it heard, decoded; the tally refuses a run that missed any. Nothing else may be measured beside the client,
so the files are imported by name, one per process.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.frames import Traffic, sent_s

PEERS = ("openai_iterate", "openai_on", "openai_agents")
NAMES = ("floor", "realtime_events", *PEERS)
TIMEOUT_S = 120


@dataclass(frozen=True)
class Live:
    """One connection, as the measurements use it.

    Attributes:
        respond: Triggers the traffic and returns when it is over.
        append: Sends a piece of audio.
        commit: Returns when the server has told the tally how many pieces it got.
    """

    respond: Callable[[], Awaitable[None]]
    append: Callable[[bytes], Awaitable[Any]]
    commit: Callable[[], Awaitable[None]]


class Client(Protocol):
    """What each file of this folder offers."""

    def __init__(self, url: str, tally: Tally) -> None: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, *exc: object) -> None: ...
    def session(self) -> AbstractAsyncContextManager[Live]: ...


class Tally:
    """What the handlers of one process heard, to be compared with what was sent.

    With `mark_every`, the CPU seconds of the process are noted in `marks` at each so many deltas.
    """

    def __init__(self, traffic: Traffic, *, mark_every: int = 0) -> None:
        self.traffic = traffic
        self.deltas = 0
        self.payload = 0
        self.responses = 0
        self.marks: list[float] = []
        self.failures: list[str] = []
        self.committed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._mark_every = mark_every
        self._over = asyncio.Event()

    @property
    def delta_name(self) -> str:
        """The event that carries the deltas."""
        return f"response.output_{self.traffic.kind}.delta"

    @property
    def is_audio(self) -> bool:
        """Whether the deltas are audio, which a client must hand over as bytes."""
        return self.traffic.kind == "audio"

    def heard(self, delta: str | bytes) -> None:
        """Counts one delta; called by the handler of every client."""
        self.deltas += 1
        self.payload += len(delta)
        if self._mark_every and self.deltas % self._mark_every == 0:
            self.marks.append(time.process_time())

    def response_done(self) -> None:
        """Counts one `response.done`; the last of a trigger ends the run."""
        self.responses += 1
        if self.responses % self.traffic.responses == 0:
            self._over.set()

    def audio_committed(self, item_id: str) -> None:
        """Takes the answer to a commit, whose item id tells how many pieces the server got."""
        self.committed.set_result(item_id)

    def failed(self, why: object) -> None:
        """Notes that a client complained about the traffic, which spoils the run."""
        self.failures.append(str(why))

    async def settled(self) -> None:
        """Returns when the traffic of one trigger is over and every handler had its delta.

        Raises:
            TimeoutError: Something is missing.
            AssertionError: Something was heard that was not sent, or a client complained.
        """
        async with asyncio.timeout(TIMEOUT_S):
            await self._over.wait()
            self._over.clear()
            triggers = self.responses // self.traffic.responses
            while self.deltas < triggers * self.traffic.events:  # noqa: ASYNC110 - an event would cost each delta a check
                await asyncio.sleep(0)
        if self.failures:
            raise AssertionError("; ".join(self.failures))
        if (self.deltas, self.payload) != (triggers * self.traffic.events, triggers * self.traffic.payload):
            raise AssertionError(f"heard {self.deltas} deltas, {self.payload} of payload in {triggers} triggers")


class TimedTally(Tally):
    """A tally that notes how late each delta of audio comes to its handler, by the clock of this machine."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(traffic)
        self.late_s: list[float] = []

    def heard(self, delta: str | bytes) -> None:
        """Counts one delta, and how long ago it was sent."""
        assert isinstance(delta, bytes)
        self.late_s.append(time.monotonic() - sent_s(delta))
        super().heard(delta)


async def no_op() -> str:
    """Does nothing: the tool that every client offers."""
    return "done"


def load(name: str) -> type[Client]:
    """Gives the client of a name; only then is its library imported."""
    client: type[Client] = importlib.import_module(f"benchmarks.clients.{name}").Client
    return client
