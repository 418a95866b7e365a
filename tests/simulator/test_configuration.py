"""Configuring a session: what is in effect, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest


def test_a_session_begins_by_saying_its_whole_configuration(client: Any) -> None:
    session = client.opening.one("session.created")["session"]
    assert session["object"] == "realtime.session"
    assert session["id"] == client.session.id
    assert session["expires_at"] == 3600
    assert session["output_modalities"] == ["audio"]
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "marin",
        "speed": 1.0,
    }
    assert session["tools"] == []
    assert session["max_output_tokens"] == "inf"


def test_an_update_keeps_what_is_absent_and_confirms_the_whole(client: Any) -> None:
    client.configure(instructions="Be brief.", audio={"output": {"voice": "cedar"}})
    session = client.configure(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}})
    assert session["instructions"] == "Be brief."
    assert session["audio"]["output"]["voice"] == "cedar"
    assert session["audio"]["input"]["turn_detection"]["threshold"] == 0.7
    assert session["audio"]["input"]["turn_detection"]["prefix_padding_ms"] == 300


def test_null_and_empty_clear(client: Any) -> None:
    client.configure(instructions="Be brief.", tools=[{"type": "function", "name": "f"}], max_output_tokens=7)
    session = client.configure(
        instructions="", tools=[], max_output_tokens=None, audio={"input": {"turn_detection": None}}
    )
    assert (session["instructions"], session["tools"], session["max_output_tokens"]) == ("", [], "inf")
    assert session["audio"]["input"]["turn_detection"] is None


def test_another_kind_of_turn_detection_brings_its_own_defaults(client: Any) -> None:
    session = client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}})
    assert session["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": True,
    }


def test_g711_carries_no_rate(client: Any) -> None:
    session = client.configure(audio={"input": {"format": {"type": "audio/pcmu"}}})
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"instructions": "no type"}, "missing_required_parameter", "session.type"),
        ({"type": "transcription"}, "invalid_parameter", "session.type"),
        ({"type": "bogus"}, "invalid_value", "session.type"),
        ({"type": "realtime", "modalities": ["text"]}, "unknown_parameter", "session.modalities"),
        ({"type": "realtime", "voice": "marin"}, "unknown_parameter", "session.voice"),
        ({"type": "realtime", "tools": [{"name": "a", "meta": 1}]}, "unknown_parameter", "session.tools[0].meta"),
        ({"type": "realtime", "tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        ({"type": "realtime", "tools": [{"name": "no spaces"}]}, "invalid_value", "session.tools[0].name"),
        (
            {"type": "realtime", "tools": [{"type": "mcp"}]},
            "missing_required_parameter",
            "session.tools[0].server_label",
        ),
        ({"type": "realtime", "output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
        ({"type": "realtime", "instructions": 3}, "invalid_type", "session.instructions"),
        ({"type": "realtime", "max_output_tokens": 0}, "integer_below_min_value", "session.max_output_tokens"),
        ({"type": "realtime", "max_output_tokens": "many"}, "invalid_value", "session.max_output_tokens"),
        ({"type": "realtime", "tool_choice": "perhaps"}, "invalid_value", "session.tool_choice"),
        (
            {"type": "realtime", "tool_choice": {"type": "function"}},
            "missing_required_parameter",
            "session.tool_choice.name",
        ),
        (
            {"type": "realtime", "audio": {"output": {"speed": 1.6}}},
            "decimal_above_max_value",
            "session.audio.output.speed",
        ),
        (
            {"type": "realtime", "audio": {"input": {"format": {"type": "audio/mp3"}}}},
            "invalid_value",
            "session.audio.input.format.type",
        ),
        (
            {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}},
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
            "integer_above_max_value",
            "session.audio.input.turn_detection.threshold",
        ),
        ({"type": "realtime", "model": "gpt-other"}, "cannot_update_model", "session.model"),
        ({"type": "realtime", "id": "sess_mine"}, "unknown_parameter", "session.id"),
        ({"type": "realtime", "include": ["everything"]}, "invalid_value", "session.include[0]"),
        ({"type": "realtime", "truncation": {"type": "retention_ratio"}}, "missing_required_parameter", None),
    ],
)
def test_a_bad_value_is_refused_in_the_apis_words(
    client: Any, session: dict[str, Any], code: str, param: str | None
) -> None:
    before = client.session.config
    error = client.refused("session.update", session=session)
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert param is None or error["param"] == param
    assert client.session.config == before


def test_naming_the_model_that_is_already_there_is_no_change(client: Any) -> None:
    assert client.configure(model="gpt-realtime")["model"] == "gpt-realtime"


def test_the_voice_is_fixed_once_it_has_been_heard(client: Any) -> None:
    client.say("hello")
    error = client.refused("session.update", session={"type": "realtime", "audio": {"output": {"voice": "ash"}}})
    assert error["code"] == "cannot_update_voice"
    assert client.configure(audio={"output": {"voice": "marin"}})["audio"]["output"]["voice"] == "marin"


def test_tracing_is_fixed_once_it_is_on(client: Any) -> None:
    assert client.configure(tracing="auto")["tracing"] == "auto"
    assert client.refused("session.update", session={"type": "realtime", "tracing": None})["param"] == "session.tracing"


def test_a_transcription_session_has_only_an_input(connect: Any) -> None:
    client = connect(kind="transcription")
    session = client.opening.one("session.created")["session"]
    assert session["object"] == "realtime.transcription_session"
    assert set(session["audio"]) == {"input"}
    error = client.refused("session.update", session={"type": "transcription", "instructions": "x"})
    assert error["param"] == "session.instructions"
    assert client.refused("response.create")["param"] == "type"
