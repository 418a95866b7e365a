"""The routes: `POST /session` and `GET /relay`, for the pages of an application.

Owns what is read of a request, what an answer says, and that nothing else leaves. The configuration comes from the
application; what a page sends of one is refused. Before it: `admission.py`, by which every request goes; after it:
`rest/` and `relay.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import msgspec
from aiohttp import WSCloseCode, hdrs, web

from ..bodies import read_body
from ..endpoint import Endpoint
from ..events.session import SessionConfig
from ..exceptions import ConfigurationError, RealtimeError, RestError
from ..logs import logger
from ..rest import RestClient
from .admission import Admission, Refused
from .relay import Relay

if TYPE_CHECKING:
    from ..app import Realtime
    from ..session import Session

log = logger("browsers")

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

SDP = "application/sdp"
JSON = "application/json"
UNNAMED = "application/octet-stream"  # what aiohttp calls a body without a Content-Type
MOST_BODY_BYTES = 64 * 1024
MOST_FRAME_BYTES = 256 * 1024
READ_TIMEOUT_S = 5.0
UPSTREAM_TIMEOUT_S = 20.0
PING_S = 20.0
CLOSE_TIMEOUT_S = 1.0
BUSY = (429, 503)
SAFETY_HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.CONTENT_SECURITY_POLICY: "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class WebRoutes:
    """What pages may ask of an application; `Realtime.web_routes` makes it, `add_to` puts it into an aiohttp one.

    `POST /session` with an empty body gives `{"value": ..., "expires_at": ...}`, a client secret; with an SDP offer
    (`application/sdp`) it makes the call with the server's own key, attaches a session to it, whose handlers and tools
    run here, and gives the SDP answer. `GET /relay`, where it was asked for, is a WebSocket on a session of the
    application. Errors are `{"error": {"code", "message"}}`.

    Args:
        app: The application, whose configuration and tools every session has.
        admission: Who may ask.
        changes: What `Realtime.connect` would take, for the sessions of pages.
        relay: Whether there is a relay.
        secret_life_s: How long a client secret opens sessions.
        most_relays: How many relays there may be at once.
        longest_s: How long a relay or a call may last.

    Raises:
        ConfigurationError: There is no key, or a name in `changes` is unknown.
    """

    SETTINGS: ClassVar = frozenset({"secret_life_s", "most_relays", "longest_s"})

    def __init__(
        self,
        app: Realtime,
        admission: Admission,
        *,
        changes: Mapping[str, Any],
        relay: bool = False,
        secret_life_s: int = 60,
        most_relays: int = 100,
        longest_s: float = 1800.0,
    ) -> None:
        self._app = app
        self._admission = admission
        self._changes = dict(changes)
        self._changes["endpoint"] = changes.get("endpoint") or app.endpoint or Endpoint.openai()
        self._has_relay = relay
        self._secret_life_s = secret_life_s
        self._most_relays = most_relays
        self._longest_s = longest_s
        self._relays: set[Relay] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._asked = 0
        app.connect(**self._changes)  # refuses unknown names now, not at the first page

    def add_to(self, app: web.Application, prefix: str = "") -> None:
        """Add the routes below a path, and end the relays when the application shuts down."""
        app.router.add_post(f"{prefix}/session", self._guarded(self._session))
        app.router.add_options(f"{prefix}/session", self._guarded(self._preflight))
        if self._has_relay:
            app.router.add_get(f"{prefix}/relay", self._guarded(self._relay))
        app.on_shutdown.append(self._shut_down)

    @property
    def relays(self) -> int:
        """How many relays run."""
        return len(self._relays)

    async def _shut_down(self, app: web.Application) -> None:
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*(relay.close() for relay in self._relays), *calls, return_exceptions=True)

    # What each route does.

    async def _session(self, request: web.Request) -> web.StreamResponse:
        user = await self._admission.admit(request)
        kind = request.content_type
        if kind not in (SDP, JSON, UNNAMED) or hdrs.CONTENT_ENCODING in request.headers:
            raise Refused(415, "unsupported_media_type", f"Send an SDP offer as {SDP}, or nothing.")
        body = await _read(request)
        if kind == SDP:
            return await self._exchange(body, user)
        if body.strip() not in (b"", b"{}"):
            raise Refused(400, "configuration_refused", "The configuration is decided by the server; send no body.")
        return await self._mint(user)

    async def _mint(self, user: str) -> web.StreamResponse:
        async with self._rest(user) as rest:
            secret = await rest.create_client_secret(self._config(), expires_after_s=self._secret_life_s)
        return web.json_response({"value": secret.value, "expires_at": secret.expires_at})

    async def _exchange(self, body: bytes, user: str) -> web.StreamResponse:
        offer = body.decode("utf-8", "replace")
        if not offer.startswith("v=0"):
            raise Refused(400, "invalid_offer", "This is no SDP offer.")
        async with self._rest(user) as rest:
            answer = await rest.create_call(offer, self._config())
        self._attend(answer.call_id)
        return web.Response(status=201, text=answer.sdp, content_type=SDP)

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, heartbeat=PING_S, compress=False, max_msg_size=MOST_FRAME_BYTES
        )
        if not socket.can_prepare(request).ok:
            raise Refused(426, "upgrade_required", "This is a WebSocket endpoint.")
        await self._admission.admit(request)
        if self._asked >= self._most_relays:
            raise Refused(503, "busy", "All lines are busy; come again later.", retry_after_s=10.0)
        self._asked += 1
        try:
            # Connected before the upgrade is answered, so that a failure is still a status.
            async with self._app.connect(**self._changes) as session:
                await socket.prepare(request)
                await self._run(Relay(socket, session))
        finally:
            self._asked -= 1
        return socket

    async def _run(self, relay: Relay) -> None:
        self._relays.add(relay)
        try:
            async with asyncio.timeout(self._longest_s):
                await relay.run()
        except TimeoutError:
            await relay.close(reason="the time is over")
        except Exception:  # the upgrade is answered, so there is no status left to say it with
            log.exception("a relay failed")
            await relay.close(WSCloseCode.INTERNAL_ERROR, "")
        finally:
            self._relays.discard(relay)

    def _attend(self, call_id: str) -> None:
        """Attach a session to a call that was made, so that handlers and tools run here while the page talks."""
        task = asyncio.create_task(self._attended(call_id), name="realtime_events.browsers.call")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _attended(self, call_id: str) -> None:
        try:
            async with self._app.connect(**self._changes, call_id=call_id) as session:
                try:
                    await asyncio.wait_for(session.wait_closed(), self._longest_s)
                except TimeoutError:
                    if session.call is not None:
                        await session.call.hang_up()
        except (RealtimeError, TimeoutError) as error:
            log.warning("call %s of a page goes on without its handlers and tools: %s", call_id, error)

    async def _preflight(self, request: web.Request) -> web.StreamResponse:
        self._admission.check_origin(request)
        return web.Response(status=204)

    # What all of them share.

    def _guarded(self, handler: Handler) -> Handler:
        """Turn whatever goes wrong into an answer that says no more than it should."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                answer = await handler(request)
            except Refused as refusal:
                answer = refusal.answer()
            except web.HTTPException as error:  # the application's own hook, which may answer for itself
                self._dress(request, error)
                raise
            except Exception as error:  # noqa: BLE001 - what it says is for the log, and nothing of it for the page
                answer = failed(error).answer()
            if not answer.prepared:
                self._dress(request, answer)
            return answer

        return guarded

    def _dress(self, request: web.Request, answer: web.StreamResponse) -> None:
        answer.headers.update(SAFETY_HEADERS)
        answer.headers[hdrs.VARY] = hdrs.ORIGIN
        origin = request.headers.get(hdrs.ORIGIN, "")
        if self._admission.is_listed(origin):
            answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            answer.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "authorization, content-type"
            answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    def _rest(self, user: str) -> RestClient:
        named = hashlib.sha256(user.encode()).hexdigest()  # the API asks for a stable name that tells nothing
        return RestClient(
            self._changes["endpoint"],
            options=self._model_session().options,
            timeout_s=UPSTREAM_TIMEOUT_S,
            headers={"OpenAI-Safety-Identifier": named},
        )

    def _config(self) -> SessionConfig:
        """Give the configuration that a session of the application would begin with, its tools included."""
        session = self._model_session()
        config = session.tell()
        return msgspec.structs.replace(config, type="realtime", model=config.model or session.model)

    def _model_session(self) -> Session:
        """Give a session that is never opened, for what it would say; it writes no tape."""
        return self._app.connect(**{**self._changes, "record": None}).session()


