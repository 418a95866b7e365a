"""The benchmarks' own arithmetic, and that a client which misses something fails its run."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from itertools import accumulate
from types import ModuleType

import pytest

from benchmarks import report
from benchmarks.bars import Verdict, median, verdicts
from benchmarks.calls import Caller, appends, quantile, tally
from benchmarks.clients import Tally, floor, recorded, recorded_audio, recorded_gz
from benchmarks.frames import PLACEHOLDER, Traffic, pieces, response_frames, stamp, text_frame
from benchmarks.measure import flatness
from benchmarks.scenarios import SCENARIOS
from benchmarks.schedule import Runs, rotated
from benchmarks.server import Connection, Script

TRAFFIC = [Traffic("text", responses=2, deltas=30), Traffic("audio", responses=2, deltas=5, delta_ms=20)]


def runs(**values: list[float]) -> Runs:
    return {client: [{"us": value, "kb": value, "ms": value} for value in each] for client, each in values.items()}


@asynccontextmanager
async def serving(traffic: Traffic) -> AsyncIterator[str]:
    script = Script(traffic)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(script, reader, writer).serve()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"


@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda traffic: traffic.kind)
async def test_the_floor_hears_exactly_what_the_server_sent(traffic: Traffic) -> None:
    tally = Tally(traffic)
    async with asyncio.timeout(10), serving(traffic) as url, floor.Client(url, tally) as app, app.session() as live:
        await live.respond()
        await live.respond()
    assert (tally.deltas, tally.payload, tally.responses) == (2 * traffic.events, 2 * traffic.payload, 4)


async def test_the_server_goes_on_after_a_call_once_it_has_the_output_of_the_tool() -> None:
    traffic = Traffic("text", responses=2, deltas=1, tool=True)
    tally = Tally(traffic)
    async with asyncio.timeout(10), serving(traffic) as url, floor.Client(url, tally) as app, app.session() as live:
        await live.respond()
        await live.respond()
    assert (tally.deltas, tally.responses) == (4, 4)


async def test_the_server_tells_how_long_the_outputs_of_a_tool_took() -> None:
    traffic = Traffic("text", responses=2, deltas=1, tool=True)
    tally = Tally(traffic)
    async with asyncio.timeout(10), serving(traffic) as url, floor.Client(url, tally) as app, app.session() as live:
        await live.respond()
        await live.commit()
    median_us, p99_us = map(int, (await tally.committed).removeprefix("item_").split("_"))
    assert 0 < median_us == p99_us < 10_000_000


async def test_the_server_tells_how_many_pieces_of_audio_it_got() -> None:
    tally = Tally(TRAFFIC[1])
    async with asyncio.timeout(10), serving(TRAFFIC[1]) as url, floor.Client(url, tally) as app, app.session() as live:
        for _ in range(3):
            await live.append(b"\0" * 70_000)
        await live.commit()
    assert await tally.committed == "item_3"


@pytest.mark.parametrize("recording", [recorded, recorded_gz, recorded_audio], ids=lambda module: module.__name__)
@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda traffic: traffic.kind)
@pytest.mark.parametrize("missed", [0, 1])
async def test_a_run_that_records_fails_if_its_tape_misses_a_delta(
    traffic: Traffic, recording: ModuleType, missed: int
) -> None:
    tally = Tally(traffic)
    expected = pytest.raises(AssertionError, match="on the tape") if missed else nullcontext()
    with expected:
        await recorded_run(recording, traffic, tally, missed)
    assert tally.deltas == traffic.events + missed


async def recorded_run(recording: ModuleType, traffic: Traffic, tally: Tally, missed: int) -> None:
    async with asyncio.timeout(10), serving(traffic) as url, recording.Client(url, tally) as app:
        async with app.session() as live:
            await live.respond()
        tally.deltas += missed


def test_recording_is_held_against_the_same_without_a_tape() -> None:
    (verdict,) = verdicts({"record_text": runs(realtime_events=[2.0, 2.0], recorded=[2.5, 2.5])})
    assert (verdict.value, verdict.passed) == (1.25, False)


@pytest.mark.parametrize("spoil", ["one too many", "one too short", "a complaint"])
async def test_a_run_fails_if_a_client_did_not_hear_what_was_sent(spoil: str) -> None:
    tally = Tally(Traffic("text", responses=1, deltas=3))
    heard = {"one too many": 4, "one too short": 3, "a complaint": 3}[spoil]
    for delta in pieces(Traffic("text", deltas=heard)):
        tally.heard(delta[1:] if spoil == "one too short" else delta)
    if spoil == "a complaint":
        tally.failed("not understood")
    tally.response_done()
    with pytest.raises(AssertionError):
        await tally.settled()


async def test_a_run_waits_for_a_handler_that_is_later_than_the_end_of_the_response() -> None:
    tally = Tally(Traffic("text", responses=1, deltas=1))
    tally.response_done()
    (delta,) = pieces(tally.traffic)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        settled = group.create_task(tally.settled())
        await asyncio.sleep(0)
        assert not settled.done()
        tally.heard(delta)


def test_stamping_changes_the_ids_of_a_response_and_no_length() -> None:
    frames = response_frames(TRAFFIC[0])
    stamped = [stamp(frame, 7) for frame in frames]
    assert [len(frame) for frame in stamped] == [len(frame) for frame in frames]
    assert not any(PLACEHOLDER.encode() in frame for frame in stamped)
    first = json.loads(stamped[0][4:])
    assert (first["type"], first["response"]["id"]) == ("response.created", "resp_bench_000007")


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f" + struct.pack("!Q", 65536)),
    ],
)
def test_a_text_frame_has_the_shortest_head_for_its_size(size: int, head: bytes) -> None:
    assert text_frame(b"x" * size) == head + b"x" * size


def test_flatness_compares_medians_so_that_one_slow_window_says_nothing() -> None:
    spent_s = [0.005, 0.001, 0.001, 0.001, 0.002, 0.002, 0.002, 0.009]
    numbers = flatness(list(accumulate(spent_s, initial=1.0)), windows=3)
    assert numbers == pytest.approx({"us_first": 1.0, "us_last": 2.0, "last_over_first": 2.0})


def test_every_client_has_every_place_in_the_order_once() -> None:
    clients = ("a", "b", "c")
    assert [rotated(clients, by) for by in range(4)] == [
        ("a", "b", "c"),
        ("b", "c", "a"),
        ("c", "a", "b"),
        ("a", "b", "c"),
    ]


def test_a_bar_from_above_and_one_from_below_say_how_far_off_they_are() -> None:
    met, missed = Verdict("it", "at most 2 ×", 1.5, 2.0), Verdict("it", "at least 20 ×", 15.0, 20.0, at_least=True)
    assert (met.passed, met.margin) == (True, 0.25)
    assert (missed.passed, missed.margin) == (False, -0.25)


def test_a_burst_is_held_against_the_floor_and_against_the_cheaper_way_of_the_sdk() -> None:
    measured = runs(floor=[1.0, 9.0, 2.0], realtime_events=[3.0], openai_on=[90.0], openai_iterate=[60.0])
    assert median(measured, "floor", "us") == 2.0
    above_floor, below_openai = verdicts({"text_burst": measured})
    assert (above_floor.value, above_floor.passed) == (1.5, True)
    assert (below_openai.value, below_openai.passed) == (20.0, True)


def test_an_idle_session_may_cost_ten_kilobytes_on_top_of_its_share() -> None:
    (verdict,) = verdicts({"idle_memory": runs(floor=[10.0], realtime_events=[23.5])})
    assert (verdict.limit, verdict.passed) == (23.0, False)


def test_a_bar_without_both_its_sides_is_left_out() -> None:
    assert verdicts({"text_burst": runs(floor=[1.0]), "idle_memory": runs(realtime_events=[1.0])}) == []


def test_the_page_names_the_machine_and_says_by_how_much_a_bar_is_missed() -> None:
    scenarios = {"audio_burst": runs(floor=[10.0, 10.0], realtime_events=[15.0, 15.0])}
    results = {"machine": {"CPU": "one of many"}, "date": "2026-01-01", "quick": False, "repetitions": 2}
    page = report.page({**results, "scenarios": scenarios})
    assert "CPU one of many" in page
    assert f"| {SCENARIOS['audio_burst'].title} | at most 1.2 × the floor | 1.50 × | **miss by 25%** |" in page
    assert "| floor | 10.00 | 10.00 – 10.00 | 0.67 |" in page


def test_a_piece_of_audio_is_late_by_what_it_lags_behind_the_most_timely_one_of_its_response() -> None:
    caller = Caller((), 0.0, arrivals_s=[[], [1.0, 1.1, 1.25, 1.3], [9.03, 9.1]])
    assert caller.late_ms() == pytest.approx([0, 0, 50, 0, 30, 0])


def test_the_end_of_speech_is_noticed_after_the_audio_that_shows_it_was_sent() -> None:
    caller = Caller((), 0.0, sent_s=[0.0, 0.1, 0.2], stopped=[(200, 0.11), (201, 0.25)])
    assert caller.noticed_ms() == pytest.approx([10, 50])


@pytest.mark.parametrize("heard", [([0.0, 0.1, 0.2, 0.3], []), ([0.0, 0.1], [(100, 0.1)])])
def test_a_load_that_was_not_carried_fails_the_run(heard: tuple[list[float], list[tuple[int, float]]]) -> None:
    arrivals_s, stopped = heard
    with pytest.raises(AssertionError):
        tally([Caller((), 0.0, arrivals_s=[arrivals_s], sent_s=[0.0], stopped=stopped)], 0.4)


def test_audio_is_sent_in_pieces_of_one_length() -> None:
    sizes = [len(base64.b64decode(json.loads(event)["audio"])) for event in appends(b"\1" * 2_000, 20)]
    assert sizes == [960, 960, 960]


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert [quantile([4.0, 1.0, 3.0, 2.0], part) for part in (0.01, 0.5, 0.51, 1.0)] == [1.0, 2.0, 3.0, 4.0]


def test_tools_are_held_against_the_bars_of_their_issue() -> None:
    measured = {"tool_schemas": runs(realtime_events=[120.0]), "tool_parallel": runs(realtime_events=[104.0])}
    schemas, parallel = verdicts(measured)
    assert (schemas.passed, schemas.limit, parallel.passed, parallel.limit) == (False, 100.0, True, 115.0)


def test_the_simulator_is_held_against_the_bars_of_its_issue() -> None:
    measured = {"p50_ms": 120.0, "p95_ms": 260.0}
    half, most = verdicts({"local_latency": {"realtime_events": [measured]}})
    assert (half.passed, most.passed, most.limit) == (True, False, 250.0)
