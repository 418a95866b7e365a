"""The lifeline: the connections of one session, one after the other, so that the session outlives each of them.

Owns which connection and which State are the current ones, what happens when a connection ends (reconnect, or the end),
and the change to a fresh session before the server's limit. Each new incarnation gets a State of its own, so that
nothing of a dead one can be sent to it; what outlives both (the conversation under new ids, the usage, the playback) is
handed over when the new session works. Before it: the session, which says how to dial and to configure; after it:
`reconnect.py`, which says when to try.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from .call import CALL_ENDED, has_ended, is_over
from .connection import Connection
from .dispatcher import Dispatcher
from .emitter import Emitter
from .events import client, local
from .events.base import UNSET, ClientEvent
from .events.session import SessionConfig
from .exceptions import ConnectionLostError, LocalProtocolError, RealtimeError, ServerError, SessionExpired
from .options import Options
from .protocol.conversation import Conversation
from .protocol.core import LEAST_COMMIT_MS, Core
from .protocol.resume import Resumption
from .reconnect import Complaints, Handshakes, Reconnect, may_reconnect, may_retry, reconnect
from .streams import check_loop, fail, within

if TYPE_CHECKING:
    from .transport import Ending, Transport

log = logging.getLogger("realtime_events.session")

REPLAY_TIMEOUT_S = 5.0
FORCED_AFTER_S = 180.0  # how long a rotation waits for an idle moment
IDLE_LOOK_S = 1.0
GIVE_UP_S = 0.8
ROTATE_AGAIN_S = 30.0  # after a rotation that failed
REMEMBERED_IDS = 10_000  # of items of earlier incarnations
PROGRESS_S = 30.0  # a connection that lives so long was no failure, even if nobody said anything
FINISHED = "rotated: another session goes on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the lifeline needs of its session.

    Attributes:
        core: Makes a State.
        connection: Makes a connection: of a State, the lanes, and whom to tell of its end.
        dial: Opens a socket.
        wanted: Gives the configuration that a new server-side session has to be told.
        configure: Tells a new server-side session that, and waits until it has confirmed it.
        swapped: Told the State and the connection of a new incarnation, and what it was told of the session's
            configuration; None if it knew all.
        new_id: Gives a fresh id.
        on_closed: Called once, when the session has ended for good.
    """

    core: Callable[[Conversation | None], Core]
    connection: Callable[[Core, Dispatcher, Callable[[Ending, bool], None]], Connection]
    dial: Callable[[], Awaitable[Transport]]
    wanted: Callable[[], SessionConfig]
    configure: Callable[[Connection, SessionConfig], Awaitable[None]]
    swapped: Callable[[Core, Connection, SessionConfig | None], None]
    new_id: Callable[[str], str]
    on_closed: Callable[[], None]


