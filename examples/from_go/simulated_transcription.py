"""The Go client's `simulated_transcription_example`: phrases that pretend to be transcripts, each of them answered."""

import asyncio
import dataclasses
import logging
import os

from realtime_events import Endpoint, Realtime, Session, Stream, user
from realtime_events.events import (
    ErrorEvent,
    Event,
    ResponseCreate,
    ResponseDone,
    ResponseOutputTextDelta,
)
from realtime_events.rest import RestClient
from realtime_events.simulator import Simulator

DEADLINE_S = 60
INTRODUCTION = "I will send you transcripts of what somebody says. Answer each of them in one sentence."
PHRASES = (
    "Hello, I am testing the transcription of speech.",
    "What is the weather like in Bern today?",
    "Thank you, that is all for now.",
)
TEXT = {"type": "realtime", "model": "gpt-realtime-2.1", "output_modalities": ["text"]}

# What comes with every response, and says nothing that is not said elsewhere.
HARMLESS = {
    "connection.opened",
    "conversation.item.added",
    "conversation.item.done",
    "rate_limits.updated",
    "response.content_part.added",
    "response.content_part.done",
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.done",
    "turn.done",
    "turn.started",
}

rt = Realtime(session={"output_modalities": ["text"]})


async def create(endpoint: Endpoint) -> Endpoint:
    """Create a text session by REST; its secret opens that session and nothing else."""
    async with RestClient(endpoint) as rest:
        secret = await rest.create_client_secret(TEXT)
    print(f"session {secret.session and secret.session.id}")
    return dataclasses.replace(endpoint, api_key=secret.value)


async def say(session: Session, events: Stream[Event], text: str) -> str:
    """Say something as the user, ask for a response, print it while it comes, and give the whole of it."""
    await session.add_item(user(text))
    await session.send(ResponseCreate())
    whole = ""
    async for event in events:
        if isinstance(event, ResponseOutputTextDelta):
            print(event.delta, end="", flush=True)
            whole += event.delta
        elif isinstance(event, ResponseDone):
            break
        elif isinstance(event, ErrorEvent):
            raise SystemExit(f"the server reports {event.error.message}")
        elif event.type not in HARMLESS:
            print(f"[{event.type}]")
    print()
    return whole


async def converse(endpoint: Endpoint, pause_s: float) -> None:
    async with rt.connect(endpoint=await create(endpoint)) as session, session.stream() as events:
        answers = [await say(session, events, INTRODUCTION)]
        for phrase in PHRASES:
            await asyncio.sleep(pause_s)  # somebody speaks
            print(f"\ntranscribed: {phrase}")
            answers.append(await say(session, events, f'The transcript says: "{phrase}"'))
    print(f"\n{len(answers)} responses, {sum(map(len, answers))} characters")


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    async with asyncio.timeout(DEADLINE_S):
        if os.environ.get("OPENAI_API_KEY"):
            await converse(Endpoint.openai(), pause_s=2)
        else:
            print("OPENAI_API_KEY is not set: talking to the simulator")
            async with Simulator() as sim:
                await converse(sim.endpoint, pause_s=0.1)


if __name__ == "__main__":
    asyncio.run(main())
