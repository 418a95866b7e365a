"""Everything that can go wrong with a request: each a typed error, nothing repeated in vain, no key shown."""

from __future__ import annotations

import asyncio
import gzip
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from realtime_events import ConfigurationError, Endpoint, Options, RestError
from realtime_events.connector import Pool
from realtime_events.reconnect import retry_after_s
from realtime_events.rest import RestClient, Retry
from realtime_events.rest.requests import said_in

from .conftest import KEY, Patience, Serve, refusal, secret_answer

OFFER = "v=0\r\n"
Make = Callable[..., RestClient]
SECRET = lambda client: client.create_client_secret()  # noqa: E731 - the calls of a table
CALL = lambda client: client.create_call(OFFER)  # noqa: E731
ACCEPT = lambda client: client.accept_call("rtc_1", {})  # noqa: E731


async def failed(client: RestClient, call: Any) -> RestError:
    """Makes a call that must fail, and gives its error."""
    async with asyncio.timeout(20), client:
        with pytest.raises(RestError) as refused:
            await call(client)
    return refused.value


# ── what is tried again ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_passing_failure_of_a_secret_is_tried_again(
    status: int, serve: Serve, client_of: Make, patience: Patience
) -> None:
    """A second secret does no harm."""
    async with serve(refusal(status), refusal(status), secret_answer()) as server, client_of(server) as client:
        assert (await client.create_client_secret()).value == "ek_made"
    assert len(server.asked) == 3
    assert patience.waited_s == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 418, 422, 451, 501])
async def test_a_lasting_failure_is_an_error_at_once(status: int, serve: Serve, client_of: Make) -> None:
    """Another attempt would fail as well."""
    async with serve(refusal(status)) as server:
        error = await failed(client_of(server), SECRET)
    assert (error.status, error.code, error.request_id, error.retryable) == (status, "invalid_value", "req_1", False)
    assert str(error) == f"HTTP {status} invalid_value: It does not work. (request req_1)"
    assert len(server.asked) == 1


@pytest.mark.parametrize("call", [CALL, ACCEPT], ids=["create", "accept"])
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_call_that_may_have_been_taken_is_never_tried_again(
    status: int, call: Any, serve: Serve, client_of: Make
) -> None:
    """It would ring, or be answered, twice."""
    async with serve(refusal(status)) as server:
        error = await failed(client_of(server), call)
    assert (error.retryable, len(server.asked)) == (False, 1)


@pytest.mark.parametrize("call", [CALL, ACCEPT], ids=["create", "accept"])
@pytest.mark.parametrize("answer", [(429, {}), (429, {"Retry_After": "2"}), (503, {"Retry_After": "2"})])
async def test_a_call_that_was_refused_before_it_was_taken_is_tried_again(
    answer: Any, call: Any, serve: Serve, client_of: Make
) -> None:
    """The server says itself that nothing happened yet."""
    status, headers = answer
    async with serve(*(refusal(status, **headers) for _ in range(3))) as server:
        error = await failed(client_of(server), call)
    assert (error.retryable, len(server.asked)) == (True, 3)


async def test_a_form_is_whole_in_every_attempt(serve: Serve, client_of: Make) -> None:
    """A form can be sent only once, so each attempt makes its own."""
    taken = web.Response(text="v=0\r\n", status=201, headers={"Location": "/v1/realtime/calls/rtc_9"})
    async with serve(refusal(429), taken) as server, client_of(server) as client:
        assert (await client.create_call(OFFER, {"model": "gpt-realtime"})).call_id == "rtc_9"
    for body in server.bodies:
        assert b'name="sdp"' in body and b'name="session"' in body and b"gpt-realtime" in body


async def test_retry_after_is_waited_for_and_chance_comes_on_top(
    serve: Serve, client_of: Make, patience: Patience
) -> None:
    """Never less than the server asked for."""
    async with serve(refusal(429, Retry_After="7"), secret_answer()) as server, client_of(server) as client:
        await client.create_client_secret()
    assert patience.waited_s == [7.5]


