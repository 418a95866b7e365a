"""A session's life on the command line: how long it lasts, and what its end means for the exit code.

Owns SIGTERM and the verdict on an ending. Before it: `run` and `chat`; after it: `Session`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING

from ..exceptions import ConnectionLostError
from ..running import drained_at_sigterm
from .failures import say

if TYPE_CHECKING:
    from ..app import Realtime
    from ..session import Session
    from ..transport import Ending

NORMAL_CLOSURE = 1000
PATIENCE_S = 1.0


async def until_sigterm(work: Coroutine[object, object, int]) -> int:
    """Do some work and give its exit code; SIGTERM ends it in good order, with 0."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name="realtime_events.cli.work")
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    handled = False
    with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGTERM, terminate)
        handled = True
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            return 0
        raise
    finally:
        if handled:
            loop.remove_signal_handler(signal.SIGTERM)


def patience_s(application: Realtime) -> float:
    """Give how long the first connection is tried: somebody at a terminal sees a mistyped URL at once."""
    return min(application.options.connect_retry_s, PATIENCE_S)


async def serve(application: Realtime) -> int:
    """Connect an application and let it run until its session ends; SIGTERM lets the turn that runs end."""
    async with application.connect(connect_retry_s=patience_s(application)) as session:
        say(f"{opened(session)}; Ctrl-C ends")
        with drained_at_sigterm(session):
            return verdict(await session.wait_closed())


def opened(session: Session) -> str:
    """Say what has been connected to."""
    where = "the simulator" if session.is_simulated else "the service"
    return f"session {session.id} with {session.model} at {where}"


def loss(ending: Ending) -> Exception:
    """Give the error of an ending that cut something."""
    return ending.error or ConnectionLostError(ending.code, ending.reason, initiator=ending.initiator)


def verdict(ending: Ending) -> int:
    """Give the exit code of an ending that nobody on the command line asked for.

    Raises:
        TransportError: It was no orderly end.
    """
    if ending.error is not None or (ending.initiator != "client" and ending.code != NORMAL_CLOSURE):
        raise loss(ending)
    say("the session has ended" + (f": {ending.reason}" if ending.reason else ""))
    return 0
