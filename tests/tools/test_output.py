"""What the model gets as a tool's output."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.exceptions import ToolError, ToolTimeout
from realtime_events.tools.output import MAX_OUTPUT_BYTES, encode_output, failure_text


class Colour(enum.Enum):
    RED = "red"


class Receipt(msgspec.Struct):
    amount: Decimal
    paid: bool = True


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("18 °C", "18 °C"),
        ("", ""),
        ('{"a": 1}', '{"a": 1}'),
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ([1, "a"], '[1,"a"]'),
        ({"a": None}, '{"a":null}'),
        ((1, 2), "[1,2]"),
        ({3}, "[3]"),
        (Colour.RED, '"red"'),
        (Receipt(Decimal("1.10")), '{"amount":"1.10","paid":true}'),
        (Point(1), '{"x":1}'),
        (dt.date(2026, 1, 31), '"2026-01-31"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (b"\x00\x01", '"AAE="'),
    ],
)
def test_a_string_goes_as_it_is_and_anything_else_as_json(value: Any, text: str) -> None:
    """The design's rule."""
    assert encode_output(value) == text


def test_a_pydantic_model_goes_as_json() -> None:
    """Inside other values too."""
    pydantic = pytest.importorskip("pydantic")
    made = pydantic.create_model("Made", day=(dt.date, ...))(day=dt.date(2026, 1, 31))
    assert encode_output([made]) == '[{"day":"2026-01-31"}]'


def endless() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize("value", [object(), 1j, {(1, 2): 3}, endless(), [open], {"a": "\ud800"}, Exception("x")])
def test_what_json_cannot_say_is_a_type_error_that_names_the_type(value: Any) -> None:
    """B30: the runner turns it into an answer."""
    with pytest.raises(TypeError, match=f"a result of type {type(value).__qualname__} cannot be written as JSON"):
        encode_output(value)


@given(st.text(alphabet=st.characters(codec=None)) | st.text())
def test_any_string_can_be_sent(text: str) -> None:
    """A lone surrogate would fail the whole frame."""
    sent = encode_output(text)
    msgspec.json.encode(sent)
    if "\ufffd" not in sent:
        assert sent == text.encode("utf-16", "surrogatepass").decode("utf-16")


@pytest.mark.parametrize("unit", ["x", "ü", "🙂"])
def test_a_huge_result_is_cut_at_the_limit_and_marked(unit: str) -> None:
    """B30: 5 MB would fill the model's context many times over; no character is cut in two."""
    whole = unit * 5_000_000
    sent = encode_output(whole)
    assert MAX_OUTPUT_BYTES - 8 < len(sent.encode()) <= MAX_OUTPUT_BYTES
    shown, _, marker = sent.partition("\n… [cut: ")
    assert whole.startswith(shown)
    assert f"{len(whole.encode()):,} bytes" in marker


def test_a_result_of_exactly_the_limit_is_whole() -> None:
    """The limit is what is allowed."""
    assert encode_output("x" * MAX_OUTPUT_BYTES) == "x" * MAX_OUTPUT_BYTES
    assert "[cut: " in encode_output("x" * (MAX_OUTPUT_BYTES + 1))


def test_a_tool_may_have_a_limit_of_its_own() -> None:
    """B48: smaller or larger."""
    assert encode_output("x" * 1_000, 1_000) == "x" * 1_000
    cut = encode_output(["x" * 1_000], 1_000)
    assert cut.startswith('["xxx') and "[cut: 1,004 bytes in all, which is over the limit of 1,000]" in cut
    assert len(cut.encode()) == 1_000
    assert len(encode_output("x" * 300_000, 400_000)) == 300_000


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "expose", "told"),
    [
        (ToolError("no such account"), False, "no such account"),
        (ToolError(""), False, "'pay' failed"),
        (ToolTimeout("pay", 1.5), False, "'pay' gave no result within 1.5 s"),
        (ValueError("password is 123"), False, "'pay' failed with an internal error"),
        (SystemExit(3), False, "'pay' failed with an internal error"),
        (ValueError("bad iban"), True, "'pay' failed: ValueError: bad iban"),
        (Silent(), True, "'pay' failed: Silent: (no text: RuntimeError)"),
        (ToolError("lone \ud800"), False, "lone \ufffd"),
    ],
)
def test_a_failure_is_told_as_json_and_secrets_stay_at_home(error: BaseException, expose: bool, told: str) -> None:
    """B30: the text of a `ToolError` is meant for the model, that of another exception is not, unless asked."""
    assert msgspec.json.decode(failure_text("pay", error, expose=expose)) == {"error": told}
