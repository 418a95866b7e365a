"""The simulator on a socket: the handshake, frames, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from realtime_events.exceptions import ConfigurationError
from realtime_events.simulator import EchoBrain, Say, Simulator, Step
from realtime_events.simulator.scripts import Expect

Socket = aiohttp.ClientWebSocketResponse
KEY = {"Authorization": "Bearer test-key"}


@contextlib.asynccontextmanager
async def dial(sim: Simulator, headers: Mapping[str, str] = KEY, **options: Any) -> AsyncIterator[Socket]:
    """Connects one client to a simulator."""
    url = f"{sim.url}?model=m"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers, **options) as socket:
        yield socket


async def receive(socket: Socket, name: str) -> dict[str, Any]:
    """Gives the next event of a name."""
    async with asyncio.timeout(5):
        while True:
            event: dict[str, Any] = await socket.receive_json()
            if event["type"] == name:
                return event


async def ending(socket: Socket) -> tuple[int, str]:
    """Reads to the CLOSE and gives its code and reason."""
    async with asyncio.timeout(5):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra or ""


async def test_a_client_connects_and_is_answered() -> None:
    async with Simulator(brain=EchoBrain(), pace=None) as sim, aiohttp.ClientSession() as http:
        assert sim.url.startswith("ws://127.0.0.1:")
        async with http.ws_connect(f"{sim.url}?model=gpt-realtime-2.1", headers=KEY) as socket:
            created = await receive(socket, "session.created")
            assert created["session"]["model"] == "gpt-realtime-2.1"
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One two three."}]}
            await socket.send_json({"type": "conversation.item.create", "item": item})
            await socket.send_json({"type": "response.create", "response": {"output_modalities": ["text"]}})
            assert (await receive(socket, "response.output_text.done"))["text"] == "One two three."
            assert sim.sessions[0].received("response.create")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic abc"}])
async def test_without_a_key_the_handshake_is_refused_in_the_apis_words(headers: dict[str, str]) -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        async with http.get(f"{sim.http_url}/v1/realtime?model=m", headers=headers) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["type"] == "invalid_request_error"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{sim.url}?model=m", headers=headers)
        assert refused.value.status == 401


async def test_a_fixed_key_is_checked_and_never_shown() -> None:
    async with Simulator(api_key="test-key") as sim, aiohttp.ClientSession() as http:
        async with http.get(f"{sim.http_url}/v1/realtime?model=m", headers={"api-key": "test-wrong-key"}) as answer:
            assert answer.status == 401
            body = await answer.text()
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
        assert "wrong" not in body
        assert "test-key" not in repr(sim.endpoint)
        async with http.ws_connect(f"{sim.url}?model=m", headers={"api-key": "test-key"}) as socket:
            await receive(socket, "session.created")


async def test_a_browser_gives_its_key_as_a_subprotocol() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        offered = ("realtime", "openai-insecure-api-key.test-key")
        async with http.ws_connect(f"{sim.url}?model=m", protocols=offered) as socket:
            assert socket.protocol == "realtime"
            await receive(socket, "session.created")


async def test_a_model_must_be_named() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        async with http.get(f"{sim.http_url}/v1/realtime", headers=KEY) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["param"] == "model"
        async with http.ws_connect(f"{sim.url}?intent=transcription", headers=KEY) as socket:
            assert (await receive(socket, "session.created"))["session"]["type"] == "transcription"


@pytest.mark.parametrize("asked", [{"OpenAI-Beta": "realtime=v1"}, {}])
async def test_the_beta_is_refused_in_the_ga_dialect(asked: dict[str, str]) -> None:
    protocols = () if asked else ("realtime", "openai-beta.realtime-v1")
    async with Simulator() as sim, dial(sim, {**KEY, **asked}, protocols=protocols) as socket:
        event = await receive(socket, "error")
        assert event["error"]["code"] == "beta_api_shape_disabled"
        assert await ending(socket) == (4000, "invalid_request_error.beta_api_shape_disabled")


async def test_the_beta_dialect_takes_clients_of_the_beta() -> None:
    headers = {**KEY, "OpenAI-Beta": "realtime=v1"}
    async with Simulator(dialect="beta") as sim, dial(sim, headers) as socket:
        assert sim.endpoint.dialect == "beta"
        assert "modalities" in (await receive(socket, "session.created"))["session"]


async def test_stopping_closes_every_session_with_1001() -> None:
    async with aiohttp.ClientSession() as http:
        sim = Simulator()
        await sim.start()
        sockets = [await http.ws_connect(f"{sim.url}?model=m", headers=KEY) for _ in range(3)]
        for socket in sockets:
            await receive(socket, "session.created")
        stopping = asyncio.create_task(sim.stop())
        assert [await ending(socket) for socket in sockets] == [(1001, "the server is shutting down")] * 3
        await stopping
        await sim.stop()
        assert all(session.is_over for session in sim.sessions)


async def test_an_expired_session_is_closed() -> None:
    async with Simulator(session_lifetime_s=0.05) as sim, dial(sim) as socket:
        assert (await receive(socket, "error"))["error"]["code"] == "session_expired"
        assert (await ending(socket))[0] == 1001


async def test_a_frame_over_the_limit_ends_one_session_only() -> None:
    async with Simulator() as sim, dial(sim) as greedy, dial(sim) as other:
        await receive(greedy, "session.created")
        with contextlib.suppress(ConnectionError):  # the server need not read it all before it hangs up
            await greedy.send_str(" " * (33 * 1024 * 1024))
        async with asyncio.timeout(5):
            message = await greedy.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        await other.send_str("nonsense")
        assert (await receive(other, "error"))["error"]["code"] == "invalid_event"


async def test_pings_are_answered() -> None:
    async with Simulator() as sim, dial(sim, autoping=False) as socket:
        await receive(socket, "session.created")
        await socket.ping(b"are you there")
        async with asyncio.timeout(5):
            message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_a_client_that_never_reads_stops_nobody_else() -> None:
    async with Simulator(pace=None) as sim, dial(sim) as deaf, dial(sim) as other:
        for _ in range(3_000):
            await deaf.send_str('{"type": "nonsense"}')
        await other.send_json({"type": "input_audio_buffer.clear"})
        await receive(other, "input_audio_buffer.cleared")
        for _ in range(3_000):
            await receive(deaf, "error")


async def test_health_and_status_pages() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{sim.url}?model=m", headers=KEY) as socket:
            await receive(socket, "session.created")
            async with http.get(f"{sim.http_url}/healthz") as answer:
                assert await answer.json() == {"status": "ok", "sessions": 1}
            async with http.get(f"{sim.http_url}/") as answer:
                page = await answer.text()
            assert sim.sessions[0].id in page
            assert "session.created" in page
        async with http.get(f"{sim.http_url}/nowhere") as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["message"]


def test_a_pace_must_be_above_zero() -> None:
    with pytest.raises(ConfigurationError, match="pace"):
        Simulator(pace=0)


async def test_a_script_is_played_and_checked() -> None:
    steps = [Step(expect=Expect(user="hello"), emit=[Say("Hi!")])]
    async with Simulator(script=steps, pace=None) as sim, dial(sim) as socket:
        with pytest.raises(AssertionError, match="stopped before step 1 of 1"):
            sim.assert_done()
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
        await socket.send_json({"type": "conversation.item.create", "item": item})
        await socket.send_json({"type": "response.create"})
        assert (await receive(socket, "response.output_audio_transcript.done"))["transcript"] == "Hi!"
        sim.assert_done()


async def test_a_script_that_goes_otherwise_shows_expected_got_and_the_frames() -> None:
    steps = [Step(expect=Expect(user="goodbye"), emit=[Say("Bye!")])]
    async with Simulator(script=steps, pace=None) as sim, dial(sim) as socket:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
        await socket.send_json({"type": "conversation.item.create", "item": item})
        await socket.send_json({"type": "response.create"})
        done = await receive(socket, "response.done")
        assert done["response"]["status_details"]["error"]["code"] == "script_mismatch"
        with pytest.raises(AssertionError) as told:
            sim.assert_done()
    report = str(told.value)
    assert "expected: the user says 'goodbye'" in report
    assert "got: 'Hello?'" in report
    assert "<- ConversationItemCreate" in report
    assert "-> ResponseDone" in report


def test_only_a_script_can_be_done() -> None:
    with pytest.raises(ConfigurationError, match="no script"):
        Simulator().assert_done()
    with pytest.raises(ConfigurationError, match="not both"):
        Simulator(brain=EchoBrain(), script=[])
