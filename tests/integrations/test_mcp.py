"""MCP both ways: servers of our own through the `mcp` package, and those that the API's server calls."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from realtime_events import Realtime, RemoteProtocolError, ToolError, hosted_mcp
from realtime_events.events import ConversationItemCreate, Item, McpListedTool, ResponseCreate
from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step
from realtime_events.simulator import McpServer as HostedServer
from realtime_events.testing import Peer

pytest.importorskip("mcp")

from realtime_events.integrations.mcp import McpServer

SERVER = Path(__file__).parent / "echo_server.py"
HTTP_SERVER = SERVER.with_name("http_server.py")
WAIT_S = 30
COUNTING = [Step(emit=[Call("files_count", '{"upto":2}')]), Step(emit=[Say("Counted.")])]


def echo(**options: Any) -> McpServer:
    return McpServer.stdio(sys.executable, str(SERVER), **options)


def owners() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if "integrations.mcp" in task.get_name()]


@pytest_asyncio.fixture(autouse=True)
async def every_server_has_ended() -> AsyncIterator[None]:
    """B46: a program may take its time to end, but it ends by itself."""
    yield
    async with asyncio.timeout(WAIT_S):
        while owners():
            await asyncio.sleep(0)


async def test_the_tools_of_a_local_server_become_tools_of_a_session() -> None:
    """Names that the API would refuse are changed, the schema is the server's."""
    rt, peer = Realtime(), Peer()
    rt.include(echo(prefix="e_", timeout_s=5))
    async with asyncio.timeout(WAIT_S), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        assert session.tools.names == ["e_echo", "e_files_count", "e_fail"]
        tool = session.tools.get("e_echo")
        assert tool.description.startswith("Say a text back.") and tool.options.timeout_s == 5
        assert list(tool.parameters["properties"]) == ["text", "times"] and tool.parameters["required"] == ["text"]
        assert await session.tools.call("e_echo", {"text": "hi", "times": 2}) == "hi hi"
        with pytest.raises(ToolError, match="fail"):
            await session.tools.call("e_fail")
        with pytest.raises(ToolError):
            await session.tools.call("e_echo", {"text": 5})
    assert len(rt.tools) == 0


async def test_the_model_calls_a_local_server_and_its_progress_is_told() -> None:
    """Through the simulator: one output, and `tool.progress` on the way."""
    rt, told = Realtime(session={"output_modalities": ["text"]}), []
    rt.on("tool.progress", lambda event: told.append((event.progress.text, event.progress.fraction)))
    rt.include(echo())
    brain = ScriptBrain(COUNTING)
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain) as sim, rt.connect(endpoint=sim.endpoint) as session:
        turn = await session.ask("Count to two.")
    assert [call.output for call in turn.tool_calls] == ["done"] and turn.text == "Counted."
    assert told == [("at 1", 0.5), ("at 2", 1.0)]


async def test_one_server_serves_all_sessions_and_ends_with_the_last() -> None:
    """B46: no task of it is left."""
    rt, peers = Realtime(), [Peer(), Peer(), Peer()]
    rt.include(echo())
    async with asyncio.timeout(WAIT_S):
        first = await rt.connect(endpoint=peers[0].endpoint, dial=peers[0].dial)
        second = await rt.connect(endpoint=peers[1].endpoint, dial=peers[1].dial)
        assert len(owners()) == 1
        await first.close()
        assert await second.tools.call("echo", {"text": "still here"}) == "still here"
        await second.close()
        while owners():
            await asyncio.sleep(0)
        third = await rt.connect(endpoint=peers[2].endpoint, dial=peers[2].dial)
        assert await third.tools.call("echo", {"text": "again"}) == "again"
        await third.close()
        while owners():
            await asyncio.sleep(0)


@asynccontextmanager
async def serving_http() -> AsyncIterator[str]:
    program = await asyncio.create_subprocess_exec(sys.executable, str(HTTP_SERVER), stdout=asyncio.subprocess.PIPE)
    assert program.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await program.stdout.readline())}/mcp"
    finally:
        program.kill()
        await program.wait()


