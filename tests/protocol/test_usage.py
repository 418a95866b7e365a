"""What a session has used, and how long a rate limit makes it wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events import UNSET, RateLimit, Response, TranscriptionUsage, Usage
from realtime_events.events.response import (
    CachedTokenDetails,
    FailureDetails,
    InputTokenDetails,
    OutputTokenDetails,
    StatusDetails,
)
from realtime_events.protocol.rate_limits import RateLimits, wait_of
from realtime_events.protocol.usage import SessionUsage


def usage(text: int, audio: int, cached: int, spoken: int) -> Usage:
    return Usage(
        total_tokens=text + audio + spoken,
        input_tokens=text + audio,
        output_tokens=spoken,
        input_token_details=InputTokenDetails(
            text_tokens=text,
            audio_tokens=audio,
            cached_tokens=cached,
            cached_tokens_details=CachedTokenDetails(text_tokens=cached),
        ),
        output_token_details=OutputTokenDetails(audio_tokens=spoken),
    )


def response(status: str = "completed", used: Usage | None = None, **more: Any) -> Response:
    return Response(id="resp_1", status=status, usage=used, **more)


def test_tokens_add_up_by_modality_and_cached_ones_are_not_added_to_the_input() -> None:
    """B25."""
    used = SessionUsage()
    used.add(response(used=usage(10, 20, 5, 7)), "gpt-a")
    used.add(response(used=usage(1, 2, 1, 3), conversation_id=None), "gpt-a")
    assert used.total == used.by_model["gpt-a"] == usage(11, 22, 6, 10)
    assert used.total.input_tokens == 33


def test_cancelled_and_failed_responses_count() -> None:
    """B25: also one that says nothing of what it cost."""
    used = SessionUsage()
    for status in ("completed", "cancelled", "failed"):
        used.add(response(status, usage(1, 1, 0, 1)))
    used.add(response("failed"))
    assert used.responses == {"completed": 1, "cancelled": 1, "failed": 2}
    assert used.total == usage(3, 3, 0, 3)


def test_transcriptions_are_apart_in_tokens_or_seconds() -> None:
    """B25."""
    used = SessionUsage()
    used.add_transcription(TranscriptionUsage(type="duration", seconds=1.5), "scribe-a")
    used.add_transcription(TranscriptionUsage(type="duration", seconds=2), "scribe-a")
    assert used.transcription == TranscriptionUsage(type="duration", seconds=3.5)
    used.add_transcription(
        TranscriptionUsage(type="tokens", total_tokens=9, input_tokens=8, output_tokens=1), "scribe-b"
    )
    used.add_transcription(None, "scribe-b")
    assert used.transcriptions == 4 and set(used.transcription_by_model) == {"scribe-a", "scribe-b"}
    both = used.transcription
    assert (both.type, both.seconds, both.total_tokens) == (UNSET, 3.5, 9)
    assert used.total == Usage()


COUNTS = st.integers(0, 1000)
RESPONSES = st.lists(
    st.tuples(
        st.sampled_from(["gpt-a", "gpt-b"]),
        st.builds(usage, COUNTS, COUNTS, COUNTS, COUNTS),
        st.sampled_from(["completed", "cancelled"]),
    )
)


@given(RESPONSES, st.integers(0, 20))
def test_totals_survive_a_rotation(all_of_them: list[tuple[str, Usage, str]], cut: int) -> None:
    """B25: the usage of two sessions together is that of one which had it all."""
    whole, before, after = SessionUsage(), SessionUsage(), SessionUsage()
    for place, (model, used, status) in enumerate(all_of_them):
        for one in (whole, before if place < cut else after):
            one.add(response(status, used), model)
            one.add_transcription(TranscriptionUsage(type="duration", seconds=place), model)
    parts = (before, after)
    assert before + after == whole
    assert parts == (before, after) and (before + SessionUsage()) == before


# Rate limits.


def refused(message: str | None = None, code: str = "rate_limit_exceeded", status: str = "failed") -> Response:
    error = FailureDetails(type="server_error", code=code, message=message)
    return response(status, status_details=StatusDetails(type=status, error=error))


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("Rate limit reached: Limit 40000, Used 39500, Requested 1000. Please try again in 1.2s. Visit the site.", 1.2),
        ("please try again in 350ms", 0.35),
        ("Try again in 1m30.5s.", 90.5),
        ("try again in 2h0m3s", 7203),
        ("Please try again in 20 seconds.", 20),
        ("Please try again in 1 minute 5 secs.", 65),
        ("try again in 2 days", 172_800),
        ("try again in 3 moons", None),
        ("try again later, in 2s perhaps", None),
        ("", None),
        (None, None),
    ],
)
def test_the_wait_is_read_from_the_servers_sentence(said: str | None, wait_s: float | None) -> None:
    """B25."""
    assert wait_of(refused(said)) == (wait_s if wait_s is None else pytest.approx(wait_s))


def test_without_a_sentence_the_limits_that_are_used_up_say_how_long() -> None:
    limits = [
        RateLimit(name="requests", limit=100, remaining=99, reset_seconds=60),
        RateLimit(name="tokens", limit=1000, remaining=0, reset_seconds=2.5),
        RateLimit(name="tokens_per_day", limit=1000, remaining=0),
    ]
    assert wait_of(refused("slow down"), limits) == 2.5
    assert wait_of(refused("slow down"), limits[:1]) == 60
    assert wait_of(refused("try again in 7s"), limits) == 7
    assert wait_of(refused("slow down"), []) is None


@pytest.mark.parametrize(
    "other",
    [
        response("failed"),
        response("completed"),
        refused("try again in 2s", code="server_error"),
        refused("try again in 2s", status="incomplete"),
        Response(),
    ],
)
def test_only_a_response_that_failed_for_a_rate_limit_has_a_wait(other: Response) -> None:
    assert wait_of(other, [RateLimit(name="tokens", remaining=0, reset_seconds=2)]) is None


def test_the_latest_word_on_each_limit_is_kept_and_its_time_goes_by() -> None:
    limits = RateLimits()
    limits.update([RateLimit(name="requests", remaining=5, reset_seconds=10), RateLimit(name="tokens")], now=100.0)
    limits.update([RateLimit(name="requests", remaining=0, reset_seconds=4)], now=103.0)
    assert limits.latest["requests"].remaining == 0 and "tokens" in limits.latest
    assert [limit.reset_seconds for limit in limits.at(104.5)] == [2.5, UNSET]
    assert [limit.reset_seconds for limit in limits.at(110.0)] == [0, UNSET]
    assert wait_of(refused(), limits.at(104.5)) == 2.5
