"""What a review of reconnecting found: each test failed before its fault was mended."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from realtime_events import ConnectionLostError, Endpoint, LocalProtocolError, Options, Realtime, Session, user
from realtime_events.dispatcher import Dispatcher
from realtime_events.emitter import Emitter
from realtime_events.events import ConversationItemDone
from realtime_events.events.items import ContentPart, Item
from realtime_events.protocol.conversation import Conversation
from realtime_events.protocol.resume import Resumption
from realtime_events.reconnect import Handshakes, Reconnect
from realtime_events.recorder.resuming import Resumed
from realtime_events.recorder.tape import Tape
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import FaultProxy, Toxics
from realtime_events.vigil import Vigil

WAIT_S = 10.0
QUICK = Reconnect(jitter=lambda: 0.0)
SLOW = Reconnect(jitter=lambda: 1.0, first_delay_s=60, max_delay_s=60)
TEXT = {"output_modalities": ["text"]}


@asynccontextmanager
async def line(rt: Realtime | None = None, **options: Any) -> AsyncIterator[tuple[Simulator, FaultProxy, Session]]:
    """A session with a simulator, over a network that can be cut."""
    rt, faults = rt or Realtime(session=TEXT), options.pop("faults", "")
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults=faults) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, **{"reconnect": QUICK, **options}) as session:
                yield sim, proxy, session


async def cut(proxy: FaultProxy, session: Session, until: str = "connection.restored") -> Any:
    """Cut the connection, and wait for what follows."""
    following = asyncio.ensure_future(session.wait_for(until))
    await asyncio.sleep(0)
    proxy.cut()
    return await following


async def test_whoever_reads_a_response_is_told_that_its_connection_was_lost() -> None:
    """B42: a reader of its text does not wait for words that nobody will say, though the session goes on."""
    async with line(faults="drop:response.done") as (_, proxy, session):
        async with session.respond() as response:
            reading = asyncio.ensure_future(anext(_rest_of(response.text), "over"))
            await cut(proxy, session)
            assert await reading == "over"
            with pytest.raises(ConnectionLostError):
                await response.text


async def _rest_of(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    async for _ in pieces:
        pass
    return
    yield ""


def test_what_the_server_refused_is_not_said_to_it_again_and_is_named() -> None:
    """B42: a rotation asks what is left to say until nothing is."""
    conversation, numbers, resumption = Conversation(), itertools.count(), Resumption()
    told = Item(id="item_a", type="message", role="user", content=[ContentPart(type="input_text", text="Hello")])
    conversation.apply(ConversationItemDone(event_id="event_a", item=told), 0.0)
    [said] = resumption.take(conversation, lambda kind: f"{kind}_{next(numbers)}")
    resumption.refused(str(said.id))
    assert resumption.take(conversation, lambda kind: f"{kind}_{next(numbers)}") == []
    assert resumption.dropped == ["item_a"] and resumption.ids == {}


def test_a_refusal_of_what_was_never_said_changes_nothing() -> None:
    """B42: the other items stay replayed."""
    resumption = Resumption()
    resumption.ids = {"item_a": "item_1", "item_b": "item_2"}
    resumption.refused("item_2")
    resumption.refused("item_9")
    assert resumption.ids == {"item_a": "item_1"} and resumption.dropped == ["item_b"]


def test_what_is_finished_while_the_rest_is_said_again_comes_to_its_place() -> None:
    """B42: the transcript of a user's speech may come late, also while a session rotates."""
    conversation, numbers, resumption = Conversation(), itertools.count(), Resumption()

    def said(item_id: str, text: str) -> None:
        item = Item(id=item_id, type="message", role="user", content=[ContentPart(type="input_text", text=text)])
        conversation.apply(ConversationItemDone(event_id="event", item=item), 0.0)

    def take() -> list[tuple[str | None, Any]]:
        items = resumption.take(conversation, lambda kind: f"{kind}_{next(numbers)}")
        return [(item.id, resumption.behind[str(item.id)]) for item in items]

    for item_id, text in {"late_first": "", "early": "One", "late": "", "last": "Two"}.items():
        said(item_id, text)
    assert take() == [("item_0", msgspec.UNSET), ("item_1", msgspec.UNSET)]
    said("late_first", "Zero")
    said("late", "One and a half")
    assert take() == [("item_2", "root"), ("item_3", "item_0")]
    assert list(resumption.ids) == ["early", "last", "late_first", "late"]


