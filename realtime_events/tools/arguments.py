"""From the model's JSON text to a function's arguments.

Owns decoding, the limits of what is decoded at all, when two texts are the same arguments, and the words of what does
not fit: which field, what was expected, what came. msgspec validates; this file only asks it field by field after a
failure, so that the model hears of every mistake at once.
Before it: `schema`; after it: the registry's `Tool`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import UNSET

from ..exceptions import ToolArgumentsError, one_line
from .annotations import EMPTY, Parameter
from .foreign import decode_foreign
from .schema import Schema
from .words import describe, excerpt, in_json_words

__all__ = ["MAX_ARGUMENTS_BYTES", "MAX_DEPTH", "ArgumentsDecoder", "decode_object", "fingerprint"]

MAX_ARGUMENTS_BYTES = 64 * 1024
"""How many bytes of JSON the arguments of one call may have, and so each string in them."""
MAX_DEPTH = 32
"""How deeply objects and arrays may be nested in them; the arguments themselves are the first level."""

_BAD = (msgspec.MsgspecError, RecursionError, UnicodeEncodeError)
_MESSAGE = re.compile(r"(?s)(?P<problem>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?")
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
# A string is taken whole, closed or not, so that no text is gone over twice.
_STRUCTURE = re.compile(r'(?s)"(?:[^"\\]++|\\.)*+"?|[\[{\]}]')
_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`")


class ArgumentsDecoder:
    """Decodes and validates the arguments of one tool."""

    def __init__(self, parameters: Sequence[Parameter], schema: Schema) -> None:
        """Prepare the decoder.

        Raises:
            TypeError: msgspec cannot decode one of the types.
        """
        self._types = {p.name: p.type for p in parameters}
        self._required = {p.name for p in parameters if p.default is EMPTY}
        self._schema = schema
        # The default only marks what is absent: the function's own default stands for it, whatever it is.
        fields = [(p.name, p.type) if p.default is EMPTY else (p.name, p.type, UNSET) for p in parameters]
        shape = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(shape, dec_hook=decode_foreign)

    def __call__(self, tool: str, text: str) -> dict[str, Any]:
        """Give the arguments by name; what the model left out is left out.

        Raises:
            ToolArgumentsError: the text is no JSON object or does not fit; `problem` names every field at fault.
        """
        _check_limits(tool, text)
        try:
            decoded = self._decoder.decode(text if text.strip() else "{}")
        except _BAD as error:
            problem = "; ".join(self._problems(tool, text)) or in_json_words(str(error))
            raise ToolArgumentsError(tool, problem) from None
        return {name: value for name in self._types if (value := getattr(decoded, name)) is not UNSET}

    def _problems(self, tool: str, text: str) -> Iterator[str]:
        given = decode_object(tool, text, msgspec.Raw)
        known, fields = self._types, self._schema["properties"]
        for name in known:
            if name in given:
                yield from self._misfit(name, given[name])
            elif name in self._required:
                yield f"{name}: missing; expected {describe(fields[name], self._schema)}"
        for name in given:
            if name not in known:
                yield f"{one_line(name, limit=80)}: unknown field; the fields are: {', '.join(known) or 'none'}"

    def _misfit(self, name: str, raw: msgspec.Raw) -> Iterator[str]:
        try:
            msgspec.json.decode(raw, type=self._types[name], dec_hook=decode_foreign)
        except _BAD as error:
            yield self._explained(name, raw, str(error))

    def _explained(self, name: str, raw: msgspec.Raw, message: str) -> str:
        """Say a message of msgspec in words of JSON, with the value at fault."""
        match = _MESSAGE.fullmatch(message)
        problem, path = (match["problem"], match["path"] or "") if match else (message, "")
        where = f"{name}{path}"
        if match and match["key"]:
            return f"{where}: a key of it does not fit: {in_json_words(problem)}"
        try:
            value, schema = self._at(name, path, raw)
        except (LookupError, TypeError, *_BAD):
            return f"{where}: {in_json_words(problem)}"
        if field := _FIELD.fullmatch(problem):
            return self._about_field(where, field["name"], schema, missing=field["what"] == "missing required")
        if problem.startswith(("Expected ", "Invalid ")):
            return f"{where}: expected {describe(schema, self._schema)}, got {excerpt(value)}"
        return f"{where}: {problem}"

    def _about_field(self, where: str, field: str, schema: Schema, *, missing: bool) -> str:
        fields = self._container(schema, "properties").get("properties", {})
        if missing:
            return f"{where}.{field}: missing; expected {describe(fields.get(field, {}), self._schema)}"
        return f"{where}.{field}: unknown field; the fields are: {', '.join(fields) or 'none'}"

    def _at(self, name: str, path: str, raw: msgspec.Raw) -> tuple[Any, Schema]:
        """Follow a path of msgspec into the value and into the schema.

        Raises:
            LookupError: the path leads through a union, or to some value of a mapping (msgspec does not name its key).
        """
        value: Any = msgspec.json.decode(raw)
        schema = self._schema["properties"][name]
        for step in _STEP.finditer(path):
            if step["name"] is not None:
                value = value[step["name"]]
                schema = self._container(schema, "properties")["properties"][step["name"]]
            elif step["index"] is not None:
                value = value[int(step["index"])]
                schema = _place(self._container(schema, "items"), int(step["index"]))
            else:
                raise LookupError(path)
        return value, schema

    def _container(self, schema: Schema, word: str) -> Schema:
        """Give the schema that has `word`: this one, what it refers to, or the one of its options that has it."""
        if "$ref" in schema:
            return self._container(self._schema["$defs"][schema["$ref"].rpartition("/")[2]], word)
        options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
        return self._container(options[0], word) if len(options) == 1 else schema


def _place(schema: Schema, index: int) -> Schema:
    places = schema.get("prefixItems", ())
    one: Schema = places[index] if index < len(places) else schema["items"]
    return one


def decode_object(tool: str, text: str, of: Any = Any) -> dict[str, Any]:
    """Decode a JSON object, whatever its fields; blank text is an empty one.

    Raises:
        ToolArgumentsError: the text is no JSON, or no object.
    """
    _check_limits(tool, text)
    try:
        value: dict[str, Any] = msgspec.json.decode(text if text.strip() else "{}", type=dict[str, of])
    except msgspec.ValidationError as error:
        raise ToolArgumentsError(tool, f"they must be one JSON object: {in_json_words(str(error))}") from None
    except _BAD as error:
        raise ToolArgumentsError(tool, f"the text is not valid JSON ({error})") from None
    return value


def fingerprint(text: str) -> bytes:
    """Give what is the same for the same arguments, whatever the order of their fields and the space between them."""
    try:
        spelt = msgspec.json.encode(msgspec.json.decode(text if text.strip() else "{}"), order="sorted")
    except _BAD:
        spelt = _encoded(text)  # It will be refused; the same text is the same mistake.
    return blake2b(spelt, digest_size=16).digest()


def _check_limits(tool: str, text: str) -> None:
    size_bytes = len(text) if text.isascii() else len(_encoded(text))
    if size_bytes > MAX_ARGUMENTS_BYTES:
        raise ToolArgumentsError(tool, f"{size_bytes:,} bytes are more than the {MAX_ARGUMENTS_BYTES:,} there may be")
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(text):
        raise ToolArgumentsError(tool, f"they are nested more than {MAX_DEPTH} levels deep")


def _is_too_deep(text: str) -> bool:
    depth = 0
    for match in _STRUCTURE.finditer(text):
        if match[0] in ("{", "["):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif match[0] in ("}", "]"):
            depth -= 1
    return False


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
