"""The bars: what the numbers of the library are held against, always a ratio or a difference within one run.

Takes what `schedule.py` collected, gives verdicts; knows nothing of how they are printed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.scenarios import FLOOR, IMPORTS, OURS, RECORDED, SCENARIOS
from benchmarks.schedule import Runs

ITEM_BYTES = 5.0
"""What an item of 1,000 deltas may cost per delta; an event that is not let go costs some hundred bytes."""
GONE_BYTES = 400.0
"""What a deleted item may leave: its id, which is never shown again, and its place between others."""
KEPT_BYTES = 1_800.0
"""What an item of a call may keep with its text and times; audio would be a hundred times as much."""
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
    return [
        *_bursts(results),
        *_import(results),
        *_idle(results),
        *_long(results),
        *_extras(results),
        *_recording(results),
        *_calls(results),
        *_simulator(results),
    ]


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


def _extras(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    for name, limit in (("send_audio", 1.5), ("tool_answer", 3.0)):
        runs, metric = results.get(name, {}), SCENARIOS[name].metric
        if {OURS, FLOOR} <= runs.keys():
            ratio = median(runs, OURS, metric) / median(runs, FLOOR, metric)
            yield Verdict(SCENARIOS[name].title, f"at most {limit:g} × the floor", ratio, limit)
    for name, most_ms in (("tool_schemas", 100.0), ("tool_parallel", 115.0)):
        if OURS in (runs := results.get(name, {})):
            yield Verdict(SCENARIOS[name].title, f"at most {most_ms:g} ms", median(runs, OURS, "ms"), most_ms, "ms")
    for metric, limit_ms in (("ms", 1.0), ("p99_ms", 5.0)):
        runs = results.get("tool_answer", {})
        if OURS in runs and metric in runs[OURS][0]:
            what = f"{SCENARIOS['tool_answer'].title} ({'median' if metric == 'ms' else '99th in 100'})"
            yield Verdict(what, f"at most {limit_ms:g} ms", median(runs, OURS, metric), limit_ms, unit="ms")


def _recording(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    for name in ("record_text", "record_audio", "record_paced_text", "record_paced_audio"):
        runs = results.get(name, {})
        for client in RECORDED:
            if {OURS, client} <= runs.keys():
                what = f"{SCENARIOS[name].title} ({'compressed' if client.endswith('_gz') else 'plain'})"
                ratio = median(runs, client, "us") / median(runs, OURS, "us")
                yield Verdict(what, "CPU at most 1.15 × the same without a tape", ratio, 1.15)


def _calls(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    runs = results.get("duplex", {})
    if {OURS, FLOOR} <= runs.keys():
        ratio = median(runs, OURS, "ms") / median(runs, FLOOR, "ms")
        yield Verdict(SCENARIOS["duplex"].title, "CPU at most 1.5 × the floor", ratio, 1.5)
    for name, what, metric, limit, unit in (
        ("crowd", "99 of 100 deltas: at most 20 ms", "p99_ms", 20.0, "ms"),
        ("interruption", "`audio.flush` in its handler, 99 of 100: under 10 ms", "flush_p99_ms", 10.0, "ms"),
        ("interruption", "the truncation read by the server, 99 of 100: under 10 ms", "wire_p99_ms", 10.0, "ms"),
        ("hour", f"at most {GONE_BYTES:g} B of an item that was deleted", "gone_bytes", GONE_BYTES, "B/item"),
        ("hour", f"at most {KEPT_BYTES:g} B of an item that stays, with its text", "kept_bytes", KEPT_BYTES, "B/item"),
    ):
        if OURS in (runs := results.get(name, {})):
            yield Verdict(SCENARIOS[name].title, what, median(runs, OURS, metric), limit, unit)


def _import(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    runs = results.get("import", {})
    ours, with_application, dependencies = list(IMPORTS)[:3]
    if {ours, with_application, dependencies} <= runs.keys():
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
    runs = results.get("long_cpu", {})
    if OURS in runs:
        yield Verdict(SCENARIOS["long_cpu"].title, "at most 1.1 ×", median(runs, OURS, "last_over_first"), 1.1)
    for name, kept in (("long_text_memory", "the text itself + "), ("long_audio_memory", "")):
        runs = results.get(name, {})
        if OURS in runs:
            traffic = SCENARIOS[name].traffic
            limit = ITEM_BYTES + (traffic.payload / traffic.events if kept else 0.0)
            bar = f"at most {kept}{ITEM_BYTES:g} B/delta"
            yield Verdict(SCENARIOS[name].title, bar, median(runs, OURS, "bytes"), limit, "B/delta")


def _simulator(results: Mapping[str, Runs]) -> Iterable[Verdict]:
    for name, what, metric, limit, unit in (
        ("local_latency", "half of the turns", "p50_ms", 250.0, "ms"),
        ("local_latency", "19 of 20 turns", "p95_ms", 250.0, "ms"),
        ("simulator_sessions", "99 of 100 pieces of audio of 100 ms", "late_p99_ms", 100.0, "ms"),
        ("simulator_sessions", "99 of 100 ends of speech, after the audio was sent", "noticed_p99_ms", 100.0, "ms"),
        ("simulator_sessions", "CPU of the server", "server_cpu", 0.85, "cores"),
    ):
        runs = results.get(name, {})
        if OURS in runs:
            bar = f"{what}: at most {limit:g} {unit}"
            yield Verdict(SCENARIOS[name].title, bar, median(runs, OURS, metric), limit, unit)
