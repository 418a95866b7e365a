"""The dialect: names in every spelling, events both ways, configurations that mean what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from realtime_events import events as ga
from realtime_events.events import (
    CLIENT_EVENTS,
    LOCAL_EVENTS,
    SERVER_EVENTS,
    UNSET,
    AudioConfig,
    AudioFormat,
    AudioInput,
    ContentPart,
    Event,
    Item,
    ResponseCreateParams,
    SessionConfig,
    Tool,
    TurnDetection,
    beta,
    translation,
)
from realtime_events.exceptions import ConfigurationError
from realtime_events.protocol import (
    canonical,
    check_config,
    decode,
    encode,
    matching,
    nearest,
    response_params,
    session_config,
    spellings,
    to_beta,
    to_ga,
)

if TYPE_CHECKING:
    from .conftest import Sample

SCHEMAS = Path(__file__).parent.parent / "fixtures" / "schemas"


@cache
def schema(dialect: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{dialect}.schema.json").read_text("utf-8"))


@cache
def validator(dialect: str, side: str, name: str) -> Draft202012Validator:
    published = schema(dialect)
    definition = published["x-events"][side][name]
    if definition == "ResponseCreateEvent" and dialect == "ga":
        definition = "ResponseCreateEventWithReferencesParam"  # the wire's own shape, which the other one lacks half of
    return Draft202012Validator({"$ref": f"#/$defs/{definition}", "$defs": published["$defs"]})


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

EVERY_NAME = sorted(
    {name for dialect in ("ga", "beta") for names in schema(dialect)["x-events"].values() for name in names}
)


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_name_of_either_dialect_has_a_canonical_one(name: str) -> None:
    """B05."""
    twins = {rename["beta"]: rename["ga"] for rename in reversed(schema("ga")["x-renames"]["events"])}
    assert canonical(name) == twins.get(name, name)


@pytest.mark.parametrize("name", EVERY_NAME)
def test_a_name_is_among_the_spellings_of_its_canonical_name(name: str) -> None:
    """B05."""
    ours = canonical(name)
    assert ours is not None
    assert name in spellings(ours)
    assert spellings(ours)[0] == ours
    assert {canonical(spelling) for spelling in spellings(ours)} == {ours}


def test_local_names_are_canonical() -> None:
    local = [str(cls.__struct_config__.tag) for cls in LOCAL_EVENTS]
    assert [canonical(name) for name in local] == local
    assert canonical("event.unknown") == "event.unknown"
    assert canonical("event.malformed") == "event.malformed"


@pytest.mark.parametrize("name", ["", "response", "response.text.dleta", "Response.Done", "app.mine", "*"])
def test_what_is_no_name_has_no_canonical_one(name: str) -> None:
    assert canonical(name) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("response.text.dleta", "response.text.delta"),
        ("respose.done", "response.done"),
        ("Response.Created", "response.created"),
        ("input_audio_buffer.speech_start", "input_audio_buffer.speech_started"),
        ("conversation.item.create ", "conversation.item.create"),
        ("tool.finished", "tool.failed"),
        ("response_output_audio_delta", "response.output_audio.delta"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_that_was_meant(written: str, meant: str) -> None:
    """B05."""
    assert nearest(written)[0] == meant


def test_a_name_that_is_like_no_other_has_no_nearest_one() -> None:
    assert nearest("zzzzzzzz") == []


def test_a_glob_is_matched_against_every_spelling() -> None:
    """B05: dots are characters like any other, and what matches is said in canonical names."""
    assert set(matching("response.*.delta")) == {
        "response.output_text.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
    }
    assert matching("response.text.*") == ("response.output_text.delta", "response.output_text.done")
    assert matching("conversation.item.cre?ted") == ("conversation.item.added",)
    assert matching("transcription_session.*ed") == ("session.created", "session.updated")
    assert matching("nothing.*") == ()


def test_a_star_matches_every_event_but_the_raw_frames() -> None:
    every = {str(cls.__struct_config__.tag) for cls in (*SERVER_EVENTS, *CLIENT_EVENTS, *LOCAL_EVENTS)}
    every |= {str(cls.__struct_config__.tag) for cls in (*translation.SERVER_EVENTS, *translation.CLIENT_EVENTS)}
    every |= {"event.unknown", "event.malformed"}
    assert set(matching("*")) == every - {"conversation.item.created", "frame.received"}


# ── beta to GA ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_beta_sample_becomes_an_event_that_fits_the_ga_schema(beta_sample: Sample) -> None:
    """B14."""
    event = to_ga(decode(json.dumps(speakable(beta_sample.value)), **beta_sample.line))
    assert type(event) in (*SERVER_EVENTS, *CLIENT_EVENTS)
    assert event.type == canonical(beta_sample.type)
    said = json.loads(encode(event))
    problem = next(validator("ga", beta_sample.side, event.type).iter_errors(said), None)
    assert problem is None, problem


def speakable(value: dict[str, Any]) -> dict[str, Any]:
    """Leave out what GA has no word for at all: items without what makes them items, system messages that speak."""
    needed = {
        "type": "message",
        "role": "user",
        "content": [],
        "name": "",
        "arguments": "",
        "call_id": "",
        "output": "",
    }
    for item in items_of(value):
        item.update({name: item.get(name) or default for name, default in needed.items()})
        if item["role"] == "system":
            item["content"] = [part for part in item["content"] if part.get("type") in ("input_text", "text")]
    return value


def items_of(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(value.get("item"), dict):
        yield value["item"]
    response = value.get("response") or {}
    yield from response.get("output") or response.get("input") or ()


def test_beta_values_arrive_at_their_ga_fields() -> None:
    flat = beta.Session(
        id="sess_1",
        modalities=["text", "audio"],
        voice="verse",
        speed=1.25,
        input_audio_format="g711_ulaw",
        output_audio_format="pcm16",
        input_audio_noise_reduction=None,
        input_audio_transcription=ga.InputTranscription(model="whisper-1"),
        turn_detection=None,
        temperature=0.8,
        max_response_output_tokens="inf",
        tool_choice="get_weather",
        client_secret=beta.ClientSecret(value="test-key"),
    )
    event: Any = to_ga(beta.SessionUpdated(event_id="event_1", session=flat))
    assert msgspec.to_builtins(event) == {
        "type": "session.updated",
        "event_id": "event_1",
        "session": {
            "type": "realtime",
            "id": "sess_1",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "noise_reduction": None,
                    "transcription": {"model": "whisper-1"},
                    "turn_detection": None,
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "verse", "speed": 1.25},
            },
            "max_output_tokens": "inf",
            "tool_choice": {"type": "function", "name": "get_weather"},
        },
    }


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("transcription_session.created", "server", ga.SessionCreated),
        ("transcription_session.updated", "server", ga.SessionUpdated),
        ("transcription_session.update", "client", ga.SessionUpdate),
    ],
)
def test_a_beta_transcription_session_is_a_session_of_that_type(name: str, side: Any, expected: type[Any]) -> None:
    frame = json.dumps({"type": name, "session": {"modalities": ["text"], "input_audio_format": "pcm16"}})
    event = to_ga(decode(frame, dialect="beta", side=side))
    assert isinstance(event, expected)
    assert msgspec.to_builtins(event.session) == {
        "type": "transcription",
        "audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}},
    }


def test_a_created_item_is_an_added_one_in_either_dialect() -> None:
    frame = b'{"type":"conversation.item.created","previous_item_id":null,"item":{"id":"i","type":"message"}}'
    added = ga.ConversationItemAdded(item=Item(id="i", type="message"), previous_item_id=None)
    assert to_ga(decode(frame)) == to_ga(decode(frame, dialect="beta")) == added


def test_what_the_assistant_said_is_output_and_what_anybody_else_said_is_input() -> None:
    def converted(role: str) -> list[Any]:
        item = Item(role=role, content=[ContentPart(type="text", text="a"), ContentPart(type="audio", transcript="b")])
        event: Any = to_ga(ga.ConversationItemCreated(item=item))
        return [part.type for part in event.item.content]

    assert converted("assistant") == ["output_text", "output_audio"]
    assert converted("user") == ["input_text", "input_audio"]
    assert converted("system") == ["input_text", "input_audio"]


def test_a_reference_inside_a_message_becomes_an_item_of_the_input() -> None:
    reference = ContentPart(type="item_reference", id="item_1")
    alone = Item(type="message", role="user", content=[reference])
    beside = Item(type="message", role="user", content=[ContentPart(type="input_text", text="and?"), reference])
    event: Any = to_ga(beta.ResponseCreate(response=beta.ResponseCreateParams(input=[alone, beside])))
    assert event.response.input == [
        Item(type="item_reference", id="item_1"),
        Item(type="item_reference", id="item_1"),
        Item(type="message", role="user", content=[ContentPart(type="input_text", text="and?")]),
    ]


def test_parts_of_a_response_keep_their_names() -> None:
    event = ga.ResponseContentPartAdded(response_id="r", item_id="i", part=ContentPart(type="audio"))
    assert to_ga(event) is event
    assert to_beta(event) is event


def test_turn_detection_without_a_type_is_what_beta_takes_it_for() -> None:
    def converted(turn_detection: TurnDetection) -> Any:
        event: Any = to_ga(beta.SessionUpdate(session=beta.Session(turn_detection=turn_detection)))
        return event.session.audio.input.turn_detection.type

    assert converted(TurnDetection(threshold=0.5)) == "server_vad"
    assert converted(TurnDetection(eagerness="low")) == "semantic_vad"


# ── GA to beta ───────────────────────────────────────────────────────────────────────────────────────────────────────

# The GA fields that beta has no field for. Of a field that both have, `sayable` takes away the values beta cannot say.
UNSAYABLE = {
    "session.prompt",
    "session.reasoning",
    "session.truncation",
    "session.parallel_tool_calls",
    "session.audio.input.noise_reduction.strength",
    "session.audio.input.transcription.delay",
    "session.audio.input.transcription.keywords",
    "session.audio.input.transcription.languages",
    "session.audio.input.turn_detection.idle_timeout_ms",
    "response.prompt",
    "response.reasoning",
    "response.parallel_tool_calls",
    "response.usage.input_token_details.image_tokens",
    "response.usage.input_token_details.cached_tokens_details",
    "name",
}


def sayable(event: Event) -> dict[str, Any]:
    """Give an event without MCP tools, custom voices, formats without a type and an `audio` that is null."""
    value: dict[str, Any] = msgspec.to_builtins(event)
    settings = value.get("session") or value.get("response") or {}
    if settings.get("tools"):
        settings["tools"] = [tool for tool in settings["tools"] if tool.get("type") != "mcp"]
    if isinstance(settings.get("tool_choice"), dict) and settings["tool_choice"]["type"] == "mcp":
        del settings["tool_choice"]
    if settings.get("audio", UNSET) is None:
        del settings["audio"]
    for half in (settings.get("audio") or {}).values():
        if isinstance((half or {}).get("voice"), dict):
            del half["voice"]
        if (half or {}).get("format") and not half["format"].get("type"):
            half["format"] = None
    return value


def test_a_ga_sample_goes_to_beta_and_back_with_all_that_beta_can_say(ga_sample: Sample) -> None:
    """B14."""
    event = to_ga(decode(ga_sample.frame, **ga_sample.line))
    there = to_beta(event)
    if ga_sample.type == "conversation.item.done":
        assert there is None
        return
    assert there is not None
    back = to_ga(there)
    assert set(differences(sayable(event), sayable(back))) <= UNSAYABLE
    assert to_beta(back) == there


def differences(meant: dict[str, Any], said: dict[str, Any], path: str = "") -> Iterator[str]:
    for name in meant.keys() | said.keys():
        left, right = meant.get(name, UNSET), said.get(name, UNSET)
        if isinstance(left, dict) and isinstance(right, dict):
            yield from differences(left, right, f"{path}{name}.")
        elif left != right:
            yield path + name


def test_a_function_tool_survives_where_an_mcp_tool_cannot_be_said() -> None:
    function, mcp = Tool(type="function", name="f"), Tool(type="mcp", server_label="docs")
    event: Any = to_beta(ga.SessionUpdate(session=SessionConfig(tools=[function, mcp])))
    assert event.session.tools == [function]


def test_an_event_without_a_twin_of_another_shape_is_given_back_as_it_is() -> None:
    for event in (
        decode(b'{"type":"session.closed"}', kind="translation"),
        ga.InputAudioBufferCommit(),
        ga.ErrorEvent(error=ga.ErrorDetails(message="no")),
        beta.ResponseTextDelta(response_id="r", item_id="i"),
        ga.UnknownEvent(type="response.later", raw=b"{}"),
    ):
        assert to_beta(event) is event
    for event in (ga.ResponseOutputTextDelta(response_id="r", item_id="i"), ga.ResponseDone(response=ga.Response())):
        assert to_ga(event) is event


@given(st.data())
def test_no_event_makes_the_conversion_raise(every_sample: list[Sample], data: st.DataObject) -> None:
    """B01: whatever decodes, converts; here with any of its optional fields gone."""
    sample = data.draw(st.sampled_from([sample for sample in every_sample if sample.kind == "realtime"]))
    value = sample.value
    for inner in (value.get("session"), value.get("response"), value.get("item")):
        for name in list(inner or ()):
            if data.draw(st.booleans()):
                inner[name] = None
    event = decode(json.dumps(value), **sample.line)
    there = to_beta(to_ga(event))
    assert there is None or encode(there)


# ── configurations ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"modalities": ["text"]}, "output_modalities"),
        ({"voice": "verse"}, "audio.output.voice"),
        ({"speed": 1.0}, "audio.output.speed"),
        ({"input_audio_format": "pcm16"}, "audio.input.format"),
        ({"output_audio_format": "pcm16"}, "audio.output.format"),
        ({"input_audio_transcription": None}, "audio.input.transcription"),
        ({"input_audio_noise_reduction": None}, "audio.input.noise_reduction"),
        ({"turn_detection": None}, "audio.input.turn_detection"),
        ({"max_response_output_tokens": 100}, "max_output_tokens"),
        ({"temperature": 0.8}, "only the beta dialect"),
        ({"client_secret": {}}, "over REST"),
        ({"audio": {"input": {"input_audio_format": "pcm16"}}}, "audio.input.format"),
        ({"audio": {"output": {"modalities": []}}}, "output_modalities"),
        ({"audio": {"input": {"format": "pcm16"}}}, '{"type": "audio/pcm", "rate": 24000}'),
        ({"audio": {"output": {"format": {"type": "g711_ulaw"}}}}, '{"type": "audio/pcmu"}'),
    ],
    ids=str,
)
def test_a_beta_name_in_a_ga_config_is_refused_with_the_ga_field(config: dict[str, Any], said: str) -> None:
    """B14."""
    for check in (check_config, session_config):
        with pytest.raises(ConfigurationError) as caught:
            check(config)
        assert said in str(caught.value)


def test_a_flat_session_and_a_beta_format_in_a_struct_are_refused_too() -> None:
    """B14."""
    with pytest.raises(ConfigurationError, match=r"audio\.output\.voice"):
        check_config(beta.Session(voice="verse"))
    pcm16 = SessionConfig(audio=AudioConfig(input=AudioInput(format=AudioFormat(type="pcm16"))))
    with pytest.raises(ConfigurationError, match="audio/pcm"):
        check_config(pcm16)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"instruction": "x"}, "'instruction' in the configuration; did you mean 'instructions'?"),
        ({"audio": {"output": {"voise": "x"}}}, "'audio.output.voise' in the configuration; did you mean 'voice'?"),
        ({"audio": {"format": {}}}, "there are input, output"),
        ({"tools": [{}, {"function": {}}]}, "'tools[1].function'"),
        ({"instructions": 3}, "$.instructions"),
        ({"audio": {"input": {"turn_detection": "server_vad"}}}, "$.audio.input.turn_detection"),
        ({3: 4}, "unknown field '3'"),
    ],
    ids=str,
)
def test_a_field_or_value_that_is_none_is_refused_with_its_place(config: dict[str, Any], said: str) -> None:
    """B14."""
    with pytest.raises(ConfigurationError) as caught:
        session_config(config)
    assert said in str(caught.value)


def test_a_config_as_a_mapping_is_read_into_the_struct() -> None:
    config = {
        "instructions": "Be brief.",
        "audio": {"input": {"turn_detection": None, "format": {"type": "audio/pcm", "rate": 24000}}},
        "tools": [Tool(type="function", name="f"), {"type": "function", "parameters": {"modalities": {"voice": 1}}}],
        "prompt": {"id": "p", "variables": {"voice": "free to choose", "speed": {"type": "input_text", "text": "x"}}},
    }
    read = session_config(config)
    assert read.audio == AudioConfig(
        input=AudioInput(turn_detection=None, format=AudioFormat(type="audio/pcm", rate=24000))
    )
    assert read.tools == [
        Tool(type="function", name="f"),
        Tool(type="function", parameters={"modalities": {"voice": 1}}),
    ]
    assert session_config(read) is read


def test_the_parameters_of_a_response_are_read_as_strictly() -> None:
    """B14."""
    assert response_params({"conversation": "none", "output_modalities": ["text"]}) == ResponseCreateParams(
        conversation="none", output_modalities=["text"]
    )
    with pytest.raises(ConfigurationError, match="use output_modalities"):
        response_params({"modalities": ["text"]})
    with pytest.raises(ConfigurationError, match=r"there are conversation, .*tool_choice"):
        response_params({"zzzz": None})


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}}, "idle_timeout_ms"),
        ({"audio": {"output": {"voice": {"id": "voice_1"}}}}, "audio.output.voice"),
        ({"tools": [{"type": "mcp", "server_label": "docs"}]}, "tools"),
        ({"truncation": "auto"}, "truncation"),
    ],
    ids=str,
)
def test_a_ga_field_that_beta_has_no_word_for_is_refused_before_sending(config: dict[str, Any], field: str) -> None:
    """B14."""
    check_config(config)
    with pytest.raises(ConfigurationError, match="the beta dialect has no word for") as caught:
        check_config(config, dialect="beta")
    assert field in str(caught.value)


def test_a_config_that_beta_can_say_passes_for_beta() -> None:
    """B14."""
    check_config(
        {
            "type": "realtime",
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "max_output_tokens": 100,
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None},
                "output": {"voice": "verse", "format": {"type": "audio/pcma"}},
            },
            "tools": [{"type": "function", "name": "f"}],
            "tool_choice": {"type": "function", "name": "f"},
        },
        dialect="beta",
    )
