"""One accepted WebSocket: frames to and from a simulated session.

Owns the socket's two tasks, those of slow work, and the way it ends. Knows no event names. Before it: `app.py`, which
accepted the socket; after it: `session.py`, which decides everything. A reader that gets ahead of the writer waits, so
that a client that sends and never reads fills its own socket, not our memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import WSMessage, WSMsgType

from ..logs import logger

log = logger("simulator")

CLOSE_TIMEOUT_S = 1.0
FRAMES_PER_TURN = 32
UNSENT_LIMIT = 1_000
LARGE_FRAME_BYTES = 64 * 1024
INTERNAL_ERROR = 1011


class Peer(Protocol):
    """What a connection needs of a session: bytes and times in, frames and times out."""

    @property
    def closing(self) -> tuple[int, str] | None:
        """Code and reason, once the session wants to close."""
        ...

    def receive(self, data: bytes, now: float) -> None:
        """Take one frame of the client."""
        ...

    def poll(self, now: float) -> list[bytes]:
        """Give the frames that are due."""
        ...

    def next_due(self) -> float | None:
        """Give the time at which `poll` has something to do again, or None."""
        ...

    def unsent(self) -> int:
        """Count the frames that wait to be polled."""
        ...

    def end(self, now: float) -> None:
        """Say that the connection is over."""
        ...


class Socket(Protocol):
    """What a connection needs of a socket."""

    async def receive(self) -> WSMessage:
        """Give the next message."""
        ...

    async def pong(self, message: bytes) -> None:
        """Answer a ping."""
        ...

    async def send_frame(self, frame: bytes, kind: WSMsgType) -> None:
        """Send one frame."""
        ...

    async def close(self, *, code: int, message: bytes) -> object:
        """Close with a CLOSE frame."""
        ...


class Connection:
    """Moves frames between a socket and a session until one of them ends."""

    def __init__(self, socket: Socket, peer: Peer, clock: Callable[[], float]) -> None:
        self._socket = socket
        self._peer = peer
        self._clock = clock
        self._wake = asyncio.Event()
        self._relieved = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._taken = 0
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the client leaves, the session closes, or `close()` is called."""
        reader = asyncio.create_task(self._read(), name="simulator-reader")
        try:
            await self._write()
        except (ConnectionError, RuntimeError) as gone:
            log.debug("the client is gone: %s", gone)
        finally:
            self._peer.end(self._clock())
            await self._shut(reader, *self._jobs)

    def close(self, code: int, reason: str) -> None:
        """End the connection with a CLOSE frame, soon."""
        self._closing = self._closing or (code, reason)
        self._wake.set()

    def run_in_thread(self, job: Callable[[], Any], then: Callable[[Any, float], None]) -> None:
        """Do a session's slow work in a thread, then hand it the result and the time."""
        task = asyncio.create_task(self._work(job, then), name="simulator-work")
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def wake(self) -> None:
        """Look at the session again: something but the client changed it."""
        self._wake.set()

    async def _work(self, job: Callable[[], Any], then: Callable[[Any, float], None]) -> None:
        result = await asyncio.to_thread(job)
        try:
            then(result, self._clock())
        except Exception:
            log.exception("the simulator failed at the result of slow work")
            self.close(INTERNAL_ERROR, "")
        self._wake.set()

    async def _read(self) -> None:
        try:
            while await self._take(await self._socket.receive()):
                self._taken += 1
                if self._taken % FRAMES_PER_TURN == 0:  # receive() does not suspend while frames are buffered
                    await asyncio.sleep(0)
        finally:
            self.close(1000, "")

    async def _take(self, message: WSMessage) -> bool:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            self._peer.receive(data, self._clock())
            self._wake.set()
            limit = UNSENT_LIMIT if len(data) < LARGE_FRAME_BYTES else 0
            while self._peer.unsent() > limit:
                self._relieved.clear()
                await self._relieved.wait()
            return True
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
            return True
        return message.type is WSMsgType.PONG

    async def _write(self) -> None:
        while self._closing is None:
            self._wake.clear()
            for count, frame in enumerate(self._peer.poll(self._clock()), start=1):
                await self._socket.send_frame(frame, WSMsgType.TEXT)
                if count % FRAMES_PER_TURN == 0:
                    await asyncio.sleep(0)
            self._relieved.set()
            if self._peer.closing is not None and not self._peer.unsent():
                self._closing = self._peer.closing
            else:
                await self._pause()

    async def _pause(self) -> None:
        due = self._peer.next_due()
        if due is None:
            await self._wake.wait()
            return
        wait_s = due - self._clock()
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        timer = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _shut(self, *tasks: asyncio.Task[None]) -> None:
        code, reason = self._closing or (INTERNAL_ERROR, "")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode()[:123])
        except (TimeoutError, ConnectionError, RuntimeError):
            log.debug("the client did not answer the CLOSE")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
