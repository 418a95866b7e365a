"""The soak: many sessions at once over a network that breaks at random, counted on both sides.

Owns the load (audio as it is spoken, questions, tool calls, rotations), the faults, the counts and the closing line.
`python -m benchmarks.soak --seconds 120 --sessions 100` runs it; a short one is a test. Sessions, proxies and the
simulator share one process, so that both sides can be counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from realtime_events import Realtime, RealtimeError, Session
from realtime_events.events import AudioGap, ConversationItemCreate, ToolOrphaned
from realtime_events.protocol.core import Core
from realtime_events.reconnect import Reconnect
from realtime_events.simulator import Call, Plan, Request, Say, Simulator
from realtime_events.testing import FaultProxy, Toxics

PIECE_MS = 20
PIECE = bytes(PIECE_MS * 48)
ROTATE_S = 4.0
SESSIONS_PER_PROXY = 4
MANUAL = {"audio": {"input": {"turn_detection": None}}}


class Restless:
    """A brain that answers some questions by a tool call first."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def plan(self, request: Request) -> Plan:
        """Give a few words, or a call."""
        last = request.conversation[-1] if request.conversation else None
        if last is not None and last.type != "function_call_output" and self._dice.random() < 0.5:
            return [Call("add", '{"a": 1, "b": 2}')]
        return [Say("That is three.")]


@dataclass
class Counts:
    """What the client's side has counted."""

    accepted: int = 0
    refused: int = 0
    named_ms: float = 0.0
    answers: int = 0
    cut: int = 0
    orphaned: Counter[str] = field(default_factory=Counter[str])
    events: Counter[str] = field(default_factory=Counter[str])
    twice: int = 0


class Books:
    """What the server's side has counted; the simulator itself remembers only the latest of its ended sessions."""

    def __init__(self, sim: Simulator) -> None:
        self.sessions = self.appends = 0
        self.ids, self.outputs = Counter[str](), Counter[str]()
        self._sim = sim
        self._open: dict[int, Any] = {}

    def look(self) -> None:
        """Take note of new sessions, and close the books of those that the simulator has forgotten."""
        known: dict[int, Any] = {id(session): session for session in self._sim.sessions}
        for key in self._open.keys() - known.keys():
            self._add(self._open.pop(key))
        self._open |= known

    def close(self) -> None:
        """Add up all that is left."""
        self.look()
        while self._open:
            self._add(self._open.popitem()[1])

    def _add(self, session: Any) -> None:
        self.sessions += 1
        self.appends += session.received.counts["input_audio_buffer.append"]
        for event in session.received:
            if isinstance(event, ConversationItemCreate):
                self.ids[str(event.item.id)] += 1
                if event.item.type == "function_call_output":
                    self.outputs[str(event.item.call_id)] += 1


@dataclass
class Result:
    """What a soak has found; every number of `faults` is to be zero."""

    line: str
    faults: dict[str, int]


