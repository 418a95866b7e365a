"""The report: the Markdown page made of one run's results, with the machine named.

Takes the results that `__main__.py` keeps as JSON; measures nothing. What is said here of the method is part of the
page, so that the page can be written again from any result file.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.bars import Verdict, median, verdicts
from benchmarks.scenarios import OURS, SCENARIOS, Scenario
from benchmarks.schedule import Runs

PACKAGES = ("aiohttp", "msgspec", "pyee", "openai", "openai-agents", "websockets", "pydantic")
BAR_WIDTH = 24

INTRODUCTION = """# Benchmarks

Written by `python -m nox -s bench`; do not edit. Compare the ratios: absolute numbers belong to this machine in that
hour, and to loopback without TLS. In real traffic the network and the waiting for it dwarf most of what is seen here:
a burst shows what an event costs, not how many calls a machine can hold.
"""

METHOD = """
## Method

- A server in a process of its own, pinned to the last core, sends frames that were encoded when it started; it costs
  less than any client. Each client runs in a fresh process pinned to the first core, by turns with the others, and
  every turn starts with another client. A number is the median of the repetitions, and in a burst each repetition is
  the median of five bursts after one that warms up.
- The time is CPU time of the client process (`time.process_time`), from the trigger to `response.done`: waiting for
  the server is not in it, connecting is not either.
- A burst is ten responses as the API sends them, from `response.created` over item and part to `response.done`. Each
  client awaits one async handler per delta, which counts it and its payload, audio as bytes. A client that did not
  hear exactly what was sent fails the run.
- `floor` is aiohttp's WebSocket client, one msgspec decode into the union of events that the library uses, a dict
  look-up and the awaited handler: what is left if a framework does nothing else.
- `openai_iterate` and `openai_on` are the `openai` SDK read by `async for`, and with `.on(...)` under
  `dispatch_events`; bars use the cheaper of the two. `openai_agents` is the WebSocket model of `openai-agents`
  with a listener; its session would add a queue on top.
- Imports are timed inside fresh interpreters, bytecode cached. Memory of an idle session is the growth of the resident
  set over 500 sessions after the first 200, divided. Growth over a long session is what tracemalloc sees after 110,000
  deltas, less what it saw after 10,000. A conversation keeps its items (here one for each 1,000 deltas) with their
  text, but no audio: the bar allows the text itself and a few bytes per delta for the items.
- With `--all` there are paced streams, the sending of audio (CPU of the call; the server tells how many pieces it got),
  and a turn of two responses with a tool call between them, on the clock, since there the server works too.
- Recording is measured with `--all` too: the same application with `record=` and without, CPU of all threads up to the
  end of the session. `recorded` writes a plain tape and `recorded_gz` a compressed one, both without the audio, and
  `recorded_audio` a plain one with it. A tape that misses a delta fails the run.
- The simulator is measured with `--all` as well, on the clock, so on a machine that has nothing else to do. 200 callers
  in one process send it a recorded question over and over at the speed of speech, 100 ms at a time, beginning one after
  another within five seconds, and are talked to without a pause, 100 ms at a time; it has one core and finds and
  recognises each question. Lateness is how much later a piece came than the most timely one of its response allows.
  With the extra `local` one caller asks aloud, 20 ms at a time; what counts is the time between the arrivals of
  `speech_stopped` and of the first audio, with recognition, brain and voice between them.
"""


def machine() -> dict[str, str]:
    """Names what the numbers belong to."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "CPU": _cpu(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: version for name, version in versions.items() if version},
    }


def page(results: Mapping[str, Any]) -> str:
    """Writes the whole page."""
    scenarios: Mapping[str, Runs] = results["scenarios"]
    named = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    parts = [INTRODUCTION, f"Run of {results['date']}, {results['repetitions']} repetitions, on: {named}.\n"]
    if results["quick"]:
        parts.append("**This was a quick run: it shows that everything works, its numbers mean little.**\n")
    parts += ["## Bars\n", *_bars(verdicts(scenarios)), "\n## Numbers\n"]
    for name, runs in scenarios.items():
        parts += [f"### {SCENARIOS[name].title}\n", *_table(SCENARIOS[name], runs), ""]
    return "\n".join(parts).rstrip() + "\n" + METHOD


def _bars(held: list[Verdict]) -> Iterator[str]:
    yield "| what | bar | measured | |"
    yield "| --- | --- | ---: | --- |"
    for verdict in held:
        yield f"| {verdict.what} | {verdict.bar} | {_measured(verdict)} | {_judged(verdict)} |"


def _measured(verdict: Verdict) -> str:
    measured = f"{verdict.value:.2f} {verdict.unit}"
    return measured if verdict.unit == "×" else f"{measured} (limit {verdict.limit:.2f})"


def _judged(verdict: Verdict) -> str:
    return f"pass, {verdict.margin:.0%} to spare" if verdict.passed else f"**miss by {-verdict.margin:.0%}**"


def _table(scenario: Scenario, runs: Runs) -> Iterator[str]:
    medians = {client: median(runs, client, scenario.metric) for client in runs}
    longest = max(max(medians.values()), 0.01)
    yield f"| client | {scenario.unit} | from – to | × {OURS} | |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for client, value in medians.items():
        values = [numbers[scenario.metric] for numbers in runs[client]]
        ratio = f"{value / medians[OURS]:.2f}" if medians.get(OURS, 0) > 0 else ""
        drawn = "█" * round(max(value, 0) / longest * BAR_WIDTH)
        name = f"**{client}**" if client == OURS else client
        yield f"| {name} | {value:.2f} | {min(values):.2f} – {max(values):.2f} | {ratio} | {drawn or '▏'} |"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
