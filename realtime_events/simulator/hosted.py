"""Hosted MCP: tools that the server itself lists and calls.

Owns which MCP servers this simulator pretends to reach, what they list, and the calls and approvals of one session.
Knows no response. Before it: `session.py`, when tools are configured or approved, and `generation.py`, when a brain
calls one; after it: the functions that a test gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from ..events.items import Item, McpError, McpListedTool
from ..events.server import (
    ConversationItemAdded,
    ConversationItemDone,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
)
from ..events.session import ApprovalFilter, Tool, ToolFilter
from .conversation import Conversation
from .errors import Refusal
from .exchange import Outlet

LISTING_S = 0.05
OUTPUT_LIMIT = 1024 * 1024

Answer = Callable[[str, dict[str, Any]], str]
"""Answers a call: the tool's name and its arguments in, the output out. What it raises is a tool execution error."""


@dataclass(frozen=True, kw_only=True)
class McpServer:
    """An MCP server that the simulator pretends to reach: what it lists, and how it answers."""

    tools: Sequence[McpListedTool]
    answer: Answer


class McpResult(msgspec.Struct, frozen=True):
    """What a call gave: an output or an error."""

    output: str | None = None
    error: McpError | None = None


@dataclass(frozen=True)
class HostedTool:
    """One tool of an MCP server, as a session offers it."""

    server_label: str
    listed: McpListedTool
    needs_approval: bool
    answer: Answer = field(repr=False)

    def call(self, arguments: str) -> McpResult:
        """Call it; whatever goes wrong is a result."""
        try:
            given = msgspec.json.decode(arguments or "{}", type=dict[str, Any])
            return McpResult(output=str(self.answer(self.listed.name, given))[:OUTPUT_LIMIT])
        except Exception as broken:  # noqa: BLE001 - foreign code may raise anything
            return McpResult(error=McpError(type="tool_execution_error", message=str(broken) or type(broken).__name__))


