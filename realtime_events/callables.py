"""Callables: what a function that somebody else wrote is, whatever it is wrapped in.

Owns the look through partials, methods, wrappers and callable objects: its name, where it stands, whether calling it
gives something to await. Knows no handler and no tool. Before it: the user's code; after it: `handlers` and `tools`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["doc_of", "innermost", "is_async", "name_of", "qualified_name_of", "where_of"]


def without_partial(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Give what a partial, of a partial, of a callable calls in the end."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def innermost(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Give the plain function behind a partial, a method, a wrapper or a callable object."""
    fn = inspect.unwrap(without_partial(fn))
    if inspect.ismethod(fn):
        return innermost(fn.__func__)
    if not inspect.isfunction(fn) and inspect.isfunction(getattr(type(fn), "__call__", None)):
        return innermost(type(fn).__call__)
    return fn


def name_of(fn: Callable[..., Any]) -> str:
    """Give the name a callable goes by: the function's, or the class's of a callable object."""
    fn = without_partial(fn)
    return str(getattr(fn, "__name__", "") or type(fn).__name__)


def qualified_name_of(fn: Callable[..., Any]) -> str:
    """Give the name of a callable with those of what it stands in, as a traceback shows it."""
    fn = inspect.unwrap(without_partial(fn))
    return str(getattr(fn, "__qualname__", "") or type(fn).__qualname__)


def doc_of(fn: Callable[..., Any]) -> str | None:
    """Give the docstring of a callable: the function's, or the class's of a callable object."""
    return without_partial(fn).__doc__


def is_async(fn: Callable[..., Any], *, generators: bool = False) -> bool:
    """Tell whether calling it gives a coroutine or, with `generators`, an async generator."""
    fn = without_partial(fn)
    called: Any = fn if inspect.isroutine(fn) else getattr(type(fn), "__call__", fn)
    return inspect.iscoroutinefunction(called) or (generators and inspect.isasyncgenfunction(called))


def where_of(fn: Callable[..., Any]) -> str:
    """Give `file:line` of a callable, or its module where it has no Python code."""
    code = getattr(innermost(fn), "__code__", None)
    if code is None:
        return str(getattr(fn, "__module__", None) or type(fn).__module__)
    return f"{code.co_filename}:{code.co_firstlineno}"
