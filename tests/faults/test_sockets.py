"""The door on sockets that break: at exact bytes, in silence, behind TLS and proxies, on either family of addresses."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import re
import socket
import ssl
import struct
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from realtime_events import ConnectionLostError, HandshakeError, RemoteProtocolError, TransportError
from realtime_events.endpoint import Secret
from realtime_events.testing import FaultProxy, Toxics
from realtime_events.transport import Dialling, Ending, WebSocketTransport, dial

from ..programs import run

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
SMALL_BUFFERS_BYTES = 4096


def frame(payload: bytes, *, first_byte: int = 0x81) -> bytes:
    """A whole, unmasked text frame (RFC 6455 section 5.2), unless the first byte says otherwise."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first_byte, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first_byte, 126, size) + payload
    return struct.pack("!BBQ", first_byte, 127, size) + payload


CLOSE = frame(struct.pack("!H", 1000), first_byte=0x88)


@dataclass
class WebServer:
    """A server that upgrades whoever comes and then does what a test says, byte for byte."""

    port: int = 0
    requests: list[str] = field(default_factory=list)


@asynccontextmanager
async def web_server(behave: Behave, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Any:
    served = WebServer()
    here: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.add(writer)
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            served.requests.append(request.decode())
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
            assert key is not None
            accept = base64.b64encode(hashlib.sha1(key[1] + MAGIC).digest())
            lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
            upgrade = b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + accept, b"", b""])
            writer.write(upgrade)
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, host, 0, ssl=tls) as server:
        served.port = server.sockets[0].getsockname()[1]
        try:
            yield served
        finally:
            for writer in here:
                writer.transport.abort()


def says(*data: bytes) -> Behave:
    """A server that says these bytes and then listens until the client goes."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(data))
        while await reader.read(65_536):
            pass

    return behave


@asynccontextmanager
async def opened(proxy: FaultProxy, **how: Any) -> AsyncIterator[WebSocketTransport]:
    transport = await dial(f"ws://{proxy.host}:{proxy.port}/v1/realtime", {}, Dialling(**how))
    try:
        yield transport
    finally:
        await transport.close()


async def until_it_ends(transport: WebSocketTransport, frames: list[bytes] | None = None) -> Ending:
    taken = frames if frames is not None else []
    return await transport.run(lambda data: taken.append(data) or False)  # type: ignore[func-returns-value]


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No task of the transport outlives its test."""
    yield
    assert [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("realtime_events.transport")] == []


# ── at exact bytes ───────────────────────────────────────────────────────────────────────────────────────────────────

FIRST, SECOND = frame(b'{"n":1}'), frame(b'{"n":2}' + b" " * 400)
WITHIN = {
    "nothing of the first frame": 0,
    "half a header": 1,
    "within the first frame": 5,
    "between the frames": len(FIRST),
    "half a long header": len(FIRST) + 3,
    "a header and no payload": len(FIRST) + 4,
    "all but one byte": len(FIRST) + len(SECOND) - 1,
}


@pytest.mark.parametrize("kind", ["reset", "close", "half_close"])
@pytest.mark.parametrize("where", WITHIN)
async def test_a_cut_at_any_byte_gives_the_whole_frames_before_it_and_1006(kind: str, where: str) -> None:
    """B40, T5: the part of a frame is thrown away, and a FIN without a CLOSE frame is no clean end."""
    frames: list[bytes] = []
    is_open = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_open.wait()
        await says(FIRST, SECOND)(reader, writer)

    async with asyncio.timeout(5), web_server(behave) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        async with opened(proxy) as transport:
            proxy.down = Toxics(**{f"{kind}_after_bytes": proxy.bytes_down + WITHIN[where]})
            is_open.set()
            ending = await until_it_ends(transport, frames)
    assert (ending.code, ending.initiator, ending.error) == (1006, "network", None)
    assert frames == ([b'{"n":1}'] if WITHIN[where] >= len(FIRST) else [])


