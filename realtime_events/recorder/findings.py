"""Findings: what can be learnt of a tape without playing it.

Owns the table of frames, the timeline and the statistics. Pure: a tape in, structs out; beta tapes are read in GA's
words. Before it: `tape.py`; after it: whoever shows them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..events import client, server, transcription
from ..events.base import Event, MalformedEvent
from ..events.items import Item
from ..protocol import codec, dialect, redaction
from .tape import Direction, Frame, Tape

PCM16_BYTES_PER_S = 48_000
G711_BYTES_PER_S = 8_000
TEXT_CHARACTERS = 120


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One frame in a table. `note` is what it is about: an id, a text, the length of its audio."""

    t_s: float
    direction: Direction
    epoch: int
    type: str
    size_bytes: int
    note: str = ""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a timeline. `what` is speech, user, assistant, tool, response, error or connection."""

    t_s: float
    what: str
    text: str
    note: str = ""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many frames of a type there are in one direction, and how large they are together."""

    type: str
    direction: Direction
    frames: int
    size_bytes: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the end of speech to the first audio of the answer, in half and in 19 of 20 cases."""

    count: int
    p50: float
    p95: float


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a tape adds up to. Audio is counted in seconds; `unanswered` are calls, as `name call_id`."""

    duration_s: float
    epochs: int
    torn: bool
    damaged: int
    ended: str
    audio_in_s: float
    audio_out_s: float
    responses: int
    errors: int
    tool_calls: int
    unanswered: list[str]
    latency_ms: Latency | None
    types: list[Count]

    @classmethod
    def of(cls, tape: Tape) -> Findings:
        """Count a tape."""
        seen = list(_events(tape))
        calls, answered = _calls(seen)
        rates = _rates(seen)
        return cls(
            duration_s=tape.duration_s,
            epochs=tape.epochs,
            torn=tape.torn,
            damaged=tape.damaged,
            ended=_how_it_ended(tape),
            audio_in_s=_audio_bytes(tape, "in") / rates[1],
            audio_out_s=_audio_bytes(tape, "out") / rates[0],
            responses=sum(isinstance(event, server.ResponseCreated) for _, event in seen),
            errors=sum(isinstance(event, server.ErrorEvent) for _, event in seen),
            tool_calls=len(calls),
            unanswered=[f"{name} {call_id}" for call_id, name in calls.items() if call_id not in answered],
            latency_ms=_latency(seen),
            types=_counts(tape),
        )


Seen = Sequence[tuple[Frame, Event]]


def rows(tape: Tape) -> Iterator[Row]:
    """Give the table of a tape, frame by frame."""
    for frame, event in _events(tape):
        yield Row(
            t_s=frame.t_s,
            direction=frame.direction,
            epoch=frame.epoch,
            type=event.type,
            size_bytes=len(frame.data),
            note=_note(frame, event),
        )


def happenings(tape: Tape) -> list[Happening]:
    """Give the timeline of a tape: who spoke, what was said, which tools were called, what went wrong."""
    told: list[Happening] = []
    began_s: dict[str, float] = {}
    called: set[str] = set()
    epoch = 0
    for frame, event in _events(tape):
        if frame.epoch > epoch:
            told += _changes_of_connection(tape, epoch, frame)
            epoch = frame.epoch
        if isinstance(event, server.ResponseCreated):
            began_s[str(event.response.id)] = frame.t_s
        told += _told_of_calls(frame.t_s, event, called)
        told += _told(frame, event, began_s)
    ending = tape.ending
    if ending is not None or tape.torn:
        told.append(Happening(t_s=tape.duration_s, what="connection", text=_how_it_ended(tape)))
    return told


def _changes_of_connection(tape: Tape, before: int, frame: Frame) -> list[Happening]:
    lost = [] if not before else [_ended_between(tape, before, frame)]
    return [*lost, Happening(t_s=frame.t_s, what="connection", text=f"opened, number {frame.epoch}")]


