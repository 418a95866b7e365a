"""The scenes: each breaks one thing while a client is on the stage, and gives measures.

A measure is a number, a text or a truth, taken from what the server has seen or from what the application was told.
`None` is a time that did not come within its limit. What is better is decided in `rows.py`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.faults.clients import INSTRUCTIONS, Client, Told
from benchmarks.faults.keys import spilt
from benchmarks.faults.stage import Clerk, Stage, Talker, staged, until
from realtime_events.audio import PCM16, read_wav
from realtime_events.events import ErrorEvent
from realtime_events.simulator import SimulatedSession
from realtime_events.testing import FaultProxy, Toxics

Measures: TypeAlias = dict[str, Any]
Scene: TypeAlias = Callable[[type[Client]], Awaitable[Measures]]

STOP = Path(__file__).parents[2] / "tests" / "fixtures" / "audio" / "stop.wav"
CHANGED = "Speak like a pirate."
BACK_S = 15.0
ANSWER_S = 10.0
SETTLE_S = 1.0
CAP_S = 60.0
LIFETIME_S = 3.0
ASKED_TO_WAIT_S = 4
SLOW_S = 4.0
PHASES_S = (0.5, 5.0, 10.0, 15.0)
PIECE_MS = 100
SENDING_S = 0.01
STORM = 50
WINDOW_S = 0.1
KNOCK_S = 0.05


async def reset(make: type[Client]) -> Measures:
    """A response is cut by a reset in the middle of a frame, after a turn and a change of the instructions."""
    async with staged(make) as stage:
        told = Told()
        client = await stage.enter(told)
        await _turn(client, told, "First question.")
        await client.instruct(CHANGED)
        await until(lambda: stage.sessions[0].config.instructions == CHANGED, ANSWER_S)
        stage.sim.set_faults("reset:response.output_text.delta#2")
        await client.ask("Second question.")
        await stage.proxy.wait_until(lambda: stage.proxy.connections_open == 0)
        stage.sim.set_faults(None)
        return await _aftermath(stage, client, told, ["First question.", "First question.", "Second question."])


async def going_away(make: type[Client]) -> Measures:
    """The server closes with 1001."""
    async with staged(make) as stage:
        told = Told()
        client = await stage.enter(told)
        await _turn(client, told, "First question.")
        stage.sessions[0].close(1001, "The server is restarting.")
        return await _aftermath(stage, client, told, ["First question.", "First question."])


async def expired(make: type[Client]) -> Measures:
    """The server's time limit strikes without a warning."""
    async with staged(make, session_lifetime_s=LIFETIME_S) as stage:
        told = Told()
        client = await stage.enter(told)
        await _turn(client, told, "First question.")
        await until(lambda: stage.sessions[0].closing, LIFETIME_S + ANSWER_S)
        return await _aftermath(stage, client, told, ["First question.", "First question."])


async def black_hole(make: type[Client]) -> Measures:
    """Nothing passes any more and nobody says so; it strikes some clients at different times after connecting."""
    async with staged(make) as stage:

        async def strike(phase_s: float) -> float | None:
            async with FaultProxy(stage.sim.endpoint) as proxy:
                told = Told()
                await stage.enter(told, proxy=proxy)
                await asyncio.sleep(phase_s)
                proxy.up = proxy.down = Toxics(black_hole_after_bytes=0)
                return await _noticed(proxy, told, CAP_S)

        noticed = await asyncio.gather(*map(strike, PHASES_S))
    known = [seconds for seconds in noticed if seconds is not None]
    return {
        "struck": len(noticed),
        "noticed": len(known),
        "first_s": min(known, default=None),
        "last_s": max(known, default=None) if len(known) == len(noticed) else None,
    }


async def deaf_peer(make: type[Client]) -> Measures:
    """The peer takes nothing any more, while audio is sent ten times as fast as it is spoken."""
    async with staged(make, buffer_bytes=16_384) as stage:
        told = Told()
        client = await stage.enter(told, speaks=True)
        stage.proxy.up = Toxics(stall_after_bytes=0)
        calls = Calls()
        sending = asyncio.create_task(calls.send_for_ever(client))
        told_s = await _noticed(stage.proxy, told, CAP_S)
        sending.cancel()
        return {"told_s": told_s, "longest_call_s": calls.longest_s(), "freed": not calls.hangs()}


