"""Playback: what the user has really heard of the assistant's audio.

Owns the playback position of every item, from whoever plays it, or else from a clock; and what is cut by an
interruption. Pure: the time is an argument, in seconds of any clock that never goes back. Knows no event and no device.
Before it: audio deltas, counted by `Track.add`, and a player's reports; after it: truncation, captions, and whoever
waits until nobody speaks.

Without a player, audio is taken to be heard in the order in which it came and in real time, as by a player without
delay. When it runs out, the position stands still until more arrives. So it may be ahead of the loudspeaker by the
player's delay, but is never ahead of what was received.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..exceptions import ConfigurationError

__all__ = ["Cut", "Playback", "Track"]

MAX_TRACKS = 64
SILENT_PLAYER_S = 2.0  # A player may be so much later than its reports let expect, before it is taken to have stopped.
# A nanosecond: seconds as floats are not much better, and 300 ms must not become 299, nor be nearly all of 300 ms.
ROUNDING_MS = 1e-6
ROUNDING_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """An item that was interrupted, and how many milliseconds of it were heard."""

    item_id: str
    response_id: str
    audio_end_ms: int


class Track:
    """The audio of one item: how much was received, and which part of it was heard.

    Attributes:
        item_id: Whose audio it is.
        response_id: The response that the item belongs to.
        received_bytes: What was received, also after the item was cut.
        started_s: When the first of it is heard, by the clock of whoever calls; with a player, None until it reports.
        is_done: Whether no more audio will come.
        is_cut: Whether it was interrupted: nothing that still comes is heard.
    """

    __slots__ = (
        "_bytes_per_ms",
        "_cut_ms",
        "_heard_spans_ms",
        "_line",
        "_spans",
        "is_done",
        "item_id",
        "received_bytes",
        "reported_ms",
        "response_id",
        "started_s",
    )

    def __init__(self, line: _Line, item_id: str, response_id: str, bytes_per_ms: float) -> None:
        self.item_id = item_id
        self.response_id = response_id
        self.received_bytes = 0
        self.reported_ms = 0.0
        self.started_s: float | None = None
        self.is_done = False
        self._line = line
        self._bytes_per_ms = bytes_per_ms
        self._spans: list[list[float]] = []  # Begin and end on the line; one, unless another item's audio came between.
        self._heard_spans_ms = 0.0
        self._cut_ms: float | None = None

    @property
    def is_cut(self) -> bool:
        """Whether it was interrupted."""
        return self._cut_ms is not None

    @property
    def received_ms(self) -> float:
        """How long the received audio lasts."""
        return self.received_bytes / self._bytes_per_ms

    def ms_of(self, n_bytes: float) -> float:
        """Give how long so many bytes of it last."""
        return n_bytes / self._bytes_per_ms

    def add(self, n_bytes: int, now: float) -> None:
        """Count audio that has arrived."""
        self.received_bytes += n_bytes
        if self._cut_ms is not None or not n_bytes:
            return
        line = self._line
        if line.last is not self or now > line.origin_s + line.end_ms / 1000:
            self._continue(now)
        line.end_ms += n_bytes / self._bytes_per_ms
        self._spans[-1][1] = line.end_ms

    def _continue(self, now: float) -> None:
        """Go on after an underrun, or after audio of another item."""
        line = self._line
        line.wait_until(now)
        if line.last is self:
            return
        line.last = self
        self._fold(line.position_ms(now))
        self._spans.append([line.end_ms, line.end_ms])
        if self.started_s is None and not line.has_player:
            self.started_s = line.origin_s + line.end_ms / 1000

    def _fold(self, heard_ms: float) -> None:
        """Keep only the length of spans that were heard, however often items take turns."""
        while self._spans and self._spans[0][1] <= heard_ms:
            begin, end = self._spans.pop(0)
            self._heard_spans_ms += end - begin

    def position_ms(self, now: float) -> float:
        """Give how much of it was heard."""
        if self._cut_ms is not None:
            return self._cut_ms
        if self._line.has_player:
            return self.reported_ms
        at = self._line.position_ms(now)
        heard = (min(max(at - begin, 0.0), end - begin) for begin, end in self._spans)
        return min(round(sum(heard, self._heard_spans_ms), ROUNDING_DIGITS), self.received_ms)

    def is_heard(self, now: float) -> bool:
        """Say whether everything received was heard; a player's report is believed to the whole millisecond."""
        if self._line.has_player or self._cut_ms is not None:
            return int(self.position_ms(now)) >= int(self.received_ms)
        return self.heard_from_ms(now) is None

    def heard_from_ms(self, now: float) -> float | None:
        """Give the place on the line of the next audio of this item to be heard, or None."""
        at = self._line.position_ms(now)
        return next((max(begin, at) for begin, end in self._spans if end - at > ROUNDING_MS), None)

    def cut(self, now: float) -> Cut:
        """Say how much was heard, and take no more audio for heard."""
        self._cut_ms = self.position_ms(now)
        return Cut(
            item_id=self.item_id,
            response_id=self.response_id,
            audio_end_ms=int(min(self._cut_ms, self.received_ms)),
        )


