"""How events reach handlers: once, in order, and without anybody waiting for anybody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tracemalloc
from typing import Any

import msgspec
import pytest

from realtime_events import LocalProtocolError, Realtime
from realtime_events.dispatcher import Dispatcher
from realtime_events.events import (
    ErrorDetails,
    ErrorEvent,
    FrameReceived,
    HandlerFailed,
    HandlerLagging,
    HandlerSlow,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    UnknownEvent,
)
from realtime_events.streams import Wait
from realtime_events.testing import Peer


def delta(number: int) -> ResponseOutputTextDelta:
    return ResponseOutputTextDelta(response_id="resp_1", item_id="item_1", delta=str(number))


SPEECH = InputAudioBufferSpeechStarted(item_id="item_user", audio_start_ms=100)


async def test_each_handler_sees_every_event_once_and_in_order_however_slow_another_is() -> None:
    """B02."""
    rt, peer, seen, never = Realtime(), Peer(), [], asyncio.Event()

    @rt.on("response.text.delta")
    async def stuck(event: Any) -> None:
        await never.wait()

    @rt.on("response.text.delta")
    async def plain_async(event: Any) -> None:
        seen.append(event.delta)
        await asyncio.sleep(0)

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*map(delta, range(50)))
        await session.wait_for("response.text.delta", when=lambda e: e.delta == "49")
        while len(seen) < 50:
            await asyncio.sleep(0)
        assert seen == [str(n) for n in range(50)]
        never.set()


async def test_a_handler_that_never_returns_does_not_delay_a_barge_in() -> None:
    """B03: the reader only puts events in lanes, so nobody's handler stands before `speech_started`."""
    rt, peer, never, heard = Realtime(), Peer(), asyncio.Event(), asyncio.Event()

    @rt.on("response.output_audio.delta")
    async def stuck(event: Any) -> None:
        await never.wait()

    @rt.on("input_audio_buffer.speech_started")
    def barge_in(event: Any) -> None:
        heard.set()

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        peer.say(ResponseOutputAudioDelta(response_id="r", item_id="i", delta=b"\0" * 4800))
        peer.say(SPEECH)
        await heard.wait()
        never.set()


