"""Handshakes that a server refuses: what is tried again, when, and what is not."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from realtime_events import AuthenticationError, HandshakeError, Realtime
from realtime_events.events import ConnectionClosed, ConnectionLost
from realtime_events.reconnect import MAX_RETRY_AFTER_S, Reconnect
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import FaultProxy

from .server import Delays, hosting

WAIT_S = 10.0
TEXT = {"output_modalities": ["text"]}
FATAL = [(401, AuthenticationError), (403, AuthenticationError), (404, HandshakeError), (302, HandshakeError)]
PASSING = [408, 425, 429, 500, 502, 503]


@pytest.mark.parametrize(("status", "error"), FATAL)
async def test_a_first_handshake_that_is_refused_for_good_is_tried_once(
    status: int, error: type[HandshakeError]
) -> None:
    """B41: authentication, an unknown model and a redirect are raised at once."""
    delays = Delays()
    async with asyncio.timeout(WAIT_S), Simulator(faults=f"refuse={status}") as sim:
        with pytest.raises(error) as caught:
            await Realtime().connect(endpoint=sim.endpoint, reconnect=delays.policy())
    assert caught.value.status == status and "test-key" not in str(caught.value)
    assert not delays and not sim.sessions


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_one_line_that_names_the_variable_to_look_at(status: int) -> None:
    """B41, B48."""
    async with asyncio.timeout(WAIT_S), Simulator(faults=f"refuse={status}") as sim:
        with pytest.raises(AuthenticationError) as caught:
            await Realtime().connect(endpoint=sim.endpoint)
    assert "OPENAI_API_KEY" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("status", PASSING)
async def test_a_first_handshake_that_fails_for_a_while_is_tried_again_with_growing_delays(status: int) -> None:
    """B41."""
    delays = Delays()
    async with asyncio.timeout(WAIT_S), Simulator(faults=f"refuse={status}x3") as sim:
        async with Realtime().connect(endpoint=sim.endpoint, reconnect=delays.policy()) as session:
            assert not session.is_closed
    assert delays == [0.5, 1.0, 2.0] and len(sim.sessions) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_first_handshake_waits_for_as_long_as_the_server_asks(status: int) -> None:
    """B41: `Retry-After`."""
    delays = Delays()
    async with asyncio.timeout(WAIT_S), Simulator(faults=f"refuse={status}/retry_after=4x1") as sim:
        async with Realtime().connect(endpoint=sim.endpoint, reconnect=delays.policy()):
            assert delays == [4.0]


async def test_a_first_handshake_does_not_wait_longer_than_connecting_may_take() -> None:
    """B41: ten seconds, unless set otherwise."""
    delays = Delays()
    async with asyncio.timeout(WAIT_S), Simulator(faults="refuse=429/retry_after=11") as sim:
        with pytest.raises(HandshakeError, match="429"):
            await Realtime().connect(endpoint=sim.endpoint, reconnect=delays.policy())
    assert not delays


def test_a_server_that_asks_for_an_hour_is_asked_again_after_a_minute() -> None:
    """B41: the cap of `Retry-After`, and a header that makes no sense."""
    policy = Reconnect(jitter=lambda: 0.0)
    assert policy.delay_s(1, HandshakeError(429, headers={"retry-after": "3600"})) == MAX_RETRY_AFTER_S == 60.0
    for odd in ("soon", "-5", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"):
        assert 0.0 <= policy.delay_s(1, HandshakeError(503, headers={"Retry-After": odd})) <= MAX_RETRY_AFTER_S, odd


@pytest.mark.parametrize("status", PASSING)
async def test_a_handshake_that_fails_while_reconnecting_is_tried_again(status: int) -> None:
    """B41: and the session that comes of it works."""
    delays = Delays()
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            rt = Realtime(session=TEXT)
            async with rt.connect(endpoint=proxy.endpoint, reconnect=delays.policy()) as session:
                await session.ask("One")
                restored = asyncio.ensure_future(session.wait_for("connection.restored"))
                await asyncio.sleep(0)
                sim.set_faults(f"refuse={status}/retry_after=7x2")
                proxy.cut()
                assert (await restored).attempt == 3
                assert (await session.ask("Two")).text == "Two"
    assert delays == [0.5, 7.0, 7.0] and len(sim.sessions) == 2


@pytest.mark.parametrize(("status", "error"), FATAL)
async def test_a_handshake_that_is_refused_for_good_while_reconnecting_ends_the_session(
    status: int, error: type[HandshakeError]
) -> None:
    """B40, B41: one attempt, one `connection.closed`, and whoever waits is told why."""
    delays, closed, rt = Delays(), list[ConnectionClosed](), Realtime(session=TEXT)
    rt.on("connection.closed", closed.append)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=delays.policy()) as session:
                waiting = asyncio.ensure_future(session.wait_for("app.never"))
                await asyncio.sleep(0)
                sim.set_faults(f"refuse={status}")
                proxy.cut()
                with pytest.raises(error):
                    await waiting
                await session.wait_closed()
    assert delays == [0.5] and len(closed) == 1


@pytest.mark.parametrize("when", ["first", "again"])
async def test_a_used_up_quota_is_not_waited_for(when: str) -> None:
    """B41: a 429 that time does not mend."""
    delays, first = Delays(), when == "first"
    body = '{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"You exceeded your quota."}}'

    def refuse(number: int) -> web.Response | None:
        if number == 1 and not first:
            return None
        return web.Response(status=429, text=body, headers={"Retry-After": "1"}, content_type="application/json")

    async with asyncio.timeout(WAIT_S), hosting(refuse=refuse) as host:
        connecting = Realtime().connect(endpoint=host.endpoint, reconnect=delays.policy())
        if first:
            with pytest.raises(HandshakeError, match="insufficient_quota"):
                await connecting
        else:
            async with connecting as session:
                waiting = asyncio.ensure_future(session.wait_for("app.never"))
                await asyncio.sleep(0)
                host.cut_all()
                with pytest.raises(HandshakeError, match="insufficient_quota"):
                    await waiting
    assert len(host.handshakes_s) == (1 if first else 2)
    assert delays == ([] if first else [0.5])


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_redirect_while_reconnecting_is_not_followed(status: int) -> None:
    """B41, B48: the key goes nowhere else."""
    delays, lost, rt = Delays(), list[ConnectionLost](), Realtime()
    rt.on("connection.lost", lost.append)
    async with asyncio.timeout(WAIT_S), hosting() as elsewhere:

        def refuse(number: int) -> web.Response | None:
            there = elsewhere.endpoint.url.replace("ws:", "http:")
            return None if number == 1 else web.Response(status=status, headers={"Location": there})

        async with hosting(refuse=refuse) as host:
            async with rt.connect(endpoint=host.endpoint, reconnect=delays.policy()) as session:
                host.cut_all()
                await session.wait_closed()
        assert not elsewhere.handshakes_s
    assert len(host.handshakes_s) == 2 and len(lost) == 1
