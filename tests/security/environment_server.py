"""An MCP server that tells its environment."""

import os

from mcp.server import MCPServer

server = MCPServer("environment")


@server.tool()
def environment() -> str:
    """Tell every variable."""
    return repr(dict(os.environ))


server.run()
