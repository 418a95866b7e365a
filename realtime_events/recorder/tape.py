"""The tape: what its lines are, and how they are read, torn ones too.

Owns the format. Knows no event, no socket and no clock. Before it: a file, or `writer.py`, which takes the lines from
here; after it: the replay, `inspect`, and tests.

A tape is JSON lines. The first says what was recorded, each further one is a frame, the beginning of a connection, or
its end. `t` is seconds since the recording began, by a clock that never jumps:

    {"tape":1,"library":"0.1.0","dialect":"ga","kind":"realtime","model":"…","url":"wss://…","started":"…","audio":false}
    {"t":0.000000,"epoch":1}
    {"t":0.120000,"d":"in","f":{"type":"session.created",…}}
    {"t":0.130000,"d":"out","f":{"type":"session.update",…}}
    {"t":9.900000,"end":{"code":1000,"reason":"…","initiator":"client"}}

A frame stands there as it was on the wire. One that is no JSON has `"x"` with its base64 instead of `"f"`; one that
could hold a secret and cannot be read has its size alone, as `"size_bytes"`. Frames that were read in one turn of the
event loop bear one time. An epoch is one connection; a session that reconnects goes on in the same tape with the next,
and one that rotates has two for a while: each change between them is a line.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from ..exceptions import ConfigurationError, Initiator
from ..protocol.codec import Kind
from ..protocol.dialect import Dialect

VERSION = 1
READ_BYTES = 1 << 16
MOST_BYTES = 1024 * 1024 * 1024  # of a tape unpacked: it is read into memory as a whole
UNPACK_BYTES = 16 * READ_BYTES
GZIP_MAGIC = b"\x1f\x8b"

Direction: TypeAlias = Literal["in", "out"]
"""`in`: from the server; `out`: to the server."""

_FRAME = re.compile(rb'\{"t":([0-9]+\.[0-9]+),"d":"(in|out)","f":')
_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded. `started` is the time of day at which it began (ISO 8601), `url` has no query and no key."""

    tape: int = VERSION
    library: str = ""
    dialect: Dialect = "ga"
    kind: Kind = "realtime"
    model: str = ""
    url: str = ""
    started: str = ""
    audio: bool = False


