"""Connections that end in every way: what the session makes of it, counted on both sides."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_events import ConnectionLostError, Options, Realtime, RemoteProtocolError, ServerError, Session
from realtime_events.events import (
    AudioFlush,
    AudioGap,
    ConnectionClosed,
    ConnectionLost,
    ConnectionRestored,
    ConversationItemCreate,
    ConversationItemTruncate,
    ErrorEvent,
    InputAudioBufferAppend,
    ResponseCancel,
    SessionRotated,
    ToolOrphaned,
)
from realtime_events.lifeline import Lifeline
from realtime_events.reconnect import Reconnect
from realtime_events.session import dial_websocket
from realtime_events.simulator import Call, EchoBrain, Say, ScriptBrain, Simulator, Step
from realtime_events.testing import FaultProxy
from realtime_events.testing.toxics import Toxics
from realtime_events.transport import Ending

from .server import Delays, Visit, hosting

WAIT_S = 10.0
TEXT = {"output_modalities": ["text"]}
QUICK = Reconnect(jitter=lambda: 0.0)
LISTENS = {**TEXT, "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}}}


class Heard:
    """What an application is told of its connections."""

    def __init__(self, rt: Realtime) -> None:
        self.lost, self.restored, self.closed = list[ConnectionLost](), list[ConnectionRestored](), list[Any]()
        self.gaps, self.rotated, self.orphaned = list[AudioGap](), list[SessionRotated](), list[ToolOrphaned]()
        for kind, where in {
            ConnectionLost: self.lost,
            ConnectionRestored: self.restored,
            ConnectionClosed: self.closed,
            AudioGap: self.gaps,
            SessionRotated: self.rotated,
            ToolOrphaned: self.orphaned,
        }.items():
            rt.on(kind, where.append)


@asynccontextmanager
async def talking(rt: Realtime, faults: str = "", **options: Any) -> AsyncIterator[tuple[Simulator, Session]]:
    """A session whose simulator does something wrong until the connection is lost, and nothing afterwards."""
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults=faults) as sim:
        rt.on("connection.lost", lambda event: sim.set_faults(None), delivery="inline")
        async with rt.connect(endpoint=sim.endpoint, **options) as session:
            yield sim, session


def received(sim: Simulator, kind: type[Any], number: int = -1) -> list[Any]:
    return [event for event in sim.sessions[number].received if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("fault", "code", "initiator", "delay_s"),
    [
        ("close=1000", 1000, "server", 0.5),
        ("close=1001", 1001, "server", 1.0),
        ("close=1012", 1012, "server", 1.0),
        ("close=1011", 1011, "server", 0.5),
        ("close=1013", 1013, "server", 5.0),
        ("eof", 1006, "network", 0.5),
        ("reset", 1006, "network", 0.5),
    ],
)
async def test_an_ending_in_the_middle_of_a_response_costs_that_response_and_nothing_else(
    fault: str, code: int, initiator: str, delay_s: float
) -> None:
    """B40, B41, B42: told once, tried again when it makes sense, and each item is replayed, dropped or lost by name."""
    rt, delays = Realtime(session=TEXT), Delays()
    heard = Heard(rt)
    async with talking(rt, f"{fault}:response.done#2", reconnect=delays.policy()) as (sim, session):
        assert (await session.ask("One")).text == "One"
        restoring = asyncio.ensure_future(session.wait_for("connection.restored"))
        with pytest.raises(ConnectionLostError) as caught:
            await session.ask("Two")
        restored = await restoring
        assert (caught.value.code, caught.value.initiator) == (code, initiator)
        known = [item.id for item in session.conversation]
        assert (await session.ask("Three")).text == "Three"
        created = received(sim, ConversationItemCreate)
        assert [event.item.id for event in created[:-1]] == list(restored.replayed) == known[: len(restored.replayed)]
        assert len(restored.replayed) + len(restored.dropped) + len(restored.lost_in_flight) == 4
        said = [item.text for item in session.conversation if item.role == "user"]
        assert said == ["One", "Two", "Three"]
    assert delays == [delay_s] and len(sim.sessions) == 2
    [lost] = heard.lost
    assert (lost.code, lost.initiator, lost.response_cut, lost.attempt) == (code, initiator, True, 1)
    assert len(heard.restored) == len(heard.closed) == 1


@pytest.mark.parametrize("ending", ["reset_after_bytes", "close_after_bytes", "half_close_after_bytes"])
async def test_a_frame_that_breaks_off_in_the_middle_is_thrown_away_and_the_audio_in_doubt_is_named(
    ending: str,
) -> None:
    """B40, B42: RST or FIN within a frame; accepted audio is either confirmed or named."""
    rt = Realtime(session={**TEXT, "audio": {"input": {"turn_detection": None}}})
    heard, malformed = Heard(rt), list[Any]()
    rt.on("event.malformed", malformed.append)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=QUICK) as session:
                await session.ask("One")
                rt.on("connection.lost", lambda event: proxy.heal(), delivery="inline")
                restoring = asyncio.ensure_future(session.wait_for("connection.restored"))
                await asyncio.sleep(0)
                await session.send_audio(bytes(4_800))
                proxy.down = Toxics(**{ending: proxy.bytes_down + 40})
                with pytest.raises(ConnectionLostError):
                    await session.update(instructions="This is answered by a frame that is longer than forty bytes.")
                await restoring
                assert (await session.ask("Two")).text == "Two"
    assert not malformed and [lost.code for lost in heard.lost] == [1006]
    assert [(gap.length_ms, gap.unknown) for gap in heard.gaps] == [(100.0, True)]
    assert len(sim.sessions) == 2


@pytest.mark.parametrize("code", [1008, 1009, 4000])
async def test_a_close_that_time_does_not_mend_is_not_answered_by_another_handshake(code: int) -> None:
    """B41: and no payload is sent a second time."""
    rt, delays = Realtime(session=TEXT), Delays()
    heard = Heard(rt)
    async with talking(rt, f"close={code}:response.done", reconnect=delays.policy()) as (sim, session):
        with pytest.raises(ConnectionLostError, match=str(code)):
            await session.ask("One")
        await session.wait_closed()
    assert not delays and not heard.lost and not heard.restored and len(sim.sessions) == 1
    assert [closed.code for closed in heard.closed] == [code]


async def test_the_reason_of_a_policy_violation_is_shown_without_its_control_characters() -> None:
    """B41, B48: a server cannot paint on a terminal."""

    async def throw_out(visit: Visit) -> None:
        await visit.greet()
        await visit.ws.close(code=1008, message=b"no\x1b[31m way\nINFO all is well")

    rt = Realtime()
    heard = Heard(rt)
    async with asyncio.timeout(WAIT_S), hosting(throw_out) as host:
        try:
            async with rt.connect(endpoint=host.endpoint, reconnect=QUICK) as session:
                ending = await session.wait_closed()
                reason = ending.reason
        except ConnectionLostError as error:
            reason = error.reason
    assert "way" in reason and reason.isprintable()
    assert all(closed.reason.isprintable() for closed in heard.closed) and len(host.handshakes_s) == 1


@pytest.mark.parametrize("frame", [b"\x83\x00", b"\x89\x7e\x01\x00" + bytes(256)])
async def test_a_server_that_breaks_the_protocol_is_forgiven_three_times_within_a_minute(frame: bytes) -> None:
    """B41: 1002 by us is tried again, though not for ever."""

    async def break_it(visit: Visit) -> None:
        await visit.greet()
        if visit.number == 1:
            await ready.wait()
        visit.write_raw(frame)
        await visit.wait()

    rt, delays, ready = Realtime(), Delays(), asyncio.Event()
    heard = Heard(rt)
    async with asyncio.timeout(WAIT_S), hosting(break_it) as host:
        async with rt.connect(endpoint=host.endpoint, reconnect=delays.policy()) as session:
            waiting = asyncio.ensure_future(session.wait_for("app.never"))
            await asyncio.sleep(0)
            ready.set()
            with pytest.raises((RemoteProtocolError, ConnectionLostError)):
                await waiting
            await session.wait_closed()
    assert len(host.handshakes_s) == 4 and len(heard.closed) == 1
    assert {lost.initiator for lost in heard.lost} == {"client"}


async def test_a_server_that_lets_in_and_reports_an_error_is_given_up_after_the_last_attempt() -> None:
    """B41: the upgrade alone is no progress."""

    async def fail(visit: Visit) -> None:
        if visit.number == 1:
            await visit.greet()
            await visit.wait()
            return
        error = {"type": "server_error", "code": None, "message": "The server had an error."}
        await visit.ws.send_json({"type": "error", "event_id": "event_1", "error": error})
        await visit.wait()

    delays = Delays()
    async with asyncio.timeout(WAIT_S), hosting(fail) as host:
        async with Realtime().connect(endpoint=host.endpoint, reconnect=delays.policy(attempts=4)) as session:
            waiting = asyncio.ensure_future(session.wait_for("app.never"))
            await asyncio.sleep(0)
            host.cut_all()
            with pytest.raises(ServerError, match="had an error"):
                await waiting
    assert delays == [0.5, 1.0, 2.0, 4.0] and len(host.handshakes_s) == 5


async def test_a_server_that_greets_and_hangs_up_at_once_is_given_up_too() -> None:
    """B41: a session that nothing ever happened in is no progress; the delays grow all the same."""

    async def hang_up(visit: Visit) -> None:
        await visit.greet()
        if visit.number == 1:
            await ready.wait()
        await visit.ws.close(code=1011)

    delays, rt, ready = Delays(), Realtime(), asyncio.Event()
    heard = Heard(rt)
    async with asyncio.timeout(WAIT_S), hosting(hang_up) as host:
        async with rt.connect(endpoint=host.endpoint, reconnect=delays.policy(attempts=4)) as session:
            ready.set()
            await session.wait_closed()
    assert delays == [0.5, 1.0, 2.0, 4.0] and len(host.handshakes_s) == 5
    assert [lost.attempt for lost in heard.lost] == sorted(lost.attempt for lost in heard.lost)
    assert len(heard.closed) == 1


async def test_progress_gives_back_all_attempts() -> None:
    """B41: six losses are no failure where each session has answered."""
    rt, delays = Realtime(session=TEXT), Delays()
    heard = Heard(rt)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=delays.policy(attempts=2)) as session:
                for number in range(6):
                    assert (await session.ask(f"Word {number}")).text == f"Word {number}"
                    restoring = asyncio.ensure_future(session.wait_for("connection.restored"))
                    await asyncio.sleep(0)
                    proxy.cut()
                    await restoring
    assert delays == [0.5] * 6 and len(heard.restored) == 6


async def test_usage_is_that_of_all_connections_together() -> None:
    """B25: what was used before a loss or a rotation still counts."""
    rt = Realtime(session=TEXT)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=QUICK) as session:
                used = [(await session.ask("One")).usage.total_tokens]
                restoring = asyncio.ensure_future(session.wait_for("connection.restored"))
                await asyncio.sleep(0)
                proxy.cut()
                await restoring
                used.append((await session.ask("Two")).usage.total_tokens)
                rotating = asyncio.ensure_future(session.wait_for("session.rotated"))
                await asyncio.sleep(0)
                session._line.rotate()
                await rotating
                used.append((await session.ask("Three")).usage.total_tokens)
                assert all(used) and session.usage.total.total_tokens == sum(used)
                assert session.usage.responses == {"completed": 3}
    assert len(sim.sessions) == 3


class Tap:
    """A door that lets a test put frames into it, also when its connection is no longer the session's."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.put: Any = None

    async def run(self, on_frame: Any) -> Ending:
        self.put = on_frame
        ending: Ending = await self._transport.run(on_frame)
        return ending

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_a_late_frame_of_a_connection_that_was_replaced_is_never_seen() -> None:
    """B42: by no handler, and not by State either."""
    rt, taps, seen = Realtime(session=TEXT), list[Tap](), list[str]()
    rt.on("response.*", lambda event: seen.append(event.type))
    rt.on("error", lambda event: seen.append(event.type))

    async def dial(url: str, headers: dict[str, str], options: Options) -> Any:
        taps.append(Tap(await dial_websocket(url, headers, options)))
        return taps[-1]

    late = [
        b'{"type":"response.created","event_id":"e1","response":{"id":"resp_late","object":"realtime.response",'
        b'"status":"in_progress","output":[]}}',
        b'{"type":"response.output_text.delta","event_id":"e2","response_id":"resp_late","item_id":"item_late",'
        b'"output_index":0,"content_index":0,"delta":"late"}',
        b'{"type":"error","event_id":"e3","error":{"type":"server_error","message":"late"}}',
    ]
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint, dial=dial, reconnect=QUICK) as session:
            await session.ask("One")
            rotating = asyncio.ensure_future(session.wait_for("session.rotated"))
            await asyncio.sleep(0)
            session._line.rotate()
            await rotating
            seen.clear()
            for frame in late:
                taps[0].put(frame)
            assert (await session.ask("Two")).text == "Two", "a dead response was taken for one that runs"
            assert [item.text for item in session.conversation] == ["One", "One", "Two", "Two"]
    assert len(taps) == 2 and seen.count("response.created") == 1 and "error" not in seen


