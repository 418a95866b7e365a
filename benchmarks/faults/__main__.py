"""The command line of the comparison: runs the cells, keeps the results, writes the page."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.faults import page
from benchmarks.faults.clients import NAMES, OURS
from benchmarks.faults.scenes import SCENES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "faults.json"
PAGE = ROOT / "docs" / "explanation" / "comparison.md"
MACHINE = ("CPU", "cores", "system", "Python")
WAITING = ("black_hole", "deaf_peer")
"""Scenes that wait for a minute and do next to nothing: all clients may do so at a time."""
CELL_S = 200


def main() -> int:
    """Runs what was asked for; a row in which a peer is better is reported, not a failure."""
    arguments = _parse()
    results = json.loads(arguments.report.read_text()) if arguments.report else _run(arguments)
    print("\n".join(page.table(results)))
    if arguments.report or not (arguments.scenes or arguments.clients):
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(page.page(results))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="scene", help=f"of: {', '.join(SCENES)}; the page needs all")
    parser.add_argument("--clients", nargs="*", default=[], metavar="client", help="only these, and this package")
    parser.add_argument("--report", type=Path, metavar="JSON", help="run nothing, write the page of a result file")
    arguments = parser.parse_args()
    if unknown := {*arguments.scenes} - SCENES.keys() | {*arguments.clients} - NAMES.keys():
        parser.error(f"no such scene or client: {', '.join(sorted(unknown))}")
    return arguments


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    wanted = [name for name in NAMES if not arguments.clients or name in (OURS, *arguments.clients)]
    versions = {client: _versions(client) for client in wanted}
    scenes = {scene: _cells(scene, wanted) for scene in arguments.scenes or SCENES}
    machine = {name: value for name, value in report.machine().items() if name in MACHINE}
    today = datetime.date.today().isoformat()
    return {"date": today, "machine": machine, "versions": versions, "scenes": scenes}


def _versions(client: str) -> Mapping[str, str]:
    """Gives the versions behind a client.

    Raises:
        PackageNotFoundError: One is not installed: the comparison is of all or of those that were named.
    """
    return {name: metadata.version(name) for name in NAMES[client]}


def _cells(scene: str, clients: list[str]) -> dict[str, Any]:
    with ThreadPoolExecutor(len(clients) if scene in WAITING else 1) as pool:
        return dict(zip(clients, pool.map(lambda client: _cell(scene, client), clients), strict=True))


def _cell(scene: str, client: str) -> Any:
    command = (sys.executable, "-m", "benchmarks.faults.cell", scene, client)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CELL_S, check=False)
    if done.returncode:
        raise SystemExit(f"{scene} with {client} failed:\n{done.stderr[-2_000:]}")
    measures = done.stdout.splitlines()[-1]
    print(f"{scene} {client}: {measures}", file=sys.stderr, flush=True)
    return json.loads(measures)


if __name__ == "__main__":
    sys.exit(main())
