"""A local MCP server: its tools become tools of the model. Needs `pip install "realtime-events[mcp]"`.

With `pip install mcp-server-time` it uses that server from PyPI; without, a small one that stands in this file.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from importlib.util import find_spec

from realtime_events import Endpoint, Realtime
from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step

FROM_PYPI = find_spec("mcp_server_time") is not None
TOOL = "get_current_time"


def serve() -> None:
    """Be an MCP server on standard input and output, as the one from PyPI is."""
    from mcp.server import MCPServer

    server = MCPServer("time")

    @server.tool(name=TOOL)
    async def get_current_time(timezone: str) -> str:
        """Get the current time in a timezone; this server knows UTC alone."""
        return datetime.now(UTC).isoformat(timespec="minutes") if timezone == "UTC" else "unknown timezone"

    server.run()


async def converse(endpoint: Endpoint) -> None:
    from realtime_events.integrations.mcp import McpServer

    arguments = ("-m", "mcp_server_time") if FROM_PYPI else (__file__, "serve")
    rt = Realtime(instructions="You know the time.", session={"output_modalities": ["text"]})
    rt.include(McpServer.stdio(sys.executable, *arguments, timeout_s=10))
    async with rt.connect(endpoint=endpoint) as session:
        print("offered  ", ", ".join(session.tools.names))
        turn = await session.ask("What time is it?")
        for call in turn.tool_calls:
            print(f"{call.name}({call.arguments}) → {call.output}")
        print("assistant", turn.text)


SCRIPT = [
    Step(emit=[Call(TOOL, '{"timezone": "UTC"}')]),
    Step(emit=[Say("You see it above.")]),
]


async def main() -> None:
    if find_spec("mcp") is None:
        print('This example needs the extra mcp: pip install "realtime-events[mcp]"')
    elif {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator(brain=ScriptBrain(SCRIPT)) as sim:
            await converse(sim.endpoint)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        asyncio.run(main())
