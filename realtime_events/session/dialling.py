"""Dialling: how a session gets its door where nobody brings another.

Owns the way from the options to the door's own, and keeps aiohttp away until then. Before it: `Session`; after it:
`transport.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..options import Options

if TYPE_CHECKING:
    from ..transport import Transport


async def dial_websocket(url: str, headers: dict[str, str], options: Options) -> Transport:
    """Open a WebSocket by aiohttp, which is imported only now."""
    from ..transport import Dialling, dial

    how = Dialling(
        ping_interval_s=options.ping_interval_s,
        ping_timeout_s=options.ping_timeout_s,
        max_frame_bytes=options.max_frame_bytes,
        connect_timeout_s=options.connect_timeout_s,
        proxy=options.proxy,
        ssl=options.ssl,
        trust_env=options.trust_env,
    )
    return await dial(url, headers, how)