async def slow_handler(make: type[Client]) -> Measures:
    """The handler of the assistant's audio is slow, and the user begins to speak."""
    async with staged(make, brain=Talker(), pace=1.0) as stage:
        told = Told()
        client = await stage.enter(told, speaks=True, slow_s=SLOW_S)
        await client.ask("Tell me a story.")
        began = await told.until("slow", timeout=ANSWER_S)
        speaking = asyncio.create_task(_speak(client))
        counts = stage.sessions[0].sent.counts
        await until(lambda: counts["input_audio_buffer.speech_started"], ANSWER_S)
        said_s = time.monotonic()
        heard = await told.until("hearing", timeout=ANSWER_S)
        await speaking
        return {"was_slow": began is not None, "delay_ms": heard and max(0.0, heard.at_s - said_s) * 1000}


async def malformed(make: type[Client]) -> Measures:
    """A frame that is no JSON comes in the middle of things."""
    return await _odd_frame(make, "garbage:response.createdx1", ("trouble", "failed", "over"))


async def unknown(make: type[Client]) -> Measures:
    """An event comes that is newer than the client."""
    return await _odd_frame(make, "unknown:response.createdx1", ("frame",))


async def refused(make: type[Client]) -> Measures:
    """The handshake is refused by 429 with `Retry-After`: the first one, and that after a cut."""
    refusal = f"refuse=429/retry_after={ASKED_TO_WAIT_S}x1"
    async with staged(make, faults=refusal) as stage:
        knocking = asyncio.create_task(_knocks_s(stage, sessions=1))
        first = {"first_error": await _connect_error(stage), "first_in": bool(stage.sessions)}
        first["first_early"] = _early(await knocking) if first["first_in"] else 0
        knocking.cancel()
    async with staged(make) as stage:
        await stage.enter(Told())
        stage.sim.set_faults(refusal)
        stage.proxy.cut()
        knocks_s = await _knocks_s(stage, sessions=2)
        return {**first, "again_in": len(stage.sessions) > 1, "again_early": _early(knocks_s)}


async def tool_call(make: type[Client]) -> Measures:
    """The connection is reset while a tool runs."""
    async with staged(make, brain=Clerk()) as stage:
        told = Told()
        client = await stage.enter(told, tool_s=1.5)
        await client.ask("Look it up.")
        await told.until("tool", timeout=ANSWER_S)
        stage.proxy.cut()
        await until(lambda: len(stage.sessions) > 1 or told.first("over"), BACK_S)
        await told.until("answer", text="42", timeout=5.0)
        outputs = [item for session in stage.sessions for item in session.items if item.type == "function_call_output"]
        complaints = [event for session in stage.sessions for event in session.sent if isinstance(event, ErrorEvent)]
        return {
            "ran": sum(note.name == "tool" for note in told.notes),
            "answered": len(outputs),
            "refused": sum(event.error.code == "invalid_tool_call_id" for event in complaints),
            "spoken_of": told.first("answer", text="42") is not None,
            "orphaned": told.first("orphaned") is not None,
            **_ending(told),
        }


async def storm(make: type[Client]) -> Measures:
    """Many sessions of one process are cut at once."""
    async with staged(make) as stage:
        for _ in range(STORM):
            await stage.enter(Told())
        before = len(stage.handshakes_s)
        stage.proxy.cut()
        began_s = time.monotonic()
        all_back_s = await until(lambda: stage.proxy.connections_open >= STORM, 2 * BACK_S)
        again_s = stage.handshakes_s[before:]
        return {
            "sessions": STORM,
            "back": stage.proxy.connections_open,
            "all_back_s": all_back_s,
            "half_back_s": statistics.median(again_s) - began_s if again_s else None,
            "peak": max((sum(at <= other < at + WINDOW_S for other in again_s) for at in again_s), default=0),
        }


async def key(make: type[Client]) -> Measures:
    """A session is held with a key that can be recognised, and another is refused for it."""
    return await spilt(make)


SCENES: Mapping[str, Scene] = {
    scene.__name__: scene
    for scene in (
        *(reset, going_away, expired, black_hole, deaf_peer, slow_handler, malformed),
        *(unknown, refused, tool_call, storm, key),
    )
}


# ── what they share ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _turn(client: Client, told: Told, text: str) -> bool:
    await client.ask(text)
    return await told.until("answer", text=text, timeout=ANSWER_S) is not None