async def test_a_failing_handler_is_reported_and_touches_nobody_else() -> None:
    """B02: the failure is an event of its own, not the wire's `error`."""
    rt, peer, seen, failures, wire_errors = Realtime(), Peer(), [], [], []

    @rt.on("response.text.delta")
    def broken(event: Any) -> None:
        raise ValueError("on purpose")

    rt.on("response.text.delta", lambda event: seen.append(event.delta))
    rt.on("handler.failed", failures.append)
    rt.on("error", wire_errors.append)

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(delta(1), delta(2), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
    assert seen == ["1", "2"]
    assert [(type(f), str(f.error), f.event.delta) for f in failures] == [
        (HandlerFailed, "on purpose", "1"),
        (HandlerFailed, "on purpose", "2"),
    ]
    assert failures[0].where.endswith(f"test_delivery.py:{broken.__code__.co_firstlineno}")
    assert not wire_errors


async def test_a_failing_handler_of_failures_is_logged_and_does_not_recurse(caplog: pytest.LogCaptureFixture) -> None:
    """B02."""
    rt, peer, calls = Realtime(), Peer(), []

    @rt.on("*")
    def broken(event: Any) -> None:
        calls.append(event)
        raise ValueError("on purpose")

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        calls.clear()
        peer.say(delta(1), SPEECH)
        await session.wait_for(HandlerFailed, when=lambda e: e.event == SPEECH)
    kinds = [type(event) for event in calls]
    assert kinds.count(ResponseOutputTextDelta) == 1
    assert any(r.levelno == logging.ERROR and "broken" in r.message and r.exc_info for r in caplog.records)


async def test_a_failure_that_nobody_listens_to_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """B02."""
    rt, peer = Realtime(), Peer()

    @rt.on("response.text.delta")
    async def broken(event: Any) -> None:
        raise ValueError("on purpose")

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(delta(1), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "broken" in record.getMessage() and "response.output_text.delta" in record.getMessage()
    assert record.exc_info and isinstance(record.exc_info[1], ValueError)


async def test_a_plain_handler_that_blocks_the_loop_is_named() -> None:
    """B03: over 20 ms, by the dispatcher's clock."""
    rt, peer, slow, clock = Realtime(), Peer(), [], [0.0]
    rt.on("handler.slow", slow.append)

    @rt.on("response.text.delta")
    def block(event: Any) -> None:
        clock[0] += 0.021 if event.delta == "1" else 0.019

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        session._dispatcher.clock = lambda: clock[0]
        peer.say(delta(1), delta(2), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
    [event] = slow
    assert isinstance(event, HandlerSlow) and round(event.duration_ms) == 21
    assert event.where.endswith(f"test_delivery.py:{block.__code__.co_firstlineno}")


async def test_a_full_lane_reports_its_lag_and_drops_only_its_oldest_deltas() -> None:
    """B04."""
    rt, peer, gate, seen, lags = Realtime(), Peer(), asyncio.Event(), [], []

    @rt.on(ResponseOutputTextDelta, InputAudioBufferSpeechStarted, max_pending=10)
    async def slow(event: Any) -> None:
        await gate.wait()
        seen.append(getattr(event, "delta", "speech"))

    rt.on("handler.lagging", lags.append)
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(SPEECH, *map(delta, range(30)), SPEECH)
        await session.wait_for(InputAudioBufferSpeechStarted)
        await session.wait_for(InputAudioBufferSpeechStarted)
        gate.set()
        while seen.count("speech") < 2:
            await asyncio.sleep(0)
    assert seen == ["speech", *(str(n) for n in range(21, 30)), "speech"]
    assert [(type(lag), lag.pending, lag.dropped) for lag in lags] == [(HandlerLagging, 9, 0), (HandlerLagging, 0, 21)]


async def test_a_lane_full_of_events_that_may_not_be_dropped_ends_the_session() -> None:
    """B04: and the closing says why."""
    rt, peer, gate, closed = Realtime(), Peer(), asyncio.Event(), []

    @rt.on("input_audio_buffer.speech_started", max_pending=5)
    async def stuck(event: Any) -> None:
        await gate.wait()

    rt.on("connection.closed", closed.append)
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*[SPEECH] * 20)
        ending = await session.wait_closed()
        gate.set()
    assert ending.code == 1011 and "stuck" in ending.reason and "unhandled events" in ending.reason
    assert [event.reason for event in closed] == [ending.reason]


async def test_on_request_a_full_lane_ends_the_session_instead_of_dropping_deltas() -> None:
    """B04: `on_full="close"`."""
    rt, peer, gate = Realtime(), Peer(), asyncio.Event()

    @rt.on("response.text.delta", max_pending=5)
    async def stuck(event: Any) -> None:
        await gate.wait()

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, on_full="close") as session:
        peer.say(*map(delta, range(20)))
        ending = await session.wait_closed()
        gate.set()
    assert ending.code == 1011 and "stuck" in ending.reason


async def test_a_handler_that_keeps_up_loses_nothing_in_any_burst() -> None:
    """B04: the reader yields, so that 20,000 frames in one go pass a lane of 100."""
    rt, peer, seen, lags = Realtime(), Peer(), [], []
    rt.on("handler.lagging", lags.append)

    @rt.on("response.text.delta", max_pending=100)
    async def keeps_up(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(event.delta)

    async with asyncio.timeout(30), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*map(delta, range(20_000)))
        await session.wait_for("response.text.delta", when=lambda e: e.delta == "19999")
        while len(seen) < 20_000 and not session.is_closed:
            await asyncio.sleep(0)
    assert seen == [str(n) for n in range(20_000)]
    assert all(lag.dropped == 0 for lag in lags)


async def test_latest_keeps_only_the_newest_waiting_event() -> None:
    rt, peer, seen, gate = Realtime(), Peer(), [], asyncio.Event()

    @rt.on("response.text.delta", delivery="latest")
    async def show(event: Any) -> None:
        seen.append(event.delta)
        await gate.wait()

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(delta(1))
        while not seen:
            await asyncio.sleep(0)
        peer.say(*map(delta, range(2, 9)))
        await session.wait_for("response.text.delta", when=lambda e: e.delta == "8")
        gate.set()
    assert seen == ["1", "8"]


async def test_concurrent_delivery_lets_events_overtake_each_other() -> None:
    rt, peer, seen, gate = Realtime(), Peer(), [], asyncio.Event()

    @rt.on("response.text.delta", delivery="concurrent")
    async def show(event: Any) -> None:
        if event.delta == "0":
            await gate.wait()
        seen.append(event.delta)

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        peer.say(*map(delta, range(5)))
        while len(seen) < 4:
            await asyncio.sleep(0)
        assert seen == ["1", "2", "3", "4"]
        gate.set()
    assert seen[-1] == "0"


async def test_inline_runs_on_the_reader_before_the_next_event_is_read() -> None:
    rt, peer, order = Realtime(), Peer(), []
    rt.on("response.text.delta", lambda event: order.append(("inline", event.delta)), delivery="inline")
    rt.on("event.unknown", lambda event: order.append(("inline", event.type)), delivery="inline")
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(delta(1), {"type": "brand.new"}, delta(2))
        await session.wait_for("response.text.delta", when=lambda e: e.delta == "2")
        assert order == [("inline", "1"), ("inline", "brand.new"), ("inline", "2")]


async def test_thread_delivery_keeps_order_and_leaves_the_loop_alone() -> None:
    import threading

    rt, peer, seen = Realtime(), Peer(), []

    @rt.on("response.text.delta", delivery="thread")
    def work(event: Any) -> None:
        seen.append((event.delta, threading.current_thread() is threading.main_thread()))

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        peer.say(*map(delta, range(5)))
        while len(seen) < 5:
            await asyncio.sleep(0)
    assert seen == [(str(n), False) for n in range(5)]


async def test_middlewares_wrap_handlers_the_first_one_outermost() -> None:
    rt, peer, order = Realtime(), Peer(), []

    @rt.use
    async def outer(event: Any, session: Any, call_next: Any) -> None:
        order.append("outer in")
        await call_next(event)
        order.append("outer out")

    @rt.use
    async def inner(event: Any, session: Any, call_next: Any) -> None:
        order.append("inner")
        await call_next(event)

    rt.on("response.text.delta", lambda event: order.append(event.delta))
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        peer.say(delta(1))
        while len(order) < 4:
            await asyncio.sleep(0)
    assert order[:4] == ["outer in", "inner", "1", "outer out"]


async def test_a_session_can_be_asked_for_by_any_kind_of_handler() -> None:
    rt, peer, seen = Realtime(), Peer(), []

    class Bot:
        async def method(self, event: Any, session: Any) -> None:
            seen.append(("method", session.id))

        def __call__(self, event: Any, session: Any) -> None:
            seen.append(("object", session.id))

    bot = Bot()
    rt.on("response.text.delta", bot.method)
    rt.on("response.text.delta", bot)
    rt.on("response.text.delta", lambda event, session: seen.append(("lambda", session.id)))
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        peer.say(delta(1))
        while len(seen) < 3:
            await asyncio.sleep(0)
    assert sorted(seen) == [("lambda", "sess_memory"), ("method", "sess_memory"), ("object", "sess_memory")]


async def test_a_frame_can_be_had_beside_its_event_and_only_by_name() -> None:
    """The raw frame keeps what the structs do not know, so that a relay loses nothing."""
    rt, peer, frames, everything = Realtime(), Peer(), [], []
    rt.on(FrameReceived, frames.append)
    rt.on("*", everything.append)
    raw = b'{"type":"response.output_text.delta","response_id":"r","item_id":"i","delta":"x","brand_new":{"a":1}}'
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        frames.clear()
        peer.say(raw, {"type": "brand.new"})
        await session.wait_for("event.unknown")
    assert [frame.data for frame in frames] == [raw, b'{"type":"brand.new"}']
    assert frames[0].event.delta == "x" and isinstance(frames[1].event, UnknownEvent)
    assert not [event for event in everything if isinstance(event, FrameReceived)]


async def test_in_debug_mode_the_log_shows_the_handler_to_paste_in(caplog: pytest.LogCaptureFixture) -> None:
    """B07: once for each event that has a handler nowhere."""
    caplog.set_level(logging.DEBUG, logger="realtime_events")
    rt, peer = Realtime(), Peer()
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(delta(1), delta(2), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
    hints = [r.getMessage() for r in caplog.records if '@rt.on("response.output_text.delta")' in r.getMessage()]
    assert len(hints) == 1
    assert "async def on_response_output_text_delta(event: ResponseOutputTextDelta)" in hints[0]


async def test_an_error_that_nobody_listens_to_is_logged_once_and_closes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rt, peer = Realtime(), Peer()
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(ErrorEvent(error=ErrorDetails(type="server_error", code="oops", message="it broke")), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        assert not session.is_closed
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "oops" in record.getMessage() and "it broke" in record.getMessage()


async def test_ten_minutes_of_audio_against_a_stalled_handler_stay_under_a_set_bound() -> None:
    """B04: 6,000 deltas of 100 ms are 29 MB; the lane holds its thousand, 4.8 MB, and counts the rest."""
    rt, peer, gate, lags = Realtime(), Peer(), asyncio.Event(), []
    rt.on("handler.lagging", lags.append)

    @rt.on("response.output_audio.delta")
    async def stuck(event: Any) -> None:
        await gate.wait()

    frame = b'{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"' + b"A" * 6400 + b'"}'
    async with asyncio.timeout(30), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        tracemalloc.start()
        for _ in range(12):
            peer.say(*[frame] * 500)
            peer.say(SPEECH)
            await session.wait_for("input_audio_buffer.speech_started")
        held_bytes, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gate.set()
        await session.wait_for("handler.lagging")
    assert held_bytes < 7_000_000
    assert lags[-1].dropped == 6_000 - 1_000 - 1


@pytest.mark.parametrize("delivery", ["ordered", "stream"])
async def test_a_queue_is_bounded_by_the_bytes_of_its_deltas_too(delivery: Any) -> None:
    """B04: 900 deltas of 200 kB are 180 MB; 41 of them are 8 MiB. The oldest go, counted, and everything else stays."""
    rt, peer, gate, seen, lags = Realtime(), Peer(), asyncio.Event(), list[Any](), []
    rt.on("handler.lagging", lags.append)

    async def stuck(event: Any) -> None:
        await gate.wait()
        seen.append(getattr(event, "item_id", "") if isinstance(event, ResponseOutputAudioDelta) else event.type)

    heard = ("response.output_audio.delta", "input_audio_buffer.speech_stopped")
    if delivery != "stream":
        rt.on(*heard, delivery=delivery)(stuck)
    async with asyncio.timeout(30), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        waiting = session.stream(*heard)
        if delivery != "stream":
            await waiting.aclose()
        tracemalloc.start()
        audio = ResponseOutputAudioDelta(response_id="r", item_id="", delta=b"\0" * 200_000)
        for number in range(90):
            events = [msgspec.structs.replace(audio, item_id=str(10 * number + n)) for n in range(10)]
            peer.say(InputAudioBufferSpeechStopped(item_id="i", audio_end_ms=1), *events, SPEECH)
            await session.wait_for("input_audio_buffer.speech_started")
        held_bytes, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gate.set()
        if delivery == "stream":
            while len(seen) < 90 + 41:
                await stuck(await anext(waiting))
        while seen.count("input_audio_buffer.speech_stopped") < 90 or seen[-1] != "899":
            await asyncio.sleep(0)
        assert session._dispatcher.dropped_deltas in (900 - 41, 900 - 42)
    assert held_bytes < 12_000_000
    ids = [int(one) for one in seen if one.isdigit()]
    assert ids[-41:] == list(range(859, 900)) and len(ids) <= 42
    assert lags[0].dropped == 0 and sum(lag.dropped for lag in lags) in (900 - 41, 900 - 42)


async def test_a_handler_that_keeps_up_with_heavy_audio_loses_nothing() -> None:
    """B04: the reader yields when a lane gets heavy; a delta that is heavier than the bound alone is whole."""
    rt, peer, sizes = Realtime(), Peer(), list[int]()

    @rt.on("response.output_audio.delta")
    async def keeps_up(event: Any) -> None:
        await asyncio.sleep(0)
        sizes.append(len(event.delta))

    audio = ResponseOutputAudioDelta(response_id="r", item_id="i", delta=b"\0" * 1_000_000)
    async with asyncio.timeout(30), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*[audio] * 40)
        while len(sizes) < 40 and not session._dispatcher.dropped_deltas:
            await asyncio.sleep(0)
        peer.say(msgspec.structs.replace(audio, delta=b"\0" * 9_000_000))
        while len(sizes) < 41 and not session._dispatcher.dropped_deltas:
            await asyncio.sleep(0)
    assert sizes == [1_000_000] * 40 + [9_000_000]


async def test_on_request_a_heavy_lane_ends_the_session() -> None:
    """B04: `on_full="close"`."""
    rt, peer, gate = Realtime(), Peer(), asyncio.Event()

    @rt.on("response.output_audio.delta")
    async def stuck(event: Any) -> None:
        await gate.wait()

    audio = ResponseOutputAudioDelta(response_id="r", item_id="i", delta=b"\0" * 1_000_000)
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, on_full="close") as session:
        peer.say(*[audio] * 20)
        ending = await session.wait_closed()
        gate.set()
    assert ending.code == 1011 and "stuck" in ending.reason and "bytes of unhandled audio" in ending.reason


# ── failures of every kind, and the end ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["async", "plain", "inline", "when", "middleware"])
async def test_a_handler_that_raises_a_cancellation_of_its_own_is_reported_and_its_lane_goes_on(kind: str) -> None:
    """B02: a cancelled future that a handler looks at is not the handler's own end, nor the reader's."""
    rt, peer, seen, failures = Realtime(), Peer(), [], []
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()

    def plain(event: Any) -> None:
        seen.append(event.delta)
        if event.delta == "0":
            gone.result()

    async def by_await(event: Any) -> None:
        seen.append(event.delta)
        if event.delta == "0":
            await gone

    async def middleware(event: Any, session: Any, call_next: Any) -> None:
        await by_await(event)

    if kind == "middleware":
        rt.use(middleware)
    else:
        rt.on("handler.failed", failures.append)
    handler = by_await if kind == "async" else plain
    if kind == "when":
        rt.on("response.text.delta", lambda event: None, when=plain)
    else:
        rt.on("response.text.delta", handler, delivery="inline" if kind == "inline" else "ordered")
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*map(delta, range(3)), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        assert not session.is_closed
    assert seen == ["0", "1", "2"]
    assert [type(failure.error) for failure in failures] == ([] if kind == "middleware" else [asyncio.CancelledError])


async def test_a_handler_that_swallows_its_cancellation_is_given_no_further_event() -> None:
    """B40: a closed session handles nothing any more, however its handlers behave."""
    rt, peer, seen = Realtime(), Peer(), []

    @rt.on("response.text.delta")
    async def stubborn(event: Any) -> None:
        seen.append(event.delta)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        async with rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
            peer.say(*map(delta, range(3)), SPEECH)
            await session.wait_for("input_audio_buffer.speech_started")
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0)
    assert seen == ["0"]


