"""`run --record`, `inspect` and `replay`: a tape on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime_events.cli import main
from realtime_events.recorder import Tape

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def taped(bare: str, capsys: Capture) -> str:
    """Records a run of a bot against the simulator, and gives the tape's name."""
    assert main(["run", bare, "--simulate", "--record", "call.jsonl"]) == 0
    capsys.readouterr()
    return "call.jsonl"


def test_a_run_is_recorded(taped: str) -> None:
    """A program that starts itself is recorded as it is."""
    tape = Tape.read(taped)
    assert not tape.torn
    assert any(b"response.done" in frame.data for frame in tape)


def test_a_tape_is_shown_as_a_timeline_with_its_statistics(taped: str, capsys: Capture) -> None:
    """Who said what, which tool was called with what, and what can be counted."""
    assert main(["inspect", taped]) == 0
    shown = capsys.readouterr().out
    for words in (
        "user        What should I wear in Bern today?",
        'get_weather({"city":"Bern"})',
        "→ 18 °C and sunny in Bern",
        "assistant   18 °C and sunny in Bern",
        "1 of 1 answered",
        "ended by the client with code 1000",
        "response.output_audio.delta",
    ):
        assert words in shown


def test_a_tape_is_shown_frame_by_frame(taped: str, capsys: Capture) -> None:
    """One line for each frame, with its direction, type and size."""
    assert main(["inspect", taped, "--table"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "▶" in line or "◀" in line]
    assert len(lines) == len(Tape.read(taped))
    assert "session.created" in lines[0]


@pytest.mark.parametrize("what", ["--table", "--timeline", "--stats"])
def test_a_tape_is_shown_as_json(taped: str, what: str, capsys: Capture) -> None:
    """For programs: nothing else is printed."""
    assert main(["inspect", taped, what, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said
    if what == "--stats":
        assert (said["tool_calls"], said["unanswered"], said["epochs"], said["torn"]) == (1, [], 1, False)
        assert said["audio_in_s"] > 0


def test_a_torn_tape_is_shown_up_to_where_it_is_torn(taped: str, capsys: Capture) -> None:
    """With the calls that were not answered, the last connection, and what is missing."""
    whole = Path(taped).read_bytes()
    cut = whole.index(b'"function_call_output"')
    Path(taped).write_bytes(whole[:cut])
    assert main(["inspect", taped]) == 0
    shown = capsys.readouterr().out
    assert "0 of 1 answered" in shown
    assert "without an answer: get_weather" in shown
    assert "torn in connection 1" in shown


def test_a_tape_is_played_into_an_application(taped: str, bare: str, capsys: Capture) -> None:
    """Its handlers hear it, and its own start is left out."""
    assert main(["replay", taped, f"{bare}:rt"]) == 0
    shown = capsys.readouterr().out
    assert "assistant   18 °C and sunny in Bern" in shown
    assert 'get_weather({"city":"Bern"}) → 18 °C and sunny in Bern' in shown


def test_a_tape_is_played_without_an_application(taped: str, capsys: Capture) -> None:
    """Just to see the conversation."""
    assert main(["replay", taped]) == 0
    assert "18 °C and sunny in Bern" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["inspect", "nowhere.jsonl"], "cannot read the tape 'nowhere.jsonl'"),
        (["replay", "nowhere.jsonl"], "cannot read the tape 'nowhere.jsonl'"),
        (["inspect", "notes.txt"], "is no tape"),
    ],
)
def test_what_is_no_tape_is_named_and_gives_2(
    arguments: list[str], why: str, write: Callable[..., str], capsys: Capture
) -> None:
    """A sentence, and no traceback."""
    write("dear diary\n", "notes.txt")
    assert main(arguments) == 2
    assert why in capsys.readouterr().err
