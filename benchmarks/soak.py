"""The soak: many sessions at once over a network that breaks at random, counted on both sides.

Owns the load (audio as it is spoken, commits, questions, tool calls, rotations), the faults and the closing line; what
is counted, and what has to hold, stands in `books.py`. `python -m benchmarks.soak --seconds 120 --sessions 100` runs
it; a short one is a test. Sessions, proxies and the simulator share one process, so that both sides can be counted.

In every second session the server detects turns; in the others the client commits what it has said.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import logging
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from benchmarks.books import COMMIT_PIECES, PIECE_MS, Books, Client, broken_laws, piece
from realtime_events import Realtime, RealtimeError, Session
from realtime_events.protocol.core import Core
from realtime_events.reconnect import Reconnect
from realtime_events.simulator import Call, Plan, Request, Say, Simulator
from realtime_events.testing import FaultProxy, Toxics

ROTATE_S = 4.0
SESSIONS_PER_PROXY = 4
GRACE_S = 5.0
STATES_A_SESSION = 4  # of some six that a session has had by the end
SETTLE_LOOKS = 20
POLICY = Reconnect(first_delay_s=0.05, max_delay_s=0.5, attempts=100)
TROUBLE = (RealtimeError, TimeoutError)


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
class Result:
    """What a soak has found.

    Attributes:
        line: All of it, to be read.
        faults: How often each law was broken: every number is to be zero.
        happened: How often what the laws are about came to pass: no number is to be zero.
    """

    line: str
    faults: dict[str, int]
    happened: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Whether every law held, and each was put to the test."""
        return not any(self.faults.values()) and all(self.happened.values())


class User:
    """Who speaks and asks in one session, until a time."""

    def __init__(self, session: Session, client: Client, numbers: itertools.count[int], dice: random.Random) -> None:
        self.session, self.client = session, client
        self.answered = self.cut = 0
        self._numbers, self._dice = numbers, dice

    async def speak(self, until_s: float) -> None:
        """Speak and be silent in turn; where the client commits, each sentence is an item."""
        while time.monotonic() < until_s:
            await self._sound(0.4 + 0.8 * self._dice.random(), voice=True)
            silent_s = 0.5 + 2 * self._dice.random()
            if self.client.listens:
                await self._sound(silent_s, voice=False)
            else:
                with suppress(*TROUBLE):
                    await self.session.commit_audio(if_enough=True, timeout=5)
                await asyncio.sleep(silent_s)

    async def _sound(self, seconds: float, *, voice: bool) -> None:
        """Send a piece of audio every 20 ms."""
        due_s = time.monotonic()
        for _ in range(round(seconds * 1000 / PIECE_MS)):
            await self._say(voice=voice)
            due_s += PIECE_MS / 1000
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _say(self, *, voice: bool) -> None:
        number = next(self._numbers)
        try:
            await self.session.send_audio(piece(number, voice=voice))
        except TROUBLE:
            self.client.refused.add(number)
        else:
            self.client.pieces.append(number)

    async def ask(self, until_s: float) -> None:
        """Ask now and then."""
        while time.monotonic() < until_s:
            try:
                await self.session.ask("What is one and two?", timeout=20)
                self.answered += 1
            except TROUBLE:
                self.cut += 1
            await asyncio.sleep(0.3 + self._dice.random())

    async def finish(self) -> bool:
        """Have all that was said heard, and say whether the session works; what was cut is done again."""
        for _ in range(5):
            with suppress(*TROUBLE):
                if not self.client.listens:
                    for _ in range(COMMIT_PIECES):
                        await self._say(voice=True)
                    await self.session.commit_audio(timeout=20)
                await self.session.ask("Still there?", timeout=20)
                while self.session.audio_ledger.queued_bytes:  # noqa: ASYNC110 - no event tells that it was written
                    await asyncio.sleep(PIECE_MS / 1000)
                return True
        return False


