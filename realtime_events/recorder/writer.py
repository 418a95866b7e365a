"""The writer: frames to a file, by a thread of its own.

Owns the file and the thread. Knows no socket; of a frame it knows what `protocol/redaction.py` tells. Before it:
`door.py`, which hands over what it saw; after it: the disk.

A disk may take any time it likes, so the event loop never waits for it: at the end of each of its turns it hands over
the frames it saw, and a thread makes lines of them, compresses and writes. The thread naps `NAP_S` before it writes,
unless there is much to write: to be woken costs more than to write, and so does code that has not run for a while.
While there is nothing it sleeps on. Everything written is flushed to the system, a compressed tape at a block's end: a
process that is killed loses the frames of the last nap and of the turn of the loop that it was in, less than 100 ms.

What is seen in one turn of the loop bears one time, that of its first frame: reading a clock for each would cost as
much as taking it down does. What a frame must not show is taken out when the frame comes, while the processor has it
at hand: so audio that is left out is gone at once, and its memory is used again.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

import msgspec

from ..exceptions import ConfigurationError
from ..logs import logger
from ..protocol import redaction
from .tape import Direction, Header, TapedEnding, frame_start, line

log = logger("recorder")

T = TypeVar("T")

NAP_S = 0.08
HURRY_BYTES = 256 * 1024
WAITING_BYTES = 64 * 1024 * 1024
GZIP_WBITS = 16 + zlib.MAX_WBITS
GZIP_LEVEL = 1  # A tape of text shrinks to a sixth already; the next level costs more than the recording itself.

Turn: TypeAlias = tuple[list[bytes], float, Direction]
"""The frames of one turn of the loop, in one direction, and when it was."""

Piece: TypeAlias = tuple[int, bytes | Turn]
"""What the thread is given: how many bytes it is, and either whole lines or what to make lines of."""

OnStop: TypeAlias = Callable[[str, str], None]
"""Is told the path of a tape that could not be written on, and why; called on the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What to record, and where.

    Attributes:
        path: The file; compressed if its name ends in `.gz`.
        audio: Whether audio is taped; without it, each piece is replaced by its size.
        overwrite: Whether a file that is there may be replaced.
        max_bytes: How large the file may get; then the recording stops, and the session goes on.
        redact: What takes out of a frame, as JSON, what must not be on a disk, such as what callers say of themselves:
            it gives the frame to be kept, or None to keep its size alone. Of a frame that it fails on, the size is
            kept. It is called on the event loop, with frames without secrets.
    """

    path: str | os.PathLike[str]
    audio: bool = False
    overwrite: bool = False
    max_bytes: int = 1024 * 1024 * 1024
    redact: Callable[[bytes], bytes | None] | None = None

    @property
    def name(self) -> str:
        """The path as text."""
        return os.fspath(self.path)


class TapeWriter:
    """Writes one tape.

    Args:
        recording: What to record, and where. The file is made at once, readable by its owner alone.
        header: What the tape begins with; when it began is filled in.
        clock: Gives seconds.
        on_stop: Told once if the recording stops by itself.

    Raises:
        ConfigurationError: The file is there already, or cannot be made.
    """

    def __init__(
        self,
        recording: Recording,
        header: Header,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_stop: OnStop | None = None,
    ) -> None:
        self.stopped = ""
        self._has_failed = False
        self.on_stop = on_stop
        self._recording = recording
        self._clock = clock
        self._began_s = clock()
        self._epochs = self._epoch = 0
        self._turn: list[bytes] = []
        self._direction: Direction = "in"
        self._turn_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[Piece | None] = SimpleQueue()
        self._given_bytes = 0
        self._done_bytes = 0
        self._file = _File(_opened(recording), recording)
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._closed: asyncio.Future[None] | None = None
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        begun = msgspec.structs.replace(header, started=started, audio=recording.audio)
        self._put_text(msgspec.json.encode(begun) + b"\n")

    # On the loop.

    def begin(self) -> int:
        """Note that a connection was made, and give the number of its epoch."""
        self._start()
        self._epochs += 1
        self._go_on_with(self._epochs)
        return self._epochs

    def _go_on_with(self, epoch: int) -> None:
        """Note which connection what follows belongs to: while a session rotates, it has two."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._put_line(line(t=self._now_s(), epoch=epoch))

    def end(self, ending: TapedEnding, epoch: int) -> None:
        """Note how a connection ended."""
        self._go_on_with(epoch)
        text = line(t=self._now_s(), end=ending)
        self._put_line(text if (kept := redaction.without_secrets(text)) == text else (kept or b"").rstrip() + b"\n")

    def taker(self, direction: Direction, epoch: int, then: Callable[[bytes], T]) -> Callable[[bytes], T]:
        """Give what takes down the frames of one direction of a connection and hands them on; it never waits.

        Args:
            direction: Which way the frames go.
            epoch: The number of their connection.
            then: What each of them is handed to, in the same call: one more call for each would be half of the cost.
        """
        turn: list[bytes] = []
        append, begin_turn, kept_of = turn.append, self._begin_turn, self._kept_of
        words, piece_of_audio, audio = redaction.WORDS, redaction.piece_of_audio, self._recording.audio

        def take(frame: bytes) -> T:
            if not turn:
                begin_turn(turn, direction, epoch)
            if frame.startswith(words):
                append(frame)
            elif (kept := piece_of_audio(frame, audio)) is not None or (kept := kept_of(frame)) is not None:
                append(kept)
            return then(frame)

        def take_redacted(frame: bytes) -> T:
            if not turn:
                begin_turn(turn, direction, epoch)
            if (kept := kept_of(frame)) is not None and (kept := self._redacted(kept)) is not None:
                append(kept)
            return then(frame)

        return take if self._recording.redact is None else take_redacted

    async def close(self) -> None:
        """Write what is left and close the file. Twice is fine; a disk that hangs is waited for by whoever awaits."""
        if self._thread is None:
            self._file.close()
            return
        self._end_turn()
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            self._queue.put(None)
            self._hurry.set()
        await asyncio.shield(self._closed)

    def _start(self) -> None:
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            name = f"realtime_events.recorder {Path(self._recording.name).name}"
            # A daemon: a disk that hangs shall not keep the process from leaving.
            self._thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._thread.start()

    def _now_s(self) -> float:
        return round(self._clock() - self._began_s, 6)

    def _begin_turn(self, turn: list[bytes], direction: Direction, epoch: int) -> None:
        """Begin to fill `turn`; of all takers, one has a turn that is not empty."""
        if epoch != self._epoch:
            self._go_on_with(epoch)
        if self._turn:
            self._end_turn()
        else:
            assert self._loop is not None
            self._loop.call_soon(self._end_turn)
        self._turn, self._direction, self._turn_s = turn, direction, self._clock() - self._began_s

    def _end_turn(self) -> None:
        if not self._turn:
            return
        if not self.stopped and self._closed is None:
            frames = self._turn.copy()
            self._put((sum(map(len, frames)), (frames, self._turn_s, self._direction)))
        self._turn.clear()

    def _kept_of(self, frame: bytes) -> bytes | None:
        """Give what is kept of a frame, in one line; None if it has a line of its own, because it is no JSON."""
        kept = redaction.kept(frame, self._recording.audio)
        if kept is not None and (text := _in_one_line(kept)) is not None:
            return text
        what = {"size_bytes": len(frame)} if kept is None else {"x": kept}
        self._put_line(line(t=round(self._turn_s, 6), d=self._direction, **what))
        return None

    def _redacted(self, frame: bytes) -> bytes | None:
        """Give what the application keeps of a frame; None if that is its size alone, which has a line of its own."""
        assert self._recording.redact is not None
        try:
            kept = self._recording.redact(frame)
        except Exception as error:  # noqa: BLE001  whatever it is; its words may be what must not be shown
            if not self._has_failed:
                self._has_failed = True
                log.error("redact= failed with %s; of such frames the tape has the size", type(error).__name__)
            kept = None
        text = _in_one_line(kept) if kept is not None else None
        if text is None:
            self._put_line(line(t=round(self._turn_s, 6), d=self._direction, size_bytes=len(frame)))
        return text

    def _put(self, piece: Piece) -> None:
        self._given_bytes += piece[0]
        self._queue.put(piece)
        waiting_bytes = self._given_bytes - self._done_bytes
        if waiting_bytes > HURRY_BYTES:
            self._hurry.set()
        if waiting_bytes > WAITING_BYTES:
            self._stop(f"the disk is slower than the frames: {WAITING_BYTES} bytes wait")

    def _put_text(self, text: bytes) -> None:
        self._put((len(text), text))

    def _put_line(self, text: bytes) -> None:
        self._end_turn()
        if not self.stopped and self._closed is None:
            self._put_text(text)

    def _stop(self, why: str) -> None:
        """Stop recording and say so, once; the session goes on."""
        if self.stopped:
            return
        self.stopped = why
        log.error("the recording to %s has stopped: %s; the session goes on", self._recording.name, why)
        if self.on_stop is not None:
            self.on_stop(self._recording.name, why)

    # In the thread.

    def _work(self) -> None:
        try:
            self._write_all()
        except Exception as error:  # noqa: BLE001  whatever it is, the session must go on, and must be told
            self._tell(f"{type(error).__name__}: {error}")
            self._let_go()
        finally:
            self._file.close()
            self._call(self._finish)

    def _write_all(self) -> None:
        going = True
        while going:
            given = self._after_a_nap()
            going = None not in given
            pieces = [piece for piece in given if piece is not None]
            why = self._file.write(b"".join([_text_of(what) for _, what in pieces]))
            self._done_bytes += sum(size_bytes for size_bytes, _ in pieces)
            if why:
                self._tell(why)
                self._let_go()
                return

    def _after_a_nap(self) -> list[Piece | None]:
        """Give all that came during a nap; as long as nothing comes, sleep on, and nap once more when it does."""
        return self._napped() or [self._queue.get(), *self._napped()]

    def _napped(self) -> list[Piece | None]:
        self._hurry.wait(NAP_S)
        self._hurry.clear()
        given: list[Piece | None] = []
        while not self._queue.empty():
            given.append(self._queue.get())
        return given

    def _let_go(self) -> None:
        """Take no notice of what still comes, until there is an end of it."""
        while self._queue.get() is not None:
            pass

    def _tell(self, why: str) -> None:
        self._file.close()
        self._call(self._stop, why)

    def _call(self, function: Callable[..., None], *arguments: str) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # The loop is closed: nobody is there to be told.

    def _finish(self) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


