"""The door, on real sockets of this machine: each of aiohttp's traps, and what becomes of it."""

from __future__ import annotations

import asyncio
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from realtime_events import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLostError,
    Endpoint,
    FrameTooLarge,
    HandshakeError,
    Realtime,
    TransportError,
)
from realtime_events.endpoint import Secret
from realtime_events.transport import READ_FIRST_S, Dialling, Ending, WebSocketTransport, dial

CREATED = b'{"type":"session.created","event_id":"event_1","session":{"type":"realtime","id":"sess_1"}}'
Behave = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve a handler on loopback and give its WebSocket URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/v1/realtime"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def door_to(behave: Behave, **how: Any) -> AsyncIterator[WebSocketTransport]:
    """Open a door to a server that behaves in a certain way."""

    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoping=how.get("autoping", True), max_msg_size=0)
        await ws.prepare(request)
        await behave(ws)
        return ws

    options = {name: value for name, value in how.items() if name != "autoping"}
    async with asyncio.timeout(20), serving(handler) as url:
        transport = await dial(url, {}, Dialling(**options))
        try:
            yield transport
        finally:
            await transport.close()


async def until_it_ends(transport: WebSocketTransport, frames: list[bytes] | None = None) -> Ending:
    taken = frames if frames is not None else []
    return await transport.run(lambda data: taken.append(data) or False)  # type: ignore[func-returns-value]


async def read_all(ws: web.WebSocketResponse) -> None:
    async for _ in ws:
        pass


# ── endings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_close_code_and_reason_come_from_the_close_frame() -> None:
    """B40, T6: also to a late reader of frames that came before it."""

    async def behave(ws: web.WebSocketResponse) -> None:
        for number in range(10):
            await ws.send_str(str(number))
        await ws.close(code=1001, message=b"going away")

    frames: list[bytes] = []
    async with door_to(behave) as transport:
        ending = await until_it_ends(transport, frames)
    assert frames == [str(n).encode() for n in range(10)]
    assert (ending.code, ending.reason, ending.initiator) == (1001, "going away", "server")


@pytest.mark.parametrize("how", ["FIN", "RST", "FIN in a frame", "RST in a frame"])
async def test_an_end_without_a_close_frame_is_1006_however_it_comes(how: str) -> None:
    """B40, T5."""

    async def behave(ws: web.WebSocketResponse) -> None:
        transport = ws._req.transport  # type: ignore[union-attr]
        assert transport is not None
        if "frame" in how:
            transport.write(struct.pack("!BBH", 0x81, 126, 1000) + b"only the beginning")
        if how.startswith("RST"):
            sock = transport.get_extra_info("socket")
            sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER: a close sends RST
            transport.abort()
        else:
            transport.close()

    async with door_to(behave) as transport:
        ending = await until_it_ends(transport)
    assert (ending.code, ending.initiator, ending.error) == (1006, "network", None)


async def test_a_frame_over_the_limit_ends_with_1009_and_says_the_limit() -> None:
    """B45."""

    async def behave(ws: web.WebSocketResponse) -> None:
        await ws.send_bytes(b"x" * 2000)
        await read_all(ws)

    async with door_to(behave, max_frame_bytes=1000) as transport:
        ending = await until_it_ends(transport)
    assert ending.code == 1009 and isinstance(ending.error, FrameTooLarge)
    assert ending.error.limit_bytes == 1000 and not ending.error.can_reconnect


async def test_a_frame_far_over_aiohttps_own_default_is_taken() -> None:
    """B45: aiohttp stops at 4 MiB unless told otherwise."""

    async def behave(ws: web.WebSocketResponse) -> None:
        await ws.send_bytes(b"x" * (6 * 1024 * 1024))
        await ws.close()

    frames: list[bytes] = []
    async with door_to(behave) as transport:
        ending = await until_it_ends(transport, frames)
    assert len(frames[0]) == 6 * 1024 * 1024 and ending.code == 1000


async def test_text_that_is_no_utf8_reaches_the_codec_instead_of_ending_the_connection() -> None:
    """B01."""

    async def behave(ws: web.WebSocketResponse) -> None:
        await ws.send_frame(b"\xff\xfe", WSMsgType.TEXT)
        await ws.close()

    frames: list[bytes] = []
    async with door_to(behave) as transport:
        ending = await until_it_ends(transport, frames)
    assert frames == [b"\xff\xfe"] and ending.code == 1000


