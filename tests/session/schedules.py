"""Schedules: what befalls a session, step by step, as a value.

Owns what a schedule is, how a seed gives one, how one is spelled on a command line, and how one that breaks a law is
made short. A schedule is whole before anything runs, so the same one is played against a server of memory on a clock
that jumps (`world.py`), and through a network that breaks (`wire.py`). Knows neither of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

Step = tuple[str, float]
THIS = "tests/session/test_reconnect_machine.py"
TESTS = ("test_one_schedule", "test_one_schedule_on_real_sockets")

# How often a seed chooses each.
VERBS = {
    "audio": 22,
    "commit": 5,
    "clear": 1,
    "flood": 1,
    "press": 2,
    "release": 3,
    "hold": 3,
    "let_go": 5,
    "lag": 3,
    "arrive": 4,
    "drop": 3,
    "refuse": 2,
    "break_next": 1,
    "rotate": 3,
    "speech": 5,
    "hush": 5,
    "begin": 12,
    "delta": 10,
    "call": 9,
    "consult": 2,
    "decide": 4,
    "end": 9,
    "tool": 9,
    "tool_again": 2,
    "interrupt": 2,
    "ask": 5,
    "unknown": 1,
    "wait": 6,
}


@dataclass(frozen=True)
class Schedule:
    """What happens, in order; each step has a number from 0 to 1, from which it takes all else that it needs.

    Attributes:
        world: Which options the session has, and how the dice of its network fall.
        steps: Verbs with their numbers.
    """

    world: int
    steps: tuple[Step, ...]

    @classmethod
    def of_seed(cls, seed: int, length: int) -> Schedule:
        """Give the schedule of a seed."""
        dice = random.Random(f"schedule {seed}")
        verbs = dice.choices(list(VERBS), list(VERBS.values()), k=length)
        if dice.random() < 0.1:
            verbs.insert(dice.randrange(length), "close")
        return cls(seed, tuple((verb, dice.randrange(1_000) / 1_000) for verb in verbs))

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Give the schedule that was spelled `world:7 audio:0.3 drop:0.1`."""
        (first, world), *steps = (word.partition(":")[::2] for word in text.split())
        if first != "world":
            raise ValueError(f"a schedule begins with its world, such as world:7, not with {first}")
        if strangers := {verb for verb, _ in steps} - {*VERBS, "close"}:
            raise ValueError(f"no step is called {', '.join(sorted(strangers))}")
        return cls(int(world), tuple((verb, float(pick)) for verb, pick in steps))

    def __str__(self) -> str:
        return " ".join([f"world:{self.world}", *(f"{verb}:{pick:g}" for verb, pick in self.steps)])

    @property
    def commands(self) -> str:
        """How to play it again, in memory and through a network."""
        return "\n".join(f'STEPS="{self}" python -m pytest {THIS}::{test}' for test in TESTS)

    def shortened(self, breaks_a_law: Callable[[Schedule], bool]) -> Schedule:
        """Give what is left when no step, and no run of steps, can be left out without mending it."""
        short, size = self, len(self.steps)
        while size:
            for start in range(len(short.steps) - size, -1, -size):
                less = replace(short, steps=short.steps[:start] + short.steps[start + size :])
                if breaks_a_law(less):
                    short = less
            size //= 2
        return short