async def test_a_rotation_waits_for_a_tool_call_and_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """B43: the call is answered in the session that asked."""
    rt, gate, asked, order = Realtime(session=TEXT), asyncio.Event(), asyncio.Event(), list[str]()
    rotate = Lifeline.rotate
    monkeypatch.setattr(Lifeline, "rotate", lambda line: (rotate(line), asked.set()))
    rt.on(["turn.done", "session.rotated", "tool.orphaned"], lambda event: order.append(event.type))

    @rt.tool
    async def slow() -> str:
        await gate.wait()
        return "done"

    brain = ScriptBrain([Step(emit=[Call("slow", "{}")]), Step(emit=[Say("There you are.")])])
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain, pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint, rotate=0.05) as session:
            rotating = asyncio.ensure_future(session.wait_for("session.rotated"))
            asking = asyncio.ensure_future(session.ask("Work."))
            await session.wait_for("tool.started")
            asked.clear()
            await asked.wait()
            assert len(sim.sessions) == 1 and not rotating.done()
            gate.set()
            assert (await asking).text == "There you are."
            await rotating
            outputs = [event for event in received(sim, ConversationItemCreate, 0) if event.item.type != "message"]
            assert [event.item.output for event in outputs] == ["done"]
    assert order[:2] == ["turn.done", "session.rotated"] and "tool.orphaned" not in order


