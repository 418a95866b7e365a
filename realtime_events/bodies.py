"""Bodies of HTTP messages, read no further than a limit.

Owns the one loop that reads them. Knows nothing of what they say, nor how long they may take. Before it: the streams of
aiohttp; after it: `browsers/`, `webhooks/` and `rest/`, which say in their own words that a body is too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import StreamReader


async def read_body(content: StreamReader, most_bytes: int) -> bytes | None:
    """Read a body; None for a larger one, of which hardly more than that is kept."""
    body = bytearray()
    while len(body) <= most_bytes and (piece := await content.readany()):
        body += piece
    return bytes(body) if len(body) <= most_bytes else None
