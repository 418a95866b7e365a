"""The simulator's aiohttp application: requests in, sessions and answers out.

Owns routes, the handshake and its refusals. Knows no event but the two it says before a session exists. Before it:
`server.py`, which listens; after it: `registry.py` for sessions and `connection.py`, one for each socket.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, web

from ..events.server import ErrorDetails, ErrorEvent
from ..protocol import encode
from .calls import Call
from .calls_rest import add_call_routes
from .client_secrets import offered_protocols, wants_beta
from .config import DEFAULT_MODEL, Kind
from .connection import Connection
from .errors import Refusal
from .exchange import Exchange
from .faults import Dice, Fault, Faults
from .faulty import with_faults
from .registry import Registry
from .rest import REGISTRY, add_routes, parse_faults

CONNECTIONS: web.AppKey[dict[str, Connection]] = web.AppKey("connections", dict[str, Connection])

MAX_FRAME_BYTES = 32 * 1024 * 1024
CLOSE_TIMEOUT_S = 1.0
REFUSED = 4000
HANDSHAKE_ERRORS = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "insufficient_permissions"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
WEBSOCKET_PATHS = (
    "/v1/realtime",
    "/v1/realtime/translations",
    "/openai/v1/realtime",
    "/openai/realtime",
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(registry: Registry) -> web.Application:
    """Make the application of one server."""
    app = web.Application(middlewares=[answer_refusals], client_max_size=MAX_FRAME_BYTES)
    app[REGISTRY] = registry
    app[CONNECTIONS] = {}
    for path in WEBSOCKET_PATHS:
        app.router.add_get(path, realtime)
    app.on_shutdown.append(close_connections)
    add_routes(app)
    add_call_routes(app)
    app.router.add_get("/healthz", health)
    app.router.add_get("/", status_page)
    return app


@web.middleware
async def answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put a refusal, or aiohttp's own, into the API's error body."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return web.Response(
            status=refusal.status, body=refusal.body(), headers=refusal.headers, content_type="application/json"
        )
    except web.HTTPException as error:
        if error.status < 400:
            raise
        body = Refusal(f"{error.reason} ({request.method} {request.path})", code=None).body()
        return web.Response(status=error.status, body=body, content_type="application/json", headers=_allow(error))


async def health(request: web.Request) -> web.StreamResponse:
    """Say that the server is up."""
    return web.json_response(
        {"status": "ok", "sessions": sum(not one.is_over for one in request.app[REGISTRY].sessions)}
    )


async def status_page(request: web.Request) -> web.StreamResponse:
    """Show the sessions and their last events."""
    rows = "".join(_row(session) for session in reversed(request.app[REGISTRY].sessions))
    page = (
        "<!doctype html><meta charset=utf-8><title>Realtime simulator</title><h1>Realtime simulator</h1>"
        "<table border=1 cellpadding=4><tr><th>session<th>kind<th>state<th>last received<th>last sent</tr>"
        f"{rows}</table>"
    )
    return web.Response(text=page, content_type="text/html")


async def realtime(request: web.Request) -> web.StreamResponse:
    """Accept a WebSocket, or refuse it as the service does."""
    registry = request.app[REGISTRY]
    await _suffer(registry.handshake_faults())
    secret = registry.keys.admit(request.headers, request.query)
    if call_id := request.query.get("call_id"):
        return await _join(request, registry.find_call(call_id))
    kind = secret.kind if secret else _kind_asked(request)
    config = secret.session if secret else None
    model = request.query.get("model") or request.query.get("deployment") or getattr(config, "model", None)
    if not model and not secret and kind != "transcription":
        raise Refusal("You must provide a model parameter.", code="missing_model", param="model")
    asked = _faults_asked(request)
    socket = await _accept(request)
    if wants_beta(request.headers) and registry.settings.dialect == "ga":
        return await _refuse_beta(socket)
    with registry.dice(asked) as dice:
        lifetime_s = next((fault.value for fault in dice.throw("session", ("expire",))), None)
        session = registry.open_session(kind=kind, model=model or DEFAULT_MODEL, config=config, lifetime_s=lifetime_s)
        await _serve(request, socket, session, dice)
    return socket


async def _join(request: web.Request, call: Call) -> web.StreamResponse:
    """Let a sideband join a call; it is told what the session is, as at the beginning."""
    session = call.joinable()
    asked = _faults_asked(request)
    socket = await _accept(request)
    if session.sent.counts["session.created"]:
        session.greet()
    with request.app[REGISTRY].dice(asked) as dice:
        await _serve(request, socket, session, dice)
    return socket


async def _suffer(faults: list[Fault]) -> None:
    for fault in faults:
        if fault.kind == "slow":
            await asyncio.sleep(fault.value)
        else:
            raise _refused(int(fault.value), fault.retry_after_s)


def _refused(status: int, retry_after_s: float | None) -> Refusal:
    type, code = HANDSHAKE_ERRORS.get(status, ("server_error", "server_error"))
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    return Refusal(f"Refused on purpose with status {status}.", type=type, code=code, status=status, headers=headers)


def _faults_asked(request: web.Request) -> Faults | None:
    text = request.query.get("faults") or request.headers.get("X-Simulator-Faults")
    return parse_faults(text) if text else None


def _kind_asked(request: web.Request) -> Kind:
    if request.path.endswith("/translations"):
        if "intent" in request.query:
            raise Refusal("'intent' is not supported for translations.", code="invalid_intent", param="intent")
        return "translation"
    return "transcription" if request.query.get("intent") == "transcription" else "realtime"


async def close_connections(app: web.Application) -> None:
    """Close every session as a server does that goes away."""
    for connection in app[CONNECTIONS].copy().values():
        connection.close(WSCloseCode.GOING_AWAY, "the server is shutting down")


async def _serve(request: web.Request, socket: web.WebSocketResponse, session: Exchange, dice: Dice) -> None:
    faulty, peer = with_faults(socket, request.transport, session, dice)
    connection = Connection(faulty, peer, request.app[REGISTRY].settings.clock)
    session.run_slow_organs_on(connection.run_in_thread)
    connections = request.app[CONNECTIONS]
    if (other := connections.get(session.id)) is not None:
        other.close(WSCloseCode.GOING_AWAY, "another sideband joined the call")
    connections[session.id] = connection
    session.on_change = connection.wake
    try:
        await connection.run()
    finally:
        if connections.get(session.id) is connection:
            del connections[session.id]


async def _accept(request: web.Request) -> web.WebSocketResponse:
    protocols = ("realtime",) if "realtime" in offered_protocols(request.headers) else ()
    socket = web.WebSocketResponse(
        timeout=CLOSE_TIMEOUT_S,
        autoping=False,
        compress=False,
        protocols=protocols,
        max_msg_size=MAX_FRAME_BYTES,
        decode_text=False,
    )
    if not socket.can_prepare(request).ok:
        raise Refusal("This is a WebSocket endpoint; send an Upgrade request.", code=None, status=426)
    await socket.prepare(request)
    return socket


async def _refuse_beta(socket: web.WebSocketResponse) -> web.WebSocketResponse:
    details = ErrorDetails(
        type="invalid_request_error",
        code="beta_api_shape_disabled",
        message="The Realtime Beta API is no longer supported. Please use the GA API, without the OpenAI-Beta header.",
        param=None,
        event_id=None,
    )
    await socket.send_str(encode(ErrorEvent(event_id="event_beta_000001", error=details)).decode())
    await socket.close(code=REFUSED, message=b"invalid_request_error.beta_api_shape_disabled")
    return socket


def _row(session: Exchange) -> str:
    cells = (
        session.id,
        session.kind,
        "closed" if session.is_over else "open",
        ", ".join(event.type for event in session.received[-5:]),
        ", ".join(event.type for event in session.sent[-5:]),
    )
    return "<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in cells) + "</tr>"


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
