"""Talks to a Realtime server that nobody here wrote: the npm package `@copilotkit/aimock`, on loopback.

It differs from the API in places: `committed` names no item, assistant items are never `added`, a cancellation is
answered by `response.cancelled`, responses name no conversation. A client that is right lives with that. The nox
session `interop` installs it and says where by `REALTIME_EVENTS_AIMOCK`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from realtime_events import (
    ConnectionLostError,
    Endpoint,
    Event,
    HandshakeError,
    Plugin,
    Realtime,
    ResponseFailed,
    ServerError,
    Session,
    UnknownEvent,
)
from realtime_events.events import ConnectionClosed, ResponseDone, ResponseOutputTextDelta, ToolDone

AIMOCK = os.environ.get("REALTIME_EVENTS_AIMOCK", "")
TIMEOUT_S = 20
LISTENING = "listening on "

pytestmark = pytest.mark.skipif(not AIMOCK, reason="aimock is not installed; `nox -s interop` brings it")

GREETING = {"match": {"userMessage": "Hello"}, "response": {"content": "Hi there, how are you doing today?"}}
FORECAST = "It is 18 °C and sunny in Bern, so a T-shirt will do."


@dataclass(frozen=True)
class Aimock:
    """A running server."""

    url: str

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(url=self.url.replace("http://", "ws://") + "/v1/realtime", api_key="test-key")

    async def requests(self) -> list[list[dict[str, Any]]]:
        """Give the messages that the server saw at each `response.create`, oldest first."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.url}/v1/_requests") as answer:
            return [entry["body"]["messages"] for entry in await answer.json()]


