"""Faults on demand: what a server, a network or a bad day does to a session.

Owns the rules, their spelling and their dice, which a seed makes the same in every run. Knows no socket: `faulty.py`
carries out what is decided here. Before it: the API, the command line, or a request of a test.

A specification is a list of rules, separated by commas:

    kind[=value][/option=value][:event][#n][%chance][xtimes]

`drop:response.*.delta%0.1` drops a tenth of the deltas; `close=1011#20` closes with 1011 in place of the twentieth
frame; `refuse=429/retry_after=2x1` refuses the first handshake; `seed=7` throws the dice.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal, get_args

from ..events.base import Struct
from ..exceptions import ConfigurationError

Kind = Literal[
    "drop",
    "delay",
    "duplicate",
    "reorder",
    "truncate",
    "garbage",
    "unknown",
    "close",
    "eof",
    "reset",
    "stop_writing",
    "ignore",
    "error",
    "error_null",
    "stop_reading",
    "no_pong",
    "refuse",
    "slow",
    "expire",
]
OUTGOING = ("drop", "delay", "duplicate", "reorder", "truncate", "garbage", "unknown")
ENDINGS = ("close", "eof", "reset", "stop_writing")
DEFAULT_VALUES = {"delay": 0.1, "close": 1011, "refuse": 503, "slow": 1.0, "expire": 1.0}

_RULE = re.compile(
    r"(?P<kind>[a-z_]+)(?:=(?P<value>\d+(?:\.\d+)?))?(?P<options>(?:/[a-z_]+=\d+(?:\.\d+)?)*)"
    r"(?::(?P<event>[a-z_.*?]+))?(?:#(?P<nth>\d+))?(?:%(?P<chance>\d*\.?\d+))?(?:x(?P<times>\d+))?"
)


class Fault(Struct, frozen=True, kw_only=True):
    """One rule.

    Attributes:
        kind: What happens.
        value: Seconds for `delay`, `slow` and `expire`, the close code for `close`, the HTTP status for `refuse`.
        retry_after_s: For `refuse`: the `Retry-After` header.
        event: A glob on the names of the events that it may hit.
        nth: Which of those it hits, from 1; 0 for every one. For `refuse` and `slow`: which connection.
        chance: How likely each hit is.
        times: After how many hits it is used up, on each connection; 0 for never.
    """

    kind: Kind
    value: float = 0.0
    retry_after_s: float | None = None
    event: str = "*"
    nth: int = 0
    chance: float = 1.0
    times: int = 0


class Faults(Struct, frozen=True, kw_only=True):
    """Rules and a seed."""

    rules: Sequence[Fault] = ()
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read a specification.

        Raises:
            ConfigurationError: It is none; the sentence names the rule at fault.
        """
        rules: list[Fault] = []
        seed = 0
        for word in filter(None, (word.strip() for word in re.split(r"[,;\s]+", text))):
            if word.startswith("seed=") and word[5:].isdigit():
                seed = int(word[5:])
            else:
                rules.append(_rule(word))
        return cls(rules=rules, seed=seed)


class Dice:
    """The rules of one connection, with what they have hit so far."""

    def __init__(self, faults: Faults, connection: int) -> None:
        self._random = random.Random(f"{faults.seed}:{connection}")
        self._rules = [_Counted(rule) for rule in faults.rules]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def replace(self, faults: Faults) -> None:
        """Go on with other rules, counted from now."""
        self._rules = [_Counted(rule) for rule in faults.rules]

    def throw(self, event: str, kinds: Iterable[str]) -> list[Fault]:
        """Give what hits the next event of this name, in the order of the rules."""
        wanted = frozenset(kinds)
        return [one.rule for one in self._rules if one.rule.kind in wanted and one.hits(event, self._random)]

    def bytes(self, count: int) -> bytes:
        """Give so many random bytes."""
        return self._random.randbytes(count)


class HandshakeDice:
    """The rules that hit connections before they are sessions; one for a server."""

    def __init__(self, faults: Faults) -> None:
        self._dice = Dice(faults, 0)

    def throw(self) -> list[Fault]:
        """Give what hits the next connection."""
        return self._dice.throw("handshake", ("refuse", "slow"))


class _Counted:
    """A rule and how often it was tried and hit."""

    def __init__(self, rule: Fault) -> None:
        self.rule = rule
        self._seen = 0
        self._hit = 0

    def hits(self, event: str, dice: random.Random) -> bool:
        rule = self.rule
        if (rule.times and self._hit >= rule.times) or not fnmatchcase(event, rule.event):
            return False
        self._seen += 1
        if (rule.nth and self._seen != rule.nth) or (rule.chance < 1 and dice.random() >= rule.chance):
            return False
        self._hit += 1
        return True


def _rule(word: str) -> Fault:
    found = _RULE.fullmatch(word)
    if found is None or found["kind"] not in get_args(Kind):
        raise ConfigurationError(f"{word!r} is no fault; kinds are {', '.join(get_args(Kind))}")
    options = dict(option.split("=") for option in found["options"].split("/")[1:])
    if options.keys() - {"retry_after"}:
        raise ConfigurationError(f"{word!r} has an option that no fault has; there is only retry_after")
    return Fault(
        kind=found["kind"],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        value=float(found["value"] or DEFAULT_VALUES.get(found["kind"], 0.0)),
        retry_after_s=float(options["retry_after"]) if options else None,
        event=found["event"] or "*",
        nth=int(found["nth"] or 0),
        chance=float(found["chance"] or 1.0),
        times=int(found["times"] or 0),
    )
