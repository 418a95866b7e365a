"""Tools: types, defaults, limits and structures in the signature; what does not fit is told to the model.

The simulator plays a script here, so that each kind of call happens: one that fits, and one that does not.
"""

import asyncio
import os
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from realtime_events import Endpoint, Realtime, ToolError
from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step

rt = Realtime(instructions="You book tables.", session={"output_modalities": ["text"]})


class Guest(msgspec.Struct):
    """Who comes.

    Attributes:
        name: How they are called.
    """

    name: str
    vegetarian: bool = False


@rt.tool(timeout_s=5, retries=1)
async def book_table(
    day: date,
    seats: Annotated[int, Meta(ge=1, le=12)],
    area: Literal["inside", "terrace"] = "inside",
    guests: list[Guest] | None = None,
) -> dict[str, Any]:
    """Book a table in the restaurant.

    Args:
        day: The day of the visit.
        seats: How many people come.
        area: Where they want to sit.
        guests: Who they are, if known.

    Examples:
        >>> book_table(day="2030-05-01", seats=2)["area"]
        'inside'
    """
    if area == "terrace" and day.month in (12, 1, 2):
        raise ToolError("the terrace is closed in winter")
    return {"booked": True, "day": day, "seats": seats, "area": area, "guests": guests or []}


@rt.on("tool.done", "tool.failed")
async def show(event: Any) -> None:
    print(f"{event.type:12} {event.call.arguments}\n{'':12} {event.output}")


SCRIPT = [
    Step(emit=[Call("book_table", '{"day": "2030-05-01", "seats": 2, "guests": [{"name": "Ada"}]}')]),
    Step(emit=[Call("book_table", '{"day": "tomorrow", "seats": 20, "smoking": true}')]),
    Step(emit=[Call("book_table", '{"day": "2030-01-01", "seats": 2, "area": "terrace"}')]),
    Step(emit=[Say("You have a table for two inside on the first of May.")]),
]


async def converse(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=endpoint) as session:
        turn = await session.ask("A table for two on May the first, please.")
        print(f"assistant    {turn.text}")


async def main() -> None:
    rt.tools.check()  # every schema, and the examples in the docstrings
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator(brain=ScriptBrain(SCRIPT)) as sim:
            await converse(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
