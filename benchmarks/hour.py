"""A long call without a network: a session, a server that is only memory, and a clock that is moved by hand.

Owns the script of the call, turn by turn: the user speaks, the model answers in audio with a transcript, every fourth
answer is interrupted, every fifth turn calls a tool. Before the server's limit of an hour the session goes on in a
fresh one, as it does outside. After it: `measure.py`, and the tests that hold the same call to its bounds.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from realtime_events import Options, Realtime, Session, SessionConfig
from realtime_events.events import (
    ConversationItemCreate,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    ResponseCreate,
)
from realtime_events.testing import ManualClock, Peer

PIECE = bytes(4_800)
PIECE_S = 0.1
PIECES_SPOKEN = 5
PIECES_SAID = 12
WORDS = ("Take ", "a ", "light ", "jacket, ", "since ", "the ", "evening ", "will ", "be ", "cooler. ")
TURN_S = 1.7
KEPT_ITEMS = 60
CONFIG = {"audio": {"input": {"turn_detection": {"type": "server_vad"}, "transcription": {"model": "whisper-1"}}}}

Said = dict[str, Any]


class Server:
    """Gives a server-side session to each connection, answers what it asks for, and forgets what it has been sent."""

    def __init__(self) -> None:
        self.asked: list[Said | None] = []
        self.appended_bytes = 0
        self.appends = self.said = self.truncated = 0
        self.items: list[str] = []
        self.incarnations = 0
        self._peer = Incarnation(self)
        self.endpoint = self._peer.endpoint

    async def dial(self, url: str, headers: dict[str, str], options: Options) -> Any:
        """Open a connection to a session that knows nothing; pass this as `dial=`."""
        self.incarnations += 1
        self.items.clear()
        self._peer = Incarnation(self)
        return await self._peer.dial(url, headers, options)

    def say(self, *said: Said) -> None:
        """Let the newest session say something."""
        self.said += len(said)
        self._peer.say(*said)

    def answer(self, event: Any) -> None:
        """Answer an event as the API does."""
        if isinstance(event, InputAudioBufferAppend):
            self.appends += 1
            self.appended_bytes += len(event.audio)
        elif isinstance(event, ConversationItemCreate):
            item = msgspec.to_builtins(event.item)
            self.items.append(item["id"])
            self.say({"type": "conversation.item.added", "event_id": "event_s", "item": item})
            self.say({"type": "conversation.item.done", "event_id": "event_s", "item": item})
        elif isinstance(event, ConversationItemTruncate):
            self.truncated += 1
            self.say(
                {
                    "type": "conversation.item.truncated",
                    "event_id": "event_s",
                    "item_id": event.item_id,
                    "content_index": 0,
                    "audio_end_ms": event.audio_end_ms,
                }
            )
        elif isinstance(event, ResponseCreate):
            params = event.response
            self.asked.append(dict(params.metadata) if params and params.metadata else None)


class Incarnation(Peer):
    """One server-side session."""

    def __init__(self, server: Server) -> None:
        super().__init__(session_id=f"sess_{server.incarnations}")
        self._server = server

    def take(self, frame: bytes) -> None:
        """Take a frame of the client's."""
        super().take(frame)
        for event in self.sent:
            self._server.answer(event)
        self.sent.clear()


