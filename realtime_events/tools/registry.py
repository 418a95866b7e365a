"""The tools an application offers: which they are, and how each is called.

Owns registration: a tool that the API would refuse, or that takes another's name, is refused here with file and line.
Knows no session and no event; `Session` only as a type to inject. Before it: `app` and `plugin`, which offer `tool` as
their own; after it: `runner`, which runs what stands here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, Unpack, overload

import msgspec

from ..callables import doc_of, is_async, name_of, where_of
from ..events.local import ToolCall
from ..exceptions import ConfigurationError, ToolNotFound
from .annotations import Parameter, injection_key, read_parameters
from .arguments import ArgumentsDecoder, decode_object
from .docstring import read_docstring
from .methods import marked_methods
from .options import ToolOptions, ToolSettings, read_options
from .schema import Schema, parameters_schema, refusal

__all__ = ["SESSION_TYPE", "Tool", "ToolRegistry", "make_tool"]

SESSION_TYPE = "realtime_events.session.Session"
"""`Session` by its injection key: it lives two floors up and is never imported here."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_DESCRIPTION = 1024  # the API answers a longer one with `string_above_max_length`

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool: what the model sees, and the function behind it.

    `parameters` is the JSON Schema; `decode` gives the arguments by name from the model's JSON text, `injected` the
    injection key of each injected parameter, `positional` the names to pass by position; `where` is `file:line`.
    """

    name: str
    description: str
    parameters: Schema
    fn: Callable[..., Any]
    decode: Callable[[str, str], dict[str, Any]]
    options: ToolOptions = ToolOptions()
    injected: dict[str, str] = {}
    positional: tuple[str, ...] = ()
    is_async: bool = False
    where: str = ""

    def definition(self) -> dict[str, Any]:
        """Give the tool as the wire's object of `session.tools`."""
        described = {"description": self.description} if self.description else {}
        return {"type": "function", "name": self.name, **described, "parameters": self.parameters}

    def bind(self, arguments: Mapping[str, Any], inject: Mapping[str, Any]) -> Callable[[], Any]:
        """Give the call of the function with its arguments, ready to be made.

        Raises:
            ConfigurationError: nothing is there to inject for one of the parameters.
        """
        named = dict(arguments)
        for name, key in self.injected.items():
            if key not in inject:
                raise ConfigurationError(f"{self.where}: tool {self.name!r}: there is no {key} to inject as {name!r}")
            named[name] = inject[key]
        fn = self.fn
        if not self.positional:
            return lambda: fn(**named)
        # Python itself sees to it that no positional-only parameter without a default follows one that is left out.
        first = [named.pop(name) for name in self.positional if name in named]
        return lambda: fn(*first, **named)


