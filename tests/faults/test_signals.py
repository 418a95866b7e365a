"""Signals to a process that runs a session: what runs may end, nothing else begins, and the process does end.

Each test has a process of its own, which prints `ready` when the signal may come.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from realtime_events import Options
from realtime_events.events import ResponseDone
from realtime_events.protocol import decode
from realtime_events.recorder import Tape
from realtime_events.simulator import Call, EchoBrain, Say, ScriptBrain, Simulator, Step
from realtime_events.switchboard import DRAIN_S as BOARD_DRAIN_S
from realtime_events.switchboard import HANG_UP_TIMEOUT_S
from realtime_events.testing import FaultProxy, Toxics

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the signals are those of POSIX")

WAIT_S = 30.0
DRAIN_S = Options().drain_s
EXIT_S = 15.0  # what a process is given before it is killed: a promise of ours (G6)
STOP_S, NIGHTLY_STOP_S = 0.7, 7.0
HEAD = """
import asyncio, sys, threading
from realtime_events import Endpoint, Realtime

def ready():
    print("ready", flush=True)

rt = Realtime(session={"output_modalities": ["text"]})
how = {}
"""
FOOT = """
ending = rt.run(endpoint=Endpoint(url=sys.argv[1], api_key="test-key"), **how)
print("ended", ending.code, ending.initiator, flush=True)
"""
ASKS = """
asked = []

@rt.on("connection.opened")
async def opened(event, session):
    asked.append(asyncio.gather(session.ask("One two three"), return_exceptions=True))

@rt.on("turn.done")
def done(event):
    print("done:", event.turn.text, flush=True)
"""
ASKS_AND_WAITS = (
    ASKS
    + """
@rt.on("response.created")
def began(event):
    ready()
"""
)


@asynccontextmanager
async def running(
    body: str, folder: Path, environment: dict[str, str], *arguments: str, whole: bool = False, fds: Sequence[int] = ()
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A process that is ready for its signal."""
    program = folder / "program.py"
    program.write_text(body if whole else HEAD + body + FOOT, encoding="utf-8")
    pipe = asyncio.subprocess.PIPE
    environment = {**environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    async with asyncio.timeout(WAIT_S):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            *arguments,
            cwd=folder,
            env=environment,
            stdout=pipe,
            stderr=pipe,
            pass_fds=fds,
        )
        try:
            assert child.stdout is not None
            while (line := await child.stdout.readline()) != b"ready\n":
                assert line, (await child.communicate())[1]
            yield child
        finally:
            if child.returncode is None:
                child.kill()
            await child.communicate()


async def ended(child: asyncio.subprocess.Process, *signals: signal.Signals) -> tuple[str, str, float]:
    """Sends signals; gives what the process printed then, and after how many seconds it had ended with code 0."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for number in signals:
        child.send_signal(number)
    out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    return out.decode(), err.decode(), loop.time() - began_s


async def test_sigterm_lets_the_turn_end_and_then_closes_in_order(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B50: an orderly end with an answer, exit code 0."""
    async with Simulator(brain=EchoBrain(), pace=None, faults="delay=0.5:response.done") as sim:
        async with running(ASKS_AND_WAITS, tmp_path, child_environment, sim.url) as child:
            out, err, _ = await ended(child, signal.SIGTERM)
        assert out == "done: One two three\nended 1000 client\n", err
        assert "Traceback" not in err
        assert sim.sessions[0].is_over


