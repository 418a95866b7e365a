"""A part of a minute of the soak; `nox -s soak` runs it for longer, with more sessions."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.soak import Soak
from realtime_events.connection import Connection
from realtime_events.events import ConversationItemCreate
from realtime_events.transport import WebSocketTransport

SESSIONS, SECONDS = 100, 30.0
FEW, SHORT_S = 20, 3.0
ONCE = (3, 13)

pytestmark = [
    pytest.mark.skipif(sys.version_info[:2] != ONCE, reason="half a minute is spent in one of the versions only"),
    pytest.mark.timeout(180),
]

Plant = Callable[[pytest.MonkeyPatch], None]


async def test_many_sessions_over_a_breaking_network_lose_and_double_nothing() -> None:
    """B42, B43, B46: counted on both sides, piece by piece and call by call, with random faults and rotations."""
    result = await Soak(sessions=SESSIONS, seconds=SECONDS, seed=1).run()
    print(result.line)
    assert result.is_good, result.line


def throw_audio_away(patch: pytest.MonkeyPatch) -> None:
    write, numbers = WebSocketTransport.write, itertools.count()

    def mostly(self: WebSocketTransport, data: bytes) -> None:
        if b"input_audio_buffer.append" not in data[:200] or next(numbers) % 20:
            write(self, data)

    patch.setattr(WebSocketTransport, "write", mostly)


def swallow_answers(patch: pytest.MonkeyPatch) -> None:
    post, numbers = Connection._post, itertools.count()

    def mostly(self: Connection, event: Any) -> None:
        is_answer = isinstance(event, ConversationItemCreate) and event.item.type == "function_call_output"
        if not is_answer or next(numbers) % 3:
            post(self, event)

    patch.setattr(Connection, "_post", mostly)


@pytest.mark.parametrize(("plant", "law"), [(throw_audio_away, "pieces lost"), (swallow_answers, "calls unanswered")])
async def test_a_soak_sees_what_is_lost_on_purpose(monkeypatch: pytest.MonkeyPatch, plant: Plant, law: str) -> None:
    """B42: one piece of audio in twenty, or one answer in three."""
    plant(monkeypatch)
    result = await Soak(sessions=FEW, seconds=SHORT_S, seed=2).run()
    print(result.line)
    assert result.faults[law] > 0, result.line
