"""What is said about words that make no sense, and that help is there."""

from __future__ import annotations

import pytest

from realtime_events import __version__
from realtime_events.cli import main

COMMANDS = ["demo", "run", "chat", "simulate", "events", "secret", "calls", "tools", "probe", "doctor"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["dmeo"], "unknown command 'dmeo'; did you mean 'demo'?"),
        (["frobnicate"], "unknown command 'frobnicate' (see"),
        (["run", "app.py", "--simulat"], "unknown option '--simulat'; did you mean '--simulate'?"),
        (["run", "app.py", "--wax=in.wav"], "unknown option '--wax'; did you mean '--wav'?"),
        (["--simulate", "chat"], "option '--simulate' belongs behind the command"),
        (["doctor", "now"], "one argument too many: 'now'"),
        (["run"], "the following arguments are required: app"),
        (["run", "app.py", "--text", "--wav", "in.wav"], "not allowed with argument --text"),
        (["calls"], "the following arguments are required: verb"),
        (["calls", "asnwer", "rtc_1"], "invalid choice: 'asnwer'"),
        (["calls", "hangup"], "the following arguments are required: CALL_ID"),
        (["secret", "--ttl", "long"], "invalid int value: 'long'"),
        (["simulate", "--port", "many"], "invalid int value: 'many'"),
        (["simulate", "--dialect", "delta"], "invalid choice: 'delta'"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line on stderr, and nothing on stdout."""
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` ends well and names the command."""
    assert main([command, "--help"]) == 0
    assert f"realtime-events {command}" in capsys.readouterr().out


def test_without_a_command_all_of_them_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A bare `realtime-events` is a question for help."""
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command} " in shown for command in COMMANDS)


def test_commands_of_later_days_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does nothing yet would be a lie."""
    for command in ("replay", "inspect"):
        assert main([command]) == 2
    assert main(["run", "app.py", "--mic"]) == 2
    assert main(["run", "app.py", "--record", "tape"]) == 2


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` gives the package's own."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"realtime-events {__version__}\n"
