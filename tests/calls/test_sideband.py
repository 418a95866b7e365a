"""A session that is attached to a call: who plays, what is told, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest

from realtime_events import (
    ConfigurationError,
    ConnectionLostError,
    HandshakeError,
    LocalProtocolError,
    Options,
    Realtime,
    RestError,
)
from realtime_events.call import CALL_ENDED, Call
from realtime_events.events import OutputAudioBufferCleared
from realtime_events.outer_door import OuterDoor
from realtime_events.protocol.batches import output_item_id
from realtime_events.reconnect import Reconnect
from realtime_events.session import dial_websocket
from realtime_events.simulator import Call as ToolCall
from realtime_events.simulator import EchoBrain, IncomingCall, Say, ScriptBrain, Simulator, Step

from .conftest import accepted

LONG = "This is a long answer, of which the caller shall not hear the end, since somebody stops it before that."


def sent(sim: Simulator) -> list[str]:
    """Gives the names of what the newest session was sent."""
    return [event.type for event in sim.sessions[-1].received]


async def test_a_session_is_attached_by_the_id_of_a_call_and_names_no_model(sim: Simulator) -> None:
    """What the application does not set is not told."""
    urls: list[str] = []

    async def dial(url: str, headers: dict[str, str], options: Options) -> Any:
        urls.append(url)
        return await dial_websocket(url, headers, options)

    call = await accepted(sim)
    async with Realtime().connect(endpoint=sim.endpoint, call_id=call.id, dial=dial) as session:
        assert session.call is not None
        assert (session.call.id, session.config.instructions) == (call.id, "Be brief.")
    assert urls == [f"{sim.url}?call_id={call.id}"]
    assert sent(sim) == []


async def test_what_the_application_sets_is_told_and_nothing_else(sim: Simulator) -> None:
    """B13: one update, with the fields of the application."""
    rt = Realtime(instructions="Sing.")

    @rt.tool
    def now() -> str:
        """Tell the time."""
        return "noon"

    call = await accepted(sim)
    async with rt.connect(endpoint=sim.endpoint, call_id=call.id) as session:
        assert session.config.instructions == "Sing."
    (update,) = sim.sessions[-1].received.named("session.update")
    told: Any = update
    assert told.session.instructions == "Sing."
    assert [tool.name for tool in told.session.tools] == ["now"]
    assert not told.session.model and not told.session.audio


async def test_the_end_of_the_call_is_the_end_of_the_session_and_no_failure(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """B40: iterators end, `wait_closed` returns, one `connection.closed` says so, and nothing is logged as wrong."""
    rt, closed = Realtime(), []
    rt.on("connection.closed", closed.append)
    call = await accepted(sim)
    async with asyncio.timeout(10), rt.connect(endpoint=sim.endpoint, call_id=call.id) as session:
        stream = session.stream("*")
        call.hang_up()
        ending = await session.wait_closed()
        names = [event.type async for event in stream]
        with pytest.raises(ConnectionLostError, match=CALL_ENDED):
            await session.ask("Are you there?")
    assert (ending.code, ending.reason, ending.initiator) == (1000, CALL_ENDED, "server")
    assert names[-1] == "connection.closed"
    assert [event.reason for event in closed] == [CALL_ENDED]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def losing(lost: list[Any]) -> Any:
    """Gives a way to dial that keeps the doors, so that a test can break them."""

    async def dial(url: str, headers: dict[str, str], options: Options) -> Any:
        lost.append(await dial_websocket(url, headers, options))
        return lost[-1]

    return dial


AT_ONCE = Reconnect(jitter=lambda: 0.0)
OUTPUT = b"function_call_output"


async def test_a_lost_sideband_is_attached_again_to_the_same_call(sim: Simulator) -> None:
    """B42: it is the same conversation on the server, so nothing is told again; a second loss in a row is the end."""
    doors: list[Any] = []
    call = await accepted(sim)
    rt = Realtime(instructions="Sing.")
    async with (
        asyncio.timeout(10),
        rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=losing(doors), reconnect=AT_ONCE) as session,
    ):
        session_id = session.id
        await session.ask("Hello!")
        for _ in range(2):
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            doors[-1].abort()
            assert (await restored).session_id == session_id
            await session.ask("Are you still there?")  # That is progress.
        call.press("7")
        assert await session.gather(1) == "7"
        assert sent(sim).count("session.update") == 1
        assert sent(sim).count("conversation.item.create") == 3
    assert len(doors) == 3


class Breaking(OuterDoor):
    """A door that breaks at the first frame with some words in it; nothing passes from then on."""

    def __init__(self, transport: Any, *, coming: bytes = b"?", going: bytes = b"?") -> None:
        super().__init__(transport)
        self.coming = coming
        self.going = going
        self.is_broken = False

    async def run(self, on_frame: Any) -> Any:
        return await self._transport.run(lambda frame: self.breaks(self.coming in frame) or on_frame(frame))

    def write(self, data: bytes) -> None:
        if not self.breaks(self.going in data):
            self._transport.write(data)

    def breaks(self, here: bool) -> bool:
        self.is_broken = self.is_broken or here
        if here:
            self._transport.abort()
        return self.is_broken


def breaking(doors: list[Any], *whats: dict[str, bytes]) -> Any:
    """Gives a way to dial that keeps the doors, of which the first ones break, each at its own words."""

    async def dial(url: str, headers: dict[str, str], options: Options) -> Any:
        door = await dial_websocket(url, headers, options)
        doors.append(Breaking(door, **whats[len(doors)]) if len(doors) < len(whats) else door)
        return doors[-1]

    return dial


@pytest.mark.parametrize(("what", "sent_again"), [({"going": OUTPUT}, 1), ({"coming": OUTPUT}, 0)])
async def test_the_output_of_a_tool_is_sent_again_if_it_was_lost_with_the_sideband_and_only_then(
    what: dict[str, bytes], sent_again: int
) -> None:
    """B36: the conversation of the call waits for it; its id tells whether the server has it."""
    rt, orphans, runs = Realtime(), list[Any](), list[str]()
    rt.on("tool.orphaned", orphans.append)

    @rt.tool
    def book() -> str:
        """Book a table."""
        runs.append("book")
        return "booked"

    doors: list[Any] = []

    dial = breaking(doors, what)
    brain = ScriptBrain([Step(emit=[ToolCall("book", "{}")]), Step(emit=[Say("It is booked.")])])
    async with asyncio.timeout(10), Simulator(brain=brain, pace=None) as sim:
        call = await accepted(sim)
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=dial, reconnect=AT_ONCE) as session:
            answers = session.stream("response.done", when=lambda event: event.response.output[0].type == "message")
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            with pytest.raises(ConnectionLostError):
                await session.ask("Book a table.")
            await restored
            if sent_again:
                assert (await anext(answers)).response.status == "completed"
            while len(sim.sessions[-1].sent.named("response.created")) < 2:
                await session.update(instructions="Time passes.")
            assert (await session.retrieve_item(output_item_id(tool_call_of(sim)))).output == "booked"
    taken = [event for event in sim.sessions[-1].received.named("conversation.item.create") if event.item.output]
    assert [event.item.output for event in taken] == ["booked"]
    assert len(doors) == 2 and runs == ["book"] and not orphans
    assert len(sim.sessions[-1].sent.named("response.created")) == 2, "the model was to speak of it once"


async def test_an_output_that_asks_for_no_response_asks_for_none_when_it_is_sent_again() -> None:
    """B32: a tool that says `respond=False` is not spoken of, however its answer got there."""
    rt, doors = Realtime(), list[Any]()

    @rt.tool(respond=False)
    def note() -> str:
        """Note it."""
        return "noted"

    dial = breaking(doors, {"going": OUTPUT})
    brain = ScriptBrain([Step(emit=[ToolCall("note", "{}")]), Step(emit=[Say("Here I am.")])])
    async with asyncio.timeout(10), Simulator(brain=brain, pace=None) as sim:
        call = await accepted(sim)
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=dial, reconnect=AT_ONCE) as session:
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            with suppress(ConnectionLostError):
                await session.ask("Note it.")
            await restored
            assert (await session.retrieve_item(output_item_id(tool_call_of(sim)))).output == "noted"
            await session.update(instructions="Time passes.")
    assert len(sim.sessions[-1].sent.named("response.created")) == 1


async def test_a_sideband_that_is_lost_while_it_asks_for_an_output_asks_again() -> None:
    """B36, B42: the next connection learns what the server has, and the output is sent once."""
    rt, orphans = Realtime(), list[Any]()
    rt.on("tool.orphaned", orphans.append)

    @rt.tool
    def book() -> str:
        """Book a table."""
        return "booked"

    doors: list[Any] = []

    dial = breaking(doors, {"going": OUTPUT}, {"going": b"conversation.item.retrieve"})
    brain = ScriptBrain([Step(emit=[ToolCall("book", "{}")]), Step(emit=[Say("It is booked.")])])
    async with asyncio.timeout(10), Simulator(brain=brain, pace=None) as sim:
        call = await accepted(sim)
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=dial, reconnect=AT_ONCE) as session:
            answers = session.stream("response.done", when=lambda event: event.response.output[0].type == "message")
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            with pytest.raises(ConnectionLostError):
                await session.ask("Book a table.")
            assert (await restored).attempt == 2
            assert (await anext(answers)).response.status == "completed"
    taken = [event for event in sim.sessions[-1].received.named("conversation.item.create") if event.item.output]
    assert [event.item.output for event in taken] == ["booked"]
    assert len(doors) == 3 and not orphans


async def test_a_call_is_as_old_after_its_sideband_was_lost_as_before() -> None:
    """B43: it is the same session of the server, whose limit is told in time."""
    now = [1_000.0]
    doors: list[Any] = []
    async with asyncio.timeout(10), Simulator(brain=EchoBrain(), pace=None) as sim:
        call = await accepted(sim)
        connecting = Realtime().connect(endpoint=sim.endpoint, call_id=call.id, dial=losing(doors), reconnect=AT_ONCE)
        async with connecting as session:
            session._line._clock = lambda: now[0]
            session._line.is_open()
            now[0] += 3_000.0
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            doors[-1].abort()
            await restored
            assert session._line.lived_s == 3_000.0


async def test_a_response_that_ended_while_the_sideband_was_lost_is_followed_up() -> None:
    """B32, B36: its calls are answered, and the model is asked to go on; nobody waits for an event that was missed."""
    rt, gate = Realtime(), asyncio.Event()

    @rt.tool
    async def book() -> str:
        """Book a table."""
        await gate.wait()
        return "booked"

    doors: list[Any] = []

    dial = breaking(doors, {"coming": b"response.done"})
    brain = ScriptBrain([Step(emit=[ToolCall("book", "{}")]), Step(emit=[Say("It is booked.")])])
    async with asyncio.timeout(10), Simulator(brain=brain, pace=None) as sim:
        call = await accepted(sim)
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=dial, reconnect=AT_ONCE) as session:
            answers = session.stream("response.done")
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            with pytest.raises(ConnectionLostError):
                await session.ask("Book a table.")
            await restored
            gate.set()
            assert (await anext(answers)).response.output[0].type == "message"


async def test_an_output_that_was_on_its_way_when_the_call_ended_is_named() -> None:
    """B36: nobody can be asked any more whether it arrived."""
    rt, doors, orphans = Realtime(), list[Any](), list[Any]()
    rt.on("tool.orphaned", orphans.append)

    @rt.tool
    def book() -> str:
        """Book a table."""
        return "booked"

    async def dial(url: str, headers: dict[str, str], options: Options) -> Any:
        if doors:
            call.hang_up()
        door = await dial_websocket(url, headers, options)
        doors.append(Breaking(door, going=OUTPUT))
        return doors[-1]

    brain = ScriptBrain([Step(emit=[ToolCall("book", "{}")])])
    async with asyncio.timeout(10), Simulator(brain=brain, pace=None) as sim:
        call = await accepted(sim)
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=dial, reconnect=AT_ONCE) as session:
            with suppress(ConnectionLostError):
                await session.ask("Book a table.")
            await session.wait_closed()
    assert [(orphan.call.name, orphan.unknown) for orphan in orphans] == [("book", True)]


async def test_what_may_have_been_said_while_a_sideband_was_lost_is_named() -> None:
    """B42: a call that was made in the gap is run by nobody; its item says so."""
    rt, doors = Realtime(), list[Any]()

    @rt.tool
    def book() -> str:
        """Book a table."""
        return "booked"

    dial = breaking(doors, {"coming": b"function_call_arguments.done"})
    brain = ScriptBrain([Step(emit=[ToolCall("book", "{}")])])
    async with asyncio.timeout(10), Simulator(brain=brain, pace=None) as sim:
        call = await accepted(sim)
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=dial, reconnect=AT_ONCE) as session:
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            with pytest.raises(ConnectionLostError):
                await session.ask("Book a table.")
            [item] = [item for item in session.conversation if item.type == "function_call"]
            assert (await restored).lost_in_flight == (item.id,)


async def test_a_server_that_does_not_say_whether_it_has_an_output_costs_the_call_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B36: the output is named as in doubt, and the call goes on."""
    monkeypatch.setattr("realtime_events.lifeline.REPLAY_TIMEOUT_S", 0.05)
    rt, orphans = Realtime(), list[Any]()
    rt.on("tool.orphaned", orphans.append, delivery="inline")

    @rt.tool
    def book() -> str:
        """Book a table."""
        return "booked"

    doors: list[Any] = []

    dial = breaking(doors, {"going": OUTPUT})
    brain = ScriptBrain([Step(emit=[ToolCall("book", "{}")]), Step(emit=[Say("Here I am.")])])
    faults = "ignore:conversation.item.retrieve"
    async with asyncio.timeout(10), Simulator(brain=brain, pace=None, faults=faults) as sim:
        call = await accepted(sim)
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id, dial=dial, reconnect=AT_ONCE) as session:
            restored = asyncio.create_task(session.wait_for("connection.restored"))
            await asyncio.wait({restored}, timeout=0)
            with pytest.raises(ConnectionLostError):
                await session.ask("Book a table.")
            await restored
            assert [(orphan.call.name, orphan.unknown) for orphan in orphans] == [("book", True)]
            assert len(doors) == 2 and not session.is_closed


