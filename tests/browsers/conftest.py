"""What the tests of web routes share: an application behind them, and a page that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime_events import Endpoint, Realtime

from ..hosting import hosted

CANARY = "canary-key-of-the-server"
TOKEN = {"Authorization": "Bearer of-ada"}


def who(request: web.Request) -> str | None:
    """Knows Ada and Bob by their tokens."""
    return {"Bearer of-ada": "ada", "Bearer of-bob": "bob"}.get(request.headers.get("Authorization", ""))


@dataclass
class Site:
    """A running web server with the routes of an application, and a client without manners of its own."""

    url: str
    http: aiohttp.ClientSession
    routes: Any
    leave: Callable[[], Awaitable[None]]

    @property
    def origin(self) -> str:
        return self.url

    def ask(self, path: str = "/session", *, origin: str | None = "", token: Any = TOKEN, **more: Any) -> Any:
        """Posts as a page would; `origin=None` is no browser."""
        headers = {**token, **more.pop("headers", {})}
        if origin is not None:
            headers["Origin"] = origin or self.origin
        return self.http.post(self.url + path, headers=headers, **more)

    def relay(self, *, origin: str | None = "", token: Any = TOKEN) -> Any:
        """Opens the relay as a page would."""
        headers = {**token} if origin is None else {**token, "Origin": origin or self.origin}
        return self.http.ws_connect(self.url + "/relay", headers=headers)


@asynccontextmanager
async def serving_pages(rt: Realtime, **settings: Any) -> AsyncIterator[Site]:
    """Serves the routes of an application."""
    routes = rt.web_routes(**{"authorize": who, **settings})
    app = web.Application()
    routes.add_to(app)
    async with hosted(app, shutdown_timeout=2.0) as host, aiohttp.ClientSession() as http:
        yield Site(f"http://{host.place}", http, routes, host.stop)
        await host.stop()


class Api:
    """The API behind it all, which gives one answer to everything and keeps what it was asked."""

    def __init__(self, answer: web.Response) -> None:
        self._answer = answer
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.endpoint = Endpoint(url="ws://127.0.0.1/v1/realtime")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.read())
        given = self._answer
        return web.Response(status=given.status, headers=given.headers, body=given.body)


@asynccontextmanager
async def answering(answer: web.Response) -> AsyncIterator[Api]:
    """Runs an API that gives one answer to everything."""
    api = Api(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    async with hosted(app) as host:
        api.endpoint = Endpoint(url=f"ws://{host.place}/v1/realtime", api_key=CANARY)
        yield api


@pytest.fixture
def serve() -> Callable[..., AbstractAsyncContextManager[Api]]:
    """Gives the function that runs an API."""
    return answering


ServePages = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def serve_pages() -> ServePages:
    """Gives the function that serves the routes of an application."""
    return serving_pages