class Soak:
    """One soak."""

    def __init__(self, *, sessions: int, seconds: float, seed: int) -> None:
        self.sessions, self.seconds, self.seed = sessions, seconds, seed
        self.counts = Counts()
        self.dice = random.Random(seed)
        self.proxies: list[FaultProxy] = []

    def app(self) -> Realtime:
        """Make the application of one session."""
        rt, seen = Realtime(session=MANUAL), set[str]()

        async def add(a: int, b: int) -> int:
            """Add two numbers."""
            await asyncio.sleep(self.dice.random())
            return a + b

        def watch(event: Any) -> None:
            self.counts.events[event.type] += 1
            event_id = getattr(event, "event_id", None)
            if event_id:
                self.counts.twice += event_id in seen
                seen.add(event_id)

        def gap(event: AudioGap) -> None:
            self.counts.named_ms += event.length_ms

        def orphaned(event: ToolOrphaned) -> None:
            self.counts.orphaned[event.call.call_id] += 1

        rt.tool(add)
        rt.on("*", watch, delivery="inline")
        rt.on("audio.gap", gap, delivery="inline")
        rt.on("tool.orphaned", orphaned, delivery="inline")
        return rt

    async def speak(self, session: Session, until_s: float) -> None:
        """Say a piece of audio every 20 ms."""
        due_s = time.monotonic()
        while time.monotonic() < until_s:
            try:
                await session.send_audio(PIECE)
                self.counts.accepted += 1
            except (RealtimeError, TimeoutError):
                self.counts.refused += 1
            due_s += PIECE_MS / 1000
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def ask(self, session: Session, until_s: float, dice: random.Random) -> None:
        """Ask now and then."""
        while time.monotonic() < until_s:
            try:
                await session.ask("What is one and two?", timeout=20)
                self.counts.answers += 1
            except (RealtimeError, TimeoutError):
                self.counts.cut += 1
            await asyncio.sleep(0.3 + dice.random())

    async def break_things(self, books: Books, until_s: float) -> None:
        """Let something happen to one network after the other."""
        while time.monotonic() < until_s:
            books.look()
            proxy = self.dice.choice(self.proxies)
            what = self.dice.choice(["cut", "cut", "slow", "stall", "refuse"])
            if what == "slow":
                proxy.down = proxy.up = Toxics(latency_ms=40, jitter_ms=20)
            elif what == "stall":
                proxy.up = Toxics(stall_after_bytes=0)
            elif what == "refuse":
                proxy.gate = "reset"
            if what in ("cut", "refuse"):
                proxy.cut()
            await asyncio.sleep(0.1 + 0.4 * self.dice.random())
            proxy.heal()

    async def run(self) -> Result:
        """Run it, and give what was counted."""
        policy = Reconnect(first_delay_s=0.05, max_delay_s=0.5, attempts=100)
        async with AsyncExitStack() as stack:
            sim = await stack.enter_async_context(Simulator(brain=Restless(self.seed), pace=1.0))
            books = Books(sim)
            for _ in range(-(-self.sessions // SESSIONS_PER_PROXY)):
                self.proxies.append(await stack.enter_async_context(FaultProxy(sim.endpoint)))
            sessions: list[Session] = []
            for number in range(self.sessions):
                endpoint = self.proxies[number // SESSIONS_PER_PROXY].endpoint
                connecting = self.app().connect(endpoint=endpoint, reconnect=policy, rotate=ROTATE_S)
                sessions.append(await stack.enter_async_context(connecting))
            until_s = time.monotonic() + self.seconds
            async with asyncio.TaskGroup() as group:
                group.create_task(self.break_things(books, until_s))
                for number, session in enumerate(sessions):
                    group.create_task(self.speak(session, until_s))
                    group.create_task(self.ask(session, until_s, random.Random(self.seed + number)))
            for proxy in self.proxies:
                proxy.heal()
            alive = await asyncio.gather(*map(self.still_there, sessions))
            gc.collect()
            cores = sum(isinstance(thing, Core) for thing in gc.get_objects())
            for session in sessions:
                await session.close()
            books.close()
            ours = ("realtime_events.session", "realtime_events.transport")
            tasks = sum(task.get_name().startswith(ours) for task in asyncio.all_tasks())
            return self.result(books, dead=alive.count(False), cores=cores, tasks=tasks)

    async def still_there(self, session: Session) -> bool:
        """Say whether a session works after all that; one that was cut in the last moment is asked again."""
        for _ in range(5):
            try:
                await session.ask("Still there?", timeout=20)
            except (RealtimeError, TimeoutError):
                continue
            return True
        return False

    def result(self, books: Books, *, dead: int, cores: int, tasks: int) -> Result:
        """Compare the books of both sides."""
        counts, heard, ids, outputs = self.counts, books.appends, books.ids, books.outputs
        lost_ms = max(0.0, counts.accepted * PIECE_MS - heard * PIECE_MS - counts.named_ms)
        faults = {
            "lost": int(lost_ms / PIECE_MS),
            "items doubled": sum(n - 1 for n in ids.values()),
            "answers doubled": sum(n - 1 for n in outputs.values()),
            "orphans doubled": sum(n - 1 for n in counts.orphaned.values()),
            "events doubled": counts.twice,
            "sessions dead": dead,
            "states leaked": max(0, cores - 2 * self.sessions),
            "tasks leaked": tasks,
        }
        events = counts.events
        line = (
            f"{self.sessions} sessions, {self.seconds:g} s: {events['connection.lost']} cuts, "
            f"{events['session.rotated']} rotations, {books.sessions} server-side sessions; audio pieces "
            f"{counts.accepted} accepted, {heard} heard, {counts.named_ms / PIECE_MS:.0f} named; "
            f"{counts.answers} turns answered, {counts.cut} cut and told; {len(outputs)} tool answers "
            f"(those said again included), {len(counts.orphaned)} orphaned; "
            + ", ".join(f"{n} {what}" for what, n in faults.items())
        )
        return Result(line, faults)


def main(arguments: list[str] | None = None) -> int:
    """Run a soak, and print its closing line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    logging.getLogger("realtime_events").setLevel(logging.ERROR)
    result = asyncio.run(Soak(sessions=asked.sessions, seconds=asked.seconds, seed=asked.seed).run())
    print(result.line)
    return int(any(result.faults.values()))


if __name__ == "__main__":
    sys.exit(main())
