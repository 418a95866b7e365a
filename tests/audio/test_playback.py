"""What was really heard: by a player's word, or by a clock that is never ahead of what was received."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio.playback import MAX_TRACKS, Cut, Playback
from realtime_events.exceptions import ConfigurationError

PCM = 48  # bytes of a millisecond


def playback_of(*pieces: tuple[float, str, int]) -> Playback:
    """Give a playback after pieces of (time in seconds, item, milliseconds), all of one response."""
    playback = Playback()
    for now, item_id, ms in pieces:
        playback.begin(item_id, "resp_1", PCM, now).add(ms * PCM, now)
    return playback


def cut(item_id: str, audio_end_ms: int) -> Cut:
    return Cut(item_id=item_id, response_id="resp_1", audio_end_ms=audio_end_ms)


# Without a player.


def test_an_item_is_heard_in_real_time_from_its_first_audio_on() -> None:
    """B23."""
    playback = playback_of((10.0, "a", 500))
    assert [playback.position_ms("a", now) for now in (10.0, 10.1, 10.3, 10.5, 99.0)] == [0, 100, 300, 500, 500]
    assert playback.started_s("a") == 10.0
    assert [playback.is_playing(now) for now in (10.0, 10.4, 10.6)] == [True, True, False]
    assert playback.until_idle_s(10.2) == pytest.approx(0.3) and playback.until_idle_s(11.0) == 0


def test_an_item_waits_until_the_one_before_it_has_been_heard() -> None:
    """B23."""
    playback = playback_of((10.0, "a", 500), (10.1, "b", 200))
    assert playback.position_ms("b", 10.5) == 0 and playback.position_ms("b", 10.6) == 100
    assert playback.started_s("b") == pytest.approx(10.5)
    playing = [playback.playing(now) for now in (10.2, 10.6, 10.8)]
    assert [track.item_id if track is not None else None for track in playing] == ["a", "b", None]


def test_the_position_stands_still_while_the_audio_has_run_out() -> None:
    """B23: after an underrun it goes on from where it stopped, so it is never ahead."""
    playback = playback_of((10.0, "a", 100), (12.0, "a", 100))
    assert [playback.position_ms("a", now) for now in (12.0, 12.05, 12.1, 13.0)] == [100, 150, 200, 200]
    assert playback.started_s("a") == 10.0


def test_a_piece_without_audio_begins_nothing() -> None:
    playback = playback_of((10.0, "a", 0), (12.0, "a", 100))
    assert playback.started_s("a") == 12.0 and playback.position_ms("a", 12.04) == pytest.approx(40)


def test_a_coarse_clock_never_moves_the_position_back() -> None:
    """B23: seconds since 1970 as a float are good to a quarter of a microsecond only."""
    playback, last = Playback(), 0.0
    track = playback.begin("a", "resp_1", PCM, 1.7e9)
    for number in range(500):
        now = 1.7e9 + number * 0.0137
        track.add(334, now)
        position = track.position_ms(now)
        assert last <= position
        last = max(last, position, track.position_ms(now + 0.0136))


def test_audio_in_turns_is_heard_in_the_order_in_which_it_came() -> None:
    playback = playback_of((0.0, "a", 100), (0.0, "b", 100), (0.0, "a", 100))
    heard = [(playback.position_ms("a", now), playback.position_ms("b", now)) for now in (0.05, 0.15, 0.25, 0.3)]
    assert heard == [(50, 0), (100, 50), (150, 100), (200, 100)]


def test_an_item_that_is_not_known_has_neither_position_nor_audio() -> None:
    playback = Playback()
    assert playback.position_ms("x", 1.0) == playback.received_ms("x") == 0
    assert playback.started_s("x") is None
    playback.done("x")
    assert not playback.is_playing(1.0) and playback.interrupt(1.0) == []


# Interrupting.


def test_an_interruption_cuts_where_it_was_heard_and_what_waits_at_zero() -> None:
    """B22."""
    playback = playback_of((10.0, "a", 500), (10.1, "b", 200), (10.1, "c", 200))
    assert playback.interrupt(10.1234) == [cut("a", 123), cut("b", 0), cut("c", 0)]
    assert not playback.is_playing(10.1234) and playback.until_idle_s(10.1234) == 0
    assert playback.interrupt(10.2) == []


def test_an_item_heard_to_its_end_is_not_cut() -> None:
    """B22: nothing is sent if all was played; but of an item that still goes on, it is where it stopped."""
    playback = playback_of((10.0, "a", 500))
    assert playback_of((10.0, "a", 500)).interrupt(11.0) == [cut("a", 500)]
    playback.done("a")
    assert playback.interrupt(11.0) == []
    assert playback.position_ms("a", 11.0) == 500


def test_an_item_that_goes_on_after_its_end_is_cut_like_any_other() -> None:
    """B22."""
    playback = playback_of((10.0, "a", 100))
    playback.done("a")
    playback.begin("b", "resp_1", PCM, 11.0)
    playback.begin("a", "resp_1", PCM, 12.0).add(100 * PCM, 12.0)
    assert playback.interrupt(12.5) == [cut("a", 200)]


def test_the_item_being_heard_is_the_first_of_the_cuts() -> None:
    """B22: even if one before it ran out and may still go on."""
    playback = playback_of((10.0, "a", 100), (10.2, "b", 200))
    assert playback.interrupt(10.25) == [cut("b", 50), cut("a", 100)]


def test_audio_that_comes_after_the_cut_is_received_and_never_heard() -> None:
    """B22."""
    playback = Playback()
    track = playback.begin("a", "resp_1", PCM, 10.0)
    track.add(500 * PCM, 10.0)
    playback.interrupt(10.2)
    track.add(500 * PCM, 10.3)
    playback.begin("a", "resp_1", PCM, 10.4).add(500 * PCM, 10.4)
    assert track.is_cut and track.received_ms == playback.received_ms("a") == 1500
    assert playback.position_ms("a", 99.0) == 200
    assert not playback.is_playing(10.4) and playback.interrupt(10.5) == []


def test_the_next_item_after_an_interruption_is_heard_at_once() -> None:
    """B22."""
    playback = playback_of((10.0, "a", 60_000))
    playback.interrupt(10.2)
    playback.begin("b", "resp_2", PCM, 10.5).add(100 * PCM, 10.5)
    assert playback.position_ms("b", 10.55) == pytest.approx(50)
    assert [one.audio_end_ms for one in playback.interrupt(10.56)] == [60]


def test_an_item_without_audio_is_not_cut() -> None:
    """B22: there is nothing to truncate."""
    playback = Playback()
    playback.begin("a", "resp_1", PCM, 10.0)
    assert playback.interrupt(10.0) == []


# With a player.


def test_a_players_word_replaces_the_clock() -> None:
    """B23: in milliseconds or bytes, never more than was received, and back only by a new report."""
    playback = playback_of((10.0, "a", 500))
    assert not playback.has_player
    playback.played("a", ms=120.5)
    assert playback.has_player and playback.position_ms("a", 99.0) == 120.5
    playback.played("a", bytes_=300 * PCM)
    assert playback.position_ms("a", 10.0) == 300 and playback.until_idle_s(99.0) == pytest.approx(0.2)
    playback.played("a", ms=9_000)
    assert playback.position_ms("a", 10.0) == 500 and not playback.is_playing(10.0)
    playback.played("a", ms=80)
    assert playback.position_ms("a", 99.0) == 80 and playback.is_playing(99.0)
    assert playback.interrupt(99.0) == [cut("a", 80)]


def test_what_a_player_has_not_reported_was_not_heard() -> None:
    """B23."""
    playback = playback_of((10.0, "a", 500), (10.0, "b", 500))
    playback.played("a", ms=100)
    assert playback.interrupt(99.0) == [cut("a", 100), cut("b", 0)]


def test_a_player_that_is_in_an_item_is_through_with_those_before_it() -> None:
    """B22, B23."""
    playback = playback_of((10.0, "a", 500), (10.0, "b", 500))
    playback.done("a")
    playback.played("a", ms=480)
    playback.played("b", ms=0)
    assert playback.position_ms("a", 11.0) == 480
    playback.played("b", ms=20, now=11.0)
    assert playback.position_ms("a", 11.0) == 500
    assert playback.interrupt(11.0) == [cut("b", 20)]


def test_what_was_heard_before_the_player_spoke_up_stays_heard() -> None:
    """B23."""
    playback = playback_of((10.0, "a", 100))
    playback.done("a")
    playback.begin("b", "resp_1", PCM, 11.0).add(100 * PCM, 11.0)
    playback.played("b", ms=10)
    assert playback.position_ms("a", 11.0) == 100


def test_a_player_tells_when_an_item_began_to_be_heard() -> None:
    """B23: captions need it."""
    playback = playback_of((10.0, "a", 500))
    playback.played("a", ms=500, now=10.9)
    track = playback.begin("b", "resp_1", PCM, 11.0)
    track.add(500 * PCM, 11.0)
    assert track.started_s is None
    playback.played("b", ms=100, now=11.4)
    assert track.started_s == playback.started_s("b") == pytest.approx(11.3)


def test_a_players_first_word_corrects_when_its_item_began() -> None:
    """B23: until then the clock was believed, which knows nothing of a player's delay."""
    playback = playback_of((10.0, "a", 500))
    assert playback.started_s("a") == 10.0
    playback.played("a", ms=0, now=10.02)
    playback.played("a", ms=20, now=10.06)
    assert playback.started_s("a") == pytest.approx(10.04)


