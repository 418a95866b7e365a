"""The door: one WebSocket, bytes in and bytes out.

Owns the socket, its keep-alive and the way it ends. Knows no event names. Before it: the network; after it: whoever
passes `on_frame`. Every aiohttp error becomes one of ours here.

aiohttp's habits that this file is built around (measured against 3.14):

- PING is answered only inside `receive()`, so one task reads and never awaits foreign code.
- `heartbeat=` kills a healthy connection whose reader paused; so pings are our own, and any inbound byte is life.
- A sender waits for ever on a peer that vanished; only `transport.abort()` frees it, so every fatal end aborts.
- `ws_connect` follows redirects and forwards `api-key`; a middleware refuses them.
- The close code is in the CLOSE message, while `ws.close_code` may say 1006; `close()` waits 10 s for a silent peer.
- `receive()` must not be cancelled (it marks a healthy socket as broken); reading stops by abort.
- `receive()` does not suspend while frames are buffered, so the reader yields by itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as ssl_module
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from .connector import Pool
from .endpoint import check_way, in_the_clear
from .exceptions import (
    AuthenticationError,
    ConnectionLostError,
    FrameTooLarge,
    HandshakeError,
    Initiator,
    RemoteProtocolError,
    TransportError,
    one_line,
)
from .logs import logger
from .secrecy import SecretUrl, bare_url

log = logger("transport")

FRAMES_PER_TURN = 256
CLOSE_TIMEOUT_S = 0.4
SEND_TIMEOUT_S = 5.0
LARGE_SEND_BYTES = 32 * 1024
# What an urgent frame may find before it: a quarter of a second of pcm16 in base64. The kernel buffers on, so more
# gains nothing: on loopback, audio flows at about 200 MB/s with 16 KiB as with 256.
ROOM_BYTES = 16 * 1024
PONG_BYTES = 256 * 1024
LATE_TICK_S = 1.0
READ_FIRST_S = 0.5
BODY_EXCERPT_BYTES = 2048
CLOSE_REASON_BYTES = 123
ABNORMAL_CLOSURE = 1006  # RFC 6455 section 7.4.1: no CLOSE frame was received
MESSAGE_TOO_BIG = 1009

OnFrame = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended.

    `error` is set where the end was a fault of its own (a frame over the limit, …). `unacknowledged_bytes` is how much
    of what was written the peer's machine had not acknowledged by then; None where nobody can tell.
    """

    code: int
    reason: str
    initiator: Initiator
    error: Exception | None = None
    unacknowledged_bytes: int | None = None


