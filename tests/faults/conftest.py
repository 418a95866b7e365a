"""Two ends of a TCP connection with a fault proxy between them, and a clock that need not be waited for."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from realtime_events.testing import FaultProxy

SETTLE_S = 0.002  # how long loopback may take to deliver before the clock of a virtual loop jumps


class JumpingSelector(selectors.DefaultSelector):
    """Asks the sockets, and where none has anything to say, moves the clock on instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0) or super().select(SETTLE_S)
        if not ready:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with real sockets and a clock that jumps to its next timer as soon as the sockets are quiet."""

    def __init__(self) -> None:
        self.selector = JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


@pytest.fixture
def in_virtual_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end on a virtual loop."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(coroutine)

    return run


@dataclass
class End:
    """One end of a TCP connection, without any buffer of its own."""

    sock: socket.socket

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def say_no_more(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    async def hear(self, count: int) -> bytes:
        """Reads exactly so many bytes."""
        data = b""
        while len(data) < count:
            data += await self.hear_some(count - len(data)) or pytest.fail(f"it ended after {len(data)} bytes")
        return data

    async def hear_some(self, at_most: int = 1 << 20) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, at_most)

    async def hear_to_the_end(self) -> tuple[bytes, str]:
        """Reads on until the end, and says whether that was a FIN or an RST."""
        data = b""
        while True:
            try:
                some = await self.hear_some()
            except ConnectionResetError:
                return data, "RST"
            if not some:
                return data, "FIN"
            data += some


@dataclass
class Line:
    """A client's end, a server's end, and the proxy between them."""

    proxy: FaultProxy
    near: End
    far: End


@dataclass
class Server:
    """A listening socket on loopback."""

    listener: socket.socket

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    async def accept(self) -> End:
        sock, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        return End(sock)


@asynccontextmanager
async def listening() -> AsyncIterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Server(listener)


async def call(proxy: FaultProxy) -> End:
    """Connects to a proxy."""
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (proxy.host, proxy.port))
    except BaseException:
        sock.close()
        raise
    return End(sock)


@asynccontextmanager
async def line(**how: Any) -> AsyncIterator[Line]:
    async with listening() as server, FaultProxy("127.0.0.1", server.port, **how) as proxy:
        near = await call(proxy)
        far = await server.accept()
        with near.sock, far.sock:
            yield Line(proxy, near, far)


MakeLine: TypeAlias = Callable[..., AbstractAsyncContextManager[Line]]


@pytest.fixture
def make_line() -> MakeLine:
    """Connects two ends through a proxy with the given settings."""
    return line


@pytest.fixture
def make_server() -> Callable[[], AbstractAsyncContextManager[Server]]:
    """Listens on loopback."""
    return listening


@pytest.fixture
def call_proxy() -> Callable[[FaultProxy], Coroutine[Any, Any, End]]:
    """Connects to a proxy."""
    return call
