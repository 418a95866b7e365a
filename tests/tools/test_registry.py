"""Registering tools: what is taken, what is refused, and what the API is offered."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional

import msgspec
import pytest

from realtime_events.events import SessionConfig, SessionUpdate, ToolCall
from realtime_events.exceptions import ConfigurationError, ToolNotFound
from realtime_events.protocol import encode
from realtime_events.tools import Tool, ToolOptions, ToolRegistry, ToolSettings
from realtime_events.tools.registry import SESSION_TYPE

if TYPE_CHECKING:
    from realtime_events.session import Session

HERE = rf"{re.escape(__file__)}:\d+"


class Database:
    """Something the application provides."""


@pytest.fixture
def registry() -> ToolRegistry:
    return ToolRegistry()


class TestRegistering:
    def test_a_function_is_a_tool_by_a_bare_decorator(self, registry: ToolRegistry) -> None:
        """Its name, docstring and signature are all there is to write."""

        @registry.tool
        async def look_up(city: str) -> str:
            """Look up the weather."""
            return city

        tool = registry.get("look_up")
        assert (tool.fn, tool.description, tool.is_async) == (look_up, "Look up the weather.", True)
        assert re.fullmatch(HERE, tool.where)
        assert registry.definitions() == [
            {
                "type": "function",
                "name": "look_up",
                "description": "Look up the weather.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                    "additionalProperties": False,
                },
            }
        ]

    def test_options_and_another_name_stand_in_the_decorator(self, registry: ToolRegistry) -> None:
        """What is not said keeps its default."""

        @registry.tool(name="weather", description="Now.", timeout_s=2, respond=False, on_interrupt="cancel")
        def look_up() -> None: ...

        tool = registry.get("weather")
        assert tool.fn is look_up
        assert tool.description == "Now."
        assert tool.options == ToolOptions(timeout_s=2.0, respond=False, on_interrupt="cancel", expose_errors=False)

    def test_a_ready_function_can_be_registered_twice_under_two_names(self, registry: ToolRegistry) -> None:
        """It comes back both times."""

        def look_up() -> None: ...

        assert registry.tool(look_up) is look_up
        assert registry.tool(look_up, name="again") is look_up
        assert [tool.name for tool in registry] == ["look_up", "again"]
        assert "again" in registry
        assert len(registry) == 2

    def test_methods_partials_and_callable_objects_are_tools(self, registry: ToolRegistry) -> None:
        """Whatever can be called and says what it takes."""

        class Weather:
            """Look it up."""

            def now(self, city: str) -> None:
                """Say what it is now."""

            async def __call__(self, city: str) -> None: ...

        registry.tool(Weather().now)
        registry.tool(Weather())
        registry.tool(functools.partial(Weather().now, city="Bern"), name="in_bern")
        shown = [(tool.name, tool.description, tool.is_async, list(tool.parameters["required"])) for tool in registry]
        assert shown == [
            ("now", "Say what it is now.", False, ["city"]),
            ("Weather", "Look it up.", True, ["city"]),
            ("in_bern", "Say what it is now.", False, []),
        ]

    def test_a_wrapped_function_keeps_its_signature(self, registry: ToolRegistry) -> None:
        """A decorator of the user's that uses `functools.wraps` is seen through."""

        def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(fn)
            async def around(*args: Any, **kwargs: Any) -> Any:
                return fn(*args, **kwargs)

            return around

        @registry.tool
        @logged
        def look_up(city: str) -> None: ...

        tool = registry.get("look_up")
        assert list(tool.parameters["properties"]) == ["city"]
        assert tool.is_async

    def test_a_raw_json_schema_is_offered_as_it_is(self, registry: ToolRegistry) -> None:
        """The function takes whatever object the model wrote, as one dict."""
        schema = {"type": "object", "properties": {"a": {"type": "string", "title": "A"}}, "required": ["a"]}
        registry.tool(lambda arguments: arguments, name="raw", parameters=schema)
        tool = registry.get("raw")
        assert tool.parameters == schema
        assert tool.decode("raw", '{"b": 1}') == {"arguments": {"b": 1}}

    def test_a_raw_json_schema_without_properties_gets_none(self, registry: ToolRegistry) -> None:
        """The API refuses a root without the word."""
        registry.tool(lambda arguments: None, name="raw", parameters={"type": "object"})
        assert registry.get("raw").parameters == {"type": "object", "properties": {}}

    def test_the_wire_takes_the_definitions(self, registry: ToolRegistry) -> None:
        """They fit the vocabulary's own tool objects."""
        registry.tool(lambda arguments: None, name="raw", parameters={"type": "object"})
        update = SessionUpdate(session=msgspec.convert({"tools": registry.definitions()}, SessionConfig))
        assert msgspec.json.decode(encode(update))["session"]["tools"] == registry.definitions()


