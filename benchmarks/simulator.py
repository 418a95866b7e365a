"""The simulator under measurement: `python -m benchmarks.simulator --tones` prints its port and serves.

With `--local` it has the real ears and voice of the extra, and answers as the default brain does, as fast as it is
read. With `--tones` it has the built-in organs, knows the recording that it is sent, and talks for ever at the speed of
speech.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from realtime_events.audio import read_wav
from realtime_events.simulator import ClipRecogniser, Request, Say, Simulator

CLIP = Path(__file__).parent.parent / "tests" / "fixtures" / "audio" / "weather_bern.wav"
TALK = "Bring a light jacket today, since the evening will be cooler, and the wind comes from the lake. " * 4


class Talker:
    """A brain that always has the same to say, about half a minute of it."""

    def plan(self, request: Request) -> list[Say]:
        """Says it."""
        return [Say(TALK)]


def with_engines() -> Simulator:
    """Makes a simulator with the engines of the extra `local`, loaded and warmed up."""
    from realtime_events.integrations.local import HibariVoice, MoonshineRecogniser, SileroVad

    return Simulator(vad=SileroVad, recogniser=MoonshineRecogniser(), voice=HibariVoice(), pace=None)


def with_tones() -> Simulator:
    """Makes a simulator that needs no extra."""
    ears = ClipRecogniser()
    ears.add(read_wav(CLIP), "Hello! What is the weather in Bern today?")
    return Simulator(brain=Talker(), recogniser=ears, pace=1.0)


async def serve(simulator: Simulator) -> None:
    """Serves on a free port of loopback, which it prints first, until it is killed."""
    async with simulator:
        print(simulator.port, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Reads from the command line which simulator it is."""
    parser = argparse.ArgumentParser()
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--tones", action="store_const", dest="make", const=with_tones)
    which.add_argument("--local", action="store_const", dest="make", const=with_engines)
    asyncio.run(serve(parser.parse_args().make()))


if __name__ == "__main__":
    main()
