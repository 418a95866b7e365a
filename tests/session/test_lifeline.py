"""The lifeline at its edges: connections that end while they are being made, and ends that come twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime_events import ConnectionLostError, Options, Realtime, Session
from realtime_events.call import CALL_ENDED
from realtime_events.events import (
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    ErrorDetails,
    ErrorEvent,
    Item,
    Response,
    ResponseCreated,
    ResponseOutputItemDone,
)
from realtime_events.reconnect import Reconnect
from realtime_events.testing import Peer

WAIT_S = 5.0
QUICK = Reconnect(jitter=lambda: 0.0)


class Exchange:
    """Servers of memory, one for each connection of a session."""

    def __init__(self, *peers: Peer) -> None:
        self.peers = peers
        self.dialled = 0

    async def dial(self, url: str, headers: dict[str, str], options: Options) -> Any:
        peer = self.peers[self.dialled]
        self.dialled += 1
        return await peer.dial(url, headers, options)


async def lost(session: Session, peer: Peer) -> Any:
    """Lose a connection, and give what is told when there is another."""
    restored = asyncio.ensure_future(session.wait_for("connection.restored"))
    await asyncio.sleep(0)
    peer.drop()
    return await restored


def said(number: int) -> Callable[[ConversationItemCreate], bool]:
    return lambda event: event.item.content[0].text == f"Item {number}."


async def know_three_items(session: Session, peer: Peer) -> None:
    """Let the server tell of three finished items."""
    for number in range(3):
        text = ContentPart(type="input_text", text=f"Item {number}.")
        item = Item(id=f"item_{number}", type="message", role="user", status="completed", content=[text])
        peer.say(ConversationItemDone(item=item))
    while len(list(session.conversation)) < 3:
        await asyncio.sleep(0)


@pytest.mark.parametrize("how", [{}, {"call_id": "rtc_1"}])
async def test_a_connection_that_ends_as_soon_as_it_is_there_counts_as_one_more_attempt(how: dict[str, str]) -> None:
    """B41, B42: although it has nothing to be told; nobody is given a session that has ended."""
    first, stillborn, last = Peer(), Peer(session_id="sess_stillborn"), Peer(session_id="sess_last")
    servers, rt, told = Exchange(first, stillborn, last), Realtime(), list[str]()
    rt.on("connection.*", lambda event: told.append(event.type), delivery="inline")
    stillborn.drop()
    async with (
        asyncio.timeout(WAIT_S),
        rt.connect(endpoint=first.endpoint, dial=servers.dial, reconnect=QUICK, **how) as session,
    ):
        restored = await lost(session, first)
        assert (restored.session_id, restored.attempt, session.id) == ("sess_last", 2, "sess_last")
        assert told == ["connection.opened", "connection.lost", "connection.restored"]


async def test_an_attempt_that_outlives_its_session_ends_it_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """B40: `close()` waits for nobody; whoever swallows the cancellation and fails later tells nobody."""
    monkeypatch.setattr("realtime_events.lifeline.GIVE_UP_S", 0.0)
    peer, rt, told = Peer(), Realtime(), list[Any]()
    stubborn, released, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    rt.on("connection.closed", told.append, delivery="inline")

    async def dial(url: str, headers: dict[str, str], options: Options) -> Any:
        if not peer.dialled:
            return await peer.dial(url, headers, options)
        stubborn.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        failed.set()
        raise RuntimeError("too late")

    async with asyncio.timeout(WAIT_S):
        session = await rt.connect(endpoint=peer.endpoint, dial=dial, reconnect=QUICK)
        peer.drop()
        await stubborn.wait()
        attempt = session._line._restoring
        assert attempt is not None
        await session.close()
        with pytest.raises(ConnectionLostError):
            await session.send_audio(bytes(960))
        released.set()
        await asyncio.wait({attempt})
    assert failed.is_set() and len(told) == 1 and told[0].code == 1000


async def test_what_the_next_server_refuses_is_named_as_dropped_and_the_rest_goes_on() -> None:
    """B42: `connection.restored` says honestly what the new session does not know."""
    first, second = Peer(), Peer(session_id="sess_second")
    servers, rt = Exchange(first, second), Realtime()
    async with (
        asyncio.timeout(WAIT_S),
        rt.connect(endpoint=first.endpoint, dial=servers.dial, reconnect=QUICK) as session,
    ):
        await know_three_items(session, first)
        restoring = asyncio.ensure_future(lost(session, first))
        for number in range(3):
            sent = await second.heard(ConversationItemCreate, said(number))
            if number == 1:
                second.say(ErrorEvent(error=ErrorDetails(message="Not this one.", event_id=sent.event_id)))
            else:
                second.say(ConversationItemAdded(item=sent.item))
        restored = await restoring
        assert restored.dropped == ("item_1",) and len(restored.replayed) == 2
        assert [item.id for item in session.conversation if item.id in restored.replayed] == list(restored.replayed)


async def test_of_very_many_items_of_earlier_sessions_the_oldest_ids_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B24, B42: what an application may still name is bounded; newer ids are translated as ever."""
    monkeypatch.setattr("realtime_events.lifeline.REMEMBERED_IDS", 2)
    first, second = Peer(), Peer(session_id="sess_second")
    servers, rt = Exchange(first, second), Realtime()
    async with (
        asyncio.timeout(WAIT_S),
        rt.connect(endpoint=first.endpoint, dial=servers.dial, reconnect=QUICK) as session,
    ):
        await know_three_items(session, first)
        restoring = asyncio.ensure_future(lost(session, first))
        for number in range(3):
            sent = await second.heard(ConversationItemCreate, said(number))
            second.say(ConversationItemAdded(item=sent.item), ConversationItemDone(item=sent.item))
        await restoring
        names = [item.id for item in session.conversation]
        renamed = [session._line.renamed(ConversationItemDelete(item_id=f"item_{number}")) for number in range(3)]
        assert len(names) == 3
        assert [event.item_id for event in renamed] == ["item_0", names[1], names[2]]


async def test_a_call_that_ends_while_a_tool_works_tells_of_the_tool_before_its_own_end() -> None:
    """B36, B40: the conversation of a call lives on the server, so only its end makes an orphan."""
    peer, rt, told, gate = Peer(), Realtime(), list[tuple[str, str]](), asyncio.Event()

    @rt.tool
    async def book() -> str:
        """Book a table."""
        await gate.wait()
        return "booked"

    rt.on("tool.orphaned", lambda event: told.append((event.type, event.call.call_id)), delivery="inline")
    rt.on("connection.closed", lambda event: told.append((event.type, event.reason)), delivery="inline")
    async with (
        asyncio.timeout(WAIT_S),
        rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=QUICK, call_id="rtc_1") as session,
    ):
        started = asyncio.ensure_future(session.wait_for("tool.started"))
        await asyncio.sleep(0)
        call = Item(type="function_call", id="item_c", call_id="call_c", name="book", arguments="{}")
        peer.say(ResponseCreated(response=Response(id="resp_1", conversation_id="conv_1")))
        peer.say(ResponseOutputItemDone(response_id="resp_1", item=call))
        await started
        peer.close(1000, CALL_ENDED)
        await session.wait_closed()
    assert told == [("tool.orphaned", "call_c"), ("connection.closed", CALL_ENDED)]
