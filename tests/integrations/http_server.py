"""The echo server by streamable HTTP on a free port of loopback, which it prints first; for tests."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from echo_server import server


async def serve() -> None:
    """Serve until killed; the socket listens before its port is told."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    app = server.streamable_http_app()
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(serve())
