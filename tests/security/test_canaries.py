"""Canaries: secrets are planted wherever one can be, everything that can fail fails, and nobody sees one."""

from __future__ import annotations

import asyncio
import copy
import gzip
import pickle
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime_events import (
    ConfigurationError,
    ConnectionLostError,
    Endpoint,
    HandshakeError,
    McpServer,
    Options,
    Realtime,
    RealtimeError,
    ResponseFailed,
    RestClient,
    RestError,
    ServerError,
    TransportError,
    hosted_mcp,
)
from realtime_events.events import client
from realtime_events.events.rest import ClientSecret, Referral
from realtime_events.events.webhooks import IncomingCall, RealtimeCallIncoming, SipHeader
from realtime_events.rest import Retry
from realtime_events.secrecy import Secret
from realtime_events.testing import Peer
from realtime_events.transport import Dialling, dial
from realtime_events.webhooks import WebhookHandler, verify_webhook

from ..hosting import hosted
from .conftest import CANARY, Seen, graph_of, holds

KEY = f"key-{CANARY}"
PROXY_USER = f"user:{CANARY}"
WEBHOOK = f"webhook-{CANARY}"


def _async_key() -> Callable[[], Awaitable[str]]:
    async def give() -> str:
        return KEY

    return give


SOURCES: dict[str, Callable[[pytest.MonkeyPatch, str], Endpoint]] = {
    "argument": lambda patch, url: Endpoint(url=url, api_key=KEY),
    "environment": lambda patch, url: (patch.setenv("OPENAI_API_KEY", KEY), Endpoint.openai(url=url))[1],
    "callable": lambda patch, url: Endpoint(url=url, api_key=lambda: KEY),
    "async callable": lambda patch, url: Endpoint(url=url, api_key=_async_key()),
    "header": lambda patch, url: Endpoint(url=url, headers={"Authorization": f"Bearer {KEY}"}),
    "azure": lambda patch, url: Endpoint(url=url, api_key=KEY, key_header="api-key"),
}


@asynccontextmanager
async def answering(status: int, *, body: str | None = None) -> AsyncIterator[str]:
    """Answers every request with a status, and with all it was sent, in its headers and in its body."""

    async def answer(request: web.Request) -> web.Response:
        said = {f"X-Echo-{number}": value for number, value in enumerate(request.headers.values())}
        shown = body if body is not None else f"you sent {dict(request.headers)!r} and {await request.text()}"
        return web.Response(status=status, headers={**said, "Location": f"/?key={KEY}"}, text=shown)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with hosted(app) as host:
        yield f"ws://{host.place}/v1/realtime"


async def raised(call: Awaitable[object], kind: type[BaseException] = RealtimeError) -> BaseException:
    """Gives the error that a call ends with."""
    try:
        await call
    except kind as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("status", [302, 401, 403, 404, 429, 500, 503])
