"""The ring: audio that waits to be sent, bounded in length and in age.

Owns the queue of accepted pieces, what is dropped of it, and the counters. Pure: time is passed in. Knows no socket and
no event; a piece's frame and a mark's frames are bytes that it keeps and gives back. Before it: whoever accepts audio;
after it: whoever writes it.

Its law, at every step: accepted = queued + sent + dropped. What becomes of what was sent, its ledger tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

import msgspec

from .formats import PCM16, AudioFormat
from .ledger import AudioLedger, Ledger, Stretch

__all__ = ["Gap", "Policy", "Ring"]

Policy = Literal["block", "drop_oldest", "drop_newest"]

MAX_MS = 30_000
MAX_AGE_S = 2.0
KEEP_MS = 500.0


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of accepted audio that was not sent; positions count all accepted audio from 0."""

    start_bytes: int
    length_bytes: int
    start_ms: float
    length_ms: float
    reason: str


class _Piece:
    __slots__ = ("at", "frame", "n_bytes", "number", "start")

    def __init__(self, frame: bytes, n_bytes: int, number: int, start: int, at: float) -> None:
        self.frame = frame
        self.n_bytes = n_bytes
        self.number = number
        self.start = start
        self.at = at


class _Mark:
    """Frames that keep their place in the audio: they go out when every piece accepted before them is gone."""

    __slots__ = ("frames", "number")

    def __init__(self, frame: bytes, number: int) -> None:
        self.frames = [frame]
        self.number = number


