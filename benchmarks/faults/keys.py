"""Where a key shows: a session is held, another is refused, and everything that may end up in a log is searched."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.clients import Client, Order, Told
from benchmarks.faults.stage import READY_S, staged

CANARY = "test-key-canary-5f2c9b"
HERE = Path(__file__).parent


class Lines(logging.Handler):
    """Keeps every line that is logged, formatted with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one."""
        self.lines.append(self.format(record))


async def spilt(make: type[Client]) -> dict[str, Any]:
    """Searches the logs at DEBUG, the `repr` and `vars` of public objects, the error of a refusal and its traceback."""
    lines, root = Lines(), logging.getLogger()
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    found = dict[str, bool]()
    async with staged(make) as stage:
        told = Told()
        client = await stage.enter(told, key=CANARY)
        await client.ask("First question.")
        await told.until("answer", timeout=READY_S)
        things = client.things().values()
        found["repr"] = any(CANARY in f"{thing!r}{thing}" for thing in things)
        found["vars"] = any(CANARY in repr(getattr(thing, "__dict__", {})) for thing in things)
    async with staged(make, api_key="test-key-of-another") as stage:
        error = await _refusal(make, stage.proxy.endpoint.url)
    if error is not None:
        found["error"] = CANARY in f"{error!r}{error}"
        found["traceback with locals"] = CANARY in "".join(_locals_of(error))
    found["log at DEBUG"] = any(CANARY in line for line in lines.lines)
    root.removeHandler(lines)
    return {"refused": error is not None, "shown_in": [place for place, is_there in found.items() if is_there]}


async def _refusal(make: type[Client], url: str) -> BaseException | None:
    """Gives the error of a connection that is refused: what connecting raises, or what the application is told."""
    told = Told()
    client = make(Order(url=url, key=CANARY), told)
    try:
        async with asyncio.timeout(READY_S):
            await client.__aenter__()
    except Exception as error:  # noqa: BLE001 - what it raises is what is looked at
        return error
    await told.until("trouble", "failed", timeout=READY_S)
    return next(iter(told.errors), None)


def _locals_of(error: BaseException) -> Iterator[str]:
    """Gives what a traceback shows of the variables of the package, of the causes too; not those of this program."""
    queue: list[traceback.TracebackException | None] = [
        traceback.TracebackException.from_exception(error, capture_locals=True)
    ]
    while queue:
        shown = queue.pop()
        if shown is not None:
            queue += [shown.__cause__, shown.__context__, *(shown.exceptions or ())]
            yield from (str(frame.locals) for frame in shown.stack if str(HERE) not in frame.filename)
