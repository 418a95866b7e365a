"""A TCP proxy that breaks the network on demand.

Owns `FaultProxy`: the port it listens on, its connections and its counters. Knows no WebSocket: it serves any TCP on
loopback, TLS included. The room before is the test, which says by `Toxics` what is wrong; the one after is `flow.py`,
which carries the bytes.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from ..endpoint import Endpoint
from ..exceptions import ConfigurationError
from ..logs import logger
from .flow import Bell, Flow, Reset, Way, reset
from .toxics import Toxics

log = logger("testing")

Gate: TypeAlias = Literal["open", "reset", "closed"]

_Address: TypeAlias = tuple[socket.AddressFamily, Any]

BACKLOG = 512
WEB_PORTS = {"ws": 80, "wss": 443}


class FaultProxy:
    """A TCP proxy on loopback, between a client and a server, that breaks the network as it is told.

        async with Simulator() as sim, FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint) as session:
                proxy.down = Toxics(latency_ms=200, jitter_ms=50)
                ...
                proxy.cut()

    `up` is the direction from the client to the server, `down` the one back; each can be changed at any time, and
    `heal()` takes away all that is wrong. Byte positions are exact, and the same `seed` throws the same dice. Used on
    one event loop; after `async with` no task and no socket of it is left.

    Args:
        target: The server: a host name or address with `port`, or an `Endpoint`.
        port: The port of the server, where `target` is a host.
        up: What is wrong with the direction to the server at first.
        down: What is wrong with the direction to the client at first.
        host: Where to listen.
        seed: The seed of the dice that `jitter_ms` throws.
        buffer_bytes: The size of the system's buffers on both sides; small ones make a stall be felt soon. None leaves
            it to the system, which takes some megabytes.

    Raises:
        ConfigurationError: `target` is a host without a port.
    """

    def __init__(
        self,
        target: Endpoint | str,
        port: int | None = None,
        *,
        up: Toxics | None = None,
        down: Toxics | None = None,
        host: str = "127.0.0.1",
        seed: int = 0,
        buffer_bytes: int | None = None,
    ) -> None:
        self._target = target if isinstance(target, Endpoint) else None
        self._server = _place(target, port)
        self._addresses: list[_Address] = []
        self._bell = Bell()
        self._up = Way(up or Toxics(), self._bell.ring)
        self._down = Way(down or Toxics(), self._bell.ring)
        self._listens_at = (host, 0)
        self._seed = seed
        self._buffer_bytes = buffer_bytes
        self._gate: Gate = "closed"
        self._listener: socket.socket | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._refused = 0

    # ── where it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._listens_at[0]

    @property
    def port(self) -> int:
        """The port it listens on, once it has started; it stays the same while it is closed."""
        return self._listens_at[1]

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that leads through the proxy, with the credentials of the target.

        A `wss://` endpoint keeps its TLS, whose certificate then has to be for the address of the proxy.

        Raises:
            ConfigurationError: The target was given as a host, not as an `Endpoint`.
        """
        if self._target is None:
            raise ConfigurationError("this proxy leads to a host; make it with an Endpoint to get one from it")
        host = f"[{self.host}]" if ":" in self.host else self.host
        parts = urlsplit(self._target.url)
        return replace(self._target, url=urlunsplit(parts._replace(netloc=f"{host}:{self.port}")))

    # ── what is wrong ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def up(self) -> Toxics:
        """What is wrong with the direction from the client to the server."""
        return self._up.toxics

    @up.setter
    def up(self, toxics: Toxics) -> None:
        self._up.toxics = toxics

    @property
    def down(self) -> Toxics:
        """What is wrong with the direction from the server to the client."""
        return self._down.toxics

    @down.setter
    def down(self, toxics: Toxics) -> None:
        self._down.toxics = toxics

    @property
    def gate(self) -> Gate:
        """What becomes of a new connection: "open" lets it in, "reset" takes it and resets it, "closed" refuses it.

        Those that are open stay. A closed port answers as the system does ("connection refused") and cannot count.
        """
        return self._gate

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._gate = gate
        if gate == "closed":
            self._stop_listening()
        elif self._listener is None:
            self._listen()

    def heal(self) -> None:
        """Take away all that is wrong: no toxics, and the gate is open."""
        self.up = self.down = Toxics()
        self.gate = "open"

    def cut(self) -> int:
        """Reset every open connection at both ends, at once, and say how many there were; new ones are let in."""
        for task in self._open:
            task.cancel()
        count = len(self._open)
        self._ending |= self._open
        self._open.clear()
        return count

    # ── what has happened ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def bytes_up(self) -> int:
        """How many bytes the server was given so far, over all connections."""
        return self._up.passed_bytes

    @property
    def bytes_down(self) -> int:
        """How many bytes the clients were given so far, over all connections."""
        return self._down.passed_bytes

    @property
    def bytes_lost(self) -> int:
        """How many bytes were taken and thrown away: in a black hole, or behind a FIN that the sender did not send."""
        return self._up.lost_bytes + self._down.lost_bytes

    @property
    def connections_accepted(self) -> int:
        """How many connections were let in so far."""
        return self._accepted

    @property
    def connections_refused(self) -> int:
        """How many connections were reset by the gate, or because the server could not be reached."""
        return self._refused

    @property
    def connections_open(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    async def wait_until(self, condition: Callable[[], bool], *, timeout: float = 5.0) -> None:
        """Wait until a condition on these counters holds; it is looked at whenever one of them changes.

        Raises:
            TimeoutError: It did not within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while not condition():
                await self._bell.heard()

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Begin to listen on a free port.

        Raises:
            OSError: The name of the server cannot be resolved.
        """
        self._addresses = await _resolved(*self._server)
        self.gate = "open"

    async def stop(self) -> None:
        """Stop listening and reset what is open; a second time is fine."""
        self.gate = "closed"
        self.cut()
        while self._ending:
            await asyncio.wait(self._ending)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _listen(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = self._prepared(socket.socket(family))
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._listens_at)
            listener.listen(BACKLOG)
            asyncio.get_running_loop().add_reader(listener, self._take_in, listener)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._listens_at = (self.host, listener.getsockname()[1])

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _take_in(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # The client has gone again.
        if self._gate == "open":
            self._accepted += 1
            self._carry(_Connection(client))
        else:
            self._refused += 1
            reset(client)
        self._bell.ring()

    def _carry(self, connection: _Connection) -> None:
        number = self._accepted
        task = asyncio.get_running_loop().create_task(
            self._run(connection, number), name=f"realtime_events.testing.fault_proxy.{number}"
        )
        self._open.add(task)

        def is_over(task: asyncio.Task[None]) -> None:
            # Here and not in the task: one that is cancelled before its first step runs nothing of its own.
            connection.end()
            self._open.discard(task)
            self._ending.discard(task)
            self._bell.ring()

        task.add_done_callback(is_over)

    async def _run(self, connection: _Connection, number: int) -> None:
        for family, address in self._addresses:
            if await connection.reach(self._prepared(socket.socket(family)), address):
                break
        else:
            self._refused += 1
            log.debug("the proxy cannot reach %s", self._server)
            return
        await connection.run(self._up, self._down, f"{self._seed}/{number}")

    def _prepared(self, sock: socket.socket) -> socket.socket:
        sock.setblocking(False)
        if self._buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer_bytes)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffer_bytes)
        return sock


