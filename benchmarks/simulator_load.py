"""Many sessions at real-time audio both ways on one simulator: how much of a core it takes, how late it is.

The simulator runs in a process of its own. Each client sends 100 ms of speech every 100 ms, which turn detection hears,
and is spoken to all the time at the pace of real time.

    python -m benchmarks.simulator_load [--sessions 200] [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp

from realtime_events.audio import PCM16, read_wav
from realtime_events.simulator import Plan, Request, Say, Simulator

SPEECH = Path(__file__).parent.parent / "tests" / "fixtures" / "audio" / "librivox_0870.wav"
CHUNK_MS = 100
KEY = {"Authorization": "Bearer test-key"}
LISTEN = (
    b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":'
    b'{"type":"server_vad","create_response":false,"interrupt_response":false}}}}}'
)
SPEAK = b'{"type":"response.create"}'
DELTA = b'{"type":"response.output_audio.delta"'


class Talker:
    """A brain that talks for minutes."""

    def plan(self, request: Request) -> Plan:
        """Gives one long message."""
        return [Say("And so it went on and on. " * 200)]


def serve(pipe: Connection) -> None:
    """Runs the simulator until the pipe says so, then tells what it cost."""

    async def main() -> None:
        async with Simulator(brain=Talker(), pace=1.0) as sim:
            pipe.send(sim.url)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, pipe.recv)
            began = time.process_time()
            await loop.run_in_executor(None, pipe.recv)
            pipe.send(time.process_time() - began)

    asyncio.run(main())


async def talk(
    http: aiohttp.ClientSession, url: str, frames: list[str], start_at: float, seconds: float
) -> list[float]:
    """Speaks and listens for a while; gives the seconds by which each audio delta was later than real time."""
    late: list[float] = []
    async with http.ws_connect(f"{url}?model=m", headers=KEY, max_msg_size=0, decode_text=False) as socket:
        await socket.send_frame(LISTEN, aiohttp.WSMsgType.TEXT)
        await asyncio.sleep(max(start_at - time.monotonic(), 0))
        await socket.send_frame(SPEAK, aiohttp.WSMsgType.TEXT)
        sender = asyncio.create_task(_send(socket, frames, seconds))
        first = None
        while not sender.done():
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionError(f"the session ended: {message}")
            if message.data.startswith(DELTA):
                now = time.monotonic()
                first = first or now
                late.append(now - first - len(late) * CHUNK_MS / 1000)
        await sender
    return late


async def _send(socket: aiohttp.ClientWebSocketResponse, frames: list[str], seconds: float) -> None:
    began = time.monotonic()
    for number in range(int(seconds * 1000 / CHUNK_MS)):
        await socket.send_str(frames[number % len(frames)])
        await asyncio.sleep(max(began + (number + 1) * CHUNK_MS / 1000 - time.monotonic(), 0))


async def load(url: str, pipe: Connection, sessions: int, seconds: float) -> tuple[float, list[float]]:
    """Runs all clients; gives the server's CPU seconds and all latenesses."""
    pcm, size = read_wav(SPEECH), PCM16.n_bytes(CHUNK_MS)
    frames = [
        f'{{"type":"input_audio_buffer.append","audio":"{base64.b64encode(pcm[at : at + size]).decode()}"}}'
        for at in range(0, len(pcm) - size, size)
    ]
    start_at = time.monotonic() + 2.0
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        clients = [
            asyncio.create_task(talk(http, url, frames, start_at + number * CHUNK_MS / 1000 / sessions, seconds))
            for number in range(sessions)
        ]
        await asyncio.sleep(max(start_at - time.monotonic(), 0))
        pipe.send("begin")
        late = [one for client in await asyncio.gather(*clients) for one in client]
        pipe.send("end")
    return pipe.recv(), late


def main() -> int:
    """Measures and prints one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,))
    server.start()
    cpu_s, late = asyncio.run(load(here.recv(), here, arguments.sessions, arguments.seconds))
    server.join()
    p99 = statistics.quantiles(late, n=100)[98]
    print(
        f"{arguments.sessions} sessions, {arguments.seconds:g} s: the simulator took "
        f"{100 * cpu_s / arguments.seconds:.0f} % of a core; {len(late):,} audio deltas, "
        f"late by {1000 * statistics.median(late):.0f} ms (median), {1000 * p99:.0f} ms (99th), "
        f"{1000 * max(late):.0f} ms (worst)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
