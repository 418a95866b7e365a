"""What is wrong with one direction of a network, as plain numbers.

Owns `Toxics`: the faults that a `FaultProxy` can add to a direction, and the order in which they strike. Knows no
socket and no clock. The room before is the test; the one after is `flow.py`, which asks at each step what comes next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from ..exceptions import ConfigurationError

Fate: TypeAlias = Literal["reset", "close", "half_close", "black_hole", "stall"]
FATES: tuple[Fate, ...] = ("reset", "close", "half_close", "black_hole", "stall")

TURNS_PER_SLICE = 4  # to notice, to wake, to read, and one to spare
PIECES_PER_S = 50  # a limited rate is shared out in pieces of 20 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxics:
    """What is wrong with one direction of a network; the default is nothing.

    Positions (`..._after_bytes`) count the bytes that have passed in this direction of each connection: 0 strikes at
    once, also where nothing is being sent, and None never. The earliest strikes first; of several at the same byte,
    the one that stands first here.

    Attributes:
        latency_ms: How long each byte is under way, in milliseconds.
        jitter_ms: Up to how much longer, in milliseconds; the dice of the proxy decide. Bytes never overtake.
        bandwidth_bytes_per_s: How fast bytes come out of the network. 64 KiB wait inside; then the sender waits too.
        drain_bytes_per_s: How fast bytes are taken from the sender, as by a peer that reads slowly.
        slice_bytes: Into pieces of how many bytes everything is cut. A receiver on the same event loop reads each by
            itself; another process may find several at once, where no gap keeps them apart.
        slice_gap_ms: How long it waits after each piece, in milliseconds.
        reset_after_bytes: Both ends get an RST, once the receiver's system has the bytes before it.
        close_after_bytes: Both ends get a FIN; what they still send is thrown away.
        half_close_after_bytes: The receiver gets a FIN; what follows is thrown away, and the other direction goes on.
        black_hole_after_bytes: What follows is taken and thrown away; no FIN or RST passes. Healing leaves a gap.
        stall_after_bytes: Nothing more is taken or passed on, so the sender's TCP window closes. Healing loses nothing.

    Raises:
        ConfigurationError: A number is negative, or a rate or a size of pieces is not above zero.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_bytes_per_s: float | None = None
    drain_bytes_per_s: float | None = None
    slice_bytes: int | None = None
    slice_gap_ms: float = 0.0
    reset_after_bytes: int | None = None
    close_after_bytes: int | None = None
    half_close_after_bytes: int | None = None
    black_hole_after_bytes: int | None = None
    stall_after_bytes: int | None = None

    def __post_init__(self) -> None:
        above_zero = ("bandwidth_bytes_per_s", "drain_bytes_per_s", "slice_bytes")
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (value < 0 or (value == 0 and field.name in above_zero)):
                wanted = "above zero" if field.name in above_zero else "zero or more"
                raise ConfigurationError(f"{field.name} must be {wanted}, not {value}")

    def ahead(self, passed_bytes: int) -> tuple[Fate | None, int | None]:
        """Give what strikes next and after how many more bytes; None and None where nothing does."""
        next_fate: Fate | None = None
        room_bytes: int | None = None
        for fate in FATES:
            at_bytes: int | None = getattr(self, f"{fate}_after_bytes")
            if at_bytes is not None and (room_bytes is None or at_bytes - passed_bytes < room_bytes):
                next_fate, room_bytes = fate, max(0, at_bytes - passed_bytes)
        return next_fate, room_bytes

    def delay_s(self, luck: float) -> float:
        """Give the seconds that bytes are under way; `luck` is from 0 to 1."""
        return (self.latency_ms + self.jitter_ms * luck) / 1000

    def piece_bytes(self, waiting_bytes: int) -> int:
        """Give how many of the waiting bytes are written in one go."""
        smooth = _portion(self.bandwidth_bytes_per_s)
        return min(waiting_bytes, self.slice_bytes or waiting_bytes, smooth or waiting_bytes)

    def pause_after_s(self, piece_bytes: int) -> float:
        """Give the seconds to wait after a piece was written."""
        rate = self.bandwidth_bytes_per_s or math.inf
        return max(piece_bytes / rate, self.slice_gap_ms / 1000)

    def turns_after_piece(self) -> int:
        """Give how many turns of the loop follow a piece, so that a receiver on it reads each slice by itself."""
        return TURNS_PER_SLICE if self.slice_bytes else 1

    def mouthful_bytes(self, most_bytes: int) -> int:
        """Give how many bytes are taken from the sender in one go."""
        return min(most_bytes, _portion(self.drain_bytes_per_s) or most_bytes)

    def digest_s(self, taken_bytes: int) -> float:
        """Give the seconds to wait before more is taken from the sender."""
        return taken_bytes / (self.drain_bytes_per_s or math.inf)


def _portion(rate_bytes_per_s: float | None) -> int | None:
    return None if rate_bytes_per_s is None else max(1, int(rate_bytes_per_s / PIECES_PER_S))
