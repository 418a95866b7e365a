"""`events [glob]`: the vocabulary, with spellings, direction and fields.

Owns how a field's type is written for people. Before it: the arguments; after it: `realtime_events.events`.
"""

from __future__ import annotations

import argparse
import types
import typing
from typing import Any

import msgspec

from ..events import ClientEvent, Event, LocalEvent, MalformedEvent, UnknownEvent, event_class
from ..exceptions import ConfigurationError
from ..protocol import dialect
from .output import Printer

FIELD_COLUMNS = 26


def command(arguments: argparse.Namespace) -> int:
    """Print every event of which a spelling matches the glob."""
    names = _names(arguments.glob)
    printer = Printer()
    for name in names:
        if (cls := event_class(name)) is not None:
            _show(printer, name, cls)
    printer.note(f"{len(names)} event{'s' if len(names) != 1 else ''}")
    return 0


def _names(glob: str) -> tuple[str, ...]:
    if name := dialect.canonical(glob):
        return (name,)
    if found := dialect.matching(glob):
        return found
    near = dialect.nearest(glob)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ConfigurationError(f"no event matches {glob!r}{hint}")


def _show(printer: Printer, name: str, cls: type[Event]) -> None:
    printer.write(name, "good")
    others = dialect.spellings(name)[1:]
    spelt = f" · beta: {', '.join(others)}" if others else ""
    printer.write(f"   {_direction(cls)}{spelt}\n", "note")
    for field in msgspec.structs.fields(cls):
        if field.name == "event_id":
            continue  # Every event of the wire has one.
        printer.write(f"    {field.encode_name:<{FIELD_COLUMNS}}{type_name(field.type)}")
        printer.write("   may be absent\n" if _may_be_absent(field.type) else "\n", "note")
    printer.line()


def _direction(cls: type[Event]) -> str:
    if issubclass(cls, LocalEvent | UnknownEvent | MalformedEvent):
        return "local"
    kind = " (translation)" if cls.__module__.endswith(".translation") else ""
    return ("to the server" if issubclass(cls, ClientEvent) else "from the server") + kind


def _may_be_absent(annotation: Any) -> bool:
    return msgspec.UnsetType in typing.get_args(annotation)


def type_name(annotation: Any) -> str:
    """Write a type as in Python, without what only says that a field may be absent."""
    if annotation is type(None):
        return "None"
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(parts[0])
    if origin is typing.Literal:
        return " | ".join(map(repr, parts))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(part) for part in parts if part is not msgspec.UnsetType)
    if origin is not None:
        inside = ", ".join("..." if part is Ellipsis else type_name(part) for part in parts)
        return f"{origin.__name__}[{inside}]"
    return getattr(annotation, "__name__", str(annotation))
