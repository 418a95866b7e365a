"""The house itself: what importing costs, how files are named, what is documented."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import realtime_events

ROOT = Path(__file__).parent.parent
PACKAGE = Path(realtime_events.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("heavy", ["aiohttp", "docstring_parser", "rich", "pytest"])
def test_importing_the_package_does_not_load(heavy: str) -> None:
    """Nobody pays at import for what is needed only to connect, to register a tool or to print."""
    program = f"import sys, realtime_events; sys.exit({heavy!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"`import realtime_events` loaded {heavy}\n{done.stderr}"


def test_no_module_is_named_after_nothing() -> None:
    """A module is named for what it owns."""
    nameless = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert [str(path) for path in MODULES if path.stem in nameless] == []


def test_every_module_says_what_it_owns() -> None:
    """The first line of a module is a sentence about it."""
    assert [str(path) for path in MODULES if not path.read_text("utf-8").lstrip().startswith(('"""', 'r"""'))] == []


@pytest.mark.parametrize("name", realtime_events.__all__)
def test_every_public_name_exists_and_explains_itself(name: str) -> None:
    """What the front door offers has a docstring of its own, not one that Python or a base class wrote."""
    offered = getattr(realtime_events, name)
    if inspect.isclass(offered) or inspect.isroutine(offered):
        assert (offered.__doc__ or "").strip()


def test_a_public_name_is_no_module_at_the_same_time() -> None:
    """Importing `realtime_events.x` anywhere would put the module in the place of a function named `x`."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert set(realtime_events.__all__) & modules == set()


def test_a_public_name_is_offered_once() -> None:
    """A name that stands twice is an edit that went wrong."""
    assert sorted(realtime_events.__all__) == sorted(set(realtime_events.__all__))


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    """Without this file every annotation is ignored."""
    assert (PACKAGE / "py.typed").is_file()


def kept_promises() -> dict[str, list[str]]:
    """Reads the page of promises: the test files that each row names."""
    page = (ROOT / "docs" / "explanation" / "promises.md").read_text("utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if re.match(r"\| B\d\d ", line)]
    return {row[0].strip(): re.findall(r"`(tests/[\w/]+\.py)`", row[-1]) for row in rows}


@pytest.mark.parametrize(("promise", "files"), kept_promises().items())
def test_a_promise_on_the_page_is_proven_where_the_page_says(promise: str, files: list[str]) -> None:
    """Each row of the page names test files, and each of them names the promise."""
    assert files
    assert [name for name in files if promise not in (ROOT / name).read_text("utf-8")] == []