def test_a_player_that_counts_whole_milliseconds_can_report_the_end() -> None:
    """B22: 20.83 ms were received, 20 reported; that is all of it."""
    playback = Playback()
    playback.begin("a", "resp_1", PCM, 10.0).add(1000, 10.0)
    playback.done("a")
    playback.played("a", ms=20)
    assert not playback.is_playing(10.0) and playback.interrupt(10.0) == []


def test_a_report_on_an_item_that_is_not_known_is_ignored() -> None:
    """B23: late reports on an item that was cut are usual."""
    playback = playback_of((10.0, "a", 500))
    playback.played("y", ms=100)
    assert playback.has_player
    playback.played("a", ms=100)
    playback.interrupt(10.2)
    playback.played("a", ms=400)
    playback.played("x", ms=400)
    assert playback.position_ms("a", 10.2) == 100 and playback.position_ms("x", 10.2) == 0


@pytest.mark.parametrize(
    ("position", "named"),
    [
        ({}, "ms=None and bytes_=None"),
        ({"ms": 1, "bytes_": 48}, "ms=1 and bytes_=48"),
        ({"ms": -1}, "-1"),
        ({"ms": math.nan}, "nan"),
        ({"ms": math.inf}, "inf"),
        ({"bytes_": -48}, "-48"),
    ],
)
def test_a_position_that_is_none_is_refused(position: dict[str, Any], named: str) -> None:
    """B23: and changes nothing."""
    playback = playback_of((10.0, "a", 500))
    with pytest.raises(ConfigurationError, match=named):
        playback.played("a", **position)
    assert not playback.has_player and playback.position_ms("a", 10.1) == pytest.approx(100)


