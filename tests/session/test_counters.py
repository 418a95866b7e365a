"""What a session counts of everything that goes otherwise than it should."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from realtime_events import Realtime
from realtime_events.events import (
    ConversationItemCreate,
    ErrorDetails,
    ErrorEvent,
    InputAudioBufferClear,
    InputAudioBufferSpeechStarted,
    Item,
    Response,
    ResponseCreated,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
)
from realtime_events.session.counting import Counters
from realtime_events.testing import Peer

SPEECH = InputAudioBufferSpeechStarted(item_id="item_user", audio_start_ms=100)


def named(counters: Counters) -> dict[str, int]:
    """Give what was counted at all."""
    return {name: n for name, n in msgspec.structs.asdict(counters).items() if n}


async def test_a_session_in_which_all_goes_well_counts_nothing() -> None:
    """B50: no deviation, no count."""
    peer = Peer()
    async with asyncio.timeout(5), Realtime().connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        peer.say(SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        assert named(session.counters) == {}


@pytest.mark.parametrize("is_heard", [True, False])
async def test_what_is_odd_or_refused_or_fails_is_counted_whoever_listens(is_heard: bool) -> None:
    """B01, B02, B11: each is an event and a count."""
    rt, peer, heard = Realtime(), Peer(), list[str]()
    if is_heard:
        rt.on("event.*", "send.rejected", "handler.failed", lambda event: heard.append(event.type))

    @rt.on("input_audio_buffer.speech_started")
    def broken(event: Any) -> None:
        raise ValueError("on purpose")

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        event_id = await session.send(InputAudioBufferClear())
        refused = ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="no", event_id=event_id))
        peer.say({"type": "brand.new"}, {"type": "brand.new"}, b"{", refused, SPEECH, SPEECH)
        while session.counters.handler_failures < 2:
            await asyncio.sleep(0)
        odd = {"unknown_events": 2, "malformed_events": 1, "rejected_sends": 1, "handler_failures": 2}
        assert named(session.counters) == odd
        while is_heard and len(heard) < 6:
            await asyncio.sleep(0)


async def test_deltas_that_a_full_lane_drops_are_counted() -> None:
    """B04: those of every lane and stream together."""
    rt, peer, gate = Realtime(), Peer(), asyncio.Event()

    @rt.on("response.text.delta", max_pending=10)
    async def slow(event: Any) -> None:
        await gate.wait()

    delta = ResponseOutputTextDelta(response_id="r", item_id="i", delta="x")
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        peer.say(*[delta] * 31, SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        assert named(session.counters) == {"dropped_deltas": 20}
        gate.set()


async def test_a_thread_that_does_not_end_is_counted_and_so_is_its_late_result() -> None:
    """B30: both, once."""
    rt, peer, gate = Realtime(), Peer(), threading.Event()

    @rt.tool(timeout_s=0.02)
    def hang() -> str:
        gate.wait(5)
        return "late"

    call = Item(type="function_call", id="item_1", call_id="call_1", name="hang", arguments="{}")
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        peer.say(ResponseCreated(response=Response(id="resp_1", conversation_id="conv_1")))
        peer.say(ResponseOutputItemDone(response_id="resp_1", item=call))
        await peer.heard(ConversationItemCreate)
        while not session.counters.abandoned_calls:
            await asyncio.sleep(0)
        assert named(session.counters) == {"abandoned_calls": 1}
        gate.set()
        while not session.counters.late_tool_results:
            await asyncio.sleep(0)
        assert named(session.counters) == {"abandoned_calls": 1, "late_tool_results": 1}


async def test_what_was_counted_outlives_the_connection() -> None:
    """B42: with what the loss itself adds."""
    peers = [Peer(session_id="sess_1"), Peer(session_id="sess_2")]
    dials = iter([peer.dial for peer in peers])

    async def dial(*how: Any) -> Any:
        return await next(dials)(*how)

    async with asyncio.timeout(5), Realtime().connect(endpoint=peers[0].endpoint, dial=dial) as session:
        peers[0].say(b"{", SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        peers[0].drop()
        await session.wait_for("connection.restored")
        peers[1].say(b"{", SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        assert named(session.counters) == {"malformed_events": 2, "reconnects": 1}
