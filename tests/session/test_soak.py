"""Half a minute of the soak; `nox -s soak` runs it for longer, with more sessions."""

from __future__ import annotations

import sys

import pytest

from benchmarks.soak import Soak

SESSIONS, SECONDS = 100, 30.0
ONCE = (3, 13)


@pytest.mark.skipif(sys.version_info[:2] != ONCE, reason="half a minute is spent in one of the versions only")
@pytest.mark.timeout(180)
async def test_many_sessions_over_a_breaking_network_lose_and_double_nothing() -> None:
    """B42, B43, B46: counted on both sides, with random faults, tool calls and rotations."""
    result = await Soak(sessions=SESSIONS, seconds=SECONDS, seed=1).run()
    print(result.line)
    assert not any(result.faults.values()), result.line
