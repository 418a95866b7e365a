"""A conversation is kept as JSON text, and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events import server
from realtime_events.events.base import Event
from realtime_events.events.builders import user
from realtime_events.exceptions import ConfigurationError
from realtime_events.protocol.conversation import Conversation

Play = Callable[[Iterable[tuple[Event, float]]], Conversation]


@pytest.fixture
def saved(recording: Any, play: Play) -> dict[str, Any]:
    return json.loads(play(recording).to_json())


def test_a_conversation_comes_back_as_it_was(recording: Any, play: Play) -> None:
    """B21: order, words, times, truncation, calls, images."""
    conversation = play(recording)
    again = Conversation.from_json(conversation.to_json().encode())
    assert again.to_json() == conversation.to_json()
    assert [again.export(name) for name in ("srt", "json", "md")] == [
        conversation.export(name) for name in ("srt", "json", "md")
    ]
    assert again.seed() == conversation.seed()


def test_a_conversation_that_came_back_goes_on(recording: Any, play: Play) -> None:
    """B21: what a session says of its items is still understood."""
    again = Conversation.from_json(play(recording).to_json())
    again.apply(server.ConversationItemAdded(item=user("more", id="more"), previous_item_id="thanks"), 99.0)
    again.apply(server.ConversationItemDeleted(item_id="hello"), 99.0)
    assert [item.id for item in again][-2:] == ["thanks", "more"]
    assert "hello" not in again


def test_an_empty_conversation_can_be_kept_too() -> None:
    """Nothing is a conversation as well, and true where one asks whether there is one."""
    again = Conversation.from_json(Conversation().to_json())
    assert (again.items, again.text, bool(again)) == ((), "", True)


def test_fields_of_a_newer_version_are_passed_over(saved: dict[str, Any]) -> None:
    """What was saved by a newer package is still of use."""
    saved["mood"] = "good"
    saved["items"][0]["colour"] = "blue"
    assert len(Conversation.from_json(json.dumps(saved))) == len(saved["items"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "something"}, "'something'"),
        ({"version": 2}, "version 2; known is 1"),
        ({"items": 5}, r"\$\.items"),
        ({"items": [{"type": "message"}]}, "`id`"),
        ({"items": [{"id": "a", "status": "odd"}]}, "odd"),
        ({"items": [{"id": "a"}, {"id": "a"}]}, "two items have the id 'a'"),
        ({"items": [{"id": ""}]}, "an item has no id"),
    ],
)
def test_what_is_wrong_with_a_saved_conversation_is_said(saved: dict[str, Any], change: Any, said: str) -> None:
    """Bad input is an error that says what is wrong."""
    with pytest.raises(ConfigurationError, match=said):
        Conversation.from_json(json.dumps(saved | change))


@given(st.binary() | st.text(max_size=20) | st.just("[" * 100_000) | st.just('"\\ud800"'))
def test_what_is_no_saved_conversation_is_refused(data: bytes | str) -> None:
    """Whatever it is."""
    with pytest.raises(ConfigurationError, match="no saved conversation"):
        Conversation.from_json(data)
