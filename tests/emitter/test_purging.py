"""What waits of a response that was interrupted is taken out of every queue, and nothing else is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_events import Realtime
from realtime_events.dispatcher import Dispatcher
from realtime_events.events import (
    HandlerLagging,
    InputAudioBufferSpeechStarted,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)

SPEECH = InputAudioBufferSpeechStarted(item_id="item_user", audio_start_ms=100)


def text(number: int, response_id: str = "resp_cut") -> ResponseOutputTextDelta:
    return ResponseOutputTextDelta(response_id=response_id, item_id="item_1", delta=str(number))


def done(words: str) -> ResponseOutputTextDone:
    return ResponseOutputTextDone(response_id="resp_cut", item_id="item_1", text=words)


def dispatcher_of(rt: Realtime) -> Dispatcher:
    def overflow(reason: str) -> None:
        raise AssertionError(reason)

    return Dispatcher(rt, None, overflow=overflow)


async def finished(dispatcher: Dispatcher) -> None:
    async with asyncio.timeout(5):
        await dispatcher.finish(grace_s=4)


@pytest.mark.parametrize("delivery", ["ordered", "concurrent", "thread"])
async def test_deltas_of_a_cut_response_are_taken_out_of_lanes_and_the_rest_keeps_its_order(delivery: Any) -> None:
    """B22."""
    rt, seen = Realtime(), []

    if delivery == "thread":
        rt.on("*", seen.append, delivery="thread")
    else:

        @rt.on("*", delivery=delivery)
        async def hear(event: Any) -> None:
            seen.append(event)

    dispatcher = dispatcher_of(rt)
    kept = [text(0, "resp_next"), done("whole"), SPEECH, text(9, "resp_next")]
    cut = [
        text(1),
        ResponseOutputAudioDelta(response_id="resp_cut", item_id="item_1", delta=b"\0\0"),
        ResponseOutputAudioTranscriptDelta(response_id="resp_cut", item_id="item_1", delta="so"),
        ResponseFunctionCallArgumentsDelta(response_id="resp_cut", item_id="item_2", call_id="call_1", delta="{"),
    ]
    for pair in zip(cut, kept, strict=True):
        for event in pair:
            dispatcher.publish(event)
    assert dispatcher.purge({"resp_cut", "resp_unknown"}) == 4
    assert dispatcher.purge({"resp_cut"}) == 0
    await finished(dispatcher)
    assert seen == kept


async def test_the_one_delta_that_waits_in_a_latest_lane_is_taken_out() -> None:
    """B22."""
    rt, seen = Realtime(), []
    rt.on("response.text.delta", seen.append, delivery="latest")
    dispatcher = dispatcher_of(rt)
    dispatcher.publish(text(1))
    dispatcher.publish(text(2))
    assert dispatcher.purge({"resp_cut"}) == 1
    await finished(dispatcher)
    assert seen == []


async def test_a_lane_whose_handler_is_busy_or_was_removed_is_purged_as_well() -> None:
    """B22: what the handler has been given is not taken back, what waits behind it is."""
    rt, seen, gate, began = Realtime(), [], asyncio.Event(), asyncio.Event()

    async def hear(event: Any) -> None:
        seen.append(event.delta)
        began.set()
        await gate.wait()

    rt.on("response.text.delta", hear)
    dispatcher = dispatcher_of(rt)
    for number in range(3):
        dispatcher.publish(text(number))
    dispatcher.publish(text(3, "resp_next"))
    async with asyncio.timeout(5):
        await began.wait()
    rt.off("response.text.delta", hear)
    assert dispatcher.purge({"resp_cut"}) == 2
    gate.set()
    await finished(dispatcher)
    assert seen == ["0", "3"]


async def test_streams_are_purged_and_go_on() -> None:
    """B22."""
    dispatcher = dispatcher_of(Realtime())
    first, second = dispatcher.subscribe(("*",), None, 100), dispatcher.subscribe(("*",), None, 100)
    for event in (text(1), SPEECH, text(2), text(3, "resp_next")):
        dispatcher.publish(event)
    assert dispatcher.purge({"resp_cut"}) == 4
    async with asyncio.timeout(5):
        for stream in (first, second):
            assert [await anext(stream), await anext(stream)] == [SPEECH, text(3, "resp_next")]
        dispatcher.publish(text(4, "resp_next"))
        assert await anext(first) == text(4, "resp_next")
    await finished(dispatcher)


async def test_a_queue_that_a_purge_empties_has_caught_up_and_counts_no_drops() -> None:
    """B22, B04: what is purged is not what was dropped for want of room."""
    rt, lags = Realtime(), []
    rt.on(HandlerLagging, lags.append, delivery="inline")
    dispatcher = dispatcher_of(rt)
    stream = dispatcher.subscribe(("response.output_text.delta",), None, 10)
    for number in range(12):
        dispatcher.publish(text(number))
    assert dispatcher.purge({"resp_cut"}) == 10
    assert [(lag.pending, lag.dropped) for lag in lags] == [(9, 0), (0, 2)]
    await stream.aclose()
    await finished(dispatcher)
