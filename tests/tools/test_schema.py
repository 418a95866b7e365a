"""From a signature to the JSON Schema the model reads, and back from its arguments to values."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, Literal, NewType, Required, TypedDict

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from realtime_events.exceptions import ToolArgumentsError
from realtime_events.tools import Tool
from realtime_events.tools.registry import make_tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Place(msgspec.Struct):
    """Where something is.

    Attributes:
        city: The city's name.
    """

    city: str
    zip: Annotated[int, Meta(ge=1)] = 1


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    good: bool


class Options(TypedDict, total=False):
    depth: Required[int]
    name: str


@dataclasses.dataclass
class Order:
    amount: float
    places: list[Place] = dataclasses.field(default_factory=list)


UserId = NewType("UserId", int)

PLACE = {
    "type": "object",
    "description": "Where something is.",
    "properties": {
        "city": {"type": "string", "description": "The city's name."},
        "zip": {"type": "integer", "minimum": 1, "default": 1},
    },
    "required": ["city"],
    "additionalProperties": False,
}
STRING, INTEGER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}
AN_ID = uuid.UUID("00000000-0000-0000-0000-000000000001")

# Every type of the API design: its annotation, its schema, a JSON text of it, the value the function gets.
TYPES: list[tuple[Any, dict[str, Any], str, Any]] = [
    (str, STRING, '"a"', "a"),
    (int, INTEGER, "3", 3),
    (float, {"type": "number"}, "3", 3.0),
    (bool, {"type": "boolean"}, "true", True),
    (None, NULL, "null", None),
    (Any, {}, '{"a": [1]}', {"a": [1]}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, '"b"', "b"),
    (Literal[1, 2], {"type": "integer", "enum": [1, 2]}, "2", 2),
    (Colour, {"type": "string", "enum": ["blue", "red"]}, '"red"', Colour.RED),
    (Level, {"type": "integer", "enum": [1, 2]}, "2", Level.HIGH),
    (int | None, {"anyOf": [INTEGER, NULL]}, "null", None),
    (int | str, {"anyOf": [INTEGER, STRING]}, '"x"', "x"),
    (list, {"type": "array", "items": {}}, "[1, null]", [1, None]),
    (list[int], {"type": "array", "items": INTEGER}, "[1]", [1]),
    (dict, {"type": "object"}, '{"a": 1}', {"a": 1}),
    (dict[str, int], {"type": "object", "additionalProperties": INTEGER}, '{"a": 1}', {"a": 1}),
    (tuple, {"type": "array", "items": {}}, "[1]", (1,)),
    (tuple[int, ...], {"type": "array", "items": INTEGER}, "[1, 2]", (1, 2)),
    (
        tuple[int, int],
        {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [INTEGER, INTEGER], "items": INTEGER},
        "[1, 2]",
        (1, 2),
    ),
    (
        tuple[int, str],
        {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "prefixItems": [INTEGER, STRING],
            "items": {"anyOf": [INTEGER, STRING]},
        },
        '[1, "a"]',
        (1, "a"),
    ),
    (set[str], {"type": "array", "items": STRING, "uniqueItems": True}, '["a", "a"]', {"a"}),
    (frozenset[int], {"type": "array", "items": INTEGER, "uniqueItems": True}, "[1]", frozenset({1})),
    (dt.date, {"type": "string", "format": "date"}, '"2026-01-31"', dt.date(2026, 1, 31)),
    (dt.time, {"type": "string", "format": "time"}, '"10:30:00"', dt.time(10, 30)),
    (dt.datetime, {"type": "string", "format": "date-time"}, '"2026-01-31T10:30:00"', dt.datetime(2026, 1, 31, 10, 30)),
    (dt.timedelta, {"type": "string", "format": "duration"}, '"PT90S"', dt.timedelta(seconds=90)),
    (uuid.UUID, {"type": "string", "format": "uuid"}, f'"{AN_ID}"', AN_ID),
    (decimal.Decimal, {"type": "string", "format": "decimal"}, '"1.10"', decimal.Decimal("1.10")),
    (bytes, {"type": "string", "contentEncoding": "base64"}, '"AAE="', b"\x00\x01"),
    (Annotated[int, Meta(gt=0, le=9)], {"type": "integer", "exclusiveMinimum": 0, "maximum": 9}, "9", 9),
    (Annotated[str, Meta(max_length=2, pattern="^a")], {"type": "string", "maxLength": 2, "pattern": "^a"}, '"a"', "a"),
    (Annotated[str, Meta(description="A word.")], {"type": "string", "description": "A word."}, '"a"', "a"),
    (UserId, INTEGER, "7", 7),
    (Place, PLACE, '{"city": "Bern"}', Place("Bern")),
    (Place | None, {"anyOf": [PLACE, NULL]}, "null", None),
    (list[Place], {"type": "array", "items": PLACE}, '[{"city": "Bern", "zip": 3}]', [Place("Bern", 3)]),
    (
        Options,
        {
            "type": "object",
            "properties": {"depth": INTEGER, "name": STRING},
            "required": ["depth"],
            "additionalProperties": False,
        },
        '{"depth": 1}',
        {"depth": 1},
    ),
    (
        Order,
        {
            "type": "object",
            "properties": {"amount": {"type": "number"}, "places": {"type": "array", "items": PLACE}},
            "required": ["amount"],
            "additionalProperties": False,
        },
        '{"amount": 1, "places": [{"city": "Bern"}]}',
        Order(1.0, [Place("Bern")]),
    ),
]


def tool_of(annotation: Any, *default: Any) -> Tool:
    """A tool with one parameter `x` of the given annotation, and perhaps a default."""

    def takes(x: Any) -> None: ...

    takes.__annotations__ = {"x": annotation}
    takes.__defaults__ = default or None
    return make_tool(takes)


def schema_of(annotation: Any, *default: Any) -> Any:
    return tool_of(annotation, *default).parameters["properties"]["x"]


@pytest.mark.parametrize(("annotation", "schema", "text", "value"), TYPES, ids=[str(t[0])[:40] for t in TYPES])
def test_every_type_has_its_schema_and_comes_back_as_itself(
    annotation: Any, schema: dict[str, Any], text: str, value: Any
) -> None:
    """B30: what the schema promises the model is what the function gets."""
    tool = tool_of(annotation)
    if "uniqueItems" in schema:
        # msgspec writes it since 0.20. It is a promise kept for the model: a set takes a repeated item.
        tool.parameters["properties"]["x"]["uniqueItems"] = True
    assert tool.parameters == {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"],
        "additionalProperties": False,
    }
    arguments = f'{{"x": {text}}}'
    got = tool.decode(tool.name, arguments)["x"]
    assert got == value
    assert type(got) is type(value)
    jsonschema.Draft202012Validator.check_schema(tool.parameters)
    if "uniqueItems" not in schema:
        jsonschema.validate(json.loads(arguments), tool.parameters)


def test_a_recursive_type_stays_in_defs() -> None:
    """Only what cannot be put in place is referred to."""
    tool = tool_of(Node | None)
    assert tool.parameters["properties"]["x"] == {"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}
    assert tool.parameters["$defs"] == {
        "Node": {
            "type": "object",
            "properties": {
                "value": INTEGER,
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, NULL], "default": None},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
    }
    jsonschema.validate({"x": {"value": 1, "next": {"value": 2}}}, tool.parameters)
    assert tool.decode("t", '{"x": {"value": 1, "next": {"value": 2}}}')["x"] == Node(1, Node(2))


def test_tagged_structs_make_a_union() -> None:
    """Each option is closed and named by its tag; the mapping to definitions that are gone is gone too."""
    schema = schema_of(Cat | Dog)
    assert [option["properties"]["type"] for option in schema["anyOf"]] == [
        {"type": "string", "enum": ["cat"]},
        {"type": "string", "enum": ["dog"]},
    ]
    assert "discriminator" not in schema
    assert tool_of(Cat | Dog).decode("t", '{"x": {"type": "dog", "good": true}}')["x"] == Dog(True)


def test_attrs_classes_are_objects() -> None:
    """Attrs is known to msgspec without being a dependency."""
    attrs = pytest.importorskip("attrs")

    @attrs.define
    class Box:
        width: int

    assert schema_of(Box) == {
        "type": "object",
        "properties": {"width": INTEGER},
        "required": ["width"],
        "additionalProperties": False,
    }
    assert tool_of(Box).decode("t", '{"x": {"width": 2}}')["x"] == Box(2)


class TestDefaults:
    """A parameter with a default may be left out; the function's own default stands for it."""

    @pytest.mark.parametrize(
        ("annotation", "default", "shown"),
        [
            (str, "c", "c"),
            (int, 0, 0),
            (bool, False, False),
            (Colour, Colour.RED, "red"),
            (Place, Place("Bern"), {"city": "Bern", "zip": 1}),
            (dt.date, dt.date(2026, 1, 31), "2026-01-31"),
            (list[int], [1, 2], [1, 2]),
            (dict[str, int], {}, {}),
        ],
    )
    def test_a_default_is_shown_to_the_model(self, annotation: Any, default: Any, shown: Any) -> None:
        """The schema says it as JSON."""
        tool = tool_of(annotation, default)
        assert tool.parameters["properties"]["x"]["default"] == shown
        assert tool.parameters["required"] == []
        assert tool.decode("t", "{}") == {}

    def test_a_default_that_json_cannot_say_is_not_shown(self) -> None:
        """It still stands when the model leaves the parameter out."""
        assert schema_of(int, object()) == INTEGER

    def test_none_as_default_admits_null(self) -> None:
        """`x: int = None` says what it means."""
        tool = tool_of(int, None)
        assert tool.parameters["properties"]["x"] == {"anyOf": [INTEGER, NULL], "default": None}
        assert tool.decode("t", '{"x": null}') == {"x": None}


