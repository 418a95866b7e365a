"""The ledger: everything that was written ends in exactly one column, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio.ledger import Ledger, Stretch

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "skip", "first", "until", "lose", "lose_some", "rotate", "move"]),
        st.integers(0, 3000),
    ),
    max_size=80,
)


def columns(ledger: Ledger) -> int:
    """Adds up where the written audio is said to be."""
    settled = ledger.confirmed_bytes + ledger.delivered_bytes + ledger.unknown_bytes + ledger.lost_bytes
    return ledger.open_bytes + settled


@given(steps=STEPS, keep_bytes=st.integers(0, 5000))
def test_what_was_written_is_in_exactly_one_column_at_every_step(steps: list[tuple[str, int]], keep_bytes: int) -> None:
    """B42: written = open + confirmed + delivered + unknown + lost, and what is named is what was counted."""
    ledger, accepted, written, named = Ledger(keep_bytes=keep_bytes), 0, 0, 0
    for step, number in steps:
        if step == "write":
            ledger.wrote(accepted, number, b"%d" % accepted)
            accepted, written = accepted + number, written + number
        elif step == "skip":  # What was dropped before it was written has a place, too.
            accepted += number
        elif step == "first":
            ledger.confirm_first(number)
        elif step == "until":
            ledger.confirm_until(min(number, accepted))
        elif step in ("lose", "lose_some"):
            delivered, unknown = ledger.lose(number if step == "lose_some" else None)
            named += sum(stretch.n_bytes for stretch in (*delivered, *unknown))
            assert named <= ledger.delivered_bytes + ledger.unknown_bytes + ledger.lost_bytes
            assert ledger.open_bytes == 0
        else:
            lost_before = ledger.lost_bytes
            _, lost = ledger.move(was_heard=step == "rotate")
            assert sum(stretch.n_bytes for stretch in lost) == ledger.lost_bytes - lost_before
            named += ledger.lost_bytes - lost_before
        assert columns(ledger) == written
        assert all(0 <= place.n_bytes <= place.end - place.start for place in ledger._open)
        assert ledger._open == type(ledger._open)(sorted(ledger._open))


def test_speech_confirms_what_came_before_it_and_a_commit_what_was_accepted_before_it() -> None:
    """B42: the server counts what was written to its session; a commit knows its place among all that was accepted."""
    ledger = Ledger()
    ledger.wrote(0, 100, b"")
    ledger.wrote(300, 100, b"")
    ledger.confirm_first(150)
    assert (ledger.confirmed_bytes, ledger.open_bytes) == (150, 50)
    ledger.wrote(400, 100, b"")
    ledger.confirm_until(420)
    assert (ledger.confirmed_bytes, ledger.open_bytes) == (220, 80)
    assert ledger.lose(None) == ([], [Stretch(420, 500, 80)])


def test_a_loss_divides_what_the_peers_machine_has_from_what_it_may_not_have() -> None:
    """B42: the last so many bytes are in doubt."""
    ledger = Ledger()
    ledger.wrote(0, 100, b"")
    assert ledger.lose(30) == ([Stretch(0, 70, 70)], [Stretch(70, 100, 30)])
    assert (ledger.delivered_bytes, ledger.unknown_bytes) == (70, 30)


def test_what_is_said_again_is_open_in_the_session_that_takes_over() -> None:
    """B43: the last frames are said again; what came before them is lost where it was still to be committed."""
    ledger = Ledger(keep_bytes=200)
    for start in (0, 100, 200):
        ledger.wrote(start, 100, b"%d" % start)
    assert ledger.move(was_heard=False) == ([b"100", b"200"], [Stretch(0, 100, 100)])
    assert (ledger.open_bytes, ledger.lost_bytes) == (200, 100)
    ledger.confirm_first(200)  # The new session counts from its own beginning.
    assert (ledger.open_bytes, ledger.confirmed_bytes) == (0, 200)


def test_a_piece_that_was_confirmed_in_part_is_said_again_whole_and_counted_once() -> None:
    """B43."""
    ledger = Ledger(keep_bytes=200)
    ledger.wrote(0, 100, b"a")
    ledger.confirm_first(40)
    assert ledger.move(was_heard=True) == ([b"a"], [])
    assert (ledger.open_bytes, ledger.confirmed_bytes) == (60, 40)
    ledger.confirm_first(100)
    assert (ledger.open_bytes, ledger.confirmed_bytes) == (0, 100)


def test_a_rotation_after_very_many_stretches_counts_what_it_says_again_once() -> None:
    """B43: places that were blurred cost no byte."""
    ledger = Ledger(keep_bytes=1_000)
    for start in range(0, 100_000, 100):
        ledger.wrote(start, 50, b"")
    again, lost = ledger.move(was_heard=False)
    assert (len(again), sum(stretch.n_bytes for stretch in lost)) == (20, 49_000)
    assert (ledger.open_bytes, ledger.lost_bytes) == (1_000, 49_000)


def test_what_was_committed_is_not_said_again() -> None:
    """B43: and is kept no longer."""
    ledger = Ledger(keep_bytes=200)
    ledger.wrote(0, 100, b"a")
    ledger.confirm_until(100)
    assert ledger.move(was_heard=False) == ([], [])
    assert not ledger._kept


def test_very_many_stretches_are_blurred_and_never_miscounted() -> None:
    """B42, B45: memory is bounded."""
    ledger = Ledger()
    for start in range(0, 100_000, 100):
        ledger.wrote(start, 50, b"")
    assert len(ledger._open) <= 64 and ledger.open_bytes == 50_000
    ledger.confirm_first(20_000)
    delivered, unknown = ledger.lose(10_000)
    assert [sum(stretch.n_bytes for stretch in stretches) for stretches in (delivered, unknown)] == [20_000, 10_000]
