"""The codec: every frame gives an event, and every event gives its frame back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_events.events import (
    Event,
    InputAudioBufferAppend,
    MalformedEvent,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    SessionConfig,
    SessionUpdate,
    UnknownEvent,
    beta,
    translation,
)
from realtime_events.exceptions import LocalProtocolError
from realtime_events.protocol import DECODE_ERRORS, decode, decoder, encode, recover

if TYPE_CHECKING:
    from .conftest import Sample


def malformed(data: bytes | str) -> MalformedEvent:
    event = decode(data)
    assert isinstance(event, MalformedEvent)
    return event


# ── every sample ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sample_decodes_to_its_own_class(sample: Sample) -> None:
    event = decode(sample.frame, **sample.line)
    camel = "".join(word.capitalize() for word in sample.type.replace(".", "_").split("_"))
    assert type(event).__name__ == (camel if sample.type != "error" else "ErrorEvent")
    assert event.type == sample.type


def test_a_sample_encodes_back_to_the_same_json_value(sample: Sample) -> None:
    """B10: absent stays absent, null stays null; 1 stays 1 and does not become 1.0."""
    event = decode(sample.frame, **sample.line)
    assert exact(json.loads(encode(event, dialect=sample.dialect))) == exact(sample.value)


def exact(value: Any) -> Any:
    """Give a JSON value in a form that tells 1, 1.0 and true apart and no order of keys."""
    return json.dumps(value, sort_keys=True)


def test_a_transcription_session_speaks_with_the_events_of_a_realtime_one() -> None:
    assert decoder(kind="transcription") is decoder(kind="transcription")
    frame = b'{"type":"session.created","session":{"type":"transcription"}}'
    assert decode(frame, kind="transcription") == decode(frame)


def test_the_same_name_means_another_shape_in_a_translation_session() -> None:
    frame = b'{"type":"session.created","session":{"audio":{"output":{"language":"de"}}}}'
    event = decode(frame, kind="translation")
    assert isinstance(event, translation.SessionCreated)
    assert json.loads(encode(event)) == json.loads(frame)


# ── what is no event ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "truncated"),
        (b"not json", "malformed"),
        (b'{"type":"error"', "truncated"),
        (b'{"type":"input_audio_buffer.cleared"} {}', "trailing"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b'"error"', "Expected `object`"),
        (b"{}", "without `type`"),
        (b'{"type":null}', "without `type`"),
        (b'{"type":7}', "`type` is no string, but of type int"),
        (b'{"type":["error"]}', "`type` is no string"),
        (b'{"type":"error"}', "error: Object missing required field `error`"),
        (b'{"type":"error","error":"no"}', "$.error"),
        (b'{"type":"response.done"}', "missing required field `response`"),
        (b'{"type":"conversation.item.deleted"}', "missing required field `item_id`"),
        (b'{"type":"conversation.item.deleted","item_id":{}}', "$.item_id"),
        (b'{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"A"}', "base64"),
        (b'{"type":"error","error":{"message":"\xff"}}', "invalid start byte"),
        (b'{"type":"conversation.item.truncated","item_id":"i","audio_end_ms":' + b"9" * 5_000 + b"}", "out of range"),
        (b'{"type":"error","error":{"message":"\\ud800"}}', ""),
        ('{"type":"error","error":{"message":"\ud800"}}', "surrogates"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_frame_that_is_no_event_is_malformed_and_says_why(frame: bytes | str, reason: str) -> None:
    """B01."""
    event = malformed(frame)
    assert reason in event.reason
    assert event.raw == (frame if isinstance(frame, bytes) else frame.encode("utf-8", "surrogatepass"))
    assert event.type == "event.malformed"


@pytest.mark.parametrize(
    "frame",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"type":"response.created","response":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"type":"input_audio_buffer.cleared"}',
    ],
    ids=["arrays", "objects", "inside an event", "before the type"],
)
def test_deep_nesting_is_malformed(frame: bytes) -> None:
    """B01."""
    assert malformed(frame).raw == frame


def test_a_wide_frame_is_understood() -> None:
    frame = b'{"type":"rate_limits.updated","rate_limits":[' + b",".join([b"{}"] * 50_000) + b"]}"
    event: Any = decode(frame)
    assert len(event.rate_limits) == 50_000


@pytest.mark.parametrize("data", [b'{"x":[1],"type":"response.later","y":null}', '{"type":"response.later"}'])
def test_an_event_newer_than_this_package_is_unknown_and_keeps_its_frame(data: bytes | str) -> None:
    """B01."""
    raw = data if isinstance(data, bytes) else data.encode()
    assert decode(data) == UnknownEvent(type="response.later", raw=raw)


def test_a_name_of_the_other_dialect_is_unknown_to_a_connection() -> None:
    frame = b'{"type":"response.text.delta","response_id":"r","item_id":"i","delta":"a"}'
    assert isinstance(decode(frame), UnknownEvent)
    assert isinstance(decode(frame, dialect="beta"), beta.ResponseTextDelta)
    assert isinstance(decode(frame, dialect="beta", side="client"), UnknownEvent)


def test_a_reason_is_one_short_line_whatever_the_server_wrote() -> None:
    event = malformed(json.dumps({"type": ["\n\x1b[31m" * 1_000]}).encode())
    assert event.reason.isprintable()
    assert len(event.reason) < 400


@pytest.mark.parametrize("nested", ["item", "part", "tool", "format", "turn_detection"])
def test_a_nested_type_nobody_knows_does_not_fail_its_event(nested: str) -> None:
    """B01: enums are open, and a `type` may be missing."""
    frames: dict[str, dict[str, Any]] = {
        "item": {"type": "conversation.item.added", "item": {"type": "video", "id": "i"}},
        "part": {"type": "conversation.item.added", "item": {"content": [{"type": "smell"}, {}]}},
        "tool": {"type": "session.created", "session": {"tools": [{"type": "oven"}, {}]}},
        "format": {"type": "session.created", "session": {"audio": {"input": {"format": {"type": "audio/opus"}}}}},
        "turn_detection": {
            "type": "session.created",
            "session": {"audio": {"input": {"turn_detection": {"type": "x"}}}},
        },
    }
    event = decode(json.dumps(frames[nested]))
    assert json.loads(encode(event)) == frames[nested]


# ── totality ─────────────────────────────────────────────────────────────────────────────────────────────────────────

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONNECTIONS = st.fixed_dictionaries(
    {
        "dialect": st.sampled_from(["ga", "beta"]),
        "side": st.sampled_from(["server", "client"]),
        "kind": st.sampled_from(["realtime", "transcription", "translation"]),
    }
)


@given(st.binary() | st.text(st.characters(exclude_categories=())), CONNECTIONS)
@example(b"\x00", {})
@example("\udc80", {})
def test_any_bytes_and_any_text_give_an_event(data: bytes | str, connection: dict[str, Any]) -> None:
    """B01."""
    assert isinstance(decode(data, **connection), Event)


@given(JSON, CONNECTIONS)
def test_any_json_gives_an_event(value: Any, connection: dict[str, Any]) -> None:
    """B01."""
    assert isinstance(decode(json.dumps(value), **connection), Event)


@given(
    which=st.integers(0, 10_000),
    place=st.lists(st.integers(0, 20), min_size=1, max_size=8),
    instead=st.none() | st.tuples(JSON),
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
)
def test_a_sample_that_was_damaged_gives_an_event(
    every_sample: list[Sample], which: int, place: list[int], instead: tuple[Any] | None, at: float, byte: int
) -> None:
    """B01: a value swapped or dropped anywhere, a byte changed, the end cut off."""
    sample = every_sample[which % len(every_sample)]
    value = sample.value
    damage(value, place, instead)
    whole = json.dumps(value).encode()
    here = int(at * len(whole))
    for frame in (whole, whole[:here], whole[:here] + bytes([byte]) + whole[here + 1 :]):
        event = decode(frame, **sample.line)
        assert isinstance(event, Event)
        assert isinstance(encode(event), bytes)


def damage(value: Any, place: list[int], instead: tuple[Any] | None) -> None:
    """Walk to a place of a JSON value and put `instead` there, or nothing."""
    first, *rest = place
    key = list(value)[first % len(value)] if isinstance(value, dict) else first % len(value)
    if rest and isinstance(value[key], (dict, list)) and value[key]:
        damage(value[key], rest, instead)
    elif instead is None:
        del value[key]
    else:
        value[key] = instead[0]


# ── the fast way in, and the way out ─────────────────────────────────────────────────────────────────────────────────


def test_the_fast_way_in_is_the_same_as_decode(sample: Sample) -> None:
    assert decoder(**sample.line).decode(sample.frame) == decode(sample.frame, **sample.line)


def test_what_a_decoder_refuses_is_recovered_from_the_frame() -> None:
    frame = b'{"type":"response.later"}'
    with pytest.raises(DECODE_ERRORS) as caught:
        decoder().decode(frame)
    assert recover(frame, caught.value) == UnknownEvent(type="response.later", raw=frame)


def test_audio_travels_as_base64_and_arrives_as_bytes() -> None:
    pcm = bytes(range(256)) * 10
    sent = json.loads(encode(InputAudioBufferAppend(audio=pcm)))
    frame = json.dumps(
        {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": sent["audio"]}
    )
    event = decode(frame)
    assert isinstance(event, ResponseOutputAudioDelta)
    assert event.delta == pcm


def test_turn_detection_can_be_switched_off() -> None:
    """B10: null is sent."""
    frame = b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":null}}}}'
    assert encode(decode(frame, side="client")) == frame


def test_what_was_not_understood_is_passed_on_as_it_came() -> None:
    for frame in (b'{"type":"response.later", "x": 1}', b"\xff\xfe"):
        assert encode(decode(frame)) == frame
        assert encode(decode(frame), dialect="beta") == frame


def test_an_event_is_put_into_the_words_of_the_dialect() -> None:
    """B14."""
    event = ResponseOutputTextDelta(response_id="r", item_id="i", delta="a")
    assert json.loads(encode(event))["type"] == "response.output_text.delta"
    assert json.loads(encode(event, dialect="beta"))["type"] == "response.text.delta"
    update = SessionUpdate(session=SessionConfig(type="realtime", output_modalities=["audio"], max_output_tokens="inf"))
    assert json.loads(encode(update, dialect="beta")) == {
        "type": "session.update",
        "session": {"modalities": ["text", "audio"], "max_response_output_tokens": "inf"},
    }


def test_an_event_the_dialect_has_no_word_for_is_refused() -> None:
    done = decode(b'{"type":"conversation.item.done","item":{}}')
    with pytest.raises(LocalProtocolError, match=r"no word for conversation\.item\.done"):
        encode(done, dialect="beta")
