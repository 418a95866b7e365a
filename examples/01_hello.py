"""Hello: a handler that prints the answer while it is written or spoken, and a tool that the model calls by itself."""

import asyncio
import os
from typing import Any

from realtime_events import Endpoint, Realtime
from realtime_events.simulator import Simulator

rt = Realtime(instructions="You are a cheerful concierge.", voice="marin")


@rt.on("response.text.delta", "response.audio_transcript.delta")  # any spelling reaches the same handler
async def show(event: Any) -> None:
    print(event.delta, end="", flush=True)


@rt.tool
async def get_weather(city: str) -> str:
    """Look up the current weather.

    Args:
        city: The city's name, such as "Bern".
    """
    return f"18 °C and sunny in {city}"


async def hello(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=endpoint) as session:
        turn = await session.ask("What should I wear in Bern today?")
        print()
        print(turn.text, turn.tool_calls, turn.usage, sep="\n")


async def main() -> None:
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await hello(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator() as sim:
            await hello(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
