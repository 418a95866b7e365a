"""The bars: what the numbers of the library are held against, always a ratio or a difference within one run.

Takes what `schedule.py` collected, gives verdicts; knows nothing of how they are printed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.scenarios import FLOOR, IMPORTS, OURS, SCENARIOS
from benchmarks.schedule import Runs

OPENAI = ("openai_iterate", "openai_on")


@dataclass(frozen=True)
class Verdict:
    """One bar, and how the library stands to it."""

    what: str
    bar: str
    value: float
    limit: float
    unit: str = "×"
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the bar is met; meeting it exactly is enough."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def margin(self) -> float:
        """How far the value is from the limit as a part of it, positive on the good side."""
        distance = self.value - self.limit if self.at_least else self.limit - self.value
        return distance / self.limit


def median(runs: Runs, client: str, metric: str) -> float:
    """Gives the median of a client's repetitions."""
    return statistics.median(numbers[metric] for numbers in runs[client])


def verdicts(results: Mapping[str, Runs]) -> list[Verdict]:
    """Holds every bar for which the run has the numbers of both sides."""
    return [*_bursts(results), *_import(results), *_idle(results), *_long(results)]


def _bursts(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    for name, above_floor, below_openai in (
        ("text_burst", 1.5, 20.0),
        ("audio_burst", 1.2, 9.0),
        ("paced_text", 1.2, 2.5),
        ("paced_audio", 1.2, 2.5),
    ):
        runs = results.get(name, {})
        if OURS not in runs:
            continue
        title, ours = SCENARIOS[name].title, median(runs, OURS, "us")
        if FLOOR in runs:
            yield Verdict(title, f"at most {above_floor} × the floor", ours / median(runs, FLOOR, "us"), above_floor)
        cheaper = [median(runs, peer, "us") for peer in OPENAI if peer in runs]
        if cheaper:
            bar = f"at least {below_openai:g} × below the openai SDK's cheaper way"
            yield Verdict(title, bar, min(cheaper) / ours, below_openai, at_least=True)


def _import(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    if runs := results.get("import"):
        ours, with_application, dependencies = list(IMPORTS)[:3]
        for name in (ours, with_application):
            ratio = median(runs, name, "ms") / median(runs, dependencies, "ms")
            yield Verdict(f"Import of {name}", f"at most 0.6 × importing {dependencies}", ratio, 0.6)


def _idle(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    runs = results.get("idle_memory", {})
    if {OURS, FLOOR} <= runs.keys():
        limit = 1.3 * median(runs, FLOOR, "kb") + 10
        bar = "at most 1.3 × a bare aiohttp WebSocket client + 10 KB"
        yield Verdict(SCENARIOS["idle_memory"].title, bar, median(runs, OURS, "kb"), limit, unit="KB")


def _long(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    for name, bar, limit, unit in (
        ("long_cpu", "at most 1.1 ×", 1.1, "×"),
        ("long_text_memory", "at most 10 B", 10.0, "B/delta"),
        ("long_audio_memory", "at most 10 B", 10.0, "B/delta"),
    ):
        runs = results.get(name, {})
        if OURS in runs:
            value = median(runs, OURS, SCENARIOS[name].metric)
            yield Verdict(SCENARIOS[name].title, f"{bar}, so flat", value, limit, unit)
