"""Signals to a process that runs a session: the turn may end, and nothing is left."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from realtime_events import Options
from realtime_events.simulator import EchoBrain, Simulator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the signals are those of POSIX")

WAIT_S = 30.0
DRAIN_S = Options().drain_s
PROGRAM = """
import asyncio, sys
from realtime_events import Endpoint, Realtime

rt = Realtime(session={"output_modalities": ["text"]})
asked = []

@rt.on("connection.opened")
async def opened(event, session):
    asked.append(asyncio.gather(session.ask("One two three"), return_exceptions=True))

@rt.on("response.created")
def began(event):
    print("began", flush=True)

@rt.on("turn.done")
def done(event):
    print("done:", event.turn.text, flush=True)

ending = rt.run(endpoint=Endpoint(url=sys.argv[1], api_key="test-key"))
print("ended", ending.code, ending.initiator, flush=True)
"""


@asynccontextmanager
async def running(
    faults: str, folder: Path, environment: dict[str, str]
) -> AsyncIterator[tuple[Simulator, asyncio.subprocess.Process]]:
    """A process that talks to a simulator of this one."""
    program = folder / "talk.py"
    program.write_text(PROGRAM, encoding="utf-8")
    pipe = asyncio.subprocess.PIPE
    environment = {**environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults=faults) as sim:
        command = [sys.executable, str(program), sim.url]
        child = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
        try:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"began\n"
            yield sim, child
        finally:
            if child.returncode is None:
                child.kill()
            await child.communicate()


async def test_sigterm_lets_the_turn_end_and_then_closes_in_order(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B50: an orderly end with an answer, exit code 0."""
    async with running("delay=0.5:response.done", tmp_path, child_environment) as (sim, child):
        child.send_signal(signal.SIGTERM)
        out, err = await child.communicate()
        assert out == b"done: One two three\nended 1000 client\n", err
        assert child.returncode == 0 and b"Traceback" not in err
        assert sim.sessions[0].is_over


async def test_a_second_signal_closes_at_once(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50: the turn that never ends is not waited for."""
    loop = asyncio.get_running_loop()
    async with running("drop:response.done", tmp_path, child_environment) as (_, child):
        began_s = loop.time()
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGINT)  # Another one, since two of a kind that come together are one.
        out, err = await child.communicate()
        assert loop.time() - began_s < DRAIN_S - 2.0, "it waited for the turn"
        assert out.endswith(b"ended 1000 client\n") and child.returncode == 0 and b"Traceback" not in err


async def test_sigint_does_not_wait_for_the_turn(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50: whoever presses Ctrl-C means now."""
    loop = asyncio.get_running_loop()
    async with running("drop:response.done", tmp_path, child_environment) as (_, child):
        began_s = loop.time()
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
        assert loop.time() - began_s < DRAIN_S - 2.0, "it waited for the turn"
        assert child.returncode == 0 and b"Traceback" not in err