class _Connection:
    """The two sockets of one connection; they end with an RST unless both directions came to their own end."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._server: socket.socket | None = None
        self._is_orderly = False
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def reach(self, server: socket.socket, address: Any) -> bool:
        """Connect to the server, and say whether it was reached."""
        try:
            await asyncio.get_running_loop().sock_connect(server, address)
        except BaseException as error:
            reset(server)
            if isinstance(error, OSError):
                return False
            raise
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = server
        return True

    async def run(self, up: Way, down: Way, seed: str) -> None:
        """Carry bytes both ways until both directions have ended, or a reset."""
        assert self._server is not None
        outward = Flow(up, self._client, self._server, random.Random(f"{seed}/up"))
        inward = Flow(down, self._server, self._client, random.Random(f"{seed}/down"))
        outward.pair_with(inward)
        try:
            with up.carrying(outward), down.carrying(inward):
                async with asyncio.TaskGroup() as tasks:
                    for flow in (outward, inward):
                        tasks.create_task(flow.take())
                        tasks.create_task(flow.give())
            self._is_orderly = True
        except* Reset:
            log.debug("the proxy reset a connection")

    def end(self) -> None:
        """Close both sockets."""
        for sock in (self._client, self._server):
            if sock is not None:
                sock.close() if self._is_orderly else reset(sock)


def _place(target: Endpoint | str, port: int | None) -> tuple[str, int]:
    """Give host and port of the server."""
    if isinstance(target, Endpoint):
        parts = urlsplit(target.url)
        return parts.hostname or "", parts.port or WEB_PORTS[parts.scheme]
    if port is None:
        raise ConfigurationError(f"FaultProxy({target!r}) needs a port, or an Endpoint")
    return target, port


async def _resolved(host: str, port: int) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        # Only a name needs the thread in which a loop looks names up.
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]
