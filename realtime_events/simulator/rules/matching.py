"""Choosing tools by what was said.

Owns which of the offered tools fit a sentence, and the calls that come of it. Decides by words and schemas alone: a
tool fits if the sentence is about what the tool's name, description or parameters are about. Before it:
`dialogue.py`; after it: `rules.py`. Knows no event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from ...events.base import Struct
from ...events.session import Tool
from ..plans import Call
from .arguments import Filling, fill, forced
from .language import concepts, described, name_words, word_set
from .parameters import Parameter, parameters_of

__all__ = ["Match", "Offer", "best_offer", "completed", "match_of", "matches", "must_call", "offers_of"]

_NAMED, _DESCRIBED, _FILLED = 3.0, 1.5, 1.5
_TIE = 0.01  # of two that fit alike, the one that understands more of what was said
_FITS = 3.0
_VAGUE = word_set("set create make update delete send start stop open run new manage handle topic:search")
_VAGUE_FACTOR = 0.4  # "send" alone does not tell mail from money
_CLAUSE = re.compile(r"(?<=[.?!;])\s+|\s+(?:and|then|also|and then|and also)\s+", re.IGNORECASE)


class Offer(Struct, frozen=True, kw_only=True):
    """A tool as the rules see it: what its name and its description are about, and its parameters."""

    name: str
    named: frozenset[str]
    described: frozenset[str]
    parameters: Sequence[Parameter]

    @property
    def takes_list(self) -> bool:
        """Whether one call takes any number of things."""
        return any(one.type == "array" for one in self.parameters)


class Match(Struct, frozen=True, kw_only=True):
    """A tool that fits, with the words it fits and the arguments they give."""

    offer: Offer
    said: str
    filling: Filling

    @property
    def calls(self) -> list[Call]:
        """The calls to make, as they are; some required arguments may be missing."""
        return [_call(self.offer, arguments) for arguments in self.filling.calls]


def offers_of(tools: Sequence[Tool]) -> list[Offer]:
    """Gives the function tools; the rules call nothing else."""
    return [
        _offer(msgspec.json.encode(tool))
        for tool in tools
        if tool.name and tool.type in ("function", None, msgspec.UNSET)
    ]


@lru_cache(maxsize=256)
def _offer(encoded: bytes) -> Offer:
    tool = msgspec.json.decode(encoded, type=Tool)
    parameters = parameters_of(tool.parameters)
    choices = " ".join(name_words(str(choice)) for one in parameters for choice in one.choices)
    return Offer(
        name=tool.name or "",
        named=frozenset(concepts(name_words(tool.name or ""))),
        described=frozenset(described(tool.description or "") | concepts(choices)),
        parameters=parameters,
    )


def matches(offers: Sequence[Offer], said: str) -> list[Match]:
    """Gives the tools that fit what was said, clause by clause, in the order of the clauses."""
    found: list[tuple[Offer, str]] = []
    waiting = ""
    for clause, joint in _clauses(said):
        offer = best_offer(offers, clause)
        if found and (offer is None or (offer is found[-1][0] and offer.takes_list)):
            words = found[-1][1] + joint + clause
            found[-1] = (best_offer(offers, words) or found[-1][0], words)
        elif offer is None:
            waiting += joint + clause
        else:
            found.append((offer, (waiting + joint + clause).strip()))
            waiting = ""
    return _merged([match_of(offer, words) for offer, words in found], said)


def best_offer(offers: Sequence[Offer], said: str, *, at_least: float = _FITS) -> Offer | None:
    """Gives the tool that fits best; the first of equals."""
    about = concepts(said)
    scored = [(_score(offer, about, said), -place) for place, offer in enumerate(offers)]
    score, place = max(scored, default=(0.0, 0))
    return offers[-place] if scored and score >= at_least else None


def must_call(offer: Offer, said: str) -> list[Call]:
    """Gives the calls of a tool that must be called, with made-up values where nothing said fits."""
    filling = match_of(offer, said).filling
    made_up = {one.name: forced(one, said) for one in filling.missing}
    return [_call(offer, {**arguments, **made_up}) for arguments in filling.calls]


def completed(match: Match, reply: str) -> Match:
    """Gives a match again, with the missing arguments taken from the reply to the question for them."""
    known = match.offer.named | match.offer.described
    more = fill(match.filling.missing, reply, known=known)
    calls = [{**have, **new} for have in match.filling.calls for new in more.calls]
    return Match(offer=match.offer, said=match.said, filling=Filling(calls=calls, missing=more.missing))


def match_of(offer: Offer, said: str) -> Match:
    """Gives a tool with the arguments that the words give."""
    known = frozenset(offer.named | offer.described) & frozenset(concepts(said))
    return Match(offer=offer, said=said, filling=fill(offer.parameters, said, known=known))


def _clauses(said: str) -> list[tuple[str, str]]:
    """Splits a text into clauses, each with what joined it to the one before."""
    clauses: list[tuple[str, str]] = []
    start, joint = 0, ""
    for match in _CLAUSE.finditer(said):
        clauses.append((said[start : match.start()], joint))
        start, joint = match.end(), match.group()
    return [*clauses, (said[start:], joint)]


def _merged(found: Sequence[Match], said: str) -> list[Match]:
    """Drops a clause that repeats a tool without adding arguments; a lone match may use all that was said."""
    kept: list[Match] = []
    for match in found:
        known = [
            dict(arguments) for earlier in kept if earlier.offer is match.offer for arguments in earlier.filling.calls
        ]
        if known and (match.filling.missing or all(dict(arguments) in known for arguments in match.filling.calls)):
            continue
        kept.append(match)
    return [match_of(kept[0].offer, said)] if len(kept) == 1 and kept[0].filling.missing else kept


def _score(offer: Offer, about: set[str], said: str) -> float:
    score = sum(_weight(one, _NAMED) for one in about & offer.named)
    score += sum(_weight(one, _DESCRIBED) for one in about & (offer.described - offer.named))
    if score < _DESCRIBED or not any(one.required for one in offer.parameters):
        return score
    filling = match_of(offer, said).filling
    return score + (_FILLED if not filling.missing else 0.0) + _TIE * filling.found


def _weight(one: str, full: float) -> float:
    return full * (_VAGUE_FACTOR if one in _VAGUE else 1.0)


def _call(offer: Offer, arguments: Mapping[str, Any]) -> Call:
    return Call(name=offer.name, arguments=msgspec.json.encode(arguments).decode())
