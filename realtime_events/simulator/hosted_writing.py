"""Writing the items of hosted MCP: a call, or the question whether it may be made.

Owns their events, piece by piece, as `writing.py` does for messages and function calls. Before it: `generation.py`;
after it: `hosted.py`, which makes the call.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..events.items import Item
from ..events.server import (
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
)
from .hosted import HostedTool, McpResult
from .tokens import Count, text_tokens
from .writing import ARGUMENT_PIECE, TOKEN_S, Place, Step, Writer, argument_pieces


class McpCallWriter(Writer):
    """Writes a call of an MCP server's tool, and makes it."""

    def __init__(self, place: Place, tool: HostedTool, arguments: str, *, pace: float) -> None:
        super().__init__(place, pace=pace)
        self._tool = tool
        self._arguments = arguments
        self._result = McpResult()

    def item(self, status: str) -> Item:
        """Give the call as far as it has come."""
        return Item(
            type="mcp_call",
            id=self.place.item_id,
            server_label=self._tool.server_label,
            name=self._tool.listed.name,
            arguments=self._said,
            approval_request_id=None,
            output=self._result.output,
            error=self._result.error,
        )

    def pieces(self, written: Count) -> Iterator[Step]:
        """Give the arguments in short pieces, then make the call."""
        response_id, item_id, index = self.place
        for piece in argument_pieces(self._arguments):
            self._say(piece, written)
            delta = ResponseMcpCallArgumentsDelta(
                response_id=response_id,
                item_id=item_id,
                output_index=index,
                delta=piece,
                obfuscation="x" * (ARGUMENT_PIECE - len(piece)),  # all pieces look alike from outside
            )
            yield Step([delta], TOKEN_S / self._pace)
        said = ResponseMcpCallArgumentsDone(
            response_id=response_id, item_id=item_id, output_index=index, arguments=self._said
        )
        yield Step([said, ResponseMcpCallInProgress(item_id=item_id, output_index=index)])
        self._result = self._tool.call(self._said)
        done = ResponseMcpCallFailed if self._result.error else ResponseMcpCallCompleted
        yield Step([done(item_id=item_id, output_index=index)])


class ApprovalWriter(Writer):
    """Writes the question whether a call may be made."""

    def __init__(self, place: Place, tool: HostedTool, arguments: str, *, pace: float) -> None:
        super().__init__(place, pace=pace)
        self._tool = tool
        self._arguments = arguments

    def item(self, status: str) -> Item:
        """Give the question, which is whole from the start."""
        return Item(
            type="mcp_approval_request",
            id=self.place.item_id,
            server_label=self._tool.server_label,
            name=self._tool.listed.name,
            arguments=self._arguments,
        )

    def pieces(self, written: Count) -> Iterator[Step]:
        """Give no pieces, but count the tokens."""
        written.text += text_tokens(self._arguments)
        yield Step([])
