"""The outbox: what is said waits here until the door has room, and what is urgent passes what can wait.

Owns the order in which frames go out: audio waits in a ring while the door is full, control events overtake it. Knows
frames and their places, no event but for the one table that gives an event its place, and no State. Before it: the
connection, which encodes; after it: the door, which writes.

While the door has room and nothing waits, a frame is written at once; one task, which lives only as long as something
waits, writes the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from .audio.ring import MAX_AGE_S, MAX_MS, Gap, Policy, Ring
from .events import client, translation
from .events.base import UNSET, ClientEvent
from .events.session import SessionConfig
from .exceptions import ConnectionLostError, TransportError

if TYPE_CHECKING:
    from .transport import Transport

SEND_TIMEOUT_S = 5.0
LAG_S = 1.0  # Speech that comes so late is answered late, or not at all.
CONTROL_BYTES = 256 * 1024  # Beyond this an awaited control event waits for the door too.
FRAMES_PER_TURN = 64


class Place(Enum):
    """Where a frame that carries no audio goes while audio waits."""

    AHEAD = auto()
    """Overtakes audio and commits, but no control event that waits behind a commit."""
    AT_ONCE = auto()
    """Overtakes everything: it names something that the server has already."""
    AFTER_COMMIT = auto()
    """Right behind the last commit that waits, since it builds on it; else ahead."""
    IN_LINE = auto()
    """Behind all audio that was accepted before it."""
    CLEAR = auto()
    """Takes the audio since the last commit out of the queue, and overtakes what remains, but no commit."""


_PLACES: dict[type[ClientEvent], Place] = {
    client.InputAudioBufferCommit: Place.IN_LINE,
    translation.SessionClose: Place.IN_LINE,
    client.InputAudioBufferClear: Place.CLEAR,
    client.ConversationItemCreate: Place.AFTER_COMMIT,
    client.ResponseCreate: Place.AFTER_COMMIT,
    client.ConversationItemTruncate: Place.AT_ONCE,
}


def place_of(event: ClientEvent) -> Place:
    """Give the place of an event that is not an append of audio; events of the GA dialect."""
    if isinstance(event, client.ConversationItemCreate) and event.item.type == "function_call_output":
        return Place.AT_ONCE
    if isinstance(event, client.ResponseCancel) and event.response_id not in (None, UNSET):
        return Place.AT_ONCE
    if isinstance(event, client.SessionUpdate) and event.session == SessionConfig(type=event.session.type):
        return Place.IN_LINE  # It changes nothing: its answer is to say that all audio before it has been heard.
    return _PLACES.get(type(event), Place.AHEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How audio waits while the network is slower than the microphone.

    Attributes:
        policy: What a full queue does: `block` lets the sender wait, and drops nothing; `drop_oldest` and `drop_newest`
            never wait, and name what they drop.
        max_ms: How much audio may wait.
        max_age_s: Audio that waited longer is dropped, unless the policy is `block`; None drops none.
        timeout_s: How long a sender waits for room.
    """

    policy: Policy = "block"
    max_ms: float = MAX_MS
    max_age_s: float | None = MAX_AGE_S
    timeout_s: float = SEND_TIMEOUT_S


