"""What the tests with foreign clients share: a simulator, recorded speech, a tap on the wire, and Node.

The tap checks every frame that the simulator sends to any of these clients against the published schemas. A client
that is not installed skips its tests; `nox -s interop` installs them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from aiohttp import web

from realtime_events.audio import PCM16, read_wav
from realtime_events.events.items import McpListedTool
from realtime_events.simulator import ClipRecogniser, McpServer, Plan, Request, Say, Simulator

from .. import recordings
from ..programs import output_of
from ..recordings import AUDIO, WEATHER, WORDS
from ..simulator.conftest import Frame, Frames, check_frame

CLIENTS = Path(__file__).parent / "clients"
NODE_MODULES = os.environ.get("REALTIME_EVENTS_NODE_MODULES")  # read here, because each test hides such settings
QUESTION = WORDS[WEATHER.name]
STORY = "This is one of many sentences, and each of them takes a while to say. " * 10
NOTES = McpServer(
    tools=[
        McpListedTool(
            name="find_note",
            description="Finds a note by what it is about.",
            input_schema={"type": "object", "properties": {"about": {"type": "string"}}, "required": ["about"]},
        )
    ],
    answer=lambda name, arguments: "Apples are in the cellar.",
)
PIECE_BYTES = PCM16.n_bytes(20)
PATIENCE_S = 20.0

Simulate = Callable[..., contextlib.AbstractAsyncContextManager[Simulator]]
RunNode = Callable[..., Awaitable[list[Frame]]]


class Wire(Frames):
    """Every frame that the simulator has sent in one test, and what was wrong with it."""

    def __init__(self) -> None:
        super().__init__()
        self.dialect = "ga"
        self.problems: list[str] = []
        self.paths: WeakKeyDictionary[web.WebSocketResponse, str] = WeakKeyDictionary()

    def check(self, socket: web.WebSocketResponse, data: bytes | str) -> None:
        """Checks one frame; translation sessions have events of their own under the names of the others."""
        words = "translation" if self.paths[socket].endswith("/translations") else self.dialect
        try:
            self.append(check_frame(data, words))
        except (AssertionError, KeyError, ValueError) as problem:
            self.problems.append(repr(problem))


@pytest.fixture(autouse=True)
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Taps every socket that the simulator accepts; at the end, each frame must have been as the schemas say."""
    tap = Wire()
    prepare = web.WebSocketResponse.prepare

    async def tapped_prepare(socket: web.WebSocketResponse, request: web.BaseRequest) -> Any:
        tap.paths[socket] = request.path
        return await prepare(socket, request)

    def tapped(send: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def checked(socket: web.WebSocketResponse, data: bytes | str, *args: Any, **options: Any) -> None:
            tap.check(socket, data)
            await send(socket, data, *args, **options)

        return checked

    monkeypatch.setattr(web.WebSocketResponse, "prepare", tapped_prepare)
    for name in ("send_frame", "send_str"):
        monkeypatch.setattr(web.WebSocketResponse, name, tapped(getattr(web.WebSocketResponse, name)))
    yield tap
    assert not tap.problems, "\n".join(tap.problems)


class LongWinded:
    """A brain whose answers take half a minute to say."""

    def plan(self, request: Request) -> Plan:
        """Gives the story."""
        return [Say(STORY)]


@cache
def speech(name: str) -> bytes:
    """Gives a recording as pcm16 at 24 kHz, with a second of silence after it."""
    return read_wav(AUDIO / name) + PCM16.silence(1_000)


def pieces(audio: bytes) -> Iterator[bytes]:
    """Gives audio as a microphone does: 20 ms at a time."""
    return (audio[start : start + PIECE_BYTES] for start in range(0, len(audio), PIECE_BYTES))


@pytest.fixture
def recording(tmp_path: Path) -> Callable[[str], str]:
    """Gives a function that puts a recording into a file of bare samples, with its silence, and gives the path."""

    def write(name: str) -> str:
        path = tmp_path / f"{name}.pcm"
        path.write_bytes(speech(name))
        return str(path)

    return write


@pytest.fixture(scope="session")
def ears() -> ClipRecogniser:
    """Gives a recogniser that knows two recordings: a question and an interruption."""
    return recordings.ears()


@pytest.fixture
def simulate(wire: Wire, ears: ClipRecogniser) -> Simulate:
    """Gives a function that starts a simulator: `async with simulate(brain=..., dialect=...) as sim`."""

    @contextlib.asynccontextmanager
    async def start(**options: Any) -> AsyncIterator[Simulator]:
        wire.dialect = options.get("dialect", "ga")
        async with (
            asyncio.timeout(PATIENCE_S),
            Simulator(**{"recogniser": ears, "pace": None, "api_key": "test-key", **options}) as sim,
        ):
            yield sim

    return start


@pytest.fixture
def node(child_environment: dict[str, str]) -> RunNode:
    """Gives a function that runs one script of `clients/` to its end: the objects it prints, a line each.

    The scripts are copied beside `node_modules`, since a module looks for packages in the folders above its own.
    """
    program = shutil.which("node")
    if NODE_MODULES is None or program is None:
        pytest.skip("node, or the npm packages that `nox -s interop` installs, are not here")
    folder = Path(NODE_MODULES).parent / "clients"

    async def run(script: str, *arguments: str) -> list[Frame]:
        shutil.copytree(CLIENTS, folder, dirs_exist_ok=True)
        out = await output_of(program, folder / script, *arguments, env=child_environment)
        return [json.loads(line) for line in out.splitlines()]

    return run
