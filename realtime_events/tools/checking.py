"""Checking: whether every tool can be sent to the API, and does what its docstring shows.

Owns the reading and running of examples in docstrings, in the form of `doctest`. Before it: a test, or a program that
starts; after it: one error with everything that is wrong.

    >>> get_weather(city="Bern")
    '18 °C and sunny in Bern'

An example is run as the model would: its arguments go through the tool's schema, and what is provided is injected.
"""

from __future__ import annotations

import asyncio
import doctest
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from ..callables import doc_of, innermost
from ..events.local import ToolCall
from ..exceptions import ConfigurationError
from .annotations import injection_key
from .calling import Progress, Say
from .foreign import encode_foreign
from .registry import SESSION_TYPE, Tool, ToolRegistry
from .schema import refusal

__all__ = ["check_tools"]

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_CALL_KEY = injection_key(ToolCall)


def check_tools(registry: ToolRegistry) -> None:
    """Check every schema, that everything is provided that tools need, and run the examples of their docstrings.

    Raises:
        ConfigurationError: something is wrong; every problem is named with file and line.
    """
    problems = [f"{tool.where}: tool {tool.name!r}: {why}" for tool in registry for why in _problems(tool, registry)]
    if problems:
        raise ConfigurationError("\n".join(problems))


def _problems(tool: Tool, registry: ToolRegistry) -> Iterator[str]:
    if why := refusal(tool.parameters):
        yield why
    missing = set(tool.injected.values()) - {SESSION_TYPE, _CALL_KEY} - registry.provided.keys()
    if missing:
        yield f"nobody provides {', '.join(sorted(missing))}"
        return
    yield from _failed_examples(tool, registry.provided)


def _failed_examples(tool: Tool, provided: Mapping[str, Any]) -> Iterator[str]:
    try:
        examples = doctest.DocTestParser().get_examples(inspect.cleandoc(doc_of(tool.fn) or ""))
    except ValueError as error:
        yield f"its examples cannot be read: {error}"
        return
    names = {**getattr(innermost(tool.fn), "__globals__", {})}
    names[getattr(tool.fn, "__name__", tool.name)] = names[tool.name] = _as_the_model_calls(tool, provided)
    for example in examples:
        if (got := _run(example.source, names)) is None:
            got = ""
        if not doctest.OutputChecker().check_output(example.want, got, _FLAGS):
            yield f"{example.source.strip()} gives {got.strip()!r}, not {example.want.strip()!r}"


def _run(source: str, names: dict[str, Any]) -> str | None:
    """Run one example as the interactive interpreter does, and give what it would show."""
    try:
        code = compile(source.strip(), "<example>", "eval")
    except SyntaxError:
        exec(compile(source, "<example>", "exec"), names)
        return None
    try:
        value = eval(code, names)
    except Exception as error:  # noqa: BLE001  an example may show what a tool raises
        return f"{type(error).__name__}: {error}\n"
    return None if value is None else f"{value!r}\n"


def _as_the_model_calls(tool: Tool, provided: Mapping[str, Any]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        text = msgspec.json.encode(arguments, enc_hook=encode_foreign).decode()
        made_up = {SESSION_TYPE: None, _CALL_KEY: ToolCall(call_id="example", name=tool.name, arguments=text)}
        work = tool.bind(tool.decode(tool.name, text), {**made_up, **provided} if tool.injected else {})
        return _finished(work)

    return call


def _finished(work: Callable[[], Any]) -> Any:
    """Give what a function gives in the end, from a loop of its own: the caller's may be running."""
    box: list[Any] = []

    async def finish() -> Any:
        value = work()
        if inspect.isasyncgen(value):
            values = [one async for one in value if not isinstance(one, Progress | Say)]
            return values[-1] if values else None
        return await value if inspect.isawaitable(value) else value

    def run() -> None:
        try:
            box.extend((asyncio.run(finish()), None))
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            box.extend((None, error))

    thread = threading.Thread(target=run, name="realtime_events.tools.check")
    thread.start()
    thread.join()
    value, error = box
    if error is not None:
        raise error
    return value
