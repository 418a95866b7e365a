"""Mocks: other functions in the place of tools, for tests.

Owns the exchange and its end. The schema, the check of the arguments and the policy stay those of the real tool, so a
test hears of arguments that the real one would refuse. Before it: a test; after it: the registry.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from ..callables import is_async
from .registry import Tool, ToolRegistry

__all__ = ["mocked"]


@contextmanager
def mocked(registry: ToolRegistry, mocks: Mapping[str, Any]) -> Generator[None]:
    """Have functions, or ready values, answer in the place of tools while the block runs.

    Raises:
        ToolNotFound: there is no such tool.
    """
    before = [registry.get(name) for name in mocks]
    for tool in before:
        registry.replace(_mock_of(tool, mocks[tool.name]))
    try:
        yield
    finally:
        for tool in before:
            registry.replace(tool)


def _mock_of(tool: Tool, mock: Any) -> Tool:
    if not callable(mock):
        return msgspec.structs.replace(tool, fn=_always(mock), is_async=True, injected={}, positional=())
    takes_any, names = _parameters(mock)
    injected = {name: key for name, key in tool.injected.items() if name in names}
    takes_arguments = takes_any or bool(set(tool.parameters["properties"]) & names)
    return msgspec.structs.replace(
        tool,
        fn=mock if takes_arguments else _without_arguments(mock, injected),
        is_async=is_async(mock, generators=True),
        injected=injected,
        positional=(),
    )


def _always(value: Any) -> Callable[..., Any]:
    def give(**_: Any) -> Any:
        return value

    return give


def _without_arguments(mock: Callable[..., Any], injected: Mapping[str, str]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return mock(**{name: arguments[name] for name in injected})

    return call


def _parameters(mock: Callable[..., Any]) -> tuple[bool, set[str]]:
    try:
        parameters = inspect.signature(mock).parameters.values()
    except (TypeError, ValueError):
        return True, set()
    return any(p.kind is p.VAR_KEYWORD for p in parameters), {p.name for p in parameters}
