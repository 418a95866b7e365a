"""`run --reload`: the application in a process of its own, started again whenever a Python file beside it changes.

Owns the watch and the child. Before it: `run`; after it: the same command line without `--reload`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .failures import say
from .loading import Target

LOOK_EVERY_S = 0.25
STOP_TIMEOUT_S = 5.0
LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages"})


def supervise(arguments: argparse.Namespace) -> int:
    """Run the command in a child until it ends well; start it again after a change."""
    command = [sys.executable, "-m", "realtime_events", *(word for word in arguments.argv if word != "--reload")]
    folder = _folder_of(Target.parse(arguments.app).program)
    while True:
        seen = _look(folder)
        child = subprocess.Popen(command)
        try:
            ended = _until_change(child, folder, seen)
        finally:
            _stop(child)
        if ended:
            return 0
        say("a file has changed; starting again")


def _until_change(child: subprocess.Popen[bytes], folder: Path, seen: dict[Path, int]) -> bool:
    """Wait until a file changes, or until the child ends well, which is what it says."""
    told = False
    while _look(folder) == seen:
        code = _wait(child, LOOK_EVERY_S)
        if code == 0:
            return True
        if code is not None and not told:
            told = True
            say(f"it ended with exit code {code}; waiting for a change")
    return False


def _wait(child: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Give the child's exit code, or None once the time is up; a child that has ended takes its time too."""
    if child.poll():
        time.sleep(timeout_s)
        return child.returncode
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _folder_of(program: str) -> Path:
    path = Path(program)
    return path.absolute().parent if path.suffix == ".py" else Path.cwd()


def _look(folder: Path) -> dict[Path, int]:
    """Give the time of the last change of every Python file in a folder, in nanoseconds."""
    times: dict[Path, int] = {}
    for path in _python_files(folder):
        try:
            times[path] = path.stat().st_mtime_ns
        except OSError:
            continue  # It went away while we looked.
    return times


def _python_files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        # Hidden folders and environments hold nobody's application.
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in LEFT_OUT and not Path(place, name, "pyvenv.cfg").exists()
        ]
        yield from (Path(place, name) for name in files if name.endswith(".py"))
