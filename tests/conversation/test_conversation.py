"""What the conversation knows of a session: words while they come, states, times, and what was heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events import SERVER_EVENTS, server, transcription
from realtime_events.events.base import Event
from realtime_events.events.builders import image, user
from realtime_events.events.items import ContentPart, Item, McpError, McpListedTool
from realtime_events.events.response import FailureDetails, Response
from realtime_events.protocol.conversation import HEARD, Conversation

Timed = tuple[Event, float]
Play = Callable[[Iterable[Timed]], Conversation]
PICTURE = "data:image/png;base64,aGVsbG8="


def known(conversation: Conversation) -> list[tuple[Any, ...]]:
    return [
        (item.id, item.type, item.role, item.text, item.arguments, item.status, item.audio_ms, item.heard)
        for item in conversation
    ]


def assistant_item(conversation: Conversation, words: str = "one two three four", ms: int = 1_000) -> None:
    conversation.pieces("a", 0, "r").append(words)
    conversation.audio_item("a", "r").audio_bytes += ms * conversation.bytes_per_ms


def ended(status: str, *items: Item) -> server.ResponseDone:
    return server.ResponseDone(response=Response(id="r", status=status, conversation_id="c", output=list(items)))


# A whole session.


def test_a_session_is_known_as_it_was(recording: list[Timed], play: Play) -> None:
    """B21: text, image, speech, a tool call and its output, an interruption, an insertion at the front."""
    conversation = play(recording)
    assert conversation.text.splitlines() == [
        "system: Be kind",
        "user: Good morning",
        "assistant: Good morning,",
        "user: what is the weather in Bern",
        "assistant: One moment, I will look.",
        "assistant: It is eighteen degrees and sunny in Bern.",
        "user: thank you",
    ]
    cut = conversation.items[2]
    assert (cut.status, cut.interrupted, cut.audio_end_ms, cut.audio_ms) == ("incomplete", True, 300, 900)
    assert cut.text == "Good morning, what can I do for you on "
    call, output = (item for item in conversation if item.call_id)
    assert (call.name, call.arguments, output.output) == ("get_weather", '{"city": "Bern"}', "18 °C and sunny")
    assert conversation.items[1].parts[1].image_url == PICTURE
    assert conversation.last is conversation.get("thanks")


def test_an_out_of_band_response_leaves_no_item(recording: list[Timed], play: Play) -> None:
    """B21: its items belong to no conversation, wherever their events come."""
    apart = {
        e.response.id for e, _ in recording if isinstance(e, server.ResponseDone) and not e.response.conversation_id
    }
    assert apart
    assert not [item for item in play(recording) if item.response_id in apart]
    assert not [item for item in play(recording[::-1]) if item.response_id in apart]


@given(data=st.data())
def test_any_arrival_order_of_a_session_gives_the_same_conversation(
    recording: list[Timed], play: Play, data: st.DataObject
) -> None:
    """B21: deltas, whole texts, states, truncation and deletion too; but for two items told to be the first."""
    events = [(e, now) for e, now in recording if getattr(getattr(e, "item", None), "id", "") != "kind"]
    shuffled = data.draw(st.permutations(events))
    assert known(play(shuffled)) == known(play(events))


@given(data=st.data())
def test_any_events_of_a_session_may_be_missing(recording: list[Timed], play: Play, data: st.DataObject) -> None:
    """B21: no exception, and the conversation can be kept and exported all the same."""
    kept = data.draw(st.lists(st.booleans(), min_size=len(recording), max_size=len(recording)))
    check_usable(play([timed for timed, is_kept in zip(recording, kept, strict=True) if is_kept]))


def test_any_one_event_of_a_session_may_be_missing(recording: list[Timed], play: Play) -> None:
    """B21: all of them, one after the other."""
    for n in range(len(recording)):
        check_usable(play(recording[:n] + recording[n + 1 :]))


def check_usable(conversation: Conversation) -> None:
    saved = conversation.to_json()
    assert Conversation.from_json(saved).to_json() == saved
    assert known(Conversation.from_json(saved)) == known(conversation)
    for name in ("srt", "vtt", "json", "md"):
        conversation.export(name)
    conversation.seed()


# Events of every kind and in every state.

IDS = st.sampled_from(["a", "b", "c", ""])
ODD = st.sampled_from(["", "x", "message", "function_call", "mcp_call", "assistant", "user", "completed", "incomplete"])
PARTS = st.builds(ContentPart, type=ODD, text=ODD, transcript=ODD, image_url=ODD)
ITEMS = st.builds(
    Item,
    id=IDS,
    type=ODD,
    role=ODD,
    status=ODD,
    content=st.none() | st.lists(PARTS, max_size=2),
    call_id=ODD,
    name=ODD,
    arguments=ODD,
    output=ODD,
)
RESPONSES = st.builds(
    Response,
    id=IDS,
    status=ODD,
    conversation_id=st.none() | st.just("conv"),
    output=st.none() | st.lists(ITEMS, max_size=2),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "item": ITEMS,
    "item_id": IDS,
    "previous_item_id": st.none() | IDS,
    "response_id": IDS,
    "response": RESPONSES,
    "part": PARTS,
    "content_index": st.sampled_from([0, 1, -1, 10**9]),
    "audio_end_ms": st.integers(-5, 2_000),
    "call_id": IDS,
    "delta": st.text(max_size=5),
}


def any_event(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: given for name, given in FIELDS.items() if name in kind.__struct_fields__})


@given(st.lists(st.one_of([any_event(kind) for kind in sorted(HEARD, key=lambda kind: kind.__name__)]), max_size=30))
def test_no_event_makes_it_raise(events: list[Any]) -> None:
    """B01: whatever an event names, and whenever it comes."""
    conversation = Conversation()
    for now, event in enumerate(events):
        conversation.apply(event, float(now))
        conversation.pieces("a", 0, "b").append("more ")
        conversation.audio_item("b", "a").audio_bytes += 48
    check_usable(conversation)


def test_every_event_that_names_an_item_is_heard_or_is_a_delta() -> None:
    """A new server event that concerns items is not forgotten here."""
    named = {kind for kind in SERVER_EVENTS if {"item", "item_id"} & set(kind.__struct_fields__)}
    deltas = {kind for kind in named if kind.__name__.endswith("Delta")} - HEARD.keys()
    others = {server.InputAudioBufferTimeoutTriggered, server.ResponseOutputAudioDone}
    assert named - deltas - others <= HEARD.keys()
    assert len(deltas) == 5


# Words.


@given(st.text(max_size=40), st.data())
def test_any_chunking_of_the_deltas_gives_the_same_text(text: str, data: st.DataObject) -> None:
    """B21: live, and the same once the whole text has come."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    conversation = Conversation()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        conversation.pieces("a", 0, "r").append(text[start:end])
    item = conversation.get("a")
    assert item is not None
    assert item.text == text
    conversation.apply(server.ResponseOutputTextDone(response_id="r", item_id="a", text=text), 1.0)
    assert item.text == text


