"""The command line: `realtime-events`, or `python -m realtime_events`.

Owns the way from arguments to an exit code: 0 where all went well, 1 where the other side or the application's own
program failed, 2 where something has to be set up or written otherwise, 130 after Ctrl-C. Each command is a file
beside this one and is imported only when it is asked for. Before it: a person or a script; after it: the application.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper

__all__ = ["main"]

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; without `argv` it takes the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows "?" instead of failing
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `realtime-events events | head`
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def _run(argv: list[str]) -> int:
    from .arguments import parse
    from .failures import report

    try:
        arguments = parse(argv)
        command = import_module(f".{arguments.command}", __name__)
        code: int = command.command(arguments)
    except SystemExit as leaving:  # argparse after --help or an error, or the user's program
        return _code_of(leaving)
    except Exception as error:
        if (failed := report(error)) is None:
            raise
        return failed
    return code


def _code_of(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    print(leaving.code, file=sys.stderr)
    return 1
