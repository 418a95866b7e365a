"""The page of faults names tests that exist, and forgets none of this folder's files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "faults.md"
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").partition("\n## How long it takes")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| fault"))
]
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
AIDS = {"test_fault_proxy.py", "test_fault_table.py"}  # They prove the means, and this page.


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_says_what_happens_and_names_tests_that_exist(row: list[str]) -> None:
    """House: a fault without a test is a hope."""
    fault, outcome, tests = row
    proofs = PROOF.findall(tests)
    assert fault and outcome and proofs and len(proofs) == tests.count("::")
    for file, name in proofs:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *(async )?def {name}\(", text, re.MULTILINE), f"{file} has no {name}"


def test_no_fault_stands_in_two_rows_and_no_file_of_this_folder_is_left_out() -> None:
    """House."""
    faults = [row[0] for row in ROWS]
    assert len(set(faults)) == len(faults) >= 50
    named = {Path(file).name for file, _ in PROOF.findall(PAGE.read_text(encoding="utf-8")) if "/faults/" in file}
    assert {file.name for file in Path(__file__).parent.glob("test_*.py")} - AIDS == named
