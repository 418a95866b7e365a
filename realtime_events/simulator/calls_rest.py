"""The REST endpoints of calls: create, accept, reject, refer, hang up.

Owns their answers. Before it: `app.py`, which routes; after it: `registry.py` and `calls.py`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from ..events.base import UNSET
from ..events.rest import Referral, Rejection
from ..events.session import SessionConfig
from .calls import Call, check_sdp, sdp_answer
from .client_secrets import ClientSecret
from .errors import Refusal, from_validation, missing
from .registry import Registry
from .rest import REGISTRY, read_body
from .validation import check_config, one_of

SIP_DECLINE = 603

_B = TypeVar("_B")


def add_call_routes(app: web.Application) -> None:
    """Add the endpoints to the application."""
    for base in ("/v1", "/openai/v1"):
        calls = f"{base}/realtime/calls"
        app.router.add_post(calls, create)
        app.router.add_post(f"{calls}/{{call_id}}/accept", accept)
        app.router.add_post(f"{calls}/{{call_id}}/reject", reject)
        app.router.add_post(f"{calls}/{{call_id}}/refer", refer)
        app.router.add_post(f"{calls}/{{call_id}}/hangup", hang_up)


async def create(request: web.Request) -> web.StreamResponse:
    """Take an SDP offer and answer it; the call's id is at the end of `Location`."""
    registry = request.app[REGISTRY]
    secret = registry.keys.admit(request.headers, request.query)
    sdp, config = await _offer(request)
    check_sdp(sdp)
    call = registry.new_call()
    registry.answer_call(call, _configured(request, config, secret))
    headers = {"Location": f"/v1/realtime/calls/{call.id}"}
    text = sdp_answer(len(registry.calls))
    return web.Response(status=201, text=text, headers=headers, content_type="application/sdp")


async def accept(request: web.Request) -> web.StreamResponse:
    """Take an incoming call with the configuration in the body."""
    registry, call = _found(request)
    config = await read_body(request, SessionConfig)
    _check(config)
    registry.answer_call(call, config)
    return web.Response()


async def reject(request: web.Request) -> web.StreamResponse:
    """Turn an incoming call away."""
    _, call = _found(request)
    call.reject((await read_body(request, Rejection)).status_code or SIP_DECLINE)
    return web.Response()


async def refer(request: web.Request) -> web.StreamResponse:
    """Hand a call over to a `tel:` or `sip:` address."""
    _, call = _found(request)
    target = (await read_body(request, Referral)).target_uri
    if not target.startswith(("tel:", "sip:", "sips:")):
        raise Refusal(f"Invalid target URI: '{target}'.", code="invalid_value", param="target_uri")
    call.refer(target)
    return web.Response()


async def hang_up(request: web.Request) -> web.StreamResponse:
    """End a call."""
    _, call = _found(request)
    call.hang_up()
    return web.Response()


def _found(request: web.Request) -> tuple[Registry, Call]:
    registry = request.app[REGISTRY]
    registry.keys.admit(request.headers, request.query)
    return registry, registry.find_call(request.match_info["call_id"])


async def _offer(request: web.Request) -> tuple[str, SessionConfig | None]:
    """Read the offer: raw SDP, or a form with the parts `sdp` and `session`."""
    if not request.content_type.startswith("multipart/"):
        return await request.text(), None
    form = await request.post()
    sdp, session = (_text(form.get(name)) for name in ("sdp", "session"))
    if sdp is None:
        raise missing("sdp")
    return sdp, None if session is None else _decoded(session)


def _text(part: str | bytes | bytearray | web.FileField | None) -> str | None:
    if isinstance(part, web.FileField):
        part = part.file.read()
    return part.decode("utf-8", "replace") if isinstance(part, bytes | bytearray) else part


def _decoded(text: str) -> SessionConfig:
    try:
        return msgspec.json.decode(text, type=SessionConfig)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise from_validation(str(error)) from None


def _configured(request: web.Request, config: SessionConfig | None, secret: ClientSecret | None) -> SessionConfig:
    own: SessionConfig | None = secret.session if secret and secret.kind == "realtime" else None
    wanted = config or own or SessionConfig(type="realtime")
    _check(wanted)
    model = wanted.model or request.query.get("model")
    if not model:
        raise Refusal("You must provide a model parameter.", code="missing_model", param="model")
    return msgspec.structs.replace(wanted, model=model)


def _check(config: SessionConfig) -> None:
    if config.type is UNSET or not config.type:
        raise missing("session.type")
    one_of("realtime")("session.type", config.type)
    check_config(config)