def tool_call_of(sim: Simulator) -> str:
    """Gives the id of the only tool call of the newest session."""
    [done] = sim.sessions[-1].sent.named("response.function_call_arguments.done")
    return str(done.call_id)


async def test_a_call_that_ends_while_its_sideband_is_lost_has_ended(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """B40: nobody is there to attach to any more; that is the end of the call, too, and no failure."""
    doors: list[Any] = []
    call = await accepted(sim)
    connecting = Realtime().connect(endpoint=sim.endpoint, call_id=call.id, dial=losing(doors), reconnect=AT_ONCE)
    async with asyncio.timeout(10), connecting as session:
        doors[-1].abort()
        call.hang_up()
        ending = await session.wait_closed()
        with pytest.raises(ConnectionLostError, match=CALL_ENDED):
            await session.ask("Are you there?")
    assert (ending.code, ending.reason, ending.initiator) == (1000, CALL_ENDED, "server")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_serve_returns_when_the_call_ends(sim: Simulator) -> None:
    """B40: an application that serves one call ends with it."""
    rt = Realtime()
    call = await accepted(sim)
    rt.on("connection.opened", lambda event: call.hang_up())
    async with asyncio.timeout(10):
        assert (await rt.serve(endpoint=sim.endpoint, call_id=call.id)).reason == CALL_ENDED


async def speaking(call: IncomingCall, session: Any) -> asyncio.Task[Any]:
    """Lets the assistant speak, and returns once the caller hears it."""
    started = asyncio.create_task(session.wait_for("output_audio_buffer.started"))
    asked = asyncio.create_task(session.ask("Tell me everything."))
    await started
    return asked


async def test_an_interruption_cancels_and_silences_and_truncates_nothing() -> None:
    """B22: the server plays, so the server knows what was heard."""
    async with Simulator(brain=ScriptBrain([Step(emit=[Say(LONG)])]), pace=1.0) as sim, asyncio.timeout(10):
        call = await accepted(sim)
        async with Realtime().connect(endpoint=sim.endpoint, call_id=call.id) as session:
            asked = await speaking(call, session)
            await session.interrupt()
            assert (await asked).status == "cancelled"
        assert sent(sim)[-2:] == ["response.cancel", "output_audio_buffer.clear"]
        assert sim.sessions[-1].sent("output_audio_buffer.cleared")


async def test_what_is_still_played_after_its_response_has_ended_is_silenced(sim: Simulator) -> None:
    """B22: audio is made faster than it is heard; `interrupt` returns when the server has stopped to play."""
    async with asyncio.timeout(10):
        call = await accepted(sim)
        async with Realtime().connect(endpoint=sim.endpoint, call_id=call.id) as session:
            await session.ask("Hello!")
            cleared = asyncio.create_task(session.wait_for(OutputAudioBufferCleared))
            await asyncio.wait({cleared}, timeout=0)
            await session.interrupt()
            await cleared
            await session.interrupt()  # There is nothing more to stop.
    assert sent(sim).count("output_audio_buffer.clear") == 1
    assert "response.cancel" not in sent(sim)


async def test_a_clear_that_finds_nothing_to_clear_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """B20: text is not played, so the server refuses to silence it; that is nobody's concern."""
    events: list[Any] = []
    rt = Realtime()
    rt.on("error", "send.rejected")(events.append)
    async with Simulator(brain=ScriptBrain([Step(emit=[Say(LONG)])]), pace=1.0) as sim, asyncio.timeout(10):
        call = await accepted(sim, output_modalities=["text"])
        async with rt.connect(endpoint=sim.endpoint, call_id=call.id) as session:
            begun = asyncio.create_task(session.wait_for("response.created"))
            asked = asyncio.create_task(session.ask("Tell me everything."))
            await begun
            await session.interrupt()
            assert (await asked).status == "cancelled"
            await session.update(instructions="Go on.")
        assert sim.sessions[-1].sent("error").error.message == "There is no audio to clear."  # type: ignore[attr-defined]
    assert events == []


async def test_a_call_is_handed_over(sim: Simulator) -> None:
    """The session ends with it."""
    call = await accepted(sim)
    async with asyncio.timeout(10), Realtime().connect(endpoint=sim.endpoint, call_id=call.id) as session:
        assert session.call is not None
        with pytest.raises(ConfigurationError, match="no address"):
            await session.call.refer("the boss")
        await session.call.refer("tel:+15550199")
        assert (await session.wait_closed()).reason == CALL_ENDED
        with pytest.raises(RestError):
            await session.call.refer("tel:+15550199")
    assert (call.state, call.refer_to) == ("referred", "tel:+15550199")


async def test_a_call_is_hung_up_and_a_second_time_is_fine(sim: Simulator) -> None:
    """The caller may have been quicker."""
    call = await accepted(sim)
    async with asyncio.timeout(10), Realtime().connect(endpoint=sim.endpoint, call_id=call.id) as session:
        assert session.call is not None
        await session.call.hang_up()
        await session.call.hang_up()
        assert (await session.wait_closed()).reason == CALL_ENDED
    assert call.state == "ended"
    await Call("rtc_unknown", sim.endpoint, Options()).hang_up()


async def test_a_session_that_is_left_leaves_the_call_alone(sim: Simulator) -> None:
    """Whoever attaches to a call that somebody else accepted does not end it by leaving."""
    call = await accepted(sim)
    async with Realtime().connect(endpoint=sim.endpoint, call_id=call.id):
        pass
    assert call.state == "active"


async def test_other_sessions_have_no_call(sim: Simulator) -> None:
    """Nobody presses keys there."""
    async with Realtime().connect(endpoint=sim.endpoint) as session:
        assert session.call is None
        with pytest.raises(LocalProtocolError, match="no call"):
            await session.gather(4)


@pytest.mark.parametrize("changes", [{"call_id": ""}, {"call_id": "rtc_1", "kind": "transcription"}], ids=str)
async def test_what_is_no_call_is_refused_before_anything_is_opened(sim: Simulator, changes: dict[str, Any]) -> None:
    """B14: a wrong argument is named where it is given."""
    with pytest.raises(ConfigurationError, match="call"):
        await Realtime().connect(endpoint=sim.endpoint, **changes)


async def test_an_unknown_call_cannot_be_joined(sim: Simulator) -> None:
    """B41: the handshake is refused."""
    with pytest.raises(HandshakeError, match="404"):
        await Realtime().connect(endpoint=sim.endpoint, call_id="rtc_unknown")
