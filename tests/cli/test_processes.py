"""The command line as a process: signals, pipes, and a terminal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from realtime_events import Endpoint, Realtime

Start = Callable[..., AbstractAsyncContextManager[Any]]
Write = Callable[..., str]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the signals are those of POSIX")

WAITING = """
from realtime_events import Realtime

rt = Realtime()

@rt.on("connection.opened")
def opened(event):
    print("opened", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_simulator_serves_until_it_is_stopped(start: Start, number: signal.Signals) -> None:
    """Its first line is a URL that works; both signals end it well."""
    async with start("simulate") as child:
        url = (await child.says("ws://")).strip()
        async with Realtime().connect(endpoint=Endpoint(url=url, api_key="test-key")) as session:
            assert (await session.ask("Hello!", timeout=20)).text
        child.process.send_signal(number)
        code, _, err = await child.ends()
    assert code == 0
    assert "Traceback" not in err


async def test_the_simulator_speaks_the_dialect_that_was_asked_for(start: Start) -> None:
    """A beta client is served by `--dialect beta`."""
    async with start("simulate", "--dialect", "beta") as child:
        endpoint = Endpoint(url=(await child.says("ws://")).strip(), api_key="test-key", dialect="beta")
        async with Realtime().connect(endpoint=endpoint) as session:
            assert (await session.ask("Hello!", timeout=20)).text


async def test_a_port_that_is_taken_is_told(start: Start) -> None:
    """The second simulator on a port fails with a line."""
    async with start("simulate") as first:
        port = (await first.says("ws://")).rpartition(":")[2].partition("/")[0]
        async with start("simulate", "--port", port) as second:
            code, out, err = await second.ends()
    assert (code, out) == (1, "")
    assert "cannot listen" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_an_application_runs_until_it_is_stopped(
    start: Start, write: Write, number: signal.Signals, code: int
) -> None:
    """Ctrl-C gives 130, SIGTERM 0; neither a traceback."""
    async with start("run", write(WAITING), "--simulate") as child:
        await child.says("opened")
        child.process.send_signal(number)
        ended, _, err = await child.ends()
    assert ended == code
    assert "Traceback" not in err


WORKING = """
import asyncio
from realtime_events import Realtime

rt = Realtime()
may_end = asyncio.Event()

@rt.tool
async def get_weather(city: str) -> str:
    print("working", flush=True)
    await may_end.wait()
    return f"18 °C and sunny in {city}"

@rt.on("connection.opened")
async def opened(event, session):
    try:
        await session.ask("What should I wear in Bern today?")
    except Exception as error:
        print("failed:", error, flush=True)

@rt.on("turn.done")
def answered(event):
    print("answered:", event.turn.text, flush=True)
"""


async def test_sigterm_lets_the_turn_that_runs_end(start: Start, write: Write) -> None:
    """B50: a tool that works answers, and the model speaks of it; then it ends in good order."""
    # It goes on once the session drains: nothing new may begin then.
    draining = """
@rt.on("tool.started")
async def wait_for_the_signal(event, session):
    while not session.is_muted:
        await asyncio.sleep(0.01)
    may_end.set()
"""
    async with start("run", write(WORKING + draining), "--simulate") as child:
        await child.says("working")
        child.process.send_signal(signal.SIGTERM)
        code, out, err = await child.ends()
    assert code == 0 and "Traceback" not in err
    assert "answered: 18 °C and sunny in Bern" in out and "failed" not in out


async def test_ctrl_c_ends_a_program_that_started_itself(start: Start, write: Write) -> None:
    """The program's own `asyncio.run` is interrupted without a traceback."""
    text = WAITING + "import asyncio\nasync def main():\n    async with rt.connect() as s: await s.wait_closed()\n"
    async with start("run", write(text + "asyncio.run(main())\n"), "--simulate") as child:
        await child.says("opened")
        child.process.send_signal(signal.SIGINT)
        code, _, err = await child.ends()
    assert code == 130
    assert "Traceback" not in err


async def test_a_session_that_the_server_ends_is_told(start: Start, write: Write, monkeypatch: Any) -> None:
    """A server that goes away is a line and exit code 1, while a prompt still waits for a line."""
    async with start("simulate") as server:
        endpoint = (await server.says("ws://")).strip()
        program = WAITING.replace("Realtime()", f"Realtime(endpoint=Endpoint(url={endpoint!r}))").replace(
            "import Realtime", "import Endpoint, Options, Realtime"
        )
        program = program.replace("'))", "', api_key='test-key'), options=Options(reconnect=False))")
        async with start("run", write(program), "--text") as child:
            await child.says("opened")
            server.process.send_signal(signal.SIGTERM)
            await child.process.wait()  # While its prompt is still open: `ends` would close that first.
            code, _, err = await child.ends()
    assert code == 1
    assert "closed by the server with code 1001" in err
    assert "Traceback" not in err


async def test_what_is_piped_in_is_asked(start: Start) -> None:
    """The end of the input is the end of the chat."""
    async with start("chat", "--simulate") as child:
        child.process.stdin.write(b"Hello!")
        child.process.stdin.close()
        code, out, err = await child.ends()
    assert (code, err) == (0, "")
    assert "assistant   Hello! How can I help you?" in out


async def test_a_reader_that_has_seen_enough_is_no_failure(start: Start) -> None:
    """`realtime-events events | head` ends without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "realtime_events", "events", stdout=writer, stderr=asyncio.subprocess.PIPE
    )
    os.close(writer)
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert err == b""
    assert process.returncode == 141


async def test_a_changed_file_starts_the_application_again(start: Start, write: Write, folder: Path) -> None:
    """`--reload` says so; the new program runs, and Ctrl-C ends both."""
    name = write(WAITING)
    async with start("run", name, "--simulate", "--reload") as child:
        await child.says("opened")
        write(WAITING.replace('"opened"', '"opened anew"'))
        os.utime(folder / name, ns=(1, 1))
        await child.says("opened anew")
        child.process.send_signal(signal.SIGINT)
        code, _, err = await child.ends()
    assert code == 130
    assert "a file has changed" in err
    assert "Traceback" not in err


async def test_a_reload_waits_for_a_program_to_be_mended(start: Start, write: Write, folder: Path) -> None:
    """A program that cannot be loaded is tried again after a change; one that ends well ends the watch."""
    name = write("1 / 0\n")
    async with start("run", name, "--simulate", "--reload") as child:
        await child.says("waiting for a change", on="stderr")
        write('if __name__ == "__main__":\n    print("mended", flush=True)\n')
        os.utime(folder / name, ns=(1, 1))
        await child.says("mended")
        code, _, _ = await child.ends()
    assert code == 0


async def test_a_terminal_gets_a_prompt_and_colours(child_environment: dict[str, str]) -> None:
    """At a terminal the prompt comes back after each answer, and Ctrl-C leaves it."""
    pty = pytest.importorskip("pty")
    pytest.importorskip("rich")
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "realtime_events", "chat", "--simulate"]
    env = {**child_environment, "TERM": "xterm-256color"}
    process = await asyncio.create_subprocess_exec(*command, env=env, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        async with asyncio.timeout(45):
            assert b"\x1b[" in await shown_until(master, b"you")
            os.write(master, b"Hello!\n")
            answer = await shown_until(master, b"you ")
            assert b"How can I help you?" in answer
            assert b"assistant" in answer
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
        os.close(master)


async def shown_until(master: int, words: bytes) -> bytes:
    """Reads a terminal until some words have been shown at the start of a line, colours aside."""
    loop = asyncio.get_running_loop()
    seen = b""
    while re.search(rb"(^|\n)(\x1b\[[\d;]*m)*" + words, seen) is None:
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(master, lambda waiting=readable: waiting.done() or waiting.set_result(None))
        try:
            await readable
        finally:
            loop.remove_reader(master)
        seen += os.read(master, 4096)
    return seen
