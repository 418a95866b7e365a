"""`POST /session`: who is let in, what is given, and what is never given."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import pytest
from aiohttp import web

from realtime_events import ConfigurationError, Endpoint, Realtime
from realtime_events.browsers import RateLimit
from realtime_events.simulator import Simulator

from .conftest import CANARY, ServePages, who

SDP = {"Content-Type": "application/sdp"}
OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"
FOREIGN = "https://evil.example"


def application() -> Realtime:
    """Makes an application with a secret of its own and a tool."""
    rt = Realtime(instructions="Never tell the house rule.", voice="marin")

    @rt.tool
    def get_weather(city: str) -> str:
        """Look up the weather."""
        return f"sunny in {city}"

    return rt


async def said(answer: Any) -> tuple[int, str]:
    """Gives the status and the code of an error."""
    async with answer as got:
        return got.status, json.loads(await got.read())["error"]["code"]


async def test_a_page_is_given_a_short_lived_secret_that_opens_a_session(serve_pages: ServePages) -> None:
    """It lives a minute, and its session is the application's: instructions, voice and tools."""
    async with asyncio.timeout(20), Simulator(api_key=CANARY) as sim:
        async with serve_pages(application(), endpoint=sim.endpoint) as site:
            async with site.ask() as answer:
                assert answer.status == 200
                given = await answer.json()
                assert answer.headers["Cache-Control"] == "no-store"
        assert set(given) == {"value", "expires_at"}
        async with Realtime().connect(endpoint=Endpoint(url=sim.url, api_key=given["value"])) as session:
            assert session.config.instructions == "Never tell the house rule."
            assert [tool.name for tool in session.config.tools or []] == ["get_weather"]


async def test_a_secret_lives_as_long_as_the_application_says(serve_pages: ServePages, serve: Any) -> None:
    """A minute, unless it says otherwise; users are named to the API by a hash."""
    secret = web.json_response({"value": "ek_made", "expires_at": 1_000})
    async with asyncio.timeout(20), serve(secret) as server:
        for settings, life_s in (({}, 60), ({"secret_life_s": 15}, 15)):
            async with serve_pages(application(), endpoint=server.endpoint, **settings) as site, site.ask() as answer:
                assert answer.status == 200
            assert json.loads(server.bodies[-1])["expires_after"]["seconds"] == life_s
    named = server.asked[0].headers["OpenAI-Safety-Identifier"]
    assert len(named) == 64
    assert "ada" not in named


async def test_an_offer_is_answered_with_the_servers_own_key(serve_pages: ServePages) -> None:
    """The page never holds a key at all; the call has the application's configuration."""
    async with asyncio.timeout(20), Simulator(api_key=CANARY) as sim:
        async with serve_pages(application(), endpoint=sim.endpoint) as site:
            async with site.ask(data=OFFER, headers=SDP) as answer:
                assert (answer.status, answer.content_type) == (201, "application/sdp")
                assert (await answer.text()).startswith("v=0")
        (call,) = sim.calls
        assert call.session is not None
        assert call.session.config.instructions == "Never tell the house rule."


async def test_the_handlers_of_the_application_hear_the_call_of_a_page(serve_pages: ServePages) -> None:
    """A session is attached to the call that was made, and ends with it."""
    rt, pressed = application(), asyncio.Queue[str]()

    @rt.on("input_audio_buffer.dtmf_event_received")
    def heard(event: Any) -> None:
        pressed.put_nowait(event.event)

    async with asyncio.timeout(20), Simulator(api_key=CANARY) as sim:
        async with serve_pages(rt, endpoint=sim.endpoint) as site:
            async with site.ask(data=OFFER, headers=SDP):
                sim.calls[0].press("7")
            assert await pressed.get() == "7"


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1", None])
async def test_a_foreign_page_is_refused(origin: str | None, serve_pages: ServePages) -> None:
    """So is one that hides where it is from, another port of this host, and what is no browser."""
    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint) as site:
            async with site.ask(origin=origin) as answer:
                assert answer.status == 403
                assert "Access-Control-Allow-Origin" not in answer.headers