def test_the_whole_text_wins_over_its_deltas_also_over_late_ones() -> None:
    """B21: a delta may be missing, or come after the end."""
    conversation = Conversation()
    pieces = conversation.pieces("a", 0, "r")
    pieces += ["Hel", "wor"]
    conversation.apply(server.ResponseOutputTextDone(response_id="r", item_id="a", text="Hello world"), 1.0)
    pieces.append("late")
    conversation.pieces("a", 0, "r").append("later")
    assert conversation.text == "assistant: Hello world"


def test_parts_are_apart() -> None:
    """B21: deltas are keyed by item and part."""
    conversation = Conversation()
    conversation.pieces("a", 1, "r").append("second")
    conversation.pieces("a", 0, "r").append("first")
    conversation.pieces("b", 0, "r").append("other")
    assert [item.text for item in conversation] == ["first\nsecond", "other"]


def test_arguments_are_live_and_then_whole() -> None:
    """B21: a call is known by its item before it is complete."""
    conversation = Conversation()
    conversation.arguments("f", "r", "call").extend(['{"a"', ": 1"])
    (item,) = conversation
    assert (item.type, item.call_id, item.arguments) == ("function_call", "call", '{"a": 1')
    whole = server.ResponseFunctionCallArgumentsDone(
        response_id="r", item_id="f", call_id="call", name="add", arguments='{"a": 1}'
    )
    conversation.apply(whole, 1.0)
    assert (item.name, item.arguments) == ("add", '{"a": 1}')


