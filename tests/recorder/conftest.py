"""What the tests of tapes share: a session of the simulator, recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_events import Realtime
from realtime_events.simulator import Simulator

QUESTION = "What should I wear in Bern today?"

Record = Callable[..., Awaitable[Path]]


class Concierge:
    """An application with a tool, a list of what its handlers heard, and one of what the tool was asked."""

    def __init__(self) -> None:
        self.rt = Realtime(instructions="You are a cheerful concierge.")
        self.heard: list[Any] = []
        self.asked: list[str] = []
        self.rt.on("*", self._hear)
        self.rt.tool(self.get_weather)

    async def _hear(self, event: Any) -> None:
        self.heard.append(event)

    async def get_weather(self, city: str) -> str:
        """Look up the current weather.

        Args:
            city: The city's name, such as "Bern".
        """
        self.asked.append(city)
        return f"18 °C and sunny in {city}"


@pytest.fixture
def concierge() -> Concierge:
    """Gives an application."""
    return Concierge()


@pytest.fixture
async def record(tmp_path: Path) -> AsyncIterator[Record]:
    """Gives what records one turn with a tool call, by an application of its own, and gives the tape's path."""
    async with Simulator() as simulator:

        async def record(name: str = "call.jsonl", **changes: Any) -> Path:
            path = tmp_path / name
            changes.setdefault("record", path)
            async with Concierge().rt.connect(endpoint=simulator.endpoint, **changes) as session:
                await session.ask(QUESTION, timeout=20)
            return path

        yield record