class Soak:
    """One soak."""

    def __init__(self, *, sessions: int, seconds: float, seed: int) -> None:
        self.sessions, self.seconds, self.seed = sessions, seconds, seed
        self.dice = random.Random(seed)
        self.proxies: list[FaultProxy] = []
        self.users: list[User] = []
        self._numbers = itertools.count(1)

    def app(self, client: Client) -> Realtime:
        """Make the application of one session."""
        detection = {"type": "server_vad", "silence_duration_ms": 300} if client.listens else None
        rt = Realtime(session={"audio": {"input": {"turn_detection": detection}}})

        async def add(a: int, b: int) -> int:
            """Add two numbers."""
            await asyncio.sleep(self.dice.random())
            return a + b

        rt.tool(add)
        rt.on("*", client.note, delivery="inline")
        return rt

    async def break_things(self, until_s: float) -> None:
        """Let something happen to one network after the other, and look into the books meanwhile."""
        while time.monotonic() < until_s:
            for user in self.users:
                user.client.check_ledger(user.session)
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
        before = _states()
        async with AsyncExitStack() as stack:
            sim = await stack.enter_async_context(Simulator(brain=Restless(self.seed), pace=1.0))
            books = Books(sim)
            for _ in range(-(-self.sessions // SESSIONS_PER_PROXY)):
                self.proxies.append(await stack.enter_async_context(FaultProxy(sim.endpoint)))
            for number in range(self.sessions):
                endpoint = self.proxies[number // SESSIONS_PER_PROXY].endpoint
                client = Client(listens=number % 2 == 0)
                connecting = self.app(client).connect(endpoint=endpoint, reconnect=POLICY, rotate=ROTATE_S)
                session = await stack.enter_async_context(connecting)
                self.users.append(User(session, client, self._numbers, random.Random(self.seed + number)))
            until_s = time.monotonic() + self.seconds
            async with asyncio.TaskGroup() as group:
                group.create_task(self.break_things(until_s))
                for user in self.users:
                    group.create_task(user.speak(until_s))
                    group.create_task(user.ask(until_s))
            for proxy in self.proxies:
                proxy.heal()
            alive = await asyncio.gather(*(user.finish() for user in self.users))
            for user in self.users:
                user.client.check_ledger(user.session)
            books.begin_the_end()
            await asyncio.gather(*(user.session.drain(GRACE_S) for user in self.users))
            states = await self._settled(before)
            ours = ("realtime_events.session", "realtime_events.transport")
            tasks = sum(task.get_name().startswith(ours) for task in asyncio.all_tasks())
            return self.result(books, dead=alive.count(False), states=states, tasks=tasks)

    async def _settled(self, before: int) -> int:
        """Give how many states are left once connections that were given up have had time to close."""
        for _ in range(SETTLE_LOOKS):
            if _states() - before <= STATES_A_SESSION * self.sessions:
                break
            await asyncio.sleep(GRACE_S / SETTLE_LOOKS)
        return _states() - before

    def result(self, books: Books, *, dead: int, states: int, tasks: int) -> Result:
        """Compare the books of both sides."""
        clients, pages = [user.client for user in self.users], books.pages
        events = sum((client.events for client in clients), Counter[str]())
        faults = {
            **broken_laws(clients, books),
            "sessions dead": dead,
            # Each session keeps its last; an exception that somebody keeps may hold the frames of a few more.
            "states leaked": max(0, states - STATES_A_SESSION * self.sessions),
            "tasks leaked": tasks,
        }
        happened = {
            "cuts": events["connection.lost"],
            "rotations": events["session.rotated"],
            "server-side sessions": len(pages),
            "pieces accepted": sum(len(client.pieces) for client in clients),
            "heard": sum(len(page.heard) for page in pages),
            "commits": events["input_audio_buffer.committed"],
            "gaps": events["audio.gap"],
            "turns answered": sum(user.answered for user in self.users),
            "cut and told": sum(user.cut for user in self.users),
            "tool answers": sum(page.outputs[call_id] for page in pages for call_id in page.calls),
            "orphans": events["tool.orphaned"],
        }
        broken = ", ".join(f"{n} {what}" for what, n in faults.items() if n) or f"none of {len(faults)} laws broken"
        line = f"{self.sessions} sessions, {self.seconds:g} s: "
        line += ", ".join(f"{n} {what}" for what, n in happened.items()) + f"; {broken}"
        return Result(line, faults, happened)


def _states() -> int:
    gc.collect()
    return sum(isinstance(thing, Core) for thing in gc.get_objects())


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
    return int(not result.is_good)


if __name__ == "__main__":
    sys.exit(main())