class TestPydantic:
    """Models of pydantic, when it is installed."""

    @pytest.fixture
    def account(self) -> Any:
        pydantic = pytest.importorskip("pydantic")
        owner = pydantic.create_model("Owner", name=(str, ...))
        return pydantic.create_model(
            "Account", __doc__="Where money lies.", owner=(owner, ...), iban=(str, pydantic.Field(min_length=3))
        )

    def test_a_model_is_an_object_with_its_inner_models_in_place(self, account: Any) -> None:
        """Nothing is left that refers to a definition."""
        assert schema_of(account) == {
            "type": "object",
            "description": "Where money lies.",
            "properties": {
                "owner": {
                    "type": "object",
                    "properties": {"name": STRING},
                    "required": ["name"],
                    "additionalProperties": False,
                },
                "iban": {"type": "string", "minLength": 3},
            },
            "required": ["owner", "iban"],
            "additionalProperties": False,
        }

    def test_arguments_become_the_model(self, account: Any) -> None:
        """Inside other types too."""
        tool = tool_of(list[account])
        made = tool.decode("t", '{"x": [{"owner": {"name": "Ada"}, "iban": "CH1"}]}')["x"][0]
        assert type(made) is account
        assert made.owner.name == "Ada"

    def test_what_does_not_fit_is_told_field_by_field(self, account: Any) -> None:
        """B30: in one line, every field at fault."""
        with pytest.raises(ToolArgumentsError) as caught:
            tool_of(account).decode("t", '{"x": {"owner": {}, "iban": "C"}}')
        assert caught.value.problem == (
            "x: owner.name: Field required, got {}; iban: String should have at least 3 characters, got 'C'"
        )

    def test_a_recursive_model_stays_in_defs(self) -> None:
        """Its references lead to where it stands."""
        pydantic = pytest.importorskip("pydantic")
        tree = pydantic.create_model("Tree", value=(int, ...), below=("list[Tree]", []))
        tree.model_rebuild(_types_namespace={"Tree": tree})
        tool = tool_of(tree)
        jsonschema.validate({"x": {"value": 1, "below": [{"value": 2}]}}, tool.parameters)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"x": {"value": 1, "below": [{"value": "two"}]}}, tool.parameters)

    def test_two_models_that_each_have_an_inner_model_of_one_name_are_told_apart(self) -> None:
        """Each keeps its own."""
        pydantic = pytest.importorskip("pydantic")
        first = pydantic.create_model("First", item=(pydantic.create_model("Item", a=(int, ...)), ...))
        second = pydantic.create_model("Second", item=(pydantic.create_model("Item", b=(int, ...)), ...))
        schema = schema_of(tuple[first, second])
        inner = [list(place["properties"]["item"]["properties"]) for place in schema["prefixItems"]]
        assert inner == [["a"], ["b"]]