class TestInjection:
    """`Session` and `ToolCall` are given by type; the model does not see them."""

    def tool_of(self, fn: Callable[..., Any], *more: type | str) -> Tool:
        registry = ToolRegistry(injectable=more)
        registry.tool(fn, name="it")
        return registry.get("it")

    def test_a_session_known_only_to_type_checkers_is_injected(self) -> None:
        """An import under TYPE_CHECKING cannot be resolved and need not be."""

        def one(session: Session, city: str) -> None: ...
        def two(session: Session | None, city: str) -> None: ...
        def three(session: Optional[Session], city: str) -> None: ...  # noqa: UP045  the old spelling
        def four(session: realtime_events.session.Session, city: str) -> None: ...  # noqa: F821

        def five(session: "Session", city: str) -> None: ...  # noqa: UP037  a quoted name inside a text
        def six(session: 'Optional["Session"]', city: str) -> None: ...  # noqa: UP037, UP045
        def seven(session: Any, city: str) -> None: ...

        # As it stands in a module without `from __future__ import annotations`.
        seven.__annotations__ = {"session": Optional["Session"], "city": str}
        for fn in (one, two, three, four, five, six, seven):
            tool = self.tool_of(fn)
            assert tool.injected == {"session": SESSION_TYPE}
            assert list(tool.parameters["properties"]) == ["city"]

    def test_a_resolved_type_is_injected(self) -> None:
        """By the class itself, optional or annotated."""

        def fn(call: ToolCall, again: ToolCall | None, noted: Annotated[ToolCall, "note"]) -> None: ...

        assert set(self.tool_of(fn).injected) == {"call", "again", "noted"}

    def test_a_provided_type_is_injected_and_others_are_not(self) -> None:
        """What the application provides has to be said before the tool is registered."""

        def fn(db: Database) -> None: ...

        assert list(self.tool_of(fn, Database).injected) == ["db"]
        with pytest.raises(ConfigurationError, match="parameter 'db'"):
            self.tool_of(fn)

    def test_a_class_of_the_same_name_is_not_a_session(self) -> None:
        """A database's `Session` must not get ours."""

        class Session: ...

        def fn(session: Any) -> None: ...

        fn.__annotations__ = {"session": Session}
        with pytest.raises(ConfigurationError, match="parameter 'session'"):
            self.tool_of(fn)

    def test_an_injected_parameter_with_a_default_keeps_the_session(self) -> None:
        """The default is for callers who are no model."""

        def fn(session: Session | None = None) -> object:
            return session

        tool, live = self.tool_of(fn), object()
        assert tool.parameters["properties"] == {}
        assert tool.bind({}, {SESSION_TYPE: live})() is live

    def test_what_cannot_be_injected_is_named(self) -> None:
        """Where nobody provides it."""

        def fn(session: Session) -> None: ...

        with pytest.raises(ConfigurationError, match=r"there is no realtime_events\.session\.Session to inject"):
            self.tool_of(fn).bind({}, {})

    def test_positional_only_parameters_are_passed_by_position(self) -> None:
        """The model writes names; the function takes places."""

        def fn(a: int, b: int = 2, /, c: int = 3) -> tuple[int, int, int]:
            return a, b, c

        tool = self.tool_of(fn)
        assert tool.bind({"a": 1, "c": 5}, {})() == (1, 2, 5)
        assert tool.bind({"a": 1, "b": 7}, {})() == (1, 7, 3)


def unannotated(city) -> None: ...
def unresolvable(city: Town) -> None: ...  # noqa: F821
def variadic(*cities: str) -> None: ...
def keywords(**cities: str) -> None: ...
def no_schema(city: complex) -> None: ...
def bad_union(city: Database | int) -> None: ...
def bad_limit(city: Annotated[Any, 1], at: dict[str, complex]) -> None: ...
def generator(city: str) -> Any:
    yield city


async def fine(city: str) -> AsyncIterator[str]:
    yield city


def plain(arguments: Any) -> None: ...


OBJECT = {"type": "object", "properties": {}}

