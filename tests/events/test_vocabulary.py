"""The vocabulary: what its classes are called, what they demand and what they show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime_events import events
from realtime_events.events import UNSET, Event, beta, translation

SCHEMAS = Path(__file__).parent.parent / "fixtures" / "schemas"
NAMES: dict[str, dict[str, dict[str, str]]] = {
    dialect: json.loads((SCHEMAS / f"{dialect}.schema.json").read_text("utf-8"))["x-events"]
    for dialect in ("ga", "beta")
}
TABLES: dict[str, tuple[tuple[type[Event], ...], set[str]]] = {
    "ga server": (events.SERVER_EVENTS, set(NAMES["ga"]["server"])),
    "ga client": (events.CLIENT_EVENTS, set(NAMES["ga"]["client"])),
    "translation server": (translation.SERVER_EVENTS, set(NAMES["ga"]["translation_server"])),
    "translation client": (translation.CLIENT_EVENTS, set(NAMES["ga"]["translation_client"])),
    "beta server": (beta.SERVER_EVENTS, set(NAMES["beta"]["server"])),
    "beta client": (beta.CLIENT_EVENTS, set(NAMES["beta"]["client"])),
}
CLASSES = sorted(
    {cls for classes, _ in TABLES.values() for cls in classes}, key=lambda cls: (cls.__module__, cls.__name__)
)
IDS_STATE_NEEDS = {"item_id", "response_id", "call_id", "response", "item", "error", "session"}


def tag(cls: type[Event]) -> str:
    return str(cls.__struct_config__.tag)


@pytest.mark.parametrize("table", TABLES)
def test_every_name_of_the_api_has_exactly_one_class(table: str) -> None:
    classes, names = TABLES[table]
    assert sorted(map(tag, classes)) == sorted(names)


def test_the_vocabulary_has_the_size_of_the_api() -> None:
    assert {table: len(classes) for table, (classes, _) in TABLES.items()} == {
        "ga server": 46,
        "ga client": 11,
        "translation server": 7,
        "translation client": 3,
        "beta server": 35,
        "beta client": 12,
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_a_class_is_called_like_its_event_and_explains_itself(cls: type[Event]) -> None:
    camel = "".join(word.capitalize() for word in tag(cls).replace(".", "_").split("_"))
    assert cls.__name__ == (camel if tag(cls) != "error" else "ErrorEvent")
    assert cls.__doc__ and cls.__doc__.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize(
    "cls",
    [cls for cls in CLASSES if issubclass(cls, events.ServerEvent)],
    ids=lambda cls: f"{cls.__module__}.{tag(cls)}",
)
def test_a_server_event_demands_only_the_ids_that_state_needs(cls: type[Event]) -> None:
    """B01: whatever else a server leaves out, the event is understood."""
    required = {field.name for field in msgspec.structs.fields(cls) if field.required}
    assert required <= IDS_STATE_NEEDS


@pytest.mark.parametrize(
    ("event", "is_delta"),
    [
        (events.ResponseOutputAudioDelta(response_id="r", item_id="i", delta=b"\0\0"), True),
        (beta.ResponseTextDelta(response_id="r", item_id="i", delta="a"), True),
        (translation.SessionOutputAudioDelta(delta=b"\0\0"), True),
        (events.ConversationItemInputAudioTranscriptionDelta(item_id="i", delta="a"), True),
        (events.ResponseOutputTextDone(response_id="r", item_id="i", text="a"), False),
        (events.InputAudioBufferSpeechStarted(item_id="i"), False),
    ],
    ids=lambda value: getattr(value, "type", None),
)
def test_only_pieces_of_something_may_be_dropped_by_a_full_lane(event: Event, is_delta: bool) -> None:
    """B04."""
    assert isinstance(event, events.DeltaEvent) is is_delta


@pytest.mark.parametrize("name", [*NAMES["ga"]["server"], *NAMES["ga"]["client"]])
def test_an_event_is_found_by_its_ga_name(name: str) -> None:
    cls = events.event_class(name)
    assert cls is not None
    assert tag(cls) == name


def test_local_and_translation_events_are_found_by_name() -> None:
    assert events.event_class("turn.done") is events.TurnDone
    assert events.event_class("session.closed") is translation.SessionClosed
    assert events.event_class("event.unknown") is events.UnknownEvent
    assert events.event_class("event.malformed") is events.MalformedEvent
    assert events.event_class("response.text.dleta") is None


def test_absent_null_and_zero_are_three_different_things() -> None:
    """B10."""
    absent, null, zero = (
        msgspec.to_builtins(events.TurnDetection(type="server_vad", **fields))
        for fields in ({}, {"idle_timeout_ms": None}, {"idle_timeout_ms": 0})
    )
    assert absent == {"type": "server_vad"}
    assert null == {"type": "server_vad", "idle_timeout_ms": None}
    assert zero == {"type": "server_vad", "idle_timeout_ms": 0}
    assert events.TurnDetection().idle_timeout_ms is UNSET


def test_an_event_cannot_be_changed_by_a_handler() -> None:
    event: Any = events.ResponseOutputTextDelta(response_id="r", item_id="i", delta="a")
    with pytest.raises(AttributeError):
        event.delta = "b"


def test_a_repr_shows_neither_keys_nor_audio_nor_what_is_absent() -> None:
    """B48, B52."""
    tool = events.Tool(type="mcp", server_label="docs", authorization="canary-key", headers={"x": "canary-key"})
    session = beta.Session(client_secret=beta.ClientSecret(value="canary-key"))
    append = events.InputAudioBufferAppend(audio=b"canary" * 800)
    shown = repr([events.SessionUpdate(session=events.SessionConfig(tools=[tool])), session, append])
    assert "canary" not in shown
    assert "UNSET" not in shown
    assert "server_label='docs'" in shown
    assert "audio=<pcm 4800 B>" in shown


@pytest.mark.parametrize("name", ["beta"])
def test_the_less_used_vocabularies_are_loaded_when_asked_for(name: str) -> None:
    program = (
        "import sys\n"
        "from realtime_events import events, protocol\n"
        f"module = 'realtime_events.events.{name}'\n"
        "protocol.decode(b'{}')\n"
        "assert module not in sys.modules\n"
        f"assert events.{name}.__name__ == module\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_a_name_that_is_not_in_the_vocabulary_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ResponseTextDleta'"):
        events.ResponseTextDleta  # noqa: B018 - reading it is the test