# The user's speech.


def spoken(conversation: Conversation) -> Any:
    conversation.apply(server.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=500), 10.0)
    assert len(conversation) == 0
    conversation.apply(server.InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=1_700), 11.5)
    conversation.apply(server.InputAudioBufferCommitted(item_id="u", previous_item_id=None), 11.6)
    return conversation.get("u")


def test_speech_is_an_item_when_it_is_committed_with_the_times_of_the_speech() -> None:
    """B21: it is pending until its words come."""
    item = spoken(Conversation())
    assert (item.role, item.audio_ms, item.started_s, item.ended_s) == ("user", 1_200, 10.0, 11.5)
    assert (item.parts[0].type, item.transcription.status, item.to_item()) == ("input_audio", "pending", None)


def test_the_words_of_speech_come_in_pieces_and_then_whole() -> None:
    """B21: a completed transcription settles the item."""
    conversation = Conversation()
    item = spoken(conversation)
    for delta in ("hel", "lo"):
        event = transcription.ConversationItemInputAudioTranscriptionDelta(item_id="u", content_index=0, delta=delta)
        conversation.apply(event, 12.0)
    assert (item.text, item.transcription.status) == ("hello", "pending")
    languages = [transcription.TranscriptionLanguage(code="en")]
    completed = transcription.ConversationItemInputAudioTranscriptionCompleted(
        item_id="u", transcript="Hello.", languages=languages
    )
    conversation.apply(completed, 12.0)
    assert (item.text, item.transcription.status, item.transcription.languages) == ("Hello.", "completed", ["en"])
    again = item.to_item()
    assert (again.role, again.content) == ("user", [ContentPart(type="input_text", text="Hello.")])


def test_words_that_come_before_the_commit_are_shown_at_once() -> None:
    """B21: live transcription does not wait for the end of the speech."""
    conversation = Conversation()
    conversation.apply(server.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=500), 10.0)
    delta = transcription.ConversationItemInputAudioTranscriptionDelta(item_id="u", delta="hel")
    conversation.apply(delta, 10.5)
    (item,) = conversation
    assert item.transcription is not None
    assert (item.role, item.text, item.status, item.transcription.status) == ("user", "hel", "in_progress", "pending")
    assert (item.parts[0].transcript, item.started_s) == ("hel", 10.0)


def test_a_failed_transcription_settles_the_item_too() -> None:
    """B21: the item is sound, only its words are unknown."""
    conversation = Conversation()
    item = spoken(conversation)
    why = FailureDetails(code="audio_unintelligible")
    conversation.apply(transcription.ConversationItemInputAudioTranscriptionFailed(item_id="u", error=why), 12.0)
    assert (item.status, item.transcription.status, item.transcription.error) == ("completed", "failed", why)


def test_speakers_are_told_apart_in_the_order_in_which_they_spoke() -> None:
    """B21: segments may come in any order, and twice."""
    conversation = Conversation()
    item = spoken(conversation)
    said = [(1.0, "B", "hello"), (0.0, "A", "hi"), (1.0, "B", "hello")]
    for start, speaker, text in said:
        event = transcription.ConversationItemInputAudioTranscriptionSegment(
            item_id="u", id=f"seg{start}", speaker=speaker, text=text, start=start, end=start + 1
        )
        conversation.apply(event, 12.0)
    assert [(s.speaker, s.text) for s in item.transcription.segments] == [("A", "hi"), ("B", "hello")]


def test_speech_that_is_never_committed_becomes_no_item() -> None:
    """B21: the buffer may be cleared."""
    conversation = Conversation()
    conversation.apply(server.InputAudioBufferSpeechStarted(item_id="u"), 1.0)
    conversation.apply(server.InputAudioBufferCleared(), 2.0)
    assert (len(conversation), conversation.items, conversation.last) == (0, (), None)


# How items end.


@pytest.mark.parametrize(
    ("outcome", "status", "interrupted"),
    [
        ("completed", "completed", False),
        ("cancelled", "incomplete", True),
        ("incomplete", "incomplete", False),
        ("failed", "incomplete", False),
    ],
)
def test_the_end_of_a_response_settles_its_items(outcome: str, status: str, interrupted: bool) -> None:
    """B20: an item whose own end is not told ends as its response does."""
    conversation = Conversation()
    assistant_item(conversation)
    conversation.apply(ended(outcome), 2.0)
    (item,) = conversation
    assert (item.status, item.interrupted, item.ended_s) == (status, interrupted, 2.0)