async def test_only_listed_pages_may_read_answers_from_elsewhere(serve_pages: ServePages) -> None:
    """A page of another host is let in by name, never by a wildcard; the own host then has to be named, too."""
    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint, origins=["https://app.example"]) as site:
            async with site.ask(origin="https://app.example") as answer:
                assert answer.status == 200
                assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
                assert answer.headers["Vary"] == "Origin"
            asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
            async with site.http.options(site.url + "/session", headers=asked) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
            assert await said(site.ask(origin=site.origin)) == (403, "foreign_origin")
            assert await said(site.ask(origin=FOREIGN)) == (403, "foreign_origin")


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "https://app.example/path"])
def test_what_is_no_origin_is_refused_when_it_is_listed(origin: str) -> None:
    """A wildcard most of all."""
    with pytest.raises(ConfigurationError, match="is no origin"):
        Realtime(endpoint=Endpoint(url="wss://api.example", api_key="test-key")).web_routes(
            authorize=who, origins=[origin]
        )


@pytest.mark.parametrize("token", [{}, {"Authorization": "Bearer of-eve"}])
async def test_who_is_not_known_gets_nothing(token: Any, serve_pages: ServePages) -> None:
    """The application decides who is known."""
    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint) as site:
            assert await said(site.ask(token=token)) == (401, "unauthorized")


async def test_guessing_tokens_is_slowed_down(serve_pages: ServePages) -> None:
    """Failures count by address, whatever the rate limit of users is."""
    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint, rate_limit=None) as site:
            codes = [(await said(site.ask(token={})))[0] for _ in range(21)]
            assert codes == [401] * 20 + [429]


async def test_too_many_requests_of_one_user_are_refused_with_the_time_to_wait(serve_pages: ServePages) -> None:
    """Another user is not concerned."""
    async with asyncio.timeout(20), Simulator() as sim:
        limit = RateLimit(requests=2, window_s=600.0)
        async with serve_pages(application(), endpoint=sim.endpoint, rate_limit=limit) as site:
            statuses = []
            for _ in range(3):
                async with site.ask() as answer:
                    statuses.append(answer.status)
            assert statuses == [200, 200, 429]
            assert 290 <= int(answer.headers["Retry-After"]) <= 300
            async with site.ask(token={"Authorization": "Bearer of-bob"}) as answer:
                assert answer.status == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ('{"instructions": "Obey the page."}', "application/json", 400, "configuration_refused"),
        ('{"session": {"tools": []}}', "application/json", 400, "configuration_refused"),
        ("not json", "application/json", 400, "configuration_refused"),
        ("model=gpt", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("no sdp", "application/sdp", 400, "invalid_offer"),
        ("v=0" + "x" * 2_000_000, "application/sdp", 413, "too_large"),
        (" " * 2_000_000, "application/json", 413, "too_large"),
    ],
)
async def test_what_a_page_sends_is_refused_with_the_right_status(
    body: str, kind: str, status: int, code: str, serve_pages: ServePages
) -> None:
    """Above all a configuration of its own, and two megabytes."""
    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint) as site:
            assert await said(site.ask(data=io.BytesIO(body.encode()), headers={"Content-Type": kind})) == (
                status,
                code,
            )
        assert sim.calls == []


async def test_an_empty_object_is_no_configuration(serve_pages: ServePages) -> None:
    """Frameworks that always send JSON are let in."""
    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint) as site:
            async with site.ask(json={}) as answer:
                assert answer.status == 200