async def test_a_rotation_waits_until_the_user_has_spoken_and_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """B43: nobody is cut off in the middle of a sentence."""
    rt, asked, order = Realtime(session=LISTENS), asyncio.Event(), list[str]()
    rotate = Lifeline.rotate
    monkeypatch.setattr(Lifeline, "rotate", lambda line: (rotate(line), asked.set()))
    rt.on(["input_audio_buffer.speech_started", "turn.done", "session.rotated"], lambda e: order.append(e.type))
    loud = b"".join(struct.pack("<h", round(20_000 * math.sin(math.tau * 200 * n / 24_000))) for n in range(4_800))
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint, rotate=0.3) as session:
            rotating = asyncio.ensure_future(session.wait_for("session.rotated"))
            speaking = asyncio.ensure_future(session.wait_for("input_audio_buffer.speech_started"))
            await asyncio.sleep(0)
            for _ in range(4):
                await session.send_audio(loud)
            await speaking
            asked.clear()
            await asked.wait()
            assert not rotating.done()
            await session.send_audio(bytes(48_000))
            await rotating
    assert order[:3] == ["input_audio_buffer.speech_started", "turn.done", "session.rotated"]


async def test_a_rotation_that_finds_no_idle_moment_is_forced_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """B36, B43: what was cut by it is told, and the tool that is at work answers in the session that goes on."""
    monkeypatch.setattr("realtime_events.lifeline.FORCED_AFTER_S", 0.1)
    rt, gate = Realtime(session=TEXT), asyncio.Event()
    heard = Heard(rt)

    @rt.tool
    async def endless() -> str:
        await gate.wait()
        return "late"

    brain = ScriptBrain([Step(emit=[Call("endless", "{}")]), Step(emit=[Say("Here I am.")])])
    async with asyncio.timeout(WAIT_S), Simulator(brain=brain, pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint) as session:
            asking = asyncio.ensure_future(session.ask("Work."))
            await session.wait_for("tool.started")
            session._line.rotate()
            with pytest.raises(ConnectionLostError, match="rotated"):
                await asking
            spoken = asyncio.ensure_future(session.wait_for("response.done"))
            await asyncio.sleep(0)
            gate.set()
            assert (await spoken).response.output[0].content[0].text == "Here I am."
            assert [event.item.output for event in received(sim, ConversationItemCreate) if event.item.output] == [
                "late"
            ]
    assert len(heard.rotated) == len(heard.orphaned) == 1 and not heard.lost


