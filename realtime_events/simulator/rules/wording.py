"""Putting data into words.

Owns how a tool's output is spoken: a text as it is, JSON as a sentence. Knows no conversation. After it: `rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .language import name_words
from .untyped import list_in, mapping_in

__all__ = ["joined", "plural", "sentence", "spoken"]

_DONE = "That is done."
_YES = "Yes, that is done."
_NO = "I am sorry, that did not work."
_MOST_PARTS = 12  # nobody listens to more
_DEEPEST = 4


def spoken(output: str) -> str:
    """Gives a tool output as it is said: plain text unchanged, JSON in words."""
    return _spoken(output) or _DONE


def _spoken(output: str) -> str:
    try:
        value = msgspec.json.decode(output)
    except (msgspec.DecodeError, RecursionError):
        return output.strip()
    if isinstance(value, dict):
        return _object(mapping_in(value))
    if isinstance(value, list):
        return _list(list_in(value))
    if isinstance(value, bool):
        return _YES if value else _NO
    return "" if value is None else str(value).strip()


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
        reason = mapping_in(error).get("message") or error
        return sentence(f"I am sorry, that did not work: {_phrase(reason, 0)}")
    if len(value) == 1:
        only = next(iter(value.values()))
        if isinstance(only, str):
            return only
        if isinstance(only, bool):
            return _YES if only else _NO
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
    if not isinstance(value, dict | list):
        return str(value)
    if depth >= _DEEPEST:
        return "more"
    if values := list_in(value):
        return joined([_phrase(one, depth + 1) for one in values[:_MOST_PARTS]])
    facts = [
        f"{name_words(name)} {_phrase(one, depth + 1)}" for name, one in [*mapping_in(value).items()][:_MOST_PARTS]
    ]
    return ", ".join(facts) or "nothing"