def test_every_object_is_closed_and_nothing_has_a_title() -> None:
    """The strict form where the API has no switch for it; titles only cost tokens."""

    def deep(order: Order, options: dict[str, Options], nodes: list[Node]) -> None: ...

    text = json.dumps(make_tool(deep).parameters)
    assert '"title"' not in text
    assert text.count('"properties"') == text.count('"additionalProperties": false')


# JSON Schema calls 1.0 an integer; the decoder wants it written as one.
FRACTIONS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FRACTIONS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def everything(
    a: int,
    b: Literal["x", "y"] = "x",
    c: Place | None = None,
    d: tuple[int, str] = (1, "a"),
    e: dict[str, list[Annotated[int, Meta(ge=0)]]] | None = None,
    f: Cat | Dog | None = None,
) -> None: ...


@given(st.dictionaries(st.sampled_from([*"abcdefg", "city", "type"]), JSON_VALUES, max_size=6))
def test_arguments_are_taken_where_the_schema_admits_them_and_refused_in_words_elsewhere(
    arguments: dict[str, Any],
) -> None:
    """B30: no JSON object makes the decoder raise anything but its own error, with words in it."""
    tool = make_tool(everything)
    admitted = jsonschema.Draft202012Validator(tool.parameters).is_valid(arguments)
    try:
        decoded = tool.decode("everything", json.dumps(arguments))
    except ToolArgumentsError as error:
        assert not admitted
        assert error.problem
    else:
        assert decoded.keys() == arguments.keys() <= set("abcdef")
        assert isinstance(decoded["a"], int)