def _ended_between(tape: Tape, epoch: int, frame: Frame) -> Happening:
    ending = tape.endings.get(epoch)
    text = "ended" if ending is None else f"ended by the {ending.initiator} with code {ending.code}"
    return Happening(t_s=frame.t_s, what="connection", text=text, note=ending.reason if ending else "")


def _told(frame: Frame, event: Event, began_s: dict[str, float]) -> list[Happening]:
    """Give what a timeline tells of one event; nothing of most."""
    t_s = frame.t_s
    if isinstance(event, server.InputAudioBufferSpeechStarted):
        return [Happening(t_s=t_s, what="speech", text="the user begins to speak")]
    if isinstance(event, server.InputAudioBufferSpeechStopped):
        return [Happening(t_s=t_s, what="speech", text="the user has spoken")]
    if isinstance(event, transcription.ConversationItemInputAudioTranscriptionCompleted):
        return [Happening(t_s=t_s, what="user", text=_short(event.transcript), note="as heard")]
    if isinstance(event, client.ConversationItemCreate):
        return _told_of_item(t_s, event.item)
    if isinstance(event, server.ResponseDone):
        return _told_of_response(t_s, event, began_s)
    if isinstance(event, server.ErrorEvent):
        return [Happening(t_s=t_s, what="error", text=_short(event.error.message), note=event.error.code or "")]
    return []


def _told_of_item(t_s: float, item: Item) -> list[Happening]:
    if item.type == "function_call_output":
        return [Happening(t_s=t_s, what="tool", text=f"→ {_short(item.output)}", note=str(item.call_id or ""))]
    text = _text_of(item)
    return [Happening(t_s=t_s, what=item.role or "user", text=text)] if text else []


def _told_of_calls(t_s: float, event: Event, called: set[str]) -> list[Happening]:
    """Tell of each call once: when it is whole, or at the end of its response at the latest."""
    told: list[Happening] = []
    for item in _calls_in(event):
        if item.call_id not in called:
            called.add(str(item.call_id))
            call = f"{item.name}({_short(item.arguments)})"
            told.append(Happening(t_s=t_s, what="tool", text=call, note=str(item.call_id or "")))
    return told


def _calls_in(event: Event) -> list[Item]:
    """Give the whole calls that an event shows: a tool answers, and a tape may end, before the response does."""
    if isinstance(event, server.ResponseFunctionCallArgumentsDone) and event.name:
        return [Item(type="function_call", call_id=event.call_id, name=event.name, arguments=event.arguments)]
    if isinstance(event, server.ResponseOutputItemDone):
        items = [event.item]
    else:
        items = list(event.response.output or ()) if isinstance(event, server.ResponseDone) else []
    return [item for item in items if item.type == "function_call"]


def _told_of_response(t_s: float, event: server.ResponseDone, began_s: dict[str, float]) -> list[Happening]:
    response = event.response
    told: list[Happening] = []
    began = began_s.pop(str(response.id), None)
    took = f"{(t_s - began) * 1000:.0f} ms" if began is not None else ""
    texts = [_text_of(item) for item in response.output or () if item.type != "function_call"]
    told += [Happening(t_s=t_s, what="assistant", text=text, note=took) for text in texts if text]
    if response.status != "completed":
        told.append(Happening(t_s=t_s, what="response", text=str(response.status or "ended"), note=took))
    return told


def _events(tape: Tape) -> Iterator[tuple[Frame, Event]]:
    speaks, kind = tape.header.dialect, tape.header.kind
    for frame in tape:
        side: codec.Side = "server" if frame.direction == "in" else "client"
        event = codec.decode(redaction.with_silence(frame.data), dialect=speaks, side=side, kind=kind)
        yield frame, dialect.to_ga(event)


