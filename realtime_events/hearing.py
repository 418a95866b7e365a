"""Hearing: the assistant's audio as the user gets it, and how much of it was heard.

Owns the chunks that `session.audio` yields and the face of the playback that a player reports to. Knows no device and
no socket. Before it: the dispatcher, which brings audio deltas; after it: whoever plays, and State, which truncates by
what was heard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .audio.playback import Playback
from .events.base import DeltaEvent
from .streams import Subscription

if TYPE_CHECKING:
    from .dispatcher import Dispatcher

AUDIO_KEYS = ("response.output_audio.delta",)
AUDIO_MAX_PENDING = 10_000
AUDIO_MAX_PENDING_BYTES = 32 * 1024 * 1024  # eleven minutes at 24 kHz: it comes faster than anybody can hear it
REMEMBERED_ITEMS = 16


class AudioChunk(DeltaEvent, frozen=True, kw_only=True, tag="audio.chunk"):
    """A piece of the assistant's audio, in the session's output format.

    `start_ms` counts the audio of its item from 0; `length_ms` is how long the piece sounds. It is a delta, so that a
    queue may drop or purge it.
    """

    item_id: str
    response_id: str
    audio: bytes
    start_ms: float
    length_ms: float


class Chunks(Subscription):
    """The queue behind `session.audio`: deltas become chunks as they come, so a dropped one leaves its place empty.

    Args:
        dispatcher: Which brings the deltas.
        bytes_per_ms: Gives how many bytes of them are a millisecond.
        received_ms: Gives how much of an item has come, this delta included, whoever listened by then; 0 if it is
            unknown, as for an item of an out-of-band response.
    """

    max_pending_bytes = AUDIO_MAX_PENDING_BYTES

    __slots__ = ("_bytes_per_ms", "_end_bytes", "_received_ms")

    def __init__(
        self,
        dispatcher: Dispatcher,
        bytes_per_ms: Callable[[], float],
        received_ms: Callable[[str], float] = lambda item_id: 0.0,
    ) -> None:
        super().__init__(dispatcher, AUDIO_KEYS, None, AUDIO_MAX_PENDING)
        self._bytes_per_ms = bytes_per_ms
        self._received_ms = received_ms
        self._end_bytes: dict[str, int] = {}  # Of several, because those of parallel responses take turns.

    def put(self, event: Any) -> None:
        """Queue an audio delta as a chunk."""
        bytes_per_ms, size = self._bytes_per_ms(), len(event.delta)
        begin = self._end_bytes.pop(event.item_id, None)
        if begin is None:
            begin = max(0, round(self._received_ms(event.item_id) * bytes_per_ms) - size)
        self._end_bytes[event.item_id] = begin + size
        if len(self._end_bytes) > REMEMBERED_ITEMS:
            del self._end_bytes[next(iter(self._end_bytes))]
        start_ms, length_ms = begin / bytes_per_ms, size / bytes_per_ms
        super().put(
            AudioChunk(
                item_id=event.item_id,
                response_id=event.response_id,
                audio=event.delta,
                start_ms=start_ms,
                length_ms=length_ms,
            )
        )


class Heard:
    """What the user has really heard: `session.playback`.

    A player reports its position by `played`, and with its first report the clock ends that is assumed without one.
    """

    def __init__(self, playback: Playback, clock: Callable[[], float]) -> None:
        self._playback = playback
        self._clock = clock

    def played(self, item_id: str, *, ms: float | None = None, bytes_: float | None = None) -> None:
        """Report how much of an item was heard since its beginning: as `ms`, or as `bytes_` of its audio.

        Report the end of an item, too. An item that is not known, because it was cut or is long over, is ignored.

        Raises:
            ConfigurationError: Neither or both are given, or the position is negative or no number.
        """
        self._playback.played(item_id, ms=ms, bytes_=bytes_, now=self._clock())

    def position_ms(self, item_id: str) -> float:
        """Give how many milliseconds of an item were heard; never more than were received."""
        return self._playback.position_ms(item_id, self._clock())

    def received_ms(self, item_id: str) -> float:
        """Give how many milliseconds of an item were received."""
        return self._playback.received_ms(item_id)

    @property
    def is_playing(self) -> bool:
        """Whether anything was received that was not heard yet."""
        return self._playback.is_playing(self._clock())

    @property
    def item_id(self) -> str:
        """The item that is heard now; "" if none is."""
        track = self._playback.playing(self._clock())
        return track.item_id if track is not None else ""

    @property
    def until_idle_s(self) -> float:
        """How many seconds it takes until everything that was received is heard."""
        return self._playback.until_idle_s(self._clock())

    @property
    def has_player(self) -> bool:
        """Whether a player reports; else the position is that of a clock."""
        return self._playback.has_player
