"""The `openai` SDK and our own verification on the same webhooks: they agree, but where ours is stricter on purpose."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from realtime_events import WebhookVerificationError, verify_webhook
from realtime_events.simulator import Simulator
from realtime_events.simulator.calls import signed

from ..hosting import hosted

openai = pytest.importorskip("openai")

SECRET = "whsec_" + "dGVzdCBzZWNyZXQgb2YgdGhlIHBlZXJz"
BODY = (
    b'{"id": "evt_1", "object": "event", "created_at": 1, "type": "realtime.call.incoming", "data": {"call_id": "r"}}'
)


def sdk() -> Any:
    """Gives the SDK's webhooks; it asks for a key that it does not use."""
    return openai.OpenAI(api_key="test-key", webhook_secret=SECRET).webhooks


def sdk_accepts(body: bytes, headers: dict[str, str]) -> bool:
    """Tells whether the SDK believes a webhook."""
    try:
        sdk().verify_signature(body, headers)
    except (openai.InvalidWebhookSignatureError, ValueError):
        return False
    return True


def we_accept(body: bytes, headers: dict[str, str]) -> bool:
    """Tells whether we do."""
    try:
        verify_webhook(body, headers, secret=SECRET)
    except WebhookVerificationError:
        return False
    return True


async def test_the_sdk_unwraps_what_the_simulator_signs() -> None:
    """Over the wire, into the SDK's own type of event."""
    got: asyncio.Queue[tuple[bytes, dict[str, str]]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        await got.put((await request.read(), dict(request.headers)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with asyncio.timeout(20), hosted(app) as host, Simulator() as sim:
        call = await sim.ring(webhook_url=f"http://{host.place}/hook", secret=SECRET)
        body, headers = await got.get()
    event = sdk().unwrap(body, headers)
    assert (event.type, event.data.call_id) == ("realtime.call.incoming", call.id)
    assert type(event).__name__ == "RealtimeCallIncomingWebhookEvent"
    ours: Any = verify_webhook(body, headers, secret=SECRET)
    assert (ours.id, ours.data.call_id) == (event.id, event.data.call_id)
    assert [(one.name, one.value) for one in ours.data.sip_headers] == [
        (one.name, one.value) for one in event.data.sip_headers
    ]


@pytest.mark.parametrize("away_s", [-10_000, -310, -290, 0, 290, 310, 10_000])
@pytest.mark.parametrize("secret", [SECRET, "another"])
@pytest.mark.parametrize("changed", [b"", b" "])
def test_the_sdk_and_we_believe_the_same(away_s: int, secret: str, changed: bytes) -> None:
    """Time, secret and body, each right and wrong."""
    headers = signed(BODY, webhook_id="wh_1", unix_s=int(time.time()) + away_s, secret=secret)
    expected = abs(away_s) < 300 and secret == SECRET and not changed
    assert (sdk_accepts(BODY + changed, headers), we_accept(BODY + changed, headers)) == (expected, expected)


def test_a_signature_without_its_version_is_believed_by_the_sdk_and_not_by_us() -> None:
    """The version is what tells a receiver how to check; another one day may be signed by another rule."""
    headers = signed(BODY, webhook_id="wh_1", unix_s=int(time.time()), secret=SECRET)
    headers["webhook-signature"] = headers["webhook-signature"].removeprefix("v1,")
    assert (sdk_accepts(BODY, headers), we_accept(BODY, headers)) == (True, False)
