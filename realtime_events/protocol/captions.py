"""Captions: words with their times, and the files they are written to.

Owns `Caption`, the grouping of streamed words into captions, and the formats srt, vtt, json and md. Pure. Before it:
transcripts of any kind, and `conversation/export.py`, whose srt and vtt are written here; after it: text to be written
to a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Literal, TypeAlias

import msgspec

from ..events.base import Struct
from ..exceptions import ConfigurationError

CaptionFormat: TypeAlias = Literal["srt", "vtt", "json", "md"]

PAUSE_MS = 2_000
LONGEST_CHARACTERS = 120
READING_MS = 65  # for each character: about fifteen in a second, the usual speed of subtitles
SHORTEST_MS = 1  # a caption that takes no time is not seen
_SENTENCE_END = re.compile(r"""[.!?…。！？]["'»”’)]*\s*$""")
_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# SubRip knows tags, but no escapes: what would begin one becomes characters that look alike.
_SRT_ESCAPES = str.maketrans({"<": "‹", ">": "›"})
_MD_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>#|~"})


class Caption(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words that are shown from `start_ms` to `end_ms`. `note` says why words are missing."""

    start_ms: int
    end_ms: int
    text: str
    speaker: str = ""
    note: str = ""


def export_captions(captions: Iterable[Caption], format: CaptionFormat) -> str:
    """Give captions as a SubRip (`srt`), WebVTT (`vtt`), JSON (`json`) or Markdown (`md`) document.

    Raises:
        ConfigurationError: The format is none of these.
    """
    write = {"srt": _srt, "vtt": _vtt, "json": _json, "md": _md}.get(format)
    if write is None:
        raise ConfigurationError(f"captions are written as srt, vtt, json or md, not as {format!r}")
    return write(list(captions))


class CaptionTrack:
    """Streamed words as captions: a new one begins after a sentence, a pause, or when the last has grown long."""

    def __init__(self) -> None:
        self._captions: list[tuple[int, int, str]] = []

    def add(self, words: str, at_ms: int) -> None:
        """Take the next words, with the time at which they came."""
        if self._captions and self._goes_on(words, at_ms):
            start_ms, _, text = self._captions[-1]
            self._captions[-1] = (start_ms, at_ms, text + words)
        elif words.strip():
            self._captions.append((at_ms, at_ms, words))

    def captions(self) -> list[Caption]:
        """Give the captions so far, each shown for as long as it takes to read, but never over the next one."""
        nexts = [start_ms for start_ms, _, _ in self._captions[1:]]
        return [
            Caption(start_ms=start_ms, end_ms=_end(start_ms, last_ms, text.strip(), next_ms), text=text.strip())
            for (start_ms, last_ms, text), next_ms in zip_longest(self._captions, nexts)
        ]

    def _goes_on(self, words: str, at_ms: int) -> bool:
        _, last_ms, text = self._captions[-1]
        if at_ms - last_ms >= PAUSE_MS:
            return False
        # Inside of "3.5" there is neither a space nor a step in time.
        is_apart = words[:1].isspace() or text[-1:].isspace() or at_ms > last_ms
        return not (is_apart and (_SENTENCE_END.search(text) or len(text) > LONGEST_CHARACTERS))


def _end(start_ms: int, last_ms: int, text: str, next_ms: int | None) -> int:
    end_ms = max(last_ms, start_ms + READING_MS * len(text))
    return end_ms if next_ms is None else max(min(end_ms, next_ms), start_ms)


def _srt(captions: Sequence[Caption]) -> str:
    return "\n".join(
        f"{number}\n{_times(one, ',')}\n{_srt_text(_by(one) + one.text)}\n"
        for number, one in enumerate([caption for caption in captions if caption.text], 1)
    )


def _srt_text(text: str) -> str:
    return flat(text).translate(_SRT_ESCAPES).replace("{\\", "{ \\")


def _vtt(captions: Sequence[Caption]) -> str:
    cues = [f"{_times(one, '.')}\n{_voiced(one)}\n" for one in captions if one.text]
    return "\n".join(["WEBVTT\n", *cues])


def _voiced(caption: Caption) -> str:
    text = _vtt_text(caption.text)
    return f"<v {_vtt_text(caption.speaker)}>{text}</v>" if caption.speaker else text


def _vtt_text(text: str) -> str:
    return flat(text).translate(_VTT_ESCAPES)


def _json(captions: Sequence[Caption]) -> str:
    return msgspec.json.format(msgspec.json.encode(captions), indent=2).decode() + "\n"


def _md(captions: Sequence[Caption]) -> str:
    return "\n".join(f"**{clock(one.start_ms)}** {_md_text(one)}\n" for one in captions)


def _md_text(caption: Caption) -> str:
    said = flat(_by(caption) + caption.text).translate(_MD_ESCAPES)
    noted = f"*({flat(caption.note).translate(_MD_ESCAPES)})*" if caption.note else ""
    return f"{said} {noted}".strip()


def _times(caption: Caption, mark: str) -> str:
    end_ms = max(caption.end_ms, caption.start_ms + SHORTEST_MS)
    return " --> ".join(f"{clock(ms)}{mark}{ms % 1_000:03}" for ms in (caption.start_ms, end_ms))


def clock(ms: int) -> str:
    """Give a time as hours, minutes and whole seconds."""
    seconds = ms // 1_000
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _by(caption: Caption) -> str:
    return f"{caption.speaker}: " if caption.speaker else ""


def flat(text: str) -> str:
    """Give a text as one line: an empty line would end the caption."""
    return " ".join(text.split())
