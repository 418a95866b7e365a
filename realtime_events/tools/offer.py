"""The offer: which tools one session offers to the model, and how that changes while it lives.

Owns what is switched off in this session, what is its own, and what the server was told last. Knows the session only
as what a tool's condition is asked about. Before it: the registry, read live; after it: the session, which tells the
server, and the runner, which runs nothing that is not offered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, Unpack

import msgspec

from ..events.local import ToolCall, ToolResult
from ..events.session import Tool as WireTool
from ..exceptions import ConfigurationError, ToolNotFound
from ..logs import logger
from .options import ToolSettings
from .output import Outcome, encode_output
from .registry import Tool, ToolRegistry, make_tool

__all__ = ["Offer", "ToolUsage"]

log = logger("tools")

COUNTED_NAMES = 1000


@dataclass(slots=True)
class ToolUsage:
    """How a tool was used in a session: how often it was called, how often in vain, and for how long altogether."""

    calls: int = 0
    failed: int = 0
    total_ms: float = 0.0


class Offer:
    """The tools of one session: `session.tools`.

    Each change tells the server with one `session.update`, and none if nothing is different.

    `usage` counts the answered calls of each tool by its name, those of tools that do not exist among them.

    Attributes:
        stand_in: Gives what is called in the place of a tool; a replay sets it.

    Args:
        registry: The application's tools.
        session: What `available_when` is asked about.
        others: Tools that are no functions of ours, such as hosted MCP servers; they stay on offer.
        tell: Sends the whole list to the server.
        run: Runs a call by hand.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        session: object,
        others: Sequence[WireTool] = (),
        tell: Callable[[list[WireTool]], Awaitable[object]],
        run: Callable[[ToolCall], Awaitable[Outcome]],
    ) -> None:
        self._registry = registry
        self._own = ToolRegistry.beside(registry)
        self._session = session
        self._others = list(others)
        self._tell = tell
        self._run = run
        self._disabled: set[str] = set()
        self._seen: list[Tool] = []
        self._told: list[WireTool] = []
        self._calls = 0
        self.usage: dict[str, ToolUsage] = {}
        self.stand_in: Callable[[Tool], Tool] = lambda tool: tool

    def note(self, result: ToolResult) -> None:
        """Count an answered call."""
        if result.name not in self.usage and len(self.usage) >= COUNTED_NAMES:
            return  # A model that makes up names shall not fill the memory.
        usage = self.usage.setdefault(result.name, ToolUsage())
        usage.calls += 1
        usage.failed += not result.ok
        usage.total_ms += result.duration_ms

    def __iter__(self) -> Iterator[Tool]:
        for tool in (*self._registry, *self._own):
            if tool.name not in self._disabled and self._is_available(tool):
                yield tool

    def __contains__(self, name: object) -> bool:
        return any(tool.name == name for tool in self)

    @property
    def names(self) -> list[str]:
        """The names of the tools on offer now."""
        return [tool.name for tool in self]

    @property
    def provided(self) -> Mapping[str, Any]:
        """What is injected into tools, by key."""
        return {**self._registry.provided, **self._own.provided}

    def get(self, name: str) -> Tool:
        """Give the tool of this name, if it is on offer.

        Raises:
            ToolNotFound: it is not; the error lists those that are.
        """
        for registry in (self._registry, self._own):
            if name in registry and name not in self._disabled:
                tool = registry.get(name)
                if self._is_available(tool):
                    return self.stand_in(tool)
        raise ToolNotFound(name, self.names)

    def _is_available(self, tool: Tool) -> bool:
        condition = tool.options.available_when
        if condition is None:
            return True
        try:
            return bool(condition(self._session))
        except Exception as error:  # noqa: BLE001  somebody's condition must not cost the session
            log.debug("available_when of tool %s (%s) failed: %r", tool.name, tool.where, error)
            return False

    def were_told(self, tools: list[WireTool]) -> None:
        """Count these as told to the server, and no others: it is another one."""
        self._told, self._seen = tools, []

    # Changing it.

    async def enable(self, *names: str) -> None:
        """Offer tools again.

        Raises:
            ToolNotFound: there is no such tool.
        """
        self._check(names)
        self._disabled -= set(names)
        await self.refresh()

    async def disable(self, *names: str) -> None:
        """Offer tools no longer in this session; a call that runs is not touched.

        Raises:
            ToolNotFound: there is no such tool.
        """
        self._check(names)
        self._disabled |= set(names)
        await self.refresh()

    async def only(self, *names: str) -> None:
        """Offer these tools and no others.

        Raises:
            ToolNotFound: there is no such tool.
        """
        self._check(names)
        self._disabled = {tool.name for tool in (*self._registry, *self._own)} - set(names)
        await self.refresh()

    async def add(self, *tools: Tool | Callable[..., Any], **options: Unpack[ToolSettings]) -> None:
        """Offer further functions, or ready tools, in this session alone.

        Raises:
            ConfigurationError: the API would refuse one of them, or its name is taken.
        """
        made = [tool if isinstance(tool, Tool) else self._made(tool, options) for tool in tools]
        for tool in made:
            if tool.name in self._registry:
                other = self._registry.get(tool.name)
                raise ConfigurationError(f"two tools are named {tool.name!r}: at {other.where} and at {tool.where}")
        for tool in made:
            self._own.add(tool)
        await self.refresh()

    def _made(self, fn: Callable[..., Any], options: ToolSettings) -> Tool:
        return make_tool(fn, options=options, injectable=self._own.injectable)

    async def refresh(self) -> None:
        """Tell the server if what is on offer has changed, because a condition has, for instance.

        It happens by itself at `session.ask()` and whenever a tool call was answered.
        """
        if (changed := self.changed()) is not None:
            await self._tell(changed)

    def changed(self) -> list[WireTool] | None:
        """Give the list that the server has to be told, or None; it counts as told then."""
        tools = list(self)
        if len(tools) == len(self._seen) and all(map(is_, tools, self._seen)):
            return None  # The usual case; it must cost next to nothing, since it is asked at every answer.
        self._seen = tools
        now = self.wire()
        if now == self._told:
            return None
        self._told = now
        return now

    def wire(self) -> list[WireTool]:
        """Give what is on offer as the wire's objects."""
        return [*self._others, *msgspec.convert([tool.definition() for tool in self], list[WireTool])]

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._registry and name not in self._own:
                raise ToolNotFound(name, [tool.name for tool in (*self._registry, *self._own)])

    # Calling one by hand.

    async def call(self, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a tool as if the model had called it, and give what its function gives; the server hears nothing of it.

        No approval is asked for, and no event is published.

        Raises:
            ToolNotFound: it is not on offer.
            ToolArgumentsError: the arguments do not fit.
            Exception: whatever the tool raises.
        """
        self._calls += 1
        text = encode_output(dict(arguments or {}))
        outcome = await self._run(ToolCall(call_id=f"by_hand_{self._calls}", name=name, arguments=text))
        if outcome.error is not None:
            raise outcome.error
        return outcome.value