# For long.


@pytest.mark.parametrize("with_player", [False, True])
def test_memory_stays_flat_over_ten_thousand_items(with_player: bool) -> None:
    """B24: whether they are finished, interrupted or left open."""
    playback = Playback()
    for number in range(10_000):
        now, item_id = float(number), f"item_{number}"
        playback.begin(item_id, "resp_1", PCM, now).add(2_000 * PCM, now)
        if with_player:
            playback.played(item_id, ms=1)
        if number % 3:
            playback.done(item_id)
        if number % 100 == 0:
            playback.interrupt(now)
    held = [len(value) for value in vars(playback).values() if isinstance(value, dict)]
    assert len(held) == 2 and max(held) <= MAX_TRACKS


def test_items_that_take_turns_for_long_keep_no_history() -> None:
    """B24: and their positions are right all the same."""
    playback = Playback()
    for number in range(1_000):
        for item_id in "ab":
            playback.begin(item_id, "resp_1", PCM, number * 0.02).add(10 * PCM, number * 0.02)
    playing = playback.playing(19.995)
    assert playing is not None and playing.item_id == "b" and len(playing._spans) <= 2
    assert playback.position_ms("a", 19.995) == pytest.approx(10_000)
    assert playback.position_ms("b", 19.995) == pytest.approx(9_995)


