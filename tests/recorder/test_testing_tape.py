"""A tape from the field as a test."""

from __future__ import annotations

from realtime_events.events import ResponseDone
from realtime_events.testing import tape

from .conftest import Concierge, Record


async def test_a_tape_becomes_a_test(record: Record, concierge: Concierge) -> None:
    """The application hears the tape, and the test gets its events and turns; no handler stays behind."""
    async with tape(await record(), concierge.rt) as played:
        assert [turn.text for turn in played.turns] == ["18 °C and sunny in Bern"]
        assert len(played.of(ResponseDone)) == 2
        assert played.ending.code == 1000
    assert concierge.heard
    assert concierge.asked == []
    assert len(concierge.rt.listeners("*")) == 1
