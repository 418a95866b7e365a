"""Lines of a transcription: partial and final, in the order of the items."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events import server, transcription
from realtime_events.events.items import Item
from realtime_events.events.response import FailureDetails, InputTokenDetails
from realtime_events.events.transcription import LogProb, TranscriptionLanguage, TranscriptionUsage
from realtime_events.protocol.lines import Line, Lines

Delta = transcription.ConversationItemInputAudioTranscriptionDelta
Completed = transcription.ConversationItemInputAudioTranscriptionCompleted
Failed = transcription.ConversationItemInputAudioTranscriptionFailed
Segment = transcription.ConversationItemInputAudioTranscriptionSegment
Committed = server.InputAudioBufferCommitted
WORDS = {"a": "one", "b": "two", "c": "three"}


def fed(lines: Lines, *events: Any) -> list[Line]:
    return [line for event in events for line in lines.feed(event)]


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def test_a_partial_line_grows_until_its_final_line_settles_it() -> None:
    """B21: completed transcriptions settle the item."""
    lines = Lines()
    grown = fed(lines, Committed(item_id="a"), *[Delta(item_id="a", delta=piece) for piece in ("Good", " mor", "ning")])
    assert texts(grown) == ["Good", "Good mor", "Good morning"] and not any(line.is_final for line in grown)
    assert lines.finals() == [] and lines.awaited == 1
    [final] = fed(lines, Completed(item_id="a", transcript="Good morning!"))
    assert (final.text, final.is_final, final.error) == ("Good morning!", True, None)
    assert lines.finals() == [final] and lines.awaited == 0
    assert fed(lines, Delta(item_id="a", delta="late"), Completed(item_id="a", transcript="again")) == []


def test_a_model_that_sends_no_deltas_gives_final_lines_only() -> None:
    assert texts(fed(Lines(), Committed(item_id="a"), Completed(item_id="a", transcript="Hello."))) == ["Hello."]


def test_a_final_line_waits_for_those_of_earlier_items() -> None:
    """B21: the order is that of the items, never that of arrival."""
    lines = Lines()
    fed(
        lines,
        *[Committed(item_id=i, previous_item_id=p) for i, p in (("a", None), ("b", "a"), ("c", "b"))],
    )
    assert fed(lines, Completed(item_id="c", transcript="three"), Completed(item_id="b", transcript="two")) == []
    assert texts(lines.finals()) == ["two", "three"]
    assert texts(fed(lines, Completed(item_id="a", transcript="one"))) == ["one", "two", "three"]


def test_a_transcript_that_failed_is_a_final_line_with_its_error_and_holds_nothing_back() -> None:
    """B21: failed transcriptions settle the item."""
    lines, error = Lines(), FailureDetails(code="audio_unintelligible", message="no words")
    fed(lines, Committed(item_id="a", previous_item_id=None), Committed(item_id="b", previous_item_id="a"))
    fed(lines, Completed(item_id="b", transcript="two"), Delta(item_id="a", delta="on"))
    failed, after = fed(lines, Failed(item_id="a", error=error))
    assert (failed.text, failed.is_final, failed.error, after.text) == ("on", True, error, "two")
    assert failed.caption.note == "not transcribed: no words"


def test_every_segment_is_a_line_of_its_speaker() -> None:
    lines = Lines()
    fed(lines, server.InputAudioBufferSpeechStarted(item_id="a", audio_start_ms=1_000), Committed(item_id="a"))
    segments = [
        Segment(item_id="a", id="s1", speaker="A", text="How are you?", start=0, end=1.5),
        Segment(item_id="a", id="s2", speaker="B", text="Fine.", start=1.5, end=2),
    ]
    partial = fed(lines, *segments)
    finals = fed(lines, Completed(item_id="a", transcript="How are you? Fine."))
    shown = [(line.speaker, line.text, line.segment_id, line.start_ms, line.end_ms) for line in finals]
    assert shown == [("A", "How are you?", "s1", 1_000, 2_500), ("B", "Fine.", "s2", 2_500, 3_000)]
    assert [(line.speaker, line.is_final) for line in partial] == [("A", False), ("B", False)]
    assert all(line.is_final for line in finals)


def test_a_line_carries_languages_and_how_sure_the_model_is() -> None:
    heard = Completed(
        item_id="a",
        transcript="Grüezi.",
        languages=[TranscriptionLanguage(code="de"), TranscriptionLanguage(code="gsw")],
        logprobs=[LogProb(token="Grüezi", logprob=-0.5)],
    )
    [line] = fed(Lines(), heard)
    assert line.languages == ("de", "gsw") and [one.logprob for one in line.logprobs] == [-0.5]


def test_the_times_of_a_line_are_those_of_turn_detection() -> None:
    lines = Lines()
    fed(
        lines,
        server.InputAudioBufferSpeechStarted(item_id="a", audio_start_ms=300),
        server.InputAudioBufferSpeechStopped(item_id="a", audio_end_ms=900),
    )
    assert lines.speaking == "a"
    fed(lines, Committed(item_id="a"))
    [line] = fed(lines, Completed(item_id="a", transcript="x"))
    assert (line.start_ms, line.end_ms, lines.speaking) == (300, 900, None)


def test_the_times_of_a_line_committed_by_hand_are_those_of_what_was_sent() -> None:
    lines = Lines()
    for item_id, sent_ms in (("a", 1_500), ("b", 400)):
        lines.sent_ms += sent_ms
        lines.commit()
        fed(lines, Committed(item_id=item_id), Completed(item_id=item_id, transcript=item_id))
    assert [(line.start_ms, line.end_ms) for line in lines.finals()] == [(0, 1_500), (1_500, 1_900)]
    assert lines.uncommitted_ms == 0


def test_a_refused_commit_leaves_no_trace() -> None:
    lines = Lines()
    lines.sent_ms = 500
    lines.commit()
    lines.not_committed()
    lines.sent_ms = 900
    lines.commit()
    fed(lines, Committed(item_id="a"))
    [line] = fed(lines, Completed(item_id="a", transcript="x"))
    assert (line.start_ms, line.end_ms) == (0, 900)


def test_an_item_that_is_deleted_holds_nothing_back() -> None:
    lines = Lines()
    fed(lines, Committed(item_id="a", previous_item_id=None), Committed(item_id="b", previous_item_id="a"))
    fed(lines, Completed(item_id="b", transcript="two"))
    assert texts(fed(lines, server.ConversationItemDeleted(item_id="a"))) == ["two"]
    assert fed(lines, Completed(item_id="a", transcript="late")) == [] and texts(lines.finals()) == ["two"]


def test_what_is_cleared_is_awaited_no_more() -> None:
    lines = Lines()
    fed(
        lines,
        server.InputAudioBufferSpeechStarted(item_id="a", audio_start_ms=0),
        Delta(item_id="a", delta="nev"),
        server.InputAudioBufferCleared(),
    )
    assert (lines.awaited, lines.speaking, lines.cut()) == (0, None, [])


def test_what_was_not_transcribed_when_the_connection_ended_is_a_line_that_says_so() -> None:
    lines = Lines()
    fed(lines, Committed(item_id="a", previous_item_id=None), Committed(item_id="b", previous_item_id="a"))
    fed(lines, Delta(item_id="a", delta="half"), Completed(item_id="b", transcript="two"))
    cut, after = lines.cut()
    assert cut.is_final and cut.text == "half" and cut.error is not None and cut.error.code == "no_transcript"
    assert after.text == "two" and lines.cut() == []


def test_a_later_session_goes_on_where_the_audio_was() -> None:
    lines = Lines()
    lines.sent_ms = 5_000
    lines.cut()
    fed(
        lines,
        server.InputAudioBufferSpeechStarted(item_id="z", audio_start_ms=100),
        server.InputAudioBufferSpeechStopped(item_id="z", audio_end_ms=700),
        Committed(item_id="z", previous_item_id=None),
    )
    [line] = fed(lines, Completed(item_id="z", transcript="on"))
    assert (line.start_ms, line.end_ms) == (5_100, 5_700)


def test_usage_adds_up_in_tokens_or_in_seconds() -> None:
    """B25: transcription usage is apart, in tokens or seconds."""
    tokens = TranscriptionUsage(
        type="tokens",
        input_tokens=10,
        output_tokens=2,
        total_tokens=12,
        input_token_details=InputTokenDetails(audio_tokens=10),
    )
    lines = Lines()
    fed(lines, *[Completed(item_id=i, transcript="x", usage=tokens) for i in "ab"])
    assert (lines.usage.type, lines.usage.total_tokens, lines.usage.input_token_details.audio_tokens) == (
        "tokens",
        24,
        20,
    )
    lines = Lines()
    fed(
        lines,
        *[Completed(item_id=i, transcript="x", usage=TranscriptionUsage(type="duration", seconds=1.5)) for i in "abc"],
    )
    assert (lines.usage.type, lines.usage.seconds) == ("duration", 4.5)


def story() -> list[Any]:
    said: list[Any] = []
    for item_id, previous in (("a", None), ("b", "a"), ("c", "b")):
        item = Item(type="message", role="user", id=item_id)
        said += [
            server.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=0),
            server.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=1_000),
            Committed(item_id=item_id, previous_item_id=previous),
            server.ConversationItemAdded(item=item, previous_item_id=previous),
            Delta(item_id=item_id, delta=WORDS[item_id]),
            Completed(item_id=item_id, transcript=WORDS[item_id]),
        ]
    return said


@given(st.permutations(story()))
def test_any_order_of_arrival_gives_the_same_lines(events: list[Any]) -> None:
    """B21: nothing is lost, nothing comes twice, and the list is in the order of the items."""
    lines = Lines()
    told = [line.text for line in fed(lines, *events) if line.is_final] + texts(lines.cut())
    assert texts(lines.finals()) == list(WORDS.values())
    assert sorted(told) == sorted(WORDS.values())


@given(st.sets(st.integers(min_value=0, max_value=len(story()) - 1), max_size=3))
def test_lost_events_lose_no_committed_item(lost: set[int]) -> None:
    """B21: delete any event; no exception, and each item that was committed has its final line."""
    kept = [event for number, event in enumerate(story()) if number not in lost]
    lines = Lines()
    fed(lines, *kept)
    lines.cut()
    assert {event.item_id for event in kept if isinstance(event, Committed)} <= {
        line.item_id for line in lines.finals()
    }