@dataclass
class Call:
    """A call that goes on, a turn at a time.

    Attributes:
        items: How many items have come into the conversation.
        deletes: Whether the server deletes old items, so that the conversation itself does not grow.
        heard: How many deltas of audio the application's handler was given.
        called: How many times the tool ran.
        flushed: How many times a player was told to be silent.
    """

    session: Session
    server: Server
    clock: ManualClock
    deletes: bool
    turns: int = 0
    items: int = 0
    heard: int = 0
    called: int = 0
    flushed: int = 0
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)

    async def go_on(self, seconds: float) -> None:
        """Let so much of the clock's time pass."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            await self._turn()
            if self.turns % 4:  # Else somebody is about to interrupt what is still heard.
                await self._look()
            self.turns += 1

    async def _look(self) -> None:
        """Let the session look at its limits, as it does every few seconds; and rotate, if it is time."""
        self.session._vigil.look()
        while self.session._line._rotating is not None:  # noqa: ASYNC110 - it takes as many turns as it takes
            await asyncio.sleep(0)

    async def _turn(self) -> None:
        began, number = self.clock.now, self.turns
        await self._hear(*_speech(number, "started"))
        for _ in range(PIECES_SPOKEN):
            await self.session.send_audio(PIECE)
            self.clock.advance(PIECE_S)
        await self._hear(*_speech(number, "stopped"), *_user_item(number), _created(f"resp_{number}", None))
        self.server.items.append(f"item_user_{number}")
        response_id = f"resp_{number}"
        if number % 5 == 0:
            self.server.items.append(f"item_call_{number}")
            await self._hear(*_call(number, response_id))
            response_id = await self._follow_up(number)
        await self._hear(*_answer(number, response_id))
        self.server.items.append(f"item_{response_id}")
        self.items += 4 if number % 5 == 0 else 2
        # Whoever speaks at the begin of the next turn interrupts what is still heard.
        heard_s = PIECES_SAID * PIECE_S if number % 4 else PIECES_SAID * PIECE_S / 3
        self.clock.advance(heard_s)
        while self.deletes and len(self.server.items) > KEPT_ITEMS:
            gone = self.server.items.pop(0)
            await self._hear({"type": "conversation.item.deleted", "event_id": "event_s", "item_id": gone})
        self.clock.now = max(self.clock.now, began + TURN_S) if number % 4 else self.clock.now

    async def _follow_up(self, number: int) -> str:
        while not self.server.asked:  # noqa: ASYNC110 - the tool runs meanwhile; a task of its own needs a turn
            await asyncio.sleep(0)
        await self._hear(_created(f"resp_{number}_tool", self.server.asked.pop(0)))
        return f"resp_{number}_tool"

    async def _hear(self, *said: Said) -> None:
        """Let the server say something, and return once the handlers have dealt with it."""
        self._quiet.clear()
        self.server.say(*said, {"type": "rate_limits.updated", "event_id": "event_s", "rate_limits": []})
        await self._quiet.wait()

    def quiet(self, event: Any) -> None:
        """Take note that all that was said before has been read."""
        self._quiet.set()


@asynccontextmanager
async def call(*, deletes: bool) -> AsyncIterator[Call]:
    """Open a call, with a tool and with handlers for what an application hears."""
    rt, server, clock = Realtime(), Server(), ManualClock()
    session = Session(
        rt,
        server.endpoint,
        model="bench",
        options=Options(),
        config=msgspec.convert(CONFIG, SessionConfig),
        dial=server.dial,
        clock=clock,
    )
    it = Call(session, server, clock, deletes)

    @rt.on("response.output_audio.delta")
    async def on_audio(event: Any) -> None:
        it.heard += 1

    @rt.on("audio.flush")
    async def on_flush(event: Any) -> None:
        it.flushed += 1

    @rt.tool
    async def weather(city: str) -> str:
        """Say what the weather is like."""
        it.called += 1
        return f"Dry in {city}."

    rt.on("rate_limits.updated", it.quiet)
    async with await session.open():
        session._vigil.end()  # It looks by a clock that nobody moves: `Call` looks instead.
        yield it


def traced_bytes() -> int:
    """Give what Python holds now, garbage collected."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def growth(hours: float, *, from_minute: float = 5.0, deletes: bool) -> tuple[float, Call]:
    """Give the bytes that a call of so many hours has grown by since its fifth minute, and the call."""
    tracemalloc.start()
    try:
        async with call(deletes=deletes) as it:
            await it.go_on(from_minute * 60)
            before = traced_bytes()
            await it.go_on((hours * 60 - from_minute) * 60)
            return traced_bytes() - before, it
    finally:
        tracemalloc.stop()


