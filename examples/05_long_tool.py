"""A tool that takes its time: it says something at once, tells how far it is, and stops when the user interrupts."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from realtime_events import Endpoint, Progress, Realtime, Say
from realtime_events.events import ToolFailed, ToolProgress
from realtime_events.simulator import Call, ScriptBrain, Simulator, Step
from realtime_events.simulator import Say as Speak

SHELVES = 4

rt = Realtime(instructions="You look things up in an archive.", session={"output_modalities": ["text"]})


@rt.tool(on_interrupt="cancel", timeout_s=20)
async def search_archive(words: str) -> AsyncIterator[Any]:
    """Search the archive; it takes a while.

    Args:
        words: What to look for.
    """
    yield Say("One moment, I am looking.")
    for shelf in range(1, SHELVES + 1):
        await asyncio.sleep(0.1)
        yield Progress(f"shelf {shelf}", shelf / SHELVES)
    yield {"found": 3, "words": words}


@rt.on
async def progress(event: ToolProgress) -> None:
    if isinstance(event.progress, Progress):
        print(f"  {event.progress.fraction:4.0%} {event.progress.text}")
    else:
        print(f"  says: {event.progress.text}")


@rt.on
async def stopped(event: ToolFailed) -> None:
    print(f"  stopped: {event.output}")


SCRIPT = [
    Step(emit=[Call("search_archive", '{"words": "lighthouse"}')]),
    Step(emit=[Speak("One moment, I am looking.")]),
    Step(emit=[Speak("There are three reports about the lighthouse.")]),
    Step(emit=[Call("search_archive", '{"words": "harbour"}')]),
    Step(emit=[Speak("One moment, I am looking.")]),
    Step(emit=[Speak("Never mind, then.")]),
]


async def converse(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=endpoint) as session:
        turn = await session.ask("What do we have about the lighthouse?")
        print(turn.text)
        asking = asyncio.create_task(session.ask("And about the harbour?"))
        await session.wait_for("tool.progress", when=lambda event: isinstance(event.progress, Progress), timeout=30)
        await session.interrupt()
        print((await asking).text)


async def main() -> None:
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator(brain=ScriptBrain(SCRIPT)) as sim:
            await converse(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
