"""What the tests of interruption share: a session whose server is only memory and whose clock is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import msgspec

from realtime_events import Options, Realtime, Session, SessionConfig
from realtime_events.events import (
    ConversationItemTruncate,
    ConversationItemTruncated,
    InputAudioBufferAppend,
    InputAudioBufferSpeechStarted,
    Item,
    RateLimitsUpdated,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemDone,
)
from realtime_events.testing import ManualClock, Peer

PCM = 48  # bytes of a millisecond
SPEECH = InputAudioBufferSpeechStarted(item_id="item_user", audio_start_ms=0)
SERVER_VAD = {"type": "server_vad"}


def listening(detection: Any) -> dict[str, Any]:
    return {"audio": {"input": {"turn_detection": detection}}}


def created(response_id: str = "resp_1", request: ResponseCreate | None = None) -> ResponseCreated:
    metadata = request.response.metadata if request is not None and request.response else None
    return ResponseCreated(response=Response(id=response_id, conversation_id="conv_1", metadata=metadata))


def audio(ms: float | Fraction, item_id: str = "item_a", response_id: str = "resp_1") -> ResponseOutputAudioDelta:
    return ResponseOutputAudioDelta(response_id=response_id, item_id=item_id, delta=b"\1" * round(ms * PCM))


def words(text: str, item_id: str = "item_a", response_id: str = "resp_1") -> ResponseOutputAudioTranscriptDelta:
    return ResponseOutputAudioTranscriptDelta(response_id=response_id, item_id=item_id, delta=text)


def item_done(item_id: str = "item_a", response_id: str = "resp_1") -> ResponseOutputItemDone:
    item = Item(type="message", id=item_id, role="assistant", status="completed")
    return ResponseOutputItemDone(response_id=response_id, item=item)


def done(response_id: str = "resp_1", status: str = "completed") -> ResponseDone:
    return ResponseDone(response=Response(id=response_id, conversation_id="conv_1", status=status))


def truncated(sent: ConversationItemTruncate) -> ConversationItemTruncated:
    return ConversationItemTruncated(item_id=sent.item_id, audio_end_ms=sent.audio_end_ms)


class Room:
    """A session with a server that is only memory, a clock moved by hand, and a log of what its handlers are given."""

    def __init__(self, rt: Realtime, peer: Peer, clock: ManualClock, session: Session) -> None:
        self.peer, self.clock, self.session = peer, clock, session
        self.seen: list[Any] = []
        rt.on("*", self._see, delivery="inline")

    def _see(self, event: Any) -> None:
        if not isinstance(event, RateLimitsUpdated):
            self.seen.append(event)

    async def hear(self, *events: Any) -> None:
        """Let the server say something, and return once the session has dealt with it."""
        self.peer.say(*events, RateLimitsUpdated(rate_limits=[]))
        await self.session.wait_for("rate_limits.updated", timeout=5)

    def pass_ms(self, ms: float) -> None:
        self.clock.advance(ms / 1000)

    def cuts(self) -> list[tuple[str, int]]:
        """Give the truncations that were sent."""
        return [(e.item_id, e.audio_end_ms) for e in self.peer.sent if isinstance(e, ConversationItemTruncate)]

    def appended(self) -> list[bytes]:
        """Give the audio that was sent."""
        return [event.audio for event in self.peer.sent if isinstance(event, InputAudioBufferAppend)]

    def sent(self) -> list[str]:
        """Give the types of all that was sent but the configuration."""
        return [event.type for event in self.peer.sent if event.type != "session.update"]

    async def confirm(self, n_truncates: int, *, response_id: str = "resp_1") -> None:
        """Let the server confirm so many truncations and the end of the response."""
        while len(self.cuts()) < n_truncates or not any(isinstance(e, ResponseCancel) for e in self.peer.sent):
            await self.hear()
        cuts = [event for event in self.peer.sent if isinstance(event, ConversationItemTruncate)]
        await self.hear(*map(truncated, cuts), done(response_id, "cancelled"))


@asynccontextmanager
async def room(
    config: Mapping[str, Any] | None = None, *, rt: Realtime | None = None, **options: Any
) -> AsyncIterator[Room]:
    rt, peer, clock = rt or Realtime(), Peer(), ManualClock()
    session = Session(
        rt,
        peer.endpoint,
        model="any",
        options=Options(**{"reconnect": False, **options}),
        config=msgspec.convert(config or listening(SERVER_VAD), SessionConfig),
        dial=peer.dial,
        clock=clock,
    )
    made = Room(rt, peer, clock, session)
    async with asyncio.timeout(10):
        async with await session.open():
            made.seen.clear()
            yield made