async def test_an_item_may_be_named_by_the_id_that_it_had_in_an_earlier_session() -> None:
    """B42: an application keeps ids; the server is sent the one that it knows, however often it was lost."""
    async with line() as (_, proxy, session):
        added = await session.add_item(user("Hello"))
        assert added.id
        await cut(proxy, session)
        await cut(proxy, session)
        [item] = session.conversation
        assert (await session.retrieve_item(added.id)).id == item.id != added.id
        await session.delete_item(added.id)
        assert not list(session.conversation)


async def test_the_id_of_an_item_that_was_lost_is_refused_here_and_sent_to_nobody() -> None:
    """B42: ids of a dead session are never sent to another."""
    async with line() as (sim, proxy, session):
        speech = ContentPart(type="input_audio", audio=bytes(960))
        added = await session.add_item(Item(type="message", role="user", content=[speech]))
        restored = await cut(proxy, session)
        assert restored.dropped == (added.id,)
        with pytest.raises(LocalProtocolError, match="was lost with the connection"):
            await session.delete_item(str(added.id))
        assert not sim.sessions[-1].received.named("conversation.item.delete")


async def test_a_tool_that_came_during_a_rotation_that_failed_is_told_to_the_session_that_goes_on() -> None:
    """B43: what a session was told that was never used counts for nothing."""
    rt, is_open = Realtime(session=TEXT), False

    @rt.tool(available_when=lambda session: is_open)
    def secret() -> str:
        """Tell the secret."""
        return "42"

    async with line(rt) as (sim, _, session):
        sim.set_faults("close=1013:session.updated")
        is_open = True
        session._line.rotate()
        rotating = session._line._rotating
        assert rotating is not None
        with suppress(ConnectionLostError):
            await rotating
        sim.set_faults(None)
        await session.ask("Hello")
        assert len(sim.sessions) == 2 and session.id == sim.sessions[0].id
        assert [tool.name for tool in session.config.tools or ()] == ["secret"]


async def test_nothing_is_decided_for_a_server_that_is_lost() -> None:
    """B34, B42: the application is told that its word reaches nobody."""
    async with line(reconnect=SLOW) as (_, proxy, session):
        request = Item(id="item_a", type="mcp_approval_request", name="delete", arguments="{}")
        session._core.hosted.note(request)
        await cut(proxy, session, until="connection.lost")
        assert not await session.approve("item_a") and not await session.deny("item_a")


async def test_a_rotation_keeps_the_pace_of_all_handshakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """B47: hundreds of sessions that were begun together do not rotate in one moment."""
    places = list[str]()

    async def admit(_: Handshakes, place: str) -> None:
        places.append(place)

    monkeypatch.setattr(Handshakes, "admit", admit)
    async with line() as (_, proxy, session):
        rotated = asyncio.ensure_future(session.wait_for("session.rotated"))
        await asyncio.sleep(0)
        session._line.rotate()
        await rotated
        assert places == [proxy.endpoint.url]


async def test_closing_while_another_session_is_prepared_takes_no_longer() -> None:
    """B40: both connections are given their half second side by side."""
    async with line() as (sim, proxy, session):
        sim.set_faults("drop:session.created")
        session._line.rotate()
        while len(sim.sessions) < 2:
            await asyncio.sleep(0)
        proxy.up = proxy.down = Toxics(stall_after_bytes=0)
        began_s = time.monotonic()
        await session.close()
        assert time.monotonic() - began_s < 1.0


