"""The conversation's items: order, places, and what cannot be."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from realtime_events.simulator import Call


def user(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def ids(client: Any) -> list[str]:
    return [item.id for item in client.session.items]


def test_an_item_is_added_and_at_once_done(client: Any) -> None:
    frames = client.send("conversation.item.create", item=user("hi"))
    assert frames.types == ["conversation.item.added", "conversation.item.done"]
    item = frames[0]["item"]
    assert (item["object"], item["status"], frames[0]["previous_item_id"]) == ("realtime.item", "completed", None)
    assert frames[1]["item"] == item


def test_items_go_where_they_are_put(client: Any) -> None:
    for name in ("a", "b"):
        client.send("conversation.item.create", item=user(name, id=name))
    between = client.send("conversation.item.create", item=user("c", id="c"), previous_item_id="a")
    front = client.send("conversation.item.create", item=user("d", id="d"), previous_item_id="root")
    assert ids(client) == ["d", "a", "c", "b"]
    assert between[0]["previous_item_id"] == "a"
    assert front[0]["previous_item_id"] is None


def test_a_deleted_item_is_gone(client: Any) -> None:
    client.send("conversation.item.create", item=user("a", id="a"))
    assert client.send("conversation.item.delete", item_id="a").one("conversation.item.deleted")["item_id"] == "a"
    assert ids(client) == []
    assert client.refused("conversation.item.delete", item_id="a")["code"] == "item_delete_invalid_item_id"


def test_every_kind_of_item_can_be_added(connect: Any) -> None:
    client = connect([Call("f", "{}")])
    client.say("go")
    call_id = client.frames.one("response.function_call_arguments.done")["call_id"]
    for item in (
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "s"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}],
        },
        {"type": "function_call_output", "call_id": call_id, "output": "done"},
        {"type": "function_call", "call_id": "call_x", "name": "f", "arguments": "{}"},
    ):
        added = client.send("conversation.item.create", item=item).one("conversation.item.added")["item"]
        assert {key: added[key] for key in item} == item


def test_audio_stays_out_of_events_until_it_is_asked_for(client: Any) -> None:
    audio = base64.b64encode(bytes(9_600)).decode()
    content = [{"type": "input_audio", "audio": audio}]
    (added, _) = client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    retrieved = client.send("conversation.item.retrieve", item_id=added["item"]["id"]).one(
        "conversation.item.retrieved"
    )
    assert retrieved["item"]["content"][0]["audio"] == audio


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({"role": "user"}, "missing_required_parameter", "item.type"),
        ({"type": "poem"}, "invalid_value", "item.type"),
        ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
        ({"type": "message", "role": "narrator", "content": []}, "invalid_value", "item.role"),
        (
            {"type": "message", "role": "system", "content": [{"type": "input_audio", "audio": ""}]},
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": ""}]},
            "unsupported_content_type",
            "item.content[0]",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text"}]},
            "missing_required_parameter",
            "item.content[0].text",
        ),
        ({"type": "function_call_output", "call_id": "call_1", "output": "x"}, "invalid_tool_call_id", "item.call_id"),
        ({"type": "function_call_output", "call_id": "a/b", "output": "x"}, "invalid_value", "item.call_id"),
        ({"type": "message", "role": "user", "content": [], "id": "x" * 33}, "string_above_max_length", "item.id"),
        ({"type": "message", "role": "user", "content": [], "mood": "glad"}, "unknown_parameter", "item.mood"),
    ],
)
def test_a_bad_item_is_refused(client: Any, item: dict[str, Any], code: str, param: str) -> None:
    error = client.refused("conversation.item.create", item=item)
    assert (error["code"], error["param"]) == (code, param)
    assert ids(client) == []


def test_an_unknown_place_and_a_taken_id_are_refused(client: Any) -> None:
    client.send("conversation.item.create", item=user("a", id="a"))
    missing = client.refused("conversation.item.create", item=user("b"), previous_item_id="nobody")
    taken = client.refused("conversation.item.create", item=user("b", id="a"))
    assert missing["code"] == "item_create_invalid_previous_item_id"
    assert taken["code"] == "item_create_duplicate_item_id"


def test_a_truncated_item_loses_its_transcript_and_the_end_of_its_audio(client: Any) -> None:
    done = client.say("hello").one("response.output_item.done")["item"]
    frames = client.send("conversation.item.truncate", item_id=done["id"], content_index=0, audio_end_ms=250)
    assert frames.one("conversation.item.truncated")["audio_end_ms"] == 250
    kept = client.send("conversation.item.retrieve", item_id=done["id"]).one("conversation.item.retrieved")["item"]
    assert kept["content"][0]["transcript"] == ""
    assert len(base64.b64decode(kept["content"][0]["audio"])) == 250 * 48


def test_an_item_is_not_truncated_beyond_its_audio(client: Any) -> None:
    frames = client.say("hello")
    item_id = frames.one("response.output_item.done")["item"]["id"]
    spoken = sum(len(base64.b64decode(frame["delta"])) for frame in frames.all("response.output_audio.delta")) // 48
    error = client.refused("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=spoken + 1)
    assert error["message"] == f"Audio content of {spoken}ms is already shorter than {spoken + 1}ms"
    assert client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=spoken).types == [
        "conversation.item.truncated"
    ]


def test_only_spoken_items_are_truncated(client: Any) -> None:
    client.send("conversation.item.create", item=user("a", id="a"))
    error = client.refused("conversation.item.truncate", item_id="a", content_index=0, audio_end_ms=0)
    assert error["code"] == "unsupported_content_type"
    gone = client.refused("conversation.item.truncate", item_id="b", content_index=0, audio_end_ms=0)
    assert gone["code"] == "item_truncate_invalid_item_id"


def test_an_item_truncated_while_it_is_spoken_is_cut_at_its_end(connect: Any) -> None:
    client = connect(pace=1.0)
    client.send("response.create")
    client.wait(0.55)
    item_id = client.frames.one("response.output_item.added")["item"]["id"]
    client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
    client.send("response.cancel")
    kept = client.send("conversation.item.retrieve", item_id=item_id).one("conversation.item.retrieved")["item"]
    assert len(base64.b64decode(kept["content"][0]["audio"])) == 300 * 48
