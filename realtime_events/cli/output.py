"""How it looks: lines of a conversation in a terminal, with colours where `rich` is there, plain where not.

Owns the look. Knows no session. Text of the other side is shown with its control characters spelt out, so that nobody
can move the cursor or forge a line. Before it: the commands; after it: the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TextIO

Write = Callable[[str, str], None]

LABEL_COLUMNS = 12
STYLES = {"you": "bold cyan", "assistant": "bold green", "tool": "yellow", "note": "dim", "good": "green", "bad": "red"}


class Printer:
    """Prints to one stream; `style` is one of `STYLES` or empty."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        self._write = _rich_writer(self._file) or self._write_plainly
        self._at_line_start = True

    def write(self, text: str, style: str = "") -> None:
        """Print a piece of a line, at once."""
        if text:
            self._write(text, STYLES.get(style, ""))
            self._at_line_start = text.endswith("\n")
            self._file.flush()

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line of its own; one that was left open is ended first."""
        self.end()
        self.write(f"{text}\n", style)

    def begin(self, who: str) -> None:
        """Open the line of a speaker; pieces follow."""
        self.end()
        self.write(who.ljust(LABEL_COLUMNS), who.split()[0])

    def end(self) -> None:
        """End the line, if one is open."""
        if not self._at_line_start:
            self.write("\n")

    def entered(self) -> None:
        """Take note that the person at the terminal has ended the line."""
        self._at_line_start = True

    def said(self, who: str, text: str, note: str = "") -> None:
        """Print what somebody said, and a note behind it."""
        self.begin(who)
        self.write(printable(text).replace("\n", "\n" + " " * LABEL_COLUMNS))
        self.write(f"   {note}" if note else "", "note")
        self.write("\n")

    def tool(self, name: str, arguments: str, output: str, note: str = "") -> None:
        """Print a tool call with what it gave."""
        self.begin("tool")
        self.write(f"{printable(name)}({printable(arguments)}) → {printable(output)}")
        self.write(f"   {note}" if note else "", "note")
        self.write("\n")

    def note(self, text: str) -> None:
        """Print a line that nobody said."""
        self.line(text, "note")

    def _write_plainly(self, text: str, style: str) -> None:
        self._file.write(text)


def printable(text: str) -> str:
    """Give a text with its control characters, but for line breaks and tabs, spelt out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def seconds(duration_ms: float) -> str:
    """Give a duration as a person reads it: `340 ms`, `2.1 s`."""
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s"


def has_rich() -> bool:
    """Say whether the extra `cli` is installed."""
    return find_spec("rich") is not None


def _rich_writer(file: TextIO) -> Write | None:
    """Give a writer in colours, where there are eyes for them; `NO_COLOR` is honoured (no-color.org)."""
    if not file.isatty() or os.environ.get("NO_COLOR") or not has_rich():
        return None
    from rich.console import Console
    from rich.text import Text

    console: Any = Console(file=file, highlight=False, soft_wrap=True)
    return lambda text, style: console.print(Text(text, style=style), end="", soft_wrap=True)
