"""Tools at their corners: odd docstrings, odd callables, odd mocks and odd values, each told in words."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from realtime_events import ConfigurationError, Realtime, tool
from realtime_events.events import ToolResult
from realtime_events.exceptions import ToolArgumentsError
from realtime_events.testing import Peer
from realtime_events.tools.docstring import read_docstring
from realtime_events.tools.foreign import decode_foreign, encode_foreign
from realtime_events.tools.registry import make_tool


class Address(msgspec.Struct):
    street: str
    number: int = 1


class Order(msgspec.Struct):
    to: Address | None = None


@pytest.mark.parametrize("text", ["Give the ratio.\n\n:  : of two numbers", "::  :"])
def test_prose_that_looks_like_a_field_and_is_none_is_the_description(text: str) -> None:
    """B30: whatever stands in a docstring, the tool is registered."""
    told = read_docstring(text)
    assert told.text == text and told.parameters == {}


def test_what_has_no_signature_is_no_tool() -> None:
    with pytest.raises(ConfigurationError, match="cannot be a tool"):
        Realtime().tool(max)


def test_a_condition_that_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="available_when='always' is no function"):
        Realtime().tool(lambda: "x", name="x", available_when="always")


def test_a_mark_above_a_classmethod_says_where_it_belongs() -> None:
    with pytest.raises(ConfigurationError, match="put it below @staticmethod and @classmethod"):

        class Shop:
            @tool  # type: ignore[arg-type]
            @classmethod
            def buy(cls) -> str:
                """Buy."""
                return "bought"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"prices": {"x": 1}}', "prices: a key of it does not fit"),
        ('{"prices": {"1": "x"}}', "prices"),
        ('{"order": {"to": {"street": 5}}}', "order.to.street: expected string, got integer 5"),
        ('{"order": {"to": {"street": "A", "number": "x"}}}', 'order.to.number: expected integer, got string "x"'),
        ('{"order": "no"}', "order: expected object"),
        ('{"only": "two"}', 'only: expected "one", got string "two"'),
    ],
)
def test_what_does_not_fit_deep_within_is_told_with_its_path(arguments: str, problem: str) -> None:
    """B30: through keys, optional structs and definitions."""

    def buy(prices: dict[int, float] | None = None, order: Order | None = None, only: Literal["one"] = "one") -> None:
        """Buy."""

    with pytest.raises(ToolArgumentsError) as caught:
        make_tool(buy).decode("buy", arguments)
    assert problem in caught.value.problem


async def test_a_mock_without_a_signature_is_given_every_argument() -> None:
    rt, peer = Realtime(), Peer()

    @rt.tool
    def get_weather(city: str) -> str:
        """Look up the weather."""
        raise AssertionError("the real one")

    async with rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        with rt.mock_tools({"get_weather": dict}):
            assert await session.tools.call("get_weather", {"city": "Bern"}) == {"city": "Bern"}


async def test_names_that_a_model_makes_up_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """B24: a known one still counts."""
    monkeypatch.setattr("realtime_events.tools.offer.COUNTED_NAMES", 2)
    rt, peer = Realtime(), Peer()
    async with rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        for name in ("one", "two", "three", "one"):
            session.tools.note(ToolResult(call_id="c", name=name, arguments="{}", output="x"))
        assert {name: usage.calls for name, usage in session.tools.usage.items()} == {"one": 2, "two": 1}


@pytest.mark.parametrize(("code", "value"), [(decode_foreign, (int, "1")), (encode_foreign, (object(),))])
def test_what_is_no_foreign_model_is_left_to_others(code: Any, value: tuple[Any, ...]) -> None:
    with pytest.raises(NotImplementedError):
        code(*value)


def test_examples_may_prepare_what_they_show_and_bad_ones_are_named() -> None:
    rt = Realtime()

    @rt.tool
    def double(n: int) -> int:
        """Double a number.

        >>> number = 4
        >>> double(n=number)
        8
        """
        return 2 * n

    rt.tools.check()

    @rt.tool
    def halve(n: int) -> int:
        """Halve a number.

        >>>halve(n=4)
        2
        """
        return n // 2

    with pytest.raises(ConfigurationError, match="tool 'halve': its examples cannot be read"):
        rt.tools.check()


class Node(msgspec.Struct):
    value: int
    child: Node | None = None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"tree": {"value": 1, "child": {"value": "x"}}}', 'tree.child.value: expected integer, got string "x"'),
        ('{"tree": {"value": 1, "child": 5}}', "tree.child: expected object"),
    ],
)
def test_what_does_not_fit_in_a_type_that_holds_itself_is_told_with_its_path(arguments: str, problem: str) -> None:
    """B30."""

    def plant(tree: Node) -> None:
        """Plant a tree."""

    with pytest.raises(ToolArgumentsError) as caught:
        make_tool(plant).decode("plant", arguments)
    assert problem in caught.value.problem


def test_a_tool_may_use_what_is_set_only_after_it_was_registered() -> None:
    """Its annotations are read without it."""

    def greet(name: str) -> str:
        """Greet somebody."""
        return f"{greeting}, {name}!"

    made = make_tool(greet)
    greeting = "Good day"
    assert made.parameters["required"] == ["name"] and greet("Ann") == "Good day, Ann!"


def test_parameters_that_the_api_would_refuse_are_found_by_the_check() -> None:
    rt = Realtime()

    @rt.tool
    def buy(what: str) -> str:
        """Buy."""
        return what

    rt.tools.replace(msgspec.structs.replace(rt.tools.get("buy"), parameters={"type": "string"}))
    with pytest.raises(ConfigurationError, match="tool 'buy': its parameters must be a JSON Schema of type 'object'"):
        rt.tools.check()


def test_a_value_that_json_cannot_say_does_not_fit_a_foreign_model() -> None:
    """B30: half of a character, in words and not as a traceback."""
    pydantic = pytest.importorskip("pydantic")
    owner = pydantic.create_model("Owner", name=(str, ...))
    with pytest.raises(ValueError, match="surrogates not allowed"):
        decode_foreign(owner, {"name": "\ud800"})
