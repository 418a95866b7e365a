"""The tap itself: it sees every frame, and it notices one that is not as the schemas say."""

from __future__ import annotations

import aiohttp
from aiohttp import web

from realtime_events.simulator import EchoBrain

from .conftest import Simulate, Wire

KEY = {"Authorization": "Bearer test-key"}


async def test_the_tap_sees_every_frame_in_order(simulate: Simulate, wire: Wire) -> None:
    async with simulate(brain=EchoBrain()) as sim, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{sim.url}?model=gpt-realtime", headers=KEY) as socket:
            await socket.send_json({"type": "response.create"})
            received = [await socket.receive_json()]
            while received[-1]["type"] != "response.done":
                received.append(await socket.receive_json())
    assert wire == received
    assert not wire.problems


async def test_the_tap_notices_a_frame_that_is_not_as_the_schemas_say(wire: Wire) -> None:
    socket = web.WebSocketResponse()
    wire.paths[socket] = "/v1/realtime"
    wire.check(socket, b'{"type": "response.created", "event_id": "event_1", "response": 7}')
    wire.check(socket, b'{"type": "response.invented", "event_id": "event_2"}')
    wire.check(socket, b"no JSON")
    assert [len(wire), len(wire.problems)] == [0, 3]
    wire.problems.clear()