class Outbox:
    """The frames of one connection on their way to the door.

    Nothing here awaits between deciding on a frame and writing it, so concurrent senders never mix.

    Args:
        transport: The door.
        clock: Gives seconds.
        on_gap: Called with each stretch of accepted audio that will not be sent.
        on_lag: Told once that audio waits for longer than `LAG_S`: its age in seconds, and how many ms wait.
        sending: How audio waits.
    """

    __slots__ = (
        "_after",
        "_blocked",
        "_clock",
        "_error",
        "_is_lagging",
        "_on_gap",
        "_on_lag",
        "_paused",
        "_pumping",
        "_timeout_s",
        "_transport",
        "ring",
    )

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Callable[[], float],
        on_gap: Callable[[Gap], None],
        on_lag: Callable[[float, float], None] = lambda age_s, waiting_ms: None,
        sending: Sending | None = None,
    ) -> None:
        sending = sending or Sending()
        self.ring = Ring(policy=sending.policy, max_ms=sending.max_ms, max_age_s=sending.max_age_s)
        self._transport = transport
        self._clock = clock
        self._on_gap = on_gap
        self._on_lag = on_lag
        self._is_lagging = False
        self._timeout_s = sending.timeout_s
        self._blocked: list[tuple[bytes, int, asyncio.Future[None]]] = []
        self._pumping: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._paused = False
        self._after: Outbox | None = None

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of audio wait, those of blocked senders included."""
        return self.ring.queued_bytes + sum(n_bytes for _, n_bytes, _ in self._blocked)

    # Control.

    def post(self, frame: bytes, place: Place = Place.AHEAD) -> None:
        """Send a frame without waiting: it is on the wire, or in its place behind audio, when this returns.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        if self._error is not None:
            raise self._error
        ring = self.ring
        if ring and self._keeps_place(frame, place):
            return
        if place is Place.CLEAR and ring:
            self._tell(ring.drop_since_mark("cleared"))
        self._transport.write(frame)
        if self._blocked:
            self._admit()

    def _keeps_place(self, frame: bytes, place: Place) -> bool:
        """Put a frame into the queue if it may not overtake what is there."""
        ring = self.ring
        if place is Place.IN_LINE:
            ring.mark(frame)
        elif place is Place.AHEAD:
            return ring.follow_follower(frame)
        elif place is Place.AT_ONCE or not ring.has_marks:
            return False
        else:
            if place is Place.CLEAR:
                self._tell(ring.drop_since_mark("cleared"))
                self._admit()
            ring.follow_mark(frame)
        return True

    async def send(self, frame: bytes, place: Place = Place.AHEAD) -> None:
        """Send a frame as `post` does, and wait a bounded time for the door where very much is unsent.

        The frame is on its way in any case: whether the peer lives is for the pings to find out.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        self.post(frame, place)
        if self._transport.unsent_bytes > CONTROL_BYTES:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._transport.drain()
            except TimeoutError:
                pass

    # Audio.

    async def send_audio(self, frame: bytes, n_bytes: int) -> None:
        """Send a frame that carries so many bytes of audio; it is accepted when this returns.

        Raises:
            ConnectionLostError: The connection has ended.
            TimeoutError: The policy is `block`, and there was no room in time; nothing was accepted.
        """
        ring = self.ring
        if not ring and not self._paused and self._transport.has_room:
            try:
                self._transport.write(frame)
            except TransportError:
                pass  # It has ended, and nobody was told yet: the audio waits for the next one, or is named at the end.
            else:
                ring.passed(frame, n_bytes)
                return
        if self._error is not None:
            raise self._error
        self._look_at_the_age()
        if ring.policy == "block" and (self._blocked or not ring.fits(n_bytes)):
            await self._wait_for_room(frame, n_bytes)
            return
        self._tell(ring.put(frame, n_bytes, self._clock()))
        self._pump_on()

    def _look_at_the_age(self) -> None:
        age_s = self.ring.age_s(self._clock())
        if age_s >= LAG_S and not self._is_lagging:
            self._is_lagging = True
            self._on_lag(age_s, self.ring.format.duration_ms(self.ring.queued_bytes))

    async def _wait_for_room(self, frame: bytes, n_bytes: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (frame, n_bytes, future)
        self._blocked.append(entry)
        try:
            # Not `wait_for`: it may time out although the audio was accepted in the same turn of the loop.
            await asyncio.wait((future,), timeout=self._timeout_s)
            if not future.done():
                raise TimeoutError(
                    f"no room for audio within {self._timeout_s:g} s: {self.ring.queued_bytes:,} bytes wait already"
                )
            future.result()
        finally:
            if not future.done():
                future.cancel()
                self._newest()._forget(entry)

    def _newest(self) -> Outbox:
        """Give the outbox that has taken over, be it this one: whoever waits, waits there now."""
        outbox = self
        while outbox._after is not None:
            outbox = outbox._after
        return outbox

    def _forget(self, entry: tuple[bytes, int, asyncio.Future[None]]) -> None:
        self._blocked.remove(entry)
        self._admit()

    def _admit(self) -> None:
        """Accept the audio of blocked senders, in their order, as far as there is room."""
        while self._blocked and self.ring.fits(self._blocked[0][1]):
            frame, n_bytes, future = self._blocked.pop(0)
            self._tell(self.ring.put(frame, n_bytes, self._clock()))
            future.set_result(None)
        self._pump_on()

    # Out.

    def _pump_on(self) -> None:
        if self.ring and self._pumping is None and self._error is None and not self._paused:
            loop = asyncio.get_running_loop()
            self._pumping = loop.create_task(self._pump(), name="realtime_events.session.send")

    async def _pump(self) -> None:
        try:
            while self.ring:
                await self._transport.drain()
                self._write_some()
                await asyncio.sleep(0)
        except TransportError:
            pass  # The reader tells how the connection ended, and then `end` names what was lost.
        finally:
            self._pumping = None

    def _write_some(self) -> None:
        ring, transport = self.ring, self._transport
        self._tell(ring.expire(self._clock()))
        for _ in range(FRAMES_PER_TURN):
            if not ring or not transport.has_room:
                break
            for frame in ring.first():
                transport.write(frame)
            ring.pop()
        self._is_lagging = self._is_lagging and bool(ring)
        self._admit()

    def pause(self) -> None:
        """The door is lost, and another follows: audio waits for it; frames that kept a place in it are dropped."""
        self._paused = True
        if self._pumping is not None:
            self._pumping.cancel()
        self.ring.forget_marks()

    def take_over(self, before: Outbox, again: Iterable[bytes] = ()) -> bool:
        """Say some frames again, then take the audio that waits in the outbox before, and who waits to add to it.

        Says whether the frames could be written: if not, the connection has ended, and the reader tells how.
        """
        before.pause()
        is_said = self._say(again)
        self.ring, self._blocked = before.ring, before._blocked
        before._blocked, before._after = [], self
        self._admit()
        return is_said

    def _say(self, frames: Iterable[bytes]) -> bool:
        try:
            for frame in frames:
                self._transport.write(frame)
        except TransportError:
            return False
        return True

    def end(self, error: Exception | None = None, reason: str = "the connection ended") -> None:
        """The connection has ended: free every blocked sender, and name all audio that was accepted and still waits."""
        if self._error is not None:
            return
        self._error = error or ConnectionLostError(1006, "the connection is closed", initiator="client")
        if self._pumping is not None:
            self._pumping.cancel()
        blocked, self._blocked = self._blocked, []
        for _, _, future in blocked:
            future.set_exception(self._error)
            future.exception()  # Whoever waited may have been cancelled in this turn.
        self._tell(self.ring.drop_all(reason))

    def _tell(self, gaps: list[Gap]) -> None:
        for gap in gaps:
            self._on_gap(gap)
