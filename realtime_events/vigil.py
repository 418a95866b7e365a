"""The vigil: what is looked at now and then while a session lives.

Owns the times of a session that no event marks: a server that says nothing although an answer is due, a session that
everybody has forgotten, one that has lasted too long, and the server's limit. Knows no socket. Before it: the session,
which begins and ends it; after it: the lifeline, which rotates, and the lanes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .dispatcher import Dispatcher
from .events import local
from .options import Options

if TYPE_CHECKING:
    from .lifeline import Lifeline

MAX_TICK_S = 5.0
MIN_TICK_S = 0.05
TICKS_IN_TIME = 10
ROUNDED_S = 1.0  # `expires_at` is in whole seconds
LIMIT_S = 3600.0  # a GA session ends after 60 minutes
ROTATE_BEFORE_S = 300.0
ROTATE_SPREAD_S = 120.0  # so that sessions that began together do not rotate together


class Vigil:
    """Looks at one session at regular times; `look` may also be called by hand.

    Args:
        line: The session's connections.
        dispatcher: Its lanes.
        options: Its times.
        close: Closes it for a reason.
        clock: Gives seconds.
        spread: Gives a number from 0 to 1, by which rotations are spread.
    """

    def __init__(
        self,
        line: Lifeline,
        dispatcher: Dispatcher,
        options: Options,
        *,
        close: Callable[[str], None],
        clock: Callable[[], float],
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._line = line
        self._dispatcher = dispatcher
        self._options = options
        self._close = close
        self._clock = clock
        self._spread = spread()
        self._timer: asyncio.TimerHandle | None = None
        self._began_s = clock()
        self._seen = (0, 0)
        self._seen_s = self._heard_s = clock()
        self._heard = 0
        self._is_stalled = False
        self._warned_of: str = ""
        self._measured: str = ""
        self._life_s = LIMIT_S

    def begin(self) -> None:
        """Begin to look."""
        self._began_s = self._seen_s = self._heard_s = self._clock()
        self._wait()

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._tick_s(), self._tick)

    def _tick_s(self) -> float:
        options = self._options
        rotate_s = None if isinstance(options.rotate, bool) else options.rotate
        times = [options.stall_s, options.idle_timeout_s, options.max_duration_s, rotate_s]
        shortest_s = min((seconds for seconds in times if seconds is not None), default=MAX_TICK_S)
        return max(MIN_TICK_S, min(MAX_TICK_S, shortest_s / TICKS_IN_TIME))

    def _tick(self) -> None:
        self._wait()
        self.look()

    def look(self) -> None:
        """Look at the session, and do what is due."""
        now, connection = self._clock(), self._line.connection
        counts = (connection.received, connection.sent)
        if counts != self._seen:
            self._seen, self._seen_s = counts, now
        if connection.received != self._heard:
            self._heard, self._heard_s, self._is_stalled = connection.received, now, False
        self._look_for_a_stall(now)
        if not self._is_over(now):
            self._look_at_the_limit(now)

    def _look_for_a_stall(self, now: float) -> None:
        core, silent_s = self._line.core, now - self._heard_s
        waiting_for = core.waiting_for() if not self._line.is_offline else ""
        if not waiting_for:
            self._heard_s = now  # Nothing is due: the silence begins with the next request.
        elif silent_s >= self._options.stall_s and not self._is_stalled:
            self._is_stalled = True
            self._dispatcher.publish(local.ConnectionStalled(silent_s=silent_s, waiting_for=waiting_for))
            self._act_on_a_stall(now)

    def _act_on_a_stall(self, now: float) -> None:
        if self._options.on_stall == "cancel":
            self._line.core.voice.interrupt(now, force=True)
            self._line.connection.carry_out()
        elif self._options.on_stall == "reconnect":
            self._line.connection.abort()

    def _is_over(self, now: float) -> bool:
        idle_s, longest_s = self._options.idle_timeout_s, self._options.max_duration_s
        most = self._options.max_tokens
        if longest_s is not None and now - self._began_s >= longest_s:
            self._close(f"the session has lasted {longest_s:g} s (max_duration_s)")
        elif idle_s is not None and now - self._seen_s >= idle_s:
            self._close(f"nothing was sent or received for {idle_s:g} s (idle_timeout_s)")
        elif most is not None and (used := self._line.core.usage.tokens) >= most:
            self._close(f"{used:,} tokens are used, of {most:,} (max_tokens)")
        else:
            return False
        return True

    # The server's limit.

    def _look_at_the_limit(self, now: float) -> None:
        rotate, left_s = self._options.rotate if self._line.can_rotate else False, self._left_s()
        if not isinstance(rotate, bool) and self._line.lived_s >= rotate:
            self._line.rotate()
        before_s = ROTATE_BEFORE_S + self._spread * ROTATE_SPREAD_S
        # Half of a short life at the most: else each session would be left as soon as it is there.
        if rotate and left_s <= min(before_s, self._life_s / 2):
            self._line.rotate()
        elif not rotate and left_s <= ROTATE_BEFORE_S and self._warned_of != self._line.core.session_id:
            self._warned_of = session_id = self._line.core.session_id
            self._dispatcher.publish(local.SessionExpiring(session_id=session_id, left_s=max(0.0, left_s)))

    def _left_s(self) -> float:
        """Give how long the server will keep the session: by its own word, or by the API's limit.

        Its word is a time of day, so it is read once, when the session is new: the machine's clock may be set later. A
        time that is past already says that this clock is wrong.
        """
        core, lived_s = self._line.core, self._line.lived_s
        if core.session_id != self._measured:
            expires_at = core.config.expires_at
            self._measured, self._life_s = core.session_id, LIMIT_S
            if isinstance(expires_at, int) and (left_s := expires_at - time.time()) > -ROUNDED_S:
                self._life_s = lived_s + min(left_s, LIMIT_S)
        return self._life_s - lived_s
