"""From a callable's parameters to the JSON Schema that the model reads.

Owns the schema's form: msgspec writes it, this file fits it to what the API accepts. Knows no tool call.
Before it: `annotations`; after it: the registry, and `arguments` for the words of an error.

The API refuses a root that is no plain object and an array without `items`. It has no `strict` switch for realtime
tools, so objects are closed by `additionalProperties: false`. Definitions are put in place, since not every server
follows `$ref`; only recursive ones stay in `$defs`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from .annotations import EMPTY, Parameter, without_none
from .docstring import read_docstring
from .foreign import encode_foreign, foreign_schema

__all__ = ["Schema", "parameters_schema", "refusal"]

Schema = dict[str, Any]

_REF = "#/$defs/"
_FORMATS: dict[Any, str] = {datetime.datetime: "date-time", datetime.time: "time"}
_JSON_TYPES: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS_OF_SCHEMAS = ("properties", "patternProperties")
_SINGLE_SCHEMAS = ("items", "additionalProperties", "not", "propertyNames")
_LEFT_OUT = ("title", "discriminator", "$defs")
_NOT_AT_ROOT = ("anyOf", "oneOf", "allOf", "not", "enum", "$ref")


def parameters_schema(parameters: Sequence[Parameter], texts: Mapping[str, str]) -> Schema:
    """Write the JSON Schema of the parameters that the model fills; `texts` describes them by name.

    Raises:
        TypeError: msgspec can neither describe nor decode one of the types.
    """
    described, shared = msgspec.json.schema_components(
        [_with_format(p.type) for p in parameters], schema_hook=foreign_schema
    )
    properties = {p.name: _property(p, one, texts) for p, one in zip(parameters, described, strict=True)}
    shared = {name: _with_class_docs(one) for name, one in shared.items()}
    root: Schema = {"type": "object", "properties": properties, "required": [p.name for p in parameters if _needed(p)]}
    return _Tidier(root, shared).tidy_root()


def refusal(schema: Schema) -> str:
    """Say why the API would refuse `schema` as a tool's parameters, or "" if it would not."""
    if schema.get("type") != "object":
        return "its parameters must be a JSON Schema of type 'object'"
    combined = [word for word in _NOT_AT_ROOT if word in schema]
    if combined:
        return f"its parameters may not have {', '.join(map(repr, combined))} at the top level"
    try:
        msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its parameters are no JSON: {error}"
    for node in _nodes(schema):
        if node.get("type") == "array" and "items" not in node:
            return "its parameters have an array without 'items'"
    return ""


def _needed(parameter: Parameter) -> bool:
    return parameter.default is EMPTY


def _with_format(tp: Any) -> Any:
    """Name the format of a date-time or time, which msgspec leaves out where no time zone is demanded."""
    form = _FORMATS.get(without_none(tp))
    return tp if form is None else Annotated[tp, msgspec.Meta(extra_json_schema={"format": form})]


def _property(parameter: Parameter, described: Schema, texts: Mapping[str, str]) -> Schema:
    """Add the docstring's text, unless `Meta` gave one, and the default, if JSON can say it."""
    schema = dict(described)
    text = texts.get(parameter.name)
    if text and "description" not in schema:
        schema["description"] = text
    if parameter.default is not EMPTY and "default" not in schema:
        try:
            default = msgspec.json.decode(msgspec.json.encode(parameter.default, enc_hook=encode_foreign))
        except (TypeError, ValueError, NotImplementedError, RecursionError):
            return schema
        schema["default"] = default
    return schema


def _with_class_docs(schema: Schema) -> Schema:
    """Split a class's docstring into its own description and those of its fields."""
    doc = read_docstring(schema.get("description"))
    if not doc.text:
        return schema
    properties = {
        name: {"description": doc.parameters[name], **one} if name in doc.parameters else one
        for name, one in schema.get("properties", {}).items()
    }
    return {**schema, "description": doc.text} | ({"properties": properties} if properties else {})


