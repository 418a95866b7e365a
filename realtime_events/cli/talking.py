"""A conversation by text: lines in, streamed answers and tool calls out.

Owns the prompt. Knows no argument. Before it: `run --text` and `chat`; after it: `Session.ask`.
"""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from ..events import ResponseOutputAudioTranscriptDelta, ResponseOutputTextDelta, ToolDone, ToolFailed
from ..exceptions import ResponseFailed, ServerError
from .output import Printer, printable, seconds
from .serving import opened, patience_s, verdict

if TYPE_CHECKING:
    from ..app import Realtime
    from ..protocol.turns import Turn
    from ..session import Session

QUIT = "/quit"
DELTAS = (ResponseOutputTextDelta, ResponseOutputAudioTranscriptDelta)
READ_BYTES = 4096


async def talk(application: Realtime) -> int:
    """Connect an application and ask it each line of standard input, until that, `/quit` or the session ends."""
    source = sys.stdin
    printer = Printer()
    display = Display(printer, application)
    async with application.connect(connect_retry_s=patience_s(application)) as session:
        printer.note(f"{opened(session)} · {QUIT} ends")
        lines = Lines(source)
        at_terminal = source.isatty()
        while (line := await _next(lines, session, printer if at_terminal else None)) is not None:
            if at_terminal:
                printer.entered()
            else:
                printer.said("you", line)
            await display.ask(session, line)
        printer.end()
        return verdict(await session.wait_closed()) if session.is_closed else 0


class Display:
    """Shows the turns of one application as they happen.

    Deltas for which the application has a handler of its own are left to it; the answer then follows whole.
    """

    def __init__(self, printer: Printer, application: Realtime) -> None:
        self._printer = printer
        self._streamed = False
        heard = [delta for delta in DELTAS if not application.listeners(str(delta.__struct_config__.tag))]
        for delta in heard:
            application.on(delta, self._piece, delivery="inline")
        self._leaves_deltas = len(heard) < len(DELTAS)
        application.on(ToolDone, ToolFailed, self._tool, delivery="inline")

    async def ask(self, session: Session, text: str) -> None:
        """Ask one question and show what comes; an answer that failed is a line, not the end."""
        self._streamed = False
        try:
            turn = await session.ask(text)
        except (ServerError, ResponseFailed) as error:
            self._printer.line(str(error), "bad")
            return
        self._end(turn)

    def _piece(self, event: Any) -> None:
        if not self._streamed:
            self._printer.begin("assistant")
            self._streamed = True
        self._printer.write(printable(event.delta))

    def _tool(self, event: Any) -> None:
        self._streamed = False
        call = event.call
        self._printer.tool(call.name, call.arguments, event.output, seconds(event.duration_ms))

    def _end(self, turn: Turn) -> None:
        if self._streamed:
            self._printer.write("\n")
        elif turn.text:
            # The application may have left its last line open, which the printer cannot see.
            self._printer.write("\n" if self._leaves_deltas else "")
            self._printer.said("assistant", turn.text)
        if turn.status not in ("completed", "running"):
            self._printer.note(f"the answer was {turn.status}")


class Lines:
    """The lines of a stream as they are typed, read by a thread that nothing has to wait for at the end."""

    def __init__(self, source: TextIO) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(source,), name="realtime_events.cli.lines", daemon=True).start()

    async def next(self) -> str | None:
        """Give the next line that says something; None at the end and after `/quit`."""
        while (line := await self._queue.get()) is not None:
            if line.strip():
                return None if line.strip() == QUIT else line.strip()
        return None

    def _read(self, source: TextIO) -> None:
        try:
            for line in _lines(source):
                self._loop.call_soon_threadsafe(self._queue.put_nowait, line)
            self._loop.call_soon_threadsafe(self._queue.put_nowait, None)
        except RuntimeError:
            return  # The loop is closed: nobody reads any more.


def _lines(source: TextIO) -> Iterator[str]:
    """Read the descriptor itself: a thread that waits inside `sys.stdin` would hold its lock while Python exits."""
    try:
        descriptor = source.fileno()
    except io.UnsupportedOperation:
        yield from source
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while data := os.read(descriptor, READ_BYTES):
        *lines, rest = (rest + decoder.decode(data)).split("\n")
        yield from lines
    if rest:
        yield rest


async def _next(lines: Lines, session: Session, prompt: Printer | None) -> str | None:
    """Wait for a line, or for the end of the session."""
    if prompt is not None:
        prompt.begin("you")
    line = asyncio.ensure_future(lines.next())
    closed = asyncio.ensure_future(session.wait_closed())
    try:
        await asyncio.wait({line, closed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        closed.cancel()
        if not line.done():
            line.cancel()
    return line.result() if line.done() and not session.is_closed else None
