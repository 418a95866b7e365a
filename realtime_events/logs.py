"""Logs: the loggers of the rooms, whose lines nobody can forge and in which no key stands.

Owns how a value looks in a log line. Knows no room; after it: the application's own handlers. A log call stays an
ordinary one: what it is given passes a filter on the logger, so that no call has to remember it.
"""

from __future__ import annotations

import logging
import traceback

from .exceptions import one_line
from .secrecy import Secret

LINE_CHARACTERS = 1_000
TRACEBACK_CHARACTERS = 4_000


def logger(room: str) -> logging.Logger:
    """Give the logger `realtime_events.<room>`."""
    named = logging.getLogger(f"realtime_events.{room}")
    named.addFilter(_clean)  # Twice is once: it is the same function.
    return named


def _clean(record: logging.LogRecord) -> bool:
    """Make one harmless line of every argument, and of every line of a traceback."""
    if isinstance(record.args, tuple):
        record.args = tuple(_shown(value) for value in record.args)
    if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
        lines = "".join(traceback.format_exception(record.exc_info[1])).splitlines()
        # Indented, so that a message of two lines cannot look like the beginning of another record.
        record.exc_text = "\n".join("  " + _indent(line) for line in lines)
    return True


def _shown(value: object) -> object:
    if isinstance(value, Secret):
        return repr(value)
    if isinstance(value, str | BaseException):
        return one_line(str(value), limit=LINE_CHARACTERS)
    return value


def _indent(line: str) -> str:
    inner = line.lstrip(" ")
    return line[: len(line) - len(inner)] + one_line(inner, limit=TRACEBACK_CHARACTERS)
