"""Scenes on a network that the kernel breaks, played by `test_namespaces.py` inside a network namespace of their own.

Run as a program with the name of a scene; prints what came of it as JSON. Inside, loopback is the whole network: what
nftables and `tc` do to it, nobody outside notices.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from realtime_events import ConnectionLostError, TransportError
from realtime_events.transport import Dialling, Ending, WebSocketTransport, dial

FRAMES = [b"%d:" % n + bytes([65 + n % 26]) * 500 for n in range(60)]
CHAIN = "inet broken traffic"


def run(command: str) -> str:
    """Runs a tool of the network, which must succeed."""
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


def set_up() -> None:
    """Brings up loopback as a network of 1,500-byte packets, with an empty filter."""
    run("ip link set lo mtu 1500 up")
    run("nft add table inet broken")
    run("nft add chain inet broken traffic { type filter hook input priority 0 ; }")


def filter_traffic(rule: str) -> None:
    run(f"nft add rule {CHAIN} {rule}")


def heal() -> None:
    run(f"nft flush chain {CHAIN}")


async def echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(max_msg_size=0)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
    return ws


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class Listener:
    """Keeps the frames that come in, until there are enough."""

    def __init__(self, transport: WebSocketTransport) -> None:
        self.frames: list[bytes] = []
        self._changed = asyncio.Event()
        self.reading: asyncio.Task[Ending] = asyncio.create_task(transport.run(self._take))

    def _take(self, data: bytes) -> bool:
        self.frames.append(data)
        self._changed.set()
        return False

    async def until(self, count: int) -> None:
        while len(self.frames) < count:
            self._changed.clear()
            await self._changed.wait()


Scene = Callable[[str], Awaitable[dict[str, Any]]]


async def there_and_back(url: str, break_it: str, then: Callable[[], object] | None = None) -> dict[str, Any]:
    """Sends all frames while the network is broken in a way, and gives what came back and how long it took."""
    loop = asyncio.get_running_loop()
    transport = await dial(url, {}, Dialling(ping_interval_s=0.5))
    listener = Listener(transport)
    begun = loop.time()
    run(break_it)
    for frame in FRAMES:
        await transport.send(frame)
    if then is not None:
        loop.call_later(0.4, then)
    await listener.until(len(FRAMES))
    took_s = loop.time() - begun
    rules = run(f"nft list chain {CHAIN}")
    heal()
    await transport.close()
    await listener.reading
    return {"is_whole": listener.frames == FRAMES, "took_s": took_s, "rules": rules}


async def loss(url: str) -> dict[str, Any]:
    run("ip route replace local 127.0.0.1 dev lo table local rto_min 20ms")
    return await there_and_back(url, f"nft add rule {CHAIN} numgen random mod 100 < 20 counter drop")


async def short_hole(url: str) -> dict[str, Any]:
    return await there_and_back(url, f"nft add rule {CHAIN} counter drop", then=heal)


async def bandwidth(url: str) -> dict[str, Any]:
    return await there_and_back(url, "tc qdisc add dev lo root tbf rate 256kbit burst 5kb limit 400kb")


async def hole(url: str) -> dict[str, Any]:
    """Everything is dropped from now on, while a sender has more to say than the system holds."""
    loop = asyncio.get_running_loop()
    transport = await dial(url, {}, Dialling(ping_interval_s=0.2, ping_timeout_s=0.4))
    listener = Listener(transport)
    filter_traffic("counter drop")
    begun = loop.time()
    sending = asyncio.create_task(transport.send(b"x" * 30_000_000))
    ending = await listener.reading
    took_s = loop.time() - begun
    outcome = await asyncio.gather(sending, return_exceptions=True)
    return {**told(ending), "took_s": took_s, "sender_is_freed": isinstance(outcome[0], ConnectionLostError)}


async def firewall_reset(url: str) -> dict[str, Any]:
    """A firewall answers the next packet with an RST."""
    transport = await dial(url, {}, Dialling(ping_interval_s=0.1))
    listener = Listener(transport)
    filter_traffic("tcp flags & (rst | syn) == 0 reject with tcp reset")
    return told(await listener.reading)


async def silent_syn(url: str) -> dict[str, Any]:
    filter_traffic("tcp flags syn drop")
    return await failure(url)


async def no_route(url: str) -> dict[str, Any]:
    return await failure("ws://192.0.2.1:443/")


async def failure(url: str) -> dict[str, Any]:
    try:
        await dial(url, {}, Dialling(connect_timeout_s=0.5))
    except TransportError as error:
        return {"error": str(error), "can_reconnect": error.can_reconnect}
    return {"error": None}


def told(ending: Ending) -> dict[str, Any]:
    return {"code": ending.code, "reason": ending.reason, "initiator": ending.initiator}


SCENES: dict[str, Scene] = {
    scene.__name__: scene for scene in (loss, short_hole, bandwidth, hole, firewall_reset, silent_syn, no_route)
}


async def play(name: str) -> None:
    async with asyncio.timeout(25), echo_server() as url:
        print(json.dumps(await SCENES[name](url)))


if __name__ == "__main__":
    set_up()
    asyncio.run(play(sys.argv[1]))