async def test_who_interrupts_what_is_still_heard_of_a_lost_session_sends_no_id_of_it() -> None:
    """B42: players are flushed, and the new server is asked for nothing that it cannot know."""
    rt, flushes, errors = Realtime(), list[AudioFlush](), list[ErrorEvent]()
    rt.on(AudioFlush, flushes.append)
    rt.on(ErrorEvent, errors.append)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=QUICK) as session:
                await session.ask("This is so long that it takes a while to be heard to its end.")
                [spoken] = [item for item in session.conversation if item.role == "assistant"]
                old_id = spoken.id
                session.playback.played(old_id, ms=100)
                restoring = asyncio.ensure_future(session.wait_for("connection.restored"))
                await asyncio.sleep(0)
                proxy.cut()
                await restoring
                await session.interrupt()
                assert (await session.ask("Go on", policy="queue")).text == "Go on"
                assert not received(sim, ConversationItemTruncate) and not received(sim, ResponseCancel)
    assert [flush.item_id for flush in flushes] == [old_id] and not errors


async def test_audio_that_is_sent_while_the_connection_is_lost_arrives_or_is_named() -> None:
    """B42 and the ledger, over five cuts: accepted = arrived + named, to the byte."""
    rt = Realtime(session={**TEXT, "audio": {"input": {"turn_detection": None}}})
    heard, accepted = Heard(rt), 0
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, reconnect=QUICK) as session:
                for _ in range(5):
                    restoring = asyncio.ensure_future(session.wait_for("connection.restored"))
                    await asyncio.sleep(0)
                    for _ in range(3):
                        await session.send_audio(bytes(4_800))
                        accepted += 4_800
                    proxy.cut()
                    for _ in range(2):
                        await session.send_audio(bytes(4_800))
                        accepted += 4_800
                    await restoring
                await session.send_audio(bytes(4_800))
                accepted += 4_800
                await session.commit_audio()
        arrived = [4_800 * len(received(sim, InputAudioBufferAppend, n)) for n in range(6)]
    unknown = sum(gap.bytes for gap in heard.gaps if gap.unknown)
    lost = sum(gap.bytes for gap in heard.gaps if not gap.unknown)
    # What is unknown may have arrived or not; what arrived and is not named was confirmed by the commit.
    assert accepted - unknown - lost <= sum(arrived) <= accepted - lost
    assert arrived[-1] == accepted - unknown - lost