async def test_closing_is_quick_although_the_peer_never_answers() -> None:
    """B40, T10."""
    gone = asyncio.Event()

    async def behave(ws: web.WebSocketResponse) -> None:
        await gone.wait()

    loop = asyncio.get_running_loop()
    async with door_to(behave) as transport:
        reading = asyncio.create_task(until_it_ends(transport))
        await asyncio.sleep(0)
        before = loop.time()
        await transport.close(1000, "bye")
        assert loop.time() - before < 1.0
        ending = await reading
        gone.set()
    assert (ending.code, ending.reason, ending.initiator) == (1000, "bye", "client")


async def test_after_the_end_sending_raises_and_says_how_it_ended() -> None:
    """B40."""

    async def behave(ws: web.WebSocketResponse) -> None:
        await ws.close(code=1011, message=b"oops")

    async with door_to(behave) as transport:
        await until_it_ends(transport)
        with pytest.raises(ConnectionLostError, match="1011: oops"):
            await transport.send(b"{}")


async def test_a_sender_whose_peer_takes_nothing_is_freed_after_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """T3: 5 s; here 50 ms."""
    monkeypatch.setattr("realtime_events.transport.SEND_TIMEOUT_S", 0.05)
    gone = asyncio.Event()

    async def behave(ws: web.WebSocketResponse) -> None:
        ws._req.transport.pause_reading()  # type: ignore[union-attr]
        await gone.wait()

    async with door_to(behave, ping_interval_s=None) as transport:
        reading = asyncio.create_task(until_it_ends(transport))
        with pytest.raises(ConnectionLostError, match="a send was blocked"):
            await transport.send(b"x" * 50_000_000)
        ending = await reading
        gone.set()
    assert (ending.code, ending.initiator) == (1006, "network")


async def test_a_reason_too_long_for_a_close_frame_is_cut_between_characters() -> None:
    reasons: list[str] = []
    read = asyncio.Event()

    async def behave(ws: web.WebSocketResponse) -> None:
        message = await ws.receive()
        reasons.append(message.extra)
        read.set()

    async with door_to(behave) as transport:
        reading = asyncio.create_task(until_it_ends(transport))
        await transport.close(1011, "é" * 100)
        await reading
        await read.wait()
    assert reasons == ["é" * 61]


async def test_what_can_no_longer_be_sent_raises_how_the_connection_ended() -> None:
    """B40: in the moment between the end and the word of the socket, and after it; the first reason stays."""
    gone = asyncio.Event()

    async def behave(ws: web.WebSocketResponse) -> None:
        await gone.wait()

    async with door_to(behave) as transport:
        reading = asyncio.create_task(until_it_ends(transport))
        await transport.send(b"{}")
        transport.end(Ending(1006, "found dead", "network"))
        transport.end(Ending(1006, "found dead again", "network"))
        with pytest.raises(ConnectionLostError, match="found dead$"):
            await transport.drain()
        ending = await reading
        with pytest.raises(ConnectionLostError, match="found dead$"):
            await transport.drain()
        gone.set()
    assert (ending.code, ending.reason) == (1006, "found dead")


async def test_a_send_during_which_the_connection_ends_is_not_taken_for_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """B40."""
    gone = asyncio.Event()

    async def behave(ws: web.WebSocketResponse) -> None:
        await gone.wait()

    async with door_to(behave) as transport:

        async def send_frame(data: bytes, kind: WSMsgType) -> None:
            transport.end(Ending(1006, "found dead", "network"))

        monkeypatch.setattr(transport._ws, "send_frame", send_frame)
        with pytest.raises(ConnectionLostError, match="found dead"):
            await transport.send(b"{}")
        gone.set()


async def test_what_a_write_does_not_wait_for_may_be_cancelled_and_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B46: a write waits for no room; whatever becomes of the wait leaves no complaint in the loop."""
    gone, complaints = asyncio.Event(), list[Any]()
    loop = asyncio.get_running_loop()
    room: asyncio.Future[None] = loop.create_future()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    async def behave(ws: web.WebSocketResponse) -> None:
        await gone.wait()

    async with door_to(behave) as transport:

        async def send_frame(data: bytes, kind: WSMsgType) -> None:
            await room

        monkeypatch.setattr(transport._ws, "send_frame", send_frame)
        transport.write(b"{}")
        room.cancel()
        await asyncio.wait({room})
        gone.set()
    assert room.cancelled() and not complaints


@pytest.mark.parametrize("what", ["ping", "pong"])
async def test_a_connection_whose_pings_cannot_be_written_has_ended(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """B40, B44: neither our own nor the answer to the server's."""

    async def behave(ws: web.WebSocketResponse) -> None:
        await ws.ping(b"there?")
        await read_all(ws)

    async def fails(payload: bytes = b"") -> None:
        raise ConnectionResetError("the socket is closing")

    async with door_to(behave, ping_interval_s=0.01 if what == "ping" else None) as transport:
        monkeypatch.setattr(transport._ws, what, fails)
        ending = await until_it_ends(transport)
    assert (ending.code, ending.initiator) == (1006, "network")