class Transport(Protocol):
    """A door: what a session needs of a connection."""

    async def run(self, on_frame: OnFrame) -> Ending:
        """Read frames until the connection ends, and say how it ended.

        `on_frame` gets each frame and says whether the loop must be yielded to before the next one.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Send one text frame; raises `ConnectionLostError` where the connection has ended."""
        ...

    def write(self, data: bytes) -> None:
        """Send one text frame without waiting; raises as `send` does."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """How much was written and has not left this process."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether so little is unsent that a frame written now leaves soon."""
        ...

    async def drain(self) -> None:
        """Wait until there is room; raises `ConnectionLostError` where the connection has ended."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close within a second, whatever the peer does."""
        ...

    def abort(self) -> None:
        """End the connection at once, freeing the reader and every sender."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialling:
    """How to open a socket. Times are in seconds, sizes in bytes."""

    ping_interval_s: float | None = 10.0
    ping_timeout_s: float = 20.0
    max_frame_bytes: int = 64 * 1024 * 1024
    connect_timeout_s: float = 10.0
    proxy: str | None = None
    ssl: ssl_module.SSLContext | None = None
    trust_env: bool = False

    def __post_init__(self) -> None:
        if self.proxy is not None:
            object.__setattr__(self, "proxy", SecretUrl(self.proxy))


async def dial(url: str, headers: dict[str, str], how: Dialling | None = None) -> WebSocketTransport:
    """Open a WebSocket.

    Raises:
        AuthenticationError: The server answered 401 or 403.
        HandshakeError: The server answered anything else than 101, a redirect included.
        TransportError: The server cannot be reached.
    """
    how = how or Dialling()
    check_way(url, how.proxy, headers)
    # Raised outside of aiohttp's frames, whose locals hold the request and the proxy's password.
    opened = await _opened(url, headers, how)
    if isinstance(opened, BaseException):
        raise opened
    return opened


async def _opened(url: str, headers: dict[str, str], how: Dialling) -> WebSocketTransport | BaseException:
    place = bare_url(url)
    pool = Pool.of_this_loop()
    trust_env = how.trust_env and not in_the_clear(url, headers)
    client = pool.take(trust_env, (_refuse_all_but_101,))
    try:
        async with asyncio.timeout(how.connect_timeout_s):
            # The https spelling is what makes HTTPS_PROXY apply (with trust_env) to a wss URL.
            ws = await client.ws_connect(
                url.replace("wss://", "https://", 1) if url.startswith("wss://") else url,
                headers=headers,
                proxy=how.proxy,
                ssl=how.ssl if how.ssl is not None else True,
                autoping=False,
                autoclose=False,
                heartbeat=None,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),  # pyright: ignore[reportCallIssue]
                max_msg_size=how.max_frame_bytes,
                compress=0,
                decode_text=False,
            )
        return WebSocketTransport(pool, ws, how)
    except BaseException as error:  # noqa: BLE001  `dial` raises it
        await pool.give_back()
        ours = _as_ours(error, place, how)
        if isinstance(ours, HandshakeError):
            ours.hide(headers.values())
        return (ours or error).with_traceback(None)


class WebSocketTransport:
    """One open WebSocket: a single reader, text frames out, pings of its own."""

    def __init__(self, pool: Pool, ws: aiohttp.ClientWebSocketResponse[bool], how: Dialling) -> None:
        self._pool: Pool | None = pool
        self._ws = ws
        self._how = how
        self._loop = asyncio.get_running_loop()
        self._response, self._socket = _beneath(ws)
        self._wire = _below(self._socket)
        for transport in {self._socket, self._wire}:
            transport.set_write_buffer_limits(high=ROOM_BYTES)
        self._flow: Any = self._socket.get_protocol()
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._signs = 0
        interval_s = how.ping_interval_s
        self._alive = _KeepAlive(self, interval_s, how.ping_timeout_s) if interval_s else None
        self._sending = 0
        self._send_deadline: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def signs_of_life(self) -> int:
        """A number that grows with all that comes in: with bytes that arrive, and with frames that were waiting."""
        return self._signs

    def _listen_for_life(self) -> None:
        """Count what arrives, however long its frame is: aiohttp hands out whole frames alone."""
        received = self._flow.data_received

        def data_received(data: bytes) -> None:
            self._signs += 1
            received(data)

        self._flow.data_received = data_received

    async def run(self, on_frame: OnFrame) -> Ending:
        """Read frames until the connection ends, and say how it ended."""
        if self._alive is not None:
            self._listen_for_life()
            self._alive.start()
        try:
            ending = await self._read(on_frame)
        finally:
            if self._alive is not None:
                self._alive.stop()
        if not self._ended.done():
            self._ended.set_result(ending)
        if self._closing is None:
            self.abort()
            await self._let_go()
        return self._ended.result()

    async def _read(self, on_frame: OnFrame) -> Ending:
        receive = self._ws.receive
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        budget = FRAMES_PER_TURN
        while True:
            message = await receive()
            kind = message.type
            self._signs += 1
            if kind is text or kind is binary:
                budget -= 1
                if on_frame(message.data) or not budget:
                    budget = FRAMES_PER_TURN
                    await asyncio.sleep(0)
            elif kind is aiohttp.WSMsgType.PING:
                self._answer_ping(message.data)
            elif kind is not aiohttp.WSMsgType.PONG:
                return self._ending_of(message)

    def _answer_ping(self, payload: bytes) -> None:
        if self.unsent_bytes > PONG_BYTES:
            return  # It would not be read either.
        try:
            self._write(self._ws.pong(payload))  # The reader waits for nobody, also not for a peer that takes nothing.
        except (ConnectionError, aiohttp.ClientError):
            self.abort()

    def _ending_of(self, message: Any) -> Ending:
        if self._ended.done():
            return self._ended.result()
        if message.type is aiohttp.WSMsgType.CLOSE:
            reason = one_line(message.extra or "", limit=CLOSE_REASON_BYTES)
            return Ending(message.data or 1005, reason, "server", None, self.unacknowledged_bytes)
        if message.type is aiohttp.WSMsgType.ERROR and isinstance(message.data, aiohttp.WebSocketError):
            return self._protocol_ending(message.data)
        return Ending(ABNORMAL_CLOSURE, "the connection ended without a CLOSE frame", "network")

    def _protocol_ending(self, error: aiohttp.WebSocketError) -> Ending:
        code = int(error.code)
        if code == MESSAGE_TOO_BIG:
            too_large = FrameTooLarge(None, self._how.max_frame_bytes)
            return Ending(code, str(too_large), "client", too_large)
        broken = RemoteProtocolError(f"the server sent an invalid WebSocket frame: {one_line(str(error), limit=200)}")
        return Ending(code, str(broken), "client", broken)

    async def send(self, data: bytes) -> None:
        """Send one text frame; raises `ConnectionLostError` where the connection has ended."""
        if self._ended.done() or self._closing is not None:
            raise self._lost()
        self._sending += 1
        # Only a full buffer can block; a send into an empty one needs no timer.
        if self._send_deadline is None and (len(data) > LARGE_SEND_BYTES or self._socket.get_write_buffer_size()):
            self._send_deadline = self._loop.call_later(SEND_TIMEOUT_S, self._send_timed_out)
        try:
            await self._ws.send_frame(data, aiohttp.WSMsgType.TEXT)
        except (ConnectionError, aiohttp.ClientError):
            raise self._lost() from None
        finally:
            self._sending -= 1
            if not self._sending and self._send_deadline is not None:
                self._send_deadline.cancel()
                self._send_deadline = None
        if self._ended.done():
            raise self._lost()

    def write(self, data: bytes) -> None:
        """Send one text frame without waiting; raises `ConnectionLostError` where the connection has ended."""
        if self._ended.done() or self._closing is not None:
            raise self._lost()
        try:
            self._write(self._ws.send_frame(data, aiohttp.WSMsgType.TEXT))
        except (ConnectionError, aiohttp.ClientError):
            raise self._lost() from None

    def _write(self, step: Coroutine[Any, Any, None]) -> None:
        # aiohttp writes before it waits for anything, so one step is the whole write; the wait is left undone.
        try:
            waits_for: Any = step.send(None)
        except StopIteration:
            return
        # Everybody who drains waits for the same: it is not cancelled, and it forgets that somebody meant to wait for
        # it, as a task that waits makes it do (else the next one is told that "await wasn't used with future").
        waits_for._asyncio_future_blocking = False
        waits_for.add_done_callback(_look_at)
        step.close()

    @property
    def unsent_bytes(self) -> int:
        """How much was written and has not left this process."""
        unsent_bytes = self._socket.get_write_buffer_size()
        return unsent_bytes if self._wire is self._socket else unsent_bytes + self._wire.get_write_buffer_size()

    @property
    def unacknowledged_bytes(self) -> int | None:
        """How much the peer's machine has not acknowledged, unsent bytes included; None where nobody can tell.

        Linux tells it for an open TCP socket (ioctl SIOCOUTQ, under TLS too). Behind a proxy, it would tell of the
        proxy.
        """
        is_behind_others = self._how.proxy or self._how.trust_env
        is_hidden = self._wire is self._socket and self._socket.get_extra_info("sslcontext") is not None
        if sys.platform != "linux" or is_behind_others or is_hidden or self._socket.is_closing():
            return None
        from fcntl import ioctl
        from termios import TIOCOUTQ

        try:
            in_kernel = ioctl(self._socket.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return None
        return int.from_bytes(in_kernel, sys.byteorder) + self.unsent_bytes

    @property
    def has_room(self) -> bool:
        """Whether so little is unsent that a frame written now leaves soon."""
        return self.unsent_bytes <= ROOM_BYTES

    async def drain(self) -> None:
        """Wait until there is room; raises `ConnectionLostError` where the connection has ended."""
        try:
            await self._flow._drain_helper()
        except (ConnectionError, aiohttp.ClientError):
            raise self._lost() from None
        if self._ended.done():
            raise self._lost()

    def _send_timed_out(self) -> None:
        self.end(Ending(ABNORMAL_CLOSURE, f"a send was blocked for {SEND_TIMEOUT_S:g} s", "network"))

    def _lost(self) -> ConnectionLostError:
        if not self._ended.done():
            return ConnectionLostError(ABNORMAL_CLOSURE, "the connection is closing", initiator="client")
        ending = self._ended.result()
        return ConnectionLostError(ending.code, ending.reason, initiator=ending.initiator)

    async def ping(self) -> None:
        """Send a PING (RFC 6455 section 5.5.2); its answer counts as a sign of life like any other frame."""
        try:
            await self._ws.ping()
        except (ConnectionError, aiohttp.ClientError):
            self.abort()

    def end(self, ending: Ending) -> None:
        """End the connection at once, for a reason found on this side."""
        if not self._ended.done():
            self._ended.set_result(replace(ending, unacknowledged_bytes=self.unacknowledged_bytes))
        self.abort()

    def abort(self) -> None:
        """Drop the socket at once, freeing the reader and every sender."""
        self._socket.abort()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close within half a second, whatever the peer does; a cancelled call still completes."""
        if self._closing is None:
            # A task of its own, so that a cancelled close() still completes.
            self._closing = self._loop.create_task(self._close(code, reason), name="realtime_events.transport.close")
        await asyncio.shield(self._closing)

    async def _close(self, code: int, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(Ending(code, reason, "client"))
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ws.close(code=code, message=_close_reason(reason))
        except (TimeoutError, ConnectionError, aiohttp.ClientError) as error:
            log.debug("no clean close: %s", type(error).__name__)
        finally:
            self.abort()
            await self._let_go()

    async def _let_go(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            self._response.close()
            await pool.give_back()


def _close_reason(reason: str) -> bytes:
    """Cut a reason to what a CLOSE frame holds (RFC 6455 section 5.5), never within a character."""
    return reason.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore").encode()


def _beneath(ws: aiohttp.ClientWebSocketResponse[bool]) -> tuple[aiohttp.ClientResponse, asyncio.Transport]:
    """Give what lies beneath a fresh WebSocket; aiohttp hands it out only by a private way."""
    response = ws._response  # pyright: ignore[reportPrivateUsage]
    if response.connection is None or response.connection.transport is None:
        raise TransportError("the connection ended right after the handshake")
    return response, response.connection.transport


def _below(transport: asyncio.Transport) -> asyncio.Transport:
    """Give the transport that writes to the socket: asyncio's TLS has one beneath, and does not show it."""
    below: Any = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return below if isinstance(below, asyncio.Transport) else transport


def _look_at(done: asyncio.Future[None]) -> None:
    """Take the exception of what nobody waits for: the reader tells how the connection ended."""
    if not done.cancelled():
        done.exception()


def slept_s() -> float:
    """Give how long the machine has been suspended so far, where it can be told: the loop's clock stands still then."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if boottime is None else time.clock_gettime(boottime) - time.clock_gettime(time.CLOCK_MONOTONIC)


class _KeepAlive:
    """Pings at every interval and ends the connection of a peer that stays silent for the timeout.

    Silence is counted in ticks of this timer, not read off a clock: while the loop was blocked the peer may have
    spoken, and the frame lies unread. A machine that slept for longer than the timeout has lost its peer.
    """

    def __init__(self, transport: WebSocketTransport, interval_s: float, timeout_s: float) -> None:
        self._transport = transport
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._seen = 0
        self._silent_s = 0.0
        self._slept_s = slept_s()
        self._timer: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._wait(self._interval_s)

    def stop(self) -> None:
        for running in (self._timer, self._ping):
            if running is not None:
                running.cancel()

    def _wait(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._tick, delay_s, self._loop.time() + delay_s)

    def _tick(self, waited_s: float, due: float) -> None:
        if (now_slept_s := slept_s()) - self._slept_s >= self._timeout_s:
            reason = f"the machine slept for {now_slept_s - self._slept_s:.0f} s"
            self._transport.end(Ending(ABNORMAL_CLOSURE, reason, "network"))
            return
        self._slept_s = now_slept_s
        if self._transport.signs_of_life != self._seen:
            self._seen = self._transport.signs_of_life
            self._silent_s = 0.0
        elif self._loop.time() - due > LATE_TICK_S:
            self._wait(READ_FIRST_S)  # The loop was blocked; the reader gets its turn before anybody is judged.
            return
        elif self._ping is not None:
            self._silent_s += waited_s
        if self._silent_s >= self._timeout_s:
            reason = f"the peer did not answer a ping within {self._timeout_s:g} s"
            self._transport.end(Ending(ABNORMAL_CLOSURE, reason, "network"))
            return
        self._ping = self._loop.create_task(self._transport.ping(), name="realtime_events.transport.ping")
        self._wait(min(self._interval_s, self._timeout_s - self._silent_s))


async def _refuse_all_but_101(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Turn every other answer, redirects included, into our error while its body can still be read."""
    response = await handler(request)
    if response.status == 101:
        return response
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            body = await response.content.read(BODY_EXCERPT_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        body = b""
    status, headers = response.status, dict(response.headers)
    response.close()
    kind = AuthenticationError if status in (401, 403) else HandshakeError
    place = bare_url(str(request.url))
    raise kind(status, url=place, headers=headers, body=body.decode("utf-8", "replace"))


def _as_ours(error: BaseException, place: str, how: Dialling) -> TransportError | None:
    """Say in our words why a connection could not be made; None for what is no transport error."""
    if isinstance(error, TransportError):
        return error
    if isinstance(error, TimeoutError):
        return _failed(f"{place} did not answer within {how.connect_timeout_s:g} s", can_reconnect=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        # Not in aiohttp's words: they show the URL of the proxy, and with it the password.
        again = error.status in (408, 425, 429) or error.status >= 500
        return _failed(f"the proxy refused to connect to {place}: HTTP {error.status}", can_reconnect=again)
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return HandshakeError(error.status, url=place, body=error.message)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return _failed(
            f"TLS with {urlsplit(place).hostname} failed: {one_line(str(error), limit=300)}", can_reconnect=False
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _failed(f"the host name {error.host!r} cannot be resolved", can_reconnect=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        why = os.strerror(error.errno).lower() if error.errno else one_line(str(error.os_error), limit=200)
        return _failed(f"cannot connect to {place}: {why}", can_reconnect=True)
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):  # The latter is the resolver's word for an odd name.
        return _failed(f"{place!r} is no URL that can be connected to", can_reconnect=False)
    if isinstance(error, aiohttp.ClientError | OSError | socket.gaierror):
        return _failed(f"{place} does not speak WebSocket: {one_line(str(error), limit=200)}", can_reconnect=True)
    return None


def _failed(sentence: str, *, can_reconnect: bool) -> TransportError:
    error = TransportError(sentence)
    error.can_reconnect = can_reconnect
    return error