class Ring:
    """A bounded first-in-first-out queue of audio, with marks that keep their place in it.

    Args:
        policy: What a full ring does: `block` refuses, and drops nothing that it accepted; `drop_oldest` and
            `drop_newest` drop, and say what.
        max_ms: How much audio it holds; a piece that is longer alone still fits into an empty ring.
        max_age_s: Audio that waited longer is dropped, the oldest first; None drops none. `block` ignores it.
        format: The format of the audio, for milliseconds. It may be changed while the ring is empty.

    Attributes:
        ledger: What became of the audio that was sent.
    """

    def __init__(
        self,
        *,
        policy: Policy = "block",
        max_ms: float = MAX_MS,
        max_age_s: float | None = MAX_AGE_S,
        format: AudioFormat = PCM16,
    ) -> None:
        self.policy: Policy = policy
        self.max_ms = max_ms
        self.max_age_s = None if policy == "block" else max_age_s
        self.format = format
        self.accepted_pieces = self.sent_pieces = self.dropped_pieces = 0
        self.accepted_bytes = self.queued_bytes = self.sent_bytes = self.dropped_bytes = 0
        self.high_water_bytes = 0
        self._pieces: deque[_Piece] = deque()
        self._marks: list[_Mark] = []
        self.ledger = Ledger(keep_bytes=format.n_bytes(KEEP_MS))

    def __bool__(self) -> bool:
        return bool(self._pieces or self._marks)

    @property
    def queued_pieces(self) -> int:
        """How many pieces wait."""
        return len(self._pieces)

    @property
    def has_marks(self) -> bool:
        """Whether a mark waits."""
        return bool(self._marks)

    def age_s(self, now: float) -> float:
        """Gives how long the oldest piece has waited; 0 where none waits."""
        return now - self._pieces[0].at if self._pieces else 0.0

    def fits(self, n_bytes: int) -> bool:
        """Says whether so much more audio fits."""
        return not self._pieces or self.queued_bytes + n_bytes <= self.format.n_bytes(self.max_ms)

    # Audio.

    def passed(self, frame: bytes, n_bytes: int) -> None:
        """Counts a piece that was written at once, past an empty ring."""
        self.ledger.wrote(self.accepted_bytes, n_bytes, frame)
        self.accepted_pieces += 1
        self.sent_pieces += 1
        self.accepted_bytes += n_bytes
        self.sent_bytes += n_bytes

    def put(self, frame: bytes, n_bytes: int, now: float) -> list[Gap]:
        """Accepts a piece, and gives what was dropped for it or for its age.

        Args:
            frame: What is written for the piece.
            n_bytes: The bytes of audio in it.
            now: The time in seconds.

        Raises:
            BufferError: The ring is full and its policy is `block`; nothing was accepted.
        """
        gaps = self.expire(now)
        if not self.fits(n_bytes):
            if self.policy == "block":
                raise BufferError(f"the ring is full: {self.queued_bytes} bytes of audio wait")
            if self.policy == "drop_newest":
                return gaps + self._lose([self._accept(frame, n_bytes, now)], "overflow")
            gaps += self._lose(self._oldest_until_it_fits(n_bytes), "overflow")
        self._pieces.append(self._accept(frame, n_bytes, now))
        self.queued_bytes += n_bytes
        self.high_water_bytes = max(self.high_water_bytes, self.queued_bytes)
        return gaps

    def expire(self, now: float) -> list[Gap]:
        """Drops what has waited too long, and gives it."""
        if self.max_age_s is None:
            return []
        old: list[_Piece] = []
        while self._pieces and now - self._pieces[0].at > self.max_age_s:
            old.append(self._take_oldest())
        return self._lose(old, "too old")

    def drop_since_mark(self, reason: str) -> list[Gap]:
        """Drops the audio behind the last mark, or all where there is no mark, and gives it."""
        from_number = self._marks[-1].number if self._marks else 0
        dropped: deque[_Piece] = deque()
        while self._pieces and self._pieces[-1].number >= from_number:
            piece = self._pieces.pop()
            self.queued_bytes -= piece.n_bytes
            dropped.appendleft(piece)
        return self._lose(dropped, reason)

    def drop_all(self, reason: str) -> list[Gap]:
        """Drops all audio and all marks, and gives the audio."""
        self._marks.clear()
        return self.drop_since_mark(reason)

    # Marks.

    def forget_marks(self) -> None:
        """Drops every mark with its frames; the audio stays."""
        self._marks.clear()

    def mark(self, frame: bytes) -> None:
        """Adds a frame that goes out behind the audio that waits now, and is never dropped with it."""
        self._marks.append(_Mark(frame, self.accepted_pieces))

    def follow_mark(self, frame: bytes) -> None:
        """Adds a frame right behind the last mark, ahead of the audio that came later."""
        self._marks[-1].frames.append(frame)

    def follow_follower(self, frame: bytes) -> bool:
        """Adds a frame right behind the last frame that follows a mark; False where none does."""
        for mark in reversed(self._marks):
            if len(mark.frames) > 1:
                mark.frames.append(frame)
                return True
        return False

    # What goes out next.

    def first(self) -> list[bytes]:
        """Gives the frames that go out next: those of a piece or of a mark. Call `pop` once they are written."""
        return self._marks[0].frames if self._mark_is_next() else [self._pieces[0].frame]

    def pop(self) -> None:
        """Removes what went out, and counts it if it is audio."""
        if self._mark_is_next():
            self._marks.pop(0)
            return
        piece = self._take_oldest()
        self.sent_pieces += 1
        self.sent_bytes += piece.n_bytes
        self.ledger.wrote(piece.start, piece.n_bytes, piece.frame)

    def books(self) -> AudioLedger:
        """Gives the sums."""
        ledger = self.ledger
        return AudioLedger(
            accepted_bytes=self.accepted_bytes,
            queued_bytes=self.queued_bytes,
            open_bytes=ledger.open_bytes,
            confirmed_bytes=ledger.confirmed_bytes,
            delivered_bytes=ledger.delivered_bytes,
            unknown_bytes=ledger.unknown_bytes,
            lost_bytes=self.dropped_bytes + ledger.lost_bytes,
        )

    def named(self, stretches: Iterable[Stretch], reason: str) -> list[Gap]:
        """Gives stretches of the ledger as gaps."""
        return [self._gap(stretch.start, stretch.n_bytes, reason) for stretch in stretches]

    def _mark_is_next(self) -> bool:
        return bool(self._marks) and not (self._pieces and self._pieces[0].number < self._marks[0].number)

    def _accept(self, frame: bytes, n_bytes: int, now: float) -> _Piece:
        piece = _Piece(frame, n_bytes, self.accepted_pieces, self.accepted_bytes, now)
        self.accepted_pieces += 1
        self.accepted_bytes += n_bytes
        return piece

    def _take_oldest(self) -> _Piece:
        piece = self._pieces.popleft()
        self.queued_bytes -= piece.n_bytes
        return piece

    def _oldest_until_it_fits(self, n_bytes: int) -> list[_Piece]:
        oldest: list[_Piece] = []
        while not self.fits(n_bytes):
            oldest.append(self._take_oldest())
        return oldest

    def _lose(self, pieces: Iterable[_Piece], reason: str) -> list[Gap]:
        """Counts pieces as dropped, and names them as few stretches as they make."""
        stretches: list[list[int]] = []
        for piece in pieces:
            self.dropped_pieces += 1
            self.dropped_bytes += piece.n_bytes
            if stretches and sum(stretches[-1]) == piece.start:
                stretches[-1][1] += piece.n_bytes
            else:
                stretches.append([piece.start, piece.n_bytes])
        return [self._gap(start, length, reason) for start, length in stretches if length]

    def _gap(self, start: int, length: int, reason: str) -> Gap:
        ms = self.format.duration_ms
        return Gap(start_bytes=start, length_bytes=length, start_ms=ms(start), length_ms=ms(length), reason=reason)
