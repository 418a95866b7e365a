"""The switchboard: phone calls that come in, each accepted with a session of the application, or refused.

Owns the way from a verified webhook to a session that talks: the application's decision, how many calls are held at
once, and an end in good order. Knows no signature and no frame. Before it: `webhooks/`, which has verified that the
service tells of a call; after it: `rest/`, which accepts or rejects, and the session that is attached to the call.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from .call import Call, has_ended
from .endpoint import Endpoint
from .events.session import SessionConfig
from .events.webhooks import IncomingCall, RealtimeCallIncoming, WebhookEvent
from .exceptions import ConfigurationError, RealtimeError, RestError, one_line
from .logs import logger
from .options import Options
from .rest.client import DECLINE, SIP_FAILURES
from .webhooks.serving import MOST_RUNNING, OnEvent, WebhookHandler
from .webhooks.verifying import hidden

if TYPE_CHECKING:
    from aiohttp import web

    from .app import Realtime
    from .session import Session

log = logger("switchboard")

MOST_CALLS = 100
# With the hanging up, less than the fifteen seconds that a process has to end.
DRAIN_S = 10.0
TURN_S = 4.0  # the last of them: no turn begins any more, and the one that runs may end
HANG_UP_TIMEOUT_S = 4.0
DECISION_TIMEOUT_S = 20.0
REFUSAL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Reject:
    """Turns a call away with a SIP status: 603 declines, 486 is busy, 480 is not there now, 404 is nobody of this name.

    Raises:
        ConfigurationError: The status turns nobody away.
    """

    status_code: int = DECLINE

    def __post_init__(self) -> None:
        if self.status_code not in SIP_FAILURES:
            raise ConfigurationError(f"SIP status {self.status_code} turns no call away; take one of 300 to 699")


BUSY = Reject(486)
NOT_THERE = Reject(480)
FAILED = Reject(500)

Decision: TypeAlias = Reject | Mapping[str, Any] | None
"""What becomes of a call: refused, accepted with other arguments of `connect`, or accepted as the application is."""

OnCall: TypeAlias = Callable[[IncomingCall], Awaitable[Decision] | Decision]


class Switchboard:
    """Takes the calls that webhooks tell of; `Realtime.webhooks()` makes it.

        board = rt.webhooks(on_call=decide)
        board.add_to(web_app, "/webhook")

    A call is accepted by REST with the application's instructions, voice and tools, and a session is attached to it, in
    which the application's handlers hear and its tools run, until the call ends. A session that ends before its call
    (closed, or lost for good) ends the call as well: nobody is left talking to a model without its tools.

    Args:
        app: The application.
        secret: The secret of the webhook, or several; `OPENAI_WEBHOOK_SECRET` where it is left out.
        on_call: Decides on each call; every one is accepted where it is left out.
        on_event: What to do with webhooks that tell of something else.
        most_calls: How many calls are held at once; to more of them, the line is busy (486).
        drain_s: How long calls may go on when the process ends; what is left is hung up. In the last four seconds of it
            (half of a shorter time) a call ends as soon as nobody speaks.
        changes: Arguments of `Realtime.connect`, for every call.

    Raises:
        ConfigurationError: There is no secret or no key, or a name is unknown.
    """

    def __init__(
        self,
        app: Realtime,
        *,
        secret: str | Sequence[str] | None = None,
        on_call: OnCall | None = None,
        on_event: OnEvent | None = None,
        most_calls: int = MOST_CALLS,
        drain_s: float = DRAIN_S,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        secret = hidden(secret)  # bound again, so that no traceback with locals shows it
        self._app = app
        self._on_call = on_call
        self._on_event = on_event
        self._most_calls = most_calls
        self._endpoint: Endpoint = (changes or {}).get("endpoint") or app.endpoint or Endpoint.openai()
        self._changes = {**(changes or {}), "endpoint": self._endpoint}
        how = {option.name for option in fields(Options)} & self._changes.keys()
        self._options = replace(app.options, **{name: self._changes[name] for name in how})
        app.connect(**self._changes)  # It refuses unknown names, now rather than at the first call.
        self._drain_s = drain_s
        self._is_draining = False
        self._calls: dict[str, Session | None] = {}
        self._deciding: set[asyncio.Task[Any]] = set()
        self._endings: set[asyncio.Future[Any]] = set()
        self._handler = WebhookHandler(
            self._told, secret=secret, drain_s=drain_s, most_running=MOST_RUNNING + most_calls
        )

    def add_to(self, web_app: web.Application, path: str) -> None:
        """Receive webhooks at a path, and drain when the web application shuts down."""
        web_app.router.add_post(path, self.handle)
        web_app.on_shutdown.append(self._shut_down)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one webhook, at once; this is what aiohttp calls."""
        return await self._handler.handle(request)

    async def drain(self) -> None:
        """Take no more calls, let those that are held end within `drain_s`, and hang up what is left.

        A call on which nobody has decided yet is refused at once.
        """
        self._is_draining = True
        for task in self._deciding:
            task.cancel()
        turns = asyncio.create_task(self._let_turns_end(), name="realtime_events.switchboard.drain")
        try:
            await self._handler.drain()
        finally:
            turns.cancel()
            await asyncio.wait({turns, *self._endings})

    async def _shut_down(self, web_app: web.Application) -> None:
        await self.drain()

    async def _let_turns_end(self) -> None:
        """Near the end of the grace, end each call as soon as nobody speaks, so that few are cut in mid-word."""
        turn_s = min(TURN_S, self._drain_s / 2)
        await asyncio.sleep(self._drain_s - turn_s)
        await asyncio.gather(*(session.drain(turn_s) for session in self.sessions))

    @property
    def sessions(self) -> list[Session]:
        """The sessions of the calls that are held now, the newest last."""
        return [session for session in self._calls.values() if session is not None]

    async def _told(self, event: WebhookEvent) -> None:
        if isinstance(event, RealtimeCallIncoming):
            await self._take(event.data)
        elif self._on_event is not None:
            given = self._on_event(event)
            if inspect.isawaitable(given):
                await given

    async def _take(self, incoming: IncomingCall) -> None:
        """Decide on a call, and see it through to its end."""
        call_id = incoming.call_id
        if call_id in self._calls:
            return  # Told twice, under two ids of webhooks.
        if len(self._calls) >= self._most_calls:
            log.warning("call %s finds the line busy: %d calls are held", _shown(call_id), len(self._calls))
            await self._refuse(call_id, BUSY)
            return
        self._calls[call_id] = None
        try:
            session = await self._decided(incoming)
            if isinstance(session, Reject):
                await self._refuse(call_id, session)
            else:
                self._calls[call_id] = session
                await self._hold(session)
        finally:
            del self._calls[call_id]

    async def _decided(self, incoming: IncomingCall) -> Session | Reject:
        if self._is_draining:
            return NOT_THERE
        task = asyncio.current_task()
        assert task is not None
        self._deciding.add(task)
        try:
            return await self._decide(incoming)
        finally:
            self._deciding.discard(task)

    async def _decide(self, incoming: IncomingCall) -> Session | Reject:
        """Give the session that shall take a call, not open yet, or the refusal of it."""
        try:
            async with asyncio.timeout(DECISION_TIMEOUT_S):
                decision = await self._asked(incoming)
            return decision if isinstance(decision, Reject) else self._session(incoming, decision or {})
        except TimeoutError:
            log.error("call %s is refused: on_call did not decide in time", _shown(incoming.call_id))
            return NOT_THERE
        except Exception:  # the application's own function, or what it wants of connect()
            log.exception("call %s is refused: deciding on it failed", _shown(incoming.call_id))
            return FAILED
        except asyncio.CancelledError:  # the process ends; nobody is left ringing
            await self._to_the_end(self._refuse(incoming.call_id, NOT_THERE))
            raise

    async def _asked(self, incoming: IncomingCall) -> Decision:
        given = self._on_call(incoming) if self._on_call is not None else None
        return await given if inspect.isawaitable(given) else given

    def _session(self, incoming: IncomingCall, changes: Mapping[str, Any]) -> Session:
        session = self._app.connect(**{**self._changes, **changes, "call_id": incoming.call_id}).session()
        _call_of(session).sip_headers = tuple(incoming.sip_headers)
        return session

    async def _hold(self, session: Session) -> None:
        """Accept a call, attach its session, and wait for the end of both."""
        call = _call_of(session)
        answered, over = False, False
        try:
            answered = await self._accept(session, call)
            if answered and self._is_draining:
                log.info("call %s is hung up: the process ends", _shown(call.id))
            elif answered:
                await session.open()
                log.info("call %s has session %s", _shown(call.id), session.id)
                over = has_ended(await session.wait_closed())
        except (RealtimeError, TimeoutError) as error:
            log.error("call %s has no session: %s", _shown(call.id), error)
        finally:
            farewells = [_hang_up(call)] if answered and not over else []
            await self._to_the_end(*farewells, session.close())

    async def _to_the_end(self, *farewells: Coroutine[Any, Any, None]) -> None:
        """Do all at the same time; whoever is cancelled meanwhile does not stop that."""
        loop = asyncio.get_running_loop()
        ending = asyncio.gather(
            *(loop.create_task(farewell, name="realtime_events.switchboard.farewell") for farewell in farewells)
        )
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.shield(ending)

    async def _accept(self, session: Session, call: Call) -> bool:
        """Accept a call with what the session would tell the server; false if it cannot be had any more."""
        try:
            async with call.rest() as rest:
                await rest.accept_call(call.id, _with_model(session.tell(), session.model))
        except RestError as error:
            log.warning("call %s could not be accepted: %s", _shown(call.id), error)
            if error.status is None or error.status >= 500:
                await _hang_up(call)  # It may have been accepted; nobody shall talk to a model without its tools.
            return False
        except asyncio.CancelledError:  # the process ends, and the answer was on its way
            await self._to_the_end(_hang_up(call))
            raise
        return True

    async def _refuse(self, call_id: str, reject: Reject) -> None:
        try:
            async with asyncio.timeout(REFUSAL_TIMEOUT_S), Call(call_id, self._endpoint, self._options).rest() as rest:
                await rest.reject_call(call_id, reject.status_code)
        except (RealtimeError, TimeoutError) as error:
            log.warning("call %s could not be refused: %s", _shown(call_id), error or type(error).__name__)


def _shown(call_id: str) -> str:
    return one_line(call_id, limit=80)


def _call_of(session: Session) -> Call:
    assert session.call is not None
    return session.call


def _with_model(config: SessionConfig, model: str) -> SessionConfig:
    return config if config.model else msgspec.structs.replace(config, model=model)


async def _hang_up(call: Call) -> None:
    """End a call that has lost its session; what fails is named, since nobody waits for it."""
    try:
        async with asyncio.timeout(HANG_UP_TIMEOUT_S):
            await call.hang_up()
    except (RealtimeError, TimeoutError) as error:
        log.warning("call %s could not be hung up: %s", _shown(call.id), error or type(error).__name__)
