"""Push-to-talk: press, speak, let go. What was said is one question; pressing again cuts the answer short.

python 10_push_to_talk.py [question.wav]

The question is a mono WAV file of any usual rate; without one it is the recording that comes with the simulator. A real
button presses and lets go of the same `async with session.talk()`.
"""

import asyncio
import os
import sys
from importlib.resources import as_file, files
from pathlib import Path

from realtime_events import Endpoint, Realtime, Session, Turn
from realtime_events.audio import PCM16, load_audio
from realtime_events.events import SpeechInterrupted
from realtime_events.simulator import ClipRecogniser, Say, ScriptBrain, Simulator, Step

RECORDED = "Hello! What is the weather in Bern today?"
ANSWER = "In Bern it is eighteen degrees and sunny, with a light wind from the west and a few clouds in the evening."
AGAIN = "Eighteen degrees, and sunny."
PACE = 4  # of our microphone; the server takes audio as fast as it comes

# The button says when a turn ends, so the server must not.
rt = Realtime(session={"audio": {"input": {"turn_detection": None}}})


@rt.on
async def interrupted(event: SpeechInterrupted) -> None:
    print(f"   (cut at {event.audio_end_ms} ms; you heard: {event.heard!r})")


async def press(session: Session, speech: bytes) -> Turn | None:
    """Hold the button for as long as something is said, and give the whole turn."""
    async with (talk := session.talk()):
        await session.send_file(speech, pace=PACE)
    return await talk


def show(turn: Turn | None) -> None:
    """Print the answer."""
    if turn is None:
        print("too little was said: no question was asked")
    else:
        print(f"assistant: {turn.text}   ({turn.audio_ms / 1000:.1f} s of speech)")


async def converse(endpoint: Endpoint, question: bytes) -> None:
    """Ask, ask again while the answer is heard, and touch the button by mistake."""
    async with rt.connect(endpoint=endpoint) as session:
        show(await press(session, question))
        show(await press(session, question))  # Generating is faster than speaking: the answer is still heard.
        show(await press(session, PCM16.silence(40)))


async def main() -> None:
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as recorded:
        question = load_audio(Path(sys.argv[1]) if len(sys.argv) > 1 else recorded)
        if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
            await converse(Endpoint.openai(), question)
            return
        print("OPENAI_API_KEY is not set: talking to the simulator, which understands its own recording")
        ears = ClipRecogniser()
        ears.add(load_audio(recorded), RECORDED)
    brain = ScriptBrain([Step(emit=[Say(ANSWER)]), Step(emit=[Say(AGAIN)])])
    async with Simulator(recogniser=ears, brain=brain) as sim:
        await converse(sim.endpoint, question)


if __name__ == "__main__":
    asyncio.run(main())
