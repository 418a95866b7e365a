"""`demo`: a bot with handlers and a tool, spoken to and written to, against the simulator on loopback.

Owns the bot, the two turns, the account of them, and the check that everything expected has happened. Before it: the
arguments; after it: a transcript for people or one JSON object for programs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..app import Realtime
from ..audio import PCM16, write_wav
from ..exceptions import ConfigurationError, RealtimeError
from ..options import Options
from .clips import PACKAGED_WORDS, ears, packaged_clip
from .output import Printer, seconds
from .speaking import say_to

if TYPE_CHECKING:
    from ..protocol.turns import Turn
    from ..session import Session

WRITTEN = "And what about Zurich?"
WEATHER = {"Bern": "18 °C and sunny in Bern", "Zurich": "16 °C with light rain in Zurich"}
SILENCE_MS = 1_000  # the simulator's turn detection waits for 500 of it
RETAIN_BYTES = 16 * 1024 * 1024
TIMEOUT_S = 30.0


@dataclass
class Account:
    """What happened in the demo. Times are in milliseconds."""

    url: str = ""
    turns: list[Turn] = field(default_factory=list["Turn"])
    events: Counter[str] = field(default_factory=Counter[str])
    connect_ms: float = 0.0
    first_event_ms: float = 0.0

    @property
    def audio(self) -> bytes:
        """The assistant's speech, pcm16 mono at 24 kHz."""
        return b"".join(bytes(turn.audio) for turn in self.turns)

    @property
    def audio_ms(self) -> float:
        """How long the assistant spoke."""
        return sum(turn.audio_ms for turn in self.turns)

    def problems(self) -> list[str]:
        """Give what was expected and did not happen."""
        if len(self.turns) != 2:
            return [f"there were {len(self.turns)} turns instead of 2"]
        found: list[str] = []
        for turn, asked, city in zip(self.turns, (PACKAGED_WORDS, WRITTEN), WEATHER, strict=True):
            called = [call for call in turn.tool_calls if call.name == "get_weather" and city in call.arguments]
            checks = {
                f"the words {asked!r} did not arrive": turn.user_text == asked,
                f"get_weather was not called for {city}": bool(called),
                f"the answer about {city} does not tell the weather": WEATHER[city] in turn.text,
                f"the answer about {city} was not spoken": turn.audio_ms > 0,
            }
            found += [problem for problem, holds in checks.items() if not holds]
        return found

    def as_json(self) -> dict[str, Any]:
        """Give the account as one JSON object."""
        problems = self.problems()
        first = self.turns[0].timeline_ms if self.turns else {}
        return {
            "ok": not problems,
            "transcript": [line for turn in self.turns for line in _lines_of(turn)],
            "tool_calls": [
                {"name": call.name, "arguments": json.loads(call.arguments), "output": call.output}
                for turn in self.turns
                for call in turn.tool_calls
            ],
            "events": dict(sorted(self.events.items())),
            "audio_ms": round(self.audio_ms),
            "timings_ms": {
                "connect": round(self.connect_ms, 1),
                "first_event": round(self.first_event_ms, 1),
                "first_audio": round(first.get("first_audio", 0.0), 1),
                "turn": round(first.get("done", 0.0), 1),
            },
            **({"problems": problems} if problems else {}),
        }


def command(arguments: argparse.Namespace) -> int:
    """Run the demo; the exit code is 1 if anything expected did not happen."""
    account = asyncio.run(_perform())
    if arguments.audio is not None:
        _write_audio(arguments.audio, account.audio)
    if arguments.json:
        print(json.dumps(account.as_json(), ensure_ascii=False))
    else:
        _show(Printer(), account, arguments.audio)
    if problems := account.problems():
        raise RealtimeError("the demo went wrong: " + "; ".join(problems))
    return 0


def bot(account: Account) -> Realtime:
    """Make the bot: two handlers, one tool, nothing else."""
    rt = Realtime(
        instructions="You are a cheerful concierge.",
        voice="marin",
        session={"audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}},
        options=Options(retain_audio=RETAIN_BYTES),
    )

    @rt.on("*", delivery="inline")
    def count(event: Any) -> None:
        account.events[event.type] += 1

    @rt.on("turn.done")
    async def keep(event: Any) -> None:
        account.turns.append(event.turn)

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the current weather.

        Args:
            city: The city's name, such as "Bern".
        """
        return WEATHER.get(city, f"no news from {city}")

    return rt


async def _perform() -> Account:
    """Connect the bot to a simulator, say one thing to it and write another."""
    from ..simulator import Simulator

    account = Account()
    rt = bot(account)
    clip = packaged_clip()
    async with asyncio.timeout(TIMEOUT_S), Simulator(recogniser=ears([clip]), pace=None) as simulator:
        account.url = simulator.url
        began = time.perf_counter()

        @rt.once("session.created", delivery="inline")
        def first(_event: Any) -> None:
            account.first_event_ms = (time.perf_counter() - began) * 1000

        async with rt.connect(endpoint=simulator.endpoint) as session:
            account.connect_ms = (time.perf_counter() - began) * 1000
            await _converse(session, clip.pcm)
    return account


async def _converse(session: Session, speech: bytes) -> None:
    await say_to(session, speech, silence_ms=SILENCE_MS, pace=math.inf)
    await session.ask(WRITTEN)


def _lines_of(turn: Turn) -> list[dict[str, str]]:
    return [{"role": "user", "text": turn.user_text}, {"role": "assistant", "text": turn.text}]


def _write_audio(path: Path, audio: bytes) -> None:
    try:
        with path.open("wb") as file:
            write_wav(file, audio)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None


def _show(printer: Printer, account: Account, audio: Path | None) -> None:
    printer.note(f"a bot and a simulator at {account.url} · no key, no network\n")
    for turn, how in zip(
        account.turns, (f"spoken, {seconds(PCM16.duration_ms(len(packaged_clip().pcm)))}", "written"), strict=False
    ):
        printer.said("you", turn.user_text, how)
        for call in turn.tool_calls:
            printer.tool(call.name, call.arguments, call.output)
        printer.said("assistant", turn.text, f"{seconds(turn.audio_ms)} of speech")
        printer.line()
    told = account.as_json()["timings_ms"]
    timings = " · ".join(f"{name.replace('_', ' ')} {value:.0f} ms" for name, value in told.items())
    printer.note(f"{timings} · {account.events.total()} events of {len(account.events)} kinds")
    if audio is not None:
        printer.note(f"the assistant's speech is in {audio}")