async def test_a_socket_that_does_not_tell_what_is_acknowledged_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """B17: None is not zero; the audio that was written is named as in doubt then."""
    fcntl = pytest.importorskip("fcntl")

    def ioctl(*_: Any) -> bytes:
        raise OSError("not for this kind of socket")

    async with door_to(read_all) as transport:
        monkeypatch.setattr(fcntl, "ioctl", ioctl)
        assert transport.unacknowledged_bytes is None
        reading = asyncio.create_task(until_it_ends(transport))
        transport.end(Ending(1006, "found dead", "network"))
        assert (await reading).unacknowledged_bytes is None


# ── keep-alive ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dead_peer_is_noticed_within_interval_and_timeout() -> None:
    """B44, T3: here 50 ms and 100 ms; the sender that the dead peer blocks is freed too."""
    gone = asyncio.Event()

    async def behave(ws: web.WebSocketResponse) -> None:
        ws._req.transport.pause_reading()  # type: ignore[union-attr]
        await gone.wait()

    loop = asyncio.get_running_loop()
    async with door_to(behave, ping_interval_s=0.05, ping_timeout_s=0.1) as transport:
        reading = asyncio.create_task(until_it_ends(transport))
        sending = asyncio.create_task(transport.send(b"x" * 50_000_000))
        before = loop.time()
        ending = await reading
        assert 0.1 < loop.time() - before < 1.0
        with pytest.raises(ConnectionLostError):
            await sending
        gone.set()
    assert ending.code == 1006 and "did not answer a ping" in ending.reason


async def test_a_quiet_peer_that_answers_pings_lives_on() -> None:
    """B44, T4: twenty silent ping intervals, and the connection is still there."""
    pings: list[bytes] = []
    enough = asyncio.Event()

    async def behave(ws: web.WebSocketResponse) -> None:
        while len(pings) < 20:
            message = await ws.receive()
            pings.append(message.data)
            await ws.pong(message.data)
        enough.set()
        await ws.send_str("still here")
        await ws.close()

    frames: list[bytes] = []
    async with door_to(behave, ping_interval_s=0.005, ping_timeout_s=5.0, autoping=False) as transport:
        ending = await until_it_ends(transport, frames)
    assert enough.is_set() and frames == [b"still here"] and ending.code == 1000


async def test_a_loop_that_was_blocked_reads_before_it_judges_the_peer() -> None:
    """B44: what the peer said meanwhile lies unread; silence is counted only once the reader had its turn."""
    async with door_to(read_all, ping_interval_s=60.0, ping_timeout_s=0.01) as transport:
        reading = asyncio.create_task(until_it_ends(transport))
        await asyncio.sleep(0)
        loop, alive = asyncio.get_running_loop(), transport._alive
        assert alive is not None
        alive._tick(60.0, loop.time())  # The first ping.
        alive._tick(60.0, loop.time() - 30.0)
        assert not reading.done() and alive._silent_s == 0.0
        assert alive._timer is not None and alive._timer.when() - loop.time() <= READ_FIRST_S
        await transport.close()
        assert (await reading).initiator == "client"


async def test_the_servers_pings_are_answered_while_a_handler_is_stuck() -> None:
    """B03, T1."""
    answered = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        await ws.send_bytes(CREATED)
        await ws.ping(b"are you there")
        message = await ws.receive()
        assert message.type is WSMsgType.PONG and message.data == b"are you there"
        answered.set()
        await ws.close()
        return ws

    rt, never = Realtime(), asyncio.Event()

    @rt.on("session.created")
    async def stuck(event: Any) -> None:
        await never.wait()

    async with asyncio.timeout(5), serving(handler) as url:
        async with rt.connect(endpoint=Endpoint(url=url, api_key="test-key")):
            await answered.wait()
            never.set()


