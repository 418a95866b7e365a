"""Schemas and values in words that a model understands.

Owns the wording only: `integer >= 1`, `one of "c", "f"`, `string "x"`. Knows no tool. Used by `arguments`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..exceptions import one_line

__all__ = ["describe", "excerpt", "in_json_words"]

_SHOWN_CHARACTERS = 80
_SHOWN_VALUES = 30
_DEPTH = 4
_JSON_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_KINDS: dict[Any, str] = {
    str: "string ",
    bool: "boolean ",
    int: "integer ",
    float: "number ",
    list: "array ",
    dict: "object ",
}
_LIMITS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "that is a multiple of {}",
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "pattern": "that matches {}",
    "minItems": "of at least {} items",
    "maxItems": "of at most {} items",
    "minProperties": "of at least {} fields",
    "maxProperties": "of at most {} fields",
}


def describe(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0) -> str:
    """Say what a JSON Schema expects; `root` holds the definitions it may refer to."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return describe(root.get("$defs", {}).get(name, {}), root, depth)
    if "enum" in schema or "const" in schema:
        return _one_of(schema.get("enum", [schema.get("const")]))
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(describe(one, root, depth + 1) for one in options))
    kind = str(schema.get("type", "any value"))
    words = [kind, *_inside(schema, root, depth), *_limits(schema)]
    return " ".join(words)


def _inside(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> list[str]:
    if fields := schema.get("properties"):
        return [f"with the fields {', '.join(fields)}"]
    if form := schema.get("format") or schema.get("contentEncoding"):
        return [f"in {form} form"]
    if depth < _DEPTH and (items := schema.get("items")):
        return [f"of {describe(items, root, depth + 1)}"]
    return []


def _limits(schema: Mapping[str, Any]) -> list[str]:
    if schema.get("minItems", schema) == schema.get("maxItems"):
        return [f"of exactly {schema['minItems']} items"]
    said = [phrase.format(schema[word]) for word, phrase in _LIMITS.items() if word in schema]
    return [" and ".join(said)] if said else []


def _one_of(values: list[Any]) -> str:
    shown = [msgspec.json.encode(value).decode() for value in values[:_SHOWN_VALUES]]
    if len(values) == 1:
        return shown[0]
    return f"one of {', '.join(shown)}{', …' if len(values) > _SHOWN_VALUES else ''}"


def excerpt(value: Any) -> str:
    """Show a JSON value with its type, shortened."""
    text = one_line(msgspec.json.encode(value).decode(), limit=_SHOWN_CHARACTERS)
    return f"{_KINDS.get(type(value), '')}{text}"


def in_json_words(message: str) -> str:
    """Turn the type names of a msgspec message into those of JSON."""
    return re.sub(r"`([^`]*)`", lambda m: " or ".join(_JSON_WORDS.get(t, t) for t in m[1].split(" | ")), message)
