"""The REST endpoints beside the WebSocket: client secrets, and the beta's sessions.

Owns their answers. Knows no socket. Before it: `app.py`, which routes and authenticates nothing itself;
after it: `client_secrets.py` and `config.py`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from aiohttp import web

from ..events import beta, rest
from ..events.base import UnsetType
from ..events.beta import ExpiresAfter
from ..events.session import SessionConfig
from ..exceptions import ConfigurationError
from ..protocol.dialect.conversion import session_to_beta, session_to_ga
from .client_secrets import DEFAULT_LIFE_S, LONGEST_S, SHORTEST_S
from .config import DEFAULT_MODEL, Kind, initial, updated
from .errors import Refusal, check_known, from_validation, missing, out_of_range
from .faults import Faults
from .registry import Registry
from .translating import initial_translation
from .validation import check_config, one_of

REGISTRY: web.AppKey[Registry] = web.AppKey("registry", Registry)

_B = TypeVar("_B")


def add_routes(app: web.Application) -> None:
    """Add the endpoints to the application."""
    for base in ("/v1", "/openai/v1"):
        app.router.add_post(f"{base}/realtime/client_secrets", make_client_secret)
        app.router.add_post(f"{base}/realtime/translations/client_secrets", make_translation_secret)
    app.router.add_get("/faults", show_faults)
    app.router.add_put("/faults", set_faults)
    app.router.add_delete("/faults", set_faults)
    app.router.add_post("/v1/realtime/sessions", make_beta_session)
    app.router.add_post("/v1/realtime/transcription_sessions", make_beta_session)


async def make_client_secret(request: web.Request) -> web.StreamResponse:
    """Make a client secret for a realtime or transcription session."""
    registry = _admitted(request)
    body = await read_body(request, rest.ClientSecretRequest)
    wanted = body.session or SessionConfig(type="realtime")
    if not wanted.type:
        raise missing("session.type")
    one_of("realtime", "transcription")("session.type", wanted.type)
    check_config(wanted)
    kind: Kind = "transcription" if wanted.type == "transcription" else "realtime"
    secret = registry.keys.issue(kind=kind, session=wanted, seconds=_seconds(body.expires_after))
    shown = _described(registry, kind, wanted)
    return answer(rest.ClientSecret(value=secret.value, expires_at=secret.expires_at, session=shown))


async def make_translation_secret(request: web.Request) -> web.StreamResponse:
    """Make a client secret for a translation session."""
    registry = _admitted(request)
    body = await read_body(request, rest.TranslationClientSecretRequest)
    if not body.session.model:
        raise missing("session.model")
    secret = registry.keys.issue(kind="translation", session=body.session, seconds=_seconds(body.expires_after))
    expires_at = int(registry.settings.unix() + registry.settings.session_lifetime_s)
    shown = initial_translation(body.session.model, body.session, id=registry.new_id("sess"), expires_at=expires_at)
    return answer(rest.TranslationClientSecret(value=secret.value, expires_at=secret.expires_at, session=shown))


async def make_beta_session(request: web.Request) -> web.StreamResponse:
    """Make a client secret as the beta did: a flat session with the secret in it."""
    registry = _admitted(request)
    body = await read_body(request, beta.Session)
    transcribes = request.path.endswith("transcription_sessions")
    kind: Kind = "transcription" if transcribes else "realtime"
    wanted = session_to_ga(body, kind)
    check_config(wanted)
    secret = registry.keys.issue(kind=kind, session=wanted, seconds=_beta_seconds(body))
    flat = session_to_beta(_described(registry, kind, wanted))
    shown = beta.ClientSecret(value=secret.value, expires_at=secret.expires_at)
    return answer(msgspec.structs.replace(flat, client_secret=shown))


async def show_faults(request: web.Request) -> web.StreamResponse:
    """Tell which faults are on."""
    return answer(request.app[REGISTRY].faults)


async def set_faults(request: web.Request) -> web.StreamResponse:
    """Replace the faults by those of a specification in the body; none in the body, or DELETE, ends them."""
    faults = parse_faults(await request.text())
    request.app[REGISTRY].set_faults(faults)
    return answer(faults)


def parse_faults(text: str) -> Faults:
    """Read a specification that came over the wire.

    Raises:
        Refusal: It is none.
    """
    try:
        return Faults.parse(text)
    except ConfigurationError as error:
        raise Refusal(str(error), code="invalid_value", param="faults") from None


async def read_body(request: web.Request, shape: type[_B]) -> _B:
    """Read a JSON body; an empty one counts as `{}`.

    Raises:
        Refusal: It is not of this shape.
    """
    data = await request.read() or b"{}"
    try:
        body = msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise from_validation(str(error)) from None
    check_known(data, msgspec.json.encode(body))
    return body


def answer(body: Any, *, status: int = 200) -> web.Response:
    """Give a JSON answer."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


def _admitted(request: web.Request) -> Registry:
    registry = request.app[REGISTRY]
    if registry.keys.admit(request.headers, request.query) is not None:
        raise Refusal("A client secret cannot make client secrets.", code="insufficient_permissions", status=401)
    return registry


def _described(registry: Registry, kind: Kind, wanted: SessionConfig) -> SessionConfig:
    config = updated(initial(kind, model=wanted.model or DEFAULT_MODEL), wanted)
    expires_at = int(registry.settings.unix() + registry.settings.session_lifetime_s)
    return msgspec.structs.replace(config, id=registry.new_id("sess"), expires_at=expires_at)


def _seconds(wanted: ExpiresAfter | UnsetType | None) -> int:
    if not wanted or not isinstance(wanted.seconds, int):
        return DEFAULT_LIFE_S
    if not SHORTEST_S <= wanted.seconds <= LONGEST_S:
        raise out_of_range("expires_after.seconds", wanted.seconds, SHORTEST_S, LONGEST_S)
    return wanted.seconds


def _beta_seconds(body: beta.Session) -> int:
    secret = body.client_secret or beta.ClientSecret()
    after = secret.expires_after or secret.expires_at
    return _seconds(after if isinstance(after, ExpiresAfter) else None)
