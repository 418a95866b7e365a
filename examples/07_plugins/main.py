"""An application that includes the plugin by its name, once its package is installed, or else from its folder."""

import asyncio
import os

from concierge_weather import Weather

from realtime_events import Endpoint, Realtime
from realtime_events.plugin import installed_plugins
from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step

rt = Realtime(instructions="You are a concierge.", session={"output_modalities": ["text"]})
rt.include("weather" if "weather" in installed_plugins() else Weather())

SCRIPT = [
    Step(emit=[Call("weather_now", '{"city": "Bern"}'), Call("weather_now", '{"city": "Oslo"}')]),
    Step(emit=[Say("Bern is warm, Oslo is not.")]),
]


async def converse(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=endpoint) as session:
        print("offered  ", ", ".join(session.tools.names))
        turn = await session.ask("How is the weather in Bern and in Oslo?")
        for call in turn.tool_calls:
            print(f"{call.name}({call.arguments}) → {call.output}")
        print("assistant", turn.text)


async def main() -> None:
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator(brain=ScriptBrain(SCRIPT)) as sim:
            await converse(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
