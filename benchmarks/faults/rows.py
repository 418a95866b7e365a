"""The rows of the table: which measures of a scene are compared, which is better, and how they are told.

Takes the results that `__main__.py` keeps; runs nothing. A score is a number of which the lower one is better; what
lies within `slack` of the best counts as equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from benchmarks.faults.clients import OURS

Measures: TypeAlias = Mapping[str, Any]
Standing: TypeAlias = Literal["first", "equal", "behind"]

NOT_BACK = 1_000.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        scene: The scene whose measures it compares.
        fault: What goes wrong.
        compared: What makes one better than another.
        score: Makes a number of measures; the lower one is better.
        tell: Says the measures in a few words.
        slack: How far from the best still counts as equal.
        note: What is to be said where a peer is better.
    """

    scene: str
    fault: str
    compared: str
    score: Callable[[Measures], float]
    tell: Callable[[Measures], str]
    slack: float = 0.0
    note: str = ""

    def standing(self, measured: Mapping[str, Measures]) -> Standing:
        """Says how this package stands among all that were measured."""
        ours = self.score(measured[OURS])
        others = [self.score(measures) for client, measures in measured.items() if client != OURS]
        best = min(others, default=math.inf)
        if ours < best - self.slack:
            return "first"
        return "equal" if ours <= best + self.slack else "behind"

    def best(self, measured: Mapping[str, Measures]) -> list[str]:
        """Gives the clients that are as good as the best."""
        scores = {client: self.score(measures) for client, measures in measured.items()}
        return [client for client, score in scores.items() if score <= min(scores.values()) + self.slack]


# ── back with what was said ──────────────────────────────────────────────────────────────────────────────────────────


def _missing(it: Measures) -> float:
    return it["of"] - it["items"] if it["back_s"] is not None and it["answers"] else NOT_BACK


def _bare(it: Measures) -> float:
    return (it["instructions"] != "changed") + (it["tools"] < 1) if it["back_s"] is not None else NOT_BACK


def _late(it: Measures) -> float:
    """Counts an item that is missing as worse than any delay."""
    return _missing(it) * 100 + (it["back_s"] or 0.0)


def _tell_conversation(it: Measures) -> str:
    if it["back_s"] is None:
        return _over(it)
    silent = "" if it["answers"] else ", but does not answer"
    return f"back after {it['back_s']:.1f} s with {it['items']} of {it['of']} items{silent}"


def _tell_settings(it: Measures) -> str:
    if it["back_s"] is None:
        return _over(it)
    instructions = {"changed": "as last changed", "first": "as first set", "none": "gone"}[it["instructions"]]
    return f"instructions {instructions}, {'the tool is there' if it['tools'] else 'no tool'}"


def _over(it: Measures) -> str:
    return f"session over: {it['over'].partition(':')[0]}" if it["over"] else "never back"


# ── silence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _seconds(name: str) -> Callable[[Measures], float]:
    return lambda it: math.inf if it[name] is None else it[name]


def _tell_black_hole(it: Measures) -> str:
    if it["last_s"] is None:
        return f"{it['noticed']} of {it['struck']} within a minute" if it["noticed"] else "not within a minute"
    return f"after {it['first_s']:.0f} to {it['last_s']:.0f} s"


def _tell_deaf(it: Measures) -> str:
    told = "not told within a minute" if it["told_s"] is None else f"told after {it['told_s']:.0f} s"
    longest_s = it["longest_call_s"]
    call = "no call waits" if longest_s < 0.1 else f"longest call {longest_s:.0f} s"
    return f"{told}; {call}{'' if it['freed'] else ', still hanging'}"


def _tell_slow(it: Measures) -> str:
    delay_ms = it["delay_ms"]
    if delay_ms is None:
        return "not told within 10 s"
    return "at once" if delay_ms < 5 else f"after {delay_ms:.0f} ms"


# ── odd frames ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _odd(it: Measures) -> float:
    return (0 if it["told"] else 1) if it["answered"] else 2


def _tell_odd(it: Measures) -> str:
    told = "told" if it["told"] else "not told"
    if it["answered"]:
        return f"{told}, the session goes on"
    return f"{told}, then {_over(it)}" if it["over"] else f"{told}, then no answer any more"


# ── handshakes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _impatient(it: Measures) -> float:
    return sum((1 if it[f"{part}_early"] else 0) if it[f"{part}_in"] else 2 for part in ("first", "again"))


def _tell_refused(it: Measures) -> str:
    return f"first: {_tell_knocks(it, 'first')}; after a cut: {_tell_knocks(it, 'again')}"


