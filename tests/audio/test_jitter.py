"""What the jitter buffer promises: no gap it could avoid, every gap counted, and never ahead of the loudspeaker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio import PCMU, AudioFormat
from realtime_events.audio.jitter import JitterBuffer, Position

EIGHT = AudioFormat(rate=8_000)  # 16 bytes are a millisecond
BLOCK_MS = 10
BLOCK = EIGHT.n_bytes(BLOCK_MS)
SILENT = bytes(BLOCK)


def sound(duration_ms: int, value: int = 1) -> bytes:
    return bytes([value, 0]) * (duration_ms * 8)


def over(item_id: str, ms: float) -> Position:
    return Position(item_id=item_id, ms=ms, is_over=True)


def at(item_id: str, ms: float) -> Position:
    return Position(item_id=item_id, ms=ms, is_over=False)


def test_playing_begins_when_enough_waits() -> None:
    """B23: and then without a gap."""
    buffer = JitterBuffer(EIGHT, start_ms=30)
    buffer.put("item", sound(20))
    assert buffer.take(BLOCK) == SILENT
    buffer.put("item", sound(10))
    assert buffer.waiting_ms == 30
    assert [buffer.take(BLOCK) for _ in range(3)] == [sound(10)] * 3
    assert buffer.underruns == 0


def test_an_item_that_has_ended_is_played_however_short() -> None:
    """B23: "Yes." may be shorter than the start."""
    buffer = JitterBuffer(EIGHT, start_ms=30)
    buffer.put("item", sound(5))
    buffer.end("item")
    assert buffer.take(BLOCK) == sound(5) + bytes(80)
    assert buffer.take(BLOCK) == SILENT
    assert buffer.underruns == 0


def test_audio_that_runs_out_before_the_end_is_an_underrun_and_begins_anew() -> None:
    """B23: once for each gap, not for each block of it."""
    buffer = JitterBuffer(EIGHT, start_ms=20)
    buffer.put("item", sound(25))
    assert [buffer.take(BLOCK) for _ in range(5)] == [sound(10), sound(10), sound(5) + bytes(80), SILENT, SILENT]
    assert buffer.underruns == 1
    buffer.put("item", sound(10))
    assert buffer.take(BLOCK) == SILENT
    buffer.put("item", sound(10))
    assert buffer.take(BLOCK) == sound(10)
    assert buffer.underruns == 1


def test_what_the_device_still_holds_has_not_been_heard() -> None:
    """B23: 25 ms of delay are 25 ms less."""
    buffer = JitterBuffer(EIGHT, start_ms=0)
    buffer.put("item", sound(40))
    buffer.end("item")
    heard = []
    for _ in range(8):
        buffer.take(BLOCK, delay_ms=25)
        heard.append(buffer.positions())
    steps = [[], [], [], [at("item", 5)], [at("item", 15)], [at("item", 25)], [at("item", 35)], [over("item", 40)]]
    assert heard == steps
    assert buffer.is_empty


def test_positions_of_two_items_and_the_silence_between_them_stay_apart() -> None:
    """B23."""
    buffer = JitterBuffer(EIGHT, start_ms=0)
    buffer.put("one", sound(10))
    buffer.end("one")
    buffer.take(BLOCK)
    buffer.take(BLOCK)
    buffer.put("two", sound(20))
    assert buffer.positions() == [over("one", 10)]
    buffer.take(BLOCK)
    buffer.take(BLOCK)
    assert buffer.positions() == [at("two", 10)]


def test_a_flush_throws_away_what_waits_and_counts_what_is_on_its_way() -> None:
    """B22, B23: no underrun either."""
    buffer = JitterBuffer(EIGHT, start_ms=0)
    buffer.put("item", sound(100))
    buffer.take(BLOCK, delay_ms=20)
    buffer.take(BLOCK, delay_ms=20)
    buffer.clear()
    assert buffer.waiting_ms == 0
    assert not buffer.is_empty
    assert [buffer.take(BLOCK, delay_ms=20) for _ in range(2)] == [SILENT, SILENT]
    assert buffer.positions() == [at("item", 10)]
    buffer.take(BLOCK, delay_ms=20)
    assert buffer.positions() == [over("item", 20)]
    assert buffer.is_empty
    assert buffer.underruns == 0


def test_a_device_that_claims_a_delay_below_zero_is_not_believed() -> None:
    """B23: nothing is heard before it is given out."""
    buffer = JitterBuffer(EIGHT, start_ms=0)
    buffer.put("item", sound(10))
    buffer.take(BLOCK, delay_ms=-500)
    assert buffer.positions() == []
    buffer.take(BLOCK, delay_ms=-500)
    assert buffer.positions() == [at("item", 10)]


def test_silence_is_the_formats_own() -> None:
    """B26: zero is loud in µ-law."""
    assert JitterBuffer(PCMU).take(4) == b"\xff" * 4


def test_a_thousand_items_leave_no_thousand_items_behind() -> None:
    """B24."""
    buffer = JitterBuffer(EIGHT, start_ms=0)
    for number in range(1_000):
        buffer.put(f"item_{number}", sound(1))
        buffer.end(f"item_{number}")
    assert len(buffer.positions()) == 0
    buffer.take(1_000 * 16)
    buffer.take(BLOCK)
    assert len(buffer.positions()) == 64


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 50)),
            st.tuples(st.just("end"), st.sampled_from("abc"), st.just(0)),
            st.tuples(st.just("take"), st.just(""), st.integers(-5, 60)),
            st.tuples(st.just("clear"), st.just(""), st.just(0)),
        ),
        max_size=40,
    )
)
def test_no_position_runs_ahead_of_what_was_given_out_or_goes_back(steps: list[tuple[str, str, int]]) -> None:
    """B23: whatever comes in whatever order, and every block is whole."""
    buffer = JitterBuffer(EIGHT, start_ms=20)
    given = dict.fromkeys("abc", 0.0)
    heard = dict.fromkeys("abc", 0.0)
    for what, item_id, number in steps:
        if what == "put":
            buffer.put(item_id, sound(number, value=ord(item_id)))
        elif what == "end":
            buffer.end(item_id)
        elif what == "clear":
            buffer.clear()
        else:
            block = buffer.take(BLOCK, delay_ms=number)
            assert len(block) == BLOCK
            for position in buffer.positions():
                assert heard[position.item_id] <= position.ms <= given[position.item_id] + 1e-9
                heard[position.item_id] = position.ms
            for name in given:
                given[name] += block.count(name.encode()) / 8


def test_big_pieces_cost_no_more_than_small_ones() -> None:
    """B24: an item of ten minutes at once is given out without copying the rest each time."""
    buffer = JitterBuffer(EIGHT, start_ms=0)
    whole = sound(600_000)
    buffer.put("item", whole)
    out = b"".join(buffer.take(BLOCK) for _ in range(60_000))
    assert out == whole


@pytest.mark.parametrize("start_ms", [0, 60])
def test_an_empty_buffer_is_silent_and_has_no_underrun(start_ms: int) -> None:
    """B23: a speaker that waits has nothing to count."""
    buffer = JitterBuffer(EIGHT, start_ms=start_ms)
    assert buffer.is_empty
    assert [buffer.take(BLOCK) for _ in range(3)] == [SILENT] * 3
    assert (buffer.underruns, buffer.positions()) == (0, [])
