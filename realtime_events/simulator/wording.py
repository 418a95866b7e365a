"""Putting data into words.

Owns how a tool's output is spoken: a text as it is, JSON as a sentence. Knows no conversation. After it: `rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .language import name_words

__all__ = ["joined", "plural", "sentence", "spoken"]

_MOST_PARTS = 12  # nobody listens to more
_DEEPEST = 4


def spoken(output: str) -> str:
    """Gives a tool output as it is said: plain text unchanged, JSON in words."""
    try:
        value = msgspec.json.decode(output)
    except (msgspec.DecodeError, RecursionError):
        return output.strip() or "That is done."
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list):
        return _list(value)
    return {None: "That is done.", True: "Yes, that is done.", False: "No."}.get(value) or str(value).strip()


def joined(parts: Sequence[str], *, link: str = "and") -> str:
    """Gives "a", "a and b", "a, b and c"."""
    return f"{', '.join(parts[:-1])} {link} {parts[-1]}" if len(parts) > 1 else "".join(parts)


def sentence(text: str) -> str:
    """Gives a text with a capital at its start and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?…" else ".")


def plural(words: str) -> bool:
    """Tells whether a name is one of several things, by its ending."""
    return (words.endswith("s") and not words.endswith(("ss", "us", "is", "as"))) or words.endswith("people")


def _object(value: Mapping[str, Any]) -> str:
    error = value.get("error")
    if error:
        reason = error.get("message") if isinstance(error, Mapping) else error
        return sentence(f"I am sorry, that did not work: {_phrase(reason, 0)}")
    if len(value) == 1:
        only = next(iter(value.values()))
        if isinstance(only, str):
            return only
        if isinstance(only, bool):
            return "Yes, that is done." if only else "I am sorry, that did not work."
    facts = [_fact(name, one) for name, one in [*value.items()][:_MOST_PARTS]]
    return sentence(joined(facts)) if facts else "There is nothing to tell."


def _fact(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"{name_words(name)}: {'yes' if value else 'no'}"
    return f"the {name_words(name)} {'are' if plural(name_words(name)) else 'is'} {_phrase(value, 1)}"


def _list(values: Sequence[Any]) -> str:
    if not values:
        return "I found nothing."
    parts = [_phrase(one, 1) for one in values[:_MOST_PARTS]]
    more = len(values) - len(parts)
    return sentence(joined([*parts, f"{more} more"] if more else parts, link="and"))


def _phrase(value: Any, depth: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "unknown"
    if depth >= _DEEPEST or not isinstance(value, Mapping | list):
        return str(value) if not isinstance(value, Mapping | list) else "more"
    if isinstance(value, list):
        return joined([_phrase(one, depth + 1) for one in value[:_MOST_PARTS]]) or "none"
    facts = [f"{name_words(name)} {_phrase(one, depth + 1)}" for name, one in [*value.items()][:_MOST_PARTS]]
    return ", ".join(facts) or "nothing"
