"""The order of the runs: each scenario with its own server, its clients by turns, each in a fresh process.

Owns the processes and the cores they run on. Gives the raw numbers of every repetition; `bars.py` and `report.py`
make sense of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.scenarios import IMPORTS, Scenario

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 300
TIMED_IMPORT = (
    "import time; before = time.process_time(); {}; print('{{\"ms\": %f}}' % ((time.process_time() - before) * 1e3))"
)

Numbers = dict[str, float]
Runs = dict[str, list[Numbers]]
"""What one scenario gave: for each client its repetitions."""


def run(scenario: Scenario, clients: tuple[str, ...], repetitions: int, say: Callable[[str], None]) -> Runs:
    """Runs one scenario, each repetition starting with another client.

    Raises:
        subprocess.CalledProcessError: A client failed, or did not hear all that was sent.
    """
    runs: Runs = {client: [] for client in clients}
    with _server(scenario) as server:
        if scenario.measure == "import":
            for client in clients:
                _measure(scenario, client, server)  # Writes the bytecode, once and for all.
        for repetition in range(min(repetitions, scenario.most_repetitions)):
            for client in rotated(clients, repetition):
                numbers = _measure(scenario, client, server)
                runs[client].append(numbers)
                say(f"{scenario.name} {repetition + 1}/{repetitions} {client}: {numbers[scenario.metric]:.2f}")
    return runs


def rotated(clients: tuple[str, ...], by: int) -> tuple[str, ...]:
    """Turns the order, so that none always runs in the wake of the same other."""
    by %= len(clients)
    return clients[by:] + clients[:by]


class Server(NamedTuple):
    """Where the server of a scenario is."""

    url: str = ""
    pid: int = 0


def _measure(scenario: Scenario, client: str, server: Server) -> Numbers:
    if scenario.measure == "import":
        return _output("-c", TIMED_IMPORT.format(IMPORTS[client]))
    order = {"measure": scenario.measure, "url": server.url, "count": scenario.count}
    if scenario.simulator:
        order |= {"pid": server.pid, "seconds": scenario.traffic.deltas * scenario.traffic.delta_ms / 1e3}
        return _output("-m", "benchmarks.calls", json.dumps(order), core=_core(scenario, 0))
    order["client"] = client
    return _output("-m", "benchmarks.measure", json.dumps({**order, "traffic": asdict(scenario.traffic)}))


def _output(*arguments: str, core: int | None = 0) -> Numbers:
    command = [sys.executable, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT_S,
        text=True,
        preexec_fn=_pinned(core),
    )
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    return numbers


@contextmanager
def _server(scenario: Scenario) -> Iterator[Server]:
    if scenario.measure == "import":
        yield Server()
        return
    command = [sys.executable, "-m", *_server_arguments(scenario)]
    pinned = _pinned(_core(scenario, -1))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=pinned) as server:
        assert server.stdout is not None
        try:
            yield Server(f"http://127.0.0.1:{int(server.stdout.readline())}/v1/realtime", server.pid)
        finally:
            server.kill()


def _server_arguments(scenario: Scenario) -> list[str]:
    if scenario.simulator:
        return ["benchmarks.simulator", f"--{scenario.simulator}"]
    traffic = json.dumps(asdict(scenario.traffic))
    return ["benchmarks.server", "--traffic", traffic, "--rate-hz", str(scenario.rate_hz)]


def _core(scenario: Scenario, core: int) -> int | None:
    """Gives the core to pin a process to; None where engines work in threads of their own and may have any."""
    return None if scenario.simulator == "local" else core


def _pinned(core: int | None) -> Callable[[], None] | None:
    """Clients have the first core, the server the last; on one core, or where nothing can be pinned, they share."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return None
    chosen = sorted(os.sched_getaffinity(0))[core]
    return lambda: os.sched_setaffinity(0, {chosen})
