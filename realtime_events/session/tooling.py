"""Tooling: tool calls that wait for a word of the application, and answers on their way to the model.

Owns approvals, of our own tools and of those that the server hosts, and what the runner says and answers through a
session. Before it: the application and the runner; after it: State, which knows when a batch of calls is answered.
"""

from __future__ import annotations

import asyncio

from ..events import local
from ..exceptions import RemoteProtocolError
from ..protocol.batches import WhenDone
from ..tools.output import Outcome
from .configuring import Configuring
from .listening import Listening

MCP_TIMEOUT_S = 30.0


class Tooling(Configuring, Listening):
    """What a session does about tool calls."""

    def approve(self, call_id: str, *, always: bool = False) -> asyncio.Future[bool]:
        """Let a tool call run that waits for approval (`tool.approval_requested`); it acts at once, awaited or not.

        Args:
            call_id: The call's.
            always: Whether its tool needs no approval any more in this session.

        Returns:
            A future that is done: whether the call was waiting; false if it was decided or had expired, and for the
            call of a hosted MCP server while the connection is lost.
        """
        decided = self._runner.approvals.approve(call_id, always=always)
        return _done(decided or self._decide_hosted(call_id, approve=True))

    def deny(self, call_id: str, reason: str = "") -> asyncio.Future[bool]:
        """Refuse a tool call that waits for approval; the model is told the reason. It acts at once, awaited or not."""
        decided = self._runner.approvals.deny(call_id, reason)
        return _done(decided or self._decide_hosted(call_id, approve=False, reason=reason))

    def _decide_hosted(self, request_id: str, *, approve: bool, reason: str = "") -> bool:
        if self._line.is_offline:
            return False  # The request is lost with its session; on a call, it can be decided when that is back.
        decided = self._core.decide_hosted(request_id, self._clock(), approve=approve, reason=reason)
        self._connection.carry_out()
        return decided

    async def mcp_ready(self, *, timeout: float | None = MCP_TIMEOUT_S) -> None:
        """Wait until the server has listed the tools of every hosted MCP server that the session was told of.

        Raises:
            RemoteProtocolError: One of them could not be listed; its label is named.
            TimeoutError: It took longer than `timeout` seconds.
            ConnectionLostError: The connection has ended.
        """
        labels = [tool.server_label for tool in self.config.tools or () if tool.type == "mcp" and tool.server_label]
        async with asyncio.timeout(timeout), self.stream("mcp_list_tools.*", "conversation.item.*") as news:
            while None in (states := {label: self._core.hosted.state(label) for label in labels}).values():
                if await anext(news, None) is None:
                    raise self._connection.lost()
        if failed := [label for label, ok in states.items() if not ok]:
            raise RemoteProtocolError(f"the server could not list the tools of the MCP server {', '.join(failed)}")

    # What the runner needs.

    def _say_for_tool(self, call_id: str, text: str) -> None:
        def say() -> None:
            self._core.exchange.say(call_id, text, self._clock())
            self._connection.carry_out()

        self._line.when_online(say)

    def _answer_tool(self, result: local.ToolResult, respond: bool, when_done: WhenDone) -> None:
        self.tools.note(result)

        def answer() -> None:
            self._refresh_tools()
            self._core.answer_tool(result, self._clock(), respond=respond, when_done=when_done)
            self._connection.carry_out()

        self._line.when_online(answer)

    async def _run_tool_by_hand(self, call: local.ToolCall) -> Outcome:
        return await self._runner.run(call)


def _done(value: bool) -> asyncio.Future[bool]:
    """Give a value to somebody who may or may not await it."""
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future
