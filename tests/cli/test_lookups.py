"""`events`, `tools`, `doctor`: what can be looked up without a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from realtime_events.cli import main
from realtime_events.cli.events import type_name
from realtime_events.events import EVENTS_BY_NAME, ResponseOutputAudioDelta, SessionConfig
from realtime_events.protocol import dialect

DELTAS = {
    "response.output_text.delta": "response.text.delta",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.function_call_arguments.delta": None,
    "response.mcp_call_arguments.delta": None,
}


def headings(shown: str) -> list[str]:
    return [line for line in shown.splitlines()[:-1] if line and not line.startswith(" ")]


def test_a_glob_lists_the_deltas_with_their_beta_names(capsys: pytest.CaptureFixture[str]) -> None:
    """`events 'response.*.delta'`, as the README shows it."""
    assert main(["events", "response.*.delta"]) == 0
    shown = headings(capsys.readouterr().out)
    assert [line.split()[0] for line in shown] == list(DELTAS)
    for line, beta in zip(shown, DELTAS.values(), strict=True):
        assert "from the server" in line
        assert line.endswith(f"beta: {beta}") if beta else "beta" not in line


def test_an_event_is_shown_with_its_fields_and_their_types(capsys: pytest.CaptureFixture[str]) -> None:
    """Audio is bytes, as handlers get it, whatever the spelling that was asked for."""
    assert main(["events", "response.audio.delta"]) == 0
    shown = capsys.readouterr().out
    rows = dict(line.split()[:2] for line in shown.splitlines() if line.startswith("    "))
    assert rows["delta"] == "bytes"
    assert set(rows) == set(ResponseOutputAudioDelta.__struct_fields__) - {"event_id"}


def test_without_a_glob_every_event_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """All names that a handler may be registered for, with where they go."""
    assert main(["events"]) == 0
    shown = {line.split()[0]: line for line in headings(capsys.readouterr().out)}
    assert set(shown) == set(dialect.matching("*"))
    assert set(EVENTS_BY_NAME) - {"frame.received", "conversation.item.created"} <= set(shown)
    assert "to the server" in shown["session.update"]
    assert "local" in shown["turn.done"]
    assert "(translation)" in shown["session.close"]


def test_an_event_that_does_not_exist_gives_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """B05: a misspelt name is refused with the nearest names."""
    assert main(["events", "respons.done"]) == 2
    assert "did you mean 'response.done'" in capsys.readouterr().err


def test_types_are_written_as_in_python() -> None:
    """Nested, optional and literal types read as a person would write them."""
    assert type_name(dict[str, list[int]]) == "dict[str, list[int]]"
    assert type_name(SessionConfig | None) == "SessionConfig | None"
    assert type_name(tuple[int, ...]) == "tuple[int, ...]"


def test_the_schemas_of_an_application_are_json(bare: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the model is given, without running the program, although it starts itself."""
    assert main(["tools", f"{bare}:rt"]) == 0
    (tool,) = json.loads(capsys.readouterr().out)
    assert tool["name"] == "get_weather"
    assert tool["parameters"]["properties"] == {
        "city": {"type": "string", "description": 'The city\'s name, such as "Bern".'}
    }


def test_the_doctor_tells_that_there_is_a_key_and_never_the_key(
    answers: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B48: a key appears nowhere, not even when the server repeats it."""
    answers(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 7\r\n\r\nno, no!")
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    assert main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert "OPENAI_API_KEY    set\n" in printed.out
    assert "HTTP 401" in printed.out
    assert "canary" not in printed.out + printed.err


def test_the_doctor_without_a_key_is_content_with_a_server_that_asks_for_one(
    answers: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That a server is there is known without a key."""
    answers(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "not set" in shown
    assert "it asks for a key" in shown


def test_the_doctor_says_what_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that does not resolve, and a URL that is none, are rows of the report."""
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.setenv("OPENAI_REALTIME_URL", "wss://realtime.invalid/v1/realtime")
    assert main(["doctor"]) == 1
    assert "'realtime.invalid' cannot be resolved" in capsys.readouterr().out
    monkeypatch.setenv("OPENAI_REALTIME_URL", "realtime.invalid")
    assert main(["doctor"]) == 1
    assert "is no WebSocket URL" in capsys.readouterr().out


def test_the_doctor_finds_a_working_endpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One handshake with the simulator, and the versions of everything that matters."""
    from realtime_events.cli.simulate import simulated

    with simulated(True):
        assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "the handshake succeeded" in shown
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in shown
    assert all(name in shown for name in ("aiohttp", "msgspec", "pyee", "docstring-parser"))


def test_without_rich_everything_is_plain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The extra `cli` adds colours and nothing else; a pipe never gets any."""
    hidden: Any = None
    monkeypatch.setitem(sys.modules, "rich", hidden)
    assert main(["events", "turn.*"]) == 0
    assert "\x1b" not in capsys.readouterr().out
