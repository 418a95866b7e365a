"""Limits: each at its edge, one less and one more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from realtime_events import Endpoint, HandshakeError, Realtime, RestClient, RestError, ServerError, ToolArgumentsError
from realtime_events.connection import WARNINGS_PER_SESSION
from realtime_events.exceptions import WebhookVerificationError, one_line
from realtime_events.logs import LINE_CHARACTERS, logger
from realtime_events.rest import Retry
from realtime_events.simulator.calls import signed
from realtime_events.testing import Peer
from realtime_events.tools.arguments import MAX_ARGUMENTS_BYTES, MAX_DEPTH, decode_object
from realtime_events.tools.output import MAX_OUTPUT_BYTES, encode_output
from realtime_events.transport import BODY_EXCERPT_BYTES, _close_reason, dial
from realtime_events.webhooks import verify_webhook
from realtime_events.webhooks.verifying import MOST_BODY_BYTES

from ..hosting import hosted


def object_of(size: int) -> str:
    """Gives a JSON object of so many characters."""
    return '{"a":"' + "x" * (size - 8) + '"}'


def test_a_tools_arguments_are_taken_up_to_64_kib() -> None:
    """B48: one more byte is refused before it is parsed, and so is one more level."""
    assert (MAX_ARGUMENTS_BYTES, MAX_DEPTH) == (64 * 1024, 32)
    assert decode_object("t", object_of(MAX_ARGUMENTS_BYTES))
    with pytest.raises(ToolArgumentsError, match="65,537 bytes"):
        decode_object("t", object_of(MAX_ARGUMENTS_BYTES + 1))
    assert decode_object("t", '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH)
    with pytest.raises(ToolArgumentsError, match="more than 32 levels"):
        decode_object("t", '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("letter", ["x", "ä"])
def test_a_tools_output_is_sent_up_to_256_kib_and_cut_beyond(letter: str) -> None:
    """B48: in bytes of UTF-8, never within a character, and the model is told."""
    whole = letter * (MAX_OUTPUT_BYTES // len(letter.encode()))
    assert MAX_OUTPUT_BYTES == 256 * 1024
    assert encode_output(whole) == whole
    cut = encode_output(whole + "x")
    assert "cut: 262,145 bytes in all" in cut
    assert len(cut.encode()) <= MAX_OUTPUT_BYTES


@pytest.mark.parametrize(("more", "status"), [(0, None), (1, 413)])
def test_a_webhooks_body_is_taken_up_to_256_kib(more: int, status: int | None) -> None:
    """B48: one more byte is refused whatever its signature."""
    empty = b'{"id":"evt_1","type":"app.x","pad":""}'
    body = empty.replace(b'""}', b'"' + b"x" * (MOST_BODY_BYTES - len(empty) + more) + b'"}')
    now, secret = int(time.time()), "test-secret"
    headers = signed(body, webhook_id="wh_1", unix_s=now, secret=secret)
    assert len(body) == 256 * 1024 + more
    try:
        assert verify_webhook(body, headers, secret=secret, now=now).id == "evt_1"
        refused = None
    except WebhookVerificationError as error:
        refused = error.status
    assert refused == status


@asynccontextmanager
async def serving(status: int, body: bytes) -> AsyncIterator[str]:
    """Serves one answer, and gives its address."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with hosted(app) as host:
        yield f"ws://{host.place}/v1"


@pytest.mark.parametrize("more", [0, 1])
async def test_an_answer_of_rest_is_taken_up_to_its_limit(more: int) -> None:
    """B48: one more byte is an error, and no more than that is kept."""
    body = b'{"value":"ek_made","expires_at":1,"session":{}}'
    how: dict[str, Any] = {"max_body_bytes": len(body) - more, "retry": Retry(attempts=1)}
    async with asyncio.timeout(10), serving(200, body) as url, RestClient(Endpoint(url=url), **how) as rest:
        if more:
            with pytest.raises(RestError, match="more than 46 bytes"):
                await rest.create_client_secret()
        else:
            assert (await rest.create_client_secret()).value == "ek_made"


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_of_a_refused_handshake_2_048_bytes_are_kept(more: int) -> None:
    """B48: whatever page stands behind it."""
    async with serving(404, b"x" * (BODY_EXCERPT_BYTES + more)) as url:
        with pytest.raises(HandshakeError) as caught:
            await dial(url, {})
    assert len(caught.value.body) == 2048 + min(more, 0)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_what_a_server_says_is_shown_up_to_500_characters(more: int, caplog: pytest.LogCaptureFixture) -> None:
    """B48: in a sentence; a value in a log line has 1,000."""
    said = str(ServerError("x" * (500 + more), type="e"))
    assert said.count("x") == 500 - (more > 0) + min(more, 0)
    assert said.endswith("…") == (more > 0)
    logger("security").warning("%s", "y" * (LINE_CHARACTERS + more))
    assert len(caplog.messages[0]) == 1_000 + min(more, 0)
    assert len(one_line("z" * 10_000_000, limit=3)) == 3


async def test_a_session_warns_of_a_hundred_kinds_of_odd_frames(caplog: pytest.LogCaptureFixture) -> None:
    """B01, B48: the hundred and first is published, and not logged."""
    peer, rt, heard = Peer(), Realtime(), list[Any]()
    rt.on("event.unknown", heard.append)
    async with asyncio.timeout(10), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        waiting = asyncio.create_task(session.wait_for("event.unknown", when=lambda event: event.type == "x.100"))
        await asyncio.sleep(0)
        peer.say(*({"type": f"x.{number}"} for number in range(WARNINGS_PER_SESSION + 1)))
        await waiting
    assert len(heard) == 101
    assert sum("unknown event" in message for message in caplog.messages) == WARNINGS_PER_SESSION == 100


@pytest.mark.parametrize(("reason", "sent"), [("x" * 123, 123), ("x" * 124, 123), ("x" * 122 + "ä", 122)])
def test_a_close_frames_reason_is_cut_to_what_it_holds(reason: str, sent: int) -> None:
    """B40, B48: RFC 6455 section 5.5, and never within a character."""
    cut = _close_reason(reason)
    assert len(cut) == sent
    assert reason.startswith(cut.decode())
