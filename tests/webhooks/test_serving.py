"""The aiohttp handler: quick answers, one event for each delivery, an orderly end."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime_events import ConfigurationError
from realtime_events.simulator import Simulator
from realtime_events.simulator.calls import signed
from realtime_events.webhooks import RealtimeCallIncoming, WebhookEvent, WebhookHandler, serving

from ..hosting import hosted

SECRET = "whsec_Y2FuYXJ5LW1hdGVyaWFs"
BODY = b'{"id": "evt_1", "type": "app.custom"}'


def headers_of(body: bytes = BODY, id: str = "wh_1", secret: str = SECRET) -> dict[str, str]:
    """Signs as the simulator does."""
    return signed(body, webhook_id=id, unix_s=int(time.time()), secret=secret)


class Hook:
    """A handler on a socket, and what it was told."""

    def __init__(self, **settings: Any) -> None:
        self.told: asyncio.Queue[WebhookEvent] = asyncio.Queue()
        settings.setdefault("on_event", self.told.put)
        self.handler = WebhookHandler(settings.pop("on_event"), secret=SECRET, **settings)
        self.url = ""

    async def post(self, body: Any = BODY, headers: Any = None) -> int:
        """Posts a webhook and gives the status of the answer."""
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.url, data=body, headers=headers_of() if headers is None else headers) as answer,
        ):
            assert await answer.read() == b""
            return answer.status


@asynccontextmanager
async def listening(**settings: Any) -> AsyncIterator[Hook]:
    """Serves a handler."""
    hook = Hook(**settings)
    app = web.Application()
    hook.handler.add_to(app, "/webhook")
    async with hosted(app) as host, asyncio.timeout(20):
        hook.url = f"http://{host.place}/webhook"
        yield hook


async def test_a_ringing_call_reaches_the_application() -> None:
    """B51: signed by the simulator, over the wire."""
    async with listening() as hook, Simulator() as sim:
        call = await sim.ring(webhook_url=hook.url, secret=SECRET, sip_headers={"X-Account": "7"})
        event = await hook.told.get()
    assert isinstance(event, RealtimeCallIncoming)
    assert (event.data.call_id, event.data.header("x-account")) == (call.id, "7")


async def test_a_delivery_that_comes_again_is_answered_and_not_told_again() -> None:
    """B51: the sender rests, the application hears of it once."""
    async with listening() as hook:
        assert [await hook.post() for _ in range(3)] == [200, 200, 200]
        assert await hook.post(headers=headers_of(id="wh_2")) == 200
        assert [(await hook.told.get()).id, (await hook.told.get()).id] == ["evt_1", "evt_1"]
        assert hook.told.empty()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (BODY, {"Content-Type": "application/json"}, 400),
        (BODY + b" ", headers_of, 401),
        (BODY, lambda: headers_of(secret="another"), 401),
        (BODY, lambda: {**headers_of(), "webhook-timestamp": "1"}, 400),
        (BODY, lambda: {**headers_of(), "Content-Type": "text/plain"}, 415),
        (gzip.compress(BODY), lambda: {**headers_of(), "Content-Encoding": "gzip"}, 415),
        (b"{", lambda: headers_of(b"{"), 400),
        (io.BytesIO(b" " * 2_000_000), lambda: headers_of(b" "), 413),
    ],
    ids=["unsigned", "changed", "forged", "old", "no JSON", "packed", "bad JSON", "2 MB"],
)
async def test_what_is_wrong_is_answered_with_its_status_and_nothing_else(
    body: Any, headers: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """B51, B48: no reason in the answer, and no canary in the log."""
    caplog.set_level(logging.DEBUG, "realtime_events")
    async with listening() as hook:
        assert await hook.post(body, headers() if callable(headers) else headers) == status
        assert hook.told.empty()
    assert "Y2FuYXJ5" not in caplog.text


async def test_other_methods_are_not_allowed() -> None:
    """Only POST is a webhook."""
    async with listening() as hook, aiohttp.ClientSession() as http, http.get(hook.url) as answer:
        assert answer.status == 405


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow sender holds nothing."""
    monkeypatch.setattr(serving, "READ_TIMEOUT_S", 0.05)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with listening() as hook:
        assert await hook.post(slowly()) == 408


async def test_the_answer_does_not_wait_for_the_work() -> None:
    """The work goes on in a task with a name."""
    release = asyncio.Event()
    names: list[str] = []

    async def work(event: WebhookEvent) -> None:
        await release.wait()
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())

    async with listening(on_event=work) as hook:
        assert await hook.post() == 200
        assert hook.handler.running == 1
        release.set()
        await hook.handler.drain()
    assert names == ["realtime_events.webhooks.event"]


async def test_a_plain_function_will_do_and_one_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The next event is handled all the same."""
    told: list[str] = []

    def work(event: WebhookEvent) -> None:
        told.append(event.id)
        raise ValueError("no")

    async with listening(on_event=work) as hook:
        assert [await hook.post(), await hook.post(headers=headers_of(id="wh_2"))] == [200, 200]
        await hook.handler.drain()
    assert told == ["evt_1", "evt_1"]
    assert caplog.text.count("handling webhook evt_1 failed") == 2 and "ValueError: no" in caplog.text


async def test_more_than_can_be_handled_is_sent_away_and_may_come_again() -> None:
    """503 does not count as taken."""
    release = asyncio.Event()

    async def work(event: WebhookEvent) -> None:
        await release.wait()

    async with listening(on_event=work, most_running=1) as hook:
        assert [await hook.post(), await hook.post(headers=headers_of(id="wh_2"))] == [200, 503]
        release.set()
        while hook.handler.running:
            await asyncio.sleep(0)
        assert await hook.post(headers=headers_of(id="wh_2")) == 200


async def test_the_end_waits_for_work_in_hand_and_takes_no_more() -> None:
    """Drain: what was promised by a 200 is done."""
    release = asyncio.Event()
    done: list[str] = []

    async def work(event: WebhookEvent) -> None:
        await release.wait()
        done.append(event.id)

    async with listening(on_event=work) as hook:
        await hook.post()
        draining = asyncio.create_task(hook.handler.drain())
        await asyncio.sleep(0)
        assert await hook.post(headers=headers_of(id="wh_2")) == 503
        release.set()
        await draining
        assert done == ["evt_1"]


async def test_the_end_of_the_application_cancels_work_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    """After the grace time nothing of ours is left."""
    ended: list[str] = []

    async def work(event: WebhookEvent) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(event.id)

    async with listening(on_event=work, drain_s=0.01) as hook:
        await hook.post()
    assert (ended, hook.handler.running) == (["evt_1"], 0)
    assert "1 webhooks were still being handled after 0.01 s" in caplog.text


def test_without_a_secret_there_is_no_handler() -> None:
    """Nobody must run unverified by mistake."""
    with pytest.raises(ConfigurationError, match="OPENAI_WEBHOOK_SECRET"):
        WebhookHandler(print)
