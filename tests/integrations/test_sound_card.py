"""The microphone on a real sound system: PulseAudio with a sink that nobody hears, where it is installed."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAMS = ("pulseaudio", "pactl", "pacat")
SECONDS = 1.5
LISTEN = """
import asyncio, sys
from realtime_events.integrations.sound import Microphone
async def main():
    heard = b""
    async with asyncio.timeout(20), Microphone() as microphone:
        async for audio in microphone:
            heard += audio
            if len(heard) >= {wanted}:
                break
    print(microphone.dropped_ms, microphone.overflows, file=sys.stderr)
    sys.stdout.buffer.write(heard)
asyncio.run(main())
"""

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="PulseAudio is not installed"),
    pytest.mark.skipif(find_spec("sounddevice") is None, reason="the extra `audio` is not installed"),
]


@pytest.fixture
def pulse() -> Iterator[dict[str, str]]:
    """Runs a PulseAudio of its own whose default microphone hears what is played into the sink `mic`."""
    with tempfile.TemporaryDirectory() as folder:  # a socket's path has to be short
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "HOME": folder}
        modules = ["-L", "module-native-protocol-unix", "-L", "module-null-sink sink_name=mic"]
        start = ["pulseaudio", "-n", "--daemonize=yes", "--exit-idle-time=-1", *modules]
        subprocess.run(start, env=environment, check=True, timeout=20, capture_output=True)
        try:
            command = ["pactl", "set-default-source", "mic.monitor"]
            subprocess.run(command, env=environment, check=True, timeout=20)
            yield environment
        finally:
            subprocess.run(["pulseaudio", "--kill"], env=environment, check=False, timeout=20)


def strength(samples: array[int], frequency_hz: float, rate_hz: int) -> float:
    turn = 2 * math.pi * frequency_hz / rate_hz
    sides = [sum(value * wave(turn * at) for at, value in enumerate(samples)) for wave in (math.sin, math.cos)]
    return 2 * math.hypot(*sides) / len(samples)


async def test_a_real_microphone_hears_the_tone_that_is_played(pulse: dict[str, str], tmp_path: Path) -> None:
    """B26: at 44.1 kHz, the rate of that system, and so through soxr."""
    tone = array("h", [round(10_000 * math.sin(2 * math.pi * 440 * at / 44_100)) for at in range(44_100 * 30)])
    (tmp_path / "tone.raw").write_bytes(tone.tobytes())
    play = ["pacat", "-d", "mic", "--format=s16le", "--rate=44100", "--channels=1", str(tmp_path / "tone.raw")]
    playing = await asyncio.create_subprocess_exec(*play, env=pulse)
    program = LISTEN.format(wanted=round(48_000 * SECONDS))
    pipe = asyncio.subprocess.PIPE
    try:
        async with asyncio.timeout(40):
            listening = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program), env=pulse, stdout=pipe, stderr=pipe
            )
            heard, told = await listening.communicate()
    finally:
        playing.kill()
        await playing.wait()
    assert listening.returncode == 0, told.decode()
    steady = array("h", heard)[12_000:]  # PortAudio begins with what was there before
    assert strength(steady, 440, 24_000) == pytest.approx(10_000, rel=0.05)
    assert strength(steady, 1_000, 24_000) < 200