async def test_what_handlers_cause_while_the_session_closes_is_handled_too() -> None:
    """B40: half a second of grace is for the lanes that start in it as well."""
    rt, peer, seen = Realtime(), Peer(), []

    @rt.on("connection.closed")
    async def say_goodbye(event: Any, session: Any) -> None:
        await asyncio.sleep(0)
        session.emit("app.goodbye", event.code)
        raise ValueError("late")

    @rt.on("app.goodbye", "handler.failed")
    async def note(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        pass
    assert seen[0] == 1000 and isinstance(seen[1], HandlerFailed)
    assert session.emit("app.goodbye", 1) is False
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_lane_that_overflows_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """B52: what still arrives until the connection has ended fills no log."""
    rt, peer = Realtime(), Peer()

    @rt.on("input_audio_buffer.speech_started", max_pending=10)
    async def stuck(event: Any) -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*[SPEECH] * 500)
        await session.wait_closed()
    assert sum("is full" in record.getMessage() for record in caplog.records) == 1


async def test_in_a_thread_a_handler_may_raise_whatever_it_likes() -> None:
    """B02."""
    rt, peer, failures = Realtime(), Peer(), []
    rt.on("handler.failed", failures.append)

    def empty(event: Any) -> None:
        next(iter(()))

    rt.on("response.text.delta", empty, delivery="thread")
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        peer.say(*map(delta, range(3)))
    assert [type(failure.error) for failure in failures] == [RuntimeError] * 3


