"""Captions: how streamed words become them, and the documents they are written to."""

from __future__ import annotations

import msgspec
import pytest

from realtime_events import ConfigurationError
from realtime_events.protocol.captions import Caption, CaptionTrack, export_captions

SAID = [
    Caption(start_ms=500, end_ms=1_750, text="Is 1 < 2 & 3?", speaker="A"),
    Caption(start_ms=3_601_000, end_ms=3_601_000, text="Yes -->\n\nyes."),
    Caption(start_ms=3_602_000, end_ms=3_603_000, text="", note="not transcribed: noise"),
]


def test_srt_numbers_its_captions_and_no_text_breaks_them() -> None:
    assert export_captions(SAID, "srt") == (
        "1\n00:00:00,500 --> 00:00:01,750\nA: Is 1 ‹ 2 & 3?\n\n2\n01:00:01,000 --> 01:00:01,001\nYes --› yes.\n"
    )


def test_vtt_names_speakers_and_escapes_what_would_be_a_tag() -> None:
    assert export_captions(SAID, "vtt") == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.750\n<v A>Is 1 &lt; 2 &amp; 3?</v>\n"
        "\n01:00:01.000 --> 01:00:01.001\nYes --&gt; yes.\n"
    )


def test_json_keeps_everything() -> None:
    assert msgspec.json.decode(export_captions(SAID, "json"), type=list[Caption]) == SAID


def test_markdown_says_what_is_missing() -> None:
    assert export_captions(SAID, "md") == (
        "**00:00:00** A: Is 1 \\< 2 & 3?\n\n**01:00:01** Yes --\\> yes.\n\n**01:00:02** *(not transcribed: noise)*\n"
    )


@pytest.mark.parametrize("format", ["srt", "json", "md", "vtt"])
def test_nothing_said_is_an_empty_document(format: str) -> None:
    assert export_captions([], format).strip() == {"json": "[]", "vtt": "WEBVTT"}.get(format, "")  # type: ignore[arg-type]


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="srt, vtt, json or md, not as 'ass'"):
        export_captions(SAID, "ass")  # type: ignore[arg-type]


def track(*words: tuple[str, int]) -> list[tuple[str, int, int]]:
    track = CaptionTrack()
    for text, at_ms in words:
        track.add(text, at_ms)
    return [(one.text, one.start_ms, one.end_ms) for one in track.captions()]


def test_a_caption_ends_with_its_sentence_and_is_shown_until_the_next_or_as_long_as_it_takes_to_read() -> None:
    said = track(("It costs", 0), (" 3.", 200), ("5 francs.", 200), (" Good", 1_000), ("bye.", 1_200))
    assert said == [("It costs 3.5 francs.", 0, 1_000), ("Goodbye.", 1_000, 1_520)]


def test_a_pause_begins_a_new_caption() -> None:
    assert [text for text, _, _ in track(("one", 0), (" two", 1_900), (" three", 3_900))] == ["one two", "three"]


def test_a_caption_that_has_grown_long_ends_at_a_word() -> None:
    said = track(*[(" word", number) for number in range(60)])
    assert len(said) == 3 and all(len(text) <= 130 and not text.startswith("ord") for text, _, _ in said)


def test_white_space_alone_is_no_caption() -> None:
    assert track((" ", 0), ("\n", 10)) == []
