"""`replay tape [app.py]`: a tape, played into an application, or shown as the conversation that it is.

Before it: the arguments; after it: the recorder's `replay`, and the application's own handlers.
"""

from __future__ import annotations

import argparse
import asyncio

from ..app import Realtime
from ..events.local import TurnDone
from ..exceptions import ConfigurationError
from ..recorder import Replay, replay
from .loading import Program, Target
from .output import Printer
from .serving import until_sigterm
from .speaking import show


def command(arguments: argparse.Namespace) -> int:
    """Play a tape."""
    if arguments.speed is not None and not arguments.speed > 0:
        raise ConfigurationError(f"--speed is above zero, not {arguments.speed:g}")
    playing = replay(arguments.tape, speed=arguments.speed, tools="real" if arguments.real_tools else "mock")
    if arguments.app is None:
        application = Realtime()
    else:
        target = Target.parse(arguments.app)
        application = Program(target, with_start=False).application(target.name)
    return asyncio.run(until_sigterm(_play(application, playing)))


async def _play(application: Realtime, playing: Replay) -> int:
    """Play a tape to its end, and show the turns as they end."""
    printer = Printer()
    application.on(TurnDone, lambda event: show(printer, event.turn))
    async with application.connect(dial=playing) as session:
        ending = await session.wait_closed()
    printer.note(f"the tape ends after {playing.tape.duration_s:.1f} s: {ending.reason or 'no reason given'}")
    return 0
