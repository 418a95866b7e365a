"""Every example runs to its end, offline and without a key."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .programs import run

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*/main.py"), *FOLDER.glob("from_go/*.py")])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.relative_to(FOLDER)))
async def test_an_example_runs_to_its_end(example: Path, tmp_path: Path, child_environment: dict[str, str]) -> None:
    """An example ends by itself, shows something, and leaves its files where it was started."""
    ended = await run(sys.executable, example, cwd=tmp_path, env=child_environment)
    assert ended.code == 0, f"{ended.out}\n{ended.err}"
    assert ended.out.strip()
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.relative_to(FOLDER)))
def test_an_example_says_what_it_shows(example: Path) -> None:
    """The first line of an example is a sentence about it."""
    assert example.read_text("utf-8").startswith('"""')


def test_there_are_examples() -> None:
    """An empty folder would pass every test above."""
    assert len(EXAMPLES) >= 8