async def _aftermath(stage: Stage, client: Client, told: Told, known: list[str]) -> Measures:
    """Waits for another session of the server, looks at what it was told, and a little later asks a last question."""
    back_s = await until(lambda: len(stage.sessions) > 1 or told.first("over"), BACK_S)
    if len(stage.sessions) < 2:
        return {"back_s": None, "items": 0, "of": len(known), "instructions": "", "tools": 0, "answers": False} | (
            _ending(told)
        )
    await asyncio.sleep(SETTLE_S)
    answers = await _turn(client, told, "Last question.")
    session = _that_was_asked(stage, "Last question.")
    words = list(filter(None, (_words(item) for item in session.items)))
    return {
        "back_s": back_s,
        "items": _found(known, words),
        "of": len(known),
        "instructions": {CHANGED: "changed", INSTRUCTIONS: "first"}.get(str(session.config.instructions), "none"),
        "tools": len(session.config.tools or ()),
        "answers": answers,
        **_ending(told),
    }


def _that_was_asked(stage: Stage, text: str) -> SimulatedSession:
    asked = (one for one in reversed(stage.sessions) if any(_words(item) == text for item in one.items))
    return next(asked, stage.sessions[-1])


def _words(item: Any) -> str:
    return "".join(part.text or part.transcript or "" for part in item.content or ())


def _found(wanted: list[str], words: list[str]) -> int:
    """Counts what is there of some texts, each as often as it is wanted."""
    left = list(words)
    found = 0
    for text in wanted:
        if text in left:
            left.remove(text)
            found += 1
    return found


def _ending(told: Told) -> Measures:
    over = told.first("over")
    return {"over": over.text[:160] if over else ""}


async def _noticed(proxy: FaultProxy, told: Told, timeout: float) -> float | None:
    """Gives after how many seconds the application was told, or its package knocked again."""
    began_s, before = time.monotonic(), proxy.connections_accepted
    signs = ("lost", "over", "failed", "trouble")
    return await until(
        lambda: proxy.connections_accepted > before or told.first(*signs, after_s=began_s) is not None, timeout
    )


class Calls:
    """Pieces of audio that are sent faster than they are spoken, and how long the calls take."""

    def __init__(self) -> None:
        self._began_s, self._longest_s, self._is_over = 0.0, 0.0, True

    async def send_for_ever(self, client: Client) -> None:
        """Sends a piece every hundredth of a second."""
        piece = PCM16.silence(PIECE_MS)
        while True:
            self._began_s, self._is_over = time.monotonic(), False
            await client.say(piece)
            self._longest_s, self._is_over = self.longest_s(), True
            await asyncio.sleep(SENDING_S)

    def longest_s(self) -> float:
        """Gives how long the longest call took, or has taken so far."""
        return self._longest_s if self._is_over else max(self._longest_s, time.monotonic() - self._began_s)

    def hangs(self) -> bool:
        """Says whether a call has not returned."""
        return not self._is_over


async def _speak(client: Client) -> None:
    """Says a recorded word at the speed of speech."""
    audio, size = read_wav(STOP) + PCM16.silence(300), PCM16.n_bytes(20)
    for start in range(0, len(audio), size):
        await client.say(audio[start : start + size])
        await asyncio.sleep(0.02)


async def _odd_frame(make: type[Client], faults: str, telling: tuple[str, ...]) -> Measures:
    async with staged(make) as stage:
        told = Told()
        client = await stage.enter(told)
        stage.sim.set_faults(faults)
        during = await _turn(client, told, "First question.")
        after = not told.first("over") and await _turn(client, told, "Last question.")
        return {
            "told": told.first(*telling) is not None,
            "answered": during and after,
            "sessions": len(stage.sessions),
            **_ending(told),
        }


async def _connect_error(stage: Stage) -> str:
    try:
        async with asyncio.timeout(BACK_S):
            await stage.enter(Told())
    except Exception as error:  # noqa: BLE001 - what connecting raises is what is measured
        return type(error).__name__
    return ""


async def _knocks_s(stage: Stage, *, sessions: int) -> list[float]:
    """Gives when a handshake was asked for, until there are so many sessions.

    Some packages ask again on the connection of the refusal, so that bytes are watched, not connections: before a
    session begins, a client sends nothing but handshakes.
    """
    knocks_s, seen_bytes, until_s = list[float](), stage.proxy.bytes_up, time.monotonic() + BACK_S
    while len(stage.sessions) < sessions and (now_s := time.monotonic()) < until_s:
        if stage.proxy.bytes_up > seen_bytes and (not knocks_s or now_s > knocks_s[-1] + KNOCK_S):
            knocks_s.append(now_s)
        seen_bytes = stage.proxy.bytes_up
        await asyncio.sleep(0)
    return knocks_s


def _early(knocks_s: list[float]) -> int:
    """Counts the handshakes that came after the refused one, but sooner than the server had asked for."""
    return sum(at < knocks_s[0] + ASKED_TO_WAIT_S - WINDOW_S for at in knocks_s[1:])
