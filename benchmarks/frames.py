"""The frames that the bench server sends, encoded before any clock runs.

Owns the shape and size of the traffic: one response from `response.created` to `response.done` with its deltas, as
the API sends it. Knows no socket. A response is encoded once with a placeholder where its ids have a number, and
stamped with the number when it is sent, so that no two responses of a session share an id.
"""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PLACEHOLDER = "@@@@@@"
"""Stands for the number of a response in its ids; no base64 has it."""

WORDS = ("Bring", " a", " light", " jacket", " today,", " since", " the", " evening", " will", " be", " cooler.")
TOOL = "no_op"
AUDIO_CHUNKS = 8
DELTA = b'"delta":"'
TIME_BYTES = 9  # Nine bytes are twelve letters of base64, so nothing behind them changes.
BYTES_PER_MS = 48
"""24 kHz, 16 bit, mono."""


@dataclass(frozen=True)
class Traffic:
    """What one trigger brings: so many responses of so many deltas, as text or as audio of `delta_ms` each.

    With `tool`, the first of two responses also calls a tool; the second waits for its output and to be asked for.
    With `timed`, audio begins with the time at which it was sent; with `interrupted`, the user begins to speak after
    each response, `hold_s` later, and the server reads nothing until then.
    """

    kind: str = "text"
    responses: int = 1
    deltas: int = 1000
    delta_ms: int = 100
    tool: bool = False
    timed: bool = False
    interrupted: bool = False
    hold_s: float = 0.0

    @property
    def events(self) -> int:
        """The deltas that one trigger brings."""
        return self.responses * self.deltas

    @property
    def payload(self) -> int:
        """The characters of text, or the bytes of audio, that these deltas carry."""
        return self.responses * sum(map(len, pieces(self)))


def pieces(traffic: Traffic) -> list[str] | list[bytes]:
    """Gives what each delta of one response carries: words, or noise as 24 kHz pcm."""
    if traffic.kind == "text":
        return [WORDS[index % len(WORDS)] for index in range(traffic.deltas)]
    noise = random.Random(7)
    chunks = [noise.randbytes(traffic.delta_ms * BYTES_PER_MS) for _ in range(AUDIO_CHUNKS)]
    return [chunks[index % AUDIO_CHUNKS] for index in range(traffic.deltas)]


def response_frames(traffic: Traffic, *, call: bool = False) -> list[bytes]:
    """Gives the WebSocket frames of one whole response, which may call a tool; ids still to be stamped."""
    return [event_frame(event) for event in _numbered(_response(traffic, call))]


def event_frame(event: dict[str, Any]) -> bytes:
    """Gives the frame of an event."""
    return text_frame(json.dumps(event, separators=(",", ":")).encode())


def stamp(frames: bytes, number: int) -> bytes:
    """Puts the number of a response into its ids, without changing any length."""
    return frames.replace(PLACEHOLDER.encode(), b"%06d" % number)


def timed(frame: bytes, now_s: float) -> bytes:
    """Puts the time into the first bytes of the audio of a delta; other frames stay as they are."""
    at = frame.find(DELTA)
    if at < 0:
        return frame
    at += len(DELTA)
    told = base64.b64encode(round(now_s * 1e6).to_bytes(TIME_BYTES, "big"))
    return frame[:at] + told + frame[at + len(told) :]


def sent_s(audio: bytes) -> float:
    """Gives the time that `timed` has put into audio, in seconds."""
    return int.from_bytes(audio[:TIME_BYTES], "big") / 1e6


def session_event(name: str, *, interrupts: bool = False) -> bytes:
    """Gives the frame of `session.created` or `session.updated`; the server may listen for who interrupts."""
    detection = {"type": "server_vad", "create_response": False, "interrupt_response": True} if interrupts else None
    session = {
        "id": "sess_bench00000000000001",
        "object": "realtime.session",
        "type": "realtime",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "expires_at": 4_102_444_800,
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": detection},
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
        },
    }
    return event_frame({"type": name, "event_id": "event_bench_session", "session": session})


