"""Frames of megabytes, whatever is in them: an event each, and no more memory than a few times their size."""

from __future__ import annotations

import base64
import gc
import random
import tracemalloc
from typing import Literal

import pytest

from realtime_events.protocol import codec

MIB = 1024 * 1024
LONG = 8 * MIB
WIDE = 1 * MIB
# CPython keeps a text of which one character is outside of the 65,536 first with four bytes for each (PEP 393); while
# it is made, its UTF-8 is there once more.
MOST, MOST_OF_RARE_TEXT = 4.0, 5.0
MOST_WIDE = 80.0


def filled(head: str, body: str | bytes, tail: str, size: int) -> bytes:
    """Repeats a body between head and tail until the frame has its size."""
    body = body.encode() if isinstance(body, str) else body
    return head.encode() + body * ((size - len(head) - len(tail)) // len(body)) + tail.encode()


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


AUDIO = '{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","delta":"'
TEXT = '{"type":"response.output_text.delta","event_id":"e","response_id":"r","item_id":"i","delta":"'
ITEM = '{"type":"conversation.item.added","event_id":"e","item":{"type":"message","id":"i","role":"user","content":['
DONE = '{"type":"response.done","event_id":"e","response":{"id":"r","status":"completed","output":['

LONG_FRAMES: dict[str, bytes] = {
    "audio": filled(AUDIO, base64.b64encode(noise(3 * 1024)), '"}', LONG),
    "audio that is cut": filled(AUDIO, base64.b64encode(noise(3 * 1024)), "", LONG),
    "audio that is no base64": filled(AUDIO, "!?", '"}', LONG),
    "text": filled(TEXT, "word ", '"}', LONG),
    "text in escapes": filled(TEXT, "\\u00e9", '"}', LONG),
    "text of four bytes": filled(TEXT, "\U0001f600", '"}', LONG),
    "text of one letter of four bytes": filled(TEXT + "\U0001f600", "a", '"}', LONG),
    "text that is no UTF-8": filled(TEXT, b"\xff\xfe", '"}', LONG),
    "noise": noise(LONG),
    "zeros": bytes(LONG),
    "spaces": b" " * LONG,
    "depth": b"[" * LONG,
    "depth of an event": filled('{"type":"session.created","session":', '{"a":', "", LONG),
    "a huge number": filled('{"type":"response.done","response":', "9", "}", LONG),
    "an unknown event": filled('{"type":"new.thing","things":[', "[],", "[]]}", LONG),
    "a type of megabytes": filled('{"type":"', "x", '"}', LONG),
    "a field nobody knows": filled(TEXT + '","new":"', "x", '"}', LONG),
}
RARE_TEXT = ("text of four bytes", "text of one letter of four bytes")
WIDE_FRAMES: dict[str, bytes] = {
    "parts": filled(ITEM, "{},", "{}]}}", WIDE),
    "items": filled(DONE, "{},", "{}]}}", WIDE),
    "rate limits": filled('{"type":"rate_limits.updated","event_id":"e","rate_limits":[', "{},", "{}]}", WIDE),
}


def factors(frame: bytes, dialect: Literal["ga", "beta"] = "ga") -> tuple[float, float]:
    """Gives how many times its size a frame's event keeps, and its decoding takes at its height; the frame left out."""
    gc.collect()
    tracemalloc.start()
    try:
        event = codec.decode(frame, dialect=dialect, side="server")
        assert event.type
        kept_bytes, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return kept_bytes / len(frame), most_bytes / len(frame)


@pytest.mark.parametrize("dialect", ["ga", "beta"])
@pytest.mark.parametrize("name", LONG_FRAMES)
def test_a_long_frame_is_an_event_and_takes_four_times_its_size_at_the_most(
    name: str, dialect: Literal["ga", "beta"]
) -> None:
    """B01, B45: whatever the bytes are."""
    kept, most = factors(LONG_FRAMES[name], dialect)
    assert kept <= MOST and most <= (MOST_OF_RARE_TEXT if name in RARE_TEXT else MOST)


@pytest.mark.parametrize("name", WIDE_FRAMES)
def test_a_frame_of_many_tiny_things_takes_a_bounded_multiple_of_its_size(name: str) -> None:
    """B01, B45: each `{}` of three bytes becomes a struct."""
    kept, most = factors(WIDE_FRAMES[name])
    print(f"{name}: {most:.0f} times its size")
    assert kept <= most <= MOST_WIDE
