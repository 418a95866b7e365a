"""The outer door: a door in front of another, which passes on everything.

Owns the passing on; who stands between a session and its connection builds on it and says only what it does otherwise.
Knows no event and no socket. Before it: the door that it stands before; after it: the session, which notices no
difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transport import Ending, OnFrame, Transport


class OuterDoor:
    """A door like the one behind it.

    Args:
        transport: The door behind it.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def run(self, on_frame: OnFrame) -> Ending:
        """Read frames until the connection ends, and say how it ended."""
        return await self._transport.run(on_frame)

    async def send(self, data: bytes) -> None:
        """Send one text frame."""
        await self._transport.send(data)

    def write(self, data: bytes) -> None:
        """Send one text frame without waiting."""
        self._transport.write(data)

    @property
    def unsent_bytes(self) -> int:
        """How much was written and has not left this process."""
        return self._transport.unsent_bytes

    @property
    def has_room(self) -> bool:
        """Whether so little is unsent that a frame written now leaves soon."""
        return self._transport.has_room

    async def drain(self) -> None:
        """Wait until there is room."""
        await self._transport.drain()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close within a second, whatever the peer does."""
        await self._transport.close(code, reason)

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()
