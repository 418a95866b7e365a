"""Budgets of tokens and seconds: a session that has used its own up hangs up politely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from realtime_events import LocalProtocolError, Realtime, Session
from realtime_events.events import (
    InputAudioBufferAppend,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputTextDelta,
    SessionEnding,
    Usage,
)
from realtime_events.reconnect import Reconnect
from realtime_events.testing import Peer

WAIT_S = 5.0
QUICK = Reconnect(jitter=lambda: 0.0)


def created(number: int) -> ResponseCreated:
    return ResponseCreated(response=Response(id=f"resp_{number}", conversation_id="conv_1"))


def done(number: int, **usage: int) -> ResponseDone:
    used = Usage(**usage)
    return ResponseDone(
        response=Response(id=f"resp_{number}", status="completed", conversation_id="conv_1", usage=used)
    )


@asynccontextmanager
async def beside(*peers: Peer, rt: Realtime | None = None, **options: Any) -> AsyncIterator[Session]:
    """A session on one peer after the other."""
    dials = iter([peer.dial for peer in peers])

    async def dial(*how: Any) -> Any:
        return await next(dials)(*how)

    rt = rt or Realtime()
    async with asyncio.timeout(WAIT_S):
        async with rt.connect(endpoint=peers[0].endpoint, dial=dial, reconnect=QUICK, **options) as session:
            yield session


async def hear(session: Session, peer: Peer, number: int, **usage: int) -> None:
    """Have a response begin and end."""
    peer.say(created(number), done(number, **usage))
    await session.wait_for("turn.done")


async def test_a_session_that_has_used_its_tokens_is_closed_with_that_reason() -> None:
    """B50: and `session.ending` tells before; one token less is none too many."""
    rt, peer, told = Realtime(), Peer(), list[Any]()
    rt.on("session.ending", "connection.closed", told.append)
    async with beside(peer, rt=rt, max_tokens=100) as session:
        await hear(session, peer, 1, total_tokens=60)
        await hear(session, peer, 2, total_tokens=39)
        assert session.usage.tokens == 99
        session._vigil.look()
        assert not told
        await hear(session, peer, 3, total_tokens=1)
        session._vigil.look()
        session._vigil.look()
        ending = await session.wait_closed()
    assert (ending.code, ending.reason) == (1000, "100 tokens are used, of 100 (max_tokens)")
    ended, closed = told
    assert isinstance(ended, SessionEnding) and ended.reason == closed.reason == ending.reason


async def test_the_tokens_of_all_connections_count() -> None:
    """B25, B50: a reconnection gives no new budget."""
    peers = [Peer(session_id="sess_1"), Peer(session_id="sess_2")]
    async with beside(*peers, max_tokens=100) as session:
        await hear(session, peers[0], 1, total_tokens=60)
        peers[0].drop()
        await session.wait_for("connection.restored")
        await hear(session, peers[1], 2, total_tokens=60)
        session._vigil.look()
        assert "120 tokens are used" in (await session.wait_closed()).reason


async def test_a_server_that_gives_no_totals_is_added_up() -> None:
    """B25: what goes in, and what comes out."""
    peer = Peer()
    async with beside(peer) as session:
        await hear(session, peer, 1, input_tokens=30, output_tokens=9)
        await hear(session, peer, 2, input_tokens=1)
        assert session.usage.tokens == 40


@pytest.mark.parametrize("budget", ["max_tokens", "max_duration_s"])
async def test_the_turn_that_runs_may_end_and_no_other_begins(budget: str) -> None:
    """B50: a budget cuts nobody short."""
    peer, heard = Peer(), list[str]()
    rt = Realtime()
    rt.on("response.text.delta", "turn.done", "connection.closed", lambda event: heard.append(event.type))
    async with beside(peer, rt=rt, **{budget: 1}) as session:
        peer.say(created(1), done(1, total_tokens=50), created(2))
        await session.wait_for("response.created", when=lambda event: event.response.id == "resp_2")
        if budget == "max_duration_s":
            session._vigil._began_s -= 1
        ending = asyncio.ensure_future(session.wait_for("session.ending"))
        await asyncio.sleep(0)
        session._vigil.look()
        assert budget in (await ending).reason
        await session.send_audio(b"\0" * 4_800)
        with pytest.raises(LocalProtocolError):
            await session.ask("One more?")
        assert not session.is_closed and not any(isinstance(event, InputAudioBufferAppend) for event in peer.sent)
        peer.say(ResponseOutputTextDelta(response_id="resp_2", item_id="i", delta="The end."), done(2))
        assert budget in (await session.wait_closed()).reason
    assert heard[-3:] == ["response.output_text.delta", "turn.done", "connection.closed"]


async def test_a_turn_that_does_not_end_has_only_so_long() -> None:
    """B50: `drain_s`."""
    peer = Peer()
    async with beside(peer, max_tokens=1, drain_s=0.05) as session:
        peer.say(created(1), done(1, total_tokens=50), created(2))
        await session.wait_for("response.created", when=lambda event: event.response.id == "resp_2")
        session._vigil.look()
        assert "max_tokens" in (await session.wait_closed()).reason


async def test_the_model_says_farewell_when_it_is_asked_to() -> None:
    """B50: without tools, after what runs, and the session waits until it is said."""
    peer = Peer()
    async with beside(peer, max_tokens=10, farewell="Say that time is up.") as session:
        peer.say(created(1), done(1, total_tokens=50), created(2))
        await session.wait_for("response.created", when=lambda event: event.response.id == "resp_2")
        session._vigil.look()
        peer.say(done(2))
        asked = await peer.heard(ResponseCreate)
        assert asked.response and (asked.response.instructions, asked.response.tool_choice) == (
            "Say that time is up.",
            "none",
        )
        peer.say(created(3), ResponseOutputTextDelta(response_id="resp_3", item_id="i", delta="Time is up."))
        await session.wait_for("response.text.delta")
        assert not session.is_closed
        peer.say(done(3))
        assert "max_tokens" in (await session.wait_closed()).reason


async def test_who_closes_meanwhile_need_not_wait() -> None:
    """B46: and no task is left."""
    peer = Peer()
    async with beside(peer, max_tokens=1) as session:
        peer.say(created(1), done(1, total_tokens=50), created(2))
        await session.wait_for("response.created", when=lambda event: event.response.id == "resp_2")
        session._vigil.look()
        await asyncio.sleep(0)
        await session.close()
        assert session.is_closed
        with suppress(asyncio.CancelledError):
            assert session._leaving is not None
            await session._leaving
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("realtime_events")]