@pytest.mark.parametrize("kind", ["reset", "close"])
@pytest.mark.parametrize("at", [0, 1, 40])
async def test_a_cut_in_the_handshake_is_a_transport_error_that_may_be_tried_again(kind: str, at: int) -> None:
    """B41."""
    async with asyncio.timeout(5), web_server(says()) as server:
        async with FaultProxy("127.0.0.1", server.port, down=Toxics(**{f"{kind}_after_bytes": at})) as proxy:
            with pytest.raises(TransportError) as failed:
                await dial(f"ws://{proxy.host}:{proxy.port}/", {})
    assert failed.value.can_reconnect and "\n" not in str(failed.value)


@pytest.mark.parametrize("slice_bytes", [1, 2, 3, 126, 1460, 65_536])
async def test_frames_cut_into_any_pieces_are_the_same_frames(slice_bytes: int) -> None:
    """B01: lengths on both sides of each boundary of RFC 6455 section 5.2, and a frame in fragments."""
    sizes = [0, 1, 125, 126, 127, 3000] if slice_bytes < 100 else [0, 125, 126, 65_535, 65_536, 300_000]
    payloads = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    pieces = frame(b"frag", first_byte=0x01) + frame(b"", first_byte=0x89) + frame(b"ments", first_byte=0x80)
    frames: list[bytes] = []
    async with asyncio.timeout(20), web_server(says(*map(frame, payloads), pieces, CLOSE)) as server:
        async with FaultProxy("127.0.0.1", server.port, down=Toxics(slice_bytes=slice_bytes)) as proxy:
            async with opened(proxy) as transport:
                ending = await until_it_ends(transport, frames)
    assert frames == [*payloads, b"fragments"] and ending.code == 1000


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"x", first_byte=0xC1), 1002),  # RSV1 without an extension
        (frame(b"x", first_byte=0x83), 1002),  # an opcode that is not given out
        (frame(b"x", first_byte=0x80), 1002),  # goes on with a message that never began
        (frame(b"x" * 126, first_byte=0x89), 1002),  # a control frame that is too long
        (frame(b"x", first_byte=0x88), 1002),  # a CLOSE with half a code
        (struct.pack("!BBQ", 0x81, 127, 1 << 62), 1009),  # four exabytes are announced
    ],
    ids=["reserved bit", "opcode", "continuation", "long ping", "half a close code", "announced size"],
)
async def test_a_peer_that_breaks_the_protocol_is_ended_with_our_code_at_once(sent: bytes, code: int) -> None:
    """B40, B45."""
    async with asyncio.timeout(5), web_server(says(frame(b"before"), sent)) as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy, opened(proxy) as transport:
            frames: list[bytes] = []
            ending = await until_it_ends(transport, frames)
    assert frames == [b"before"] and (ending.code, ending.initiator) == (code, "client")
    assert code != 1002 or isinstance(ending.error, RemoteProtocolError)


# ── silence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def echo_pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every PING, and says nothing else."""
    while True:
        first, size = struct.unpack("!BB", await reader.readexactly(2))
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await reader.readexactly(8))
        mask = await reader.readexactly(4)
        payload = await reader.readexactly(size)
        if first & 0x0F == 0x9:
            writer.write(frame(bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload)), first_byte=0x8A))


SILENT = {
    "stalled": (Toxics(stall_after_bytes=0), Toxics()),
    "deaf and dumb": (Toxics(black_hole_after_bytes=0), Toxics(black_hole_after_bytes=0)),
    "dumb": (Toxics(), Toxics(black_hole_after_bytes=0)),
}