REFUSED: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (unannotated, {}, "parameter 'city' has no annotation"),
    (unresolvable, {}, "parameter 'city' is annotated 'Town', which cannot be resolved"),
    (variadic, {}, "parameter 'cities' takes any number of values"),
    (keywords, {}, "parameter 'cities' takes any number of values"),
    (no_schema, {}, "parameter 'city': .*complex"),
    (bad_union, {}, "parameter 'city': "),
    (bad_limit, {}, "parameter 'at': .*complex"),
    (generator, {}, "is a generator; only an async generator"),
    (fine, {"name": ""}, "its name must be 1 to 64"),
    (fine, {"name": "a" * 65}, "its name must be 1 to 64"),
    (fine, {"name": "get weather"}, "its name must be 1 to 64"),
    (fine, {"name": "météo"}, "its name must be 1 to 64"),
    (fine, {"name": "a\n"}, "its name must be 1 to 64"),
    (fine, {"description": "d" * 1025}, "its description has 1,025 characters, more than 1,024"),
    (fine, {"timeout_s": 0}, "timeout_s"),
    (fine, {"timeout_s": "5"}, "timeout_s"),
    (fine, {"timeout_s": float("nan")}, "timeout_s"),
    (fine, {"timeout_s": float("inf")}, "timeout_s"),
    (fine, {"on_interrupt": "stop"}, "on_interrupt"),
    (fine, {"timeouts": 5}, "unknown field `timeouts`"),
    (plain, {"parameters": []}, "must be a JSON Schema as a dict"),
    (plain, {"parameters": {}}, "must be a JSON Schema of type 'object'"),
    (plain, {"parameters": {"type": "string"}}, "must be a JSON Schema of type 'object'"),
    (plain, {"parameters": {**OBJECT, "anyOf": []}}, "may not have 'anyOf' at the top level"),
    (plain, {"parameters": {**OBJECT, "properties": {"a": {"type": "array"}}}}, "an array without 'items'"),
    (plain, {"parameters": {**OBJECT, "x": object()}}, "are no JSON"),
    (keywords, {"parameters": OBJECT}, "takes any number of values"),
    (lambda: None, {"parameters": OBJECT, "name": "none"}, "its function takes one dict, not 0 parameters"),
]


@pytest.mark.parametrize(("fn", "options", "why"), REFUSED)
def test_a_tool_that_could_not_work_is_refused_with_file_and_line(
    registry: ToolRegistry, fn: Callable[..., Any], options: dict[str, Any], why: str
) -> None:
    """Where it is registered, not in the middle of a conversation."""
    with pytest.raises(ConfigurationError, match=f"^{HERE}: tool .*{why}"):
        registry.tool(fn, **options)
    assert len(registry) == 0


@pytest.mark.parametrize("what", [5, None, "name"])
def test_what_cannot_be_called_is_refused(registry: ToolRegistry, what: Any) -> None:
    """With what was given."""
    with pytest.raises(ConfigurationError, match=re.escape(repr(what))):
        registry.tool(name="it")(what)


def test_every_option_can_be_written_in_the_decorator() -> None:
    """The typed keywords and the options are one list."""
    assert set(ToolSettings.__annotations__) == set(ToolOptions.__struct_fields__)


class TestNames:
    def test_two_tools_of_one_name_are_refused_with_both_places(self, registry: ToolRegistry) -> None:
        """The user sees where to look."""
        registry.tool(plain, parameters=OBJECT)
        with pytest.raises(ConfigurationError, match=f"two tools are named 'plain': at {HERE} and at {HERE}"):
            registry.tool(fine, name="plain")
        assert registry.get("plain").fn is plain

    def test_an_unknown_name_lists_those_there_are(self, registry: ToolRegistry) -> None:
        """The model can choose another."""
        registry.tool(fine)
        with pytest.raises(ToolNotFound, match="there is no tool 'fin'; available: fine"):
            registry.get("fin")

    def test_an_included_registry_gets_its_prefix(self, registry: ToolRegistry) -> None:
        """Its own names stay as they are."""
        other = ToolRegistry()
        other.tool(fine)
        registry.include(other, prefix="weather_")
        assert [tool.name for tool in registry] == ["weather_fine"]
        assert [tool.name for tool in other] == ["fine"]

    def test_an_inclusion_that_is_refused_adds_nothing(self, registry: ToolRegistry) -> None:
        """Neither the tools before the clash nor those after it."""
        other = ToolRegistry()
        other.tool(fine, name="first")
        other.tool(fine, name="taken")
        registry.tool(fine, name="taken")
        with pytest.raises(ConfigurationError, match="two tools are named 'taken'"):
            registry.include(other)
        assert [tool.name for tool in registry] == ["taken"]

    def test_a_prefix_that_makes_a_name_too_long_is_refused(self, registry: ToolRegistry) -> None:
        """As the API would."""
        other = ToolRegistry()
        other.tool(fine)
        with pytest.raises(ConfigurationError, match="its name must be"):
            registry.include(other, prefix="p" * 64)
