"""What a type checker sees of a tool: its own signature, unchanged by registering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from realtime_events.tools import ToolRegistry

registry = ToolRegistry()


@registry.tool
async def bare(city: str, days: int = 1) -> str:
    return city * days


@registry.tool(name="other", timeout_s=5, respond=False, on_interrupt="cancel")
def with_options(city: str) -> int:
    return len(city)


def ready(city: str) -> list[str]:
    return [city]


async def use() -> None:
    assert_type(await bare("Bern", days=2), str)
    assert_type(with_options("Bern"), int)
    assert_type(registry.tool(ready)("Bern"), list[str])
    assert_type(registry.tool(ready, name="again")("Bern"), list[str])
    raw: Callable[[dict[str, Any]], Any] = registry.tool(
        lambda arguments: arguments, name="raw", parameters={"type": "object"}
    )
    raw({})


registry.tool(ready, timeout=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
registry.tool(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
registry.tool(ready, on_interrupt="stop")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
with_options(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
