"""What the tests of secrecy share: canaries, everything logged, and a search through all that somebody might read."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

CANARY = "canary-7f3a91c4"
"""What every planted secret contains. It looks like no known form of a key: nothing finds it by its looks."""

ENCODED = base64.b64encode(f"user:{CANARY}".encode()).decode()


def holds(text: str) -> bool:
    """Says whether a text shows a canary, as it is or as `Basic` credentials."""
    return CANARY in text or ENCODED in text


def crash_report(error: BaseException) -> str:
    """Gives what a crash reporter shows: the chain of errors, their fields, each frame with its locals.

    Frames of the tests are left out, for they planted the canaries.
    """
    told: list[str] = []
    at: BaseException | None = error
    while at is not None:
        frames = [pair for pair in traceback.walk_tb(at.__traceback__) if "/tests/" not in pair[0].f_code.co_filename]
        stack = traceback.StackSummary.extract(iter(frames), capture_locals=True)
        told += [repr(at), str(at), repr(vars(at)), *stack.format()]
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\n".join(told)


class Seen:
    """All that the process logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def check(self, *more: object) -> None:
        """Fails where a canary stands in a log record, in an error with its traceback, or in the `repr` of anything."""
        formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
        for record in self._caplog.records:
            assert not holds(formatter.format(record)), f"in a line of {record.name}, {record.pathname}:{record.lineno}"
            assert not holds(repr(record.args)), f"in the arguments of a record of {record.name}"
        for thing in more:
            shown = crash_report(thing) if isinstance(thing, BaseException) else repr(thing)
            assert not holds(shown), shown


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[Seen]:
    """Logs everything there is, and looks through it once more at the end."""
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "aiohttp", "realtime_events"):
        caplog.set_level(logging.DEBUG, logger=name)
    found = Seen(caplog)
    yield found
    found.check()


def graph_of(thing: Any, depth: int = 4) -> Iterator[Any]:
    """Gives an object and what its `vars()` and slots lead to."""
    yield thing
    if not depth or isinstance(thing, str | bytes | int | float | type(None) | type):
        return
    if isinstance(thing, dict):
        inner = list(thing.values())
    elif isinstance(thing, list | tuple | set):
        inner = list(thing)
    else:
        names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
        inner = [getattr(thing, name) for name in names if hasattr(thing, name)]
    for one in inner:
        yield from graph_of(one, depth - 1)
