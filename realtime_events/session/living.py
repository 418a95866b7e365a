"""Living: how a session begins and how it ends.

Owns opening, closing and draining, and the reasons for which a session is closed from within. What happens between two
connections is the lifeline's. Before it: the application; after it: every room of the session, which is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from ..events import local
from ..events.response import ResponseCreateParams
from ..events.session import SessionConfig
from ..exceptions import RealtimeError
from ..logs import logger
from ..protocol.conversation import Conversation, Dropped
from ..protocol.responses import Wanted
from ..vigil import Vigil
from ..watch import Watch
from .configuring import says_something
from .editing import Editing
from .listening import Listening
from .renewing import Renewing
from .sounding import Sounding
from .talking import Talking

if TYPE_CHECKING:
    from ..plugin import Plugin
    from ..recorder.resuming import Resumed
    from ..transport import Ending

log = logger("session")

LANE_GRACE_S = 0.5
DRAIN_LOOK_S = 0.25
RESTS = ("turn.done", "response.done", "output_audio_buffer.*", "connection.*")
MANNERS = ("closed by the application", 1000)


class Living(Talking, Sounding, Editing, Renewing, Listening):
    """The way in and the way out."""

    prepared: list[Plugin]
    _set_up: Callable[[], Awaitable[None]]  # the application's plugins, for this session
    _tear_down: Callable[[], Awaitable[None]]
    _vigil: Vigil
    _seed: Conversation | None
    _resumed: Resumed | None = None
    _closing: asyncio.Task[None] | None = None
    _leaving: asyncio.Task[None] | None = None
    _spared: set[asyncio.Task[Any]]
    _why = _reason = ""

    async def open(self) -> Self:
        """Connect, configure the session and wait until the server has confirmed it.

        Raises:
            HandshakeError: The server refused; nothing of this session is left then.
            ServerError: The server refused the configuration.
            TimeoutError: The server did not answer in time.
        """
        try:
            await self._connect()
            if self._options.watch_loop and self._closing is None:
                # Not before: what the first connection loads may take long, and holds nobody up.
                Watch.of_this_loop().join(self._dispatcher)
            await self._set_up()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connect(self) -> None:
        await self._line.connect()
        wanted = SessionConfig() if self._is_told else self.tell()
        if says_something(wanted):
            await self._update(wanted, self._options.connect_timeout_s)
        dropped = await self.seed(self._seed) if self._seed is not None else ()
        if self._connection.ended.done():
            raise self._connection.lost()
        self._line.is_open()
        self._vigil.begin()
        log.info("session %s is open at %s", self.id, self._place)
        self._dispatcher.publish(local.ConnectionOpened(session_id=self.id, url=self._place))
        if self._resumed is not None:
            self._tell_resumed(self._resumed, dropped)

    def take_up(self, resumed: Resumed) -> None:
        """Go on from what a tape knows; the session is told so when it is opened."""
        self._resumed = resumed
        self._core.usage = resumed.usage

    def _tell_resumed(self, resumed: Resumed, dropped: Sequence[Dropped]) -> None:
        items = {item_id: resumed.conversation.get(item_id) for item_id, _ in dropped}
        in_flight = tuple(
            item_id for item_id, item in items.items() if item is not None and item.status == "in_progress"
        )
        self._dispatcher.publish(
            local.ConnectionRestored(
                session_id=self.id,
                replayed=tuple(item.id for item in self._core.conversation),
                dropped=tuple(item_id for item_id in items if item_id not in in_flight),
                lost_in_flight=in_flight,
            )
        )
        for call in resumed.open_calls:
            self._dispatcher.publish(local.ToolOrphaned(call=call))

    async def close(self) -> None:
        """End the session within a second, whatever the server does.

        Twice is fine, from inside a handler is fine, and a cancelled close still completes.
        """
        task = asyncio.current_task()
        if task is not None:
            self._spared.add(task)
        self._closing = self._closing or self._start_closing()
        await asyncio.shield(self._closing)

    async def wait_closed(self) -> Ending:
        """Wait until the session has ended for good, and say how its last connection did."""
        return await asyncio.shield(self._line.ended)

    async def drain(self, grace_s: float | None = None) -> None:
        """Close the session, but let the turn that runs end, with its tool calls and what is said of their outputs.

        From now on no other begins: `ask` and `respond` are refused, and no more of the user's audio is sent.

        Args:
            grace_s: How long that may take; `Options.drain_s` where it is left out.
        """
        self._is_draining = True
        self.mute()
        if grace_s is None:
            grace_s = self._options.drain_s
        try:
            async with asyncio.timeout(grace_s):
                while not self.is_closed and not self._is_at_rest:
                    with suppress(TimeoutError):  # No event tells that what was said has been heard.
                        await self.wait_for(*RESTS, timeout=DRAIN_LOOK_S)
        except (TimeoutError, RealtimeError):
            pass
        await self.close()

    @property
    def _is_at_rest(self) -> bool:
        """Whether nobody speaks, answers or works, and all that was said has been heard, on a phone as well."""
        return self._core.is_idle(self._clock()) and not self._core.voice.playing_response

    # What ends it.

    def _ended_by_itself(self) -> None:
        self._closing = self._closing or self._start_closing()

    def _overflowed(self, reason: str) -> None:
        """End the session because a lane holds nothing that may be dropped."""
        if not self._why:
            self._why = reason
            log.error("closing session %s: %s", self.id, reason)
            self._closing = self._closing or self._start_closing()

    def _close_because(self, reason: str) -> None:
        """Close the session for a reason of this side, once the turn that runs has ended and farewell is said."""
        if self._closing is None and self._leaving is None:
            log.info("closing session %s: %s", self.id, reason)
            self._reason = reason
            loop = asyncio.get_running_loop()
            self._leaving = loop.create_task(self._leave(reason), name="realtime_events.session.leave")

    async def _leave(self, reason: str) -> None:
        self._dispatcher.publish(local.SessionEnding(reason=reason, grace_s=self._options.drain_s))
        self._say_farewell()
        await self.drain()

    def _say_farewell(self) -> None:
        """Have the model say its last words, where some are wanted; what runs is heard first."""
        words, kind = self._options.farewell, self._options.kind
        if not words or kind != "realtime" or self._line.is_offline or self._connection.ended.done():
            return
        params = ResponseCreateParams(instructions=words, tool_choice="none")
        exchange = self._core.exchange
        exchange.want(Wanted(exchange.new_request(params), interruptible=False), self._clock())
        self._connection.carry_out()

    def _start_closing(self) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self._close(), name="realtime_events.session.close")

    async def _close(self) -> None:
        reason, code = self._why or self._reason or MANNERS[0], 1011 if self._why else MANNERS[1]
        self._vigil.end()
        if self._leaving is not None:
            self._leaving.cancel()
        await self._line.close(code, reason)
        # Side by side: each is bounded, and together they are to take no longer than the longest.
        await asyncio.gather(
            self._tear_down(),
            self._runner.close(spare=self._spared),
            self._dispatcher.finish(LANE_GRACE_S, self._spared),
        )
        Watch.of_this_loop().leave(self._dispatcher)