class _Tidier:
    """Rewrites a schema into the form that the API accepts, with its definitions in place."""

    def __init__(self, root: Schema, shared: Mapping[str, Schema]) -> None:
        self._root = root
        self._shared = dict(shared)
        for node in (*_nodes(root), *(node for one in shared.values() for node in _nodes(one))):
            self._shared.update(node.get("$defs", {}))
        self._recursive = {name for name in self._shared if name in self._reached(name)}

    def tidy_root(self) -> Schema:
        schema = self._tidy(self._root)
        kept = self._recursive & self._reached_from(self._root)
        if kept:
            schema["$defs"] = {name: self._tidy(self._shared[name]) for name in sorted(kept)}
        return schema

    def _reached(self, name: str) -> set[str]:
        return self._reached_from(self._shared[name])

    def _reached_from(self, start: Schema) -> set[str]:
        """Name every definition that a schema refers to, directly or not."""
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for name in _references(waiting.pop()):
                if name not in seen and name in self._shared:
                    seen.add(name)
                    waiting.append(self._shared[name])
        return seen

    def _tidy(self, node: Schema) -> Schema:
        node = self._in_place(node)
        tidied: Schema = {word: self._tidy_below(word, value) for word, value in node.items() if word not in _LEFT_OUT}
        return _closed(_typed(_with_items(tidied)))

    def _tidy_below(self, word: str, value: Any) -> Any:
        if word in _LISTS_OF_SCHEMAS:
            tidied = [self._tidy(one) for one in value]
            # msgspec 0.19 names null first; last, it reads as an afterthought with every version.
            return sorted(tidied, key=_is_null) if word == "anyOf" else tidied
        if word in _MAPS_OF_SCHEMAS:
            return {name: self._tidy(one) for name, one in value.items()}
        return self._tidy(value) if word in _SINGLE_SCHEMAS and not isinstance(value, bool) else value

    def _in_place(self, node: Schema) -> Schema:
        """Put the definition where the reference stands; what stands beside the reference wins."""
        while (name := _referred(node)) and name in self._shared and name not in self._recursive:
            node = {**self._shared[name], **{word: value for word, value in node.items() if word != "$ref"}}
        return node


def _is_null(node: Schema) -> bool:
    return node.get("type") == "null"


def _referred(node: Schema) -> str:
    reference = node.get("$ref")
    return reference.removeprefix(_REF) if isinstance(reference, str) else ""


def _references(schema: Schema) -> Iterator[str]:
    for node in _nodes(schema):
        if name := _referred(node):
            yield name


def _nodes(schema: Schema) -> Iterator[Schema]:
    """Give a schema and every schema inside it; definitions in `$defs` are not inside."""
    yield schema
    for word in _SINGLE_SCHEMAS:
        inner: Schema | bool | None = schema.get(word)
        if isinstance(inner, dict):
            yield from _nodes(inner)
    for word in _LISTS_OF_SCHEMAS:
        for one in schema.get(word, ()):
            yield from _nodes(one)
    for word in _MAPS_OF_SCHEMAS:
        for one in schema.get(word, {}).values():
            yield from _nodes(one)


def _with_items(node: Schema) -> Schema:
    """Say what an array holds: anything, or for a tuple one of what its places hold."""
    if node.get("type") != "array" or isinstance(node.get("items"), dict):
        return node
    places: list[Schema] = []
    for place in node.get("prefixItems", ()):
        if place not in places:
            places.append(place)
    return {**node, "items": places[0] if len(places) == 1 else {"anyOf": places} if places else {}}


def _typed(node: Schema) -> Schema:
    """Name the type of an enum whose values all have one."""
    if "enum" not in node or "type" in node:
        return node
    kinds = {_JSON_TYPES.get(type(value)) for value in node["enum"]}
    kind = kinds.pop() if len(kinds) == 1 else None
    return {"type": kind, **node} if kind else node


def _closed(node: Schema) -> Schema:
    return (
        {**node, "additionalProperties": False} if "properties" in node and "additionalProperties" not in node else node
    )
