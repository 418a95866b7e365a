"""Side questions beside the conversation, as `examples/12_out_of_band.py` asks them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .programs import output_of

EXAMPLE = Path(__file__).parent.parent / "examples" / "12_out_of_band.py"


@pytest.fixture
async def lines(tmp_path: Path, child_environment: dict[str, str]) -> list[str]:
    """Gives what the example prints."""
    return (await output_of(sys.executable, EXAMPLE, cwd=tmp_path, env=child_environment)).splitlines()


def test_three_side_questions_run_beside_the_answer(lines: list[str]) -> None:
    """B12: out-of-band responses are exempt from the rule of one at a time."""
    assert [line.split("beside ")[1] for line in lines if "begins" in line] == 2 * [
        "nothing",
        "the answer",
        "the answer, moderation",
        "the answer, moderation, title",
    ]


def test_each_side_answer_reaches_whoever_asked(lines: list[str]) -> None:
    """B12: text by its handle, a value by its type; none of them ends up with another."""
    found = [line.strip() for line in lines if line.strip().startswith("fine")]
    assert found == [
        "fine · “A trip to Bern” · Mood(feeling='happy', sure=0.8)",
        "fine · “A rainy day in Bern” · Mood(feeling='annoyed', sure=0.9)",
    ]


def test_side_questions_leave_nothing_in_the_conversation(lines: list[str]) -> None:
    """B12: what is left is what the guest said and what was answered."""
    left = lines[lines.index("What is left in the conversation:") + 1 :]
    assert [line.partition(":")[0] for line in left] == ["user", "assistant", "user", "assistant"]