async def test_pings_can_be_off() -> None:
    """B44."""

    async def behave(ws: web.WebSocketResponse) -> None:
        await ws.close()

    async with door_to(behave, ping_interval_s=None) as transport:
        assert (await until_it_ends(transport)).code == 1000


# ── the handshake ────────────────────────────────────────────────────────────────────────────────────────────────────


async def refused_by(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> TransportError:
    async with asyncio.timeout(5), serving(handler) as url:
        with pytest.raises(TransportError) as refused:
            await dial(url, {"Authorization": Secret("Bearer canary-key")}, Dialling())
    return refused.value


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (401, AuthenticationError, False),
        (403, AuthenticationError, False),
        (404, HandshakeError, False),
        (429, HandshakeError, True),
        (500, HandshakeError, True),
        (200, HandshakeError, False),
    ],
)
async def test_an_answer_other_than_101_gives_its_status_and_an_excerpt(status: int, kind: Any, again: bool) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        body = {"error": {"message": "no such model\r\nINFO root: forged", "type": "invalid_request_error"}}
        return web.json_response(body, status=status, headers={"Retry-After": "7"})

    error = await refused_by(handler)
    assert type(error) is kind and isinstance(error, HandshakeError)
    assert (error.status, error.can_reconnect, error.headers["Retry-After"]) == (status, again, "7")
    assert f"HTTP {status}" in str(error) and "no such model" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    """T8: aiohttp would carry the key along."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    error = await refused_by(handler)
    assert isinstance(error, HandshakeError) and error.status == status and not error.can_reconnect
    assert asked == ["/v1/realtime"]


def canary_endpoint(url: str) -> Endpoint:
    return Endpoint(url=url, api_key="canary-key")


async def test_no_error_of_the_handshake_shows_the_key_even_with_its_locals() -> None:
    """T9."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401, text="who are you")

    async with asyncio.timeout(5), serving(handler) as url:
        try:
            await Realtime().connect(endpoint=canary_endpoint(url))
        except AuthenticationError as error:
            shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
            assert "OPENAI_API_KEY" in str(error)
    assert "HTTP 401" in shown and "canary" + "-key" not in shown


async def test_a_refused_connection_and_a_name_that_nobody_has_are_one_line() -> None:
    async with asyncio.timeout(5):
        with pytest.raises(TransportError, match=r"connect to ws://127\.0\.0\.1:1/v1: connection refused$") as refused:
            await dial("ws://127.0.0.1:1/v1?model=x", {}, Dialling())
        assert refused.value.can_reconnect and "model" not in str(refused.value)
        with pytest.raises(TransportError, match=r"'nobody\.invalid' cannot be resolved"):
            await dial("wss://nobody.invalid/v1", {}, Dialling())


async def test_a_server_that_does_not_speak_http_is_named() -> None:
    gone = asyncio.Event()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await reader.read()
        writer.close()
        gone.set()

    async with asyncio.timeout(5), await asyncio.start_server(babble, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(TransportError, match="does not speak WebSocket"):
            await dial(f"ws://127.0.0.1:{port}/", {}, Dialling())
        await gone.wait()


async def answered(answer: bytes) -> BaseException:
    """Dial a server that gives an answer and hangs up, and give the error."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with asyncio.timeout(5), await asyncio.start_server(say, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(TransportError) as caught:
            await dial(f"ws://127.0.0.1:{port}/", {}, Dialling())
    return caught.value


async def test_a_refusal_whose_body_never_comes_is_told_without_it() -> None:
    """B41: its status says whether to try again."""
    error = await answered(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\nRetry-After: 7\r\n\r\n")
    assert isinstance(error, HandshakeError)
    assert (error.status, error.body, error.headers["Retry-After"]) == (503, "", "7")
    assert error.can_reconnect


async def test_an_upgrade_that_does_not_answer_the_challenge_is_refused() -> None:
    """B41: whoever says 101 without having read the request is no WebSocket server."""
    error = await answered(
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n"
    )
    assert isinstance(error, HandshakeError)
    assert error.status == 101 and "challenge" in error.body


async def test_a_connection_that_ends_right_after_its_upgrade_is_an_error_of_the_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B40, B41: it may be tried again, and the pool is given back."""
    connect = aiohttp.ClientSession.ws_connect

    async def connected(client: aiohttp.ClientSession, *args: Any, **how: Any) -> Any:
        ws = await connect(client, *args, **how)
        ws._response.close()
        return ws

    monkeypatch.setattr(aiohttp.ClientSession, "ws_connect", connected)
    with pytest.raises(TransportError, match="ended right after the handshake") as caught:
        async with door_to(read_all):
            pass
    assert caught.value.can_reconnect


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "host:99999"])
async def test_a_url_that_names_no_host_is_no_url_to_connect_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """B41: trying again does not help."""

    async def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        return host.encode("idna")  # What the real one begins with, before it asks anybody.

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with asyncio.timeout(5):
        with pytest.raises(TransportError, match="is no URL that can be connected to") as caught:
            await dial(f"wss://{host}/v1/realtime", {}, Dialling())
    assert not caught.value.can_reconnect


