"""The session as a whole: bad input, its end, its speed, its two dialects."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_events.audio import PCM16
from realtime_events.simulator import Call, ClipRecogniser, EchoBrain, Organs, Say, SimulatedSession, ToneVoice

NAMES = [
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "conversation.item.create",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "session", "item", "response", "audio", "content", "input", "id", "role", "tools", "x"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_event"),
        (b"{", "invalid_event"),
        (b"\xff\xfe", "invalid_event"),
        (b"[]", "invalid_type"),
        (b"null", "invalid_type"),
        (b'{"event_id": "e"}', "invalid_event"),
        (b'{"type": 7}', "invalid_event"),
        (b'{"type": "no.such.event"}', "invalid_value"),
        (b'{"type": "input_audio_buffer.append"}', "missing_required_parameter"),
        (b'{"type": "input_audio_buffer.append", "audio": "!"}', "invalid_value"),
        (b'{"type": "input_audio_buffer.append", "audio": 1}', "invalid_type"),
        (b'{"type": "response.cancel", "extra": 1}', "unknown_parameter"),
        (b'{"type": "output_audio_buffer.clear"}', "invalid_event"),
        (b"[" * 100_000, "invalid_type"),
        (b'{"type": "session.update", "session": ' + b'{"tools":[' * 5_000, "invalid_event"),
    ],
)
def test_whatever_comes_is_answered_with_an_error(client: Any, data: bytes, code: str) -> None:
    (frame,) = client.raw(data)
    assert (frame["type"], frame["error"]["code"]) == ("error", code)
    assert client.say("still there?").one("response.done")["response"]["status"] == "completed"


def test_an_error_names_the_event_at_fault(client: Any) -> None:
    (frame,) = client.raw(b'{"type": "no.such.event", "event_id": "mine"}')
    assert frame["error"]["event_id"] == "mine"
    (frame,) = client.raw(b'{"type": "no.such.event", "event_id": 7}')
    assert frame["error"]["event_id"] is None


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_make_a_session_raise(data: bytes) -> None:
    session = SimulatedSession(Organs(brain=EchoBrain(), voice=ToneVoice(), recogniser=ClipRecogniser()))
    session.receive(data, 0.0)
    assert all(json.loads(frame)["type"] for frame in session.poll(0.0))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `connect` opens a new session each time
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.dictionaries(
                st.sampled_from(
                    [
                        "session",
                        "item",
                        "response",
                        "audio",
                        "item_id",
                        "audio_end_ms",
                        "content_index",
                        "previous_item_id",
                    ]
                ),
                JSON,
            ),
        ),
        max_size=8,
    )
)
def test_no_events_make_a_session_say_what_the_schema_forbids(connect: Any, events: Any) -> None:
    client = connect()
    for name, fields in events:
        client.send(name, **fields)
    client.wait(1.0)
    assert client.session.closing is None


def test_the_same_calls_give_the_same_frames(connect: Any, question: bytes) -> None:
    def run() -> Any:
        client = connect([Say("Sure."), Call("f", "{}")], pace=2.0)
        client.speak(question, paced=True)
        client.wait()
        return client.frames

    assert run() == run()


def test_a_session_expires_with_an_error_and_a_close(connect: Any) -> None:
    client = connect(lifetime_s=90.0)
    assert client.wait(89.9) == []
    (frame,) = client.wait(0.2)
    assert frame["error"]["code"] == "session_expired"
    assert frame["error"]["message"] == "Your session hit the maximum duration of 1.5 minutes."
    assert client.session.closing == (1001, "Your session hit the maximum duration of 1.5 minutes.")
    assert client.say("hello?") == []


def test_ten_minutes_of_talking_pass_in_a_moment(connect: Any, question: bytes) -> None:
    client = connect(pace=4.0)
    began = time.perf_counter()
    while client.now < 600.0:
        client.speak(question, paced=True)
    assert client.session.received.counts["input_audio_buffer.append"] > 5_000
    assert client.frames.all("response.done")[-1]["response"]["status"] in ("completed", "cancelled")
    assert time.perf_counter() - began < 60


def test_the_log_is_bounded_and_holds_no_audio(client: Any) -> None:
    for _ in range(1_100):
        client.speak(PCM16.silence(100))
    log = client.session.received
    assert len(log) == 1_000
    assert log.counts["input_audio_buffer.append"] == 1_100
    assert log[-1].audio == b""


def test_the_log_keeps_few_events_that_are_large(client: Any) -> None:
    for _ in range(12):
        client.configure(instructions="x" * 1024 * 1024)
    assert len(client.session.received) < 10
    assert client.session.received.counts["session.update"] == 12


def test_a_session_that_is_over_keeps_no_audio(client: Any, question: bytes) -> None:
    client.speak(question)
    client.session.end(client.now)
    assert client.session.is_over
    assert client.session.next_due() is None
    client.speak(question)
    assert all(not entry.audio for entry in client.session._stage.conversation)


def test_the_log_finds_an_event_or_says_what_there_was(client: Any) -> None:
    client.configure(instructions="Be brief.")
    assert client.session.received("session.update").session.instructions == "Be brief."
    assert client.session.sent("session.updated")
    with pytest.raises(AssertionError, match=r"expected received response\.create\(\); got:\n  SessionUpdate"):
        client.session.received("response.create")


def test_the_beta_dialect_has_its_own_words(connect: Any) -> None:
    client = connect([Say("Good morning.")], dialect="beta")
    assert client.opening.types == ["session.created", "conversation.created"]
    session = client.opening.one("session.created")["session"]
    assert session["modalities"] in (["audio", "text"], ["text", "audio"])
    assert (session["voice"], session["input_audio_format"]) == ("marin", "pcm16")
    (frame,) = client.send("session.update", session={"voice": "ash", "input_audio_format": "g711_ulaw"})
    assert (frame["session"]["voice"], frame["session"]["input_audio_format"]) == ("ash", "g711_ulaw")
    frames = client.say("hi")
    names = list(dict.fromkeys(frames.types))
    assert names == [
        "conversation.item.created",
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "response.content_part.added",
        "response.audio_transcript.delta",
        "response.audio.delta",
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    assert frames.one("response.output_item.done")["item"]["content"][0]["type"] == "audio"
    (refused,) = client.send("session.update", session={"output_modalities": ["text"]})
    assert refused["error"]["param"] == "session.output_modalities"