def test_an_item_that_was_whole_before_the_cancellation_stays_whole() -> None:
    """B20: several items of one response end each in its own way, whichever end is told first."""
    whole = server.ResponseOutputItemDone(
        response_id="r", item=Item(id="a", type="message", role="assistant", status="completed")
    )
    for events in ([whole, ended("cancelled")], [ended("cancelled"), whole]):
        conversation = Conversation()
        assistant_item(conversation)
        conversation.pieces("b", 0, "r").append("cut")
        for event in events:
            conversation.apply(event, 1.0)
        assert [(item.id, item.status, item.interrupted) for item in conversation] == [
            ("a", "completed", False),
            ("b", "incomplete", True),
        ]


def test_a_response_that_ends_tells_what_no_other_event_told() -> None:
    """B21: its output has the finished items."""
    said = Item(id="a", type="message", role="assistant", content=[ContentPart(type="output_text", text="Hi")])
    conversation = Conversation()
    conversation.apply(ended("completed", said), 1.0)
    assert (conversation.text, conversation.items[0].status) == ("assistant: Hi", "completed")


def test_a_hosted_mcp_server_is_an_item_with_its_tools_and_its_failures() -> None:
    """B21: listing and calling."""
    conversation = Conversation()
    conversation.apply(server.McpListToolsInProgress(item_id="list"), 1.0)
    tools = Item(id="list", type="mcp_list_tools", server_label="docs", tools=[McpListedTool(name="search")])
    conversation.apply(server.ConversationItemDone(item=tools, previous_item_id=None), 1.0)
    conversation.arguments("call", "r", "").append("{}")
    failed = Item(id="call", type="mcp_call", name="search", error=McpError(type="http_error", code=500))
    conversation.apply(server.ResponseMcpCallFailed(item_id="call"), 1.0)
    conversation.apply(server.ResponseOutputItemDone(response_id="r", item=failed), 1.0)
    listing, call = conversation
    assert (listing.server_label, listing.tools, listing.status) == ("docs", ["search"], "completed")
    assert (call.type, call.status, call.error) == ("mcp_call", "incomplete", McpError(type="http_error", code=500))
    assert listing.to_item() is call.to_item() is None


# What was heard.


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (0, ""),
        (-1, ""),
        (100, ""),
        (167, "one"),
        (400, "one two"),
        (999, "one two three"),
        (1_000, "one two three four"),
    ],
)
def test_only_words_that_had_ended_were_heard(ms: int, heard: str) -> None:
    """B22, B23: in proportion to the audio."""
    conversation = Conversation()
    assistant_item(conversation)
    assert conversation.heard("a", ms) == heard


@given(st.text(max_size=60), st.integers(0, 3_000), st.integers(-10, 3_500), st.integers(0, 500))
def test_what_was_heard_is_a_beginning_and_grows_with_the_time(text: str, audio_ms: int, ms: int, more: int) -> None:
    """B23: never another word, never fewer words later."""
    conversation = Conversation()
    assistant_item(conversation, text, audio_ms)
    earlier, later = conversation.heard("a", ms), conversation.heard("a", ms + more)
    assert text.startswith(later)
    assert later.startswith(earlier)
    assert ms > 0 or earlier == ""


def test_a_language_without_spaces_is_heard_character_by_character() -> None:
    """B23: a sentence is not one word."""
    conversation = Conversation()
    assistant_item(conversation, "今日は晴れです")
    assert conversation.heard("a", 500) == "今日は"


def test_a_truncation_keeps_the_whole_transcript_and_what_was_heard() -> None:
    """B22: what is told of an interruption stays true when the server confirms, and when more words come."""
    conversation = Conversation()
    assistant_item(conversation)
    assert conversation.truncate("a", 500, 1.0) == "one two"
    conversation.apply(server.ConversationItemTruncated(item_id="a", audio_end_ms=500), 1.1)
    words = "one two three four five six"
    conversation.apply(server.ResponseOutputAudioTranscriptDone(response_id="r", item_id="a", transcript=words), 1.2)
    (item,) = conversation
    assert (item.text, item.heard, item.audio_end_ms, item.interrupted) == (words, "one two", 500, True)
    conversation.apply(ended("cancelled"), 1.3)
    again = item.to_item()
    assert again is not None
    assert again.content == [ContentPart(type="output_text", text="one two")]


