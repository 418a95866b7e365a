"""A supervisor: a second session joins a call that somebody else began, listens, and steps in at a word.

python 17_supervisor.py [rtc_...]

The call is one that a web page made over WebRTC: the page talks with the assistant, and this program joins by the id of
the call (`call_id`). With OPENAI_API_KEY and an id it joins a real one; else the simulator holds a call, and plays both
sides. The simulator lets one sideband at a time join a call; whether the service takes more is not documented.
"""

import asyncio
import os
import sys

from realtime_events import Endpoint, Realtime, RestClient, Session, system
from realtime_events.events import ConversationItemInputAudioTranscriptionCompleted, ResponseOutputAudioTranscriptDone
from realtime_events.simulator import ClipRecogniser, IncomingCall, Say, ScriptBrain, Simulator, Step, ToneVoice

WORDS = {"refund", "lawyer", "complaint"}
ADVICE = "A supervisor says: promise nothing, apologise, and offer that a person calls back today."

supervisor = Realtime()  # nothing is set, so nothing of the call is changed by joining it


def flagged(text: str) -> set[str]:
    """Give the words of a sentence that a supervisor wants to hear of."""
    return WORDS & {word.strip(".,!?").lower() for word in text.split()}


@supervisor.on
async def heard(event: ConversationItemInputAudioTranscriptionCompleted, session: Session) -> None:
    print(f"caller     {event.transcript}")
    if words := flagged(event.transcript):
        print(f"FLAG       {', '.join(sorted(words))}")
        await session.add_item(system(ADVICE))
        print(f"whispered  {ADVICE}")


@supervisor.on
async def said(event: ResponseOutputAudioTranscriptDone) -> None:
    print(f"assistant  {event.transcript}")
    answers.put_nowait(event.transcript)


async def listen(endpoint: Endpoint, call_id: str) -> None:
    """Join a call and stay until it ends; leaving earlier would leave the call alone."""
    async with supervisor.connect(endpoint=endpoint, call_id=call_id) as session:
        joined.set()
        ending = await session.wait_closed()
    print(f"end        {ending.reason}")


# What follows is the simulated side: a page that makes the call, a user who speaks, and a model that answers.

answers: asyncio.Queue[str] = asyncio.Queue()
joined = asyncio.Event()

OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
ASSISTANT = {
    "instructions": "You take calls for a small shop.",
    "audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}},
}
QUESTIONS = ["Do you have the blue lamp in stock?", "Mine came broken. I want a refund, or I call my lawyer!"]
SCRIPT = [
    Step(emit=[Say("Yes, we have three of them.")]),
    Step(emit=[Say("I am sorry. May a colleague call you back today?")]),
]


async def speak(call: IncomingCall, questions: list[bytes]) -> None:
    """Ask one question after the other, each when the last one was answered, and hang up."""
    await joined.wait()
    for question in questions:
        call.say(question + bytes(len(question)))  # silence, by which turn detection hears that it is over
        await answers.get()
    call.hang_up()


async def simulate() -> None:
    ears, voice, speech = ClipRecogniser(), ToneVoice(), list[bytes]()
    for words in QUESTIONS:
        speech.append(b"".join(voice.speak(words)))
        ears.add(speech[-1], words)
    async with Simulator(brain=ScriptBrain(SCRIPT), recogniser=ears) as sim:
        async with RestClient(sim.endpoint) as rest:
            call = await rest.create_call(OFFER, {"model": "gpt-realtime-2.1", **ASSISTANT})
        user = asyncio.create_task(speak(sim.calls[0], speech))
        await listen(sim.endpoint, call.call_id)
        await user


def main() -> None:
    if len(sys.argv) > 1 and "OPENAI_API_KEY" in os.environ:
        asyncio.run(listen(Endpoint.openai(), sys.argv[1]))
    else:
        print("no call to join: the simulator holds one")
        asyncio.run(simulate())


if __name__ == "__main__":
    main()