def text_frame(payload: bytes) -> bytes:
    """Wraps a payload as one unmasked WebSocket text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def _numbered(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for index, event in enumerate(events):
        yield {"type": event.pop("type"), "event_id": f"event_{PLACEHOLDER}{index:09d}", **event}


def _response(traffic: Traffic, call: bool) -> Iterator[dict[str, Any]]:
    chunks = pieces(traffic)
    whole = "".join(WORDS) if traffic.kind == "audio" else "".join(map(str, chunks))
    field = "transcript" if traffic.kind == "audio" else "text"
    name = f"output_{traffic.kind}"
    ids = {"response_id": f"resp_bench_{PLACEHOLDER}", "item_id": f"item_bench_{PLACEHOLDER}"}
    place = {"output_index": 0, "content_index": 0}
    content = [{"type": name, field: whole}]
    yield {"type": "response.created", "response": _resource("in_progress", [])}
    yield {
        "type": "response.output_item.added",
        "response_id": ids["response_id"],
        "output_index": 0,
        "item": _item([]),
    }
    yield {"type": "conversation.item.added", "previous_item_id": None, "item": _item([])}
    yield {"type": "response.content_part.added", **ids, **place, "part": {"type": traffic.kind, field: ""}}
    for chunk in chunks:
        delta = chunk if isinstance(chunk, str) else base64.b64encode(chunk).decode()
        yield {"type": f"response.{name}.delta", **ids, **place, "delta": delta}
    if traffic.kind == "audio":
        yield {"type": "response.output_audio.done", **ids, **place}
    yield {"type": f"response.{name.replace('audio', 'audio_transcript')}.done", **ids, **place, field: whole}
    yield {"type": "response.content_part.done", **ids, **place, "part": {"type": traffic.kind, field: whole}}
    yield {"type": "conversation.item.done", "previous_item_id": None, "item": _item(content)}
    done = {"response_id": ids["response_id"], "output_index": 0, "item": _item(content)}
    yield {"type": "response.output_item.done", **done}
    if call:
        yield from _call(ids["response_id"])
    output = [_item(content), _call_item("completed")] if call else [_item(content)]
    yield {"type": "response.done", "response": _resource("completed", output)}


def _call(response_id: str) -> Iterator[dict[str, Any]]:
    place = {"response_id": response_id, "output_index": 1}
    ids = {"item_id": f"item_call_{PLACEHOLDER}", "call_id": call_id(PLACEHOLDER)}
    yield {"type": "response.output_item.added", **place, "item": _call_item("in_progress")}
    yield {"type": "conversation.item.added", "previous_item_id": None, "item": _call_item("in_progress")}
    yield {"type": "response.function_call_arguments.delta", **place, **ids, "delta": "{}"}
    yield {"type": "response.function_call_arguments.done", **place, **ids, "name": TOOL, "arguments": "{}"}
    yield {"type": "conversation.item.done", "previous_item_id": None, "item": _call_item("completed")}
    yield {"type": "response.output_item.done", **place, "item": _call_item("completed")}


def call_id(number: str) -> str:
    """Gives the id of the call of a response."""
    return f"call_bench_{number}"


def _call_item(status: str) -> dict[str, Any]:
    item = {"id": f"item_call_{PLACEHOLDER}", "object": "realtime.item", "type": "function_call", "status": status}
    return {**item, "call_id": call_id(PLACEHOLDER), "name": TOOL, "arguments": "{}"}


def _item(content: list[dict[str, str]]) -> dict[str, Any]:
    status = "completed" if content else "in_progress"
    item = {"id": f"item_bench_{PLACEHOLDER}", "object": "realtime.item", "type": "message"}
    return {**item, "role": "assistant", "status": status, "content": content}


def _resource(status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    resource = {"object": "realtime.response", "id": f"resp_bench_{PLACEHOLDER}", "status": status}
    return {**resource, "status_details": None, "output": output, "output_modalities": ["audio"], "usage": None}
