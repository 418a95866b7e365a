"""Side questions: while the assistant answers, three responses beside the conversation watch over it.

One moderates, one finds a title, one feels the mood, all at the same time. They see the conversation and leave nothing
in it. What each of them says is routed by the topic in its metadata.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from realtime_events import Endpoint, Realtime, Session
from realtime_events.events import ResponseCreated, ResponseDone
from realtime_events.simulator import Call, Request, RuleBrain, Say, Simulator

GUEST = (
    "Hello! I am looking forward to Bern.",
    "But my train is late again, and it is raining. What can I do indoors?",
)

rt = Realtime(instructions="You are a cheerful concierge. Be brief.", session={"output_modalities": ["text"]})


class Mood(msgspec.Struct):
    """How the guest feels.

    Attributes:
        feeling: In one word.
        sure: How sure that is, from 0 to 1.
    """

    feeling: Literal["happy", "neutral", "annoyed"]
    sure: float


def topic_of(event: ResponseCreated | ResponseDone) -> str:
    """Give the topic of a response; the conversation's own have none."""
    return (event.response.metadata or {}).get("topic", "the answer")


@rt.on
async def begun(event: ResponseCreated, session: Session) -> None:
    session.state.running.append(topic_of(event))
    print(f"  begins  {topic_of(event):12} beside {', '.join(session.state.running[:-1]) or 'nothing'}")


@rt.on
async def ended(event: ResponseDone, session: Session) -> None:
    session.state.running.remove(topic_of(event))


async def moderate(session: Session) -> str:
    """Ask for one word, and read it as it comes."""
    rules = "Is everything that was said fit for a hotel lobby? Answer with one word: fine or unfit."
    async with session.respond(
        conversation="none", output_modalities=["text"], instructions=rules, metadata={"topic": "moderation"}
    ) as response:
        return await response.text


async def name(session: Session) -> str:
    """Ask for a title."""
    async with session.respond(
        conversation="none",
        output_modalities=["text"],
        instructions="Give this conversation a title of at most five words.",
        metadata={"topic": "title"},
    ) as response:
        return await response.text


async def feel(session: Session) -> Mood:
    """Ask for a value: the model is shown the schema, and its answer is checked."""
    return await session.extract("How does the guest feel?", output=Mood, metadata={"topic": "mood"})


async def converse(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=endpoint) as session:
        session.state.running = []
        for words in GUEST:
            print(f"guest     {words}")
            async with asyncio.TaskGroup() as at_once:
                answer = at_once.create_task(session.ask(words))
                await session.wait_for("conversation.item.done", when=lambda e: e.item.role == "user", timeout=10)
                verdict, title, mood = (at_once.create_task(ask(session)) for ask in (moderate, name, feel))
            print(f"assistant {answer.result().text}")
            print(f"          {verdict.result()} · “{title.result()}” · {mood.result()}\n")
        print("What is left in the conversation:")
        print(session.conversation.text)
        assert len(session.conversation.items) == 2 * len(GUEST), "a side question left something behind"


class Concierge(RuleBrain):
    """What the simulator thinks with: rules for the answers, and for each of the three topics."""

    def plan(self, request: Request) -> Sequence[Say | Call]:
        """Give what to say, or the call that answers `extract`."""
        said = " ".join(part.text or "" for item in request.conversation for part in item.content or ())
        is_annoyed = "late again" in said
        match (request.metadata or {}).get("topic"):
            case "moderation":
                return [Say("fine")]
            case "title":
                return [Say("A rainy day in Bern" if "raining" in said else "A trip to Bern")]
            case "mood":
                mood = Mood(feeling="annoyed", sure=0.9) if is_annoyed else Mood(feeling="happy", sure=0.8)
                return [Call("answer", msgspec.json.encode({"answer": mood}).decode())]
            case _:
                return [Say("Try the Einstein House: it is dry." if is_annoyed else "You will love it!")]


async def main() -> None:
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator(brain=Concierge()) as sim:
            await converse(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
