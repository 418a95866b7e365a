"""`inspect tape`: a table of its frames, a timeline of what happened, or what can be counted.

Owns the look of a tape. What there is to count is the business of `recorder/findings.py`. Before it: the arguments;
after it: the terminal.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import msgspec

from ..exceptions import ConfigurationError
from ..recorder import Tape
from ..recorder.findings import Findings, Happening, Row, happenings, rows
from .output import Printer, printable, seconds

TIME_COLUMNS = 10
BAR_COLUMNS = 24
ARROWS = {"in": "◀", "out": "▶"}
STYLE_OF = {
    "speech": "you",
    "user": "you",
    "assistant": "assistant",
    "tool": "tool",
    "error": "bad",
    "connection": "note",
}


def command(arguments: argparse.Namespace) -> int:
    """Show a tape."""
    tape = Tape.read(arguments.tape)
    if not tape.epochs and not arguments.json:
        raise ConfigurationError(f"the tape {str(arguments.tape)!r} holds no connection: nothing came of the dialling")
    wanted = "table" if arguments.table else "timeline" if arguments.timeline else "stats" if arguments.stats else ""
    if arguments.json:
        _print_json(tape, wanted)
        return 0
    printer = Printer()
    _title(printer, tape)
    if wanted == "table":
        _table(printer, rows(tape))
    if wanted in ("", "timeline"):
        _timeline(printer, happenings(tape))
    if wanted in ("", "stats"):
        _statistics(printer, Findings.of(tape))
    return 0


def _print_json(tape: Tape, wanted: str) -> None:
    if wanted == "table":
        said: object = list(rows(tape))
    elif wanted == "timeline":
        said = happenings(tape)
    else:
        said = Findings.of(tape)
    print(msgspec.json.format(msgspec.json.encode(said), indent=2).decode())


def _title(printer: Printer, tape: Tape) -> None:
    header = tape.header
    printer.write(f"{printable(header.model) or 'a session'}", "good")
    where = f" at {printable(header.url)}" if header.url else ""
    audio = "with audio" if header.audio else "without audio"
    printer.write(f"{where}\n")
    printer.note(f"{printable(header.started)} · {header.dialect} · {header.kind} · {audio} · {len(tape)} frames")
    printer.line()


def _table(printer: Printer, table: Iterable[Row]) -> None:
    for row in table:
        style = "assistant" if row.direction == "in" else "you"
        printer.write(_time(row.t_s), "note")
        printer.write(f"{ARROWS[row.direction]} ", style)
        printer.write(f"{printable(row.type):<50}")
        printer.write(f"{row.size_bytes:>9,} B  ", "note")
        printer.write(f"{printable(row.note)}\n")
    printer.line()


def _timeline(printer: Printer, timeline: Iterable[Happening]) -> None:
    for happening in timeline:
        printer.write(_time(happening.t_s), "note")
        printer.write(f"{happening.what:<12}", STYLE_OF.get(happening.what, ""))
        printer.write(printable(happening.text).replace("\n", " "))
        printer.write(f"   {printable(happening.note)}\n" if happening.note else "\n", "note")
    printer.line()


def _statistics(printer: Printer, found: Findings) -> None:
    _line(printer, "duration", f"{found.duration_s:.1f} s", f"{found.epochs} connection{'s' * (found.epochs != 1)}")
    _line(printer, "ended", found.ended, "the end of the tape is torn off" if found.torn else "")
    _line(printer, "audio", f"{found.audio_in_s:.1f} s heard, {found.audio_out_s:.1f} s spoken")
    _line(printer, "turns", f"{found.responses} responses", f"{found.errors} errors" if found.errors else "")
    answered = f"{found.tool_calls - len(found.unanswered)} of {found.tool_calls} answered"
    _line(
        printer, "tool calls", answered, f"without an answer: {', '.join(found.unanswered)}" if found.unanswered else ""
    )
    latency = found.latency_ms
    if latency is not None:
        text = f"p50 {seconds(latency.p50)}, p95 {seconds(latency.p95)}"
        _line(printer, "latency", text, f"end of speech to first audio, {latency.count} times")
    printer.line()
    most = max((count.size_bytes for count in found.types), default=1)
    for count in found.types:
        bar = "█" * max(round(BAR_COLUMNS * count.size_bytes / most), 1)
        printer.write(
            f"{ARROWS[count.direction]} {printable(count.type):<50}{count.frames:>7,}{count.size_bytes:>12,} B  "
        )
        printer.write(f"{bar}\n", "assistant" if count.direction == "in" else "you")


def _line(printer: Printer, name: str, text: str, note: str = "") -> None:
    printer.write(f"{name:<12}", "good")
    printer.write(printable(text))
    printer.write(f"   {printable(note)}\n" if note else "\n", "note")


def _time(t_s: float) -> str:
    minutes, rest_s = divmod(t_s, 60)
    return f"{int(minutes):>2}:{rest_s:06.3f}".ljust(TIME_COLUMNS + 1)
