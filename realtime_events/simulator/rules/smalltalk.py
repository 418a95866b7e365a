"""What the rules say when no tool is asked for.

Owns the replies to greetings, small talk, sums, the time and "repeat after me". Knows no tool and no conversation;
time is passed in. After it: `rules.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from .spans import numbers

__all__ = ["GREETING", "repeated", "small_talk"]

GREETING = "Hello! How can I help you?"

_REPEAT = re.compile(
    r"\b(?:repeat after me|say after me|please repeat|repeat)\s*[:,]?\s+(.+)", re.IGNORECASE | re.DOTALL
)
_SAY = re.compile(r"^(?:please |can you |could you )?say(?: exactly)?\s*[:,]?\s+(.+)", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"\b(?:my name is|my name's|call me)\s+([^\W\d_][\w'’-]*)", re.IGNORECASE)
_SUM = re.compile(
    r"^\s*(plus|and|add(?:ed to)?|\+|minus|less|-|−|times|multiplied by|x|\*|×|divided by|over|/|÷)\s*$", re.IGNORECASE
)
_PERCENT = re.compile(r"^\s*(?:%|percent|per cent)\s+of\s*$", re.IGNORECASE)
_ASKS_SUM = re.compile(
    r"\b(?:what is|what's|how much|calculate|compute|add|plus|minus|times|divided|sum)\b|[+*×÷=/]", re.IGNORECASE
)
_SIGN = {"plus": "+", "and": "+", "minus": "-", "less": "-", "−": "-", "times": "*", "multiplied by": "*", "x": "*"} | {
    "×": "*",
    "divided by": "/",
    "over": "/",
    "÷": "/",
    "add": "+",
    "added to": "+",
}

_TALK: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern, re.IGNORECASE), reply)
    for pattern, reply in [
        (r"\bhow (?:are you|is it going|do you do)|how's it going", "I am fine, thank you. How can I help you?"),
        (
            r"\b(?:what can you do|help me|what do you do)\b|^help\b",
            "I can chat, do sums, tell the time, and use the tools I am given.",
        ),
        (r"\bjoke\b", "Why did the packet cross the network? To get to the other site."),
        (
            r"\b(?:are you (?:real|human|a robot|an? ai)|what are you)\b",
            "I am a simulated assistant, made of a few rules.",
        ),
        (r"\b(?:thank you|thanks|cheers)\b", "You are welcome!"),
        (r"\b(?:good ?bye|bye|see you|good night)\b", "Goodbye! It was nice talking to you."),
        (r"^\W*(?:stop|wait|hold on|one moment|hang on|be quiet|shut up)\b", "All right, I am listening."),
        (r"\b(?:sorry|excuse me)\b", "No problem at all."),
        (r"\b(?:you are|you're) (?:great|nice|good|the best|wonderful|amazing)\b", "Thank you, that is kind of you."),
        (r"^\W*(?:hello|hi|hey|hallo|greetings|good (?:morning|afternoon|evening|day))\b", GREETING),
        (r"^\W*(?:yes|yeah|yep|sure|ok|okay|right|fine|great|good|nice|cool)\W*$", "Great. What can I do for you?"),
        (r"^\W*(?:no|nope|nothing|never mind)\W*$", "All right. Tell me if you need anything."),
    ]
]  # fmt: skip


def repeated(said: str) -> str:
    """Gives what the user asks to be repeated; empty if nothing."""
    match = _REPEAT.search(said) or _SAY.match(said)
    return match[1].strip().strip('"“”') if match else ""


def small_talk(said: str, *, now: Callable[[], datetime], name: str) -> str:
    """Gives the reply to small talk, a sum, or a question for the time; empty if it is none of these."""
    if re.search(r"\b(?:your name|who are you)\b", said, re.IGNORECASE):
        return f"I am {name}."
    if called := _NAME.search(said):
        return f"Nice to meet you, {called[1]}. How can I help you?"
    return _sum(said) or _clock(said, now) or next((reply for pattern, reply in _TALK if pattern.search(said)), "")


def _clock(said: str, now: Callable[[], datetime]) -> str:
    if re.search(r"\bwhat(?:'s| is)? (?:the )?time\b|\bwhat time is it\b|\btell me the time\b", said, re.IGNORECASE):
        return f"It is {now():%H:%M}."
    if re.search(r"\bwhat (?:day|date)\b|\bwhat(?:'s| is) (?:the date|today's date)\b", said, re.IGNORECASE):
        today = now()
        return f"Today is {today:%A}, {today.day} {today:%B} {today.year}."
    return ""


def _sum(said: str) -> str:
    """Gives the result of a chain of numbers joined by operators, times before plus."""
    found = numbers(said)
    if len(found) < 2 or not _ASKS_SUM.search(said):
        return ""
    between = [said[one.end : two.start] for (one, _), (two, _) in pairwise(found)]
    values = [Fraction(str(value)) for _, value in found]
    if len(values) == 2 and _PERCENT.match(between[0]):
        return f"That is {_plain(values[0] * values[1] / 100)}."
    signs = [_sign(words, two.value) for words, (two, _) in zip(between, found[1:], strict=True)]
    if not all(signs):
        return ""
    values = [abs(value) if not words.strip() else value for words, value in zip(["0", *between], values, strict=True)]
    return _result(values, signs)


def _sign(words: str, after: str) -> str:
    """Gives the operator between two numbers; the minus of "3 -2" stands in the second."""
    if not words.strip() and after.startswith("-"):
        return "-"
    match = _SUM.match(words)
    return _SIGN.get(match[1].lower(), match[1]) if match else ""


def _result(values: list[Fraction], signs: list[str]) -> str:
    terms = [values[0]]
    for sign, value in zip(signs, values[1:], strict=True):
        if sign == "/" and not value:
            return "One cannot divide by zero."
        if sign in "*/":
            terms[-1] = terms[-1] * value if sign == "*" else terms[-1] / value
        else:
            terms.append(value if sign == "+" else -value)
    return f"That is {_plain(sum(terms, Fraction(0)))}."


def _plain(value: Fraction) -> str:
    return f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):,.4f}".rstrip("0")