def test_a_truncation_by_somebody_else_is_noted_as_well() -> None:
    """B22: an event of the server is enough, whether it comes before the audio or after it."""
    truncated = server.ConversationItemTruncated(item_id="a", audio_end_ms=500)
    for is_first in (True, False):
        conversation = Conversation()
        if is_first:
            conversation.apply(truncated, 1.0)
        assistant_item(conversation)
        conversation.apply(truncated, 1.0)
        assert conversation.items[0].heard == "one two"


def test_an_item_of_which_nothing_was_heard_is_not_said_again() -> None:
    """B22: truncated at zero."""
    conversation = Conversation()
    assistant_item(conversation)
    assert conversation.truncate("a", 0, 1.0) == ""
    conversation.apply(ended("cancelled"), 1.0)
    assert conversation.items[0].to_item() is None
    assert conversation.truncate("unknown", 100, 1.0) == ""


def test_an_item_keeps_the_format_of_its_beginning() -> None:
    """B23: a change of the format is no change of what was received."""
    conversation = Conversation()
    conversation.audio_item("a", "r").audio_bytes += 4_800
    conversation.bytes_per_ms = 8
    conversation.audio_item("a", "r").audio_bytes += 4_800
    conversation.audio_item("b", "r").audio_bytes += 800
    assert [item.audio_ms for item in conversation] == [200, 100]


# What is not kept.


def test_no_audio_is_kept(recording: list[Timed], play: Play) -> None:
    """B24: not even what the server shows of an item."""
    conversation = play(recording)
    part = ContentPart(type="output_audio", audio=b"\x01\x02" * 500, transcript="words")
    shown = Item(id="a", type="message", role="assistant", status="completed", content=[part])
    conversation.apply(server.ConversationItemRetrieved(item=shown), 1.0)
    item = conversation.get("a")
    assert item is not None
    assert item.text == "words"
    assert len(conversation.to_json()) < 6_000


def test_the_oldest_images_make_room_for_new_ones() -> None:
    """B24: memory has a bound."""
    conversation = Conversation(retain_image_bytes=2 * len(PICTURE))
    for name in "abc":
        added = server.ConversationItemAdded(item=user([image(PICTURE)], id=name))
        conversation.apply(added, 1.0)
        conversation.apply(added, 1.0)
    assert [bool(item.to_item()) for item in conversation] == [False, True, True]
    conversation.apply(server.ConversationItemDeleted(item_id="c"), 1.0)
    conversation.apply(server.ConversationItemAdded(item=user([image(PICTURE)], id="d")), 1.0)
    assert [bool(item.to_item()) for item in conversation] == [False, True, True]


def test_what_is_only_needed_while_responses_run_does_not_grow() -> None:
    """B24: a thousand responses, in band and out of it."""
    conversation = Conversation()
    for n in range(1_000):
        where = None if n % 2 else "conv"
        response = Response(id=f"r{n}", status="completed", conversation_id=where)
        conversation.apply(server.ResponseCreated(response=response), 1.0)
        conversation.pieces(f"i{n}", 0, f"r{n}").append("x")
        conversation.apply(server.InputAudioBufferSpeechStarted(item_id=f"u{n}"), 1.0)
        conversation.apply(server.ResponseDone(response=response), 1.0)
    assert len(conversation) == 500
    store = conversation._store
    assert not store._running
    assert max(map(len, (store._outcomes, store._apart, store.coming))) <= 256


def test_a_deleted_item_takes_no_more_deltas() -> None:
    """B21: what comes late for it goes nowhere."""
    conversation = Conversation()
    assistant_item(conversation)
    conversation.apply(server.ConversationItemDeleted(item_id="a"), 1.0)
    assistant_item(conversation)
    conversation.arguments("a", "r", "c").append("{}")
    assert (conversation.items, conversation.get("a"), conversation.heard("a", 10)) == ((), None, "")