class _Line:
    """All audio in the order of arrival, as one long line that is heard in real time.

    The place `p` of the line is heard at `origin_s + p / 1000`. An underrun moves the origin, so that nothing is
    counted while nothing is heard; `heard_ms` keeps rounding from moving the position back by it.
    """

    __slots__ = ("end_ms", "has_player", "heard_ms", "last", "origin_s")

    def __init__(self) -> None:
        self.end_ms = 0.0
        self.heard_ms = 0.0
        self.origin_s = -math.inf
        self.last: Track | None = None
        self.has_player = False

    def position_ms(self, now: float) -> float:
        """Give the place that is heard now."""
        return max(self.heard_ms, min(self.end_ms, (now - self.origin_s) * 1000))

    def left_s(self, now: float) -> float:
        """Give how long there is still something to hear."""
        return max(0.0, self.origin_s + self.end_ms / 1000 - now)

    def wait_until(self, now: float) -> None:
        """Count no time since all was heard."""
        if not self.left_s(now):
            self.origin_s = now - self.end_ms / 1000
            self.heard_ms = self.end_ms

    def cut(self, now: float) -> None:
        """Take off what was not heard."""
        self.end_ms = self.heard_ms = self.position_ms(now)
        self.last = None


class Playback:
    """The audio of one session: what is heard now, what waits to be heard, and what is cut.

    `has_player` is true from a player's first report on; then only its reports count, and the clock does not.
    """

    def __init__(self) -> None:
        self._line = _Line()
        self._tracks: dict[str, Track] = {}
        self._past: dict[str, Track] = {}
        self._reported_s = -math.inf

    @property
    def has_player(self) -> bool:
        """Whether somebody reports what is heard."""
        return self._line.has_player

    def begin(self, item_id: str, response_id: str, bytes_per_ms: float, now: float) -> Track:
        """Give the track of an item; its audio is heard after all that came before.

        Args:
            item_id: Whose audio it is.
            response_id: The response that the item belongs to.
            bytes_per_ms: The bytes of a millisecond: 48 for pcm16 at 24 kHz, 8 for G.711.
            now: The time in seconds.
        """
        track = self._tracks.get(item_id) or self._past.get(item_id)
        if track is None:
            track = Track(self._line, item_id, response_id, bytes_per_ms)
        if not track.is_cut:
            self._past.pop(item_id, None)
            self._tracks[item_id] = track
            track.is_done = False
            self._forget_heard(now)
        return track

    def done(self, item_id: str) -> None:
        """Take note that no more audio of an item will come."""
        if (track := self._tracks.get(item_id)) is not None:
            track.is_done = True

    def played(
        self, item_id: str, *, ms: float | None = None, bytes_: float | None = None, now: float | None = None
    ) -> None:
        """Take a player's word for how much of an item was heard since its begin.

        A position of more than zero says that the items before it are over. Report the end of an item too: until then
        it counts as being heard. An item that is not known, because it was cut or is long over, is ignored.

        Args:
            item_id: The item.
            ms: How much of it was heard, in milliseconds; at the most all that was received counts.
            bytes_: The same in bytes of the item's audio; give one of the two.
            now: The time in seconds, if `started_s` shall be known.

        Raises:
            ConfigurationError: Neither or both are given, or the position is negative or no number.
        """
        value = _position(ms, bytes_)
        if not self._line.has_player:
            self._line.has_player = True
            for waiting in self._tracks.values():
                waiting.started_s = None  # The clock knew nothing of the player's delay.
        self._reported_s = self._reported_s if now is None else now
        track = self._tracks.get(item_id)
        if track is None:
            return
        position_ms = value if ms is not None else track.ms_of(value)
        track.reported_ms = min(position_ms, track.received_ms)
        if track.reported_ms > 0:
            self._end_before(track)
            if track.started_s is None and now is not None:
                track.started_s = now - track.reported_ms / 1000

    def _end_before(self, heard: Track) -> None:
        for track in self._tracks.values():
            if track is heard:
                return
            track.reported_ms = track.received_ms

    # Looking.

    def position_ms(self, item_id: str, now: float) -> float:
        """Give how much of an item was heard; 0 for one that is not known."""
        track = self._find(item_id)
        return track.position_ms(now) if track is not None else 0.0

    def received_ms(self, item_id: str) -> float:
        """Give how much of an item was received; 0 for one that is not known."""
        track = self._find(item_id)
        return track.received_ms if track is not None else 0.0

    def started_s(self, item_id: str) -> float | None:
        """Give when an item began to be heard, or will, if that is known."""
        track = self._find(item_id)
        return track.started_s if track is not None else None

    def _find(self, item_id: str) -> Track | None:
        return self._tracks.get(item_id) or self._past.get(item_id)

    def is_playing(self, now: float) -> bool:
        """Say whether anything was received that was not heard yet."""
        return self.playing(now) is not None

    def playing(self, now: float) -> Track | None:
        """Give the track that is heard now, or would be if the player did not pause."""
        if self.has_player:
            return next((track for track in self._tracks.values() if not track.is_heard(now)), None)
        waiting = ((place, track) for track in self._tracks.values() if (place := track.heard_from_ms(now)) is not None)
        return min(waiting, key=lambda pair: pair[0], default=(0.0, None))[1]

    def unheard_responses(self, now: float) -> set[str]:
        """Give the ids of the responses of which something was received that was not heard yet."""
        return {track.response_id for track in self._tracks.values() if not track.is_heard(now)}

    def is_stalled(self, now: float) -> bool:
        """Say whether a player has fallen silent: all that is left should have been heard since it last reported.

        So nobody waits for ever for an end that is not reported, as by a player that was closed.
        """
        if not self.has_player:
            return False
        last_s = max(self._reported_s, self._line.origin_s + self._line.end_ms / 1000)
        return now > last_s + self.until_idle_s(now) + SILENT_PLAYER_S

    def until_idle_s(self, now: float) -> float:
        """Give how long it takes until all that was received is heard, if nothing is added and nobody pauses."""
        if not self.has_player:
            return self._line.left_s(now)
        unheard = (track for track in self._tracks.values() if not track.is_heard(now))
        return sum(track.received_ms - track.reported_ms for track in unheard) / 1000

    # Cutting.

    def interrupt(self, now: float) -> list[Cut]:
        """Cut everything that is not over, and say how much of each item was heard: the one being heard comes first.

        Whoever plays must empty its buffers before. Items that were heard to their end are not cut; nor is anything
        said of one without audio.
        """
        self._forget_heard(now)
        heard = self.playing(now)
        tracks = sorted(self._tracks.values(), key=lambda track: track is not heard)
        cuts = [track.cut(now) for track in tracks]
        self._line.cut(now)
        for track in tracks:
            self._forget(track)
        return [cut for cut, track in zip(cuts, tracks, strict=True) if track.received_bytes]

    def _forget_heard(self, now: float) -> None:
        """Keep in mind only what is not over, and of that the newest."""
        for track in [track for track in self._tracks.values() if track.is_done and track.is_heard(now)]:
            track.reported_ms = track.received_ms
            self._forget(track)
        while len(self._tracks) > MAX_TRACKS:
            self._forget(next(iter(self._tracks.values())))

    def _forget(self, track: Track) -> None:
        self._past[track.item_id] = self._tracks.pop(track.item_id)
        if len(self._past) > MAX_TRACKS:
            del self._past[next(iter(self._past))]


def _position(ms: float | None, bytes_: float | None) -> float:
    given = [value for value in (ms, bytes_) if value is not None]
    if len(given) != 1:
        raise ConfigurationError(f"a playback position is one of ms= and bytes_=, not ms={ms!r} and bytes_={bytes_!r}")
    if not (math.isfinite(given[0]) and given[0] >= 0):
        raise ConfigurationError(f"a playback position is a number from 0 on, not {given[0]!r}")
    return given[0]
