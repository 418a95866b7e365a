"""The simulator on the command line: by itself, or beside an application.

Owns `simulate` and what `--simulate` does. Before it: the arguments; after it: `realtime_events.simulator`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from ..exceptions import MissingExtra, RealtimeError
from .clips import Clip, clip_of, ears, packaged_clip
from .failures import say

if TYPE_CHECKING:
    from ..endpoint import Endpoint
    from ..simulator import Simulator

Started: TypeAlias = "Future[tuple[Endpoint, asyncio.AbstractEventLoop, asyncio.Event]]"

STOP_TIMEOUT_S = 5.0


def command(arguments: argparse.Namespace) -> int:
    """Run the simulator until SIGINT or SIGTERM."""
    from ..simulator import Simulator

    clips = [packaged_clip(), *map(clip_of, arguments.clip)]
    organs: dict[str, Any] = local_organs() if arguments.local else {"recogniser": ears(clips)}
    simulator = Simulator(
        host=arguments.host,
        port=arguments.port,
        dialect=arguments.dialect,
        script=arguments.script,
        faults=arguments.faults,
        **organs,
    )
    return asyncio.run(_serve(simulator))


def local_organs() -> dict[str, Any]:
    """Load what this machine has of the extra `local`, and say which parts of the simulator stay as they are.

    Raises:
        MissingExtra: It has nothing of it.
    """
    from ..integrations.local import HibariVoice, MoonshineRecogniser, SileroVad
    from ..simulator.vad import EnergyVad

    def vad() -> type[SileroVad]:
        SileroVad()  # It loads its model for all later ones.
        return SileroVad

    organs: dict[str, Any] = {}
    missing: dict[str, MissingExtra] = {}
    makers: dict[str, Callable[[], Any]] = {
        "vad": vad,
        "recogniser": lambda: MoonshineRecogniser(vad=organs.get("vad", EnergyVad)),
        "voice": HibariVoice,
    }
    for name, make in makers.items():
        try:
            organs[name] = make()
        except MissingExtra as error:
            missing[name] = error
    if not organs:
        raise next(iter(missing.values()))
    for name, reason in missing.items():
        say(f"the built-in {name} stays in use: {reason}")
    return organs


async def _serve(simulator: Simulator) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await simulator.start()
    except (OSError, OverflowError) as error:
        raise RealtimeError(f"cannot listen: {error}") from None
    try:
        print(simulator.url, flush=True)
        say("any key is accepted; Ctrl-C ends")
        await stopped.wait()
    finally:
        await simulator.stop()
    return 0


def simulated(wanted: bool, clip: Clip | None = None) -> AbstractContextManager[Endpoint | None]:
    """Give the endpoint of a simulator that runs while the block does; None if none is wanted."""
    return _beside(clip) if wanted else nullcontext()


@contextmanager
def _beside(clip: Clip | None) -> Generator[Endpoint]:
    """Run a simulator in a thread, as a server that the application's own loop cannot hold up.

    The environment names it too, for programs that make their endpoint by themselves.
    """
    started: Started = Future()
    name = "realtime_events.cli.simulator"
    thread = threading.Thread(target=_run_in_thread, args=(started, clip), name=name, daemon=True)
    thread.start()
    endpoint, loop, stop = started.result()
    try:
        with _environment(OPENAI_REALTIME_URL=endpoint.url, OPENAI_API_KEY=str(endpoint.api_key)):
            yield endpoint
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_TIMEOUT_S)


def _run_in_thread(started: Started, clip: Clip | None) -> None:
    from ..simulator import Simulator

    recogniser = ears([] if clip is None else [clip])

    async def serve() -> None:
        stop = asyncio.Event()
        async with Simulator(recogniser=recogniser) as simulator:
            started.set_result((simulator.endpoint, asyncio.get_running_loop(), stop))
            await stop.wait()

    try:
        asyncio.run(serve())
    except Exception as error:
        if started.done():
            raise
        started.set_exception(error)


@contextmanager
def _environment(**values: str) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
