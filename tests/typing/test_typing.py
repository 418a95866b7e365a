"""What type checkers make of user code: of what is right, of what is wrong, and of every name of every event."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime_events.events import event_class
from realtime_events.protocol.dialect.names import CANONICAL, spellings

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
GOOD = sorted(FOLDER.glob("good_*.py"))
WRONG = sorted(FOLDER.glob("wrong_*.py"))
CHECK_TIMEOUT_S = 200

pytestmark = pytest.mark.timeout(CHECK_TIMEOUT_S + 30)


def run(*command: str) -> str:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def reported_by_mypy(file: Path) -> dict[int, str]:
    """Give what mypy says of a file, by line."""
    output = run("mypy", "--strict", "--no-error-summary", str(file))
    errors = re.findall(rf"^(?:.*/)?{re.escape(file.name)}:(\d+): error: (.*)$", output, re.MULTILINE)
    return {int(line): message for line, message in errors}


def reported_by_pyright(file: Path) -> dict[int, str]:
    """Give what pyright says of a file, by line."""
    output = run("pyright", "--pythonpath", sys.executable, "--outputjson", str(file))
    diagnostics = json.loads(output)["generalDiagnostics"]
    return {diagnostic["range"]["start"]["line"] + 1: diagnostic["message"] for diagnostic in diagnostics}


def needs(checker: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(checker) is None
    return pytest.mark.skipif(missing, reason=f"{checker} is not installed; `nox -s types` has it")


BOTH = pytest.mark.parametrize(
    ("name", "reported"),
    [
        pytest.param("mypy", reported_by_mypy, marks=needs("mypy"), id="mypy"),
        pytest.param("pyright", reported_by_pyright, marks=needs("pyright"), id="pyright"),
    ],
)


@BOTH
@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_right_user_code_is_accepted(name: str, reported: Callable[[Path], dict[int, str]], file: Path) -> None:
    """The payload of each event is known, and what nobody can know is left open."""
    assert reported(file) == {}


@BOTH
@pytest.mark.parametrize("file", WRONG, ids=lambda file: file.stem)
def test_each_wrong_line_is_reported(
    name: str, reported: Callable[[Path], dict[int, str]], file: Path, tmp_path: Path
) -> None:
    """A handler, a predicate or a wait that takes one event for another is a type error, and so is no other line."""
    lines = file.read_text("utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if re.search(rf"# wrong(: {name})?$", line)}
    assert marked
    # A copy, because pyproject.toml has the checkers pass over the file where it stands.
    assert set(reported(Path(shutil.copy(file, tmp_path)))) == marked


@BOTH
def test_every_spelling_of_every_event_tells_its_class(
    name: str, reported: Callable[[Path], dict[int, str]], tmp_path: Path
) -> None:
    """B05: GA, beta and local names are known to `on`, `wait_for` and `stream` alike; each refuses another class."""
    file = tmp_path / "every_name.py"
    lines = [
        "from typing import assert_type",
        "from realtime_events import Plugin, Realtime, Session, Stream, events",
        "class Other: ...",
        "def other(event: Other) -> None: ...",
        "async def every_name(rt: Realtime, plugin: Plugin, session: Session) -> None:",
    ]
    wrong: set[int] = set()
    for index, (spelling, cls) in enumerate(every_spelling()):
        lines += [
            f"    def h{index}(event: {cls}) -> None: ...",
            f'    rt.on("{spelling}")(h{index})',
            f'    plugin.once("{spelling}", h{index})',
            f'    assert_type(await session.wait_for("{spelling}"), {cls})',
            f'    assert_type(session.stream("{spelling}"), Stream[{cls}])',
            f'    rt.once("{spelling}")(other)',
        ]
        wrong.add(len(lines))
    file.write_text("\n".join(lines) + "\n", "utf-8")
    assert set(reported(file)) == wrong


def every_spelling() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for canonical in CANONICAL:
        cls = event_class(canonical)
        assert cls is not None
        room = "events.translation" if cls.__module__.endswith(".translation") else "events"
        found += [(spelling, f"{room}.{cls.__name__}") for spelling in spellings(canonical)]
    return found


def test_the_overloads_name_only_what_can_be_imported() -> None:
    """To a type checker a name that is not exported is `Any`, and then so is what users wait for, without a word."""
    overloads = importlib.import_module("realtime_events.overloads")
    assert overloads.On and overloads.WaitFor and overloads.StreamOf


def test_the_overloads_are_those_that_the_generator_gives_now() -> None:
    """A change of the vocabulary that was not generated anew would tell users yesterday's payloads."""
    path = ROOT / "scripts" / "generate_overloads.py"
    spec = importlib.util.spec_from_file_location("generate_overloads", path)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = generator  # dataclasses look their module up there
    try:
        spec.loader.exec_module(generator)
        assert generator.FILE.read_text("utf-8") == generator.generate(), "run `python scripts/generate_overloads.py`"
    finally:
        del sys.modules[spec.name]
