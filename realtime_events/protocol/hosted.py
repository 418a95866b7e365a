"""Hosted MCP: what the server has listed, and which of its calls wait for our consent.

Owns the state of each MCP server's listing by its label, and the open approval requests. Pure. Before it: `core.py`,
which hears of items; after it: the session's `mcp_ready`, `approve` and `deny`.
"""

from __future__ import annotations

from ..events.base import UNSET
from ..events.items import Item
from ..events.local import ToolApprovalRequested, ToolCall

__all__ = ["HostedMcp"]


class HostedMcp:
    """The hosted MCP servers of a session."""

    def __init__(self) -> None:
        self._label_of: dict[str, str] = {}
        self._ended: dict[str, bool] = {}
        self._asked: dict[str, bool] = {}

    def note(self, item: Item) -> ToolApprovalRequested | None:
        """Take note of an item; a request for approval is told once."""
        if item.type == "mcp_list_tools" and item.id:
            self._label_of[item.id] = item.server_label or ""
        if item.type != "mcp_approval_request" or not item.id or item.id in self._asked:
            return None
        self._asked[item.id] = False
        call = ToolCall(call_id=item.id, name=item.name or "", arguments=item.arguments or "", item_id=item.id)
        return ToolApprovalRequested(call=call, kind="mcp")

    def listed(self, item_id: str, *, ok: bool) -> None:
        """Take note that a listing has ended."""
        self._ended[item_id] = ok

    def state(self, label: str) -> bool | None:
        """Say whether a server's tools are listed: True, False if that failed, None as long as nobody knows."""
        ends = [self._ended.get(item_id) for item_id, one in self._label_of.items() if one == label]
        return ends[-1] if ends else None

    def decide(self, request_id: str, *, approve: bool, reason: str = "") -> Item | None:
        """Give the item that answers a request for approval, or None if there is no such request."""
        if self._asked.get(request_id, True):
            return None
        self._asked[request_id] = True
        return Item(
            type="mcp_approval_response",
            approval_request_id=request_id,
            approve=approve,
            reason=reason or UNSET,
        )
