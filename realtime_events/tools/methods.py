"""Methods: tools that are written as methods of a class, and registered with each instance.

Owns the mark that `@tool` leaves on a method, and the search for it. Knows no registry. Before it: the class's author;
after it: `registry`, which registers the bound methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, Unpack, overload

from ..exceptions import ConfigurationError
from .options import ToolSettings
from .schema import Schema

__all__ = ["marked_methods", "tool"]

_MARK = "__realtime_tool__"

F = TypeVar("F", bound=Callable[..., Any])


@overload
def tool(fn: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Schema | None = None,
    **options: Unpack[ToolSettings],
) -> Callable[[F], F]: ...


def tool(fn: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Mark a method as a tool: `rt.include(instance)` registers every marked method of an instance.

    Bare or with the options of `rt.tool`. A plugin's marked methods are registered by themselves.
    """

    def mark(fn: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(fn):
            raise ConfigurationError(f"@tool marks a method, got {fn!r}; put it below @staticmethod and @classmethod")
        setattr(fn, _MARK, settings)
        return fn

    return mark if fn is None else mark(fn)


def marked_methods(instance: object) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """Give the marked methods of an instance, bound, with their settings, in the order in which they are written."""
    names: dict[str, None] = {}
    for owner in reversed(type(instance).__mro__):
        names.update(dict.fromkeys(vars(owner)))
    for name in names:
        # From the class first: a property must not run because somebody looks for tools.
        if hasattr(getattr(type(instance), name, None), _MARK):
            method = getattr(instance, name)
            yield method, getattr(method, _MARK)
