"""Responses: the order of their events, their end, and their number."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from realtime_events.audio import PCM16
from realtime_events.simulator import Call, Fail, Say, ToneVoice

TEXT = {"output_modalities": ["text"]}
OPENING = ["response.created", "rate_limits.updated", "response.output_item.added", "conversation.item.added"]
CLOSING = ["response.content_part.done", "response.output_item.done", "conversation.item.done", "response.done"]


def without_deltas(names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".delta")]


def test_a_written_answer_comes_in_the_documented_order(connect: Any) -> None:
    client = connect([Say("Good morning to you.")])
    frames = client.say("hi", **TEXT)
    part = ["response.content_part.added", "response.output_text.done"]
    assert without_deltas(frames.types[2:]) == [*OPENING, *part, *CLOSING]
    assert "".join(frame["delta"] for frame in frames.all("response.output_text.delta")) == "Good morning to you."
    done = frames.one("response.done")["response"]
    assert (done["status"], done["status_details"]) == ("completed", None)
    assert done["output"] == [frames.one("response.output_item.done")["item"]]
    assert done["output"][0]["content"] == [{"type": "output_text", "text": "Good morning to you."}]
    assert frames.one("response.content_part.done")["part"] == {"type": "text", "text": "Good morning to you."}


def test_a_spoken_answer_brings_audio_and_its_transcript(connect: Any) -> None:
    client = connect([Say("Good morning to you.")])
    frames = client.say("hi")
    middle = ["response.content_part.added", "response.output_audio.done", "response.output_audio_transcript.done"]
    assert without_deltas(frames.types[2:]) == [*OPENING, *middle, *CLOSING]
    audio = b"".join(base64.b64decode(frame["delta"]) for frame in frames.all("response.output_audio.delta"))
    assert audio == b"".join(ToneVoice().speak("Good morning to you."))
    words = "".join(frame["delta"] for frame in frames.all("response.output_audio_transcript.delta"))
    assert words == "Good morning to you."
    assert frames.one("response.output_item.done")["item"]["content"] == [{"type": "output_audio", "transcript": words}]


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
def test_g711_is_spoken_at_a_sixth_of_the_bytes(connect: Any, law: str) -> None:
    client = connect([Say("Good morning to you.")])
    client.configure(audio={"output": {"format": {"type": law}}})
    frames = client.say("hi")
    audio = b"".join(base64.b64decode(frame["delta"]) for frame in frames.all("response.output_audio.delta"))
    assert len(audio) == len(b"".join(ToneVoice().speak("Good morning to you."))) // 6
    assert frames.one("response.done")["response"]["audio"]["output"]["format"] == {"type": law}


def test_audio_comes_at_the_set_pace(connect: Any) -> None:
    client = connect([Say("Good morning to you.")], pace=2.0)
    client.say("hi")
    length_s = PCM16.duration_ms(len(b"".join(ToneVoice().speak("Good morning to you.")))) / 1000
    assert client.now == pytest.approx(length_s / 2)


def test_a_tool_call_comes_with_its_arguments(connect: Any) -> None:
    client = connect([Call("get_weather", '{"city": "Bern", "unit": "celsius"}')])
    frames = client.say("weather?")
    assert without_deltas(frames.types[2:]) == [
        *OPENING,
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    pieces = [frame["delta"] for frame in frames.all("response.function_call_arguments.delta")]
    done = frames.one("response.function_call_arguments.done")
    assert "".join(pieces) == done["arguments"] == '{"city": "Bern", "unit": "celsius"}'
    assert len(pieces) > 1
    item = frames.one("response.output_item.done")["item"]
    assert (item["name"], item["call_id"], item["status"]) == ("get_weather", done["call_id"], "completed")
    assert done["name"] == "get_weather"


def test_one_response_can_hold_several_messages_and_calls(connect: Any) -> None:
    client = connect([Say("One moment."), Call("a", "{}"), Call("b", "{}")])
    frames = client.say("go")
    assert [frame["output_index"] for frame in frames.all("response.output_item.added")] == [0, 1, 2]
    kinds = [item["type"] for item in frames.one("response.done")["response"]["output"]]
    assert kinds == ["message", "function_call", "function_call"]
    calls = {frame["call_id"] for frame in frames.all("response.function_call_arguments.done")}
    assert len(calls) == 2


def test_only_one_response_at_a_time_in_the_conversation(connect: Any) -> None:
    client = connect(pace=1.0)
    running = client.send("response.create").one("response.created")["response"]["id"]
    error = client.refused("response.create")
    assert error["code"] == "conversation_already_has_active_response"
    assert running in error["message"]
    assert client.wait().one("response.done")["response"]["id"] == running


def test_out_of_band_responses_run_beside_it_and_leave_no_item(connect: Any) -> None:
    client = connect(pace=1.0)
    client.send("response.create")
    side = [
        client.send("response.create", response={"conversation": "none", "metadata": {"n": str(n)}, **TEXT})
        for n in range(3)
    ]
    frames = client.wait()
    ended = [frame["response"] for frame in frames.all("response.done")]
    assert len(ended) == 4
    assert [one.one("response.created")["response"]["metadata"] for one in side] == [{"n": "0"}, {"n": "1"}, {"n": "2"}]
    assert {response["conversation_id"] for response in ended if response["metadata"]} == {None}
    assert len(client.session.items) == 1


def test_the_input_of_a_response_replaces_the_conversation(connect: Any) -> None:
    client = connect()
    client.say("first")
    first = client.session.items[0].id
    inline = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "second"}]}
    client.send(
        "response.create",
        response={"conversation": "none", "input": [{"type": "item_reference", "id": first}, inline], **TEXT},
    )
    asked = client.brain.asked[-1]
    assert [item.content[0].text for item in asked.conversation] == ["first", "second"]
    client.send("response.create", response={"conversation": "none", "input": [], **TEXT})
    assert client.brain.asked[-1].conversation == []
    gone = [{"type": "item_reference", "id": "item_nobody"}]
    error = client.refused("response.create", response={"conversation": "none", "input": gone})
    assert error["param"] == "response.input[0].id"


def test_a_cancelled_response_closes_what_is_open_and_says_who(connect: Any) -> None:
    client = connect(pace=1.0)
    client.send("response.create")
    client.wait(0.35)
    frames = client.send("response.cancel")
    assert frames.types == ["response.output_audio.done", "response.output_audio_transcript.done", *CLOSING]
    done = frames.one("response.done")["response"]
    assert (done["status"], done["status_details"]) == (
        "cancelled",
        {"type": "cancelled", "reason": "client_cancelled"},
    )
    assert done["output"][0]["status"] == "incomplete"
    assert client.wait() == []


def test_an_out_of_band_response_is_cancelled_by_its_id(connect: Any) -> None:
    client = connect(pace=1.0)
    client.send("response.create")
    side = client.send("response.create", response={"conversation": "none"}).one("response.created")["response"]["id"]
    assert client.send("response.cancel", response_id=side).one("response.done")["response"]["id"] == side
    assert client.wait().one("response.done")["response"]["status"] == "completed"


def test_there_must_be_something_to_cancel(client: Any) -> None:
    assert client.refused("response.cancel")["code"] == "response_cancel_not_active"
    assert client.refused("response.cancel", response_id="resp_x")["code"] == "response_cancel_not_active"


def test_a_response_over_its_limit_of_tokens_is_incomplete(client: Any) -> None:
    frames = client.say("hi", max_output_tokens=3)
    done = frames.one("response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert done["output"][0]["status"] == "incomplete"
    assert done["max_output_tokens"] == 3


def test_a_failed_response_says_why(connect: Any) -> None:
    client = connect([Fail("rate_limit_error", "rate_limit_exceeded", "Too fast.")])
    done = client.say("hi").one("response.done")["response"]
    assert done["status_details"] == {
        "type": "failed",
        "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Too fast."},
    }


def test_a_brain_that_breaks_fails_the_response_and_nothing_else(connect: Any) -> None:
    client = connect()
    client.brain.plan = lambda request: 1 / 0
    done = client.say("hi").one("response.done")["response"]
    assert done["status_details"]["error"]["type"] == "server_error"
    del client.brain.plan
    assert client.say("again").one("response.done")["response"]["status"] == "completed"


def test_usage_adds_up_and_cached_tokens_are_part_of_the_input(client: Any) -> None:
    client.configure(instructions="Be kind. " * 100)
    usages = [client.say("hello there")[-1]["response"]["usage"] for _ in range(3)]
    for usage in usages:
        details, written = usage["input_token_details"], usage["output_token_details"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["input_tokens"] == details["text_tokens"] + details["audio_tokens"] + details["image_tokens"]
        assert usage["output_tokens"] == written["text_tokens"] + written["audio_tokens"] > 0
        assert details["cached_tokens"] == sum(details["cached_tokens_details"].values()) <= usage["input_tokens"]
    assert usages[0]["input_token_details"]["cached_tokens"] == 0
    assert 0 < usages[1]["input_token_details"]["cached_tokens"] < usages[2]["input_tokens"]


def test_a_response_may_have_its_own_settings(connect: Any) -> None:
    client = connect()
    client.configure(instructions="A", tools=[{"type": "function", "name": "a"}])
    client.say("x", instructions="B", tools=[{"type": "function", "name": "b"}], tool_choice="required", **TEXT)
    asked = client.brain.asked[-1]
    assert (asked.instructions, asked.tools[0].name, asked.tool_choice) == ("B", "b", "required")
    client.say("x")
    assert (client.brain.asked[-1].instructions, client.brain.asked[-1].tools[0].name) == ("A", "a")


@pytest.mark.parametrize(
    ("response", "param"),
    [
        ({"conversation": "both"}, "response.conversation"),
        ({"metadata": {str(n): "" for n in range(17)}}, "response.metadata"),
        ({"metadata": {"k": "v" * 513}}, "response.metadata.k"),
        ({"tool_choice": {"type": "function", "name": "nobody"}}, "response.tool_choice"),
        ({"output_modalities": []}, "response.output_modalities"),
        ({"voice": "marin"}, "response.voice"),
        ({"input": [{"type": "poem"}]}, "response.input[0].type"),
    ],
)
def test_a_bad_response_is_refused(client: Any, response: dict[str, Any], param: str) -> None:
    assert client.refused("response.create", response=response)["param"] == param
