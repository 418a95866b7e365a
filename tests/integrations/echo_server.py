"""A small MCP server on standard input and output, for tests."""

from __future__ import annotations

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("echo")


@server.tool()
async def echo(text: str, times: int = 1) -> str:
    """Say a text back.

    Args:
        text: What to say.
        times: How often.
    """
    return " ".join([text] * times)


@server.tool(name="files.count")
async def count(upto: int, ctx: Context) -> str:
    """Count, and tell how far it is."""
    for number in range(1, upto + 1):
        await ctx.report_progress(number, upto, f"at {number}")
    return "done"


@server.tool()
async def fail() -> str:
    """Fail."""
    raise ValueError("out of order")


if __name__ == "__main__":
    server.run()