class Hosted:
    """The MCP servers of one session."""

    def __init__(self, outlet: Outlet, conversation: Conversation, servers: Mapping[str, McpServer]) -> None:
        self._outlet = outlet
        self._conversation = conversation
        self._servers = servers
        self._listed: dict[str, Sequence[McpListedTool]] = {}
        self._asked: dict[str, tuple[HostedTool, str]] = {}

    def offer(self, tools: Iterable[Tool], *, due: float | None = None) -> None:
        """List the servers among these tools that are not listed yet: at a time, or at once."""
        for tool in tools:
            label = str(tool.server_label)
            if tool.type == "mcp" and label not in self._listed:
                self._listed[label] = ()
                self._list(label, tool, due)

    def functions(self, tools: Iterable[Tool]) -> list[Tool]:
        """Give the tools as a brain sees them: those of MCP servers one by one, as functions."""
        return [function for tool in tools for function in self._as_functions(tool)]

    def find(self, name: str, tools: Iterable[Tool]) -> HostedTool | None:
        """Give the tool of an MCP server that has this name; None where it is a function of the client or nothing."""
        offered = list(tools)
        if any(tool.type != "mcp" and tool.name == name for tool in offered):
            return None
        return next((hosted for tool in offered for hosted in self._tools_of(tool) if hosted.listed.name == name), None)

    def ask(self, request_id: str, tool: HostedTool, arguments: str) -> None:
        """Note that a call waits for the client's approval."""
        self._asked[request_id] = (tool, arguments)

    def check_answer(self, item: Item) -> None:
        """Refuse an answer to a question that was not asked."""
        if item.approval_request_id not in self._asked:
            text = f"MCP approval request '{item.approval_request_id}' not found in conversation."
            raise Refusal(text, code="invalid_approval_request_id", param="item.approval_request_id")

    def decide(self, item: Item) -> None:
        """Do what the client's answer says: call the tool now, or never."""
        tool, arguments = self._asked.pop(str(item.approval_request_id))
        if item.approve:
            self._call(tool, arguments, str(item.approval_request_id))

    def _list(self, label: str, tool: Tool, due: float | None) -> None:
        item = Item(type="mcp_list_tools", id=self._outlet.ids("mcpl"), server_label=label, tools=[])
        entry, previous = self._conversation.add(item)
        self._outlet.send(ConversationItemAdded(item=item, previous_item_id=previous))
        self._outlet.send(McpListToolsInProgress(item_id=entry.id))

        def listed(_: float) -> None:
            server = self._servers.get(label)
            if server is None:
                self._outlet.send(McpListToolsFailed(item_id=entry.id))
            else:
                self._listed[label] = [one for one in server.tools if _is_allowed(one, tool.allowed_tools)]
                self._outlet.send(McpListToolsCompleted(item_id=entry.id))
            entry.item = msgspec.structs.replace(item, tools=list(self._listed[label]))
            self._outlet.send(ConversationItemDone(item=entry.item, previous_item_id=previous))

        if due is None:
            listed(0.0)
        else:
            self._outlet.timeline.at(due, listed)

    def _call(self, tool: HostedTool, arguments: str, request_id: str) -> None:
        item = Item(
            type="mcp_call",
            id=self._outlet.ids("mcp"),
            server_label=tool.server_label,
            name=tool.listed.name,
            arguments=arguments,
            approval_request_id=request_id,
            output=None,
            error=None,
        )
        entry, previous = self._conversation.add(item)
        self._outlet.send(ConversationItemAdded(item=item, previous_item_id=previous))
        self._outlet.send(ResponseMcpCallInProgress(item_id=entry.id, output_index=0))
        result = tool.call(arguments)
        done = ResponseMcpCallFailed if result.error else ResponseMcpCallCompleted
        self._outlet.send(done(item_id=entry.id, output_index=0))
        entry.item = msgspec.structs.replace(item, output=result.output, error=result.error)
        self._outlet.send(ConversationItemDone(item=entry.item, previous_item_id=previous))

    def _tools_of(self, tool: Tool) -> list[HostedTool]:
        label = str(tool.server_label)
        server = self._servers.get(label)
        if tool.type != "mcp" or server is None:
            return []
        return [
            HostedTool(label, listed, _needs_approval(listed, tool.require_approval), server.answer)
            for listed in self._listed.get(label, ())
            if _is_allowed(listed, tool.allowed_tools)
        ]

    def _as_functions(self, tool: Tool) -> list[Tool]:
        if tool.type != "mcp":
            return [tool]
        return [
            Tool(
                type="function",
                name=hosted.listed.name,
                description=hosted.listed.description,
                parameters=hosted.listed.input_schema,
            )
            for hosted in self._tools_of(tool)
        ]


def as_function_calls(items: Iterable[Item]) -> Iterator[Item]:
    """Give items as a brain sees them: a finished MCP call is a function call and its output."""
    for item in items:
        if item.type != "mcp_call":
            yield item
            continue
        call_id = str(item.id)
        yield Item(type="function_call", call_id=call_id, name=item.name, arguments=item.arguments)
        output = item.output or (item.error and item.error.message) or ""
        yield Item(type="function_call_output", call_id=call_id, output=output)


def _is_allowed(listed: McpListedTool, allowed: Any) -> bool:
    if isinstance(allowed, list):
        return listed.name in cast(list[str], allowed)
    return not isinstance(allowed, ToolFilter) or _is_in(listed, allowed)


def _needs_approval(listed: McpListedTool, required: Any) -> bool:
    if not isinstance(required, ApprovalFilter):
        return bool(required != "never")
    if required.never and _is_in(listed, required.never):
        return False
    return not required.always or _is_in(listed, required.always)


def _is_in(listed: McpListedTool, chosen: ToolFilter) -> bool:
    names = chosen.tool_names
    if isinstance(names, list) and listed.name not in names:
        return False
    return not isinstance(chosen.read_only, bool) or _only_reads(listed) is chosen.read_only


def _only_reads(listed: McpListedTool) -> bool:
    annotations: Any = listed.annotations
    return isinstance(annotations, Mapping) and bool(cast(Mapping[str, Any], annotations).get("readOnlyHint"))
