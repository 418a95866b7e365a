"""The arithmetic of rate limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_events.browsers.limiting import MOST_NAMES, Limiter, RateLimit


class Clock:
    """A clock that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_user_may_ask_so_often_at_once_and_then_at_the_same_rate() -> None:
    """Three in thirty seconds, and then one each ten seconds."""
    clock = Clock()
    limiter = Limiter(RateLimit(requests=3, window_s=30.0), clock)
    for _ in range(3):
        assert limiter.wait_s("ada") == 0
        limiter.count("ada")
    assert limiter.wait_s("ada") == 10.0
    assert limiter.wait_s("bob") == 0
    clock.now += 10.0
    assert limiter.wait_s("ada") == 0
    limiter.count("ada")
    assert limiter.wait_s("ada") == 10.0


@given(st.lists(st.floats(0, 50), max_size=60), st.integers(1, 5))
def test_no_window_lets_more_than_twice_the_limit_through(pauses_s: list[float], requests: int) -> None:
    """A burst at the end of one window and another at the start of the next are the worst there is."""
    clock, let_in = Clock(), list[float]()
    limiter = Limiter(RateLimit(requests=requests, window_s=60.0), clock)
    for pause_s in pauses_s:
        clock.now += pause_s
        if limiter.wait_s("ada") == 0:
            limiter.count("ada")
            let_in.append(clock.now)
    for start in let_in:
        assert sum(start <= at < start + 60.0 for at in let_in) <= 2 * requests


def test_a_flood_of_names_takes_no_memory() -> None:
    """The name that asked the longest ago is forgotten."""
    limiter = Limiter(RateLimit(requests=1, window_s=60.0), Clock())
    for number in range(MOST_NAMES + 1):
        limiter.count(str(number))
    assert limiter.wait_s("0") == 0
    assert limiter.wait_s("1") == 60.0
