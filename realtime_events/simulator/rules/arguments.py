"""Filling a tool's arguments from what was said.

Owns which value of a sentence belongs to which parameter, and what is still missing. Knows neither conversation nor
tool choice. Before it: `parameters.py` (what is wanted) and `spans.py` (what can be found); after it: `matching.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...events.base import Struct
from .language import ORDINARY, concept, concepts, lower_words, name_words, negated, word_set
from .parameters import Parameter
from .spans import FINDERS, Span, numbers, places

__all__ = ["Filling", "fill", "forced"]

_PREPOSITIONS: dict[str, tuple[str, ...]] = {
    "origin": ("from",),
    "destination": ("to", "towards", "into", "for", "in"),
    "place": ("in", "at", "for", "near", "around", "of", "to", "from", "about"),
    "person": ("named", "called", "name is", "call", "to", "for", "with", "i am", "i'm", "under", "about", "of"),
    "any": ("to", "in", "for", "of", "on", "at", "from", "with", "about", "as", "called", "named"),
}
_LATE = ("text", "any")  # these take what no other parameter wants
_CUES = re.compile(
    r"\b(?:saying|that says|which says|with the (?:message|text|words|title|subject)|titled|entitled|remind me to"
    r"|remember (?:to|that)|note (?:down|that)?|search (?:the \w+ )?for|look (?:up|for)|find(?: me)?|play|about|called"
    r"|translate|calculate|compute|what is|what's|how much is|order|buy|add|put|tell (?:them|him|her) (?:that|to)?)\s+",
    re.IGNORECASE,
)
_COLON = re.compile(r":\s+(?=\S)")
_LEAD = re.compile(
    r"^(?:(?:please|can you|could you|would you|will you|hello|hi|hey|ok|okay)\b[\s,!.]*)+", re.IGNORECASE
)
_EDGES = " .,?!;:"
_PREPOSITION_END = re.compile(r"\s(?:to|at|on|in|into|for|by|from|until)\s*$", re.IGNORECASE)
_LIST_END = re.compile(r"\s+(?:to|on|in|into|from|for)\s+(?:the|my|our)\s.*$", re.IGNORECASE)
_LIST_JOINT = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+")
_YES = word_set("yes yeah yep sure please ok okay correct true on enable activate")
_NO = word_set("no nope not don't false off disable deactivate")
_SWITCHES = word_set("on enabled enable active state power")
_MOST_CALLS = 8


class Filling(Struct, frozen=True, kw_only=True):
    """The arguments found, once for each call that is wanted, and the required parameters that nothing fits."""

    calls: Sequence[Mapping[str, Any]]
    missing: Sequence[Parameter]

    @property
    def found(self) -> int:
        """How many arguments were found."""
        return len(self.calls[0])


def fill(parameters: Sequence[Parameter], said: str, *, known: frozenset[str] = frozenset()) -> Filling:
    """Fills parameters from what was said.

    A parameter for one place that hears of several makes a call for each. `known` are the concepts that made the tool
    be chosen: they are no values.
    """
    search = _Search(said, known)
    values: dict[str, Any] = {}
    several: dict[str, list[Any]] = {}
    for parameter in sorted(parameters, key=lambda one: one.type == "string" and one.role in _LATE):
        found = search.values(parameter)
        if found:
            values[parameter.name] = found[0]
        if len(found) > 1:
            several.setdefault(parameter.name, found)
    ordered = {one.name: values[one.name] for one in parameters if one.name in values}
    calls = [ordered]
    for name, variants in [*several.items()][:1]:
        calls = [{**ordered, name: variant} for variant in variants[:_MOST_CALLS]]
    return Filling(calls=calls, missing=[one for one in parameters if one.required and one.name not in values])


def forced(parameter: Parameter, said: str) -> Any:
    """Gives a value that fits the schema for a parameter that nothing said fits, because the call must be made."""
    if "default" in parameter.schema:
        return parameter.schema["default"]
    if parameter.choices:
        return parameter.choices[0]
    if parameter.type in ("integer", "number"):
        return _within(parameter, 1)
    if parameter.type == "array":
        if parameter.parts:
            return [forced(part, said) for part in parameter.parts]
        return [forced(parameter.inside, said)] if parameter.inside and parameter.schema.get("minItems") else []
    if parameter.type == "object":
        return {part.name: forced(part, said) for part in parameter.parts if part.required}
    return {"boolean": False, "null": None}.get(parameter.type, said.strip() or "unknown")


class _Search:
    """One pass over a sentence: what one parameter takes, the next does not get."""

    def __init__(self, said: str, known: frozenset[str]) -> None:
        self._said = said
        self._known = known
        self._taken: list[Span] = []
        self._numbers = numbers(said)

    def values(self, parameter: Parameter) -> list[Any]:
        """Gives the values for a parameter: none, one, or one for each call."""
        if parameter.choices:
            return self._chosen(parameter)[:1] or _default(parameter)
        find = {
            "integer": self._number,
            "number": self._number,
            "boolean": self._truth,
            "array": self._list,
            "object": self._object,
        }.get(parameter.type, self._string)
        return list(find(parameter)) or _default(parameter)

    def _chosen(self, parameter: Parameter) -> list[Any]:
        """Finds the choices whose words were said, in the order of the choices."""
        if len(parameter.choices) == 1 and parameter.required:
            return list(parameter.choices)
        heard = lower_words(self._said)
        found = [one for one in parameter.choices if _was_said(str(one), heard)]
        return found or _meant(parameter.choices, set(map(concept, heard)))

    def _number(self, parameter: Parameter) -> Iterator[float | int]:
        free = [(span, value) for span, value in self._numbers if span not in self._taken and _fits(parameter, value)]
        near = [one for one in free if self._neighbours(one[0]) & parameter.about]
        if near or (free and parameter.required):
            span, value = (near or free)[0]
            self._taken.append(span)
            yield int(value) if parameter.type == "integer" or value.is_integer() else value

    def _neighbours(self, span: Span) -> set[str]:
        before, after = lower_words(self._said[: span.start])[-2:], lower_words(self._said[span.end :])[:2]
        return set(map(concept, [*before, *after]))

    def _truth(self, parameter: Parameter) -> Iterator[bool]:
        heard = lower_words(self._said)
        named = set(parameter.spoken.split())
        about = set(map(concept, named - ORDINARY))
        places_said = [place for place, word in enumerate(heard) if concept(word) in about]
        if places_said:
            yield not negated(heard[: places_said[0]])
        elif (named & _SWITCHES or parameter.required) and (said := [word for word in heard if word in _YES | _NO]):
            yield said[-1] in _YES

    def _list(self, parameter: Parameter) -> Iterator[list[Any]]:
        inside = parameter.inside
        if parameter.parts:
            yield from self._tuple(parameter)
            return
        if inside is None:
            return
        if inside.choices:
            found = self._chosen(inside)
        elif inside.type == "string" and inside.role in _LATE:
            found = [one for text in self._text() for one in _LIST_JOINT.split(_LIST_END.sub("", text)) if one]
        elif inside.type in ("integer", "number"):
            found = [int(value) if value.is_integer() else value for _, value in self._numbers]
        else:
            found = self.values(inside)
        if found and (parameter.required or inside.role not in _LATE):
            yield found

    def _tuple(self, parameter: Parameter) -> Iterator[list[Any]]:
        """Finds what was said for each place; the others are made up if any was."""
        found = [self.values(part)[:1] for part in parameter.parts]
        if any(found):
            yield [
                values[0] if values else forced(part, self._said)
                for values, part in zip(found, parameter.parts, strict=True)
            ]

    def _object(self, parameter: Parameter) -> Iterator[Mapping[str, Any]]:
        filling = fill(parameter.parts, self._said, known=self._known)
        if filling.found and not filling.missing:
            yield filling.calls[0]

    def _string(self, parameter: Parameter) -> Iterator[str]:
        finder = FINDERS.get(parameter.role)
        if finder:
            return self._take(finder(self._said)[:1] if parameter.role != "date" else finder(self._said))
        if parameter.role == "text":
            return iter(self._text()[:1]) if parameter.required else self._take(FINDERS["quote"](self._said))
        return self._named(parameter)

    def _take(self, found: Sequence[Span]) -> Iterator[str]:
        free = next((span for span in found if span not in self._taken), None)
        if free:
            self._taken.append(free)
            yield free.value

    def _named(self, parameter: Parameter) -> Iterator[str]:
        """Finds a name after the prepositions of its role, or what is left of the sentence if it must be there."""
        found = FINDERS["quote"](self._said) if parameter.role == "any" else []
        found = found or places(self._said, _PREPOSITIONS[parameter.role], known=self._known | parameter.about)
        found = [span for span in found if span not in self._taken]
        if parameter.role == "any" and not parameter.required:
            found = self._after_name(parameter)
        elif not found and parameter.required:
            found = self._left_over(parameter)
        self._taken += found
        return (span.value for span in (found if parameter.role == "place" else found[:1]))

    def _after_name(self, parameter: Parameter) -> list[Span]:
        """Finds "<name> is <value>" or "<name> <value>", the only way to give an optional value without a role."""
        match = re.search(rf"\b{re.escape(parameter.spoken)}\s+(?:is\s+|=\s*)?([\w-]+)", self._said, re.IGNORECASE)
        return [Span(start=match.start(1), end=match.end(1), value=match[1])] if match else []

    def _left_over(self, parameter: Parameter) -> list[Span]:
        """Finds the words that mean nothing to the rules, such as the "Bern" in "Bern weather please"."""
        taken = [word for span in self._taken for word in lower_words(span.value)]
        words = [
            match
            for match in re.finditer(r"[^\W\d_][\w'’-]*", self._said)
            if (word := match.group().lower()) not in ORDINARY
            and word not in taken
            and concept(word) not in self._known | parameter.about
        ]
        capitals = [match for match in words if match.group()[0].isupper()]
        chosen = (capitals or words)[:3]
        if not chosen or len(words) > 6:
            return []
        start, end = chosen[0].start(), chosen[-1].end()
        return [Span(start=start, end=end, value=self._said[start:end])]

    def _text(self) -> list[str]:
        """Finds free text: what is quoted, else what follows a colon or a cue, else the whole sentence."""
        if quoted := [span.value for span in FINDERS["quote"](self._said)]:
            return quoted
        said = _LEAD.sub("", self._said).strip()
        cue = _COLON.search(said) or _CUES.search(said)
        rest = (said[cue.end() :] if cue else said).strip(_EDGES)
        for span in reversed(self._taken):
            if rest.endswith(span.value):
                rest = _PREPOSITION_END.sub("", rest.removesuffix(span.value)).strip(_EDGES)
        return [rest] if rest else []


def _default(parameter: Parameter) -> list[Any]:
    return [parameter.schema["default"]] if parameter.required and "default" in parameter.schema else []


def _meant(choices: Sequence[Any], about: set[str]) -> list[Any]:
    """Finds the one choice whose topics were talked about; if there are several, nothing was meant."""
    found = [one for one in choices if (topics := concepts(name_words(str(one)))) and topics <= about]
    return found if len(found) == 1 else []


def _was_said(choice: str, heard: list[str]) -> bool:
    wanted = lower_words(name_words(choice)) or lower_words(choice)
    spans = range(len(heard) - len(wanted) + 1)
    return bool(wanted) and any(heard[place : place + len(wanted)] == wanted for place in spans)


def _fits(parameter: Parameter, value: float) -> bool:
    return _within(parameter, value) == value and (parameter.type == "number" or value.is_integer())


def _within(parameter: Parameter, value: float) -> float:
    """Gives the value, or the nearest within the schema's limits."""
    least, most = parameter.schema.get("minimum"), parameter.schema.get("maximum")
    above, below = parameter.schema.get("exclusiveMinimum"), parameter.schema.get("exclusiveMaximum")
    if isinstance(above, int | float) and value <= above:
        value = above + 1
    if isinstance(below, int | float) and value >= below:
        value = below - 1
    if isinstance(least, int | float):
        value = max(value, least)
    return min(value, most) if isinstance(most, int | float) else value