# Against a simulation, one sample at a time.

STEP = st.tuples(st.integers(0, 400), st.sampled_from("aabc"), st.integers(0, 500))
FORMATS = st.sampled_from([(24, 2), (8, 1), (16, 2)])  # samples of a millisecond, bytes of a sample


@given(FORMATS, st.sampled_from([0.0, 1.7, 123_456.789]), st.lists(STEP, max_size=12), st.integers(0, 900))
def test_the_clock_agrees_with_a_simulation_of_every_sample(
    audio: tuple[int, int], began_s: float, steps: list[tuple[int, str, int]], rest: int
) -> None:
    """B22, B23: whatever the chunks and their times; and it is exact to the millisecond where it is cut."""
    rate, sample_bytes = audio
    playback, waiting, heard, received, done = Playback(), list[str](), Counter[str](), Counter[str](), 0
    order: list[str] = []
    last: dict[str, float] = {}
    for gap, item_id, samples in [*steps, (rest, "", 0)]:
        heard.update(waiting[:gap])
        del waiting[:gap]
        done += gap
        now = began_s + done / (rate * 1000)
        for known in order:
            position = playback.position_ms(known, now)
            assert position == pytest.approx(heard[known] / rate, abs=1e-5)
            assert last.get(known, 0.0) <= position <= playback.received_ms(known)
            last[known] = position
        if not item_id:
            break
        playback.begin(item_id, "resp_1", rate * sample_bytes, now).add(samples * sample_bytes, now)
        waiting += [item_id] * samples
        received[item_id] += samples
        order += [item_id] if item_id not in order else []
        assert playback.received_ms(item_id) == pytest.approx(received[item_id] / rate)
    now = began_s + done / (rate * 1000)
    playing = playback.playing(now)
    first = waiting[0] if waiting else None
    assert (playing.item_id if playing is not None else None) == first
    assert playback.until_idle_s(now) == pytest.approx(len(waiting) / (rate * 1000), abs=1e-8)
    expected = [cut(i, heard[i] // rate) for i in sorted(order, key=lambda i: i != first) if received[i]]
    assert playback.interrupt(now) == expected


@given(st.lists(st.one_of(STEP, st.tuples(st.sampled_from("abc"), st.floats(0, 1e6))), max_size=30))
def test_whatever_a_player_reports_a_position_is_never_more_than_was_received(steps: list[Any]) -> None:
    """B23."""
    playback, now = Playback(), 5.0
    for step in steps:
        if len(step) == 2:
            playback.played(step[0], ms=step[1], now=now)
        else:
            now += step[0] / 1000
            playback.begin(step[1], "resp_1", PCM, now).add(step[2] * PCM, now)
        for item_id in "abc":
            assert 0 <= playback.position_ms(item_id, now) <= playback.received_ms(item_id)
    received = {item_id: playback.received_ms(item_id) for item_id in "abc"}
    for one in playback.interrupt(now):
        assert 0 <= one.audio_end_ms <= received[one.item_id]