@asynccontextmanager
async def aimock(folder: Path, *fixtures: dict[str, Any]) -> AsyncIterator[Aimock]:
    """Run the server with these fixtures while the block runs; the block may take 20 s at the most."""
    file = folder / "fixtures.json"
    file.write_text(json.dumps({"fixtures": fixtures}), "utf-8")
    process = await asyncio.create_subprocess_exec(
        *("node", AIMOCK, "--port", "0", "--fixtures", str(file), "--chunk-size", "8"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield Aimock(await listening(process))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def listening(process: asyncio.subprocess.Process) -> str:
    """Give the URL once the server says it."""
    assert process.stdout is not None
    said: list[str] = []
    while line := (await process.stdout.readline()).decode():
        said.append(line)
        if LISTENING in line:
            return line.partition(LISTENING)[2].strip()
    raise AssertionError(f"aimock ended before it listened: {''.join(said)}")


def app_with_weather(calls: list[str]) -> Realtime:
    rt = Realtime(instructions="You are a cheerful concierge.", voice="marin")

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the current weather.

        Args:
            city: The city's name.
        """
        calls.append(city)
        return f"18 °C and sunny in {city}"

    return rt


def tool_call(city: str, call_id: str) -> dict[str, str]:
    return {"name": "get_weather", "arguments": json.dumps({"city": city}), "id": call_id}


async def test_a_text_turn_gives_its_words_as_deltas_and_as_a_whole(tmp_path: Path) -> None:
    """B05, B20: beta names reach the handlers although the server speaks GA."""
    rt, heard, seen = Realtime(instructions="Be kind."), list[str](), list[Event]()

    @rt.on("response.text.delta")
    async def show(event: ResponseOutputTextDelta) -> None:
        heard.append(event.delta)

    rt.on("*", seen.append)
    async with aimock(tmp_path, GREETING) as server, rt.connect(endpoint=server.endpoint) as session:
        turn = await session.ask("Hello")
        assert session.id.startswith("sess_")
        assert session.config.instructions == "Be kind."
    assert turn.status == "completed"
    assert turn.text == "".join(heard) == "Hi there, how are you doing today?"
    assert len(heard) > 1
    assert {event.type for event in seen} >= {"connection.opened", "turn.started", "turn.done", "connection.closed"}
    assert not [event for event in seen if event.type in ("event.unknown", "event.malformed", "handler.failed")]


async def test_a_second_turn_follows_the_first(tmp_path: Path) -> None:
    """The server is sent the whole conversation in order."""
    again = {"match": {"userMessage": "And you"}, "response": {"content": "Splendid."}}
    async with aimock(tmp_path, GREETING, again) as server, Realtime().connect(endpoint=server.endpoint) as session:
        assert (await session.ask("Hello")).text == "Hi there, how are you doing today?"
        assert (await session.ask("And you?")).text == "Splendid."
        roles = [message["role"] for message in (await server.requests())[-1]]
    assert roles == ["user", "assistant", "user"]


async def test_a_tool_call_is_answered_by_itself_and_then_spoken_of(tmp_path: Path) -> None:
    """B31, B32: the tool runs once although the call shows up three times; one follow-up is asked for."""
    asks = {"match": {"toolCallId": "call_1"}, "response": {"content": FORECAST}}
    calls_tool = {"match": {"userMessage": "wear"}, "response": {"toolCalls": [tool_call("Bern", "call_1")]}}
    calls: list[str] = []
    rt = app_with_weather(calls)
    finished: list[ToolDone] = []
    rt.on("tool.done", finished.append)
    async with aimock(tmp_path, asks, calls_tool) as server, rt.connect(endpoint=server.endpoint) as session:
        turn = await session.ask("What should I wear in Bern today?")
        requests = await server.requests()
    assert calls == ["Bern"]
    assert turn.text == FORECAST
    assert [call.output for call in turn.tool_calls] == ["18 °C and sunny in Bern"]
    assert [event.call.call_id for event in finished] == ["call_1"]
    assert len(turn.responses) == len(requests) == 2
    assert requests[-1][-1] == {"role": "tool", "content": "18 °C and sunny in Bern", "tool_call_id": "call_1"}


async def test_words_and_parallel_calls_in_one_response_get_one_follow_up(tmp_path: Path) -> None:
    """B20, B32: all outputs are sent, then one `response.create`."""
    both = [tool_call("Bern", "call_1"), tool_call("Oslo", "call_2")]
    asks = {"match": {"hasToolResult": True}, "response": {"content": "Both are sunny."}}
    looks = {"match": {"userMessage": "Bern or Oslo"}, "response": {"content": "Let me see.", "toolCalls": both}}
    calls: list[str] = []
    rt = app_with_weather(calls)
    async with aimock(tmp_path, asks, looks) as server, rt.connect(endpoint=server.endpoint) as session:
        turn = await session.ask("Bern or Oslo?")
        requests = await server.requests()
    assert sorted(calls) == ["Bern", "Oslo"]
    assert turn.text == "Let me see.\nBoth are sunny."
    assert len(requests) == 2
    assert sorted(m["tool_call_id"] for m in requests[-1] if m["role"] == "tool") == ["call_1", "call_2"]


async def test_a_plugin_with_a_prefix_answers_its_tool(tmp_path: Path) -> None:
    """A plugin's tool is called by its prefixed name."""
    plugin = Plugin(prefix="home_")

    @plugin.tool
    def light(on: bool, session: Session) -> str:
        return f"{session.id[:4]} light is {'on' if on else 'off'}"

    call = {"name": "home_light", "arguments": '{"on": true}', "id": "call_1"}
    asks = {"match": {"toolCallId": "call_1"}, "response": {"content": "Done."}}
    rt = Realtime()
    rt.include(plugin)
    switches = {"match": {"userMessage": "light"}, "response": {"toolCalls": [call]}}
    async with aimock(tmp_path, asks, switches) as server, rt.connect(endpoint=server.endpoint) as session:
        turn = await session.ask("Switch the light on")
    assert [call.output for call in turn.tool_calls] == ["sess light is on"]
    assert turn.text == "Done."


async def test_raw_sends_can_be_waited_for_and_streamed(tmp_path: Path) -> None:
    """B06: a wait, a stream and a handler each see the response."""
    async with aimock(tmp_path, GREETING) as server, Realtime().connect(endpoint=server.endpoint) as session:
        deltas = session.stream("response.*.delta")
        done = asyncio.create_task(session.wait_for("response.done"))
        added = asyncio.create_task(session.wait_for("conversation.item.created"))
        content = [{"type": "input_text", "text": "Hello"}]
        item = {"type": "message", "role": "user", "content": content}
        await session.send({"type": "conversation.item.create", "item": item})
        await session.send({"type": "response.create"})
        assert (await added).item.role == "user"
        response: ResponseDone = await done
        await deltas.aclose()
    assert response.response.status == "completed"


async def test_a_failed_response_raises_and_the_session_goes_on(tmp_path: Path) -> None:
    """B20: failed is the one ending that raises, with the server's words."""
    error = {"message": "Too much at once", "type": "rate_limit_error", "code": "rate_limited"}
    fails = {"match": {"userMessage": "Fail"}, "response": {"error": error, "status": 429}}
    async with aimock(tmp_path, fails, GREETING) as server, Realtime().connect(endpoint=server.endpoint) as session:
        with pytest.raises(ResponseFailed, match="Too much at once") as failed:
            await session.ask("Fail, please")
        with pytest.raises(ResponseFailed) as unmatched:
            await session.ask("Nobody has an answer to this")
        assert (await session.ask("Hello")).status == "completed"
    assert (failed.value.type, failed.value.code) == ("rate_limit_error", "rate_limited")
    assert unmatched.value.code == "no_fixture_match"


async def test_a_dropped_connection_ends_the_turn_and_says_so(tmp_path: Path) -> None:
    """B40: the ending without a CLOSE frame is told once, with what was cut; nobody waits on."""
    drops = {**GREETING, "latency": 100, "disconnectAfterMs": 150}
    rt, endings = Realtime(), list[ConnectionClosed]()
    rt.on("connection.closed", endings.append)
    async with aimock(tmp_path, drops) as server, rt.connect(endpoint=server.endpoint, reconnect=False) as session:
        waiting = asyncio.create_task(session.wait_for("response.done"))
        with pytest.raises(ConnectionLostError) as lost:
            await session.ask("Hello")
        with pytest.raises(ConnectionLostError):
            await waiting
        ending = await session.wait_closed()
    assert (ending.code, ending.initiator) == (lost.value.code, lost.value.initiator) == (1006, "network")
    assert [(event.code, event.response_cut) for event in endings] == [(1006, True)]


async def test_an_update_gives_what_the_server_confirmed(tmp_path: Path) -> None:
    """B13: the configuration is the server's, not the wish."""
    async with (
        aimock(tmp_path, GREETING) as server,
        Realtime(voice="marin").connect(endpoint=server.endpoint) as session,
    ):
        effective = await session.update(instructions="Be brief.")
        assert effective.instructions == "Be brief."
        assert effective.audio
        assert effective.audio.output
        assert effective.audio.output.voice == "marin"
        assert session.config == effective
        assert session.id.startswith("sess_")


async def test_a_commit_is_acknowledged_without_an_item_id(tmp_path: Path) -> None:
    """A server that leaves an id out is believed as far as it goes."""
    async with aimock(tmp_path, GREETING) as server, Realtime().connect(endpoint=server.endpoint) as session:
        await session.send_audio(bytes(4800))
        assert await session.commit_audio() == ""
        await session.clear_audio()


async def test_an_interruption_is_survived_although_its_answer_is_unknown(tmp_path: Path) -> None:
    """B01: `response.cancelled` is no event of the API; it arrives as an unknown one."""
    slow = {**GREETING, "latency": 60}
    async with aimock(tmp_path, slow) as server, Realtime().connect(endpoint=server.endpoint) as session:
        asking = asyncio.create_task(session.ask("Hello"))
        await session.wait_for("response.created")
        unknown = asyncio.create_task(session.wait_for(UnknownEvent))
        await session.interrupt()
        assert (await unknown).type == "response.cancelled"
        assert (await asking).status == "completed"
        assert (await session.ask("Hello")).status == "completed"


async def test_a_transcription_session_hears(tmp_path: Path) -> None:
    """The second kind of session: audio in, its words out."""
    words = {"match": {"endpoint": "realtime-transcription"}, "response": {"transcription": {"text": "Good morning"}}}
    config = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    rt = Realtime(session=config)
    async with (
        aimock(tmp_path, words) as server,
        rt.connect(endpoint=server.endpoint, kind="transcription") as session,
    ):
        done = "conversation.item.input_audio_transcription.completed"
        completed = asyncio.create_task(session.wait_for(done))
        await session.send_audio(bytes(4800))
        await session.commit_audio()
        assert (await completed).transcript == "Good morning"


async def test_the_beta_dialect_is_refused_with_the_servers_reason(tmp_path: Path) -> None:
    """The service has shut it down: the handshake succeeds, then comes an error and CLOSE 4000."""
    async with aimock(tmp_path, GREETING) as server:
        with pytest.raises(ServerError) as refused:
            await Realtime().connect(endpoint=server.endpoint, dialect="beta")
    assert refused.value.code == "beta_api_shape_disabled"


async def test_a_wrong_path_is_a_refused_handshake(tmp_path: Path) -> None:
    """The status is told."""
    async with aimock(tmp_path, GREETING) as server:
        elsewhere = Endpoint(url=server.url.replace("http://", "ws://") + "/v1/nothing", api_key="test-key")
        with pytest.raises(HandshakeError) as refused:
            await Realtime().connect(endpoint=elsewhere)
    assert refused.value.status == 404
