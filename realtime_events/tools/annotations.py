"""What a function's signature says: which parameters the model fills, and which are injected.

Owns the inspection of a callable, done once when a tool is registered. Knows no JSON Schema. Before it: the registry;
after it: `schema`.

Injection goes by type. A type is known by its key, `module.QualName`, so that this room can name `Session` without
importing it; an annotation that cannot be resolved (imported under TYPE_CHECKING) is matched by its last name.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..callables import innermost, name_of, where_of
from ..exceptions import ConfigurationError

__all__ = ["Parameter", "injection_key", "read_parameters", "without_none"]

EMPTY: Any = inspect.Parameter.empty

_OPTIONAL_NAME = re.compile(r"(?:(?:\w+\.)*Optional\[)?\s*([A-Za-z_][\w.]*)\s*\]?(?:\s*\|\s*None)?")


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a tool's function.

    `injected` is the key of the type to inject, or "" where the model gives the value; `default` is `EMPTY` where
    there is none.
    """

    name: str
    type: Any
    default: Any = EMPTY
    injected: str = ""
    positional_only: bool = False


def injection_key(tp: type | str) -> str:
    """Give the key by which a type is injected: `module.QualName`, or the text itself."""
    return tp if isinstance(tp, str) else f"{tp.__module__}.{tp.__qualname__}"


def read_parameters(
    fn: Callable[..., Any], *, injectable: Iterable[type | str] = (), annotated: bool = True
) -> tuple[Parameter, ...]:
    """List the parameters of `fn` with their resolved types; `annotated` refuses one that has none.

    Raises:
        ConfigurationError: a parameter has no annotation, one that cannot be resolved, or takes any number of values.
    """
    keys = [injection_key(tp) for tp in injectable]
    inner = innermost(fn)
    every = list(_signature(fn).parameters.values())
    if not annotated:
        every = [p.replace(annotation=Any) if p.annotation is EMPTY else p for p in every]
    return tuple(_read(parameter, inner, keys) for parameter in every)


def _read(parameter: inspect.Parameter, fn: Callable[..., Any], keys: list[str]) -> Parameter:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise _refusal(fn, f"takes any number of values ({parameter}); a tool's parameters must be named", parameter)
    if parameter.annotation is EMPTY:
        raise _refusal(fn, "has no annotation (a method is registered bound: rt.tool(instance.method))", parameter)
    tp, injected = _type_of(parameter, fn, keys)
    if parameter.default is None and not injected:
        tp = tp | None
    return Parameter(
        name=parameter.name,
        type=tp,
        default=parameter.default,
        injected=injected,
        positional_only=parameter.kind is parameter.POSITIONAL_ONLY,
    )


def _type_of(parameter: inspect.Parameter, fn: Callable[..., Any], keys: list[str]) -> tuple[Any, str]:
    """Give the type, and the injection key if the parameter is injected."""
    try:
        tp = _resolve(parameter.annotation, fn)
    except Exception as error:  # noqa: BLE001  evaluating text that somebody wrote can raise anything
        text = _text_of(without_none(parameter.annotation))
        match = _OPTIONAL_NAME.fullmatch(text.replace("'", "").replace('"', "").strip())
        named = match[1].rpartition(".")[2] if match else ""
        for key in keys:
            if named and key.rpartition(".")[2] == named:
                return Any, key
        raise _refusal(fn, f"is annotated {text!r}, which cannot be resolved ({error})", parameter) from None
    plain = without_none(tp)
    key = injection_key(plain) if isinstance(plain, type) else ""
    return tp, key if key in keys else ""


def _resolve(annotation: Any, fn: Callable[..., Any]) -> Any:
    """Evaluate an annotation where the function stands: text, forward references inside it, and `Annotated` kept."""

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    code = getattr(fn, "__code__", None)
    cells: tuple[types.CellType, ...] = getattr(fn, "__closure__", None) or ()
    names: tuple[str, ...] = code.co_freevars if code else ()
    local = {name: cell.cell_contents for name, cell in zip(names, cells, strict=False) if _filled(cell)}
    return typing.get_type_hints(holder, globalns=getattr(fn, "__globals__", {}), localns=local, include_extras=True)[
        "it"
    ]


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _text_of(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else str(getattr(annotation, "__forward_arg__", annotation))


def without_none(tp: Any) -> Any:
    """Give `T` for `T | None` and `Annotated[T, ...]`, else the type itself."""
    if typing.get_origin(tp) is typing.Annotated:
        return without_none(typing.get_args(tp)[0])
    if typing.get_origin(tp) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(tp) if arg is not type(None)]
        return rest[0] if len(rest) == 1 else tp
    return tp


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    try:
        if sys.version_info >= (3, 14):  # pragma: no cover - coverage is measured on 3.13
            import annotationlib

            # By value, one name imported under TYPE_CHECKING would fail the whole signature.
            return inspect.signature(fn, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{where_of(fn)}: {fn!r} cannot be a tool: {error}") from None


def _refusal(fn: Callable[..., Any], why: str, parameter: inspect.Parameter) -> ConfigurationError:
    return ConfigurationError(f"{where_of(fn)}: tool {name_of(fn)!r}: parameter {parameter.name!r} {why}")