@pytest.mark.parametrize("silent", SILENT)
async def test_a_peer_that_falls_silent_is_noticed_and_frees_reader_and_sender(silent: str) -> None:
    """B44, T3, T4: here within 50 ms + 150 ms, though the sender's TCP window is closed or nobody answers."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10), web_server(echo_pings) as server:
        async with FaultProxy("127.0.0.1", server.port, buffer_bytes=SMALL_BUFFERS_BYTES) as proxy:
            async with opened(proxy, ping_interval_s=0.05, ping_timeout_s=0.15) as transport:
                reading = asyncio.create_task(until_it_ends(transport))
                proxy.up, proxy.down = SILENT[silent]
                before = loop.time()
                sending = asyncio.create_task(transport.send(b"x" * 30_000_000)) if silent == "stalled" else None
                ending = await reading
                assert 0.14 < loop.time() - before < 2.0
                if sending is not None:
                    with pytest.raises(ConnectionLostError):
                        await sending
    assert (ending.code, ending.initiator) == (1006, "network") and "did not answer a ping" in ending.reason


async def test_a_stall_shorter_than_the_patience_is_forgiven_and_loses_nothing() -> None:
    """B44."""
    numbers = [b'{"n":%d}' % n for n in range(200)]
    frames: list[bytes] = []
    async with asyncio.timeout(10), web_server(says(*map(frame, numbers), CLOSE)) as server:
        stalled = Toxics(stall_after_bytes=700)
        async with FaultProxy("127.0.0.1", server.port, down=stalled) as proxy:
            async with opened(proxy, ping_interval_s=0.01, ping_timeout_s=5.0) as transport:
                reading = asyncio.create_task(until_it_ends(transport, frames))
                before = proxy.bytes_up
                await proxy.wait_until(lambda: proxy.bytes_up >= before + 5 * 6)  # five pings went unanswered
                assert not reading.done()
                proxy.heal()
                ending = await reading
    assert frames == numbers and ending.code == 1000


async def test_a_loop_that_was_blocked_longer_than_the_patience_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """B44, T2: what the peer said meanwhile lies unread, so it is read before anybody is judged."""
    monkeypatch.setattr("realtime_events.transport.LATE_TICK_S", 0.05)
    monkeypatch.setattr("realtime_events.transport.READ_FIRST_S", 0.1)
    async with asyncio.timeout(10), web_server(echo_pings) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        async with opened(proxy, ping_interval_s=0.2, ping_timeout_s=0.2) as transport:
            reading = asyncio.create_task(until_it_ends(transport))
            await proxy.wait_until(lambda: transport.signs_of_life > 0)
            time.sleep(0.5)  # noqa: ASYNC251 - the blocking is what is tested
            heard = transport.signs_of_life
            await proxy.wait_until(lambda: transport.signs_of_life >= heard + 2)
            await transport.close(1000, "bye")
            assert (await reading).reason == "bye"


async def test_a_long_frame_on_a_narrow_line_is_a_sign_of_life_while_it_comes() -> None:
    """B44: any byte is; the frame takes longer than interval and timeout together, and so do its bytes to be read."""
    frames: list[bytes] = []
    long = frame(b"x" * 60_000)
    async with asyncio.timeout(10), web_server(says(long)) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.down = Toxics(bandwidth_bytes_per_s=80_000)
        async with opened(proxy, ping_interval_s=0.1, ping_timeout_s=0.15) as transport:
            reading = asyncio.create_task(until_it_ends(transport, frames))
            await proxy.wait_until(lambda: bool(frames) or reading.done())
            assert [len(data) for data in frames] == [60_000], "it was ended while its frame came in"
            transport.abort()
            await reading


async def test_the_reader_does_not_wait_for_a_peer_that_asks_and_takes_no_answer() -> None:
    """B44, T1: pings are answered without waiting, so that what comes in is read on."""
    pings = b"".join(frame(b"%d" % number, first_byte=0x89) + frame(b"%d" % number) for number in range(20_000))
    frames: list[bytes] = []

    async def asks_and_takes_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(pings + CLOSE)
        await asyncio.get_running_loop().create_future()

    async with asyncio.timeout(10), web_server(asks_and_takes_nothing) as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            async with opened(proxy, ping_interval_s=None) as transport:
                proxy.up = Toxics(stall_after_bytes=0)
                transport.write(b"x" * 16_000_000)  # What the systems between take, so that no PONG has room.
                ending = await until_it_ends(transport, frames)
    assert (len(frames), ending.code) == (20_000, 1000)


async def test_a_machine_that_slept_has_lost_its_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """B44: the loop's clock stands still meanwhile, the peer's does not; nobody waits for it another half minute."""
    slept = [100.0]
    monkeypatch.setattr("realtime_events.transport.slept_s", lambda: slept[0])
    async with asyncio.timeout(10), web_server(says()) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        async with opened(proxy, ping_interval_s=0.02, ping_timeout_s=20.0) as transport:
            reading = asyncio.create_task(until_it_ends(transport))
            await asyncio.sleep(0)
            slept[0] += 3_600.0
            ending = await reading
    assert (ending.code, ending.initiator) == (1006, "network") and "slept for 3600 s" in ending.reason


async def test_a_machine_that_naps_keeps_its_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """B44: sleeps shorter than the timeout do not add up."""
    slept, looks = [100.0], list[float]()

    def slept_s() -> float:
        looks.append(slept[0])
        slept[0] += 15.0
        return looks[-1]

    monkeypatch.setattr("realtime_events.transport.slept_s", slept_s)
    async with asyncio.timeout(10), web_server(says()) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        async with opened(proxy, ping_interval_s=0.01, ping_timeout_s=20.0) as transport:
            reading = asyncio.create_task(until_it_ends(transport))
            await proxy.wait_until(lambda: len(looks) > 5 or reading.done())
            assert not reading.done()
            transport.abort()
            await reading


async def test_a_peer_that_drains_slowly_slows_the_sender_and_gets_every_frame_in_order() -> None:
    """B17, T3: a send waits while the buffer is full, and none is lost."""
    heard: list[bytes] = []
    everything = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(heard) < 20:
            _, size = struct.unpack("!BB", await reader.readexactly(2))
            assert size & 0x7F == 127
            (size,) = struct.unpack("!Q", await reader.readexactly(8))
            mask = await reader.readexactly(4)
            payload = await reader.readexactly(size)
            heard.append(bytes([payload[0] ^ mask[0]]))
        everything.set()

    drained = Toxics(drain_bytes_per_s=12_000_000)
    async with asyncio.timeout(20), web_server(behave) as server:
        async with FaultProxy("127.0.0.1", server.port, up=drained, buffer_bytes=SMALL_BUFFERS_BYTES) as proxy:
            async with opened(proxy) as transport:
                reading = asyncio.create_task(until_it_ends(transport))
                for n in range(20):
                    await transport.send(bytes([n]) * 100_000)
                await everything.wait()
                await transport.close()
                await reading
    assert heard == [bytes([n]) for n in range(20)]


async def test_closing_is_quick_although_nothing_comes_through() -> None:
    """B40, T10: no CLOSE frame goes out, and none comes back."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10), web_server(says()) as server:
        async with FaultProxy("127.0.0.1", server.port, buffer_bytes=SMALL_BUFFERS_BYTES) as proxy:
            async with opened(proxy) as transport:
                reading = asyncio.create_task(until_it_ends(transport))
                proxy.up = Toxics(stall_after_bytes=0)
                sending = asyncio.create_task(transport.send(b"x" * 30_000_000))
                await asyncio.sleep(0)
                before = loop.time()
                await transport.close(1000, "bye")
                assert loop.time() - before < 1.0
                assert (await reading).initiator == "client"
                with pytest.raises(ConnectionLostError):
                    await sending


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that no system knows."""
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A context of a client that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serving_with(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def test_a_private_authority_is_trusted_where_it_is_passed(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """B49."""
    tls = serving_with(authority.issue_cert("127.0.0.1"))
    async with asyncio.timeout(5), web_server(says(frame(b"hello"), CLOSE), tls=tls) as server:
        transport = await dial(f"wss://127.0.0.1:{server.port}/", {}, Dialling(ssl=trusting))
        frames: list[bytes] = []
        assert (await until_it_ends(transport, frames)).code == 1000
    assert frames == [b"hello"]


LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
BAD_CERTIFICATES: dict[str, Callable[[trustme.CA], tuple[ssl.SSLContext, str]]] = {
    "wrong host": lambda ca: (serving_with(ca.issue_cert("elsewhere.example")), "not valid for '127.0.0.1'"),
    "expired": lambda ca: (
        serving_with(ca.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + datetime.timedelta(days=9))),
        "expired",
    ),
    "unknown authority": lambda ca: (serving_with(trustme.CA().issue_cert("127.0.0.1")), "certificate verify failed"),
}


@pytest.mark.parametrize("bad", BAD_CERTIFICATES)
async def test_a_certificate_that_does_not_hold_is_fatal_and_says_why(
    bad: str, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """B41, B49: trying again cannot help."""
    tls, why = BAD_CERTIFICATES[bad](authority)
    async with asyncio.timeout(5), web_server(says(), tls=tls) as server:
        with pytest.raises(TransportError, match=why) as failed:
            await dial(f"wss://127.0.0.1:{server.port}/v1?model=m", {}, Dialling(ssl=trusting))
    assert not failed.value.can_reconnect and "\n" not in str(failed.value) and server.requests == []


async def test_a_self_signed_certificate_is_fatal(tmp_path: Path, trusting: ssl.SSLContext) -> None:
    """B41, B49."""
    alone = trustme.CA()
    for name, blob in (("cert", alone.cert_pem), ("key", alone.private_key_pem)):
        blob.write_to_path(tmp_path / name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    async with asyncio.timeout(5), web_server(says(), tls=tls) as server:
        with pytest.raises(TransportError, match=r"self[- ]signed") as failed:
            await dial(f"wss://127.0.0.1:{server.port}/", {}, Dialling(ssl=trusting))
    assert not failed.value.can_reconnect


@pytest.mark.parametrize("at", [0, 300])
async def test_a_tls_handshake_that_stalls_is_given_up_and_may_be_tried_again(
    at: int, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """B41, B49: before the server's first byte, and in the middle of its certificate."""
    tls = serving_with(authority.issue_cert("127.0.0.1"))
    async with asyncio.timeout(5), web_server(says(), tls=tls) as server:
        async with FaultProxy("127.0.0.1", server.port, down=Toxics(stall_after_bytes=at)) as proxy:
            with pytest.raises(TransportError, match=r"did not answer within 0\.2 s") as failed:
                await dial(f"wss://127.0.0.1:{proxy.port}/", {}, Dialling(ssl=trusting, connect_timeout_s=0.2))
            await proxy.wait_until(lambda: not proxy.connections_open or bool(proxy.cut()))
    assert failed.value.can_reconnect