async def test_the_tools_of_a_server_reached_by_http_are_called_like_those_of_a_program() -> None:
    """With progress on the way, failures as `ToolError`, and no task left at the end (B46)."""
    rt, peer, told = Realtime(), Peer(), []
    async with asyncio.timeout(WAIT_S), serving_http() as url:
        rt.include(McpServer.http(url, prefix="h_"))
        async with rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
            assert session.tools.names == ["h_echo", "h_files_count", "h_fail"]
            assert await session.tools.call("h_echo", {"text": "hi", "times": 2}) == "hi hi"
            with pytest.raises(ToolError, match="fail"):
                await session.tools.call("h_fail")
        rt, brain = Realtime(session={"output_modalities": ["text"]}), ScriptBrain(COUNTING)
        rt.on("tool.progress", lambda event: told.append((event.progress.text, event.progress.fraction)))
        rt.include(McpServer.http(url))
        async with Simulator(brain=brain) as sim, rt.connect(endpoint=sim.endpoint) as session:
            turn = await session.ask("Count to two.")
        while owners():
            await asyncio.sleep(0)
    assert [call.output for call in turn.tool_calls] == ["done"] and told == [("at 1", 0.5), ("at 2", 1.0)]


async def test_an_http_server_that_is_not_there_fails_the_connection() -> None:
    """And cleans up (B46)."""
    rt, peer = Realtime(), Peer()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    rt.include(McpServer.http(f"http://127.0.0.1:{port}/mcp"))
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ExceptionGroup) as failed:
            await rt.connect(endpoint=peer.endpoint, dial=peer.dial)
    assert failed.group_contains(Exception, match="(?i)connect")
    assert owners() == []


async def test_a_server_that_does_not_start_fails_the_connection() -> None:
    """And cleans up (B46)."""
    rt, peer = Realtime(), Peer()
    rt.include(McpServer.stdio("there-is-no-such-program"))
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(OSError, match="there-is-no-such-program"):
            await rt.connect(endpoint=peer.endpoint, dial=peer.dial)
    assert owners() == []


LOOK_UP = McpListedTool(
    name="look_up", description="Look up.", input_schema={"type": "object", "properties": {"word": {"type": "string"}}}
)


def hosted(require_approval: Any = "never") -> Realtime:
    tools = [
        hosted_mcp("docs", url="https://example.com/mcp", authorization="token", require_approval=require_approval)
    ]
    return Realtime(session={"output_modalities": ["text"], "tools": tools})


async def test_a_session_waits_until_its_hosted_servers_are_listed() -> None:
    """`await session.mcp_ready()`; the authorization shows in no `repr`."""
    rt = hosted()
    assert "token" not in repr(rt.config)
    servers = {"docs": HostedServer(tools=[LOOK_UP], answer=lambda name, arguments: "found")}
    async with asyncio.timeout(WAIT_S), Simulator(mcp_servers=servers) as sim:
        async with rt.connect(endpoint=sim.endpoint) as session:
            await session.mcp_ready()
            await session.mcp_ready()
        assert sim.sessions[0].sent.counts["mcp_list_tools.completed"] == 1


async def test_a_hosted_server_that_cannot_be_listed_is_named() -> None:
    """With its label."""
    async with asyncio.timeout(WAIT_S), Simulator() as sim, hosted().connect(endpoint=sim.endpoint) as session:
        with pytest.raises(RemoteProtocolError, match="docs"):
            await session.mcp_ready()


@pytest.mark.parametrize("approve", [True, False])
async def test_a_hosted_call_waits_for_the_same_approval_as_ours(approve: bool) -> None:
    """B35: `tool.approval_requested`, then `approve` or `deny`, then one response."""
    rt, peer, asked = hosted("always"), Peer(), []
    rt.on("tool.approval_requested", asked.append)
    request = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "server_label": "docs",
        "name": "look_up",
        "arguments": "{}",
    }
    async with asyncio.timeout(WAIT_S), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        peer.sent.clear()
        peer.say({"type": "response.created", "response": {"id": "resp_1", "conversation_id": "conv_1"}})
        peer.say({"type": "conversation.item.added", "item": request})
        peer.say({"type": "response.output_item.done", "response_id": "resp_1", "item": request})
        await session.wait_for("response.output_item.done")
        decided = session.approve("mcpr_1") if approve else session.deny("mcpr_1", "not now")
        assert await decided and not await session.approve("mcpr_1")
        answer: Item = (await peer.heard(ConversationItemCreate)).item
        peer.say({"type": "response.done", "response": {"id": "resp_1", "status": "completed"}})
        await peer.heard(ResponseCreate)
    assert [(event.kind, event.call.name) for event in asked] == [("mcp", "look_up")]
    assert (answer.type, answer.approval_request_id, answer.approve) == ("mcp_approval_response", "mcpr_1", approve)
    assert (answer.reason or "") == ("" if approve else "not now")
    assert len(peer.sent) == 2