class TapedEnding(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection ended, as `transport.Ending` says it."""

    code: int
    reason: str = ""
    initiator: Initiator = "network"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a tape.

    Attributes:
        t_s: When, in seconds since the recording began.
        direction: Whether it came in or went out.
        data: Its bytes. Without audio on the tape, what stands there in its place.
        epoch: Which connection it belongs to, counted from 1.
    """

    t_s: float
    direction: Direction
    data: bytes
    epoch: int


class _Line(msgspec.Struct):
    """Any line but the first and those of frames as they were."""

    t: float = 0.0
    d: Direction = "in"
    epoch: int = 0
    end: TapedEnding | None = None
    f: msgspec.Raw | None = None
    x: bytes | None = None
    size_bytes: int | None = None


_decode_line = msgspec.json.Decoder(_Line).decode


def frame_start(t_s: float, direction: Direction) -> bytes:
    """Give what stands before a frame; a closing brace stands behind it."""
    return b'{"t":%.6f,"d":"%b","f":' % (t_s, direction.encode())


def line(**fields: Any) -> bytes:
    """Give a line with these fields."""
    return msgspec.json.encode(fields) + b"\n"


class Tape:
    """A recording: its header, its frames in order, and how it ended.

    Reading tolerates what a killed process or a full disk leaves: it stops where the tape is torn, and says so.

    Attributes:
        header: What was recorded.
        frames: Every frame of both directions, in order.
        endings: How each connection ended, by its epoch; one that was torn off has none.
        torn: Whether the end is missing: the last line or block is cut off, or no ending was written.
        damaged: How many lines before the last one could not be read, and were left out.
    """

    def __init__(self, header: Header | None = None) -> None:
        self.header = header or Header()
        self.frames: list[Frame] = []
        self.endings: dict[int, TapedEnding] = {}
        self.torn = False
        self.damaged = 0
        self.epochs = self._epoch = 0
        self.duration_s = 0.0

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return f"<Tape of {len(self.frames)} frames, {self.duration_s:.1f} s{', torn' if self.torn else ''}>"

    @classmethod
    def read(cls, path: str | Path, *, max_bytes: int = MOST_BYTES) -> Tape:
        """Read a tape, compressed or not.

        Args:
            path: The file.
            max_bytes: How large it may be, unpacked.

        Raises:
            ConfigurationError: There is no such file, it cannot be read, it is too large, or it is no tape of a version
                known here.
        """
        try:
            if Path(path).stat().st_size > max_bytes:
                raise _too_large(path, max_bytes)
            data = Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"cannot read the tape {str(path)!r}: {error.strerror or error}") from None
        try:
            tape = cls.parse(data, max_bytes=max_bytes)
        except OverflowError:
            raise _too_large(path, max_bytes) from None
        if not tape.header.tape:
            raise ConfigurationError(f"{str(path)!r} is no tape: its first line is not that of one")
        if tape.header.tape > VERSION:
            raise ConfigurationError(
                f"{str(path)!r} is a tape of version {tape.header.tape}; this is of version {VERSION}: upgrade"
            )
        return tape

    @classmethod
    def parse(cls, data: bytes, *, max_bytes: int = MOST_BYTES) -> Tape:
        """Read a tape from bytes. What is no tape has a header whose `tape` is 0.

        Raises:
            OverflowError: It is larger than `max_bytes`, unpacked; nothing else is ever raised.
        """
        text, cut = _decompressed(data, max_bytes) if data.startswith(GZIP_MAGIC) else (data, False)
        if len(text) > max_bytes:
            raise OverflowError("the tape is too large")
        lines = text.split(b"\n")
        last = lines.pop()
        try:
            header = msgspec.json.decode(lines[0] if lines else b"", type=Header)
        except _ERRORS:
            header = Header(tape=0)
        tape = cls(header)
        tape._read_lines(lines[1:])
        tape.torn = cut or bool(last) or tape.epochs not in tape.endings
        return tape

    @property
    def ending(self) -> TapedEnding | None:
        """How the last connection ended; None where the tape is torn before that."""
        return self.endings.get(self.epochs)

    def _read_lines(self, lines: Sequence[bytes]) -> None:
        for text in lines:
            found = _FRAME.match(text)
            if found is not None and text.endswith(b"}"):
                direction: Direction = "in" if found[2] == b"in" else "out"
                self._add(float(found[1]), direction, text[found.end() : -1])
            else:
                self._read_other(text)

    def _read_other(self, text: bytes) -> None:
        try:
            said = _decode_line(text)
        except _ERRORS:
            self.damaged += 1
            return
        self.duration_s = max(self.duration_s, said.t)
        if said.epoch:
            self._epoch = said.epoch
            self.epochs = max(self.epochs, said.epoch)
        elif said.end is not None:
            self.endings[self._epoch] = said.end
        elif said.x is not None or said.f is not None:
            self._add(said.t, said.d, said.x if said.x is not None else bytes(said.f or b""))
        elif said.size_bytes is None:
            self.damaged += 1

    def _add(self, t_s: float, direction: Direction, data: bytes) -> None:
        self.epochs, self._epoch = self.epochs or 1, self._epoch or 1
        self.duration_s = max(self.duration_s, t_s)
        self.frames.append(Frame(t_s, direction, data, self._epoch))


def _too_large(path: str | Path, max_bytes: int) -> ConfigurationError:
    return ConfigurationError(
        f"the tape {str(path)!r} is over {max_bytes:,} bytes, unpacked; Tape.read(path, max_bytes=...) allows more"
    )


def _decompressed(data: bytes, max_bytes: int) -> tuple[bytes, bool]:
    """Give what a gzip file holds up to where it is cut or broken, or too large; and whether it is cut or broken."""
    unpacked = bytearray()
    while data and len(unpacked) <= max_bytes:
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            for start in range(0, len(data), READ_BYTES):
                _unpack(member, data[start : start + READ_BYTES], unpacked, max_bytes)
                if member.eof or len(unpacked) > max_bytes:
                    data = member.unused_data + data[start + READ_BYTES :]
                    break
            else:
                return bytes(unpacked), True
        except zlib.error:
            return bytes(unpacked), True
    return bytes(unpacked), False


def _unpack(member: Any, packed: bytes, unpacked: bytearray, max_bytes: int) -> None:
    """Unpack a piece in steps, because a kilobyte can unpack to a megabyte."""
    while len(unpacked) <= max_bytes and not member.eof:
        step = member.decompress(packed, UNPACK_BYTES)
        unpacked += step
        packed = member.unconsumed_tail
        if not packed and len(step) < UNPACK_BYTES:
            return