class ToolRegistry:
    """The tools of an application or a plugin, by name.

    `injectable` are further types whose parameters are injected, besides `Session` and `ToolCall`.
    """

    def __init__(self, *, injectable: Iterable[type | str] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        self.provided: dict[str, Any] = {}
        self.injectable: list[type | str] = [SESSION_TYPE, ToolCall, *injectable]

    @classmethod
    def beside(cls, other: ToolRegistry) -> ToolRegistry:
        """Make a registry that injects what another one injects."""
        made = cls()
        made.injectable = other.injectable
        return made

    @overload
    def tool(
        self,
        fn: F,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Schema | None = None,
        **options: Unpack[ToolSettings],
    ) -> F: ...

    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Schema | None = None,
        **options: Unpack[ToolSettings],
    ) -> Callable[[F], F]: ...

    def tool(
        self,
        fn: F | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Schema | None = None,
        **options: Unpack[ToolSettings],
    ) -> F | Callable[[F], F]:
        """Register a function as a tool, bare, with options, or on a ready function; the function comes back.

        The name, description and schema come from the function unless given. With `parameters`, a JSON Schema of type
        `object`, the function takes one dict of whatever the model wrote, checked for being an object and no more.

        Raises:
            ConfigurationError: the API would refuse the tool, its name is taken, or an option does not fit.
        """

        def register(fn: F) -> F:
            if not callable(fn) and self.add_methods(fn):
                return fn
            self.add(
                make_tool(
                    fn,
                    name=name,
                    description=description,
                    parameters=parameters,
                    options=options,
                    injectable=self.injectable,
                )
            )
            return fn

        return register if fn is None else register(fn)

    def add(self, tool: Tool) -> Tool:
        """Add a ready tool.

        Raises:
            ConfigurationError: its name is taken; both places are named.
        """
        other = self._tools.get(tool.name)
        if other is not None:
            raise ConfigurationError(f"two tools are named {tool.name!r}: at {other.where} and at {tool.where}")
        self._tools[tool.name] = tool
        return tool

    def add_methods(self, instance: object) -> int:
        """Add every method of an instance that is marked with `@tool`; says how many there are.

        Raises:
            ConfigurationError: the API would refuse one, or its name is taken.
        """
        made = [
            make_tool(method, **_sorted(settings), injectable=self.injectable)
            for method, settings in marked_methods(instance)
        ]
        for tool in made:
            self.add(tool)
        return len(made)

    def replace(self, tool: Tool) -> None:
        """Put a tool in the place of the one with its name.

        Raises:
            ToolNotFound: there is none.
        """
        self.get(tool.name)
        self._tools[tool.name] = tool

    def mocked(self, mocks: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Have functions, or ready values, answer in the place of tools while a block runs, for tests.

        The arguments are checked as for the real tool.

        Raises:
            ToolNotFound: there is no such tool.
        """
        from .mocking import mocked

        return mocked(self, mocks)

    def check(self) -> None:
        """Check every tool: its schema, that what it needs is provided, and the examples in its docstring.

        An example has the form of `doctest`, and is called as the model would call it: `>>> get_weather(city="Bern")`.

        Raises:
            ConfigurationError: something is wrong; every problem is named with file and line.
        """
        from .checking import check_tools

        check_tools(self)

    def include(self, other: ToolRegistry, *, prefix: str = "") -> None:
        """Add every tool of another registry, its name prefixed; none is added if one of them is refused.

        Raises:
            ConfigurationError: a name is taken, or too long with its prefix.
        """
        added = [_checked(msgspec.structs.replace(tool, name=prefix + tool.name)) for tool in other]
        before = dict(self._tools)
        try:
            for tool in added:
                self.add(tool)
        except ConfigurationError:
            self._tools = before
            raise
        self.provided = {**other.provided, **self.provided}

    def provide(self, tp: type[T], value: T | None = None) -> None:
        """Inject `value` where a tool has a parameter of this type; such a parameter is not shown to the model.

        It counts for tools registered from now on. A plugin leaves the value out and so says what it needs; the
        application that includes it provides it.
        """
        self.injectable.append(tp)
        if value is not None:
            self.provided[injection_key(tp)] = value

    def get(self, name: str) -> Tool:
        """Give the tool of this name.

        Raises:
            ToolNotFound: there is none; the error lists those there are.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise ToolNotFound(name, list(self._tools))
        return tool

    def definitions(self) -> list[dict[str, Any]]:
        """Give every tool as the wire's object, in the order of registration."""
        return [tool.definition() for tool in self]

    def __iter__(self) -> Iterator[Tool]:
        return iter(list(self._tools.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __len__(self) -> int:
        return len(self._tools)


def make_tool(
    fn: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Schema | None = None,
    options: ToolSettings | None = None,
    injectable: Iterable[type | str] = (SESSION_TYPE, ToolCall),
) -> Tool:
    """Make a tool of a callable.

    Raises:
        ConfigurationError: it cannot be one, or the API would refuse it.
    """
    if not callable(fn):
        raise ConfigurationError(f"a tool must be a function, got {fn!r}")
    name = name_of(fn) if name is None else name
    where = where_of(fn)
    if inspect.isgeneratorfunction(fn):
        raise ConfigurationError(f"{where}: tool {name!r} is a generator; only an async generator can be a tool")
    every = read_parameters(fn, injectable=injectable, annotated=parameters is None)
    filled = [p for p in every if not p.injected]
    injected = {p.name: p.injected for p in every if p.injected}
    doc = read_docstring(doc_of(fn))
    if parameters is None:
        schema, decode = _from_signature(name, where, filled, doc.parameters)
    else:
        schema, decode = _from_raw(name, where, filled, parameters)
    return _checked(
        Tool(
            name=name,
            description=doc.text if description is None else description,
            parameters=schema,
            fn=fn,
            decode=decode,
            options=_options(name, where, options or {}, injected.values()),
            injected=injected,
            positional=tuple(p.name for p in every if p.positional_only),
            is_async=is_async(fn, generators=True),
            where=where,
        )
    )


def _from_signature(
    name: str, where: str, filled: list[Parameter], texts: Mapping[str, str]
) -> tuple[Schema, Callable[[str, str], dict[str, Any]]]:
    try:
        schema = parameters_schema(filled, texts)
        return schema, ArgumentsDecoder(filled, schema)
    except (TypeError, ValueError, RecursionError) as error:
        culprit = next((p for p in filled if not _is_usable(p)), None)
        which = f"parameter {culprit.name!r}: " if culprit else ""
        reason = str(error).rpartition("\n")[2]  # what stands before it is advice on msgspec's own hooks
        raise ConfigurationError(f"{where}: tool {name!r}: {which}{reason}") from None


def _is_usable(parameter: Parameter) -> bool:
    try:
        parameters_schema([parameter], {})
        ArgumentsDecoder([parameter], {})
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _from_raw(
    name: str, where: str, filled: list[Parameter], schema: Any
) -> tuple[Schema, Callable[[str, str], dict[str, Any]]]:
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{where}: tool {name!r}: its parameters must be a JSON Schema as a dict")
    if len(filled) != 1:
        raise ConfigurationError(
            f"{where}: tool {name!r} has a JSON Schema of its own, so its function takes one dict, "
            f"not {len(filled)} parameters"
        )
    takes = filled[0].name
    # A root without properties is refused by the API, and says the same as one with none.
    return {"properties": dict[str, Any](), **schema}, lambda tool, text: {takes: decode_object(tool, text)}


def _options(name: str, where: str, settings: ToolSettings, injected: Iterable[str]) -> ToolOptions:
    try:
        options = read_options(settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: tool {name!r}: {error}") from None
    if options.retries and options.kind != "read" and injection_key(ToolCall) not in injected:
        raise ConfigurationError(
            f"{where}: tool {name!r} does more than read, so a retry might do it twice: take a ToolCall and pass its "
            f"call_id on as the idempotency key, or leave retries={options.retries} out"
        )
    return options


def _sorted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Part the settings of `@tool` into those of the tool and its options."""
    own = {name: settings[name] for name in ("name", "description", "parameters") if name in settings}
    return {**own, "options": {name: value for name, value in settings.items() if name not in own}}


def _checked(tool: Tool) -> Tool:
    """Refuse a tool that the API would refuse."""
    problem = refusal(tool.parameters)
    if not _NAME.fullmatch(tool.name):
        problem = "its name must be 1 to 64 letters, digits, underscores and hyphens"
    elif len(tool.description) > _MAX_DESCRIPTION:
        problem = f"its description has {len(tool.description):,} characters, more than {_MAX_DESCRIPTION:,}"
    if problem:
        raise ConfigurationError(f"{tool.where}: tool {tool.name!r}: {problem}")
    return tool