def _note(frame: Frame, event: Any) -> str:
    if carried := redaction.audio_bytes(frame.data):
        return f"{carried} B of audio"
    if isinstance(event, MalformedEvent):
        return _short(event.reason)
    for name in ("delta", "transcript", "text", "arguments"):
        value = getattr(event, name, None)
        if isinstance(value, str) and value:
            return _short(value)
    return str(getattr(event, "item_id", "") or getattr(getattr(event, "response", None), "id", "") or "")


def _calls(seen: Seen) -> tuple[dict[str, str], set[str]]:
    """Give the calls that the model made, by id, and which of them were answered."""
    calls: dict[str, str] = {}
    answered: set[str] = set()
    for _, event in seen:
        calls |= {str(item.call_id): str(item.name) for item in _calls_in(event)}
        if isinstance(event, client.ConversationItemCreate) and event.item.type == "function_call_output":
            answered.add(str(event.item.call_id))
    return calls, answered


def _latency(seen: Seen) -> Latency | None:
    waits_ms: list[float] = []
    spoken_s: float | None = None
    for frame, event in seen:
        if isinstance(event, server.InputAudioBufferSpeechStopped):
            spoken_s = frame.t_s
        elif isinstance(event, server.InputAudioBufferSpeechStarted):
            spoken_s = None
        elif isinstance(event, server.ResponseOutputAudioDelta) and spoken_s is not None:
            waits_ms.append((frame.t_s - spoken_s) * 1000)
            spoken_s = None
    if not waits_ms:
        return None
    waits_ms.sort()
    return Latency(count=len(waits_ms), p50=_percentile(waits_ms, 50), p95=_percentile(waits_ms, 95))


def _percentile(ranked: Sequence[float], percent: int) -> float:
    """Give the nearest-rank percentile of ranked values."""
    return ranked[max(math.ceil(len(ranked) * percent / 100) - 1, 0)]


def _rates(seen: Seen) -> tuple[int, int]:
    """Give the bytes a second of the session's audio, what we send and what we hear, as last confirmed."""
    sent, heard = PCM16_BYTES_PER_S, PCM16_BYTES_PER_S
    for _, event in seen:
        if isinstance(event, server.SessionCreated | server.SessionUpdated) and (audio := event.session.audio):
            sent = _rate(audio.input.format if audio.input else None, sent)
            heard = _rate(audio.output.format if audio.output else None, heard)
    return sent, heard


def _rate(wanted: Any, otherwise: int) -> int:
    kind = wanted.type if wanted else ""
    if not kind:
        return otherwise
    return PCM16_BYTES_PER_S if kind == "audio/pcm" else G711_BYTES_PER_S


def _audio_bytes(tape: Tape, direction: Direction) -> int:
    """Count the audio that was streamed; that of whole items is told again there."""
    streamed = b"append" if direction == "out" else b"audio.delta"
    return sum(
        redaction.audio_bytes(frame.data) for frame in tape if frame.direction == direction and streamed in frame.data
    )


def _counts(tape: Tape) -> list[Count]:
    counted: dict[tuple[str, Direction], list[int]] = {}
    for frame, event in _events(tape):
        sizes = counted.setdefault((event.type, frame.direction), [0, 0])
        sizes[0] += 1
        sizes[1] += len(frame.data)
    counts = [
        Count(type=name, direction=direction, frames=frames, size_bytes=size)
        for (name, direction), (frames, size) in counted.items()
    ]
    return sorted(counts, key=lambda count: -count.size_bytes)


def _how_it_ended(tape: Tape) -> str:
    ending = tape.ending
    if ending is None:
        return f"the tape is torn in connection {tape.epochs}"
    return f"ended by the {ending.initiator} with code {ending.code}" + (f": {ending.reason}" if ending.reason else "")


def _text_of(item: Item) -> str:
    parts = [part.text or part.transcript or "" for part in item.content or ()]
    return _short(" ".join(part for part in parts if part))


def _short(text: object) -> str:
    said = str(text or "")
    return said if len(said) <= TEXT_CHARACTERS else f"{said[: TEXT_CHARACTERS - 1]}…"