@pytest.mark.parametrize("kind", ["reset", "close"])
async def test_tls_that_ends_without_a_close_notify_is_1006(
    kind: str, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """B40, T5."""
    tls = serving_with(authority.issue_cert("127.0.0.1"))
    async with asyncio.timeout(5), web_server(says(frame(b"hello")), tls=tls) as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            transport = await dial(f"wss://127.0.0.1:{proxy.port}/", {}, Dialling(ssl=trusting))
            frames: list[bytes] = []

            def cut_at_the_first(data: bytes) -> bool:
                frames.append(data)
                proxy.down = Toxics(**{f"{kind}_after_bytes": 0})
                return False

            ending = await transport.run(cut_at_the_first)
    assert frames == [b"hello"] and (ending.code, ending.initiator) == (1006, "network")


async def test_what_waits_beneath_tls_is_counted_as_unsent(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    """B17, B42: what is urgent finds little before it, and nothing counts as delivered that is still here."""
    tls = serving_with(authority.issue_cert("127.0.0.1"))
    async with asyncio.timeout(10), web_server(says(), tls=tls) as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            transport = await dial(f"wss://127.0.0.1:{proxy.port}/", {}, Dialling(ssl=trusting, ping_interval_s=None))
            proxy.up = Toxics(stall_after_bytes=0)
            reading = asyncio.create_task(until_it_ends(transport))
            written = 0
            while transport.has_room:
                transport.write(b"x" * 1_300)
                written += 1_300
                await asyncio.sleep(0)
            beneath = transport._wire.get_write_buffer_size()
            assert beneath > 0 and transport._wire is not transport._socket
            assert beneath <= transport.unsent_bytes < 3 * 16 * 1024
            if sys.platform == "linux":
                unacknowledged = transport.unacknowledged_bytes
                assert unacknowledged is not None and transport.unsent_bytes < unacknowledged <= written * 1.1
            transport.abort()
            await reading


DIAL_AND_SAY = """
import asyncio, sys
from realtime_events import TransportError
from realtime_events.transport import dial

async def main():
    try:
        transport = await dial(sys.argv[1], {})
    except TransportError as error:
        print("refused:", error)
    else:
        print("open")
        await transport.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("knows_the_authority", [True, False])
async def test_the_environment_can_name_an_authority_but_not_switch_the_check_off(
    knows_the_authority: bool, authority: trustme.CA, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B49: `SSL_CERT_FILE` counts; nothing that promises "no check" does."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    switches = {
        "PYTHONHTTPSVERIFY": "0",
        "SSL_VERIFY": "false",
        "CURL_CA_BUNDLE": "",
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    }
    named = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")} if knows_the_authority else {}
    tls = serving_with(authority.issue_cert("127.0.0.1"))
    async with asyncio.timeout(30), web_server(says(), tls=tls) as server:
        said = await run(
            sys.executable,
            "-c",
            DIAL_AND_SAY,
            f"wss://127.0.0.1:{server.port}/",
            env=child_environment | switches | named,
            within_s=25,
        )
    assert said.out.startswith("open" if knows_the_authority else "refused: TLS with 127.0.0.1 failed")


# ── proxies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class ConnectProxy:
    """An HTTP proxy that knows CONNECT and wants a name and a password."""

    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://me:canary-word@127.0.0.1:{self.port}"


@asynccontextmanager
async def connect_proxy(password: str = "canary-word") -> AsyncIterator[ConnectProxy]:
    here: set[asyncio.StreamWriter] = set()
    proxy = ConnectProxy()
    wanted = base64.b64encode(f"me:{password}".encode()).decode()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.add(writer)
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.add(writer)
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        proxy.asked.append(request.partition("\r\n")[0])
        if f"Proxy-Authorization: Basic {wanted}" not in request:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, _, port = request.split()[1].rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        proxy.port = listening.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            for writer in here:
                writer.transport.abort()


async def through(url: str, **how: Any) -> list[bytes]:
    """The frames that come through."""
    frames: list[bytes] = []
    transport = await dial(url, {}, Dialling(**how))
    assert (await until_it_ends(transport, frames)).code == 1000
    return frames


async def test_wss_goes_through_a_proxy_that_wants_a_password(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    """B49: `proxy=` with CONNECT; TLS is with the server, so the proxy reads nothing."""
    tls = serving_with(authority.issue_cert("127.0.0.1"))
    async with asyncio.timeout(5), web_server(says(frame(b"hello"), CLOSE), tls=tls) as server:
        async with connect_proxy() as proxy:
            assert await through(f"wss://127.0.0.1:{server.port}/", ssl=trusting, proxy=proxy.url) == [b"hello"]
            assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
    assert "canary" not in server.requests[0]


@pytest.mark.parametrize("no_proxy", [None, "127.0.0.1", "example.com"])
@pytest.mark.parametrize("trust_env", [True, False])
async def test_the_environments_proxy_counts_only_when_asked_and_no_proxy_is_heeded(
    trust_env: bool,
    no_proxy: str | None,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B49: `HTTPS_PROXY` serves `wss://` too."""
    tls = serving_with(authority.issue_cert("127.0.0.1"))
    async with asyncio.timeout(5), web_server(says(frame(b"hello"), CLOSE), tls=tls) as server:
        async with connect_proxy() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            if no_proxy:
                monkeypatch.setenv("NO_PROXY", no_proxy)
            heard = await through(f"wss://127.0.0.1:{server.port}/", ssl=trusting, trust_env=trust_env)
    assert heard == [b"hello"] and bool(proxy.asked) is (trust_env and no_proxy != "127.0.0.1")


async def test_a_proxy_that_refuses_the_password_is_a_fatal_error_without_it(trusting: ssl.SSLContext) -> None:
    """B48, B49: aiohttp's own words would show the URL of the proxy."""
    async with asyncio.timeout(5), connect_proxy(password="another") as proxy:
        with pytest.raises(TransportError, match="407") as failed:
            await dial("wss://127.0.0.1:1/", {}, Dialling(ssl=trusting, proxy=proxy.url))
    assert "canary" not in str(failed.value) and not failed.value.can_reconnect


async def test_a_proxy_that_is_not_there_may_be_tried_again(trusting: ssl.SSLContext) -> None:
    """B41, B49."""
    async with asyncio.timeout(5):
        with pytest.raises(TransportError) as failed:
            await dial("wss://127.0.0.1:1/", {}, Dialling(ssl=trusting, proxy="http://me:canary-word@127.0.0.1:9"))
    assert failed.value.can_reconnect and "canary" not in str(failed.value)


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@needs_ipv6
async def test_ipv6_loopback_works_and_through_a_fault_proxy_too() -> None:
    """B49."""
    async with asyncio.timeout(5), web_server(says(frame(b"six"), CLOSE), host="::1") as server:
        assert await through(f"ws://[::1]:{server.port}/") == [b"six"]
        async with FaultProxy("::1", server.port, host="::1") as proxy:
            assert await through(f"ws://[::1]:{proxy.port}/") == [b"six"]


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the name `both.invalid` an IPv6 and an IPv4 address, in this order."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "both.invalid":
            return resolve(host, port, *args, **kwargs)
        tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [
            (socket.AF_INET6, *tcp, ("::1", port, 0, 0)),
            (socket.AF_INET, *tcp, ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@needs_ipv6
async def test_a_dead_ipv6_address_falls_back_to_ipv4(two_addresses: None) -> None:
    """B49: nobody listens at the first address."""
    async with asyncio.timeout(5), web_server(says(frame(b"four"), CLOSE)) as server:
        assert await through(f"ws://both.invalid:{server.port}/") == [b"four"]


@needs_ipv6
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what a full backlog cannot take")
async def test_a_silent_ipv6_address_falls_back_to_ipv4_before_the_handshake_is_given_up(two_addresses: None) -> None:
    """B49: at the first address every SYN is dropped."""
    async with asyncio.timeout(8), web_server(says(frame(b"four"), CLOSE)) as server:
        with socket.socket(socket.AF_INET6) as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            silent.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            silent.bind(("::1", server.port))
            silent.listen(0)
            waiting = [socket.socket(socket.AF_INET6) for _ in range(4)]
            try:
                for sock in waiting:
                    sock.setblocking(False)
                    sock.connect_ex(("::1", server.port))
                assert await through(f"ws://both.invalid:{server.port}/", connect_timeout_s=3.0) == [b"four"]
            finally:
                for sock in waiting:
                    sock.close()


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [403, 404, 429, 503])
async def test_no_refused_handshake_shows_the_key_even_with_its_locals(status: int) -> None:
    """B48, T9: for every status, not only 401."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    headers = {"Authorization": Secret("Bearer canary-word"), "api-key": Secret("canary-word")}
    shown = ""
    async with asyncio.timeout(5), await asyncio.start_server(refuse, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        try:
            await dial(f"ws://127.0.0.1:{port}/", headers)
        except HandshakeError as error:
            # The frames of this test hold the words themselves.
            inner = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
            shown = "".join(traceback.TracebackException.from_exception(inner, capture_locals=True).format())
    assert f"HTTP {status}" in shown and "canary" not in shown
