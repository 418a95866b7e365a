"""The targets of `nox -s fuzz` with a fixed set of inputs: every sample, torn and bent, and bytes of any kind."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))  # `fuzz` stands beside the package, and is not installed

from fuzz.targets import TARGETS, corpus

SEEDS = list(corpus())
WORDS = (b"null", b"[]", b'"\\ud800"', b"1e999", b"-1", b"{}", b'""', b'"type":"error",', b"[" * 2_000)


def bent(data: bytes, chance: random.Random) -> bytes:
    """Gives an input with a piece cut out, doubled, or replaced by something of another type."""
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.randrange(1, 24))
    return data[:start] + chance.choice((b"", data[start:end] * 2, chance.choice(WORDS))) + data[end:]


@pytest.mark.parametrize("name", TARGETS)
def test_no_sample_however_bent_makes_a_target_raise(name: str) -> None:
    """B01, B48: three bends of each sample, and one cut."""
    chance, target = random.Random(7), TARGETS[name]
    for seed in SEEDS:
        for data in (seed, *(bent(seed, chance) for _ in range(3)), seed[: chance.randrange(len(seed))]):
            target(data)


@pytest.mark.parametrize("target", [pytest.param(TARGETS[name], id=name) for name in TARGETS])
def test_no_bytes_make_a_target_raise(target: Callable[[bytes], None]) -> None:
    """B01, B48: any bytes, and a sample with any bytes in its middle."""

    @settings(max_examples=150)
    @given(st.binary(max_size=200), st.sampled_from(SEEDS), st.integers(0, 4_000))
    def feed(noise: bytes, seed: bytes, at: int) -> None:
        target(noise)
        target(seed[:at] + noise + seed[at:])

    feed()
