"""The connector: aiohttp's sockets and name look-ups, shared by everything that one event loop connects.

Owns when a connector is made and when it is closed. Knows neither WebSocket nor REST, nor what a request says. Before
it: `transport.py` and `rest/`, which take a client and give it back; after it: the network.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import ClassVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from .endpoint import is_loopback

Middlewares = tuple[aiohttp.ClientMiddlewareType, ...]


class LocalNames(AbstractResolver):
    """Name look-ups in which `localhost` and names below it lead to this machine, whatever a name server says.

    To them alone a key may go unencrypted (RFC 6761 section 6.3 asks the same of every resolver).
    """

    def __init__(self, behind: AbstractResolver | None = None) -> None:
        self._behind = behind or DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses of a host.

        Raises:
            OSError: It has none, or is a name of this machine with an address of another.
        """
        found = await self._behind.resolve(host, port, family)
        if is_loopback(host) and not all(is_loopback(one["host"]) for one in found):
            raise OSError(None, f"{host} is a name of this machine, and was resolved to another")
        return found

    async def close(self) -> None:
        """Let go of what the look-ups used."""
        await self._behind.close()


class Pool:
    """The clients of one event loop: thin ones, on one connector that is closed with the last connection."""

    _pools: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool]] = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        self._connector: aiohttp.TCPConnector | None = None
        self._clients: dict[tuple[bool, Middlewares], aiohttp.ClientSession] = {}
        self._taken = 0

    @classmethod
    def of_this_loop(cls) -> Pool:
        """Give the pool of the running loop."""
        return cls._pools.setdefault(asyncio.get_running_loop(), cls())

    def take(self, trust_env: bool, middlewares: Middlewares = ()) -> aiohttp.ClientSession:
        """Give a client that heeds the environment's proxies or not; `give_back` follows exactly once."""
        if self._connector is None:
            self._connector = aiohttp.TCPConnector(limit=0, resolver=LocalNames())
        client = self._clients.get((trust_env, middlewares))
        if client is None:
            client = self._clients[trust_env, middlewares] = aiohttp.ClientSession(
                connector=self._connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=trust_env,
                middlewares=middlewares,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        self._taken += 1
        return client

    async def give_back(self) -> None:
        """Count a client as no longer needed."""
        self._taken -= 1
        if self._taken:
            return
        clients, self._clients = self._clients, {}
        connector, self._connector = self._connector, None
        for client in clients.values():
            await client.close()
        if connector is not None:
            await connector.close()
