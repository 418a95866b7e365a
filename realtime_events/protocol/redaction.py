"""Redaction: what of a frame may be kept on a disk, and how a frame looks without the rest.

Owns where secrets and audio stand in a frame, and what stands there instead; `secrecy.py` says what is secret. Pure:
bytes in, bytes out; a frame is changed only where it has to be, and is otherwise the very same bytes. Before it: a
frame; after it: the recorder, and the replay, which asks for silence where audio was.

Audio is found by looking, not by parsing, because a recorder has a fraction of a microsecond for a frame. A frame with
a name or a value in it that could be a secret is parsed; what cannot be parsed then is not kept at all.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from ..secrecy import HIDDEN, SECRET_FIELDS, URL_FIELDS, bare_url, hide_keys, is_secret_field

HEAD_BYTES = 80

# `response.output_text.delta`, `….output_audio_transcript.delta`: most frames there are. Words have no key in them.
_WORDS = b't.delta"'
# `response.output_audio.delta`, usually with the audio last: the other frame there is many of. It has only ids besides.
_AUDIO_DELTA = b'audio.delta"'
_DELTA = b'"delta":"'
_AUDIO_KEYS = (b'"audio"', b'"delta"')
# How a secret shows: its name as a key in any case we know of, the start of a key, or a letter spelt as an escape.
_SIGNS = (
    *(f'"{key}"'.encode() for key in sorted(SECRET_FIELDS | URL_FIELDS)),
    b'uthorization"',
    b'pi-key"',
    b'pi-Key"',
    b"sk-",
    b"sk_",
    b"ek-",
    b"ek_",
    b"whsec_",
    b"\\u00",
    b"Bearer",
    b"Basic ",
)
_TAPED = re.compile(rb'"(audio|delta)":null,"audio_bytes":(\d+)')
_SPACE = b" \t\r\n"


def are_words(frames: Iterable[bytes]) -> bool:
    """Say whether frames are all pieces of text or of a transcript, with nothing to leave out."""
    # As a list: a generator takes twice the time, and this is asked of every frame there is.
    return all([frame.find(_WORDS, 0, HEAD_BYTES) >= 0 for frame in frames])  # noqa: C419


def audio_delta(frame: bytes, *, audio: bool) -> bytes | None:
    """Give what is kept of a piece of audio whose fields have their usual order, so that no secret is in it.

    It is the short way for most frames of a call; None for any other frame.
    """
    if (span := _last_delta(frame)) is None:
        return None
    if audio:
        return frame
    start, end = span
    return b'%bnull,"audio_bytes":%d}' % (frame[: start - 1], _decoded_bytes(frame, start, end))


def without_secrets(frame: bytes) -> bytes | None:
    """Give a frame with every secret hidden; None for one that may hold some and cannot be parsed.

    Hidden are keys, client secrets, MCP authorization and headers, SIP headers, and what a URL of a server says of its
    user, wherever they stand.
    """
    if frame.find(_WORDS, 0, HEAD_BYTES) >= 0 or _last_delta(frame) is not None:
        return frame
    looked_at = b"".join(_around_audio(frame))
    if not any(sign in looked_at for sign in _SIGNS):
        return frame
    try:
        said = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    # Written anew even where nothing is hidden: of a key that stands there twice, parsing shows only the second.
    return msgspec.json.encode(_redacted(said))


def without_audio(frame: bytes) -> bytes:
    """Give a frame with each piece of audio replaced: `"audio":null,"audio_bytes":4800`, or `"delta"` likewise."""
    if (short := audio_delta(frame, audio=False)) is not None:
        return short
    if b"audio" not in frame:
        return frame
    pieces: list[bytes] = []
    at = 0
    for start, end in _audio(frame):
        size = _decoded_bytes(frame, start, end)
        pieces += (frame[at : start - 1], b'null,"audio_bytes":%d' % size)
        at = end + 1
    return b"".join((*pieces, frame[at:])) if pieces else frame


def _last_delta(frame: bytes) -> tuple[int, int] | None:
    """Give where the audio of a delta starts and ends, if it is the last field; the short way for most frames."""
    if frame.find(_AUDIO_DELTA, 0, HEAD_BYTES) < 0 or (at := frame.find(_DELTA, 0, 4 * HEAD_BYTES)) < 0:
        return None
    start, end = at + len(_DELTA), len(frame) - 2
    return (start, end) if frame.find(b'"', start) == end and frame.endswith(b"}") else None


def with_silence(frame: bytes, silence: bytes = b"\0") -> bytes:
    """Give a frame with silence of the same length where `without_audio` took audio out.

    Args:
        frame: A frame of a tape.
        silence: The byte that is silence in the format of the audio: zero for pcm16.
    """
    if b'"audio_bytes":' not in frame:
        return frame
    return _TAPED.sub(lambda found: b'"%b":"%b"' % (found[1], base64.b64encode(silence * int(found[2]))), frame)


def audio_bytes(frame: bytes) -> int:
    """Give how many bytes of audio a frame carries, or carried before it was taped without."""
    if b"audio" not in frame:
        return 0
    carried = sum(_decoded_bytes(frame, start, end) for start, end in _audio(frame))
    return carried + sum(int(found[2]) for found in _TAPED.finditer(frame))


def _audio(frame: bytes) -> list[tuple[int, int]]:
    """Give where the base64 of each piece of audio starts and ends."""
    found: list[tuple[int, int]] = []
    is_delta = frame.find(b"audio.delta") >= 0
    for key in _AUDIO_KEYS if is_delta else _AUDIO_KEYS[:1]:
        at = frame.find(key)
        while at >= 0:
            at += len(key)
            if (span := _string_after_colon(frame, at)) is not None:
                found.append(span)
                at = span[1] + 1
            at = frame.find(key, at)
    return sorted(found)


def _string_after_colon(frame: bytes, at: int) -> tuple[int, int] | None:
    """Give where the string value of the key that ends at `at` starts and ends; None if its value is no string."""
    at = _skip_space(frame, at)
    if frame[at : at + 1] != b":":
        return None
    at = _skip_space(frame, at + 1)
    if frame[at : at + 1] != b'"':
        return None
    start = at + 1
    end = frame.find(b'"', start)
    while end > 0 and _is_escaped(frame, end):
        end = frame.find(b'"', end + 1)
    return (start, end) if end >= 0 else None


def _is_escaped(frame: bytes, at: int) -> bool:
    before = at
    while frame[before - 1] == 0x5C:
        before -= 1
    return bool((at - before) % 2)


def _skip_space(frame: bytes, at: int) -> int:
    while frame[at : at + 1] and frame[at] in _SPACE:
        at += 1
    return at


def _decoded_bytes(frame: bytes, start: int, end: int) -> int:
    padding = frame.count(b"=", max(start, end - 2), end)
    # A slash may be written as `\/`. Looking for one is forty times as fast as counting none.
    escapes = frame.count(b"\\", start, end) if frame.find(b"\\", start, end) >= 0 else 0
    return max((end - start - escapes) * 3 // 4 - padding, 0)


def _around_audio(frame: bytes) -> list[bytes]:
    """Give a frame without its audio: base64 has no secret in it, and is most of the bytes there are."""
    if len(frame) < 1024 or b"audio" not in frame:
        return [frame]
    pieces: list[bytes] = []
    at = 0
    for start, end in _audio(frame):
        pieces.append(frame[at:start])
        at = end
    return [*pieces, frame[at:]]


def _redacted(value: Any, hide: bool = False) -> Any:
    if isinstance(value, dict):
        fields = cast("Mapping[str, Any]", value)
        return {key: _redacted_field(key, inner, hide) for key, inner in fields.items()}
    if isinstance(value, list):
        items = cast("Iterable[Any]", value)
        return [_redacted(inner, hide) for inner in items]
    if isinstance(value, str):
        return HIDDEN if hide and value else hide_keys(value)
    return value


def _redacted_field(key: str, value: Any, hide: bool) -> Any:
    if key in URL_FIELDS and isinstance(value, str):
        return bare_url(value)
    return _redacted(value, hide or is_secret_field(key))