async def test_a_second_signal_closes_at_once(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50: the turn that never ends is not waited for."""
    async with Simulator(brain=EchoBrain(), pace=None, faults="drop:response.done") as sim:
        async with running(ASKS_AND_WAITS, tmp_path, child_environment, sim.url) as child:
            # Another one, since two of a kind that come together are one.
            out, err, took_s = await ended(child, signal.SIGTERM, signal.SIGINT)
        assert took_s < DRAIN_S - 2.0, "it waited for the turn"
        assert out.endswith("ended 1000 client\n") and "Traceback" not in err


async def test_sigint_does_not_wait_for_the_turn(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50: whoever presses Ctrl-C means now."""
    async with Simulator(brain=EchoBrain(), pace=None, faults="drop:response.done") as sim:
        async with running(ASKS_AND_WAITS, tmp_path, child_environment, sim.url) as child:
            _, err, took_s = await ended(child, signal.SIGINT)
        assert took_s < DRAIN_S - 2.0, "it waited for the turn"
        assert "Traceback" not in err


async def test_the_audio_that_a_second_signal_cuts_off_is_named(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B50, B17: what was accepted and waits for a network that takes nothing is lost, and says so."""
    body = """
how.update(drain_s=60.0)
asked = []

@rt.on("connection.opened")
async def speak(event, session):
    asked.append(asyncio.gather(session.ask("One two three"), return_exceptions=True))
    await session.wait_for("response.created")
    while session.audio_ledger.queued_bytes < 480_000:
        await session.send_audio(bytes(48_000))
    ready()

@rt.on("audio.gap")
def gap(event):
    print("gap", round(event.length_ms), flush=True)
"""
    narrow = Toxics(bandwidth_bytes_per_s=30_000)
    async with Simulator(brain=EchoBrain(), pace=None, faults="drop:response.done") as sim:
        async with FaultProxy(sim.endpoint, up=narrow, buffer_bytes=16_384) as proxy:
            async with running(body, tmp_path, child_environment, proxy.endpoint.url) as child:
                out, _, took_s = await ended(child, signal.SIGTERM, signal.SIGINT)
    assert took_s < 5.0
    lost_ms = sum(int(line.split()[1]) for line in out.splitlines() if line.startswith("gap"))
    assert lost_ms >= 5_000 and out.endswith("ended 1000 client\n")


async def test_a_signal_ends_a_first_connection_that_is_still_tried(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B50: in order and at once, although there are ten seconds left to try."""
    body = """
def key():
    ready()
    return "test-key"

ending = rt.run(endpoint=Endpoint(url=sys.argv[1], api_key=key))
print("ended", ending.code, ending.initiator, flush=True)
sys.exit()
"""
    async with running(body, tmp_path, child_environment, "ws://127.0.0.1:9/v1/realtime") as child:
        out, err, took_s = await ended(child, signal.SIGTERM)
    assert out.endswith("ended 1000 client\n") and "Traceback" not in err
    assert took_s < 5.0


# What runs, and what begins.


async def test_a_tool_that_runs_is_given_its_time_and_its_output_is_spoken_of(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B50, G6: the turn ends with its tool rounds."""
    body = (
        ASKS
        + """
@rt.tool
async def look_up() -> str:
    ready()
    await asyncio.sleep(0.5)
    print("looked up", flush=True)
    return "It is on its way."
"""
    )
    script = ScriptBrain([Step(emit=[Call("look_up", "{}")]), Step(emit=[Say("On its way.")])])
    async with Simulator(brain=script, pace=None) as sim:
        async with running(body, tmp_path, child_environment, sim.url) as child:
            out, err, _ = await ended(child, signal.SIGTERM)
    assert out == "looked up\ndone: On its way.\nended 1000 client\n", err


async def test_a_tool_that_takes_longer_than_the_grace_is_not_waited_for(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B50, G6: in a thread or not."""
    body = (
        ASKS
        + """
how.update(drain_s=0.3)

@rt.tool
async def look_up() -> str:
    await asyncio.Event().wait()

@rt.tool
def look_it_up() -> str:
    ready()
    threading.Event().wait()
"""
    )
    script = ScriptBrain([Step(emit=[Call("look_up", "{}"), Call("look_it_up", "{}")])])
    async with Simulator(brain=script, pace=None) as sim:
        async with running(body, tmp_path, child_environment, sim.url) as child:
            out, _, took_s = await ended(child, signal.SIGTERM)
    assert out.endswith("ended 1000 client\n")
    assert 0.3 <= took_s < 0.3 + EXIT_S - DRAIN_S


async def test_nothing_new_begins_while_a_session_drains(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50, G6: no turn, no response and no word of the user; what runs is answered."""
    body = (
        ASKS_AND_WAITS
        + """
@rt.on("turn.done")
async def again(event, session):
    for begin in (lambda: session.ask("Again?"), lambda: respond(session), lambda: talk(session)):
        try:
            await begin()
        except Exception as error:
            print(type(error).__name__, str(error).partition(":")[0], flush=True)

async def respond(session):
    await session.respond(conversation="none")

async def talk(session):
    session.talk()
"""
    )
    async with Simulator(brain=EchoBrain(), pace=None, faults="delay=0.3:response.done") as sim:
        async with running(body, tmp_path, child_environment, sim.url) as child:
            out, _, _ = await ended(child, signal.SIGTERM)
        refusal = "LocalProtocolError the session is draining\n"
        assert out == "done: One two three\n" + 3 * refusal + "ended 1000 client\n"
        assert [event.type for event in sim.sessions[0].received].count("response.create") == 1


# What hangs.

HANGS = {
    "a handler in a thread": """
@rt.on("connection.opened", delivery="thread")
def hang(event):
    ready()
    threading.Event().wait()
""",
    "a function that a handler has given to a thread": """
@rt.on("connection.opened")
async def hang(event):
    ready()
    await asyncio.to_thread(threading.Event().wait)
""",
    "a handler that swallows its cancellation": """
@rt.on("connection.opened")
async def hang(event):
    ready()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
""",
    "a tool that swallows its cancellation": ASKS
    + """
how.update(drain_s=0.3)

@rt.tool
async def hang() -> str:
    ready()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
""",
}
NAMED = {
    "a function that a handler has given to a thread": "still run in threads; they are left behind",
    "a handler that swallows its cancellation": "task hang (Lane._run) goes on although it was cancelled",
    "a tool that swallows its cancellation": "task tool hang call",
}


@pytest.mark.parametrize("what", HANGS)
async def test_whatever_hangs_keeps_no_process(what: str, tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50, G6: it is waited for a while, named and left behind."""
    script = ScriptBrain([Step(emit=[Call("hang", "{}")])])
    async with Simulator(brain=script, pace=None) as sim:
        async with running(HANGS[what], tmp_path, child_environment, sim.url) as child:
            out, err, took_s = await ended(child, signal.SIGTERM)
    assert out.endswith("ended 1000 client\n")
    assert took_s < EXIT_S - DRAIN_S
    assert NAMED.get(what, "") in err


async def test_the_tape_is_whole_after_sigterm(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50, G6: the turn that was let end stands in it, and so does the end of the connection."""
    body = ASKS_AND_WAITS + 'how.update(record="call.jsonl")'
    async with Simulator(brain=EchoBrain(), pace=None, faults="delay=0.3:response.done") as sim:
        async with running(body, tmp_path, child_environment, sim.url) as child:
            await ended(child, signal.SIGTERM)
    tape = Tape.read(tmp_path / "call.jsonl")
    assert not tape.torn and tape.damaged == 0
    assert tape.endings[1].code == 1000
    told = [decode(frame.data) for frame in tape if frame.direction == "in"]
    (done,) = [event for event in told if isinstance(event, ResponseDone)]
    assert done.response.status == "completed"


# A process that is stopped, and goes on.


async def stopped(for_s: float, tmp_path: Path, environment: dict[str, str], **pings: float) -> None:
    """Stops a process for a while in the middle of a turn; its session goes on as if nothing had been."""
    body = (
        ASKS_AND_WAITS
        + f"how.update({pings!r})\n"
        + """
@rt.on(["connection.lost", "connection.stalled", "loop.blocked"])
def troubled(event):
    print(event, flush=True)

@rt.on("turn.done")
async def ends(event, session):
    await session.close()
"""
    )
    faults = f"delay={for_s + 0.5}:response.done"
    async with Simulator(brain=EchoBrain(), pace=None, faults=faults) as sim:
        async with running(body, tmp_path, environment, sim.url) as child:
            child.send_signal(signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(child.wait(), for_s)
            out, err, _ = await ended(child, signal.SIGCONT)
        assert out == "done: One two three\nended 1000 client\n", err
        assert "blocked" not in err
        assert len(sim.sessions) == 1


async def test_a_process_that_was_stopped_for_a_moment_goes_on(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B44, G10: for longer than ping interval and timeout together, and nobody is blamed: neither peer nor handler."""
    await stopped(STOP_S, tmp_path, child_environment, ping_interval_s=0.2, ping_timeout_s=0.3)


@pytest.mark.nightly
async def test_a_process_that_was_stopped_for_seven_seconds_goes_on(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B44, G10: with the pings as they are, and with some that had been long over."""
    await stopped(NIGHTLY_STOP_S, tmp_path, child_environment)
    await stopped(NIGHTLY_STOP_S, tmp_path, child_environment, ping_interval_s=1.0, ping_timeout_s=2.0)


# Calls.

SECRET = "whsec_Y2FuYXJ5LW1hdGVyaWFs"
BOARD = """
import asyncio, socket, sys
from aiohttp import web
from realtime_events import Endpoint, Realtime

rt = Realtime()

@rt.on("connection.opened")
async def opened(event, session):
    await asyncio.gather(session.respond(), return_exceptions=True)

begun = []

@rt.on("response.created")
def began(event):
    begun.append(event)
    if len(begun) == 2:
        print("ready", flush=True)

board = rt.webhooks(sys.argv[3], endpoint=Endpoint(url=sys.argv[1], api_key="test-key"), drain_s=float(sys.argv[4]))
app = web.Application()
board.add_to(app, "/webhook")
web.run_app(app, sock=socket.socket(fileno=int(sys.argv[2])), print=None)
print("ended", flush=True)
"""


async def board_ends(drain_s: float, tmp_path: Path, environment: dict[str, str]) -> float:
    """Ends a process that holds two calls whose turns never end; gives how many seconds it took."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/webhook"
        async with Simulator(brain=EchoBrain(), pace=None, faults="drop:response.done") as sim:
            ringing = asyncio.gather(*(sim.ring(webhook_url=url, secret=SECRET) for _ in range(2)))
            arguments = (sim.url, str(listener.fileno()), SECRET, str(drain_s))
            async with running(BOARD, tmp_path, environment, *arguments, whole=True, fds=(listener.fileno(),)) as child:
                calls = await ringing
                assert [call.state for call in calls] == ["active", "active"]
                out, err, took_s = await ended(child, signal.SIGTERM)
            assert out == "ended\n" and "Traceback" not in err
            assert [call.state for call in calls] == ["ended", "ended"]
    return took_s


async def test_the_calls_of_a_process_that_ends_are_hung_up(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """B50, G6: after the grace, whatever is said on them."""
    assert 0.5 <= await board_ends(0.5, tmp_path, child_environment) < 5.0


@pytest.mark.nightly
async def test_the_calls_of_a_process_are_hung_up_before_it_is_killed(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """G6: with the grace as it is."""
    assert BOARD_DRAIN_S + HANG_UP_TIMEOUT_S < EXIT_S
    assert BOARD_DRAIN_S <= await board_ends(BOARD_DRAIN_S, tmp_path, child_environment) < EXIT_S


@pytest.mark.nightly
async def test_a_session_whose_turn_never_ends_is_closed_before_its_process_is_killed(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """G6: with the grace as it is, and a tool that swallows its cancellation."""
    body = HANGS["a tool that swallows its cancellation"].replace("how.update(drain_s=0.3)", "")
    script = ScriptBrain([Step(emit=[Call("hang", "{}")])])
    async with Simulator(brain=script, pace=None) as sim:
        async with running(body, tmp_path, child_environment, sim.url) as child:
            _, _, took_s = await ended(child, signal.SIGTERM)
    assert DRAIN_S <= took_s < EXIT_S
