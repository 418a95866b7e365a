"""The `openai` SDK and our `RestClient` make the same requests: path, headers that matter, body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiohttp import web

from realtime_events import Endpoint, RestClient
from realtime_events.events import translation

from ..hosting import hosted

openai = pytest.importorskip("openai", reason="the openai SDK is not installed; `nox -s interop` installs it")

OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"
CONFIG = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
LIFE = {"anchor": "created_at", "seconds": 60}
COMPARED = ("Authorization", "OpenAI-Organization", "OpenAI-Project", "OpenAI-Beta", "Accept")
Call = Callable[[Any], Awaitable[Any]]


def parts(content_type: str, body: bytes) -> Any:
    """Gives a body as it is meant: none, JSON, the parts of a form with their types, or its text."""
    if not body:
        return None
    if content_type.startswith("application/json"):
        return json.loads(body)
    if not content_type.startswith("multipart/"):
        return body.decode()
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=policy.HTTP)
    found = {}
    for part in form.iter_parts() if isinstance(form, EmailMessage) else ():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        kind = part.get_content_type()
        found[name] = (kind, json.loads(data) if kind == "application/json" else data.decode())
    return found


@dataclass
class Server:
    """A server on this machine, and what it was asked: method, path, headers and body."""

    place: str = ""
    asked: list[Any] = field(default_factory=list)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Serves whatever is asked, and keeps what it was asked."""
    app = web.Application()
    server = Server()

    async def answer(request: web.Request) -> web.Response:
        body = parts(request.headers.get("Content-Type", ""), await request.read())
        server.asked.append(
            (request.method, request.path, {name: request.headers.get(name) for name in COMPARED}, body)
        )
        if request.path.endswith("/calls"):
            return web.Response(text="v=0\r\n", status=201, headers={"Location": "/v1/realtime/calls/rtc_1"})
        body = {"value": "ek_made", "expires_at": 1, "session": {"type": "realtime"}, "client_secret": {}}
        return web.json_response(body)

    app.router.add_route("*", "/{path:.*}", answer)
    async with hosted(app) as host:
        server.place = f"{host.place}/v1"
        yield server


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda r: r.calls.accept("rtc_1", **CONFIG), lambda c: c.accept_call("rtc_1", CONFIG)),
        (lambda r: r.calls.reject("rtc_1", status_code=486), lambda c: c.reject_call("rtc_1", 486)),
        (lambda r: r.calls.refer("rtc_1", target_uri="tel:+1"), lambda c: c.refer_call("rtc_1", "tel:+1")),
        (lambda r: r.calls.hangup("rtc_1"), lambda c: c.hang_up("rtc_1")),
        (lambda r: r.calls.create(sdp=OFFER, session=CONFIG), lambda c: c.create_call(OFFER, CONFIG)),
        (
            lambda r: r.client_secrets.create(session=CONFIG, expires_after=LIFE),
            lambda c: c.create_client_secret(CONFIG, expires_after_s=60),
        ),
    ],
    ids=["accept", "reject", "refer", "hangup", "create", "secret"],
)
async def test_the_same_call_is_the_same_request(theirs: Call, ours: Call, server: Server) -> None:
    """As the vendor's SDK makes it."""
    place = server.place
    async with asyncio.timeout(20):
        async with openai.AsyncOpenAI(
            api_key="test-key", base_url=f"http://{place}", organization="org", project="proj"
        ) as sdk:
            await theirs(sdk.realtime)
        endpoint = Endpoint.openai(api_key="test-key", url=f"ws://{place}/realtime", organization="org", project="proj")
        async with RestClient(endpoint) as client:
            await ours(client)
    expected, got = server.asked
    assert got == expected


async def test_a_translations_secret_is_made_at_its_own_path(server: Server) -> None:
    """Where the SDK has no call for it, the path of the reference."""
    place = server.place
    wanted = translation.TranslationSession(model="gpt-realtime-translate")
    async with RestClient(Endpoint(url=f"ws://{place}/realtime", api_key="test-key")) as client:
        await client.create_client_secret(wanted, expires_after_s=60)
    method, path, _, body = server.asked[0]
    assert (method, path) == ("POST", "/v1/realtime/translations/client_secrets")
    assert body == {"session": {"model": "gpt-realtime-translate"}, "expires_after": LIFE}
