"""What the tests of the command line share: programs in a folder of their own, and servers that are none."""

from __future__ import annotations

import asyncio
import io
import socketserver
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

CLIP = Path(__file__).parent.parent / "fixtures" / "audio" / "weather_bern.wav"

HELLO = '''
import asyncio
from realtime_events import Realtime

rt = Realtime(instructions="You are a cheerful concierge.", voice="marin")

@rt.on("response.text.delta")
async def show(event):
    print(event.delta, end="", flush=True)

@rt.tool
async def get_weather(city: str) -> str:
    """Look up the current weather.

    Args:
        city: The city's name, such as "Bern".
    """
    return f"18 °C and sunny in {city}"

async def main():
    async with rt.connect() as session:
        turn = await session.ask("What should I wear in Bern today?")
        print(turn.text, turn.tool_calls, turn.usage)

'''
RUNS_BARE = HELLO + "asyncio.run(main())  # or: realtime-events run hello.py\n"
RUNS_GUARDED = HELLO + 'if __name__ == "__main__":\n    asyncio.run(main())\n'

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Puts each test into an empty folder, and takes back what loading a program changes in the process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a program and gives its name."""

    def write(text: str, name: str = "app.py") -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return name

    return write


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Makes the environment name a server that gives each request the same bytes, and then hangs up."""
    servers: list[socketserver.ThreadingTCPServer] = []

    def start(reply: bytes) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(65_536)
                self.request.sendall(reply)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("OPENAI_REALTIME_URL", f"ws://127.0.0.1:{server.server_address[1]}/v1/realtime")
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Child:
    """A running command line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, words: str, *, on: str = "stdout") -> str:
        """Waits for a line with some words, and gives it."""
        stream = getattr(self.process, on)
        seen: list[str] = []
        while line := (await stream.readline()).decode():
            seen.append(line)
            if words in line:
                return line
        raise AssertionError(f"{words!r} was never said, but {seen}")

    async def ends(self) -> tuple[int, str, str]:
        """Waits for its end, and gives the exit code and the rest of what it printed."""
        out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def started(*arguments: str, env: dict[str, str]) -> AsyncIterator[Child]:
    """Runs the command line as a process of its own, and ends it at the end of the block."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "realtime_events", *arguments]
    process = await asyncio.create_subprocess_exec(*command, env=env, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(45):
            yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def start(child_environment: dict[str, str]) -> Callable[..., AbstractAsyncContextManager[Child]]:
    """Starts the command line as a process: `async with start("simulate") as child`."""
    return lambda *arguments: started(*arguments, env=child_environment)


@pytest.fixture
def clip() -> Path:
    """Gives a recording that says "Hello! What is the weather in Bern today?"."""
    return CLIP


@pytest.fixture
def bare(write: Write) -> str:
    """Writes a bot that ends in `asyncio.run(main())`, and gives its name."""
    return write(RUNS_BARE, "hello.py")


@pytest.fixture
def guarded(write: Write) -> str:
    """Writes a bot whose start is guarded by `__main__`, and gives its name."""
    return write(RUNS_GUARDED, "hello.py")


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Types lines into the command line of this process."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))
