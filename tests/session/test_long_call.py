"""A call of an hour, or of a day, simulated: what is kept beside what was said does not grow with it."""

from __future__ import annotations

import pytest

from benchmarks.hour import growth

MINUTE = 1 / 60
# Of what was deleted the newest ids are remembered, and of the calls the newest 4,096: from then on it is flat.
BESIDE_BYTES = 700_000
# An item that stays has its text, its times and its places; the audio of one alone would be 57,600 bytes.
KEPT_BYTES = 1_800


async def test_an_hour_of_a_call_keeps_nothing_but_the_ids_of_what_was_deleted() -> None:
    """B24."""
    grown_bytes, call = await growth(60 * MINUTE, deletes=True)
    assert (call.heard, call.called) == (call.turns * 12, -(-call.turns // 5))
    assert call.turns > 2_000
    assert call.flushed == call.server.truncated > 500
    assert grown_bytes < BESIDE_BYTES
    assert len(call.session.conversation) <= 60


async def test_a_call_keeps_the_words_of_its_items_and_none_of_their_audio() -> None:
    """B24."""
    grown_bytes, call = await growth(20 * MINUTE, deletes=False)
    assert len(call.session.conversation) == call.items
    assert call.server.appended_bytes > 15_000_000
    assert grown_bytes < call.items * KEPT_BYTES


@pytest.mark.nightly
async def test_a_day_of_a_call_stays_flat_after_its_first_hour() -> None:
    """B24, B43: 864,000 pieces of audio and 216,000 other events at the least, in a fresh session each hour."""
    grown_bytes, call = await growth(24, from_minute=60, deletes=True)
    print(f"a day of {call.turns:,} turns and {call.server.said:,} events has grown by {grown_bytes:,} bytes")
    assert call.heard + call.server.appends >= 864_000 and call.server.said - call.heard >= 216_000
    assert 24 <= call.server.incarnations <= 28 and call.flushed == call.server.truncated
    assert len(call.session.conversation) <= 60
    assert grown_bytes < 1024 * 1024