async def test_a_lambda_around_a_coroutine_is_awaited_and_its_failure_is_reported() -> None:
    """B02: with a middleware and without; the lane goes on with the next event."""
    for middlewares in (0, 1):
        rt, peer, seen, failures = Realtime(), Peer(), [], []

        async def through(event: Any, session: Any, call_next: Any) -> None:
            await call_next(event)

        async def handle(event: Any, seen: list[str] = seen) -> None:
            await asyncio.sleep(0)
            seen.append(event.delta)
            if event.delta == "0":
                raise ValueError("boom")

        for _ in range(middlewares):
            rt.use(through)
        rt.on("response.text.delta", lambda event, handle=handle: handle(event))
        rt.on("handler.failed", failures.append, delivery="inline")
        async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
            peer.say(delta(0), delta(1))
            while len(seen) < 2:
                await asyncio.sleep(0)
        assert [(str(failure.error), failure.event.delta) for failure in failures] == [("boom", "0")]


async def test_a_lambda_whose_coroutine_never_ends_is_cancelled_with_the_session() -> None:
    """B40: that is the end of the session, and no failure of the handler."""
    rt, peer, failures = Realtime(), Peer(), []
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def for_ever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    rt.on("response.text.delta", lambda event: for_ever())
    rt.on("handler.failed", failures.append, delivery="inline")
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        peer.say(delta(0))
        await begun.wait()
    assert cancelled.is_set() and not failures


