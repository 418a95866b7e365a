"""A socket and a session that go wrong on purpose.

Owns how each fault is carried out. Decides nothing: `faults.py` throws the dice. Before it: `app.py`, which wraps the
accepted socket; after it: `connection.py`, which does not notice.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, NoReturn

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from .connection import CLOSE_TIMEOUT_S, Peer
from .errors import SERVER_FAILED, Refusal
from .exchange import Exchange
from .faults import ENDINGS, OUTGOING, Dice, Fault

UNKNOWN_EVENT = b'{"type":"simulator.unknown","event_id":"event_unknown"}'
GARBAGE_BYTES = 64


class FaultySocket:
    """The part of a WebSocket that a connection uses, with faults in it."""

    def __init__(self, inner: web.WebSocketResponse, transport: asyncio.Transport | None, dice: Dice) -> None:
        self._inner = inner
        self._transport = transport
        self._dice = dice
        self._held: list[bytes] = []
        self._is_mute = False
        self._is_gone = False

    async def receive(self) -> WSMessage:
        """Give the next message, unless the server has stopped reading."""
        message = await self._inner.receive()
        if self._dice and message.type is WSMsgType.TEXT and self._dice.throw(name_of(message.data), ("stop_reading",)):
            if self._transport is not None:
                self._transport.pause_reading()
            await asyncio.Event().wait()
        return message

    async def pong(self, message: bytes) -> None:
        """Answer a ping, perhaps."""
        if not self._is_mute and not self._dice.throw("ping", ("no_pong",)):
            await self._inner.pong(message)

    async def send_frame(self, frame: bytes, kind: WSMsgType) -> None:
        """Send a frame, and whatever else happens to it."""
        if not self._dice:
            await self._inner.send_frame(frame, kind)
            return
        name = name_of(frame)
        for fault in self._dice.throw(name, ENDINGS):
            await self._end(fault, frame)
        faults = self._dice.throw(name, OUTGOING)
        frames = [frame]
        for fault in faults:
            if fault.kind == "delay":
                await asyncio.sleep(fault.value)
            frames = _bent(fault, frames, self._dice)
        if not self._held and any(fault.kind == "reorder" for fault in faults):
            self._held = frames
            return
        held, self._held = self._held, []
        for each in () if self._is_mute else (*frames, *held):
            await self._inner.send_frame(each, kind)

    async def close(self, *, code: int, message: bytes) -> None:
        """Close, if there is still something to close."""
        if not self._is_gone:
            await self._inner.close(code=code, message=message)

    async def _end(self, fault: Fault, frame: bytes) -> None:
        if fault.kind == "stop_writing":
            self._is_mute = True
            return
        self._is_gone = True
        if fault.kind == "close":
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._inner.close(code=int(fault.value))
        elif self._transport is not None:
            (_hang_up if fault.kind == "eof" else _reset)(self._transport, frame)
        self._raise_gone(fault)

    def _raise_gone(self, fault: Fault) -> NoReturn:
        raise ConnectionResetError(f"the fault {fault.kind!r} ended the connection")


class FaultyPeer:
    """A session that answers some client events with an error, or not at all."""

    def __init__(self, inner: Exchange, dice: Dice) -> None:
        self._inner = inner
        self._dice = dice

    @property
    def closing(self) -> tuple[int, str] | None:
        """Code and reason, once the session wants to close."""
        return self._inner.closing

    def receive(self, data: bytes, now: float) -> None:
        """Take a frame of the client, or refuse it."""
        hit = self._dice.throw(name_of(data), ("ignore", "error", "error_null")) if self._dice else ()
        for fault in hit:
            if fault.kind != "ignore":
                refusal = Refusal(SERVER_FAILED, code=None, type="server_error")
                self._inner.refuse(refusal, b"" if fault.kind == "error_null" else data)
        if not hit:
            self._inner.receive(data, now)

    def poll(self, now: float) -> list[bytes]:
        """Give the frames that are due."""
        return self._inner.poll(now)

    def next_due(self) -> float | None:
        """Give the time at which there are frames again."""
        return self._inner.next_due()

    def unsent(self) -> int:
        """Count the frames that wait."""
        return self._inner.unsent()

    def end(self, now: float) -> None:
        """Say that the connection is over."""
        self._inner.end(now)


def with_faults(
    socket: web.WebSocketResponse, transport: asyncio.Transport | None, session: Exchange, dice: Dice
) -> tuple[FaultySocket, Peer]:
    """Put faults between a socket and a session."""
    return FaultySocket(socket, transport, dice), FaultyPeer(session, dice)


class _Header(msgspec.Struct):
    type: Any = None


def name_of(frame: bytes | str) -> str:
    """Give the name of the event in a frame; empty where it has none."""
    try:
        return str(msgspec.json.decode(frame, type=_Header).type or "")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def _bent(fault: Fault, frames: list[bytes], dice: Dice) -> list[bytes]:
    match fault.kind:
        case "drop":
            return []
        case "duplicate":
            return frames * 2
        case "truncate":
            return [frame[: len(frame) // 2] for frame in frames]
        case "garbage":
            return [dice.bytes(GARBAGE_BYTES).hex().encode(), *frames]
        case "unknown":
            return [UNKNOWN_EVENT, *frames]
        case _:
            return frames


def _hang_up(transport: asyncio.Transport, frame: bytes) -> None:
    transport.close()


def _reset(transport: asyncio.Transport, frame: bytes) -> None:
    """Begin a frame, then reset the connection in the middle of it."""
    transport.write(_header(len(frame)) + frame[: len(frame) // 2])
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _header(length: int) -> bytes:
    """Give the header of a whole, unmasked text frame (RFC 6455 section 5.2)."""
    if length < 126:
        return struct.pack("!BB", 0x81, length)
    if length < 1 << 16:
        return struct.pack("!BBH", 0x81, 126, length)
    return struct.pack("!BBQ", 0x81, 127, length)
