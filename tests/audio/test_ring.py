"""The ring: its law holds at every step, and every loss has a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio import PCMU
from realtime_events.audio.ring import Policy, Ring

POLICIES: list[Policy] = ["block", "drop_oldest", "drop_newest"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 3000)),
        st.tuples(st.just("pass"), st.integers(0, 3000)),
        st.tuples(st.just("pop"), st.just(0)),
        st.tuples(st.just("mark"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
        st.tuples(st.just("expire"), st.just(0)),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("drop"), st.just(0)),
    ),
    max_size=60,
)


@pytest.mark.parametrize("policy", POLICIES)
@given(steps=STEPS)
def test_what_was_accepted_is_queued_or_sent_or_dropped_at_every_step(
    policy: Policy, steps: list[tuple[str, int]]
) -> None:
    """B17: and the stretches that are told are exactly what was dropped."""
    ring = Ring(policy=policy, max_ms=100)
    now, told = 0.0, 0
    for step, number in steps:
        gaps = []
        if step == "put" and (policy != "block" or ring.fits(number)):
            gaps = ring.put(b"", number, now)
        elif step == "pass" and not ring:
            ring.passed(b"", number)
        elif step == "pop" and ring:
            ring.pop()
        elif step == "mark":
            ring.mark(b"")
        elif step == "wait":
            now += number
        elif step == "expire":
            gaps = ring.expire(now)
        elif step == "clear":
            gaps = ring.drop_since_mark("cleared")
        elif step == "drop":
            gaps = ring.drop_all("the end")
        told += sum(gap.length_bytes for gap in gaps)
        assert all(gap.reason and gap.start_bytes + gap.length_bytes <= ring.accepted_bytes for gap in gaps)
        assert ring.accepted_bytes == ring.queued_bytes + ring.sent_bytes + ring.dropped_bytes
        assert ring.accepted_pieces == ring.queued_pieces + ring.sent_pieces + ring.dropped_pieces
        assert told == ring.dropped_bytes
        assert ring.queued_bytes <= ring.high_water_bytes
        assert ring.queued_bytes <= ring.format.n_bytes(100) or ring.queued_pieces == 1


def test_a_ring_that_blocks_refuses_and_drops_nothing_however_old() -> None:
    """B17."""
    ring = Ring(policy="block", max_ms=20)
    assert ring.put(b"a", 960, 0.0) == []
    assert not ring.fits(960)
    with pytest.raises(BufferError, match="the ring is full: 960 bytes of audio wait"):
        ring.put(b"b", 960, 100.0)
    assert ring.expire(100.0) == []
    assert ring.age_s(100.0) == 100.0
    assert ring.accepted_bytes == 960


def test_a_piece_longer_than_the_ring_fits_into_an_empty_one() -> None:
    """B17."""
    ring = Ring(max_ms=20)
    assert ring.put(b"a", 96_000, 0.0) == []


def test_drop_newest_names_the_piece_that_came_last() -> None:
    """B17."""
    ring = Ring(policy="drop_newest", max_ms=40)
    told = [gap for name in (b"a", b"b", b"c") for gap in ring.put(name, 960, 0.0)]
    assert [(gap.start_ms, gap.length_ms, gap.reason) for gap in told] == [(40, 20, "overflow")]
    assert ring.first() == [b"a"]


def test_stretches_that_touch_are_told_as_one() -> None:
    """B17: three pieces that expire together are one gap, in the milliseconds of the format."""
    ring = Ring(policy="drop_oldest", max_age_s=2.0, format=PCMU)
    for _ in range(3):
        ring.put(b"", 160, 0.0)
    [gap] = ring.expire(2.5)
    assert (gap.start_bytes, gap.length_bytes, gap.start_ms, gap.length_ms) == (0, 480, 0, 60)


def test_stretches_with_something_between_them_are_told_apart() -> None:
    """B17."""
    ring = Ring()
    ring.put(b"a", 960, 0.0)
    ring.mark(b"commit")
    ring.put(b"b", 960, 0.0)
    assert [gap.start_ms for gap in ring.drop_since_mark("cleared")] == [20]
    ring.put(b"c", 960, 0.0)
    assert [(gap.start_ms, gap.length_ms) for gap in ring.drop_all("the end")] == [(0, 20), (40, 20)]


def test_a_mark_outlives_the_audio_before_it() -> None:
    """B15: what was marked goes out although its audio was too old."""
    ring = Ring(policy="drop_oldest", max_age_s=2.0)
    ring.put(b"a", 960, 0.0)
    ring.mark(b"commit")
    ring.put(b"b", 960, 2.0)
    ring.expire(3.0)
    assert ring.first() == [b"commit"]
    ring.pop()
    assert ring.first() == [b"b"]