async def test_a_refused_handshake_shows_no_key_although_the_server_echoes_it(
    source: str, status: int, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B48: wherever the key came from."""
    async with answering(status) as url, asyncio.timeout(10):
        endpoint = SOURCES[source](monkeypatch, url)
        error = await raised(dial(url, await endpoint.handshake_headers()), HandshakeError)
        seen.check(error, endpoint)
        assert isinstance(error, HandshakeError) and error.status == status


@pytest.mark.parametrize("status", [302, 401])
async def test_a_session_that_is_not_let_in_shows_no_key(status: int, seen: Seen, tmp_path: Path) -> None:
    """B48: nor does its tape."""
    path = tmp_path / "call.jsonl"
    async with answering(status) as url, asyncio.timeout(10):
        rt = Realtime(endpoint=Endpoint(url=url, api_key=KEY))
        seen.check(await raised(rt.connect(record=path)._open(), HandshakeError), *graph_of(rt))
    assert not holds(path.read_text("utf-8"))


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500])
async def test_a_refused_request_shows_neither_the_key_nor_what_was_sent(status: int, seen: Seen) -> None:
    """B48: MCP authorization and headers are in the body that the server sends back."""
    session = {"tools": [{"type": "mcp", "server_label": "x", "authorization": KEY, "headers": {"X-Key": KEY}}]}
    async with answering(status, body=f'{{"error":{{"message":"bad key {KEY}","code":"{KEY}"}}}}') as url:
        endpoint, retry = Endpoint(url=url, api_key=KEY), Retry(attempts=1)
        async with RestClient(endpoint, retry=retry, headers={"X-More": KEY}) as rest, asyncio.timeout(10):
            seen.check(await raised(rest.create_client_secret(session), RestError), rest)


async def test_a_client_secret_that_cannot_be_read_is_not_shown(seen: Seen) -> None:
    """B48: its body may hold a secret that is good."""
    async with answering(200, body=f'{{"value": "{KEY}", "expires_at": "{KEY}"}}') as url, asyncio.timeout(10):
        async with RestClient(Endpoint(url=url, api_key=KEY)) as rest:
            seen.check(await raised(rest.create_client_secret(), RestError))


PLACES = {
    "refused": "wss://127.0.0.1:9/v1/realtime",
    "no such name": "wss://nowhere.invalid/v1/realtime",
    "no TLS": "",
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_server_that_cannot_be_reached_shows_no_key(place: str, seen: Seen) -> None:
    """B48: refused, unknown, or not speaking TLS."""
    async with answering(200) as plain, asyncio.timeout(10):
        url = PLACES[place] or plain.replace("ws://", "wss://")
        endpoint = Endpoint(url=url, api_key=KEY)
        how = Dialling(ssl=ssl.create_default_context())
        seen.check(await raised(dial(url, await endpoint.handshake_headers(), how), TransportError))
        async with RestClient(endpoint, retry=Retry(attempts=1)) as rest:
            seen.check(await raised(rest.hang_up("rtc_1"), RestError))


@pytest.mark.parametrize("status", [302, 401, 407, 502, 0])
async def test_a_proxy_that_refuses_or_is_not_there_shows_no_password(status: int, seen: Seen) -> None:
    """B48: nor the key that would have gone through it."""
    async with answering(status or 500) as url, asyncio.timeout(10):
        place = url.partition("//")[2].partition("/")[0] if status else "127.0.0.1:9"
        options = Options(proxy=f"http://{PROXY_USER}@{place}")
        headers = {"Authorization": Secret(f"Bearer {KEY}")}
        how = Dialling(proxy=options.proxy)
        seen.check(options, how, await raised(dial("wss://127.0.0.1:9/v1", headers, how), TransportError))
        seen.check(await raised(dial("ws://127.0.0.1:9/v1", headers, how), TransportError))
        async with RestClient(Endpoint(url="wss://127.0.0.1:9/v1", api_key=KEY), options=options) as rest:
            seen.check(rest, await raised(rest.hang_up("rtc_1"), RestError))


async def test_a_handshake_that_is_cancelled_or_takes_too_long_shows_no_key(seen: Seen) -> None:
    """B48: the request is in the locals of the frames that were left."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    headers = {"Authorization": Secret(f"Bearer {KEY}")}
    async with asyncio.timeout(10):
        seen.check(await raised(dial(url, headers, Dialling(connect_timeout_s=0.05)), TransportError))
        dialling = asyncio.create_task(dial(url, headers))
        while not any(task.get_name() == dialling.get_name() and task.get_stack() for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
        dialling.cancel()
        seen.check(await raised(dialling, asyncio.CancelledError))
    server.close()
    await server.wait_closed()


MCP = hosted_mcp("x", url=f"https://{PROXY_USER}@host/mcp?key={CANARY}", authorization=KEY, headers={"X-Key": KEY})


async def test_a_session_with_every_fault_shows_and_tapes_no_secret(seen: Seen, tmp_path: Path) -> None:
    """B48: MCP credentials, echoed keys, frames that are none, a failing tool and handler, and a lost connection."""
    peer, path = Peer(), tmp_path / "call.jsonl.gz"
    rt = Realtime(endpoint=Endpoint(url="ws://localhost/v1/realtime", api_key=KEY), session={"tools": [MCP]})

    @rt.on("session.updated")
    async def broken(event: Any) -> None:
        raise RuntimeError("a handler failed with its locals")

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the weather."""
        raise RuntimeError(f"no weather in {city}")

    async with asyncio.timeout(20):
        session = await rt.connect(dial=peer.dial, record=path, reconnect=False)
        peer.say(*faulty_frames())
        error = await raised(session.delete_item("item_none", timeout=0.05), BaseException)
        seen.check(error, session, rt, rt.config, session.config, *graph_of(session.config.tools, 1))
        waiting = asyncio.create_task(session.wait_for("app.never"))
        await peer.heard(client.ConversationItemDelete)
        peer.close(1008, f"bad Bearer {KEY}")
        seen.check(await raised(waiting, ConnectionLostError))
        await session.close()
    with gzip.open(path) as tape:
        assert not holds(tape.read().decode())


def faulty_frames() -> list[Any]:
    """Gives frames that a server should not send, with secrets in them."""
    call = {"id": "i", "type": "function_call", "call_id": "c", "name": "get_weather", "arguments": '{"city":"Bern"}'}
    return [
        f'{{"type":"session.updated","session":{{"tools":[{{"authorization":"{KEY}"'.encode(),
        f'{{"authorization":"{KEY}"}}'.encode(),
        f'{{"type":{{"authorization":"{KEY}"}}}}'.encode(),
        {"type": "newer.than.this", "client_secret": {"value": KEY}, "headers": {"X": KEY}},
        {"type": "error", "error": {"type": "invalid", "message": f"wrong Bearer {KEY}", "code": f"Bearer {KEY}"}},
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.output_item.done", "response_id": "r", "item": call},
        {"type": "response.done", "response": {"id": "r", "status": "completed", "output": [call]}},
    ]


async def test_no_process_that_we_start_is_given_a_key(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """B48: an MCP server of ours inherits what every program needs, and nothing else."""
    pytest.importorskip("mcp")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", WEBHOOK)
    server = McpServer.stdio(sys.executable, str(Path(__file__).with_name("environment_server.py")))
    rt, peer = Realtime(), Peer()
    rt.include(server)
    async with asyncio.timeout(30), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        told = str(await session.tools.call("environment"))
        owner = server._owner
    assert owner is not None
    await asyncio.wait({owner})  # The program may take its time to end, but not beyond the end of the loop.
    assert "PATH" in told and not holds(told)


PUBLIC: dict[str, Callable[[], Any]] = {
    "endpoint": lambda: Endpoint(url="wss://host/v1", api_key=KEY, headers={"Authorization": KEY, "Cookie": KEY}),
    "endpoint with a callable": lambda: Endpoint(url="wss://host/v1", api_key=lambda: KEY),
    "options": lambda: Options(proxy=f"http://{PROXY_USER}@proxy:8080"),
    "dialling": lambda: Dialling(proxy=f"http://{PROXY_USER}@proxy:8080"),
    "application": lambda: Realtime(
        endpoint=Endpoint(url="wss://host/v1", api_key=KEY),
        options=Options(proxy=f"http://{PROXY_USER}@proxy:8080"),
        session={"tools": [MCP]},
    ),
    "rest": lambda: RestClient(Endpoint(url="wss://host/v1", api_key=KEY), headers={"X-More": KEY}),
    "webhooks": lambda: WebhookHandler(print, secret=WEBHOOK),
    "hosted mcp": lambda: MCP,
    "client secret": lambda: ClientSecret(value=KEY, expires_at=1),
    "referral": lambda: Referral(target_uri=f"sip:{PROXY_USER}@host"),
    "update": lambda: client.SessionUpdate(session=Realtime(session={"tools": [MCP]}).config),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_nothing_that_an_application_holds_shows_a_secret(name: str) -> None:
    """B48: neither its `repr`, nor what its `vars()` and slots lead to, nor a copy of it."""
    thing = PUBLIC[name]()
    for one in (thing, *([copy.deepcopy(thing)] if name in ("endpoint", "options") else [])):
        assert not holds(repr(one))
        assert not holds(f"{one!r} {getattr(one, 'api_key', '')} {getattr(one, 'proxy', '')}")
    if name not in ("hosted mcp", "client secret", "referral", "update", "application"):
        assert not any(holds(repr(inner)) for inner in graph_of(thing))


@pytest.mark.parametrize("name", ["endpoint", "options"])
def test_a_secret_cannot_be_pickled_by_mistake(name: str) -> None:
    """B48: a pickle is a file, or a message to another process."""
    with pytest.raises(TypeError, match="a secret is not pickled"):
        pickle.dumps(PUBLIC[name]())


def test_a_secret_is_told_only_on_purpose() -> None:
    """B48: `str()` is the purpose; a format, a `repr` and a `%r` are none."""
    secret = Secret(KEY)
    assert str(secret) == KEY and secret + "" == KEY
    shown = f"{secret} {secret!r} {secret:>20} {{}} %r" % secret
    assert not holds(shown.format(secret))


@pytest.mark.parametrize(
    "url",
    [
        f"wss://{PROXY_USER}@host/v1",
        f"wss://host/v1?api-key={CANARY}",
        f"wss://host/v1?x=1&Access_Token={CANARY}",
        f"https://host/v1?api-key={CANARY}",
    ],
)
def test_a_secret_in_a_url_is_refused_without_being_shown(url: str, seen: Seen) -> None:
    """B48: a URL is logged by everybody on its way."""
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(url=url, api_key=KEY)
    seen.check(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endpoint(url="ws://example.com/v1", api_key=KEY),
        lambda: Endpoint(url="ws://example.com/v1", headers={"authorization": KEY}),
        lambda: Endpoint(url="wss://host/v1", api_key=f"{KEY}\r\nX-Other: 1"),
        lambda: Endpoint.azure(api_key=KEY),
        lambda: verify_webhook(b"{}", {}, secret=WEBHOOK),
        lambda: WebhookHandler(print, secret=f"whsec_{WEBHOOK}"),
    ],
    ids=["in the clear", "header in the clear", "line break", "no endpoint", "unsigned webhook", "wrong secret"],
)
def test_a_refusal_at_once_shows_no_secret_in_its_traceback(make: Callable[[], object], seen: Seen) -> None:
    """B48: the arguments of a constructor are the locals of its frame."""
    with pytest.raises(RealtimeError) as caught:
        make()
    seen.check(caught.value)


def test_what_a_phones_exchange_says_of_itself_is_hidden(seen: Seen) -> None:
    """B48: SIP headers are written by whoever calls."""
    header = SipHeader(name="Authorization", value=KEY)
    seen.check(RealtimeCallIncoming(id="evt_1", data=IncomingCall(call_id="rtc_1", sip_headers=[header])))


def test_what_a_server_says_of_an_error_shows_no_bearer_token(seen: Seen) -> None:
    """B48: an error may quote what was sent."""
    said = f"Bearer {KEY}"
    seen.check(
        str(ServerError(said, type=said, code=said, param=said)), str(ResponseFailed(None, code=said, message=said))
    )
