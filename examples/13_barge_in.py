"""Barge-in: the user speaks while the assistant is heard, and both sides go on from the word that was really heard.

Turn detection is switched while the session runs: by silence (server VAD), by meaning (semantic VAD), not at all. At
the end nobody says anything, and the server tells so by an event of its own.

python 13_barge_in.py [speech.wav]

The speech is a mono WAV file; without one it is the recording that comes with the simulator.
"""

import asyncio
import os
import sys
from importlib.resources import as_file, files
from pathlib import Path

from realtime_events import AudioConfig, AudioInput, Endpoint, Realtime, Session, TurnDetection
from realtime_events.audio import load_audio
from realtime_events.events import (
    AudioFlush,
    InputAudioBufferSpeechStarted,
    InputAudioBufferTimeoutTriggered,
    SpeechInterrupted,
)
from realtime_events.simulator import ClipRecogniser, Request, Say, Simulator

RECORDED = "Hello! What is the weather in Bern today?"
ANSWER = "In Bern it is eighteen degrees and sunny, with a light wind from the west and a few clouds in the evening."
LISTENING_S = 1.0
PACE = 4  # of our microphone; the server takes audio as fast as it comes

BY_SILENCE = TurnDetection(type="server_vad", threshold=0.5, silence_duration_ms=700, interrupt_response=True)
BY_MEANING = TurnDetection(type="semantic_vad", eagerness="auto", interrupt_response=True)
IMPATIENT = TurnDetection(type="server_vad", idle_timeout_ms=5_000)  # the API takes 5 to 30 seconds

rt = Realtime()


@rt.on
async def flush(event: AudioFlush) -> None:
    print("   players empty their buffers")  # This comes before anything else of an interruption.


@rt.on
async def started(event: InputAudioBufferSpeechStarted) -> None:
    print("   the server hears somebody speak")


@rt.on
async def interrupted(event: SpeechInterrupted) -> None:
    print(f"   cut at {event.audio_end_ms} ms; heard was: {event.heard!r}")


@rt.on
async def timed_out(event: InputAudioBufferTimeoutTriggered) -> None:
    print(f"   nobody has said anything since {event.audio_start_ms} ms of the microphone")


async def switch(session: Session, detection: TurnDetection | None) -> None:
    """Change the turn detection of the running session, and show what the server says it is now."""
    await session.update(audio=AudioConfig(input=AudioInput(turn_detection=detection)))
    now = session.config.audio and session.config.audio.input and session.config.audio.input.turn_detection
    print(f"turn detection: {now.type if now else 'none'}")


async def barge_in(session: Session, speech: bytes) -> None:
    """Let the assistant begin to answer, listen for a while, and speak while it is heard."""
    asking = asyncio.create_task(session.ask("What is the weather like?", policy="cancel_active"))
    await session.wait_for("response.output_audio.delta", timeout=30)
    await asyncio.sleep(LISTENING_S)
    speaking = asyncio.create_task(session.send_file(speech, pace=PACE, silence_ms=1_500))
    await session.wait_for(SpeechInterrupted, timeout=30)
    await asking
    await session.wait_for("turn.done", timeout=60)  # This is the turn that the interruption began.
    await speaking


async def by_hand(session: Session) -> None:
    """Without turn detection it is the application that interrupts."""
    asking = asyncio.create_task(session.ask("And tomorrow?", policy="cancel_active"))
    await session.wait_for("response.output_audio.delta", timeout=30)
    await asyncio.sleep(LISTENING_S)
    await session.interrupt()
    print(f"   the answer ended as {(await asking).status}")


async def converse(endpoint: Endpoint, speech: bytes) -> None:
    """Interrupt in three ways, then keep silent."""
    async with rt.connect(endpoint=endpoint) as session:
        await switch(session, BY_SILENCE)
        await barge_in(session, speech)
        await switch(session, BY_MEANING)
        await barge_in(session, speech)
        await switch(session, None)
        await by_hand(session)
        await switch(session, IMPATIENT)
        await session.ask("Are you there?")
        await session.wait_for("input_audio_buffer.timeout_triggered", timeout=60)
        print(session.conversation.export("srt"))


class Weatherman:
    """What the simulator says: the same at length, so that there is something to interrupt."""

    def plan(self, request: Request) -> list[Say]:
        """Give the answer to the last thing that was said."""
        asked = request.conversation[-1].content or () if request.conversation else ()
        is_short = any(part.text == "Are you there?" for part in asked)
        return [Say("Yes." if is_short else ANSWER)]


async def main() -> None:
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as recorded:
        speech = load_audio(Path(sys.argv[1]) if len(sys.argv) > 1 else recorded)
        if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
            await converse(Endpoint.openai(), speech)
            return
        print("OPENAI_API_KEY is not set: talking to the simulator, which understands its own recording")
        ears = ClipRecogniser()
        ears.add(load_audio(recorded), RECORDED)
    async with Simulator(brain=Weatherman(), recogniser=ears) as sim:
        await converse(sim.endpoint, speech)


if __name__ == "__main__":
    asyncio.run(main())
