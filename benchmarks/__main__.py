"""The command line of the benchmarks: chooses scenarios and clients, runs them, keeps the results, writes the page."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks import report, schedule
from benchmarks.bars import verdicts
from benchmarks.clients import PEERS
from benchmarks.scenarios import SCENARIOS, Scenario

RESULTS = schedule.ROOT / "benchmarks" / "results"
PAGE = schedule.ROOT / "docs" / "benchmarks.md"
NEEDS = {"openai": "openai", "openai_iterate": "openai", "openai_on": "openai", "openai_agents": "agents"}


def main() -> int:
    """Runs what was asked for; misses of bars are reported, not failures."""
    arguments = _parse()
    if arguments.report:
        results = json.loads(arguments.report.read_text())
    else:
        results = _run(arguments)
        RESULTS.mkdir(exist_ok=True)
        stem = "quick" if arguments.quick else "latest"
        (RESULTS / f"{stem}.json").write_text(json.dumps(results, indent=1))
    for verdict in verdicts(results["scenarios"]):
        say(f"{'pass' if verdict.passed else 'MISS'} {verdict.margin:+.0%} {verdict.what}: {verdict.bar}")
    page = arguments.page or (PAGE if _is_whole(arguments) else None)
    if page:
        page.write_text(report.page(results))
    return 0


def say(line: str) -> None:
    """Tells how far the run is."""
    print(line, file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument("--all", action="store_true", help="the slow extra scenarios too")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, once: shows that everything runs")
    parser.add_argument("--repetitions", type=int, default=0, metavar="N", help="of each client (9; quick 1)")
    parser.add_argument("--clients", nargs="*", default=[], metavar="client", help="only these")
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing, report a result file")
    parser.add_argument("--page", type=Path, metavar="MD", help="write the page here (a whole run: docs/benchmarks.md)")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    return arguments


def _is_whole(arguments: argparse.Namespace) -> bool:
    return not (arguments.quick or arguments.scenarios or arguments.clients or arguments.report)


def _run(arguments: argparse.Namespace) -> dict[str, object]:
    repetitions = arguments.repetitions or (1 if arguments.quick else 9)
    missing = sorted({name for name in PEERS if not find_spec(NEEDS[name])})
    if missing:
        say(f"not installed, so left out: {', '.join(missing)}")
    scenarios: dict[str, schedule.Runs] = {}
    for scenario in _chosen(arguments):
        if missing := [name for name in scenario.needs if not find_spec(name)]:
            say(f"not installed, so without {scenario.name}: {', '.join(missing)}")
            continue
        clients = tuple(name for name in scenario.clients if _is_wanted(name, arguments.clients))
        scenarios[scenario.name] = schedule.run(scenario, clients, repetitions, say)
    return {
        "date": datetime.date.today().isoformat(),
        "quick": arguments.quick,
        "repetitions": repetitions,
        "machine": report.machine(),
        "scenarios": scenarios,
    }


def _chosen(arguments: argparse.Namespace) -> list[Scenario]:
    wanted = arguments.scenarios or [name for name, it in SCENARIOS.items() if arguments.all or not it.is_extra]
    return [SCENARIOS[name].quick() if arguments.quick else SCENARIOS[name] for name in wanted]


def _is_wanted(client: str, asked: list[str]) -> bool:
    return (not asked or client in asked) and (client not in NEEDS or find_spec(NEEDS[client]) is not None)


if __name__ == "__main__":
    sys.exit(main())