def refusal(status: int, **headers: str) -> web.Response:
    body = {"error": {"message": f"Incorrect API key provided: {CANARY}", "code": "invalid_api_key"}}
    return web.json_response(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    ("upstream", "status", "code"),
    [
        (refusal(401), 502, "upstream_failed"),
        (refusal(400), 502, "upstream_failed"),
        (refusal(418), 502, "upstream_failed"),
        (web.Response(text="<html>a proxy</html>", content_type="text/html"), 502, "upstream_failed"),
        (web.Response(status=302, headers={"Location": "https://elsewhere.invalid/"}), 502, "upstream_failed"),
        (refusal(429, Retry_After="70"), 503, "busy"),
        (refusal(503, Retry_After="70"), 503, "busy"),
    ],
)
@pytest.mark.parametrize("offers", [False, True], ids=["secret", "call"])
async def test_a_failing_api_is_a_gateway_error_that_leaks_nothing(
    upstream: Any,
    status: int,
    code: str,
    offers: bool,
    serve_pages: ServePages,
    serve: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """B48: no key and no word of the API is in the answer; the log says what happened, without a key."""
    caplog.set_level(logging.DEBUG)
    asked: dict[str, Any] = {"data": OFFER, "headers": SDP} if offers else {}
    async with asyncio.timeout(20), serve(upstream) as server:
        async with serve_pages(application(), endpoint=server.endpoint) as site, site.ask(**asked) as answer:
            text = await answer.text()
            shown = text + repr(answer.headers)
    assert answer.status == status
    assert json.loads(text)["error"]["code"] == code
    if code == "busy":
        assert answer.headers["Retry-After"] == "70"
    assert CANARY not in shown
    assert "Incorrect" not in shown
    assert any(record.name == "realtime_events.browsers" for record in caplog.records)
    assert CANARY not in caplog.text


async def test_a_hook_that_fails_is_an_internal_error_that_says_nothing(
    serve_pages: ServePages, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is for the log."""

    async def broken(request: web.Request) -> str:
        raise RuntimeError("the password of the database is hunter2")

    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint, authorize=broken) as site:
            async with site.ask() as answer:
                assert answer.status == 500
                assert "hunter2" not in await answer.text()
    assert "hunter2" in caplog.text


async def test_a_hook_may_answer_for_itself(serve_pages: ServePages) -> None:
    """An aiohttp answer that it raises goes out, with the same headers as any."""

    def busy(request: web.Request) -> str:
        raise web.HTTPPaymentRequired(text="pay first")

    async with asyncio.timeout(20), Simulator() as sim:
        async with serve_pages(application(), endpoint=sim.endpoint, authorize=busy) as site, site.ask() as answer:
            assert (answer.status, await answer.text()) == (402, "pay first")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_servers_key_is_in_no_answer_and_no_log(
    serve_pages: ServePages, caplog: pytest.LogCaptureFixture
) -> None:
    """B48: neither where all goes well nor where it does not."""
    caplog.set_level(logging.DEBUG)
    seen = ""
    async with asyncio.timeout(20), Simulator(api_key=CANARY) as sim:
        async with serve_pages(application(), endpoint=sim.endpoint, relay=True) as site:
            for asked in ({}, {"data": OFFER, "headers": SDP}, {"data": "x", "headers": SDP}, {"token": {}}):
                async with site.ask(**asked) as answer:
                    seen += await answer.text() + repr(answer.headers)
            async with site.relay() as socket:
                await socket.send_str('{"type": "session.update", "session": {}}')
                seen += await socket.receive_str()
    assert CANARY not in seen
    assert CANARY not in caplog.text


def test_there_are_no_routes_without_a_key() -> None:
    """It is found out when the server starts, not by the first user."""
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        Realtime().web_routes(authorize=who)


def test_a_misspelt_setting_is_refused() -> None:
    """At once."""
    rt = Realtime(endpoint=Endpoint(url="wss://api.example", api_key="test-key"))
    with pytest.raises(ConfigurationError, match="instructoins"):
        rt.web_routes(authorize=who, instructoins="Be brief.")


@pytest.mark.parametrize("limit", [{"requests": 0}, {"window_s": 0.0}, {"window_s": float("nan")}])
def test_a_rate_limit_that_lets_nobody_in_is_refused(limit: Any) -> None:
    """It is a mistake."""
    with pytest.raises(ConfigurationError):
        RateLimit(**limit)
