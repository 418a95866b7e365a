"""What the model is told when its arguments do not fit."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from realtime_events.exceptions import ToolArgumentsError
from realtime_events.tools import Tool
from realtime_events.tools.arguments import MAX_ARGUMENTS_BYTES, MAX_DEPTH, fingerprint
from realtime_events.tools.registry import make_tool


class Line(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    count: Annotated[int, Meta(ge=1)] = 1


class Basket(msgspec.Struct):
    lines: list[Line]
    note: str | None = None


def order(
    city: str,
    amount: Annotated[float, Meta(gt=0, le=100)] = 1,
    unit: Literal["c", "f"] = "c",
    basket: Basket | None = None,
    prices: dict[str, int] | None = None,
    pair: tuple[int, str] | None = None,
    day: dt.date | None = None,
    ident: uuid.UUID | None = None,
    tags: Annotated[list[str], Meta(max_length=2)] | None = None,
    word: Annotated[str, Meta(min_length=2, pattern="^a")] = "aa",
) -> None: ...


def nothing() -> None: ...


TOOL = make_tool(order)

PROBLEMS = [
    ("{}", "city: missing; expected string"),
    ('{"city": 5}', "city: expected string, got integer 5"),
    ('{"city": null}', "city: expected string, got null"),
    ('{"city": true}', "city: expected string, got boolean true"),
    ('{"city": ["a"]}', 'city: expected string, got array ["a"]'),
    ('{"city": "B", "amount": "5"}', 'amount: expected number > 0 and <= 100, got string "5"'),
    ('{"city": "B", "amount": 0}', "amount: expected number > 0 and <= 100, got integer 0"),
    ('{"city": "B", "amount": 100.5}', "amount: expected number > 0 and <= 100, got number 100.5"),
    ('{"city": "B", "unit": "k"}', 'unit: expected one of "c", "f", got string "k"'),
    ('{"city": "B", "basket": 1}', "basket: expected object with the fields lines, note or null, got integer 1"),
    ('{"city": "B", "basket": {}}', "basket.lines: missing; expected array of object with the fields sku, count"),
    ('{"city": "B", "basket": {"lines": [{}]}}', "basket.lines[0].sku: missing; expected string"),
    (
        '{"city": "B", "basket": {"lines": [{"sku": "a"}, {"sku": "b", "count": 0}]}}',
        "basket.lines[1].count: expected integer >= 1, got integer 0",
    ),
    (
        '{"city": "B", "basket": {"lines": [{"sku": "a", "colour": 1}]}}',
        "basket.lines[0].colour: unknown field; the fields are: sku, count",
    ),
    ('{"city": "B", "prices": {"a": "1"}}', "prices[...]: Expected integer, got string"),
    (
        '{"city": "B", "pair": [1]}',
        "pair: expected array of integer or string of exactly 2 items or null, got array [1]",
    ),
    ('{"city": "B", "pair": [1, 2]}', "pair[1]: expected string, got integer 2"),
    ('{"city": "B", "day": "soon"}', 'day: expected string in date form or null, got string "soon"'),
    ('{"city": "B", "ident": "x"}', 'ident: expected string in uuid form or null, got string "x"'),
    (
        '{"city": "B", "tags": ["a", "b", "c"]}',
        'tags: expected array of string of at most 2 items or null, got array ["a","b","c"]',
    ),
    (
        '{"city": "B", "word": "b"}',
        'word: expected string of at least 2 characters and that matches ^a, got string "b"',
    ),
    (
        '{"city": "B", "town": 1}',
        "town: unknown field; the fields are: city, amount, unit, basket, prices, pair, day, ident, tags, word",
    ),
    ("[]", "they must be one JSON object: Expected object, got array"),
    ('"Bern"', "they must be one JSON object: Expected object, got string"),
    ("null", "they must be one JSON object: Expected object, got null"),
    ('{"city": ', "the text is not valid JSON (Input data was truncated)"),
    ("{city: 1}", "the text is not valid JSON (JSON is malformed: object keys must be strings (byte 1))"),
]


def problem_of(tool: Tool, text: str) -> str:
    with pytest.raises(ToolArgumentsError) as caught:
        tool.decode(tool.name, text)
    assert caught.value.name == tool.name
    return caught.value.problem


@pytest.mark.parametrize(("text", "problem"), PROBLEMS)
def test_the_model_is_told_the_path_what_was_expected_and_what_came(text: str, problem: str) -> None:
    """B30: the words of every way in which arguments do not fit."""
    assert problem_of(TOOL, text) == problem


def test_every_field_at_fault_is_named_at_once() -> None:
    """B30: the model need not find its mistakes one call at a time."""
    assert problem_of(TOOL, '{"amount": -1, "unit": 1, "zzz": 0}') == (
        "city: missing; expected string; amount: expected number > 0 and <= 100, got integer -1; "
        'unit: expected one of "c", "f", got integer 1; '
        "zzz: unknown field; the fields are: city, amount, unit, basket, prices, pair, day, ident, tags, word"
    )


def test_a_tool_without_parameters_says_so() -> None:
    """An invented argument is refused there too."""
    assert problem_of(make_tool(nothing), '{"a": 1}') == "a: unknown field; the fields are: none"


@pytest.mark.parametrize("text", ["", " ", "\n", "{}"])
def test_no_arguments_may_be_written_as_nothing(text: str) -> None:
    """Models write both for a tool without parameters."""
    assert make_tool(nothing).decode("nothing", text) == {}


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"city":' + "[" * 100_000, '{"city": "\ud800"}', '{"city": "\\ud800"}', "\x00", '{"city": 1e999}'],
    ids=["deep", "deep inside", "surrogate", "escaped surrogate", "nul", "infinite"],
)
def test_hostile_text_is_refused_like_any_other(text: str) -> None:
    """B30: it neither raises anything else nor ends the process."""
    assert problem_of(TOOL, text)


def test_a_huge_value_is_shown_shortened_and_on_one_line() -> None:
    """An error must not cost more context than the mistake."""
    problem = problem_of(TOOL, '{"city": ["' + "x" * 1_000_000 + '\\n"]}')
    assert len(problem) < 150
    assert "\n" not in problem


@pytest.mark.parametrize("over", [0, 1])
def test_arguments_up_to_the_limit_are_taken(over: int) -> None:
    """B30: one byte more is refused with both numbers, before it is decoded."""
    text = '{"city": "' + "x" * (MAX_ARGUMENTS_BYTES - 12 + over) + '"}'
    if over:
        with pytest.raises(ToolArgumentsError, match="65,537 bytes are more than the 65,536"):
            TOOL.decode("order", text)
    else:
        assert len(TOOL.decode("order", text)["city"]) == MAX_ARGUMENTS_BYTES - 12


@pytest.mark.parametrize("word", ["ä", "\U0001f642"])
def test_the_limit_counts_bytes(word: str) -> None:
    """B30: not characters, of which a text may have fewer."""
    text = '{"city": "' + word * (MAX_ARGUMENTS_BYTES // len(word.encode())) + '"}'
    assert len(text) < MAX_ARGUMENTS_BYTES
    assert "65,548 bytes are more than the 65,536" in problem_of(TOOL, text)


def test_arguments_may_be_nested_32_levels_deep() -> None:
    """B30: one level more is refused; brackets within a string are text, and so many beside each other are not deep."""

    def anything(value: Any) -> None: ...

    tool = make_tool(anything)

    def nested(levels: int) -> str:
        return '{"value": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"

    assert MAX_DEPTH == 32
    assert tool.decode("anything", nested(32))
    assert "nested more than 32 levels deep" in problem_of(tool, nested(33))
    assert "nested more than 32 levels deep" in problem_of(tool, '{"value": ' + '{"a": ' * 900 + "1" + "}" * 901)
    assert tool.decode("anything", '{"value": "' + '\\\\\\"[{' * 99 + '"}')["value"] == '\\"[{' * 99
    assert tool.decode("anything", '{"value": [' + ", ".join(["[{}]"] * 99) + "]}")["value"] == [[{}]] * 99


@pytest.mark.parametrize(
    ("one", "other", "are_the_same"),
    [
        ('{"a": 1, "b": {"c": 2, "d": 3}}', '{"b":{"d":3,"c":2},"a":1}', True),
        ("", "{}", True),
        ('{"a": "\\u00e4"}', '{"a":"ä"}', True),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', False),
        ('{"a": 1', '{"a": 1', True),
        ('{"a": 1', '{"a":1', False),
        ('{"a": "\ud800"}', '{"a": "\ud800"}', True),
    ],
)
def test_the_same_arguments_are_known_in_any_spelling(one: str, other: str, are_the_same: bool) -> None:
    """B33: by what they say; a text that says nothing, by its letters."""
    assert (fingerprint(one) == fingerprint(other)) is are_the_same
