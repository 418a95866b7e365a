"""A session that is cut, refused, rotated and interrupted in any order, against the four laws that hold throughout."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from . import laws
from .playing import Play, play
from .schedules import THIS, VERBS, Schedule
from .wire import play_wire

LENGTH, ON_SOCKETS_LENGTH, DRAWN_LENGTH = 150, 60, 60
IN_EVERY_RUN, IN_ONE_GO, NIGHTLY = 500, 50, 10_000
ON_SOCKETS, ON_SOCKETS_NIGHTLY = 5, 100


@contextmanager
def told_how_to_repeat(schedule: Callable[[], Schedule]) -> Iterator[None]:
    """Where a law is broken, say how to play what broke it again."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"play it again:\n{schedule().commands}")
        raise


def breaks_a_law(schedule: Schedule) -> bool:
    """Whether a schedule breaks a law."""
    try:
        play(schedule)
    except Exception:  # noqa: BLE001 - whatever it is, it is not what was promised
        return True
    return False


def play_seed(seed: int) -> Counter[str]:
    """Play the schedule of a seed; where it breaks a law, say how to play it again, and what is left of it."""
    schedule = Schedule.of_seed(seed, LENGTH)
    try:
        return play(schedule, ask_often=False).counts
    except Exception as error:
        error.add_note(f"play it again: SEED={seed} python -m pytest {THIS}::test_one_schedule")
        error.add_note(f"or what is left of it:\n{schedule.shortened(breaks_a_law).commands}")
        raise


@pytest.mark.parametrize("first", range(0, IN_EVERY_RUN, IN_ONE_GO))
def test_no_schedule_breaks_a_law(first: int) -> None:
    """B36, B42, B43: accepted = queued + open + named; one answer to a call; each event once; nothing in silence."""
    counts = Counter[str]()
    for seed in range(first, first + IN_ONE_GO):
        counts += play_seed(seed)
    happened = ("connection.lost", "connection.restored", "session.rotated", "audio.gap", "tool.done", "tool.orphaned")
    assert all(counts[name] for name in happened), f"the schedules have become too tame: {counts}"


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(IN_EVERY_RUN, NIGHTLY, 500))
def test_no_schedule_of_many_breaks_a_law(first: int) -> None:
    """B36, B42, B43: the same, further."""
    for seed in range(first, first + 500):
        play_seed(seed)


BY_HAND = {
    "a commit waits behind audio when a rotation is forced": (
        "world:19 audio:0.9 audio:0.9 hold:0.5 audio:0.9 commit:0.9 rotate:0.3 wait:0.99",
        {"session.rotated": 1, "told that it failed": 1, "audio.gap": 0},
    ),
    "the button is held over a loss": (
        "world:19 press:0.3 audio:0.9 audio:0.9 wait:0.1 drop:0.3 audio:0.9 audio:0.9 release:0.3 wait:0.8",
        {"connection.restored": 1, "audio.gap": 1, "input_audio_buffer.committed": 1, "turn.done": 1},
    ),
    "the button is released while the connection is lost, and too little is left": (
        "world:19 press:0.3 audio:0.9 audio:0.9 wait:0.1 drop:0.3 release:0.3 wait:0.8",
        {"connection.restored": 1, "audio.gap": 1, "input_audio_buffer.committed": 0, "told that it failed": 0},
    ),
    "a call is approved while the connection is lost": (
        "world:19 begin:0.3 call:0.09 wait:0.1 drop:0.303 decide:0.4 tool:0.1 wait:0.8",
        {"tool.approval_requested": 1, "tool.orphaned": 1, "tool.done": 1, "connection.restored": 1},
    ),
    "a call is denied while the connection is lost": (
        "world:19 begin:0.3 call:0.09 wait:0.1 drop:0.303 decide:0.46 wait:0.8",
        {"tool.approval_requested": 1, "tool.orphaned": 1, "tool.failed": 1, "connection.restored": 1},
    ),
    "an output is on its way when the connection is lost": (
        "world:19 begin:0.3 call:0.03 end:0.1 wait:0.1 lag:0.3 tool:0.303 drop:0.303 wait:0.8",
        {"tool.done": 1, "tool.orphaned": 1, "connection.restored": 1},
    ),
}


@pytest.mark.parametrize(("steps", "happened"), BY_HAND.values(), ids=BY_HAND)
def test_a_schedule_made_by_hand_breaks_no_law(steps: str, happened: dict[str, int]) -> None:
    """B36, B42, B43: what dice seldom throw is met in every run."""
    counts = play(Schedule.parse(steps)).counts
    assert {name: counts[name] for name in happened} == happened


