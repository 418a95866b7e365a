"""`run app.py`: a user's application, connected and kept running, talked to, or started as it starts itself.

Before it: the arguments; after it: `loading.py` for the application, then serving, talking, conversing or speaking.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from .clips import Clip, words_beside
from .conversing import converse
from .loading import Program, Target
from .reloading import supervise
from .serving import serve, until_sigterm
from .simulate import simulated
from .speaking import load_speech, speak
from .talking import talk


def command(arguments: argparse.Namespace) -> int:
    """Run an application."""
    if arguments.reload:
        return supervise(arguments)
    target = Target.parse(arguments.app)
    is_asked_for = arguments.text or arguments.mic or arguments.wav is not None or target.name is not None
    speech = None if arguments.wav is None else load_speech(arguments.wav)
    with simulated(arguments.simulate, _known(arguments.wav, speech)) as endpoint:
        program = Program(target, with_start=not is_asked_for)
        if endpoint is not None:
            for application in program.applications().values():
                application.endpoint = endpoint
        if arguments.record is not None:
            tapes = _tapes(arguments.record)
            for application in program.applications().values():
                application.record = tapes
        if program.starts_itself and not is_asked_for:
            return program.start()
        application = program.application(target.name)
        if arguments.text:
            return asyncio.run(until_sigterm(talk(application)))
        if arguments.mic:
            return asyncio.run(until_sigterm(converse(application)))
        if speech is not None:
            return asyncio.run(until_sigterm(speak(application, speech)))
        return asyncio.run(until_sigterm(serve(application)))


def _known(path: Path | None, speech: bytes | None) -> Clip | None:
    """Give a recording with the words that stand in the text file beside it, for the simulator to understand."""
    words = None if path is None else words_beside(path)
    return None if words is None or speech is None else Clip(speech, words)


def _tapes(path: Path) -> Callable[[], Path]:
    """Give the path of a tape for each session: the one that was named, then `call-2.jsonl` and so on."""
    first, dot, ending = path.name.partition(".")
    numbers = itertools.count(1)

    def name() -> Path:
        number = next(numbers)
        return path if number == 1 else path.with_name(f"{first}-{number}{dot}{ending}")

    return name
