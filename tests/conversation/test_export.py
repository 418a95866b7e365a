"""Captions, JSON and Markdown: when each thing was said, and only what was heard."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events import server, transcription
from realtime_events.events.base import Event
from realtime_events.events.builders import system, user
from realtime_events.exceptions import ConfigurationError
from realtime_events.protocol.conversation import Conversation

Play = Callable[[Iterable[tuple[Event, float]]], Conversation]
CUE = re.compile(r"(\d\d):(\d\d):(\d\d)[.,](\d{3}) --> (\d\d):(\d\d):(\d\d)[.,](\d{3})")


def says(conversation: Conversation, words: str, at_s: float, ms: int, item_id: str = "a") -> None:
    conversation.pieces(item_id, 0, "r").append(words)
    item = conversation.audio_item(item_id, "r")
    item.audio_bytes += ms * conversation.bytes_per_ms
    item.started_s = at_s


def hears(conversation: Conversation, words: str, start_s: float, stop_s: float, item_id: str = "u") -> None:
    conversation.apply(server.InputAudioBufferSpeechStarted(item_id=item_id), start_s)
    conversation.apply(server.InputAudioBufferSpeechStopped(item_id=item_id), stop_s)
    conversation.apply(server.InputAudioBufferCommitted(item_id=item_id), stop_s)
    completed = transcription.ConversationItemInputAudioTranscriptionCompleted(item_id=item_id, transcript=words)
    conversation.apply(completed, stop_s)


def spans(captions: str) -> list[tuple[int, int]]:
    def ms(hours: str, minutes: str, seconds: str, rest: str) -> int:
        return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000 + int(rest)

    return [(ms(*cue[:4]), ms(*cue[4:])) for cue in CUE.findall(captions)]


def barge_in() -> Conversation:
    conversation = Conversation()
    hears(conversation, "what is the time?", 100.0, 101.5)
    says(conversation, "it is a quarter past nine", 102.0, 2_500)
    conversation.truncate("a", 1_000, 103.0)
    hears(conversation, "thank you", 103.0, 103.8, "u2")
    return conversation


def test_captions_have_times_from_the_first_event_and_only_the_words_heard() -> None:
    """B22: in SubRip."""
    assert barge_in().export("srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\nUser: what is the time?\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\nAssistant: it is a —\n\n"
        "3\n00:00:03,000 --> 00:00:03,800\nUser: thank you\n"
    )


def test_web_captions_say_who_speaks() -> None:
    """B22: in WebVTT, with voice tags."""
    assert barge_in().export("vtt") == (
        "WEBVTT\n"
        "\n00:00:00.000 --> 00:00:01.500\n<v User>what is the time?</v>\n"
        "\n00:00:02.000 --> 00:00:03.000\n<v Assistant>it is a —</v>\n"
        "\n00:00:03.000 --> 00:00:03.800\n<v User>thank you</v>\n"
    )


def test_markdown_is_for_people() -> None:
    """B22: with the interruption."""
    assert barge_in().export("md") == (
        "**User** (00:00:00): what is the time?\n\n"
        "**Assistant** (00:00:02): it is a — *(interrupted)*\n\n"
        "**User** (00:00:03): thank you\n"
    )


def test_json_has_what_was_heard_and_what_was_said() -> None:
    """B22: the whole transcript stays."""
    cut = json.loads(barge_in().export("json"))[1]
    assert cut == {
        "id": "a",
        "type": "message",
        "start_ms": 2_000,
        "end_ms": 3_000,
        "role": "assistant",
        "speaker": "Assistant",
        "text": "it is a",
        "interrupted": True,
        "audio_end_ms": 1_000,
        "whole_text": "it is a quarter past nine",
    }


def test_tool_calls_are_in_what_is_read_and_not_in_captions(recording: Any, play: Play) -> None:
    """Captions are what was said."""
    conversation = play(recording)
    assert "get_weather" not in conversation.export("srt") + conversation.export("vtt")
    assert "*Tool call* (00:00:04): get\\_weather" in conversation.export("md")
    entries = {entry["type"]: entry for entry in json.loads(conversation.export("json"))}
    assert entries["function_call"]["arguments"] == '{"city": "Bern"}'
    assert entries["function_call_output"]["output"] == "18 °C and sunny"


def test_what_was_not_heard_and_what_is_empty_is_left_out() -> None:
    """B22: an item truncated at zero, a speech without words, and what nobody says."""
    conversation = Conversation()
    hears(conversation, "", 1.0, 2.0)
    says(conversation, "never heard", 3.0, 500)
    conversation.truncate("a", 0, 3.0)
    assert [conversation.export(name) for name in ("srt", "vtt", "md", "json")] == ["", "WEBVTT\n", "", "[]"]
    conversation.apply(server.ConversationItemAdded(item=system("Be kind", id="s")), 4.0)
    assert conversation.export("srt") == ""
    assert "Be kind" in conversation.export("md")


def test_speakers_have_captions_of_their_own() -> None:
    """A transcription that tells speakers apart tells their times too."""
    conversation = Conversation()
    hears(conversation, "hi hello", 10.0, 12.0)
    for speaker, text, start in (("B", "hello", 1.2), ("A", "hi", 0.1)):
        event = transcription.ConversationItemInputAudioTranscriptionSegment(
            item_id="u", id=speaker, speaker=speaker, text=text, start=start, end=start + 0.5
        )
        conversation.apply(event, 12.0)
    assert conversation.export("vtt") == (
        "WEBVTT\n\n00:00:00.100 --> 00:00:00.600\n<v A>hi</v>\n\n00:00:01.200 --> 00:00:01.700\n<v B>hello</v>\n"
    )


def test_a_written_message_is_shown_long_enough_to_be_read() -> None:
    """It takes no time to be there."""
    conversation = Conversation()
    conversation.apply(server.ConversationItemAdded(item=user("hello", id="a")), 5.0)
    assert spans(conversation.export("srt")) == [(0, 1_000)]
    assert json.loads(conversation.export("json"))[0]["end_ms"] == 0


WORDS = st.text(max_size=12) | st.sampled_from(
    ["<b>bold</b>", "a --> b", "one\n\n2\n00:00:01,000 --> 00:00:02,000\nforged", "{\\an8}", "&lt;", "*x* [y](z)"]
)
SAID = st.tuples(st.sampled_from(["says", "hears"]), WORDS, st.integers(0, 5), st.integers(0, 3_000))


@given(st.lists(SAID, max_size=6))
def test_captions_never_overlap_and_no_words_break_them(said: list[tuple[str, str, int, int]]) -> None:
    """Whatever was said, and whoever spoke at the same time."""
    conversation = Conversation()
    for n, (who, words, at_s, ms) in enumerate(said):
        if who == "says":
            says(conversation, words, at_s, ms, str(n))
        else:
            hears(conversation, words, at_s, at_s + ms / 1_000, str(n))
    shown = sum(bool(words.strip()) for _, words, _, _ in said)
    for name in ("srt", "vtt"):
        captions = conversation.export(name)
        found = spans(captions)
        assert len(found) == shown == captions.count("-->")
        assert all(start < end for start, end in found)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(found))
        assert len(re.findall(r"\n\n(?!$)", captions)) == (max(0, shown - 1) if name == "srt" else shown)
    words = re.findall(r"^<v \w+>(.*)</v>$", conversation.export("vtt"), re.MULTILINE)
    assert sorted(map(html.unescape, words)) == sorted(" ".join(w.split()) for _, w, _, _ in said if w.strip())
    assert len(json.loads(conversation.export("json"))) == shown


def test_what_was_said_is_no_markup() -> None:
    """Nobody's words are a heading, a link or a tag."""
    conversation = Conversation()
    hears(conversation, "<i>a</i> *b* [c](d) # e & {\\an8}", 1.0, 2.0)
    assert "\\<i\\>a\\</i\\> \\*b\\* \\[c\\](d) \\# e \\& \\{\\\\an8\\}" in conversation.export("md")
    assert "‹i›a‹/i› *b* [c](d) # e & { \\an8}" in conversation.export("srt")
    assert "&lt;i&gt;a&lt;/i&gt; *b* [c](d) # e &amp; {\\an8}" in conversation.export("vtt")


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    """A misspelt format is found at once."""
    with pytest.raises(ConfigurationError, match="'pdf'; there are srt, vtt, json, md"):
        Conversation().export("pdf")  # type: ignore[arg-type]