class Lifeline:
    """The connections of one session.

    Args:
        means: How to make one.
        options: Whether and how to reconnect and to rotate.
        dispatcher: The session's lanes.
        place: The server's URL without its query: all sessions that want it share its pace.
        conversation: Where the items go.
        is_call: Whether the session is attached to a call, whose conversation the server keeps.
        clock: Gives seconds.
    """

    def __init__(
        self,
        means: Means,
        *,
        conversation: Conversation,
        options: Options,
        dispatcher: Dispatcher,
        place: str,
        is_call: bool,
        clock: Callable[[], float],
    ) -> None:
        self.core = means.core(conversation)
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._means = means
        self._options = options
        self._dispatcher = dispatcher
        self._place = place
        self._is_call = is_call
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints()
        self._failed = 0
        self._is_up = False
        self._is_closing = False
        self._cause: Exception | None = None
        self._opened_s = self._connected_s = clock()
        self._offline: asyncio.Future[None] | None = None
        self._restoring: asyncio.Task[None] | None = None
        self._rotating: asyncio.Task[None] | None = None
        self._leaving: Connection | None = None
        self._ids: dict[str, str | None] = {}  # The current id of each item of an earlier incarnation; None if lost.
        self._rotate_from_s = self._opened_s
        self.connection = self._connection(self.core, dispatcher)

    def _connection(self, core: Core, dispatcher: Dispatcher) -> Connection:
        made: list[Connection] = []
        made.append(self._means.connection(core, dispatcher, lambda ending, cut: self._lost(made[0], ending, cut)))
        return made[0]

    @property
    def policy(self) -> Reconnect | None:
        """How a lost connection is made again; None if it is not."""
        if self._options.kind == "translation":
            return None  # What was translated so far cannot be said again.
        wanted = self._options.reconnect
        return (Reconnect() if wanted is True else None) if isinstance(wanted, bool) else wanted

    @property
    def _is_replayed(self) -> bool:
        """Whether a new server-side session is told the conversation again."""
        return not self._is_call and self._options.kind == "realtime"

    @property
    def lived_s(self) -> float:
        """How long the current server-side session has lived."""
        return self._clock() - self._opened_s

    @property
    def is_offline(self) -> bool:
        """Whether the connection is lost, and another is on its way."""
        return self._offline is not None

    def lost(self) -> Exception:
        """Give the error for whoever wants something of a session that has ended."""
        return self._cause or self.connection.lost()

    # The first connection.

    async def connect(self) -> None:
        """Open the first connection, and wait for the server's session; passing failures are tried again for a while.

        Raises:
            TransportError: The server cannot be reached, or refuses.
            TimeoutError: It did not answer in time.
        """
        self.connection.open(await self._dial_patiently())
        async with within(self._options.connect_timeout_s, "the server sent no session.created"):
            await self.connection.created

    async def _dial_patiently(self) -> Transport:
        policy, began_s, attempt = self.policy, self._clock(), 0
        while True:
            attempt += 1
            try:
                return await self._means.dial()
            except (RealtimeError, TimeoutError) as error:
                if policy is None or not may_retry(error):
                    raise
                delay_s = policy.delay_s(attempt, error)
                if self._clock() + delay_s - began_s > self._options.connect_retry_s:
                    raise
                log.info("%s; trying again in %.1f s", error, delay_s)
                await policy.sleep(delay_s)

    def is_open(self) -> None:
        """Take note that the session works: from now on it is kept."""
        self._is_up = True
        self._opened_s = self._connected_s = self._clock()

    # The end of a connection.

    def _lost(self, connection: Connection, ending: Ending, cut: bool) -> None:
        if connection is not self.connection or self.ended.done():
            return  # One that was never the current one, or no longer is.
        if self._offline is not None:
            return  # One at a time: whoever makes another is told by it.
        policy = self.policy
        expired = SessionExpired(self.core.session_id, self.lived_s) if self.core.has_expired else None
        if self._has_progressed:
            self._failed = 0
        # A server may let in and throw out at once, again and again: that is no progress.
        if policy is None or self._failed >= policy.attempts or not self._is_up or self._is_closing:
            self._lost_for_good(connection, ending, cut=cut, error=expired)
            return
        if not self._may_go_on(ending):
            self._lost_for_good(connection, ending, cut=cut, error=expired)
            return
        level = logging.INFO if self._dispatcher.has_listener(local.ConnectionLost) else logging.WARNING
        log.log(level, "session %s: the connection is lost: %s %s", self.core.session_id, ending.code, ending.reason)
        self._dispatcher.publish(
            local.ConnectionLost(
                code=ending.code,
                reason=ending.reason,
                initiator=ending.initiator,
                response_cut=cut,
                attempt=self._failed + 1,
            )
        )
        if self._rotating is not None and self._leaving is connection:
            self._rotating.cancel()  # One at a time: what follows is a reconnection.
        connection.pause_audio()
        self._tell_doubt(connection)
        loop = asyncio.get_running_loop()
        self._offline = loop.create_future()
        restoring = self._restore(ending, expired or ending, policy)
        self._restoring = loop.create_task(restoring, name="realtime_events.session.reconnect")

    @property
    def _has_progressed(self) -> bool:
        """Whether the connection was of use, so that its loss is not one more failure in a row."""
        core = self.core
        lived_s = self._clock() - self._connected_s
        return core.exchange.has_progressed or core.heard_until_ms > 0 or lived_s >= PROGRESS_S

    def _may_go_on(self, ending: Ending) -> bool:
        if self._is_call:
            # Once, until there is progress: two that drive each other out of a call shall not go on for ever.
            again = not self._failed or self.core.exchange.has_progressed
            return again and not has_ended(ending) and may_reconnect(ending)
        if self.core.has_expired and ending.initiator != "client":
            return True  # By whatever code: a fresh session is all that it takes.
        return may_reconnect(ending) and self._complaints.forgives(ending, self._clock())

    def _lost_for_good(self, connection: Connection, ending: Ending, *, cut: bool, error: Exception | None) -> None:
        if ending.initiator != "client":  # What we close ourselves has been written before the end.
            self._tell_doubt(connection)
        self.end(ending, cut=cut, error=error)

    def _tell_doubt(self, connection: Connection) -> None:
        """Name the audio that was written and that no event of the server covers: it may have arrived or not."""
        for doubt in connection.audio_in_doubt():
            self._dispatcher.publish(doubt)

    def end(self, ending: Ending, *, cut: bool = False, error: Exception | None = None) -> None:
        """The session has ended for good: tell every handler, every stream and every wait."""
        if self.ended.done():
            return
        cause = self._cause = error or ending.error or self.connection.lost()
        self.connection.end_audio()
        for call in self.core.exchange.batches.orphan():
            self._dispatcher.publish(local.ToolOrphaned(call=call))
        for output in self.core.exchange.unconfirmed_outputs:
            self.core.exchange.doubt_output(output.id or "")
        self.connection.carry_out()
        self.ended.set_result(ending)
        self._dispatcher.publish(
            local.ConnectionClosed(code=ending.code, reason=ending.reason, initiator=ending.initiator, response_cut=cut)
        )
        self._dispatcher.end_waits(cause)
        if self._offline is not None:
            fail(self._offline, cause)
        session_id = self.core.session_id
        log.info("session %s ended: code %s by the %s, %s", session_id, ending.code, ending.initiator, ending.reason)
        self._means.on_closed()

    async def close(self, code: int, reason: str) -> None:
        """End the session; whatever tries to keep it gives up."""
        self._is_closing = True
        tasks = [task for task in (self._restoring, self._rotating) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        # Side by side: each connection is given half a second for its farewell.
        farewells = [asyncio.wait(tasks, timeout=GIVE_UP_S)] if tasks else []
        await asyncio.gather(self.connection.close(code, reason), *farewells)
        if not self.ended.done():
            self.end(_ending(code, reason))

    # Waiting for it.

    async def online(self) -> Connection:
        """Give the current connection, as soon as there is one that works.

        Raises:
            ConnectionLostError: The session has ended.
            LocalProtocolError: Another event loop asks.
        """
        check_loop(self._loop)
        while self._offline is not None and not self.ended.done():
            await asyncio.shield(self._offline)
        if self.ended.done() or self.connection.ended.done():
            raise self.lost()
        return self.connection

    def when_online(self, then: Callable[[], None]) -> None:
        """Do something now or, while the connection is lost, when there is one again."""
        if self._offline is None:
            then()
        else:
            self._offline.add_done_callback(lambda done: self.when_online(then) if done.exception() is None else None)

    def renamed(self, event: ClientEvent) -> ClientEvent:
        """Give an event with the item's current id: ids of a dead incarnation mean nothing to another.

        Raises:
            LocalProtocolError: The item was lost with its connection.
        """
        # A new item may bear an id that an earlier one had; a transcript is kept here though its session is gone.
        known = self.core.conversation if self._is_replayed else ()
        old = {name: id for name, id in _item_ids(event) if id in self._ids and id not in known}
        return msgspec.structs.replace(event, **{name: self._current_id(old[name]) for name in old}) if old else event

    def _current_id(self, item_id: str) -> str:
        current = self._ids[item_id]
        if current is None:
            raise LocalProtocolError(f"the item {item_id!r} was lost with the connection of its session")
        return current

    def _rename(self, resumption: Resumption) -> None:
        """Note the new ids of the items, also under the ids that they had in earlier incarnations."""
        ids: dict[str, str | None] = {**dict.fromkeys(resumption.lost), **resumption.ids}
        self._ids = {old: ids.get(id) if id is not None else None for old, id in self._ids.items()}
        self._remember(ids)

    def _remember(self, ids: Mapping[str, str | None]) -> None:
        self._ids.update(ids)
        while len(self._ids) > REMEMBERED_IDS:
            del self._ids[next(iter(self._ids))]

    # Another connection.

    async def _restore(self, ending: Ending, cause: Ending | SessionExpired, policy: Reconnect) -> None:
        try:
            await reconnect(cause, self._again, policy=policy, place=self._place, failed=self._failed)
        except Exception as error:  # noqa: BLE001 - also what a key provider raises: nobody shall wait for ever
            if self._is_call and is_over(error):
                over = replace(ending, code=1000, reason=CALL_ENDED, initiator="server")
                self.end(over, error=ConnectionLostError(over.code, over.reason, initiator=over.initiator))
                return
            log.error("session %s could not be restored: %s", self.core.session_id, error)
            self.end(ending, error=error)

    async def _again(self, attempt: int) -> None:
        self._failed = attempt
        resumption, old_id = Resumption(), self.core.session_id
        if self._is_call:
            # The server goes on with these, or did in the gap; what it said of them then, nobody tells again.
            resumption.lost_in_flight = [item.id for item in self.core.conversation if item.status == "in_progress"]
            await self._attach_again()
        else:
            self._swap(*await self._prepare(resumption), resumption)
        self._came_online()
        self._dispatcher.publish(
            local.ConnectionRestored(
                session_id=self.core.session_id,
                replayed=tuple(resumption.ids.values()),
                dropped=tuple(resumption.dropped),
                lost_in_flight=tuple(resumption.lost_in_flight),
                attempt=attempt,
            )
        )
        log.info("session %s goes on as %s", old_id, self.core.session_id)

    async def _attach_again(self) -> None:
        """Go on with the conversation of a call, which the server has kept."""
        core = self._means.core(None)
        connection = self._connection(core, self._dispatcher)
        try:
            connection.open(await self._means.dial())
            self._swap(core, connection, Resumption())  # At once: already its first event is one of the conversation.
            async with within(self._options.connect_timeout_s, "the server sent no session.created"):
                await connection.created
            await self._send_lost_outputs()
            core.exchange.go_on(self._clock())
            connection.carry_out()
            if connection.ended.done():
                raise connection.lost()
        except BaseException:
            await connection.close(1000, "not needed")
            raise

    async def _send_lost_outputs(self) -> None:
        """Send the outputs of tool calls again that were lost with the connection, once it is sure that they were.

        An output's id is derived from its call, so the server can be asked whether it has it.
        """
        core, connection = self.core, self.connection
        outputs = {output.id or "": output for output in core.exchange.unconfirmed_outputs}
        questions = [client.ConversationItemRetrieve(item_id=item_id) for item_id in outputs]
        asked = [connection.request(question, REPLAY_TIMEOUT_S) for question in questions]
        for item_id, answer in zip(outputs, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(answer, ServerError):  # It has none by that name.
                core.exchange.output_was_lost(outputs[item_id])
            elif isinstance(answer, TimeoutError):
                core.exchange.doubt_output(item_id)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                core.exchange.output_settled(item_id)

    async def _prepare(self, resumption: Resumption) -> tuple[Core, Connection]:
        """Make a working session beside the current one; nothing of it is published yet."""
        core = self._means.core(None)
        silent = Dispatcher(Emitter(), None, overflow=lambda _: None)
        connection = self._connection(core, silent)
        try:
            connection.open(await self._means.dial())
            async with within(self._options.connect_timeout_s, "the server sent no session.created"):
                await connection.created
            await self._catch_up(core, connection, resumption)
            if connection.ended.done():
                raise connection.lost()
        except BaseException:
            await connection.close(1000, "not needed")
            raise
        return core, connection

    async def _catch_up(self, core: Core, connection: Connection, resumption: Resumption) -> bool:
        """Tell the new session all that it does not know yet; says whether there was any."""
        wanted = self._means.wanted()
        is_news = wanted != resumption.told
        if is_news:
            resumption.told = wanted
            await self._means.configure(connection, wanted)
        return (self._is_replayed and await self._say_again(core, connection, resumption)) or is_news

    async def _say_again(self, core: Core, connection: Connection, resumption: Resumption) -> bool:
        """Say what the new session does not know yet, in order, until all is acknowledged; says whether there was any.

        Raises:
            ConnectionLostError: The new connection is lost, too.
        """
        items = resumption.take(self.core.conversation, self._means.new_id, self.core.exchange.batches.waiting)
        events = [core.create_item(item, resumption.behind.get(item.id or "", UNSET)) for item in items]
        requests = [connection.request(event, REPLAY_TIMEOUT_S) for event in events]
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, ServerError):
                resumption.refused(str(item.id))
            elif isinstance(outcome, BaseException) and not isinstance(outcome, TimeoutError):
                raise outcome
        return bool(items)

    def _swap(self, core: Core, connection: Connection, resumption: Resumption) -> None:
        """Put a working session in the place of the current one, between two events."""
        before, self.core = self.core, core
        old, self.connection = self.connection, connection
        before.note_times()
        if self._is_replayed:
            before.conversation.carry_over(resumption.ids, resumption.call_ids)
            self._rename(resumption)
            core.exchange.carry_over(before.exchange, resumption.call_ids, resumption.ids)
        elif not self._is_call:
            self._remember({item.id: None for item in before.conversation})
            before.conversation.go_on_behind()
        core.adopt(before, same_incarnation=self._is_call)
        connection.speak_to(self._dispatcher)
        connection.take_over(old)
        self._means.swapped(core, connection, resumption.told)

    def _came_online(self) -> None:
        self._connected_s = self._clock()
        if not self._is_call:  # That of a call is the same as before, and as old.
            self._opened_s = self._connected_s
        offline, self._offline = self._offline, None
        if offline is not None and not offline.done():
            offline.set_result(None)

    # Rotating.

    @property
    def can_rotate(self) -> bool:
        """Whether another can go on: the conversation of a call is the server's own, a translation is not repeated."""
        return not self._is_call and self._options.kind != "translation"

    def rotate(self) -> None:
        """Go on in a fresh server-side session at the next idle moment; twice is once."""
        if not self.can_rotate or self._clock() < self._rotate_from_s:
            return
        if self._rotating is None and self._is_up and self._offline is None and not self._is_closing:
            loop = asyncio.get_running_loop()
            self._rotating = loop.create_task(self._rotate(), name="realtime_events.session.rotate")
            self._rotating.add_done_callback(self._rotated)

    def _rotated(self, task: asyncio.Task[None]) -> None:
        self._rotating = self._leaving = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._rotate_from_s = self._clock() + ROTATE_AGAIN_S
            log.warning("session %s could not be rotated yet: %s", self.core.session_id, error)

    async def _rotate(self) -> None:
        old, forced_s = self.connection, self._clock() + FORCED_AFTER_S
        self._leaving = old
        await self._idle(old, forced_s)
        await Handshakes.of_this_loop().admit(self._place)
        resumption = Resumption()
        core, connection = await self._prepare(resumption)
        try:
            await self._idle(old, forced_s)
            while await self._catch_up(core, connection, resumption) or self.core.exchange.keep_outputs(self._clock()):
                await self._idle(old, forced_s)
            if old.ended.done() or connection.ended.done():
                raise ConnectionLostError(1006, "the connection was lost while it was rotated", initiator="network")
        except BaseException:
            await connection.close(1000, "not needed")
            raise
        before = self.core
        before.cut(ConnectionLostError(1000, FINISHED, initiator="client"), self._clock())
        old.carry_out()
        self._swap(core, connection, resumption)
        self._came_online()
        old.retire(Dispatcher(Emitter(), None, overflow=lambda _: None))
        self._dispatcher.publish(
            local.SessionRotated(
                old_session_id=before.session_id,
                session_id=core.session_id,
                replayed=tuple(resumption.ids.values()),
                dropped=tuple(resumption.dropped),
                lost_in_flight=tuple(resumption.lost_in_flight),
            )
        )
        log.info("session %s goes on as %s", before.session_id, core.session_id)
        await old.close(1000, FINISHED)

    async def _idle(self, connection: Connection, until_s: float) -> None:
        """Wait until nobody speaks, answers or works; for no longer than until a time."""

        def is_idle(_: object) -> bool:
            return self._is_idle(connection)

        while not connection.ended.done() and not is_idle(None) and self._clock() < until_s:
            with suppress(TimeoutError):  # No event tells that what was said has been heard.
                await self._dispatcher.wait_for(("*",), is_idle, timeout=IDLE_LOOK_S)

    def _is_idle(self, connection: Connection) -> bool:
        # Where the application commits, what it has said so far is half a sentence.
        is_speaking = not self.core.turn_detection and connection.uncommitted_ms >= LEAST_COMMIT_MS
        return not is_speaking and self.core.is_idle(self._clock())


def _item_ids(event: ClientEvent) -> Iterator[tuple[str, str]]:
    """Give the fields of an event that name an item of the conversation, with their values."""
    for name in ("item_id", "previous_item_id"):
        if isinstance(item_id := getattr(event, name, UNSET), str):
            yield name, item_id


def _ending(code: int, reason: str) -> Any:
    from .transport import Ending

    return Ending(code, reason, "client")
