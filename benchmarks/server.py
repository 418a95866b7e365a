"""The bench server: `python -m benchmarks.server --traffic '{"kind": "text", ...}'` prints its port and serves.

Owns as much WebSocket as a client of the Realtime API needs on loopback, by hand, so that it costs less than any
client: the frames of a response are encoded when the server starts and written in large pieces. It answers
`session.update`, sends the traffic at `response.create`, counts `input_audio_buffer.append` and tells the count at
`commit`, and goes on after a tool call only when its output has come. With a rate, the last events of a call come one
period after the rest of the response, and `commit` is told how long their outputs took.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import socket
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.frames import Traffic, call_id, event_frame, response_frames, session_event, stamp, timed

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SLICE_BYTES = 1 << 16
READ_BYTES = 1 << 18
HEAD_BYTES = 64
HELD_BYTES = 1 << 16
APPEND = b'"input_audio_buffer.append"'
CALLED = b'"response.function_call_arguments.done"'
OP_TEXT, OP_CLOSE, OP_PING, OP_PONG = 0x1, 0x8, 0x9, 0xA


@dataclass
class Script:
    """What is sent at each trigger, encoded once for all connections; `rate_hz` 0 means as fast as it is read."""

    traffic: Traffic
    rate_hz: float = 0.0
    frames: list[bytes] = field(init=False)
    whole: bytes = field(init=False)
    until_call: bytes = field(init=False)
    from_call: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.frames = response_frames(self.traffic)
        self.whole = b"".join(self.frames)
        calling = response_frames(self.traffic, call=True)
        at = next(index for index, frame in enumerate(calling) if CALLED in frame)
        self.until_call, self.from_call = b"".join(calling[:at]), b"".join(calling[at:])


class Connection:
    """One client's connection, from its handshake to its close."""

    def __init__(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._script = script
        self._reader = reader
        self._writer = writer
        self._unread = b""
        self._taken = 0
        self._is_deaf = False
        self._spoken_s = 0.0
        self._responses = 0
        self._appends = 0
        self._call_id = ""
        self._called_s = 0.0
        self._answered_s: list[float] = []
        self._sending: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Shakes hands, greets and answers until the client goes."""
        try:
            await self._handshake()
            self._writer.write(session_event("session.created", interrupts=self._script.traffic.interrupted))
            while await self._answer(*await self._read_frame()):
                if self._is_deaf:
                    await self._interrupt()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The client went without a close frame; the bench asks no more of it.
        finally:
            if self._sending is not None:
                self._sending.cancel()
            self._writer.close()

    async def _handshake(self) -> None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        key = next(value for name, value in headers.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self._writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    async def _read_frame(self) -> tuple[int, bytes]:
        while (frame := self._take_frame()) is None:
            if not (data := await self._reader.read(READ_BYTES)):
                raise asyncio.IncompleteReadError(b"", None)
            self._unread, self._taken = self._unread[self._taken :] + data, 0
        return frame

    def _take_frame(self) -> tuple[int, bytes] | None:
        """Gives the next frame, if all of it is here; of an append only the head, since its audio is not looked at."""
        data, start = self._unread, self._taken
        if len(data) < start + 2:
            return None
        size, begin = data[start + 1] & 0x7F, start + 6
        if size > 125:
            begin += 2 if size == 126 else 8
            size = int.from_bytes(data[start + 2 : begin - 4], "big")
        if len(data) < begin + size:
            return None
        mask, self._taken = data[begin - 4 : begin], begin + size
        payload = unmasked(data[begin : begin + min(size, HEAD_BYTES)], mask)
        if size > HEAD_BYTES and APPEND not in payload:
            payload = unmasked(data[begin : begin + size], mask)
        return data[start] & 0x0F, payload

    async def _answer(self, opcode: int, payload: bytes) -> bool:
        if opcode == OP_PING:
            self._writer.write(bytes([0x80 | OP_PONG, len(payload)]) + payload)
        elif opcode == OP_CLOSE:
            self._writer.write(bytes([0x80 | OP_CLOSE, len(payload)]) + payload)
            return False
        elif APPEND in payload:  # Parsing 20 ms of audio only to count it would cost too much.
            self._appends += 1
        elif opcode == OP_TEXT:
            self._on_event(json.loads(payload))
        return True

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["type"] == "session.update":
            self._writer.write(session_event("session.updated", interrupts=self._script.traffic.interrupted))
        elif event["type"] == "response.create":
            self._on_create()
        elif event["type"] == "conversation.item.create":
            self._on_item(event["item"])
        elif event["type"] == "conversation.item.truncate":
            self._on_truncate(event)
        elif event["type"] == "input_audio_buffer.commit":
            self._send({"type": "input_audio_buffer.committed", "item_id": self._told()})

    def _on_create(self) -> None:
        if self._script.traffic.interrupted:
            self._responses += 1
            self._writer.write(stamp(self._script.whole, self._responses))
            self._is_deaf = True
        elif not self._script.traffic.tool:
            self._sending = asyncio.create_task(self._send_responses(), name="bench responses")
        elif not self._call_id:  # Who asks for more without having answered the call waits in vain.
            self._responses += 1
            if self._responses % 2 == 1:
                self._call_id = call_id(f"{self._responses:06d}")
                self._sending = asyncio.create_task(self._send_call(), name="bench call")
            else:
                self._writer.write(stamp(self._script.whole, self._responses))

    def _on_item(self, item: dict[str, Any]) -> None:
        if item["type"] == "function_call_output" and item["call_id"] == self._call_id:
            self._answered_s.append(time.perf_counter() - self._called_s)
            self._call_id = ""
        self._send({"type": "conversation.item.added", "previous_item_id": None, "item": item})

    async def _interrupt(self) -> None:
        """Lets the user speak after a while in which nothing was read."""
        await asyncio.sleep(self._script.traffic.hold_s)
        self._is_deaf = False
        self._spoken_s = time.monotonic()
        started = {"type": "input_audio_buffer.speech_started", "event_id": f"event_{self._spoken_s * 1e6:.0f}"}
        self._send({**started, "item_id": f"item_user_{self._responses}", "audio_start_ms": 0})

    def _on_truncate(self, event: dict[str, Any]) -> None:
        """Confirms, and tells in the id of the event how many µs ago the user began to speak."""
        took_us = round((time.monotonic() - self._spoken_s) * 1e6)
        place = {"item_id": event["item_id"], "content_index": 0, "audio_end_ms": event["audio_end_ms"]}
        self._send({"type": "conversation.item.truncated", "event_id": f"event_{took_us}", **place})
        place = {"item_id": f"item_user_{self._responses}", "audio_end_ms": 100}
        self._send({"type": "input_audio_buffer.speech_stopped", **place})

    def _send(self, event: dict[str, Any]) -> None:
        self._writer.write(event_frame({"event_id": "event_bench", **event}))

    def _told(self) -> str:
        """Gives an id that carries what was measured: how many pieces came, or how long outputs took, in µs."""
        if not self._answered_s:
            return f"item_{self._appends}"
        ranked = sorted(self._answered_s)
        measured_s = (statistics.median(ranked), ranked[len(ranked) * 99 // 100])
        return "_".join(["item", *(f"{value * 1e6:.0f}" for value in measured_s)])

    async def _send_call(self) -> None:
        number = self._responses
        self._writer.write(stamp(self._script.until_call, number))
        if self._script.rate_hz:
            await asyncio.sleep(1 / self._script.rate_hz)
        self._called_s = time.perf_counter()
        self._writer.write(stamp(self._script.from_call, number))

    async def _send_responses(self) -> None:
        for _ in range(self._script.traffic.responses):
            self._responses += 1
            if self._script.rate_hz:
                await self._send_paced()
            else:
                await self._send_burst()

    async def _send_burst(self) -> None:
        frames = memoryview(stamp(self._script.whole, self._responses))
        for start in range(0, len(frames), SLICE_BYTES):
            self._writer.write(frames[start : start + SLICE_BYTES])
            await self._writer.drain()

    async def _send_paced(self) -> None:
        due_s = time.monotonic()
        for frame in self._script.frames:
            stamped = stamp(frame, self._responses)
            self._writer.write(timed(stamped, time.monotonic()) if self._script.traffic.timed else stamped)
            due_s += 1 / self._script.rate_hz
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


def unmasked(masked: bytes, mask: bytes) -> bytes:
    """Takes the mask off what a client sent (RFC 6455, section 5.3)."""
    repeated = (mask * (len(masked) // 4 + 1))[: len(masked)]
    return (int.from_bytes(masked, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(masked), "big")


async def serve(script: Script) -> None:
    """Serves on a free port of loopback, which it prints first, until it is killed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(script, reader, writer).serve()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024, limit=READ_BYTES)
    if script.traffic.interrupted:
        # Else the kernel takes whatever a client has to say, and nothing waits there.
        server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD_BYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Reads the traffic from the command line and serves it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--traffic", type=json.loads, required=True)
    parser.add_argument("--rate-hz", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(serve(Script(Traffic(**arguments.traffic), arguments.rate_hz)))


if __name__ == "__main__":
    main()