async def test_whatever_a_key_provider_raises_ends_the_session_and_leaves_nobody_waiting() -> None:
    """B42: the attempt that fails for no reason of the network's is the end, and is told."""
    keys = iter(["test-key"])

    def key() -> str:
        try:
            return next(keys)
        except StopIteration:
            raise ValueError("the vault is sealed") from None

    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            endpoint = Endpoint(url=proxy.endpoint.url, api_key=key)
            async with Realtime(session=TEXT).connect(endpoint=endpoint, reconnect=QUICK) as session:
                waiting = asyncio.ensure_future(session.wait_for("app.never"))
                await asyncio.sleep(0)
                proxy.cut()
                with pytest.raises(ValueError, match="sealed"):
                    await waiting
                assert session.is_closed


async def test_a_response_that_is_asked_for_while_the_connection_is_lost_waits_for_the_next_one() -> None:
    """B42: as `ask` does."""
    async with line(reconnect=Reconnect(jitter=lambda: 1.0, first_delay_s=0.05)) as (_, proxy, session):
        await session.add_item(user("Hello"))
        await cut(proxy, session, until="connection.lost")
        response = await session.respond()
        assert response.status == "completed"


async def test_the_time_of_a_question_counts_while_the_connection_is_lost() -> None:
    """B42: `timeout` is the whole of it."""
    async with line(reconnect=SLOW) as (_, proxy, session):
        await cut(proxy, session, until="connection.lost")
        with pytest.raises(TimeoutError):
            await session.ask("Anybody?", timeout=0.02)


async def test_what_is_changed_while_a_session_rotates_reaches_the_one_that_takes_over() -> None:
    """B43: an update that the old session confirmed while the new one was made ready is not forgotten."""
    async with line(rotate=0.2) as (sim, _, session):
        rotated = asyncio.ensure_future(session.wait_for("session.rotated"))
        while len(sim.sessions) < 2:  # The new one is being told what the old one was.
            await asyncio.sleep(0)
        await session.update(instructions="Sing.")
        await rotated
        assert session.config.instructions == "Sing."


async def test_a_connection_that_is_lost_while_it_rotates_is_made_again_once() -> None:
    """B41: one at a time; the rotation gives up, and the reconnection has its pace."""
    async with line(rotate=0.1, reconnect=SLOW, faults="drop:response.done") as (sim, proxy, session):
        asking = asyncio.ensure_future(session.ask("Hello"))  # It keeps the session from being idle.
        lifeline = session._line  # pyright: ignore[reportPrivateUsage]
        while lifeline._rotating is None:  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)
        await cut(proxy, session, until="connection.lost")
        with pytest.raises(ConnectionLostError):
            await asking
        for _ in range(20):
            await asyncio.sleep(0)
        assert lifeline._rotating is None  # pyright: ignore[reportPrivateUsage]
        assert len(sim.sessions) == 1


class _Living:
    """A session's connections, as the vigil sees them."""

    def __init__(self, expires_at: int) -> None:
        self.core = SimpleNamespace(
            session_id="sess_a", config=SimpleNamespace(expires_at=expires_at), waiting_for=lambda: ""
        )
        self.connection = SimpleNamespace(received=0, sent=0)
        self.is_offline = False
        self.can_rotate = True
        self.lived_s = 0.0
        self.rotated = 0

    def rotate(self) -> None:
        self.rotated += 1


@pytest.mark.parametrize(("said_s", "lived_s"), [(-100, 3300), (10_000, 3300), (3600, 3300), (600, 300), (60, 30)])
async def test_a_wall_clock_that_is_wrong_makes_no_session_rotate_again_and_again(said_s: int, lived_s: float) -> None:
    """B43: `expires_at` is believed where it can be right, and of a short life at least one half is lived."""
    living: Any = _Living(int(time.time()) + said_s)
    lanes = Dispatcher(Emitter(), None, overflow=print)
    vigil = Vigil(living, lanes, Options(), close=print, clock=lambda: 0.0, spread=lambda: 0.0)
    vigil.look()
    living.lived_s = lived_s - 2
    vigil.look()
    assert living.rotated == 0
    living.lived_s = lived_s + 2
    vigil.look()
    assert living.rotated == 1


