"""What is said when something fails: one line and an exit code, and a traceback only for the user's own program.

Owns which failure is whose. Before it: any command; after it: the terminal.
"""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from ..exceptions import ConfigurationError, MissingExtra, RealtimeError
from .arguments import PROGRAM

FAILED = 1
SET_UP = 2


class ProgramFailed(Exception):
    """The user's own program raised.

    `text` is what to print: a sentence and the traceback from the program's first frame on. `code` is the exit code.
    """

    def __init__(self, text: str, *, code: int) -> None:
        self.text = text
        self.code = code
        super().__init__(text)


def report(error: Exception) -> int | None:
    """Print what an expected failure means and give its exit code; None for a failure that nobody foresaw."""
    if isinstance(error, ProgramFailed):
        say(error.text)
        return error.code
    if isinstance(error, TimeoutError):
        say("the server did not answer in time")
        return FAILED
    if not isinstance(error, RealtimeError):
        return None
    say(str(error))
    return SET_UP if isinstance(error, ConfigurationError | MissingExtra) else FAILED


def say(text: str) -> None:
    """Print a line to standard error, after what is on standard output already."""
    sys.stdout.flush()
    print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)


def traceback_from(error: BaseException, filename: str) -> str:
    """Give a traceback from the first frame in a file on: what led there is ours and tells the user nothing."""
    return "".join(traceback.format_exception(type(error), error, _from_file(error, filename))).rstrip()


def last_line_in(error: BaseException, filename: str) -> str:
    """Give `file:line` of the innermost frame in a file; just the file where there is none."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == filename]
    return f"{filename}:{lines[-1]}" if lines else filename


def _from_file(error: BaseException, filename: str) -> TracebackType | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != filename:
        trace = trace.tb_next
    return trace