def _tell_knocks(it: Measures, part: str) -> str:
    if not it[f"{part}_in"]:
        return f"raises {it['first_error']}" if part == "first" and it["first_error"] else "never back"
    early = it[f"{part}_early"]
    return f"in, {early} too early" if early else "in, waits as asked"


def _stampede(it: Measures) -> float:
    return it["peak"] + (it["sessions"] - it["back"]) * NOT_BACK


def _tell_storm(it: Measures) -> str:
    if it["back"] < it["sessions"]:
        return f"{it['back']} of {it['sessions']} back"
    return f"at most {it['peak']}; all back after {it['all_back_s']:.1f} s"


# ── tools and keys ───────────────────────────────────────────────────────────────────────────────────────────────────


def _unanswered(it: Measures) -> float:
    if it["ran"] > 1 or it["answered"] > 1 or it["refused"]:
        return 3
    if it["answered"]:
        return 0 if it["spoken_of"] else 1
    return 1 if it["orphaned"] else 2


def _tell_tool(it: Measures) -> str:
    if it["answered"]:
        again = "once" if it["answered"] == 1 else f"{it['answered']} times"
        return f"answered {again} in the new session{', and spoken of' if it['spoken_of'] else ''}"
    if it["refused"]:
        return "sent to a session that refuses it"
    return "not answered; the call is reported" if it["orphaned"] else f"not answered; {_over(it)}"


def _spilt(it: Measures) -> float:
    return len(it["shown_in"]) if it["refused"] else math.inf


def _tell_key(it: Measures) -> str:
    return f"in {', '.join(it['shown_in'])}" if it["shown_in"] else "nowhere"


ROWS = (
    Row(
        scene="reset",
        fault="the socket is reset in the middle of a response",
        compared="items of the conversation that the new session of the server knows",
        score=_missing,
        tell=_tell_conversation,
    ),
    Row(
        scene="reset",
        fault="the same: configuration and tools",
        compared="instructions changed meanwhile, and the tool, in the new session",
        score=_bare,
        tell=_tell_settings,
    ),
    Row(
        scene="going_away",
        fault="the server closes with 1001",
        compared="items known, then seconds; delays are drawn at random, so a second counts as equal",
        score=_late,
        tell=_tell_conversation,
        slack=1.0,
    ),
    Row(
        scene="expired",
        fault="`session_expired`: the time limit strikes",
        compared="items known, then seconds, as above",
        score=_late,
        tell=_tell_conversation,
        slack=1.0,
    ),
    Row(
        scene="black_hole",
        fault="half-open peer: nothing passes, and nobody says so",
        compared="longest time until the application is told, or another handshake is made",
        score=_seconds("last_s"),
        tell=_tell_black_hole,
        slack=1.0,
    ),
    Row(
        scene="deaf_peer",
        fault="a peer that takes nothing while audio is sent",
        compared="time until the application is told; how long a call that sends hangs is shown",
        score=_seconds("told_s"),
        tell=_tell_deaf,
        slack=1.0,
    ),
    Row(
        scene="slow_handler",
        fault="the handler of the assistant's audio takes four seconds, and the user begins to speak",
        compared="time from `speech_started` on the wire until the application is told; 50 ms count as equal",
        score=_seconds("delay_ms"),
        tell=_tell_slow,
        slack=50.0,
    ),
    Row(
        scene="malformed",
        fault="a frame that is no JSON",
        compared="does the session go on, and is the application told",
        score=_odd,
        tell=_tell_odd,
    ),
    Row(
        scene="unknown",
        fault="an event newer than the client",
        compared="does the session go on, and does the application get the event",
        score=_odd,
        tell=_tell_odd,
    ),
    Row(
        scene="refused",
        fault="handshake 429 with `Retry-After: 4`, at first and after a cut",
        compared="does it get in, and are there handshakes sooner than asked",
        score=_impatient,
        tell=_tell_refused,
    ),
    Row(
        scene="tool_call",
        fault="the connection is reset while a tool runs",
        compared="answered once, else reported, else only the end is told, else answered wrongly",
        score=_unanswered,
        tell=_tell_tool,
    ),
    Row(
        scene="storm",
        fault="fifty sessions of one process are cut at once",
        compared="all back; then the most handshakes in 100 ms",
        score=_stampede,
        tell=_tell_storm,
        slack=2.0,
    ),
    Row(
        scene="key",
        fault="a refused handshake, and a look at the public objects: where does the key show",
        compared="the number of places",
        score=_spilt,
        tell=_tell_key,
    ),
)
