"""Reading a tape, whole, torn or broken."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.exceptions import ConfigurationError
from realtime_events.recorder import Direction, Frame, Tape

FRAMES: list[tuple[float, Direction, bytes, int]] = [
    (0.1, "in", b'{"type":"session.created","n":1}', 1),
    (0.2, "out", b'{"type":"response.create"}', 1),
    (0.3, "in", b'{"type":"error","text":"{\\"t\\":0.5,\\"d\\":\\"in\\"}"}', 2),
]
TAPE = b"".join(
    [
        b'{"tape":1,"library":"0.1.0","dialect":"beta","kind":"realtime","model":"m","url":"wss://h/v1","started":"",'
        b'"audio":false}\n{"t":0.000000,"epoch":1}\n',
        *(b'{"t":%.6f,"d":"%b","f":%b}\n' % (t, d.encode(), f) for t, d, f, _ in FRAMES[:2]),
        b'{"t":0.25,"end":{"code":1006,"reason":"","initiator":"network"}}\n{"t":0.26,"epoch":2}\n',
        b'{"t":0.300000,"d":"in","f":%b}\n' % FRAMES[2][2],
        b'{"t":0.4,"end":{"code":1000,"reason":"done","initiator":"client"}}\n',
    ]
)
WHOLE = [Frame(*frame) for frame in FRAMES]


def packed() -> bytes:
    """Gives the tape as the recorder writes it: one block for each line."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    lines = TAPE.splitlines(keepends=True)
    blocks = [packer.compress(line) + packer.flush(zlib.Z_SYNC_FLUSH) for line in lines]
    return b"".join(blocks) + packer.flush()


def test_a_tape_gives_its_frames_in_order_and_says_how_each_connection_ended() -> None:
    """Offsets, directions, bytes and epochs are those that were recorded."""
    tape = Tape.parse(TAPE)
    assert list(tape) == WHOLE
    assert (tape.header.dialect, tape.header.url) == ("beta", "wss://h/v1")
    assert {epoch: ending.code for epoch, ending in tape.endings.items()} == {1: 1006, 2: 1000}
    assert tape.ending is not None
    assert (tape.ending.reason, tape.ending.initiator) == ("done", "client")
    assert (tape.torn, tape.damaged, tape.duration_s) == (False, 0, 0.4)


@pytest.mark.parametrize("compress", [gzip.compress, lambda data: packed()], ids=["gzip", "blocks"])
def test_a_compressed_tape_reads_the_same(compress: object) -> None:
    """Whoever compressed it, and however."""
    tape = Tape.parse(compress(TAPE))  # type: ignore[operator]
    assert (list(tape), tape.torn) == (WHOLE, False)


@given(st.integers(0, len(TAPE) - 1))
def test_a_tape_cut_anywhere_reads_up_to_the_cut_and_says_that_it_is_torn(at: int) -> None:
    """A torn last line is dropped; every line before it is there."""
    tape = Tape.parse(TAPE[:at])
    assert tape.torn or TAPE[at:].startswith(b'{"t":0.26'), "between two connections nothing is missing"
    assert list(tape) == WHOLE[: len(tape)]
    assert len(tape) == sum(b'"d":' in line for line in TAPE[:at].split(b"\n")[:-1])


@given(st.data())
def test_a_compressed_tape_cut_anywhere_reads_up_to_its_last_whole_block(data: st.DataObject) -> None:
    """Blocks are flushed, so what was written before the cut is there."""
    whole = packed()
    cut = data.draw(st.integers(0, len(whole) - 1))
    tape = Tape.parse(whole[:cut])
    assert list(tape) == WHOLE[: len(tape)]
    assert tape.torn or cut >= len(whole) - 10, "only the trailer of gzip may be missing unnoticed"


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_raise(noise: bytes) -> None:
    """A file that is no tape is one without frames."""
    Tape.parse(noise)
    Tape.parse(TAPE + noise)
    Tape.parse(b"\x1f\x8b" + noise)


@given(st.integers(0, len(TAPE) - 1), st.integers(0, 255))
def test_a_byte_that_changed_costs_at_most_its_line(at: int, byte: int) -> None:
    """The lines around it are read all the same."""
    tape = Tape.parse(TAPE[:at] + bytes([byte]) + TAPE[at + 1 :])
    assert len(tape) >= len(WHOLE) - 2


def test_a_file_that_is_no_tape_is_refused_by_name(tmp_path: Path) -> None:
    """The sentence names the file and says what is wrong with it."""
    path = tmp_path / "notes.txt"
    with pytest.raises(ConfigurationError, match=r"cannot read the tape .*notes\.txt.*No such file"):
        Tape.read(path)
    path.write_text("dear diary\n")
    with pytest.raises(ConfigurationError, match=r"notes\.txt' is no tape"):
        Tape.read(path)
    path.write_text('{"tape":2}\n')
    with pytest.raises(ConfigurationError, match="version 2"):
        Tape.read(path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lambda data: packed()], ids=["plain", "gzip", "blocks"])
def test_a_tape_is_read_up_to_a_size_and_refused_beyond(compress: Any, tmp_path: Path) -> None:
    """B48: the size counts unpacked, so that a small file cannot fill the memory."""
    (tmp_path / "call").write_bytes(compress(TAPE))
    assert list(Tape.read(tmp_path / "call", max_bytes=len(TAPE))) == WHOLE
    with pytest.raises(ConfigurationError, match="over .* bytes"):
        Tape.read(tmp_path / "call", max_bytes=len(TAPE) - 1)


def test_a_bomb_is_not_unpacked_beyond_the_limit() -> None:
    """B48: a kilobyte of gzip that would be a megabyte stops a step after the limit."""
    bomb = gzip.compress(b" " * 64 * 1024 * 1024)
    tracemalloc.start()
    with pytest.raises(OverflowError):
        Tape.parse(bomb, max_bytes=1024)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 8 * 1024 * 1024
