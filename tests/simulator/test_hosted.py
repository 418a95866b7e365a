"""Hosted MCP: listing, calling, approving."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_events.events.items import McpListedTool
from realtime_events.simulator import Call, McpServer, Organs, Say, SimulatedSession, ToneVoice
from realtime_events.simulator.ears import ClipRecogniser

SEARCH = McpListedTool(name="search", input_schema={"type": "object"}, annotations={"readOnlyHint": True})
DELETE = McpListedTool(name="delete", input_schema={"type": "object"})


def answer(name: str, arguments: dict[str, Any]) -> str:
    """Answers as the docs server of these tests."""
    if name == "delete":
        raise PermissionError("not allowed")
    return f"found {arguments['q']}"


def mcp(**fields: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example.com", **fields}


@pytest.fixture
def attach(connect_to: Any, connect: Any) -> Any:
    """Gives a function that opens a session with an MCP tool: `attach(*plans, **tool fields)`."""

    def open_session(*plans: Any, **fields: Any) -> Any:
        brain = connect(*plans).brain
        servers = {"docs": McpServer(tools=[SEARCH, DELETE], answer=answer)}
        organs = Organs(brain=brain, voice=ToneVoice(), recogniser=ClipRecogniser(), pace=1e9, mcp_servers=servers)
        client = connect_to(SimulatedSession(organs), brain)
        client.send("session.update", session={"type": "realtime", "tools": [mcp(**fields)]})
        client.wait()
        return client

    return open_session


def test_a_server_is_listed_when_the_session_is_told_of_it(attach: Any) -> None:
    client = attach()
    assert client.frames.types[1:] == [
        "session.updated",
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "conversation.item.done",
    ]
    item = client.frames.one("conversation.item.done")["item"]
    assert (item["type"], [tool["name"] for tool in item["tools"]]) == ("mcp_list_tools", ["search", "delete"])
    client.send("session.update", session={"type": "realtime", "tools": [mcp()]})
    assert "mcp_list_tools.in_progress" not in client.wait().types


def test_a_server_that_nobody_named_fails_to_list(attach: Any) -> None:
    client = attach(server_label="elsewhere")
    assert "mcp_list_tools.failed" in client.frames.types
    assert client.frames.one("conversation.item.done")["item"]["tools"] == []


@pytest.mark.parametrize("allowed", [["search"], {"tool_names": ["search"]}, {"read_only": True}])
def test_only_allowed_tools_are_listed_and_offered(attach: Any, allowed: Any) -> None:
    client = attach([Say("Nothing.")], allowed_tools=allowed)
    client.say("go")
    assert [tool.name for tool in client.brain.asked[-1].tools] == ["search"]


def test_a_call_is_made_inside_the_response(attach: Any) -> None:
    client = attach([Call("search", '{"q": "codec"}')], [Say("Here.")], require_approval="never")
    frames = client.say("search")
    names = [name for name in dict.fromkeys(frames.types) if "mcp" in name]
    assert names == [
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
    ]
    item = frames.one("response.done")["response"]["output"][0]
    assert (item["type"], item["output"], item["arguments"]) == ("mcp_call", "found codec", '{"q": "codec"}')
    assert frames.one("response.output_item.done")["item"] == item
    client.say("and?")
    kinds = [one.type for one in client.brain.asked[-1].conversation]
    assert kinds[-3:] == ["function_call", "function_call_output", "message"]


def test_a_call_that_fails_says_why(attach: Any) -> None:
    client = attach([Call("delete", "{}")], require_approval="never")
    frames = client.say("delete")
    assert "response.mcp_call.failed" in frames.types
    error = frames.one("response.output_item.done")["item"]["error"]
    assert error == {"type": "tool_execution_error", "message": "not allowed"}


@pytest.mark.parametrize("approve", [True, False])
def test_a_call_waits_for_approval(attach: Any, approve: bool) -> None:
    client = attach([Call("search", '{"q": "codec"}')])
    request = client.say("search").one("response.output_item.done")["item"]
    assert (request["type"], request["server_label"], request["name"]) == ("mcp_approval_request", "docs", "search")
    reply = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}
    frames = client.send("conversation.item.create", item=reply)
    called = frames.types[2:]
    expected = ["conversation.item.added", "response.mcp_call.in_progress", "response.mcp_call.completed"]
    assert called == ([*expected, "conversation.item.done"] if approve else [])
    if approve:
        item = frames[-1]["item"]
        assert (item["output"], item["approval_request_id"]) == ("found codec", request["id"])
    again = client.refused("conversation.item.create", item=reply)
    assert again["code"] == "invalid_approval_request_id"


def test_approval_may_be_needed_for_some_tools_only(attach: Any) -> None:
    plans = [Call("search", '{"q": "x"}')], [Call("delete", "{}")]
    client = attach(*plans, require_approval={"never": {"read_only": True}})
    kinds = [client.say("go").one("response.output_item.done")["item"]["type"] for _ in plans]
    assert kinds == ["mcp_call", "mcp_approval_request"]


def test_a_server_named_for_one_response_is_listed_for_it(attach: Any) -> None:
    client = attach([Call("search", '{"q": "x"}')])
    client.send("session.update", session={"type": "realtime", "tools": []})
    client.send("response.create", response={"tools": [mcp(require_approval="never")]})
    assert client.wait().one("response.output_item.done")["item"]["output"] == "found x"
