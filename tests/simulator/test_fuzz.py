"""Mangled client frames, for as long as there is time: an answer to each, never an exception, never a wrong frame."""

from __future__ import annotations

import json
import logging
import random
import time
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parent.parent / "fixtures" / "samples"
FRAMES_PER_SESSION = 40
ODD: list[Any] = [None, True, -1, 0, 1e300, "", "root", "none", "é\u0000", [], {}, [[]], {"type": "x"}, "A" * 5_000]


def mangled(data: bytes, dice: random.Random) -> bytes:
    """Gives a frame with something wrong with it, or nothing."""
    kind = dice.randrange(5)
    if kind == 0:
        return data[: dice.randrange(len(data) + 1)]
    if kind == 1:
        at = dice.randrange(len(data))
        return data[:at] + dice.randbytes(dice.randrange(1, 4)) + data[at + dice.randrange(4) :]
    frame = json.loads(data)
    if kind < 4:
        swap(frame, dice)
    return json.dumps(frame).encode()


def swap(value: Any, dice: random.Random) -> None:
    """Puts something odd somewhere into a value."""
    while isinstance(value, dict | list) and value:
        key = dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        if dice.random() < 0.4 or not isinstance(value[key], dict | list):
            value[key] = dice.choice(ODD)
            return
        value = value[key]


def fuzz(connect: Any, caplog: pytest.LogCaptureFixture, dialect: str, seconds: float) -> int:
    """Sends mangled frames for a while; gives how many."""
    caplog.set_level(logging.ERROR)
    samples = [path.read_bytes() for path in sorted((SAMPLES / dialect).glob("client.*.json"))]
    end, seed = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        dice = random.Random(seed)
        client = connect(dialect=dialect, kind=dice.choice(["realtime", "realtime", "transcription"]))
        for _ in range(FRAMES_PER_SESSION):
            data = mangled(dice.choice(samples), dice)
            client.raw(data)
            assert not caplog.records, f"seed {seed}: {data!r}"
        client.wait(1.0)
        seed += 1
    return seed


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_no_mangled_frame_harms_a_session(connect: Any, caplog: pytest.LogCaptureFixture, dialect: str) -> None:
    assert fuzz(connect, caplog, dialect, 2.5) > 5


@pytest.mark.nightly
@pytest.mark.timeout(90)
@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_no_mangled_frame_harms_a_session_all_night(
    connect: Any, caplog: pytest.LogCaptureFixture, dialect: str
) -> None:
    assert fuzz(connect, caplog, dialect, 30.0) > 50