class _File:
    """A file that only grows, up to a size, and is whole up to the last thing written."""

    def __init__(self, descriptor: int, recording: Recording) -> None:
        self._descriptor = descriptor
        self._left_bytes = recording.max_bytes
        self._max_bytes = recording.max_bytes
        self._packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WBITS) if _is_packed(recording) else None

    def write(self, data: bytes) -> str:
        """Write and flush; gives the reason if that cannot be done, and "" otherwise."""
        if self._packer is not None and data:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        if len(data) > self._left_bytes:
            return self._given_up(f"the tape has reached its limit of {self._max_bytes} bytes")
        self._left_bytes -= len(data)
        try:
            self._write_out(data)
        except OSError as error:
            return self._given_up(error.strerror or str(error))
        return ""

    def _given_up(self, why: str) -> str:
        self._packer = None  # A piece is missing: a proper end behind it would only hide that.
        return why

    def _write_out(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        """End the file; twice is fine."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            if self._packer is not None:
                os.write(descriptor, self._packer.flush())
        except OSError as error:
            log.debug("the end of a tape could not be written: %s", error)
        finally:
            os.close(descriptor)


def _text_of(what: bytes | Turn) -> bytes:
    """Turn frames into lines: all at once, unless one of them has a line break in it."""
    if isinstance(what, bytes):
        return what
    frames, t_s, direction = what
    start = frame_start(t_s, direction)
    if b"\n" in b"".join(frames):
        return b"".join([_line_of(frame, start, t_s, direction) for frame in frames])
    return b"".join((start, (b"}\n" + start).join(frames), b"}\n"))


def _line_of(frame: bytes, start: bytes, t_s: float, direction: Direction) -> bytes:
    text = _in_one_line(frame) if b"\n" in frame else frame
    return line(t=round(t_s, 6), d=direction, x=frame) if text is None else b"".join((start, text, b"}\n"))


def _in_one_line(frame: bytes) -> bytes | None:
    """Give a frame without line breaks; None if it is no JSON."""
    try:
        msgspec.json.decode(frame, type=msgspec.Raw)
        is_one = frame.find(b"\n") < 0 and frame.find(b"\r") < 0
        return frame if is_one else msgspec.json.format(frame, indent=-1)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _is_packed(recording: Recording) -> bool:
    return recording.name.endswith(".gz")


def _opened(recording: Recording) -> int:
    """Make the file, for its owner alone; a link in its place is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0) | (os.O_TRUNC if recording.overwrite else os.O_EXCL)
    try:
        return os.open(recording.name, flags, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"the tape {recording.name!r} is there already; name another, or pass Recording(path, overwrite=True)"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"the tape {recording.name!r} cannot be made: {why}") from None
