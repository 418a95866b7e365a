"""A bot of two plugins: one brings tools, one listens. A glob, an event class and a name each reach their handlers."""

import asyncio
import os
from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from realtime_events import Endpoint, Event, Plugin, Realtime, Session, ToolError
from realtime_events.events import ToolDone, TurnDone
from realtime_events.simulator import Simulator

# A plugin as it is: an object to register with, as one registers with an application.
clock = Plugin(prefix="clock_")


@clock.tool
async def get_time(zone: str = "UTC") -> str:
    """Tell the time in a time zone.

    Args:
        zone: The zone's name, such as "Europe/Zurich".
    """
    try:
        there = datetime.now(UTC if zone == "UTC" else ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise ToolError(f"there is no time zone {zone!r}") from None
    return f"It is {there:%H:%M} in {zone}."


@clock.on(ToolDone)  # an event class
async def tell(event: ToolDone) -> None:
    print(f"tool       {event.call.name}({event.call.arguments}) → {event.output}")


class Ledger(Plugin):
    """A plugin as a class: it keeps a count of events for each session, and prints it when the session closes."""

    def __init__(self) -> None:
        super().__init__()
        self.on("response.*.delta", self.count)  # a glob, in any spelling
        self.on("turn.done", self.note)

    async def setup(self, session: Session) -> None:
        """Begin to count."""
        session.state.deltas = Counter[str]()

    async def close(self, session: Session) -> None:
        """Print what was counted."""
        for name, times in session.state.deltas.most_common():
            print(f"{times:>4} × {name}")

    async def count(self, event: Event, session: Session) -> None:
        """Count a delta."""
        session.state.deltas[event.type] += 1

    async def note(self, event: TurnDone) -> None:
        """Print an answer and what it cost."""
        print(f"assistant  {event.turn.text}   ({event.turn.usage.total_tokens} tokens)")


rt = Realtime(instructions="You are a clerk.", session={"output_modalities": ["text"]})
rt.include(clock)
rt.include(Ledger())


async def converse(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=endpoint) as session:
        for question in ("Good morning!", "What time is it?", "Thank you!"):
            print(f"you        {question}")
            await session.ask(question)


async def main() -> None:
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator() as sim:
            await converse(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
