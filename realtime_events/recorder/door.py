"""The taped door: a transport like the one behind it, whose frames are also taken down.

Owns `Recorder` and the dialling of it. Knows no event and no file. Before it: the network, by the door that it wraps;
after it: the session, and `writer.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..outer_door import OuterDoor
from .tape import TapedEnding
from .writer import TapeWriter

if TYPE_CHECKING:
    from ..connection import Dial
    from ..options import Options
    from ..transport import Ending, OnFrame, Transport


class Recorder(OuterDoor):
    """A door that tapes what passes through another.

    A frame is taken down before it is handed on, and before it is sent: the tape tells what was tried.

    Args:
        transport: The door behind it.
        writer: Where the frames go; each `Recorder` is one epoch of its tape.
    """

    def __init__(self, transport: Transport, writer: TapeWriter) -> None:
        super().__init__(transport)
        self._writer = writer
        self._epoch = writer.begin()
        self._send = writer.taker("out", self._epoch, transport.send)
        self._write = writer.taker("out", self._epoch, transport.write)

    async def run(self, on_frame: OnFrame) -> Ending:
        """Read frames until the connection ends, and say how it ended."""
        ending = await super().run(self._writer.taker("in", self._epoch, on_frame))
        taped_ending = TapedEnding(code=ending.code, reason=ending.reason, initiator=ending.initiator)
        self._writer.end(taped_ending, self._epoch)
        return ending

    async def send(self, data: bytes) -> None:
        """Send one text frame."""
        await self._send(data)

    def write(self, data: bytes) -> None:
        """Send one text frame without waiting."""
        self._write(data)


def recorded(dial: Dial, writer: TapeWriter) -> Dial:
    """Give a way to dial by which every connection is taped: an epoch each, all on one tape."""

    async def dial_recorded(url: str, headers: dict[str, str], options: Options) -> Recorder:
        return Recorder(await dial(url, headers, options), writer)

    return dial_recorded
