"""A session outlives its connections: what is said again, what is lost, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_events import ConnectionLostError, Realtime, Session, assistant, user
from realtime_events.events import (
    ConnectionClosed,
    ConnectionLost,
    ConnectionRestored,
    ConversationItemCreate,
    SessionRotated,
    SessionUpdate,
    ToolOrphaned,
)
from realtime_events.reconnect import Reconnect, may_reconnect
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import FaultProxy
from realtime_events.transport import Ending

WAIT_S = 10.0
QUICK = Reconnect(jitter=lambda: 0.0)
TEXT = {"output_modalities": ["text"]}


@asynccontextmanager
async def line(rt: Realtime | None = None, **options: Any) -> AsyncIterator[tuple[Simulator, FaultProxy, Session]]:
    """A session with a simulator, over a network that can be cut."""
    rt = rt or Realtime(session=TEXT)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, **{"reconnect": QUICK, **options}) as session:
                yield sim, proxy, session


async def cut(proxy: FaultProxy, session: Session) -> ConnectionRestored:
    """Cut the connection, and wait until there is another."""
    restored = asyncio.ensure_future(session.wait_for("connection.restored"))
    await asyncio.sleep(0)
    proxy.cut()
    return await restored


def received(sim: Simulator, kind: type[Any], number: int = -1) -> list[Any]:
    return [event for event in sim.sessions[number].received if isinstance(event, kind)]


async def test_a_conversation_goes_on_after_the_connection_was_cut() -> None:
    """B42: configured, told the conversation again in order, and working, before anybody is told."""
    async with line(Realtime(instructions="Be brief.", session=TEXT)) as (sim, proxy, session):
        first = await session.ask("One")
        before = [(item.role, item.text) for item in session.conversation]
        old_id, old_items = session.id, {item.id for item in session.conversation}
        restored = await cut(proxy, session)
        assert session.id == restored.session_id != old_id
        assert len(restored.replayed) == 2 and restored.dropped == restored.lost_in_flight == ()
        assert [(item.role, item.text) for item in session.conversation] == before
        second = await session.ask("Two")
        assert (first.text, second.text) == ("One", "Two")
        assert [item.text for item in session.conversation] == ["One", "One", "Two", "Two"]
        [update] = received(sim, SessionUpdate)
        assert update.session.instructions == "Be brief."
        said = [event.item.id for event in received(sim, ConversationItemCreate)]
        assert old_items.isdisjoint(said), "an id of the dead session was sent to the new one"
        assert session.config.instructions == "Be brief."


async def test_what_was_changed_on_the_way_is_said_again() -> None:
    """B42: what `update` set is part of what the new session is told."""
    async with line() as (sim, proxy, session):
        await session.update(instructions="Sing.", voice="cedar")
        await cut(proxy, session)
        [update] = received(sim, SessionUpdate)
        assert update.session.instructions == "Sing." and update.session.audio.output.voice == "cedar"
        assert update.session.output_modalities == ["text"]


async def test_iterators_go_on_and_handlers_hear_of_the_loss_and_of_the_return() -> None:
    """B40: one `connection.lost`, one `connection.restored`, no `connection.closed`."""
    rt, heard = Realtime(session=TEXT), list[str]()
    rt.on("connection.*", lambda event: heard.append(event.type))
    async with line(rt) as (_, proxy, session):
        stream = session.stream("turn.done")
        await session.ask("One")
        await cut(proxy, session)
        await session.ask("Two")
        assert [(await anext(stream)).turn.text for _ in range(2)] == ["One", "Two"]
        assert heard == ["connection.opened", "connection.lost", "connection.restored"]
    assert heard[-1] == "connection.closed" and heard.count("connection.closed") == 1


async def test_what_waits_for_an_answer_of_the_old_connection_fails_and_what_is_asked_meanwhile_waits() -> None:
    """B42: pending futures of the old socket fail; waiting sends go into the new session."""
    async with line() as (_, proxy, session):
        proxy.down = proxy.down.__class__(stall_after_bytes=0)
        pending = asyncio.ensure_future(session.update(instructions="unanswered", timeout=None))
        await asyncio.sleep(0)
        lost = asyncio.ensure_future(session.wait_for("connection.lost"))
        await asyncio.sleep(0)
        proxy.heal()
        proxy.cut()
        with pytest.raises(ConnectionLostError):
            await pending
        await lost
        assert (await session.ask("Now")).text == "Now"
        assert (await session.add_item(user("later"))).id


async def test_a_session_is_cut_five_times_and_keeps_its_story() -> None:
    """B42."""
    async with line() as (sim, proxy, session):
        for word in ("Once", "upon", "a", "time", "there"):
            await session.ask(word)
            await cut(proxy, session)
        await session.ask("was")
        words = [item.text for item in session.conversation if item.role == "user"]
        assert words == ["Once", "upon", "a", "time", "there", "was"]
        assert len(sim.sessions) == 6 and session.usage.responses == {"completed": 6}
        assert len(received(sim, ConversationItemCreate)) == 11


async def test_a_seeded_conversation_is_said_again_with_the_rest() -> None:
    """B42: assistant text as `output_text`."""
    async with line() as (sim, proxy, session):
        await session.add_item(user("My name is Ada."))
        await session.add_item(assistant("Nice to meet you."))
        await cut(proxy, session)
        items = [event.item for event in received(sim, ConversationItemCreate)]
        assert [(item.role, item.content[0].type, item.content[0].text) for item in items] == [
            ("user", "input_text", "My name is Ada."),
            ("assistant", "output_text", "Nice to meet you."),
        ]


async def test_a_tool_call_of_a_lost_session_is_reported_said_again_and_answered_in_the_next() -> None:
    """B36: its tool runs once, its id is new, and the model speaks of what came out."""
    from realtime_events.simulator import Call, Say, ScriptBrain, Step

    rt, gate, orphans, runs = Realtime(session=TEXT), asyncio.Event(), list[ToolOrphaned](), list[str]()
    rt.on("tool.orphaned", orphans.append)
    started = asyncio.Event()

    @rt.tool
    async def slow() -> str:
        runs.append("slow")
        started.set()
        await gate.wait()
        return "late"

    brain = ScriptBrain([Step(emit=[Call("slow", "{}")]), Step(emit=[Say("Here I am.")])])
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain, pace=None) as sim, FaultProxy(sim.endpoint) as proxy:
        async with rt.connect(endpoint=proxy.endpoint, reconnect=QUICK) as session:
            asking = asyncio.ensure_future(session.ask("Work."))
            await started.wait()
            await cut(proxy, session)
            with pytest.raises(ConnectionLostError):
                await asking
            await cut(proxy, session)  # Once more: it is carried on, however often.
            spoken = asyncio.ensure_future(session.wait_for("response.done"))
            await asyncio.sleep(0)
            gate.set()
            assert (await spoken).response.output[0].content[0].text == "Here I am."
        first, *others = received(sim, ConversationItemCreate)
        call, output = others
        assert (first.item.type, call.item.type, output.item.type) == (
            "message",
            "function_call",
            "function_call_output",
        )
        assert output.item.output == "late" and output.item.call_id == call.item.call_id
        assert len({orphan.call.call_id for orphan in orphans}) == len(orphans) == 2
        assert call.item.call_id not in {orphan.call.call_id for orphan in orphans}
        assert runs == ["slow"]


async def test_an_output_that_was_on_the_wire_at_a_loss_is_in_doubt_and_in_the_conversation() -> None:
    """B36, B42: nobody knows whether it arrived; what was done goes along, so that it is not done twice."""
    from realtime_events.simulator import Call, Say, ScriptBrain, Step
    from realtime_events.testing import Toxics

    rt, orphans, outputs = Realtime(session=TEXT), list[ToolOrphaned](), list[str]()
    rt.on("tool.orphaned", orphans.append)

    @rt.tool
    async def book(table: int) -> str:
        proxy.up = Toxics(black_hole_after_bytes=proxy.bytes_up)
        return f"booked {table}"

    brain = ScriptBrain([Step(emit=[Call("book", '{"table": 4}')]), Step(emit=[Say("It is booked.")])])
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain, pace=None) as sim, FaultProxy(sim.endpoint) as proxy:
        async with rt.connect(endpoint=proxy.endpoint, reconnect=QUICK) as session:
            asking = asyncio.ensure_future(session.ask("Book it."))
            await session.wait_for("tool.done")
            rt.on("connection.lost", lambda event: proxy.heal(), delivery="inline")
            restored = await cut(proxy, session)
            with pytest.raises(ConnectionLostError):
                await asking
            kinds = [(item.type, item.arguments or item.output or item.text) for item in session.conversation]
            assert kinds == [
                ("message", "Book it."),
                ("function_call", '{"table": 4}'),
                ("function_call_output", "booked 4"),
            ]
            assert len(restored.replayed) == 3 and not restored.dropped
            assert (await session.ask("Is it booked?")).text == "It is booked."
        outputs = [e.item.output for e in received(sim, ConversationItemCreate) if e.item.output]
    assert [(orphan.call.name, orphan.unknown) for orphan in orphans] == [("book", True)]
    assert outputs == ["booked 4"]


@pytest.mark.parametrize(
    ("ending", "again"),
    [
        (Ending(1000, "", "server"), True),
        (Ending(1001, "", "server"), True),
        (Ending(1006, "", "network"), True),
        (Ending(1008, "", "server"), False),
        (Ending(1009, "", "server"), False),
        (Ending(1009, "", "client"), False),
        (Ending(1011, "", "server"), True),
        (Ending(1012, "", "server"), True),
        (Ending(1013, "", "server"), True),
        (Ending(1002, "", "client"), True),
        (Ending(1000, "", "client"), False),
        (Ending(4000, "", "server"), False),
    ],
)
def test_an_ending_says_whether_trying_again_can_help(ending: Ending, again: bool) -> None:
    """B41."""
    assert may_reconnect(ending) is again


async def test_a_fatal_ending_closes_the_session_for_good() -> None:
    """B41: 1008 is not retried."""
    closed = list[ConnectionClosed]()
    rt = Realtime(session=TEXT)
    rt.on("connection.closed", closed.append)
    async with (
        asyncio.timeout(WAIT_S),
        Simulator(brain=EchoBrain(), pace=None, faults="close=1008:response.done") as sim,
    ):
        async with rt.connect(endpoint=sim.endpoint, reconnect=QUICK) as session:
            with pytest.raises(ConnectionLostError, match="1008"):
                await session.ask("One")
            await session.wait_closed()
            assert session.is_closed
    assert [event.code for event in closed] == [1008] and len(sim.sessions) == 1


async def test_an_attempt_that_is_refused_for_good_ends_the_session_with_its_reason() -> None:
    """B41: authentication is not retried."""
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults="refuse=401#2") as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with Realtime(session=TEXT).connect(endpoint=proxy.endpoint, reconnect=QUICK) as session:
                waiting = asyncio.ensure_future(session.wait_for("app.never"))
                await asyncio.sleep(0)
                proxy.cut()
                with pytest.raises(Exception, match="401"):
                    await waiting
                await session.wait_closed()


async def test_the_attempts_end_when_nothing_comes_of_them() -> None:
    """B41: a budget, and delays that grow up to a cap."""
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    policy = Reconnect(attempts=6, jitter=lambda: 1.0, sleep=sleep)
    lost = list[ConnectionLost]()
    rt = Realtime(session=TEXT)
    rt.on("connection.lost", lost.append)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=policy) as session:
                proxy.gate = "reset"
                proxy.cut()
                await session.wait_closed()
    assert len(lost) == 1
    assert [seconds for seconds in slept if seconds >= 0.4] == [0.5, 1, 2, 4, 8, 8]


async def test_closing_while_the_connection_is_lost_ends_at_once() -> None:
    """B40, B46: and leaves no task."""
    async with line(reconnect=Reconnect(first_delay_s=60, max_delay_s=60, jitter=lambda: 1.0)) as (_, proxy, session):
        waiting = asyncio.ensure_future(session.ask("never"))
        lost = asyncio.ensure_future(session.wait_for("connection.lost"))
        await asyncio.sleep(0)
        proxy.cut()
        await lost
        asked = asyncio.ensure_future(session.ask("neither"))
        await asyncio.sleep(0)
        await session.close()
        for future in (waiting, asked):
            with pytest.raises(ConnectionLostError):
                await future
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not [name for name in names if name.startswith("realtime_events")]


async def test_a_session_rotates_at_an_idle_moment_with_its_conversation() -> None:
    """B43: the new one is ready before the old one goes, and usage goes on."""
    rt, rotated = Realtime(session=TEXT), list[SessionRotated]()
    rt.on("session.rotated", rotated.append)
    lost = list[Any]()
    rt.on("connection.lost", lost.append)
    async with line(rt, rotate=0.2) as (sim, _, session):
        await session.ask("One")
        old_id = session.id
        event = await session.wait_for("session.rotated")
        assert (event.old_session_id, event.session_id) == (old_id, session.id)
        assert event.replayed == tuple(item.id for item in session.conversation)
        assert event.dropped == event.lost_in_flight == ()
        assert [item.text for item in session.conversation] == ["One", "One"]
        await session.ask("Two")
        assert [item.text for item in session.conversation] == ["One", "One", "Two", "Two"]
        assert session.usage.responses["completed"] == 2
        assert not lost and not session.is_closed
        assert len(sim.sessions) >= 2


async def test_the_last_audio_goes_into_the_session_that_takes_over() -> None:
    """B43: what the server has heard as speech is not said twice."""
    from realtime_events.events import InputAudioBufferAppend

    async with line(Realtime(session=TEXT), rotate=0.2) as (sim, _, session):
        await session.send_audio(bytes(960))
        await session.wait_for("session.rotated")
        await session.ask("One")
        assert len(received(sim, InputAudioBufferAppend, 1)) == 1


async def test_without_reconnecting_a_lost_connection_is_the_end() -> None:
    """B40."""
    async with line(reconnect=False) as (_, proxy, session):
        waiting = asyncio.ensure_future(session.wait_for("app.never"))
        await asyncio.sleep(0)
        proxy.cut()
        with pytest.raises(ConnectionLostError):
            await waiting
        assert session.is_closed


async def test_audio_that_waited_goes_into_the_new_session_and_what_is_in_doubt_is_named() -> None:
    """B42 and the ledger: accepted = queued + sent + lost, and what was written without an answer is unknown."""
    from realtime_events.events import AudioGap, InputAudioBufferAppend

    rt, gaps = Realtime(session={**TEXT, "audio": {"input": {"turn_detection": None}}}), list[AudioGap]()
    rt.on("audio.gap", gaps.append)
    slow = Reconnect(jitter=lambda: 1.0, first_delay_s=0.05)
    async with line(rt, reconnect=slow) as (sim, proxy, session):
        await session.send_audio(bytes(4_800))
        lost = asyncio.ensure_future(session.wait_for("connection.lost"))
        restored = asyncio.ensure_future(session.wait_for("connection.restored"))
        await asyncio.sleep(0)
        proxy.cut()
        await lost
        await session.send_audio(b"\1\1" * 2_400)
        await restored
        assert await session.commit_audio()  # The simulator refuses to commit less than 100 ms.
        assert len(received(sim, InputAudioBufferAppend)) == 1
    assert [(gap.start_ms, gap.length_ms, gap.unknown) for gap in gaps] == [(0.0, 100.0, True)]


async def test_a_first_connection_is_tried_again_for_a_while_after_passing_failures() -> None:
    """B41."""
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults="refuse=503x2") as sim:
        async with Realtime(session=TEXT).connect(endpoint=sim.endpoint, reconnect=QUICK) as session:
            assert (await session.ask("Hello")).text == "Hello"


async def test_a_forgotten_session_ends_with_a_named_reason() -> None:
    """B50."""
    async with line(idle_timeout_s=0.1) as (_, _proxy, session):
        ending = await session.wait_closed()
        assert "idle_timeout_s" in ending.reason
    async with line(max_duration_s=0.1) as (_, _proxy, session):
        ending = await session.wait_closed()
        assert "max_duration_s" in ending.reason


async def test_a_server_that_says_nothing_is_told() -> None:
    """B50: once, while an answer is due."""
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults="ignore:response.create") as sim:
        async with Realtime(session=TEXT).connect(endpoint=sim.endpoint, stall_s=0.2) as session:
            asking = asyncio.ensure_future(session.ask("Anybody?"))
            stalled = await session.wait_for("connection.stalled")
            assert stalled.waiting_for == "a response" and stalled.silent_s >= 0.2
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
