"""Approvals: calls that wait for somebody's consent.

Owns who waits, and which tools are allowed for the rest of the session. Knows no clock: the runner's timer ends a wait
that nobody answers. Before it: `calling`, which asks; after it: the session's `approve` and `deny`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ..events.local import ToolCall
from ..exceptions import ToolError
from .registry import Tool

__all__ = ["Approvals"]


class Approvals:
    """The approvals of one session.

    Args:
        request: Tells whoever decides that a call waits.
        holder: What a policy function with two parameters gets as the second, the session.
    """

    def __init__(self, request: Callable[[ToolCall, Tool], object], holder: object = None) -> None:
        self._request = request
        self._holder = holder
        self._waiting: dict[str, tuple[ToolCall, asyncio.Future[str | None]]] = {}
        self._always: set[str] = set()

    def approve(self, call_id: str, *, always: bool) -> bool:
        """Let a call run; with `always`, its tool needs no approval any more. False if it does not wait."""
        call = self._decide(call_id, None)
        if call is not None and always:
            self._always.add(call.name)
        return call is not None

    def deny(self, call_id: str, reason: str) -> bool:
        """Refuse a call; false if it does not wait."""
        return self._decide(call_id, reason) is not None

    def _decide(self, call_id: str, refusal: str | None) -> ToolCall | None:
        call, future = self._waiting.pop(call_id, (None, None))
        if call is None or future is None or future.done():
            return None
        future.set_result(refusal)
        return call

    async def ask(self, tool: Tool, call: ToolCall, run: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        """Return once a call may run; `run` runs a plain policy function where it may block.

        Raises:
            ToolError: it was denied.
        """
        policy = tool.options.approval
        if policy == "never" or call.name in self._always:
            return
        decision = None if policy == "always" else await self._decided_by(policy, call, run)
        if decision is True:
            return
        refusal = await self._decided_by_somebody(tool, call) if decision is None else decision
        if refusal is not None:
            raise ToolError(f"{call.name!r} was not run: it was denied{f': {refusal}' if refusal else ''}")

    async def _decided_by(
        self, policy: Callable[..., Any], call: ToolCall, run: Callable[[Callable[[], Any]], Awaitable[Any]]
    ) -> bool | str | None:
        arguments = (call, self._holder) if len(inspect.signature(policy).parameters) > 1 else (call,)
        if inspect.iscoroutinefunction(policy):
            decision = await policy(*arguments)
        else:
            decision = await run(lambda: policy(*arguments))
            decision = await decision if inspect.isawaitable(decision) else decision
        return decision if decision is None or isinstance(decision, str) else (True if decision else "")

    async def _decided_by_somebody(self, tool: Tool, call: ToolCall) -> str | None:
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting[call.call_id] = (call, future)
        try:
            self._request(call, tool)
            return await future
        finally:
            self._waiting.pop(call.call_id, None)
