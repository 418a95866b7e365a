"""What the tests of REST share: servers that answer as told, and a client that never really waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from realtime_events import Endpoint
from realtime_events.rest import RestClient, Retry

from ..hosting import hosted

KEY = "canary-key-of-the-server"
Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A server on this machine that answers by a list, its last answer for ever, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""

    @property
    def endpoint(self) -> Endpoint:
        """Gives the endpoint of it, with a key that must never be seen again."""
        return Endpoint(url=self.url, api_key=KEY)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.read())
        given = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(given, web.Response):  # one that was sent cannot be sent again
            return web.Response(status=given.status, headers=given.headers, body=given.body)
        made: web.StreamResponse = await given(request)
        return made


@asynccontextmanager
async def serving(*answers: Any) -> AsyncIterator[Server]:
    """Serves answers: responses, or functions that make one."""
    server = Server(*answers)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with hosted(app) as host:
        server.url = f"ws://{host.place}/v1/realtime"
        yield server


Serve = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def serve() -> Serve:
    """Gives the function that serves answers."""
    return serving


class Patience:
    """A retry whose waits take no time and are kept; chance gives its upper bound."""

    def __init__(self) -> None:
        self.waited_s: list[float] = []
        self.policy = Retry(jitter=lambda: 1.0, sleep=self.sleep)

    async def sleep(self, delay_s: float) -> None:
        self.waited_s.append(delay_s)


@pytest.fixture
def patience() -> Patience:
    """Gives a retry that never really waits."""
    return Patience()


@pytest.fixture
def client_of(patience: Patience) -> Callable[..., RestClient]:
    """Gives a function that makes a client of a server."""
    return lambda server, **settings: RestClient(server.endpoint, retry=patience.policy, **settings)


def refusal(status: int, code: str = "invalid_value", **headers: str) -> web.Response:
    """Makes an answer that refuses, as the API does."""
    body = {"error": {"message": "It does not work.", "type": "invalid_request_error", "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response(body, status=status, headers={"x-request-id": "req_1", **named})


def secret_answer(value: str = "ek_made") -> web.Response:
    """Makes the answer to a wish for a client secret."""
    body = {"value": value, "expires_at": 1_000, "session": {"type": "realtime"}}
    return web.json_response(body, headers={"x-request-id": "req_2"})