async def test_a_handshake_that_stalls_is_given_up() -> None:
    gone = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()
        gone.set()

    async with asyncio.timeout(5), await asyncio.start_server(stall, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(TransportError, match=r"did not answer within 0\.05 s"):
            await dial(f"ws://127.0.0.1:{port}/", {}, Dialling(connect_timeout_s=0.05))
        await gone.wait()


# ── the endpoint ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_never_travels_in_the_clear_but_to_this_machine() -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        Endpoint(url=f"ws://{host}:1/v1/realtime", api_key="test-key")
    for host in ("example.com", "10.0.0.1", "localhost.example.com"):
        with pytest.raises(ConfigurationError, match="unencrypted"):
            Endpoint(url=f"ws://{host}/v1/realtime", api_key="test-key")


def test_what_is_no_websocket_url_is_refused() -> None:
    for url in ("https://api.openai.com/v1", "api.openai.com", "", "wss://"):
        with pytest.raises(ConfigurationError, match="no WebSocket URL"):
            Endpoint(url=url)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "wss://api.openai.com/v1/realtime?model=m"),
        ({"OPENAI_BASE_URL": "https://eu.api.openai.com/v1/"}, "wss://eu.api.openai.com/v1/realtime?model=m"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, "ws://127.0.0.1:8000/v1/realtime?model=m"),
        (
            {"OPENAI_REALTIME_URL": "wss://example.com/rt?x=1", "OPENAI_BASE_URL": "https://other.example"},
            "wss://example.com/rt?x=1&model=m",
        ),
    ],
)
async def test_the_environment_says_where_to_connect(
    environment: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"OPENAI_API_KEY": "test-key", "OPENAI_ORG_ID": "org", **environment}.items():
        monkeypatch.setenv(name, value)
    endpoint = Endpoint.openai(project="proj")
    assert endpoint.connect_url(model="m") == url
    assert await endpoint.handshake_headers() == {
        "Authorization": "Bearer test-key",
        "OpenAI-Organization": "org",
        "OpenAI-Project": "proj",
    }


async def test_a_key_may_be_a_callable_that_is_asked_at_each_handshake() -> None:
    keys = iter(["first", "second"])

    async def fresh() -> str:
        return next(keys)

    for source, given in ((fresh, "first"), (fresh, "second"), (lambda: "plain", "plain")):
        headers = await Endpoint(url="wss://example.com", api_key=source).handshake_headers()
        assert headers["Authorization"] == f"Bearer {given}" and given not in repr(headers)
    with pytest.raises(ConfigurationError, match="gave NoneType, not a key"):
        await Endpoint(url="wss://example.com", api_key=lambda: None).handshake_headers()  # type: ignore[arg-type,return-value]


async def test_azure_has_a_ga_url_and_a_dated_preview_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://me.openai.azure.com/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "test-key")
    ga = Endpoint.azure()
    assert ga.connect_url(model="dep") == "wss://me.openai.azure.com/openai/v1/realtime?model=dep"
    assert (ga.dialect, await ga.handshake_headers()) == ("ga", {"api-key": "test-key"})
    preview = Endpoint.azure(api_version="2024-10-01-preview")
    assert preview.connect_url(model="dep") == (
        "wss://me.openai.azure.com/openai/realtime?api-version=2024-10-01-preview&deployment=dep"
    )
    assert preview.dialect == "beta"
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "token")
    assert await Endpoint.azure().handshake_headers() == {"Authorization": "Bearer token"}


def test_transcription_and_calls_have_urls_of_their_own() -> None:
    endpoint = Endpoint(url="wss://api.openai.com/v1/realtime")
    assert endpoint.connect_url(model="m", kind="transcription").endswith("/realtime?intent=transcription")
    assert endpoint.connect_url(model="m", call_id="rtc_1").endswith("/realtime?call_id=rtc_1")
    assert endpoint.connect_url(model="m", kind="translation").endswith("/realtime/translations?model=m")
