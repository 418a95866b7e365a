"""A WAV file becomes text while it is spoken: partial lines grow, final ones get times, and captions are written.

python 09_transcribe_file.py [speech.wav]

The file is mono, 16 bits, 24 kHz. Without one it is the recording that comes with the simulator.
"""

import asyncio
import os
import sys
from importlib.resources import as_file, files
from pathlib import Path

from realtime_events import Endpoint, Realtime, Transcription
from realtime_events.audio import read_wav
from realtime_events.simulator import ClipRecogniser, Simulator

RECORDED = "Hello! What is the weather in Bern today?"

rt = Realtime()


async def transcribe(endpoint: Endpoint, path: Path) -> None:
    """Send the file four times as fast as it was spoken, and show the lines as they come."""
    async with rt.transcribe(endpoint=endpoint, language="en") as t:

        async def send() -> None:
            await t.send_file(path, pace=4)
            await t.finish()

        sending = asyncio.create_task(send())
        async for line in t:
            if line.error is not None:
                print(f"not transcribed: {line.error.message}")
            elif line.is_final:
                print(f"{line.start_ms / 1000:5.2f} s  {line.speaker:1} {line.text}  {', '.join(line.languages)}")
            else:
                print(f"       …  {line.text}")
        await sending
        save(t)


def save(t: Transcription) -> None:
    """Write captions and a page to read."""
    Path("transcript.srt").write_text(t.export("srt"), "utf-8")
    Path("transcript.md").write_text(t.export("md"), "utf-8")
    print(f"transcript.srt and transcript.md are written; it cost {t.usage.total_tokens or 0} tokens")


async def main() -> None:
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as recorded:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else recorded
        if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
            await transcribe(Endpoint.openai(), path)
            return
        print("OPENAI_API_KEY is not set: talking to the simulator, which understands its own recording")
        ears = ClipRecogniser()
        ears.add(read_wav(recorded), RECORDED)
        async with Simulator(recogniser=ears) as sim:
            await transcribe(sim.endpoint, path)


if __name__ == "__main__":
    asyncio.run(main())
