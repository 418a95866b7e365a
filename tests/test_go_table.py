"""The table of what the Go client has: no row is missing, none is empty, and every proof that it names exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from realtime_events import events
from realtime_events.events import beta

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "explanation" / "from-go.md").read_text("utf-8")
# How many rows the inventory of the Go client has, by letter; without a letter, the forty things to have.
COUNTS = {"": 40, "B": 47, "C": 27, "D": 10, "E": 27, "F": 16, "G": 32, "I": 38, "L": 8, "M": 23, "O": 15, "P": 12}
COUNTS |= {"R": 17, "S": 93, "T": 51, "W": 21, "X": 45}
SPAN = re.compile(r"([A-Z]?)(\d+)(?:–[A-Z]?(\d+))?")
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if re.match(r"\| [A-Z]?\d", line)
]


def numbers(cell: str) -> list[tuple[str, int]]:
    """Gives the rows of the inventory that a row of the page answers: `C01–C03 C05` are four."""
    found = [SPAN.fullmatch(word) for word in cell.split()]
    assert all(found), cell
    spans = [(one[1], int(one[2]), int(one[3] or one[2])) for one in found if one]
    return [(letter, number) for letter, first, last in spans for number in range(first, last + 1)]


@cache
def names_in(path: str) -> frozenset[str]:
    """Gives the names of the tests in a file."""
    return frozenset(re.findall(r"^ *(?:async )?def (test_\w+)", (ROOT / path).read_text("utf-8"), re.MULTILINE))


def tag_of(vocabulary: object, name: str) -> str | None:
    """Gives the name on the wire of a class, where a vocabulary has it."""
    cls = getattr(vocabulary, name, None)
    return None if cls is None else str(cls.__struct_config__.tag)


@pytest.mark.parametrize("letter", COUNTS)
def test_every_row_of_the_inventory_is_answered_once(letter: str) -> None:
    """No row is left out, and none has two answers."""
    answered = sorted(number for cells in ROWS for at, number in numbers(cells[0]) if at == letter)
    assert answered == list(range(1, COUNTS[letter] + 1))


@pytest.mark.parametrize("cells", ROWS, ids=[cells[0] for cells in ROWS])
def test_every_answer_is_one_of_three_and_is_proven(cells: list[str]) -> None:
    """It has it, it has something better, or it was dropped for a reason; the tests that are named exist."""
    _, what, answer, proof = cells
    assert what
    assert re.match(r"\*\*(has it|better|dropped)\*\*", answer)
    assert not answer.endswith("**dropped**"), "a reason is missing"
    named = re.findall(r"`([^`]+)`", proof)
    assert named
    for name in named:
        path, _, test = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert not test or test in names_in(path), name


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:examples|docs)/[^`]+)`", PAGE))))
def test_a_file_that_the_page_names_exists(name: str) -> None:
    """An example that moved would leave a false promise."""
    assert (ROOT / name).exists()


@pytest.mark.parametrize("cells", [cells for cells in ROWS if re.match(r"I(0|1|2|3[0-3])", cells[0])], ids=str)
def test_a_received_event_has_the_class_that_the_page_names(cells: list[str]) -> None:
    """And that class has the name of the Go client's event on the wire."""
    _, what, answer, _ = cells
    if "**dropped**" in answer:
        return
    cls = re.search(r"\*\*: `(\w+)`", answer)
    name = re.match(r"`([\w.]+)`", what)
    assert cls
    assert name
    assert name[1] in {tag_of(vocabulary, cls[1]) for vocabulary in (events, beta)}