def _speech(number: int, what: str) -> Iterator[Said]:
    at = "audio_start_ms" if what == "started" else "audio_end_ms"
    name = f"input_audio_buffer.speech_{what}"
    yield {"type": name, "event_id": "event_s", "item_id": f"item_user_{number}", at: number * 1000}


def _user_item(number: int) -> Iterator[Said]:
    item_id = f"item_user_{number}"
    item = {"id": item_id, "type": "message", "role": "user", "status": "completed"}
    item["content"] = [{"type": "input_audio", "transcript": None}]  # type: ignore[assignment]
    yield {"type": "input_audio_buffer.committed", "event_id": "event_s", "item_id": item_id}
    yield {"type": "conversation.item.added", "event_id": "event_s", "item": item}
    yield {"type": "conversation.item.done", "event_id": "event_s", "item": item}
    transcribed = "conversation.item.input_audio_transcription"
    place = {"event_id": "event_s", "item_id": item_id, "content_index": 0}
    yield {"type": f"{transcribed}.delta", **place, "delta": "And the "}
    yield {"type": f"{transcribed}.completed", **place, "transcript": f"And the weather in place {number}?"}


def _created(response_id: str, metadata: Said | None) -> Said:
    response = {"id": response_id, "status": "in_progress", "conversation_id": "conv_1", "output": []}
    return {"type": "response.created", "event_id": "event_s", "response": {**response, "metadata": metadata}}


def _done(response_id: str, output: list[Said]) -> Said:
    usage = {"total_tokens": 30, "input_tokens": 10, "output_tokens": 20}
    response = {"id": response_id, "status": "completed", "conversation_id": "conv_1", "output": output}
    return {"type": "response.done", "event_id": "event_s", "response": {**response, "usage": usage}}


def _call(number: int, response_id: str) -> Iterator[Said]:
    call = {"id": f"item_call_{number}", "type": "function_call", "call_id": f"call_{number}", "name": "weather"}
    item = {**call, "status": "completed", "arguments": '{"city": "Bern"}'}
    place = {"event_id": "event_s", "response_id": response_id, "output_index": 0}
    yield {"type": "response.output_item.added", **place, "item": {**call, "status": "in_progress", "arguments": ""}}
    yield {"type": "conversation.item.added", "event_id": "event_s", "item": {**item, "arguments": ""}}
    ids = {"item_id": call["id"], "call_id": call["call_id"]}
    yield {"type": "response.function_call_arguments.delta", **place, **ids, "delta": item["arguments"]}
    yield {"type": "response.function_call_arguments.done", **place, **ids, "arguments": item["arguments"]}
    yield {"type": "response.output_item.done", **place, "item": item}
    yield _done(response_id, [item])


def _answer(number: int, response_id: str) -> Iterator[Said]:
    item = {"id": f"item_{response_id}", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    whole = f"{number}: " + "".join(WORDS)
    content = [{"type": "output_audio", "transcript": whole}]
    complete = {**item, "status": "completed", "content": content}
    place = {"event_id": "event_s", "response_id": response_id, "output_index": 0}
    part = {**place, "item_id": item["id"], "content_index": 0}
    yield {"type": "response.output_item.added", **place, "item": item}
    yield {"type": "conversation.item.added", "event_id": "event_s", "item": item}
    yield {"type": "response.content_part.added", **part, "part": {"type": "audio", "transcript": ""}}
    for word in WORDS:
        yield {"type": "response.output_audio_transcript.delta", **part, "delta": word}
    for _ in range(PIECES_SAID):
        yield {"type": "response.output_audio.delta", **part, "delta": PIECE}
    yield {"type": "response.output_audio.done", **part}
    yield {"type": "response.output_audio_transcript.done", **part, "transcript": whole}
    yield {"type": "response.content_part.done", **part, "part": content[0]}
    yield {"type": "conversation.item.done", "event_id": "event_s", "item": complete}
    yield {"type": "response.output_item.done", **place, "item": complete}
    yield _done(response_id, [complete])
