"""One direction of one TCP connection through the proxy.

Owns `Flow`, which takes bytes from one socket and gives them to another as the toxics say, `Way`, which is the same
direction of all connections, and the ending of sockets. Knows no WebSocket: bytes are bytes. The room before is
`fault_proxy.py`, which opens the sockets; the one after is the peer.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from .toxics import Fate, Toxics

READ_BYTES = 64 * 1024
QUEUE_BYTES = 64 * 1024
FLUSH_S = 1.0
FLUSH_POLL_S = 0.001
SIOCOUTQ = 0x5411  # Linux, tcp(7): the bytes that the peer's system has not acknowledged


class Reset(Exception):
    """The connection is to end with an RST at both ends."""


class Bell:
    """Wakes everybody who waits at this moment; a ring that nobody hears is forgotten."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake whoever waits."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def heard(self, within_s: float = math.inf) -> None:
        """Wait for a ring, or until the time is over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=None if math.isinf(within_s) else within_s)
        finally:
            self._waiting.discard(future)


class Way:
    """One direction of all connections: what is wrong with it, and how much has passed."""

    def __init__(self, toxics: Toxics, on_traffic: Callable[[], None]) -> None:
        self.passed_bytes = 0
        self.lost_bytes = 0
        self._flows: set[Flow] = set()
        self._toxics = toxics
        self._on_traffic = on_traffic

    @property
    def toxics(self) -> Toxics:
        """What is wrong with this direction; a change counts at once, for bytes under way too."""
        return self._toxics

    @toxics.setter
    def toxics(self, toxics: Toxics) -> None:
        self._toxics = toxics
        for flow in self._flows:
            flow.bell.ring()

    @contextmanager
    def carrying(self, flow: Flow) -> Generator[None]:
        """Tell a flow of every change, as long as it lives."""
        self._flows.add(flow)
        try:
            yield
        finally:
            self._flows.discard(flow)

    def count(self, *, passed_bytes: int = 0, lost_bytes: int = 0) -> None:
        """Count bytes that a receiver was given, and bytes that were thrown away."""
        self.passed_bytes += passed_bytes
        self.lost_bytes += lost_bytes
        self._on_traffic()


class Flow:
    """One direction of one connection: takes from a source, gives to a sink.

    What was taken waits with its time of arrival; b"" stands for a FIN of the source and None for its RST, so that
    both keep their place behind the bytes before them.
    """

    def __init__(self, way: Way, source: socket.socket, sink: socket.socket, dice: random.Random) -> None:
        self.bell = Bell()
        self._way = way
        self._source = source
        self._sink = sink
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, float, memoryview | None]] = deque()
        self._waiting_bytes = 0
        self._passed_bytes = 0
        self._take_at = 0.0
        self._give_at = 0.0
        self._has_hung_up = False
        self._is_over = False
        self._twin = self

    def pair_with(self, twin: Flow) -> None:
        """Name the other direction of the same connection."""
        self._twin, twin._twin = twin, self

    async def take(self) -> None:
        """Take bytes from the source until its end, as fast as the toxics let it."""
        while True:
            while (wait_s := self._until_taking_s()) > 0:
                await self.bell.heard(wait_s)
            size = self._way.toxics.mouthful_bytes(READ_BYTES)
            try:
                data = await self._loop.sock_recv(self._source, size)
            except OSError:
                return self._put(None)
            self._take_at = self._loop.time() + self._way.toxics.digest_s(len(data))
            self._put(memoryview(data))
            if not data:
                return None

    async def give(self) -> None:
        """Give what was taken to the sink until the source has ended; each step asks anew what is wrong."""
        while not self._is_over:
            if wait_s := await self._step():
                await self.bell.heard(wait_s)

    def hang_up(self) -> None:
        """Send the sink a FIN, and throw away whatever the source still says."""
        if not self._has_hung_up:
            self._has_hung_up = True
            shut(self._sink)
            self.bell.ring()

    def break_off(self) -> None:
        """Let the source's RST stand behind what it said before."""
        if self._is_over:
            raise Reset
        self._put(None)

    async def _step(self) -> float:
        """Do one thing, and give the seconds to wait before the next."""
        fate, room_bytes = self._way.toxics.ahead(self._passed_bytes)
        if self._has_hung_up:
            return self._throw_away() or self._end()
        if fate is not None and room_bytes == 0:
            return await self._meet(fate)
        if not self._waiting:
            return math.inf
        arrived_at, luck, data = self._waiting[0]
        wait_s = max(arrived_at + self._way.toxics.delay_s(luck), self._give_at) - self._loop.time()
        if wait_s > 0:
            return wait_s
        if not data:
            await acknowledged(self._sink)
            return self._end()
        await self._give_a_piece(data, room_bytes)
        return 0.0

    async def _meet(self, fate: Fate) -> float:
        match fate:
            case "reset":
                await acknowledged(self._sink)
                raise Reset
            case "close":
                self.hang_up()
                self._twin.hang_up()
            case "half_close":
                self.hang_up()
            case "black_hole":
                self._throw_away()
                return math.inf
            case "stall":
                return math.inf
        return 0.0

    async def _give_a_piece(self, data: memoryview, room_bytes: int | None) -> None:
        size = self._way.toxics.piece_bytes(min(len(data), room_bytes or len(data)))
        try:
            await self._loop.sock_sendall(self._sink, data[:size])
        except OSError:
            self._has_hung_up = True
            self._twin.break_off()
            return
        self._take_off(size)
        self._passed_bytes += size
        self._way.count(passed_bytes=size)
        self._give_at = self._loop.time() + self._way.toxics.pause_after_s(size)
        for _ in range(self._way.toxics.turns_after_piece()):
            await asyncio.sleep(0)

    def _put(self, data: memoryview | None) -> None:
        self._waiting.append((self._loop.time(), self._dice.random(), data))
        self._waiting_bytes += len(data or b"")
        self.bell.ring()

    def _take_off(self, size: int) -> None:
        """Take bytes off the front of what waits, and let the source go on where there is room again."""
        arrived_at, luck, data = self._waiting.popleft()
        if data is not None and len(data) > size:
            self._waiting.appendleft((arrived_at, luck, data[size:]))
        self._waiting_bytes -= size
        self.bell.ring()

    def _throw_away(self) -> float:
        """Forget what waits, but for an end; give the seconds to wait where there is none."""
        while self._waiting and (data := self._waiting[0][2]):
            self._take_off(len(data))
            self._way.count(lost_bytes=len(data))
        return 0.0 if self._waiting else math.inf

    def _end(self) -> float:
        """Pass on the end of the source, which is what waits in front."""
        if self._waiting[0][2] is None:
            raise Reset
        self.hang_up()
        self._is_over = True
        return 0.0

    def _until_taking_s(self) -> float:
        fate, room_bytes = self._way.toxics.ahead(self._passed_bytes)
        is_stalled = fate == "stall" and room_bytes == 0 and not self._has_hung_up
        if is_stalled or self._waiting_bytes >= QUEUE_BYTES:
            return math.inf
        return self._take_at - self._loop.time()


async def acknowledged(sock: socket.socket) -> None:
    """Wait, a second at most, until the peer's system has all that was written: an RST throws away what it has not."""
    if sys.platform != "linux":
        return
    from fcntl import ioctl

    loop = asyncio.get_running_loop()
    until = loop.time() + FLUSH_S
    while struct.unpack("i", ioctl(sock, SIOCOUTQ, bytes(4)))[0] and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(FLUSH_POLL_S)


def shut(sock: socket.socket) -> None:
    """Send a FIN, where there is still somebody to get it."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return


def reset(sock: socket.socket) -> None:
    """Close a socket with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
    sock.close()
