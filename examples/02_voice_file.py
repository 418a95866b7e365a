"""A WAV file in, a WAV file out: a question is sent as a microphone would send it, the spoken answer becomes a file.

python 02_voice_file.py [question.wav [answer.wav]]

The question is mono, 16 bits, 24 kHz. Without one it is the recording that comes with the simulator.
"""

import asyncio
import os
import sys
from importlib.resources import as_file, files
from pathlib import Path

from realtime_events import Endpoint, Realtime, Session, Turn
from realtime_events.audio import PCM16, read_wav, write_wav
from realtime_events.events import InputAudioBufferSpeechStarted, InputAudioBufferSpeechStopped
from realtime_events.simulator import ClipRecogniser, Simulator

PIECE_MS = 20
SILENCE_MS = 1_000  # turn detection hears by it that the question is over
RECORDED = "Hello! What is the weather in Bern today?"

rt = Realtime(
    instructions="You are a cheerful concierge.",
    session={"audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}},
)


@rt.on
async def started(event: InputAudioBufferSpeechStarted) -> None:
    print(f"speech begins at {event.audio_start_ms} ms")


@rt.on
async def stopped(event: InputAudioBufferSpeechStopped) -> None:
    print(f"speech ends at {event.audio_end_ms} ms")


@rt.tool
async def get_weather(city: str) -> str:
    """Look up the current weather.

    Args:
        city: The city's name, such as "Bern".
    """
    return f"18 °C and sunny in {city}"


async def speak(session: Session, pcm: bytes) -> None:
    """Send audio in small pieces, at the speed at which it was spoken."""
    size = PCM16.n_bytes(PIECE_MS)
    for start in range(0, len(pcm), size):
        await session.send_audio(pcm[start : start + size])
        await asyncio.sleep(PIECE_MS / 1000)


async def converse(endpoint: Endpoint, question: bytes) -> Turn:
    """Say the question and give the turn, with its audio."""
    async with rt.connect(endpoint=endpoint, retain_audio=10_000_000) as session:
        answered = asyncio.create_task(session.wait_for("turn.done", timeout=60))
        await speak(session, question + PCM16.silence(SILENCE_MS))
        turn: Turn = (await answered).turn
    return turn


def load(path: str | None) -> bytes:
    """Read the question that was named, or the recorded one."""
    if path is not None:
        return read_wav(path)
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as recorded:
        return read_wav(recorded)


async def main() -> None:
    source, target = [*sys.argv[1:], None, None][:2]
    question = load(source)
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        turn = await converse(Endpoint.openai(), question)
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator, which understands its own recording")
        ears = ClipRecogniser()
        ears.add(load(None), RECORDED)
        async with Simulator(recogniser=ears) as sim:
            turn = await converse(sim.endpoint, question)
    answer = Path(target or "answer.wav")
    write_wav(answer, bytes(turn.audio))
    print(f"you:       {turn.user_text}")
    print(f"assistant: {turn.text}")
    print(f"{answer} has {turn.audio_ms / 1000:.1f} s of speech")


if __name__ == "__main__":
    asyncio.run(main())