@pytest.mark.parametrize("rotate", [True, 7200.0])
async def test_a_session_that_cannot_rotate_is_announced_to_expire(rotate: bool | float) -> None:
    """B43: a call, or a translation: nobody is surprised by the server's limit."""
    living: Any = _Living(int(time.time()) + 3600)
    living.can_rotate = False
    rt, told = Realtime(), list[Any]()
    rt.on("session.expiring", told.append, delivery="inline")
    vigil = Vigil(living, Dispatcher(rt, None, overflow=print), Options(rotate=rotate), close=print, clock=lambda: 0.0)
    for lived_s in (0.0, 3200.0, 3310.0, 3400.0):
        living.lived_s = lived_s
        vigil.look()
    [event] = told
    assert event.session_id == "sess_a" and 285 < event.left_s <= 290
    assert not living.rotated


@pytest.mark.parametrize("on_stall", ["tell", "cancel", "reconnect"])
async def test_a_server_that_says_nothing_is_dealt_with_as_it_was_set(on_stall: Any) -> None:
    """B50: told in any case, once; besides, the response is cancelled, or the connection is made again."""
    rt, stalled = Realtime(session=TEXT), list[Any]()
    rt.on("connection.stalled", stalled.append)
    async with line(rt, faults="drop:response.done", stall_s=0.1, on_stall=on_stall) as (sim, _, session):
        told = asyncio.ensure_future(session.wait_for("connection.stalled"))
        asking = asyncio.ensure_future(session.ask("Anybody?"))
        await told
        if on_stall == "reconnect":
            with pytest.raises(ConnectionLostError):
                await asking
            await session.wait_for("connection.restored")
        elif on_stall == "cancel":
            while not sim.sessions[0].received.named("response.cancel"):
                await session.update(instructions="Time passes.")
        asking.cancel()
        assert len(stalled) == 1 and len(sim.sessions) == (2 if on_stall == "reconnect" else 1)


def test_a_tape_that_ends_within_a_replay_is_gone_on_with_from_the_connection_before() -> None:
    """B42: while a session rotates it has two connections, and the frames of neither count for the other."""
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    more = {**said, "content": [{"type": "input_text", "text": "again"}]}

    def added(item: dict[str, Any], item_id: str) -> dict[str, Any]:
        taken = {**item, "id": item_id, "status": "completed", "object": "realtime.item"}
        return {"type": "conversation.item.done", "event_id": "e", "previous_item_id": None, "item": taken}

    lines: list[dict[str, Any]] = [
        {"tape": 1, "kind": "realtime", "dialect": "ga", "model": "m"},
        {"t": 0.0, "epoch": 1},
        {"t": 0.1, "d": "in", "f": added(said, "item_a")},
        {"t": 0.2, "epoch": 2},
        {"t": 0.3, "d": "out", "f": {"type": "conversation.item.create", "event_id": "x", "item": {**said, "id": "b"}}},
        {"t": 0.4, "epoch": 1},
        {"t": 0.5, "d": "in", "f": {**added(more, "item_c"), "previous_item_id": "item_a"}},
    ]
    torn = Resumed.of(Tape.parse(b"".join(msgspec.json.encode(line) + b"\n" for line in lines)))
    assert [item.text for item in torn.conversation] == ["Hello", "again"]
    lines += [{"t": 0.6, "epoch": 2}, {"t": 0.7, "d": "in", "f": added(said, "b")}]
    whole = Resumed.of(Tape.parse(b"".join(msgspec.json.encode(line) + b"\n" for line in lines)))
    assert [item.id for item in whole.conversation] == ["b"]


async def test_a_deletion_that_waits_for_the_next_connection_names_the_item_by_its_new_id() -> None:
    """B42: ids of a dead incarnation are never sent to a new one."""
    async with line(reconnect=Reconnect(jitter=lambda: 1.0, first_delay_s=0.05)) as (sim, proxy, session):
        item = await session.add_item(user("Forget me."))
        await cut(proxy, session, until="connection.lost")
        await session.delete_item(str(item.id))
        assert not session.conversation.items
        assert item.id not in {getattr(event, "item_id", None) for event in sim.sessions[-1].received}
