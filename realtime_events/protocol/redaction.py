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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from ..secrecy import HIDDEN, SECRET_FIELDS, URL_FIELDS, bare_url, hide_keys, is_secret_field

HEAD_BYTES = 320
LITTLE_BYTES = 1024

Span: TypeAlias = tuple[int, int]
"""Where something in a frame starts and ends."""

WORDS = tuple(
    b'{"type":"response.%b.delta"' % what
    for what in (b"output_text", b"output_audio_transcript", b"text", b"audio_transcript")
)
"""How pieces of text and of transcripts begin: most frames there are. Words have no key in them."""

# The other frames there are many of: pieces of audio, usually with the audio last. They have only ids besides.
_PIECES = tuple(
    b'{"type":"%b"' % what
    for what in (
        b"response.output_audio.delta",
        b"input_audio_buffer.append",
        b"response.audio.delta",
        b"session.output_audio.delta",
        b"session.input_audio_buffer.append",
    )
)
_DELTA, _AUDIO = b'"delta":"', b'"audio":"'
_PADDING = ord("=")
_AUDIO_VALUE = re.compile(rb'"(?=[ad])(?:audio|(delta))"[ \t\r\n]*:[ \t\r\n]*"').search


# How a secret shows: its name as a key, the start of a key, a letter spelt as an escape; and before each a byte that it
# cannot be without, because to see that a byte is missing costs next to nothing: looked for as a number, that is.
_FIELDS = sorted(SECRET_FIELDS | URL_FIELDS)
_FIRSTS = "".join({name[0] + name[0].upper() for name in _FIELDS})
_NAMES = "|".join(_FIELDS).replace("_", "[-_]")
_SIGNS = tuple(
    (ord(byte), re.compile(sign).search)
    for byte, sign in (
        ('"', f'"(?=[xX{_FIRSTS}])(?i:(?:x-)?(?:{_NAMES}))"'.encode()),
        ("_", rb"_(?:(?<=[se]k_)|(?<=whsec_))"),
        ("-", rb"-(?<=[se]k-)"),
        ("B", rb"B(?:earer|asic )"),
        ("\\", rb"\\u00"),
    )
)
_TAPED = re.compile(rb'"(audio|delta)":null,"audio_bytes":(\d+)')


def piece_of_audio(frame: bytes, audio: bool) -> bytes | None:
    """Give what is kept of a piece of audio whose fields have their usual order, so that no secret is in it.

    It is the short way for most frames of a call; None for any other frame.
    """
    if not frame.startswith(_PIECES):
        return None
    if (at := frame.find(_DELTA, 0, HEAD_BYTES)) < 0 and (at := frame.find(_AUDIO, 0, HEAD_BYTES)) < 0:
        return None
    start, end = at + len(_DELTA), len(frame) - 2
    if frame.find(b'"', start) != end or not frame.endswith(b"}"):
        return None
    return frame if audio else b'%bnull,"audio_bytes":%d}' % (frame[: start - 1], _decoded_bytes(frame, start, end))


def kept(frame: bytes, audio: bool) -> bytes | None:
    """Give a frame without secrets, and without audio unless `audio`; None for one that may hold a secret unread."""
    pieces = _audio(frame)
    if pieces and not audio:
        frame, pieces = _left_out(frame, pieces), []
    return _hidden(frame, pieces)


def without_secrets(frame: bytes) -> bytes | None:
    """Give a frame with every secret hidden; None for one that may hold some and cannot be parsed.

    Hidden are keys, client secrets, MCP authorization and headers, SIP headers, and what a URL of a server says of its
    user, wherever they stand.
    """
    return _hidden(frame, _audio(frame))


def without_audio(frame: bytes) -> bytes:
    """Give a frame with each piece of audio replaced: `"audio":null,"audio_bytes":4800`, or `"delta"` likewise."""
    return _left_out(frame, _audio(frame))


def _hidden(frame: bytes, audio: Sequence[Span]) -> bytes | None:
    if not _has_signs(frame, audio):
        return frame
    try:
        said = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    # Written anew even where nothing is hidden: of a key that stands there twice, parsing shows only the second.
    return msgspec.json.encode(_redacted(said))


def _has_signs(frame: bytes, audio: Sequence[Span]) -> bool:
    """Say whether a frame could hold a secret; not in much audio, for base64 has none, and is most of the bytes."""
    looked_at = frame
    if audio and len(frame) > LITTLE_BYTES:
        starts = [0, *(end for _, end in audio)]
        ends = [*(start for start, _ in audio), len(frame)]
        looked_at = b"".join(map(frame.__getitem__, map(slice, starts, ends)))
    for byte, sign in _SIGNS:  # noqa: SIM110  a generator takes twice the time
        if byte in looked_at and sign(looked_at) is not None:
            return True
    return False


def _left_out(frame: bytes, audio: Sequence[Span]) -> bytes:
    at, pieces = 0, list[bytes]()
    for start, end in audio:
        pieces += (frame[at : start - 1], b'null,"audio_bytes":%d' % _decoded_bytes(frame, start, end))
        at = end + 1
    return b"".join((*pieces, frame[at:])) if pieces else frame


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
    carried = sum(_decoded_bytes(frame, start, end) for start, end in _audio(frame))
    return carried + sum(int(found[2]) for found in _TAPED.finditer(frame))


def _audio(frame: bytes) -> list[Span]:
    """Give where the base64 of each piece of audio starts and ends: of `audio` anywhere, of `delta` if that is one."""
    found: list[Span] = []
    value = _AUDIO_VALUE(frame)
    while value is not None:
        start = end = value.end()
        if value[1] is None or b"audio.delta" in frame:
            while (end := frame.find(b'"', end)) >= 0 and _is_escaped(frame, end):
                end += 1
            if end < 0:
                break
            found.append((start, end))
        value = _AUDIO_VALUE(frame, end + 1)
    return found


def _is_escaped(frame: bytes, at: int) -> bool:
    before = at
    while frame[before - 1] == 0x5C:
        before -= 1
    return bool((at - before) % 2)


def _decoded_bytes(frame: bytes, start: int, end: int) -> int:
    letters = end - start
    # A slash may be written as `\/`. Looking for one is forty times as fast as counting none.
    if frame.find(b"\\", start, end) >= 0:
        letters -= frame.count(b"\\", start, end)
    padding = (frame[end - 1] == _PADDING) + (frame[end - 2] == _PADDING)
    return letters * 3 // 4 - padding if letters > padding else 0


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
