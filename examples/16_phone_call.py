"""A phone line: a webhook tells of a call, the assistant takes it, asks for a number, talks, and hands the call over.

python 16_phone_call.py

With OPENAI_API_KEY and OPENAI_WEBHOOK_SECRET it waits for real calls at http://localhost:8000/webhook, which has to be
reachable from outside. Without them the simulator rings, and plays a caller who presses keys and says one sentence.
"""

import asyncio
import os

from aiohttp import web

from realtime_events import Realtime, Reject, Session, system
from realtime_events.events import (
    ConnectionClosed,
    ConnectionOpened,
    ConversationItemInputAudioTranscriptionCompleted,
    ResponseOutputAudioTranscriptDone,
)
from realtime_events.simulator import Call, ClipRecogniser, IncomingCall, Say, ScriptBrain, Simulator, Step, ToneVoice
from realtime_events.webhooks import IncomingCall as Ringing

FRONT_DESK = "tel:+15550199"
BOOKINGS = {"4711": "Ada, two nights, sea view"}

rt = Realtime(
    instructions="You answer the phone of a small hotel, in one or two sentences at a time.",
    voice="marin",
    session={"audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}},
)


def decide(call: Ringing) -> Reject | None:
    """Refuse who does not say who calls; the header is the caller's own word, so nothing else hangs on it."""
    return Reject(603) if "anonymous" in (call.header("From") or "anonymous") else None


@rt.on
async def greet(event: ConnectionOpened, session: Session) -> None:
    """Speak first, as people do on the phone, and take the number from the keypad."""
    await session.respond(instructions="Greet the caller, and ask for the four digits of the booking.")
    digits = await session.gather(4, timeout=5)
    print(f"keypad     {digits or 'nothing'}")
    booking = BOOKINGS.get(digits, "no booking of this number")
    await session.add_item(system(f"The caller's booking, by its number: {booking}"))
    await session.respond()


@rt.tool
async def transfer(session: Session) -> str:
    """Hand the call over to a person at the front desk, when the caller asks for one."""
    assert session.call is not None
    print(f"transfer   to {FRONT_DESK}")
    await session.call.refer(FRONT_DESK)
    return "handed over"


@rt.on
async def said(event: ResponseOutputAudioTranscriptDone) -> None:
    print(f"assistant  {event.transcript}")
    heard.put_nowait(event.transcript)


@rt.on
async def asked(event: ConversationItemInputAudioTranscriptionCompleted) -> None:
    print(f"caller     {event.transcript}")


@rt.on
async def closed(event: ConnectionClosed) -> None:
    print(f"end        {event.reason}")
    over.set()


# What follows is the simulated side: a caller who listens and then answers, and a model that says what one might.

heard: asyncio.Queue[str] = asyncio.Queue()
over = asyncio.Event()

WISH = "That is right. May I talk to somebody at the desk, please?"
SCRIPT = [
    Step(emit=[Say("Welcome to the Hotel by the Sea! Please key in the four digits of your booking.")]),
    Step(emit=[Say("Hello Ada, two nights with a view of the sea.")]),
    Step(emit=[Say("Gladly, one moment."), Call("transfer", "{}")]),
]


async def play_caller(call: IncomingCall, speech: bytes) -> None:
    """Press the keys after the greeting, and say a sentence after the answer."""
    await heard.get()
    for key in "4711":
        call.press(key)
    await heard.get()
    call.say(speech + bytes(len(speech)))  # silence, by which turn detection hears that it is over
    await over.wait()
    print(f"the call   {call.state} to {call.refer_to}")


async def simulate() -> None:
    speech = b"".join(ToneVoice().speak(WISH))
    ears = ClipRecogniser()
    ears.add(speech, WISH)
    secret = "test-secret"
    async with Simulator(brain=ScriptBrain(SCRIPT), recogniser=ears) as sim:
        app = web.Application()
        rt.webhooks(secret, on_call=decide, endpoint=sim.endpoint).add_to(app, "/webhook")
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
        await play_caller(await sim.ring(webhook_url=url, secret=secret), speech)
        unknown = await sim.ring(webhook_url=url, secret=secret, caller="sip:anonymous@anonymous.invalid")
        await runner.cleanup()  # lets what is in hand end
        print(f"the next   {unknown.state} with {unknown.reject_code}: nobody knows who called")


def main() -> None:
    if {"OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET"} <= os.environ.keys():
        app = web.Application()
        rt.webhooks(on_call=decide).add_to(app, "/webhook")
        web.run_app(app, port=8000)  # SIGTERM lets calls go on for a while, then hangs up
    else:
        print("OPENAI_API_KEY and OPENAI_WEBHOOK_SECRET are not set: the simulator rings")
        asyncio.run(simulate())


if __name__ == "__main__":
    main()
