"""The Go client's `dual_session_example`: one session listens, another answers, each on a socket of its own.

Ctrl-C and SIGTERM end both. What was different there: the session that listened was sent no audio, and its phrases came
from a list. Here it hears a recording, over and over, and what it transcribes is what the other one answers.
"""

import asyncio
import logging
import math
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.resources import as_file, files

from realtime_events import Endpoint, Realtime, Session, user
from realtime_events.audio import read_wav
from realtime_events.events import (
    AudioConfig,
    AudioInput,
    ErrorEvent,
    NoiseReduction,
    ResponseCreate,
    ResponseDone,
    ResponseOutputTextDelta,
    SessionConfig,
    TurnDetection,
)
from realtime_events.rest import RestClient
from realtime_events.simulator import ClipRecogniser, Simulator

DEADLINE_S = 60
PHRASES = 3
MOST_WAITING = 10
HEAD_START_S = 0.5
INTRODUCTION = "I will send you transcripts of what somebody says. Answer each of them in one sentence."
RECORDED = "Hello! What is the weather in Bern today?"
TRANSCRIBING = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
        }
    },
}
WRITING = {"type": "realtime", "model": "gpt-realtime-2.1", "output_modalities": ["text"]}

# The pause inside the recording is shorter than this silence, so that each time it is one phrase.
DETECTION = TurnDetection(type="server_vad", threshold=0.6, silence_duration_ms=800)
NEAR = NoiseReduction(type="near_field")

rt = Realtime()


async def create(endpoint: Endpoint, config: Mapping[str, object]) -> Endpoint:
    """Create a session by REST; its secret opens that session and nothing else."""
    async with RestClient(endpoint) as rest:
        secret = await rest.create_client_secret(config)
    print(f"{config['type']} session {secret.session and secret.session.id}")
    return replace(endpoint, api_key=secret.value)


@rt.on("error")
async def failed(event: ErrorEvent) -> None:
    print(f"the server reports {event.error.message}")


async def listen(endpoint: Endpoint, recording: bytes, pause_s: float, phrases: asyncio.Queue[str | None]) -> None:
    """Session A: transcribe what is said, and queue it; where the queue is full, the phrase is dropped."""
    secret = await create(endpoint, TRANSCRIBING)
    async with rt.transcribe(endpoint=secret, model="gpt-4o-transcribe", language="en") as transcription:
        heard = AudioInput(noise_reduction=NEAR, turn_detection=DETECTION)
        await transcription.session.update(audio=AudioConfig(input=heard))
        speaking = asyncio.create_task(speak(transcription.session, recording, pause_s))
        for _ in range(PHRASES):
            line = await anext(transcription)
            while not line.is_final:
                line = await anext(transcription)
            try:
                phrases.put_nowait(line.text)
            except asyncio.QueueFull:
                print(f"dropped: {line.text}")
        await speaking
    await phrases.put(None)


async def speak(session: Session, recording: bytes, pause_s: float) -> None:
    """Be the person who says the same thing again and again."""
    for _ in range(PHRASES):
        await session.send_file(recording, pace=math.inf, silence_ms=1_000)
        await asyncio.sleep(pause_s)


async def answer(endpoint: Endpoint, phrases: asyncio.Queue[str | None]) -> None:
    """Session B: answer every phrase in text."""
    await asyncio.sleep(HEAD_START_S)
    async with rt.connect(endpoint=await create(endpoint, WRITING), session=SessionConfig()) as session:
        await say(session, INTRODUCTION)
        while (phrase := await phrases.get()) is not None:
            print(f"\ntranscribed: {phrase}")
            await say(session, f'The transcript says: "{phrase}"')


async def say(session: Session, words: str) -> None:
    """Say something as the user, ask for a response, print it while it comes, and then the whole of it."""
    async with session.stream(ResponseOutputTextDelta, ResponseDone) as events:
        await session.add_item(user(words))
        await session.send(ResponseCreate())
        whole = ""
        async for event in events:
            if isinstance(event, ResponseOutputTextDelta):
                print(event.delta, end="", flush=True)
                whole += event.delta
            else:
                break
    print(f"\nwhole answer: {whole}")


async def converse(endpoint: Endpoint, recording: bytes, pause_s: float) -> None:
    """Run both sessions; if one of them fails, the other one is ended, too."""
    phrases: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as both:
        both.create_task(listen(endpoint, recording, pause_s, phrases))
        both.create_task(answer(endpoint, phrases))


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as path:
        recording = read_wav(path)
    if os.environ.get("OPENAI_API_KEY"):
        await converse(Endpoint.openai(), recording, pause_s=9)
        return
    print("OPENAI_API_KEY is not set: talking to the simulator, which understands its own recording")
    ears = ClipRecogniser()
    ears.add(recording, RECORDED)
    async with Simulator(recogniser=ears) as sim:
        await converse(sim.endpoint, recording, pause_s=0.1)


async def until_stopped() -> None:
    """Run to the end or until SIGTERM; Ctrl-C is seen to by asyncio. Both leave every block on the way out."""
    running = asyncio.create_task(main())
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await running


if __name__ == "__main__":
    try:
        asyncio.run(until_stopped())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nstopped; both sessions are closed")