async def test_a_retry_after_that_is_too_long_is_an_error_that_says_it(serve: Serve, client_of: Make) -> None:
    """A caller does not hang for an hour."""
    async with serve(refusal(503, Retry_After="3600")) as server:
        error = await failed(client_of(server), SECRET)
    assert (error.retry_after_s, error.retryable, len(server.asked)) == (3600.0, True, 1)


async def test_an_exhausted_quota_is_not_tried_again(serve: Serve, client_of: Make) -> None:
    """It is a 429 that no waiting helps."""
    async with serve(refusal(429, "insufficient_quota")) as server:
        error = await failed(client_of(server), SECRET)
    assert (error.code, error.retryable, len(server.asked)) == ("insufficient_quota", False, 1)


@pytest.mark.parametrize(
    ("said", "expected_s"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("1e9", None),
        ("٣", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(said: str, expected_s: float | None) -> None:
    """RFC 9110 section 10.2.3."""
    assert retry_after_s({"Retry-After": said}, now=60.0) == expected_s


def test_the_wait_doubles_is_bounded_and_left_to_chance() -> None:
    """Exponential back-off with full jitter."""
    bounds = Retry(jitter=lambda: 1.0)
    assert [bounds.delay_s(failed, None) for failed in (1, 2, 3, 4, 5, 6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert Retry(jitter=lambda: 0.0).delay_s(4, None) == 0.0


async def test_a_callable_key_is_asked_at_each_attempt(serve: Serve, patience: Patience) -> None:
    """A token may have run out between two of them."""
    keys = iter(["test-key-1", "test-key-2"])
    async with serve(refusal(429), secret_answer()) as server:
        endpoint = Endpoint(url=server.url, api_key=lambda: next(keys))
        async with RestClient(endpoint, retry=patience.policy) as client:
            await client.create_client_secret()
    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer test-key-1", "Bearer test-key-2"]


# ── no answer ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("call", [SECRET, CALL, ACCEPT], ids=["secret", "create", "accept"])
async def test_without_a_connection_every_call_is_tried_again(call: Any, patience: Patience) -> None:
    """Nothing was sent."""
    nobody = Endpoint(url="ws://127.0.0.1:9/v1/realtime", api_key=KEY)
    error = await failed(RestClient(nobody, retry=patience.policy), call)
    assert (error.status, error.retryable, len(patience.waited_s)) == (None, True, 2)
    assert str(error).startswith("POST http://127.0.0.1:9/v1/realtime/") and "connection refused" in str(error)


async def test_a_name_that_nobody_has_is_one_line(patience: Patience) -> None:
    """Another attempt may find it."""
    nowhere = Endpoint(url="wss://nowhere.invalid/v1/realtime", api_key=KEY)
    error = await failed(RestClient(nowhere, retry=patience.policy), SECRET)
    assert "'nowhere.invalid' cannot be resolved" in str(error) and error.retryable


@asynccontextmanager
async def mute(said: bytes = b"") -> AsyncIterator[Endpoint]:
    """Serves a port that takes connections and says always the same; gives its endpoint, as one of TLS."""

    open_now: list[asyncio.StreamWriter] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.append(writer)
        writer.write(said)
        await reader.read()

    server = await asyncio.start_server(behave, "127.0.0.1", 0)
    try:
        yield Endpoint(url=f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime", api_key=KEY)
    finally:
        server.close()
        for writer in open_now:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize("call", [SECRET, CALL], ids=["secret", "create"])
async def test_a_connection_that_is_never_made_is_given_up_and_tried_again(call: Any, patience: Patience) -> None:
    """The TLS handshake is part of connecting; nothing was sent."""
    async with mute() as endpoint:
        options = Options(connect_timeout_s=0.05)
        error = await failed(RestClient(endpoint, options=options, retry=patience.policy), call)
    assert "no connection within 0.05 s" in str(error) and error.retryable
    assert len(patience.waited_s) == 2


async def test_a_server_that_speaks_no_tls_is_not_tried_again(patience: Patience) -> None:
    """It will not learn it."""
    async with mute(b"HTTP/1.1 400 Bad Request\r\n\r\n") as endpoint:
        error = await failed(RestClient(endpoint, retry=patience.policy), SECRET)
    assert "TLS failed" in str(error) and not error.retryable
    assert patience.waited_s == []


async def test_a_proxy_that_refuses_is_named(patience: Patience) -> None:
    """It answered, and not the server."""
    async with mute(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n") as proxy:
        options = Options(proxy=proxy.url.removesuffix("/v1/realtime").replace("wss", "http", 1))
        endpoint = Endpoint(url="wss://api.invalid/v1/realtime", api_key=KEY)
        error = await failed(RestClient(endpoint, options=options, retry=patience.policy), SECRET)
    assert "the proxy refused with HTTP 407" in str(error) and not error.retryable


async def test_a_key_that_is_no_header_is_refused_without_being_shown(serve: Serve, patience: Patience) -> None:
    """B48: a line break in it would begin another header."""
    async with serve(secret_answer()) as server:
        with pytest.raises(ConfigurationError, match="line break") as caught:
            Endpoint(url=server.url, api_key="canary\r\nX-Other: 1")
        assert "canary" not in str(caught.value)
        endpoint = Endpoint(url=server.url, headers={"X-Tenant": "one\r\nX-Other: 1"})
        error = await failed(RestClient(endpoint, retry=patience.policy), SECRET)
    assert "a header of it is none" in str(error)
    assert server.asked == []


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Drops the connection in place of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stall(request: web.Request) -> web.StreamResponse:
    """Begins an answer and never ends it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"value":')
    await asyncio.Event().wait()
    return response


async def truncate(request: web.Request) -> web.StreamResponse:
    """Begins an answer and drops the connection."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"value":')
    return await hang_up(request)


@pytest.mark.parametrize("behave", [hang_up, stall, truncate])
@pytest.mark.parametrize(("call", "times"), [(SECRET, 3), (CALL, 1), (ACCEPT, 1)], ids=["secret", "create", "accept"])
async def test_a_lost_answer_is_asked_for_again_only_where_that_does_no_harm(
    behave: Any, call: Any, times: int, serve: Serve, client_of: Make
) -> None:
    """A call may have been taken; the error says so."""
    async with serve(behave) as server:
        error = await failed(client_of(server, timeout_s=0.2), call)
        assert len(server.asked) == times
    assert (error.status, error.retryable) == (None, times > 1)
    assert ("may have been done" in str(error)) is (times == 1)


# ── answers that are none ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (web.Response(text="<html>Sign in</html>", content_type="text/html"), "text/html; charset=utf-8' instead of"),
        (web.Response(body=b"", content_type="application/json"), "of another form"),
        (web.Response(body=b'{"value": "ek_canary_in_a_broken', content_type="application/json"), "of another form"),
        (web.Response(body=b'{"value": 5}', content_type="application/json"), "Expected `str`, got `int`"),
        (web.Response(body=b"[" * 100_000, content_type="application/json"), "of another form"),
        (web.Response(body=b"\xff\xfe", content_type="application/json"), "of another form"),
        (web.Response(body=b" " * 2_000_000, content_type="application/json"), "more than 1,048,576 bytes"),
    ],
    ids=["html", "empty", "broken", "wrong type", "deep", "no utf-8", "oversized"],
)
async def test_an_answer_of_another_form_is_an_error(answer: Any, told: str, serve: Serve, client_of: Make) -> None:
    """With its status, and without what it held: that may be a secret."""
    async with serve(answer) as server:
        error = await failed(client_of(server), SECRET)
    assert (error.status, error.retryable, len(server.asked)) == (200, False, 1)
    assert told in str(error)
    assert "ek_canary" not in str(error)


async def test_an_answer_that_unpacks_to_too_much_is_not_unpacked_to_its_end(serve: Serve, client_of: Make) -> None:
    """A small body may hold a large one."""
    packed = gzip.compress(b" " * 50_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with serve(web.Response(body=packed, headers=headers)) as server:
        error = await failed(client_of(server), SECRET)
    assert "more than 1,048,576 bytes" in str(error)


@pytest.mark.parametrize("location", ["", "/v1/realtime/calls/", "/v1/realtime/calls/../../x%0a"])
async def test_an_answer_to_an_offer_needs_the_id_of_the_call(location: str, serve: Serve, client_of: Make) -> None:
    """Without it nobody could hang up."""
    headers = {"Location": location} if location else {}
    async with serve(web.Response(text="v=0\r\n", status=201, headers=headers)) as server:
        error = await failed(client_of(server), CALL)
    assert "no call id" in str(error)


async def test_a_page_in_place_of_an_error_is_told_in_one_line(serve: Serve, client_of: Make) -> None:
    """A proxy's page, with what would forge a line of a log."""
    page = web.Response(text="<h1>Bad\r\nGateway</h1>\x1b[31m\u202e", status=502, content_type="text/html")
    async with serve(page, page, page) as server:
        error = await failed(client_of(server), CALL)
    assert str(error) == "HTTP 502: a body of text/html: <h1>Bad Gateway</h1>\\x1b[31m\\u202e"


@pytest.mark.parametrize("body", ['{"error": "no"}', '{"error": {"message": null}}', "{}", "[]", "null", ""])
async def test_an_error_body_of_any_form_is_survived(body: str, serve: Serve, client_of: Make) -> None:
    """What the API documents is only one of them."""
    async with serve(web.Response(text=body, status=400, content_type="application/json")) as server:
        assert (await failed(client_of(server), SECRET)).status == 400


@given(
    body=st.binary(max_size=300)
    | st.text(max_size=100).map(lambda text: f'{{"error": {{"message": "{text}"}}}}'.encode())
)
def test_whatever_an_error_body_holds_its_sentence_is_one_printable_line(body: bytes) -> None:
    """B48: nobody forges a line of a log."""
    code, message = said_in({}, body)
    assert str(RestError(400, message, code=code)).isprintable()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_the_key_stays_here(status: int, serve: Serve, client_of: Make) -> None:
    """B48: a key never follows a redirect."""
    async with serve(secret_answer()) as elsewhere:
        away = web.Response(status=status, headers={"Location": elsewhere.url.replace("ws", "http", 1)})
        async with serve(away) as server:
            error = await failed(client_of(server), SECRET)
    assert (error.status, error.retryable) == (status, False)
    assert "redirects are not followed" in str(error)
    assert (len(server.asked), elsewhere.asked) == (1, [])


# ── secrecy ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def shown(error: BaseException) -> str:
    """Gives everything that a crash reporter would: the traceback with the locals of every frame of ours, and fields.

    The frames of tests are left out, for they have to know the key.
    """
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in told.stack if "/tests/" not in frame.filename]
    assert frames
    return "\n".join([str(told), repr(error), repr(vars(error)), *(f"{frame.locals}" for frame in frames)])


async def echo(request: web.Request) -> web.StreamResponse:
    """Refuses, and repeats the key that it was given."""
    key = request.headers["Authorization"]
    said = {"error": {"message": f"who is {key}?", "code": key}}
    return web.json_response(said, status=401, headers={"x-request-id": key})


async def echo_plainly(request: web.Request) -> web.StreamResponse:
    """Repeats the headers, as pages for debugging do."""
    return web.Response(text=f"who is {request.headers}?", status=401, content_type="text/plain")


@pytest.mark.parametrize(
    "behave",
    [
        echo,
        echo_plainly,
        refusal(401),
        refusal(500),
        hang_up,
        stall,
        web.Response(body=b'{"value": 5, "x": "canary-secret"}'),
    ],
    ids=["echo", "page", "401", "500", "hang up", "stall", "wrong"],
)
async def test_no_failure_shows_a_key_or_what_was_sent(
    behave: Any, serve: Serve, client_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """B48: canaries in the key, a header, a tool's authorization and an answer; searched in everything, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    tool = {"type": "mcp", "server_label": "docs", "authorization": "canary-mcp"}
    async with serve(behave) as server:
        client = client_of(server, timeout_s=0.2, headers={"X-Proxy-Key": "canary-header"})
        error = await failed(client, lambda client: client.create_client_secret({"tools": [tool]}))
    everything = shown(error) + caplog.text + repr(client)
    assert error.__context__ is None and error.__cause__ is None
    assert "canary" not in everything


async def test_a_request_is_logged_in_one_line_without_its_query(
    serve: Serve, client_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Method, place, status and request id."""
    caplog.set_level(logging.DEBUG, "realtime_events")
    async with serve(secret_answer()) as server, client_of(server, query={"token": "canary"}) as client:
        await client.create_client_secret()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "realtime_events.rest"]
    assert line.startswith("POST http://127.0.0.1:") and "/client_secrets: HTTP 200 in " in line and "req_2" in line
    assert "canary" not in caplog.text


# ── what is shared ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_requests_go_through_the_proxy_of_the_options(serve: Serve, patience: Patience) -> None:
    """B49: `proxy=` counts for REST as it does for the socket."""
    async with serve(secret_answer()) as proxy:
        endpoint = Endpoint(url="ws://127.0.0.1:9/v1/realtime", api_key=KEY)
        options = Options(proxy=proxy.url.removesuffix("/v1/realtime").replace("ws", "http", 1))
        async with RestClient(endpoint, options=options, retry=patience.policy) as client:
            assert (await client.create_client_secret()).value == "ek_made"
    assert str(proxy.asked[0].raw_path).startswith("http://127.0.0.1:9/")


@pytest.mark.parametrize(("trust_env", "no_proxy"), [(True, ""), (True, "127.0.0.1"), (False, "")])
async def test_the_environments_proxy_counts_if_it_is_trusted(
    trust_env: bool, no_proxy: str, serve: Serve, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B49: `trust_env`, and NO_PROXY."""
    proxied = trust_env and not no_proxy
    async with serve(secret_answer()) as proxy:
        monkeypatch.setenv("no_proxy", no_proxy)
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1/realtime").replace("ws", "http", 1))
        endpoint = Endpoint(url="ws://127.0.0.1:9/v1/realtime")
        async with RestClient(endpoint, options=Options(trust_env=trust_env), retry=patience.policy) as client:
            call = client.create_client_secret()
            if proxied:
                assert (await call).value == "ek_made"
            else:
                with pytest.raises(RestError, match="connection refused"):
                    await call
    assert len(proxy.asked) == int(proxied)


async def test_clients_of_one_loop_share_a_connector_that_closes_with_the_last(serve: Serve) -> None:
    """B47: the connector is the one thing that is shared."""
    pool = Pool.of_this_loop()
    one, other = pool.take(False), pool.take(True)
    connector = one.connector
    assert isinstance(connector, aiohttp.TCPConnector) and other.connector is connector
    await pool.give_back()
    assert not connector.closed
    await pool.give_back()
    assert connector.closed


async def test_a_callable_that_gives_no_key_is_said(serve: Serve) -> None:
    """As at a handshake."""
    async with serve(secret_answer()) as server:
        async with RestClient(Endpoint(url=server.url, api_key=lambda: "")) as client:
            with pytest.raises(ConfigurationError, match="the api_key callable is empty"):
                await client.create_client_secret()
