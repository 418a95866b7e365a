"""The Go client's `transcription_example`: make a transcription session by REST, connect to it, change it, read it.

What was different there: it sent 1,024 placeholder bytes as a conversation item and waited for two events that no
server sends, so it never came to its end. Here the audio is appended, and the transcript is awaited.
"""

import asyncio
import dataclasses
import logging
import os
from importlib.resources import as_file, files
from pathlib import Path

from realtime_events import Endpoint, Realtime
from realtime_events.audio import PCM16, read_wav
from realtime_events.events import AudioConfig, AudioInput, NoiseReduction, SessionConfig, SessionUpdate, TurnDetection
from realtime_events.rest import RestClient
from realtime_events.simulator import ClipRecogniser, Simulator

DEADLINE_S = 120
UPDATE_TIMEOUT_S = 10
MODEL, LANGUAGE, PROMPT = "gpt-4o-transcribe", "en", "Questions about the weather in Swiss towns."
RECORDED = ("Hello!", "What is the weather in Bern today?")  # turn detection hears two sentences, hence two lines
PAUSE_MS = 900

# The effect of "update-1": a microphone close to the mouth, and an end of speech that is found by its meaning.
WANTED = SessionConfig(
    type="transcription",
    audio=AudioConfig(
        input=AudioInput(
            noise_reduction=NoiseReduction(type="near_field"),
            turn_detection=TurnDetection(type="semantic_vad", eagerness="high"),
        )
    ),
)

rt = Realtime()


@rt.on("error")
async def failed(event: object) -> None:
    print(f"the server reports {event}")


async def create(endpoint: Endpoint) -> Endpoint:
    """Create the session; its secret opens that session and nothing else."""
    config = {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": MODEL, "language": LANGUAGE, "prompt": PROMPT},
            }
        },
        "include": ["item.input_audio_transcription.logprobs"],
    }
    async with RestClient(endpoint) as rest:
        secret = await rest.create_client_secret(config)
    print(f"session {secret.session and secret.session.id}, its secret expires at {secret.expires_at}")
    return dataclasses.replace(endpoint, api_key=secret.value)


async def transcribe(endpoint: Endpoint, path: Path) -> None:
    secret = await create(endpoint)
    async with rt.transcribe(
        endpoint=secret, model=MODEL, language=LANGUAGE, prompt=PROMPT, logprobs=True
    ) as transcription:
        session = transcription.session
        async with session.stream("session.updated") as updates, asyncio.timeout(UPDATE_TIMEOUT_S):
            await session.send(SessionUpdate(event_id="update-1", session=WANTED))
            updated = await anext(updates)
        if updated.session.audio and updated.session.audio.input:
            print(f"noise reduction: {updated.session.audio.input.noise_reduction}")
            print(f"turn detection:  {updated.session.audio.input.turn_detection}")
        await transcription.send_file(path)
        await transcription.finish()
        async for line in transcription:
            if line.error is not None:
                print(f"not transcribed: {line.error.message}")
                break
            print(f"{line.text} ({len(line.logprobs)} logprobs)")


async def main() -> None:
    logging.basicConfig(format="%(levelname)-5s %(name)s %(message).120s")
    logging.getLogger("realtime_events").setLevel(logging.DEBUG)
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as path:
        async with asyncio.timeout(DEADLINE_S):
            if os.environ.get("OPENAI_API_KEY"):
                await transcribe(Endpoint.openai(), path)
                return
            print("OPENAI_API_KEY is not set: talking to the simulator, which understands its own recording")
            ears = ClipRecogniser()
            recording, pause = read_wav(path), PCM16.n_bytes(PAUSE_MS)
            for clip, words in zip((recording[:pause], recording[pause:]), RECORDED, strict=True):
                ears.add(clip, words)
            async with Simulator(recogniser=ears) as sim:
                await transcribe(sim.endpoint, path)


if __name__ == "__main__":
    asyncio.run(main())
