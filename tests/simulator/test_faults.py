"""Faults on demand: what is asked for happens, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from realtime_events.exceptions import ConfigurationError
from realtime_events.simulator import EchoBrain, Fault, Faults, Simulator

Socket = aiohttp.ClientWebSocketResponse
KEY = {"Authorization": "Bearer test-key"}


@contextlib.asynccontextmanager
async def dial(faults: str = "", **options: Any) -> AsyncIterator[Socket]:
    """Connects a client to a simulator with faults."""
    async with Simulator(brain=EchoBrain(), pace=None, faults=faults) as sim, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{sim.url}?model=m", headers=KEY, **options) as socket:
            yield socket


async def receive(socket: Socket) -> aiohttp.WSMessage:
    """Gives the next message."""
    async with asyncio.timeout(5):
        return await socket.receive()


async def names(socket: Socket, count: int) -> list[str]:
    """Gives the names of the next events; of what is no JSON, its text."""
    found: list[str] = []
    for _ in range(count):
        text = (await receive(socket)).data
        try:
            found.append(json.loads(text)["type"])
        except ValueError:
            found.append(text)
    return found


async def clear(socket: Socket, times: int = 1) -> None:
    """Sends events that are answered with `input_audio_buffer.cleared`."""
    for number in range(times):
        await socket.send_json({"type": "input_audio_buffer.clear", "event_id": f"mine_{number}"})


CLEARED = "input_audio_buffer.cleared"


async def test_a_dropped_event_does_not_come() -> None:
    async with dial("drop:session.created") as socket:
        await clear(socket)
        assert await names(socket, 1) == [CLEARED]


async def test_the_nth_event_of_a_name_is_hit_and_no_other() -> None:
    async with dial(f"duplicate:{CLEARED}#2") as socket:
        await clear(socket, 3)
        assert await names(socket, 5) == ["session.created", *[CLEARED] * 4]


async def test_two_events_change_places() -> None:
    async with dial("reorder#1") as socket:
        await clear(socket)
        assert await names(socket, 2) == [CLEARED, "session.created"]


async def test_a_truncated_frame_is_no_json() -> None:
    async with dial("truncate#1") as socket:
        (text,) = await names(socket, 1)
        assert text.startswith('{"type":"session.created"')


async def test_garbage_and_unknown_events_come_in_between() -> None:
    async with dial("garbage#1,unknown#1") as socket:
        unknown, garbage, created = await names(socket, 3)
        assert (unknown, created) == ("simulator.unknown", "session.created")
        assert len(garbage) == 128


async def test_a_delayed_event_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr("realtime_events.simulator.faulty.asyncio.sleep", note)
    async with dial("delay=30:session.created") as socket:
        assert await names(socket, 1) == ["session.created"]
    assert 30.0 in slept


async def test_a_close_comes_with_its_code() -> None:
    async with dial("close=1013#2") as socket:
        await clear(socket)
        assert await names(socket, 1) == ["session.created"]
        message = await receive(socket)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1013)


@pytest.mark.parametrize("kind", ["eof", "reset"])
async def test_a_connection_ends_without_a_close(kind: str) -> None:
    async with dial(f"{kind}#2") as socket:
        assert await names(socket, 1) == ["session.created"]
        await clear(socket)
        message = await receive(socket)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert socket.close_code == 1006


async def test_a_client_event_is_answered_with_an_error() -> None:
    async with dial("error#1,error_null#2") as socket:
        await clear(socket, 3)
        await receive(socket)
        first, second, third = [json.loads((await receive(socket)).data) for _ in range(3)]
        assert (first["type"], first["error"]["event_id"]) == ("error", "mine_0")
        assert (second["type"], second["error"]["type"], second["error"]["event_id"]) == ("error", "server_error", None)
        assert third["type"] == CLEARED


async def test_a_client_event_is_ignored() -> None:
    async with dial("ignore:input_audio_buffer.clear#1") as socket:
        await clear(socket)
        await socket.send_json({"type": "response.cancel"})
        assert await names(socket, 2) == ["session.created", "error"]


async def test_a_server_that_stopped_writing_still_listens() -> None:
    async with dial("stop_writing#2") as socket:
        await clear(socket, 3)
        assert await names(socket, 1) == ["session.created"]
        await socket.ping()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await socket.receive()


async def test_a_server_that_stopped_reading_is_silent() -> None:
    async with dial("stop_reading#1") as socket:
        assert await names(socket, 1) == ["session.created"]
        await clear(socket, 3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await socket.receive()


async def test_pings_are_not_answered() -> None:
    async with dial("no_pong", autoping=False) as socket:
        await receive(socket)
        await socket.ping()
        await clear(socket)
        assert (await receive(socket)).type is aiohttp.WSMsgType.TEXT


async def test_a_session_expires_early() -> None:
    async with dial("expire=0.05") as socket:
        assert await names(socket, 2) == ["session.created", "error"]
        assert (await receive(socket)).data == 1001


async def test_a_handshake_is_refused_and_says_when_to_come_back() -> None:
    async with Simulator(faults="refuse=429/retry_after=2x1") as sim, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{sim.url}?model=m", headers=KEY)
        assert refused.value.status == 429
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"] == "2"
        async with http.ws_connect(f"{sim.url}?model=m", headers=KEY) as socket:
            assert await names(socket, 1) == ["session.created"]


async def test_faults_are_set_over_the_wire() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{sim.url}?model=m", headers=KEY) as socket:
            await receive(socket)
            async with http.put(f"{sim.http_url}/faults", data=f"drop:{CLEARED}x1") as answer:
                assert (await answer.json())["rules"][0]["kind"] == "drop"
            await clear(socket, 1)
            await socket.send_json({"type": "response.cancel"})
            assert await names(socket, 1) == ["error"]
            async with http.delete(f"{sim.http_url}/faults") as answer:
                assert (await answer.json())["rules"] == []
            async with http.put(f"{sim.http_url}/faults", data="explode") as answer:
                assert answer.status == 400


async def test_one_connection_asks_for_faults_of_its_own() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        url = f"{sim.url}?model=m"
        async with (
            http.ws_connect(f"{url}&faults=drop:session.created", headers=KEY) as mine,
            http.ws_connect(url, headers=KEY) as other,
        ):
            await clear(mine)
            assert await names(mine, 1) == [CLEARED]
            assert await names(other, 1) == ["session.created"]


async def test_the_same_seed_hits_the_same_frames() -> None:
    async def run(seed: int) -> list[str]:
        async with dial(f"drop:{CLEARED}%0.5,seed={seed}") as socket:
            await clear(socket, 40)
            await socket.send_json({"type": "response.cancel"})
            found = await names(socket, 1)
            while found[-1] != "error":
                found += await names(socket, 1)
            return found

    first, again = await run(7), await run(7)
    assert first == again
    assert 2 < len(first) < 42


def test_a_specification_says_it_all() -> None:
    faults = Faults.parse("delay=0.25:response.*.delta#3%0.5x2; refuse=503/retry_after=1.5  no_pong, seed=9")
    assert faults.seed == 9
    assert list(faults.rules) == [
        Fault(kind="delay", value=0.25, event="response.*.delta", nth=3, chance=0.5, times=2),
        Fault(kind="refuse", value=503, retry_after_s=1.5),
        Fault(kind="no_pong"),
    ]


@pytest.mark.parametrize("text", ["explode", "drop:", "close=x", "refuse=429/after=2", "drop#", "=", "seed=x"])
def test_a_wrong_specification_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no fault|option"):
        Faults.parse(text)
