"""The books of a soak: what each client was told and each server-side session was given, piece by piece.

Owns the numbers in the audio, the books of both sides and the laws that hold between them. Knows no load and no
network. Before it: `soak.py`, which lets things happen; after it: its closing line.

Each piece of audio carries its number in its first samples, too quiet to be heard. So no loss can hide behind another:
a piece is on the server's side, or lies within the range of an `audio.gap`, whatever the sums are.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from realtime_events import Session
from realtime_events.events import (
    AudioGap,
    ConversationItemCreate,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseFunctionCallArgumentsDone,
    ToolDone,
    ToolOrphaned,
)
from realtime_events.protocol import codec
from realtime_events.simulator import Simulator

PIECE_MS = 20
BYTES_PER_MS = 48
PIECE_BYTES = PIECE_MS * BYTES_PER_MS
COMMIT_PIECES = 5  # the API refuses to commit less than 100 ms
DIGITS, BASE = 5, 128  # as samples: 48 dB below a voice
_NUMBER = struct.Struct(f"<{DIGITS}h")
_REST = PIECE_BYTES // 2 - DIGITS
_SILENCE = bytes(2 * _REST)
_VOICE = b"".join(struct.pack("<h", round(20_000 * math.sin(math.tau * 200 * n / 24_000))) for n in range(_REST))
ROTATED = "the session was rotated before it was committed"
LAWS = (
    "pieces lost",
    "pieces lost and there",
    "pieces named twice",
    "pieces doubled",
    "pieces mixed up",
    "pieces refused and there",
    "calls unanswered",
    "calls answered and given up",
    "answers doubled",
    "answers to nobody",
    "orphans doubled",
    "orphans of no call",
    "items doubled",
    "events doubled",
    "ledgers off",
)


def piece(number: int, *, voice: bool) -> bytes:
    """Give 20 ms of audio that carries a number, with a voice or in silence."""
    digits = (number // BASE**place % BASE for place in range(DIGITS))
    return _NUMBER.pack(*digits) + (_VOICE if voice else _SILENCE)


def numbers_in(audio: bytes) -> Iterator[int]:
    """Give the numbers of the pieces in some audio."""
    for start in range(0, len(audio), PIECE_BYTES):
        yield sum(digit * BASE**place for place, digit in enumerate(_NUMBER.unpack_from(audio, start)))


class Page:
    """What one server-side session was given, noted at its door, and the tool calls that it made.

    Attributes:
        heard: The numbers of the pieces, in the order in which they came.
        heard_s: When each of them came.
        committed: How often each piece was made part of an item because the client said so.
        items: How often each id was given to an item.
        calls: The ids of the tool calls that it made.
        told: The ids of the tool calls that it was told of: those of a session before.
        outputs: How often each call was answered.
    """

    def __init__(self, session: Any) -> None:
        self.heard: list[int] = []
        self.heard_s: list[float] = []
        self.committed = Counter[int]()
        self.items = Counter[str]()
        self.calls, self.told = set[str](), set[str]()
        self.outputs = Counter[str]()
        self._buffer: list[int] = []
        self._session = session
        self._receive, self._poll = session.receive, session.poll
        session.receive, session.poll = self.receive, self.poll

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return bool(self._session.is_over)

    def receive(self, data: bytes, now: float) -> None:
        """Take note of a frame on its way in."""
        event = codec.decode(data, side="client")
        if isinstance(event, InputAudioBufferAppend):
            numbers = list(numbers_in(event.audio))
            self.heard += numbers
            self.heard_s += [now] * len(numbers)
            self._buffer += numbers
        elif isinstance(event, InputAudioBufferCommit):
            if len(self._buffer) >= COMMIT_PIECES:  # Else it is refused, and whoever asked for it is told.
                self.committed.update(self._buffer)
                self._buffer.clear()
        elif isinstance(event, ConversationItemCreate):
            self.items[str(event.item.id)] += 1
            if event.item.type == "function_call_output":
                self.outputs[str(event.item.call_id)] += 1
            elif event.item.type == "function_call":
                self.told.add(str(event.item.call_id))
        self._receive(data, now)

    def poll(self, now: float) -> list[bytes]:
        """Take note of the calls in the frames on their way out."""
        frames: list[bytes] = self._poll(now)
        for frame in frames:
            if b"function_call_arguments.done" in frame:
                event = codec.decode(frame, side="server")
                assert isinstance(event, ResponseFunctionCallArgumentsDone)
                self.calls.add(event.call_id)
        return frames


class Books:
    """The pages of all server-side sessions of a simulator, from their first frame on.

    Attributes:
        pages: All of them.
        last: Those of the sessions that were closed in good order at the end.
    """

    def __init__(self, sim: Simulator) -> None:
        self.pages: list[Page] = []
        self.last: list[Page] = []
        registry: Any = sim._registry  # pyright: ignore[reportPrivateUsage]
        self._open, registry.open_session = registry.open_session, self._opened

    def begin_the_end(self) -> None:
        """Take note of which sessions live: they are about to be closed, and are to leave nothing open."""
        self.last = [page for page in self.pages if not page.is_over]

    def _opened(self, **how: Any) -> Any:
        session = self._open(**how)
        self.pages.append(Page(session))
        return session


@dataclass
class Client:
    """What one session was told, and what it told the server.

    Attributes:
        listens: Whether the server detects turns; else the client commits.
        pieces: The numbers of the pieces that were accepted, in their order.
        refused: Those that were not.
        calls: The tool calls that it was told of, with how many pieces had been accepted when each was answered here.
        orphans: By call, what `tool.orphaned` said: whether its output may have arrived.
        twice: How many events came again.
    """

    listens: bool
    pieces: list[int] = field(default_factory=list[int])
    refused: set[int] = field(default_factory=set[int])
    gaps: list[AudioGap] = field(default_factory=list[AudioGap])
    calls: dict[str, int | None] = field(default_factory=dict[str, int | None])
    orphans: dict[str, list[bool]] = field(default_factory=dict[str, list[bool]])
    events: Counter[str] = field(default_factory=Counter[str])
    twice: int = 0
    ledgers_off: int = 0
    _seen: set[str] = field(default_factory=set[str])

    def note(self, event: Any) -> None:
        """Take note of an event."""
        self.events[event.type] += 1
        event_id = getattr(event, "event_id", None)
        if event_id:
            self.twice += event_id in self._seen
            self._seen.add(event_id)
        if isinstance(event, AudioGap):
            self.gaps.append(event)
        elif isinstance(event, ResponseFunctionCallArgumentsDone):
            self.calls.setdefault(event.call_id, None)
        elif isinstance(event, ToolDone):
            self.calls[event.call.call_id] = len(self.pieces)
        elif isinstance(event, ToolOrphaned):
            self.orphans.setdefault(event.call.call_id, []).append(event.unknown)

    def check_ledger(self, session: Session) -> None:
        """See whether the session's own books add up, and to what it has accepted and named."""
        books = session.audio_ledger
        spent = books.queued_bytes + books.open_bytes + books.confirmed_bytes + books.delivered_bytes
        doubtful = sum(gap.bytes for gap in self.gaps if gap.unknown)
        lost = sum(gap.bytes for gap in self.gaps if not gap.unknown and not gap.delivered)
        self.ledgers_off += books.accepted_bytes != spent + books.unknown_bytes + books.lost_bytes
        self.ledgers_off += (books.unknown_bytes, books.lost_bytes) != (doubtful, lost)
        self.ledgers_off += books.accepted_bytes not in (
            len(self.pieces) * PIECE_BYTES + n * PIECE_BYTES for n in (0, 1)
        )

    def named(self, which: Callable[[AudioGap], bool]) -> list[int]:
        """Give how many bytes of each accepted piece such gaps name."""
        named = [0] * len(self.pieces)
        for gap in filter(which, self.gaps):
            start = round(gap.start_ms * BYTES_PER_MS)
            end = start + gap.bytes
            for place in range(start // PIECE_BYTES, min(-(-end // PIECE_BYTES), len(named))):
                begin = place * PIECE_BYTES
                named[place] += min(end, begin + PIECE_BYTES) - max(start, begin)
        return named


def broken_laws(clients: list[Client], books: Books) -> dict[str, int]:
    """Give how often each of the laws between the books of both sides is broken."""
    faults, pages = Counter[str](), books.pages
    heard = Counter(number for page in pages for number in set(page.heard))
    committed = sum((page.committed for page in pages), Counter[int]())
    made_by = {call_id: page for page in pages for call_id in page.calls}
    known = made_by.keys() | {call_id for page in pages for call_id in page.told}
    for client in clients:
        faults += _audio(client, heard, committed)
        faults += _answers(client, made_by)
        faults["orphans of no call"] += len(client.orphans.keys() - known)
        faults["events doubled"] += client.twice
        faults["ledgers off"] += client.ledgers_off
    for page in pages:
        faults["pieces mixed up"] += page.heard != sorted(page.heard)
        faults["pieces doubled"] += len(page.heard) - len(set(page.heard))
        faults["items doubled"] += sum(count - 1 for count in page.items.values())
        faults["answers doubled"] += sum(count - 1 for count in page.outputs.values())
        faults["answers to nobody"] += len(page.outputs.keys() - page.calls - page.told)
    # The last sessions are given a time to end; a call that is open after it is named when its session is closed.
    named = {call_id for client in clients for call_id in client.orphans}
    for page in books.last:
        faults["calls unanswered"] += len((page.calls | page.told) - page.outputs.keys() - named)
    return {law: faults[law] for law in LAWS}


def _audio(client: Client, heard: Counter[int], committed: Counter[int]) -> Counter[str]:
    faults = Counter[str]()
    # Where the client commits, what counts is that the audio became part of an item.
    arrived = heard if client.listens else committed
    named = client.named(lambda gap: True)
    never_sent = client.named(lambda gap: not gap.unknown and not gap.delivered and gap.reason != ROTATED)
    left_behind = client.named(lambda gap: gap.reason == ROTATED)
    for place, number in enumerate(client.pieces):
        faults["pieces lost"] += not arrived[number] and named[place] < PIECE_BYTES
        faults["pieces lost and there"] += never_sent[place] == PIECE_BYTES and heard[number] > 0
        faults["pieces lost and there"] += left_behind[place] == PIECE_BYTES and arrived[number] > 0
        faults["pieces named twice"] += named[place] > PIECE_BYTES
        faults["pieces doubled"] += max(0, committed[number] - 1)
    faults["pieces refused and there"] += sum(heard[number] > 0 for number in client.refused)
    return faults


def _answers(client: Client, made_by: dict[str, Page]) -> Counter[str]:
    """Each call is answered in the session that made it, or `tool.orphaned` names it, once."""
    faults = Counter[str]()
    for call_id, answered_at in client.calls.items():
        page, orphaned = made_by[call_id], client.orphans.get(call_id, [])
        answers = page.outputs[call_id]
        faults["calls unanswered"] += not answers and not orphaned
        # Frames arrive in their order: audio that was accepted after the answer came, so the answer had to.
        after = client.pieces[answered_at] if answered_at is not None and answered_at < len(client.pieces) else None
        faults["calls unanswered"] += not answers and orphaned == [True] and after is not None and after in page.heard
        faults["calls answered and given up"] += bool(answers) and False in orphaned
        faults["orphans doubled"] += max(0, len(orphaned) - 1)
    return faults