def failed(error: Exception) -> Refused:
    """Say what a page is told of a failure; the rest goes to the log."""
    if isinstance(error, RestError) and error.status in BUSY:
        log.warning("the Realtime API is busy: %s", error)
        return Refused(503, "busy", "The service is busy; come again later.", retry_after_s=error.retry_after_s or 5.0)
    if isinstance(error, TimeoutError):
        log.warning("the Realtime API did not answer in time: %s", error)
        return Refused(504, "upstream_timeout", "The service did not answer in time.")
    if isinstance(error, RealtimeError) and not isinstance(error, ConfigurationError):
        log.warning("the Realtime API gave a page no session: %s", error)
        return Refused(502, "upstream_failed", "The service could not be reached.")
    log.error("a request of a page failed", exc_info=error)
    return Refused(500, "internal_error", "Something is wrong with this server.")


async def _read(request: web.Request) -> bytes:
    """Read a body up to the limit.

    Raises:
        Refused: It is larger (413), or does not come (408).
    """
    if (request.content_length or 0) > MOST_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            body = await read_body(request.content, MOST_BODY_BYTES)
    except TimeoutError:
        raise Refused(408, "request_timeout", "The body did not come.") from None
    if body is None:
        raise _too_large()
    return body


def _too_large() -> Refused:
    return Refused(413, "too_large", f"A body is at most {MOST_BODY_BYTES:,} bytes.")
