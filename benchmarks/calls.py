"""Calls to the simulator, measured: `python -m benchmarks.calls '{"measure": …}'` prints the numbers as JSON.

Owns the callers, which send recorded speech at the speed of speech, and their stop-watch; they know frames by their
first bytes and parse next to nothing, so that one process can be many of them. The simulator runs in a process of
its own (`simulator.py`), which `schedule.py` has started. Before it: `schedule.py`; after it: the same, which collects.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from realtime_events.audio import PCM16, read_wav

CLIP = Path(__file__).parent.parent / "tests" / "fixtures" / "audio" / "weather_bern.wav"
KEY = {"Authorization": "Bearer test-key"}
SILENCE_MS = 1_500
LATENCY_PIECE_MS = 20
SESSIONS_PIECE_MS = 100
WARM_UP_S = 2.0
TALK = '{"type":"response.create"}'
LISTEN_ONLY = {"turn_detection": {"type": "server_vad", "create_response": False, "interrupt_response": False}}
DELTA, STARTED, DONE, STOPPED, FAILED = (
    f'{{"type":"{name}"'
    for name in (
        "response.output_audio.delta",
        "response.created",
        "response.done",
        "input_audio_buffer.speech_stopped",
        "error",
    )
)

Numbers = dict[str, float]


async def latency(url: str, pid: int, count: int, seconds: float) -> Numbers:
    """Gives the time from the end of speech to the first audio of the answer, in `count` spoken turns."""
    frames = appends(read_wav(CLIP) + PCM16.silence(SILENCE_MS), LATENCY_PIECE_MS)
    waited_ms: list[float] = []
    async with (
        aiohttp.ClientSession(headers=KEY) as http,
        http.ws_connect(f"{url}?model=bench", max_msg_size=0) as socket,
    ):
        for _ in range(count):
            speaking = asyncio.create_task(speak(socket, frames, LATENCY_PIECE_MS), name="bench speech")
            stopped_s = 0.0
            while not (text := await heard(socket)).startswith(DELTA):
                stopped_s = time.perf_counter() if text.startswith(STOPPED) else stopped_s
            waited_ms.append((time.perf_counter() - stopped_s) * 1e3)
            while not (await heard(socket)).startswith(DONE):
                pass
            await speaking
    return {"p50_ms": quantile(waited_ms, 0.5), "p95_ms": quantile(waited_ms, 0.95), "worst_ms": max(waited_ms)}


async def sessions(url: str, pid: int, count: int, seconds: float) -> Numbers:
    """Gives how late audio and the end of speech come to `count` sessions that send and hear audio all the time.

    They begin one after another within the length of the recording, so that their turns do not end all at once. The
    CPU is that of the server's process and of this one, as a share of one core.
    """
    frames = appends(read_wav(CLIP) + PCM16.silence(SILENCE_MS), SESSIONS_PIECE_MS)
    length_s = len(frames) * SESSIONS_PIECE_MS / 1e3
    callers = [Caller(frames, length_s * place / count) for place in range(count)]
    async with aiohttp.ClientSession(headers=KEY, connector=aiohttp.TCPConnector(limit=0)) as http:
        talking = [asyncio.create_task(caller.talk(http, url), name="bench call") for caller in callers]
        await asyncio.wait(talking, timeout=length_s + WARM_UP_S, return_when=asyncio.FIRST_COMPLETED)
        for caller in callers:
            caller.forget()
        before_s, server_s, own_s = time.perf_counter(), cpu_s(pid), time.process_time()
        done, _ = await asyncio.wait(talking, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        took_s, server_s, own_s = time.perf_counter() - before_s, cpu_s(pid) - server_s, time.process_time() - own_s
        for call in talking:
            call.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        for call in done:
            call.result()
    return {**tally(callers, took_s), "server_cpu": server_s / took_s, "callers_cpu": own_s / took_s}


@dataclass
class Caller:
    """One session that sends recorded speech for ever and is talked to for ever; it notes when audio came."""

    frames: Sequence[str]
    begins_after_s: float
    arrivals_s: list[list[float]] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    stopped: list[tuple[int, float]] = field(default_factory=list)

    async def talk(self, http: aiohttp.ClientSession, url: str) -> None:
        """Calls, and goes on until it is cancelled or told of an error."""
        await asyncio.sleep(self.begins_after_s)
        async with http.ws_connect(f"{url}?model=bench", max_msg_size=0) as socket, asyncio.TaskGroup() as both:
            session = {"type": "realtime", "audio": {"input": LISTEN_ONLY}}
            await socket.send_json({"type": "session.update", "session": session})
            await socket.send_str(TALK)
            both.create_task(self._send(socket), name="bench sending")
            while True:
                await self._hear(socket)

    def forget(self) -> None:
        """Starts the measurement: what came before belongs to the connecting."""
        self.arrivals_s, self.stopped = [[]], []

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await speak(socket, self.frames, SESSIONS_PIECE_MS, self.sent_s)

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        text = await heard(socket)
        if text.startswith(DELTA):
            self.arrivals_s[-1].append(time.perf_counter())
        elif text.startswith(STARTED):
            self.arrivals_s.append([])
        elif text.startswith(DONE):
            await socket.send_str(TALK)
        elif text.startswith(STOPPED):
            self.stopped.append((int(json.loads(text)["audio_end_ms"]), time.perf_counter()))

    def late_ms(self) -> list[float]:
        """Gives how much later each audio delta came than the speed of speech allows, measured from the most timely."""
        late: list[float] = []
        for arrivals_s in self.arrivals_s:
            behind = [at_s * 1e3 - place * SESSIONS_PIECE_MS for place, at_s in enumerate(arrivals_s)]
            late += [each - min(behind) for each in behind]
        return late

    def noticed_ms(self) -> list[float]:
        """Gives how long after the audio that ends a turn was sent its end was told."""
        sent_s = (self.sent_s[math.ceil(end_ms / SESSIONS_PIECE_MS) - 1] for end_ms, _ in self.stopped)
        return [(at_s - sent) * 1e3 for sent, (_, at_s) in zip(sent_s, self.stopped, strict=True)]


def tally(callers: Sequence[Caller], took_s: float) -> Numbers:
    """Sums up what the callers noted.

    Raises:
        AssertionError: Audio or turns are missing.
    """
    late_ms = [late for caller in callers for late in caller.late_ms()]
    noticed_ms = [noticed for caller in callers for noticed in caller.noticed_ms()]
    flow = len(late_ms) * SESSIONS_PIECE_MS / 1e3 / took_s / len(callers)
    if flow < 0.9 or not noticed_ms:
        raise AssertionError(f"heard {flow:.0%} of the speech that was due, and {len(noticed_ms)} ends of turns")
    return {
        "late_p50_ms": quantile(late_ms, 0.5),
        "late_p99_ms": quantile(late_ms, 0.99),
        "noticed_p99_ms": quantile(noticed_ms, 0.99),
        "flow": flow,
    }


def appends(pcm: bytes, piece_ms: int) -> list[str]:
    """Gives the client events that append audio, piece by piece; the last piece is filled up with silence."""
    size = PCM16.n_bytes(piece_ms)
    pieces = (pcm[place : place + size].ljust(size, b"\0") for place in range(0, len(pcm), size))
    return [f'{{"type":"input_audio_buffer.append","audio":"{base64.b64encode(one).decode()}"}}' for one in pieces]


async def speak(
    socket: aiohttp.ClientWebSocketResponse, frames: Sequence[str], piece_ms: int, sent_s: list[float] | None = None
) -> None:
    """Sends audio at the speed of speech; notes in `sent_s` when."""
    due_s = time.perf_counter()
    for frame in frames:
        await socket.send_str(frame)
        if sent_s is not None:
            sent_s.append(time.perf_counter())
        due_s += piece_ms / 1e3
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))


async def heard(socket: aiohttp.ClientWebSocketResponse) -> str:
    """Gives the next frame.

    Raises:
        AssertionError: The server complains, or closes.
    """
    message = await socket.receive()
    if message.type is not aiohttp.WSMsgType.TEXT or message.data.startswith(FAILED):
        raise AssertionError(f"the simulator said {message}")
    text: str = message.data
    return text


def quantile(values: Sequence[float], part: float) -> float:
    """Gives the value that `part` of them do not exceed."""
    return sorted(values)[math.ceil(part * len(values)) - 1]


def cpu_s(pid: int) -> float:
    """Gives the CPU time of a process, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MEASURES = {measure.__name__: measure for measure in (latency, sessions)}


def main() -> None:
    """Runs the measurement that the argument describes."""
    order = json.loads(sys.argv[1])
    measure = MEASURES[order.pop("measure")]
    print(json.dumps(asyncio.run(measure(**order))))


if __name__ == "__main__":
    main()
