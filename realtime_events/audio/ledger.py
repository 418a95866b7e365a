"""The ledger: what became of the audio that was written.

Owns the stretches that were written to the server's current session and that nothing has confirmed yet, the frames that
can be said again to a session that takes over, and the counters. Pure. Knows no socket and no event. Before it:
`ring.py`, which tells it what was written; after it: the connection, which names what nobody will hear.

Positions are bytes of accepted audio, counted from 0 through all connections. Its law, at every step: written = open +
confirmed + delivered + unknown + lost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["AudioLedger", "Ledger", "Stretch"]

MAX_STRETCHES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioLedger:
    """What became of the user's audio, in bytes of the session's input format.

    At every moment accepted = queued + open + confirmed + delivered + unknown + lost.

    Attributes:
        accepted_bytes: All that `send_audio` has taken, through all connections of the session.
        queued_bytes: Waits to be sent.
        open_bytes: Was sent to the current connection, and waits for an event of the server that covers it.
        confirmed_bytes: An event of the server covers it: speech was heard in it, or it was committed or cleared.
        delivered_bytes: Reached the peer's machine, and no event covers it: silence, or what a loss left unheard.
        unknown_bytes: Was sent to a connection that was lost, and may have arrived or not.
        lost_bytes: Was never sent, or was left behind uncommitted by a rotation; `audio.gap` said why.
    """

    accepted_bytes: int = 0
    queued_bytes: int = 0
    open_bytes: int = 0
    confirmed_bytes: int = 0
    delivered_bytes: int = 0
    unknown_bytes: int = 0
    lost_bytes: int = 0


@dataclass(slots=True, order=True)
class Stretch:
    """A stretch of accepted audio: from `start` to `end`, of which `n_bytes` are meant, all of them as a rule."""

    start: int
    end: int
    n_bytes: int

    def split(self, n_bytes: int) -> tuple[Stretch, Stretch]:
        """Give its first bytes and its rest."""
        middle = min(self.start + n_bytes, self.end)
        return Stretch(self.start, middle, n_bytes), Stretch(middle, self.end, self.n_bytes - n_bytes)


class Ledger:
    """The books of the written audio.

    Attributes:
        keep_bytes: How much of what was written last, in bytes of audio, can be said again.
        confirmed_bytes: What an event of the server covers: it heard speech there, made an item of it, or cleared it.
        delivered_bytes: What reached the peer's machine, and no event covers.
        unknown_bytes: What was written to a connection that is lost, and may have arrived or not.
        lost_bytes: What a session was still to make an item of when another took over.
    """

    __slots__ = (
        "_confirmed_here",
        "_kept",
        "_kept_bytes",
        "_open",
        "confirmed_bytes",
        "delivered_bytes",
        "keep_bytes",
        "lost_bytes",
        "unknown_bytes",
    )

    def __init__(self, *, keep_bytes: int = 0) -> None:
        self.keep_bytes = keep_bytes
        self.confirmed_bytes = self.delivered_bytes = self.unknown_bytes = self.lost_bytes = 0
        self._open: deque[Stretch] = deque()
        self._kept: deque[tuple[int, int, bytes]] = deque()
        self._kept_bytes = 0
        self._confirmed_here = 0  # of what was written to the current session

    @property
    def open_bytes(self) -> int:
        """What was written to the current session, and waits for an event that covers it."""
        return sum(stretch.n_bytes for stretch in self._open)

    def wrote(self, start: int, n_bytes: int, frame: bytes) -> None:
        """Take note of a piece that was written, and keep its frame for a while."""
        if not n_bytes:
            return
        self._open_up(start, n_bytes)
        self._kept.append((start, n_bytes, frame))
        self._kept_bytes += n_bytes
        while self._kept_bytes > self.keep_bytes:
            self._kept_bytes -= self._kept.popleft()[1]

    def _open_up(self, start: int, n_bytes: int) -> None:
        last = self._open[-1] if self._open else None
        if last is not None and last.end == start:
            last.end += n_bytes
            last.n_bytes += n_bytes
        else:
            self._open.append(Stretch(start, start + n_bytes, n_bytes))
        if len(self._open) > MAX_STRETCHES:
            # As if what was dropped between the oldest two belonged to them: the places get blurred, the sums do not.
            first, second = self._open.popleft(), self._open.popleft()
            self._open.appendleft(Stretch(first.start, second.end, first.n_bytes + second.n_bytes))

    # What the server says of it.

    def confirm_first(self, n_bytes: int) -> None:
        """The first so many bytes of all that was written to the current session have been heard."""
        while self._open and self._confirmed_here < n_bytes:
            self._confirm(self._take_first(n_bytes - self._confirmed_here))

    def confirm_until(self, position: int) -> None:
        """What was accepted before a position, and written, has been dealt with."""
        while self._open and self._open[0].start < position:
            self._confirm(self._take_first(position - self._open[0].start))
        self._forget_frames(position)

    def _take_first(self, n_bytes: int) -> Stretch:
        first = self._open.popleft()
        if first.n_bytes <= n_bytes:
            return first
        first, rest = first.split(n_bytes)
        self._open.appendleft(rest)
        return first

    def _confirm(self, stretch: Stretch) -> None:
        self.confirmed_bytes += stretch.n_bytes
        self._confirmed_here += stretch.n_bytes

    def _forget_frames(self, position: int) -> None:
        while self._kept and self._kept[0][0] + self._kept[0][1] <= position:
            self._kept_bytes -= self._kept.popleft()[1]

    # The end of a session.

    def lose(self, unacknowledged_bytes: int | None) -> tuple[list[Stretch], list[Stretch]]:
        """The connection is lost: give what is known to have reached the peer's machine, and what is not.

        Args:
            unacknowledged_bytes: How much the peer's machine has not acknowledged, at the most; None if nobody knows.
        """
        n_bytes = self.open_bytes
        unknown_bytes = n_bytes if unacknowledged_bytes is None else min(n_bytes, unacknowledged_bytes)
        delivered = self._take(n_bytes - unknown_bytes)
        unknown = list(self._open)
        self.delivered_bytes += n_bytes - unknown_bytes
        self.unknown_bytes += unknown_bytes
        self._begin_again()
        return delivered, unknown

    def move(self, *, was_heard: bool) -> tuple[list[bytes], list[Stretch]]:
        """Another session takes over from one that lives: give the frames to say again, and what is lost by it.

        Args:
            was_heard: Whether the old session listened for speech: then what it heard nothing in is lost to nobody.
        """
        # What is open was written last, and so was what is kept: by their sums they are laid over each other.
        again, n_bytes = list(self._kept), self._kept_bytes
        while again and n_bytes - again[0][1] >= self.open_bytes:
            n_bytes -= again.pop(0)[1]
        # Of the first piece, a part may have been confirmed: it is said again, and counted once.
        twice_bytes = max(0, n_bytes - self.open_bytes)
        rest = self._take(self.open_bytes + twice_bytes - n_bytes)
        self._settle_rest(sum(stretch.n_bytes for stretch in rest), was_heard=was_heard)
        self._begin_again(confirmed_bytes=twice_bytes)
        for place, (start, n_bytes, frame) in enumerate(again):
            self.wrote(start, n_bytes, frame)
            if place == 0 and twice_bytes:
                self._take_first(twice_bytes)
        return [frame for _, _, frame in again], [] if was_heard else rest

    def _settle_rest(self, n_bytes: int, *, was_heard: bool) -> None:
        if was_heard:
            self.delivered_bytes += n_bytes
        else:
            self.lost_bytes += n_bytes

    def _take(self, n_bytes: int) -> list[Stretch]:
        """Take the first so many bytes out of what is open."""
        taken = list[Stretch]()
        while n_bytes > 0:
            taken.append(self._take_first(n_bytes))
            n_bytes -= taken[-1].n_bytes
        return taken

    def _begin_again(self, confirmed_bytes: int = 0) -> None:
        self._open.clear()
        self._kept.clear()
        self._kept_bytes, self._confirmed_here = 0, confirmed_bytes
