"""How the findings are told: a table for people, JSON for programs, a file for whoever cites them.

Owns these forms. What is written names the server, the model and the version, and no key and no id. Before it: the
command; after it: the terminal and the disk.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from ... import __version__
from ...endpoint import Endpoint
from ...exceptions import ConfigurationError
from ...secrecy import bare_url
from ..output import Printer, printable
from .questions import Finding, Notebook, Value

MOST_COLUMNS, FEWEST_COLUMNS, WIDE_COLUMNS = 118, 72, 110
WIDE, NARROW = (29, 29, 6), (18, 19, 6)  # assumed, found, agrees; the question has the rest
GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was asked of whom, and what was found."""

    endpoint: Endpoint
    model: str
    began: datetime
    book: Notebook

    def as_json(self) -> bytes:
        """Give all of it as one JSON object."""
        told: dict[str, Any] = {
            "date": self.began.astimezone(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "endpoint": bare_url(self.endpoint.url),
            "model": self.model,
            "simulated": self.endpoint.is_simulated,
            "complete": self.book.is_complete,
            "findings": [_as_json(finding) for finding in self.book.findings],
        }
        return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"

    def show(self, printer: Printer) -> None:
        """Print a table, and below it where what was found contradicts the package."""
        columns = min(MOST_COLUMNS, max(FEWEST_COLUMNS, shutil.get_terminal_size((MOST_COLUMNS, 24)).columns))
        table = Table(printer, columns)
        printer.line(f"{bare_url(self.endpoint.url)} · {printable(self.model)}", "note")
        printer.line(f"realtime-events {__version__} · {self.began.astimezone(UTC):%Y-%m-%d %H:%M} UTC", "note")
        printer.line()
        table.row(("question", "assumed", "found", "agrees"), ("note",) * 4)
        for finding in self.book.findings:
            table.finding(finding)
        printer.line()
        self._show_sum(printer)

    def _show_sum(self, printer: Printer) -> None:
        findings = self.book.findings
        wrong = [finding for finding in findings if finding.agrees is False]
        for finding in wrong:
            where = ", ".join(finding.question.where)
            seen = ", ".join(f"{name} {in_words(value)}" for name, value in finding.seen.items())
            told = f" (seen: {seen})" if seen else ""
            printer.line(printable(f"{finding.question.name}: look at {where}{told}"), "bad")
        answered = sum(finding.found is not None for finding in findings)
        text = f"{answered} of {len(findings)} answered, {len(wrong)} against what is assumed"
        printer.line(text, "bad" if wrong else "good" if answered else "note")
        if not self.book.is_complete:
            printer.note("it was stopped: the other questions were not asked")


class Table:
    """Rows of four cells, each wrapped to its column."""

    def __init__(self, printer: Printer, columns: int) -> None:
        self._printer = printer
        others = WIDE if columns >= WIDE_COLUMNS else NARROW
        self._widths = (columns - sum(others) - GAP * len(others), *others)

    def finding(self, finding: Finding) -> None:
        """Print one finding."""
        assumed = " or ".join(map(in_words, finding.question.assumed)) or "nothing"
        good = {True: "good", False: "bad", None: ""}[finding.agrees]
        if finding.found is None:
            found, style = (finding.reason if finding.was_asked else f"not asked: {finding.reason}"), "note"
        else:
            found, style = in_words(finding.found), good
        agrees = "" if finding.agrees is None else in_words(finding.agrees)
        self.row((finding.question.asks, assumed, found, agrees), ("", "", style, good))

    def row(self, cells: Iterable[str], styles: Iterable[str]) -> None:
        """Print one row."""
        wrapped = [textwrap.wrap(printable(cell), width) for cell, width in zip(cells, self._widths, strict=True)]
        looks = tuple(styles)
        for line in zip_longest(*wrapped, fillvalue=""):
            last = max(place for place, piece in enumerate(line) if piece)
            for place, piece in enumerate(line[: last + 1]):
                padded = piece if place == last else piece.ljust(self._widths[place] + GAP)
                self._printer.write(padded, looks[place])
            self._printer.write("\n")


def in_words(value: Value) -> str:
    """Give an answer as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _as_json(finding: Finding) -> dict[str, Any]:
    question = finding.question
    return {
        "question": question.name,
        "asks": question.asks,
        "assumed": question.assumed,
        "where": question.where,
        "asked": finding.was_asked,
        "found": finding.found,
        "agrees": finding.agrees,
        "seen": finding.seen,
        "reason": finding.reason or None,
    }


class Keeper:
    """The file that the findings go into: made before anything is asked, readable by its owner alone.

    Raises:
        ConfigurationError: It is there already, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._file = os.open(path, flags, 0o600)
        except FileExistsError:
            raise ConfigurationError(
                f"{path} is there already, with what was found before; name another file with --out"
            ) from None
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise ConfigurationError(f"{path} cannot be written: {reason}") from None

    def keep(self, data: bytes) -> None:
        """Write what was found; without data, take the file away again."""
        with os.fdopen(self._file, "wb") as file:
            file.write(data)
        if not data:
            self._path.unlink(missing_ok=True)