@pytest.mark.parametrize("where", ["handler", "when", "stream", "wait"])
async def test_the_end_of_the_program_is_no_failure_of_whoever_raises_it(where: str) -> None:
    """B02: `SystemExit` goes through, whoever of the application's code raises it."""
    failures: list[Any] = []
    rt = Realtime()
    rt.on("handler.failed", failures.append, delivery="inline")

    def leave(event: Any) -> None:
        raise SystemExit(3)

    lanes = Dispatcher(rt, None, overflow=lambda _: None)
    keeper: list[Any] = []
    if where == "handler":
        rt.on("response.text.delta", leave, delivery="inline")
    elif where == "when":
        rt.on("response.text.delta", print, when=leave)
    elif where == "stream":
        keeper.append(lanes.subscribe(("response.output_text.delta",), leave, 10))
    else:
        keeper.append(asyncio.ensure_future(lanes.wait_for(("response.output_text.delta",), leave, 5.0)))
        await asyncio.sleep(0)
    with pytest.raises(SystemExit):
        lanes.publish(delta(0))
    lanes.end_waits(RuntimeError("over"))
    await asyncio.gather(*(task for task in keeper if isinstance(task, asyncio.Future)), return_exceptions=True)
    assert not failures


async def test_a_slow_handler_of_slowness_is_not_reported_and_without_listeners_the_log_tells(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """B03: no report of a report; what nobody listens to is a warning with file and line."""
    rt, clock, slow = Realtime(), [0.0], []
    lanes = Dispatcher(rt, None, overflow=lambda _: None, clock=lambda: clock[0])

    def block(event: Any) -> None:
        clock[0] += 1.0
        if isinstance(event, HandlerSlow):
            slow.append(event)

    rt.on("response.text.delta", block, delivery="inline")
    with caplog.at_level(logging.WARNING, logger="realtime_events.handlers"):
        lanes.publish(delta(0))
    assert "kept the loop for 1000 ms" in caplog.text and "test_delivery.py:" in caplog.text
    caplog.clear()
    rt.on("handler.slow", block, delivery="inline")
    lanes.publish(delta(1))
    assert [event.event.delta for event in slow] == ["1"] and not caplog.text


async def test_who_follows_is_brought_its_events_until_it_is_let_go_and_twice_is_fine() -> None:
    """B06."""
    lanes = Dispatcher(Realtime(), None, overflow=lambda _: None)
    wait = Wait(lanes, ("response.output_text.delta",), None)
    let_go = lanes.follow(wait)
    let_go()
    let_go()
    lanes.publish(delta(0))
    assert not wait.future.done()


async def test_a_predicate_of_a_wait_that_raises_what_a_future_cannot_hold_is_named() -> None:
    """B06: nobody waits for ever, and no iteration ends by it."""
    lanes = Dispatcher(Realtime(), None, overflow=lambda _: None)
    waiting = asyncio.ensure_future(lanes.wait_for(("response.output_text.delta",), lambda _: next(iter(())), 5.0))
    await asyncio.sleep(0)
    lanes.publish(delta(0))
    with pytest.raises(RuntimeError, match="the predicate of a wait raised StopIteration"):
        await waiting


async def test_what_comes_from_a_thread_is_refused_with_what_to_call_instead() -> None:
    """B17: not even half of it is done."""
    rt, peer = Realtime(), Peer()
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        sending = session.send_audio(bytes(960))
        with pytest.raises(LocalProtocolError, match="run_coroutine_threadsafe"):
            await asyncio.to_thread(sending.send, None)
    assert not peer.sent