FOUND = (
    "world:159 lag:0.083 begin:0.155 rotate:0.193 break_next:0.051 call:0 call:0.55 wait:0.888",
    "world:2438 audio:0.467 audio:0.15 break_next:0.78 rotate:0.433",
    "world:3592 rotate:0.4 begin:0.024 call:0.741 wait:0.209 ask:0.044 lag:0.785 wait:0.989",
    "world:69 drop:0.499 wait:0.623 audio:0.662 rotate:0.567 lag:0.348 drop:0.791",
    "world:186 lag:0.353 speech:0.507 audio:0.339 commit:0.117 hush:0.376 drop:0.226",
    "world:687 audio:0.747 speech:0.251 audio:0.973 audio:0.707 audio:0.124 audio:0.794 hold:0.991 audio:0.85 "
    "commit:0.872 hush:0.306 let_go:0.26 drop:0.713",
    "world:5 begin:0.18 consult:0.936 drop:0.797 decide:0.561",
    "world:634 rotate:0.185 begin:0.161 call:0.254 call:0.957",
)


@pytest.mark.parametrize("steps", FOUND)
def test_what_sweeps_have_found_stays_mended(steps: str) -> None:
    """B36, B42, B43: each broke a law once, and is as short as it could be made."""
    play(Schedule.parse(steps))


class Machine(RuleBasedStateMachine):
    """What befalls a session, in any order that hypothesis can think of; it has a rule for each verb of a schedule."""

    playing: Play | None = None

    @initialize(world=st.integers(0, 999))
    def open(self, world: int) -> None:
        self.played = Schedule(world, ())
        self.has_failed = False
        self.playing = Play(world)

    @contextmanager
    def judged(self) -> Iterator[Play]:
        assert self.playing is not None
        try:
            with told_how_to_repeat(lambda: self.played):
                yield self.playing
        except BaseException:
            self.has_failed = True
            raise

    def take(self, verb: str, pick: float) -> None:
        self.played = Schedule(self.played.world, (*self.played.steps, (verb, pick)))
        with self.judged() as playing:
            playing.step(verb, pick)

    def teardown(self) -> None:
        if self.playing is None:
            return
        try:
            if not self.has_failed:
                with self.judged() as playing:
                    playing.finish()
        finally:
            self.playing.close()


def _add_rule(verb: str) -> None:
    def act(self: Machine, thousandths: int) -> None:
        self.take(verb, thousandths / 1_000)

    act.__name__ = verb
    setattr(Machine, verb, rule(thousandths=st.integers(0, 999))(act))


def _add_invariant(law: Callable[..., None]) -> None:
    def holds(self: Machine) -> None:
        with self.judged() as playing:
            law(playing.world, is_over=False)

    holds.__name__ = name = f"law_of_{law.__name__}"
    setattr(Machine, name, invariant()(holds))


for _verb in (*VERBS, "close"):
    _add_rule(_verb)
for _law in laws.LAWS:
    _add_invariant(_law)

TestNoOrderOfStepsBreaksALaw: Any = Machine.TestCase
TestNoOrderOfStepsBreaksALaw.__doc__ = "B36, B42, B43: the four laws are its invariants; what it finds, it makes short."
TestNoOrderOfStepsBreaksALaw.settings = settings(stateful_step_count=DRAWN_LENGTH)


def of_the_environment(length: int, default: int = 0) -> Schedule:
    """Give the schedule that `STEPS` spells or `SEED` names."""
    if steps := os.environ.get("STEPS"):
        return Schedule.parse(steps)
    return Schedule.of_seed(int(os.environ.get("SEED", default)), length)


def test_one_schedule() -> None:
    """B42: the schedule of `STEPS` or `SEED`, to look at a broken law; the first one without them."""
    play(of_the_environment(LENGTH))


async def test_one_schedule_on_real_sockets() -> None:
    """B42: the same, through a network."""
    await play_wire(of_the_environment(ON_SOCKETS_LENGTH))


@pytest.mark.parametrize("seed", range(1, ON_SOCKETS))
async def test_a_schedule_on_real_sockets_breaks_no_law(seed: int) -> None:
    """B42: the schedules of some seeds, through a network."""
    await play_wire(Schedule.of_seed(seed, ON_SOCKETS_LENGTH))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(ON_SOCKETS, ON_SOCKETS_NIGHTLY))
async def test_many_schedules_on_real_sockets_break_no_law(seed: int) -> None:
    """B42: the same, further."""
    await play_wire(Schedule.of_seed(seed, ON_SOCKETS_LENGTH))
