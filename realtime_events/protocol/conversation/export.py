"""A conversation for people: captions (SRT, WebVTT), JSON, Markdown.

Owns when each thing was said, and how JSON and Markdown write it; of what was cut off there are only the words heard.
Before it: `history.py`; after it: `captions.py`, which writes SRT and WebVTT, and a file of the user's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import msgspec

from ...exceptions import ConfigurationError
from ..captions import SHORTEST_MS, Caption, clock, export_captions, flat
from .items import ConversationItem, Segment

Format = Literal["srt", "vtt", "json", "md"]
CUT: Final = "—"
READING_MS: Final = 1_000  # written items take no time
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that was said, or a tool that was called, with its times from the conversation's first event."""

    item: ConversationItem
    speaker: str
    words: str
    start_ms: int
    end_ms: int

    @property
    def marked(self) -> str:
        """The words in one line, with a dash at the end if they were cut off."""
        words = flat(self.words)
        return f"{words} {CUT}" if self.item.interrupted else words


def export(items: Sequence[ConversationItem], format: str, *, began_s: float) -> str:
    """Give items in a format.

    Raises:
        ConfigurationError: There is no such format.
    """
    write = _WRITERS.get(format)
    if write is None:
        raise ConfigurationError(f"unknown format {format!r}; there are {', '.join(get_args(Format))}")
    return write(list(_lines(items, began_s)))


# When each thing was said.


def _lines(items: Sequence[ConversationItem], began_s: float) -> Iterator[Line]:
    end_ms = 0
    for item in items:
        start_ms = end_ms if item.started_s is None else max(0, round((item.started_s - began_s) * 1_000))
        for line in _lines_of(item, start_ms, began_s):
            end_ms = line.end_ms
            yield line


def _lines_of(item: ConversationItem, start_ms: int, began_s: float) -> Iterator[Line]:
    speaker = (item.role or item.type).capitalize()
    end_ms = start_ms + _length_ms(item, start_ms, began_s)
    segments = item.transcription.segments if item.transcription is not None and not item.interrupted else []
    if segments:
        yield from (_line_of(segment, item, start_ms) for segment in segments if segment.text.strip())
    elif item.heard_text.strip() or item.type in ("function_call", "function_call_output", "mcp_call"):
        yield Line(item=item, speaker=speaker, words=item.heard_text, start_ms=start_ms, end_ms=end_ms)


def _line_of(segment: Segment, item: ConversationItem, start_ms: int) -> Line:
    start, end = (round(seconds * 1_000) for seconds in (segment.start_s, segment.end_s))
    speaker = segment.speaker or item.role.capitalize()
    return Line(
        item=item, speaker=speaker, words=segment.text, start_ms=start_ms + start, end_ms=start_ms + max(start, end)
    )


def _length_ms(item: ConversationItem, start_ms: int, began_s: float) -> int:
    """Give how long an item was heard, or written."""
    if item.audio_bytes:
        return round(item.audio_ms if item.audio_end_ms is None else min(item.audio_end_ms, item.audio_ms))
    if item.audio_end_ms is not None:
        return item.audio_end_ms
    ended_ms = start_ms if item.ended_s is None else round((item.ended_s - began_s) * 1_000)
    return max(0, ended_ms - start_ms)


# Captions.


def _srt(lines: Sequence[Line]) -> str:
    return export_captions(_cues(lines), "srt")


def _vtt(lines: Sequence[Line]) -> str:
    return export_captions(_cues(lines), "vtt")


def _cues(lines: Sequence[Line]) -> list[Caption]:
    """Give what was said in the order of time; each caption goes when the next one comes."""
    said = [line for line in lines if line.words.strip() and line.item.role != "system"]
    said.sort(key=lambda line: line.start_ms)
    cues: list[Caption] = []
    for line in said:
        end_ms = line.end_ms if line.end_ms > line.start_ms else line.start_ms + READING_MS
        start_ms = line.start_ms
        if cues:
            start_ms = max(start_ms, cues[-1].start_ms + SHORTEST_MS)
            cues[-1] = msgspec.structs.replace(cues[-1], end_ms=min(cues[-1].end_ms, start_ms))
        end_ms = max(end_ms, start_ms + SHORTEST_MS)
        cues.append(Caption(start_ms=start_ms, end_ms=end_ms, text=line.marked, speaker=line.speaker))
    return cues


# Text.


def _json(lines: Sequence[Line]) -> str:
    return msgspec.json.format(msgspec.json.encode([_entry(line) for line in lines]).decode(), indent=2)


def _entry(line: Line) -> dict[str, object]:
    item = line.item
    entry: dict[str, object] = {"id": item.id, "type": item.type, "start_ms": line.start_ms, "end_ms": line.end_ms}
    if item.role:
        entry |= {"role": item.role, "speaker": line.speaker, "text": line.words, "interrupted": item.interrupted}
    if item.audio_end_ms is not None:
        entry |= {"audio_end_ms": item.audio_end_ms, "whole_text": item.text}
    call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments, "output": item.output}
    return entry | {name: value for name, value in call.items() if value}


def _md(lines: Sequence[Line]) -> str:
    return "\n".join(f"{_md_line(line)}\n" for line in lines)


def _md_line(line: Line) -> str:
    item, at = line.item, clock(line.start_ms)
    if item.role:
        cut = " *(interrupted)*" if item.interrupted else ""
        return f"**{_md_text(line.speaker)}** ({at}): {_md_text(line.marked)}{cut}"
    if item.type == "function_call_output":
        return f"*Tool output* ({at}): {_md_text(item.output)}"
    answer = f" → {_md_text(item.output)}" if item.output else ""
    return f"*Tool call* ({at}): {_md_text(item.name)} {_md_text(item.arguments)}{answer}"


def _md_text(words: str) -> str:
    return _MARKDOWN.sub(r"\\\1", flat(words))


_WRITERS: Final[dict[str, Callable[[Sequence[Line]], str]]] = {"srt": _srt, "vtt": _vtt, "json": _json, "md": _md}
