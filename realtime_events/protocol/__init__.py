"""The sans-I/O core: bytes to events, events to what must be said next.

Owns the codec, the dialect and State, none of which knows a loop, a socket, a clock, randomness or a log. Before it:
the door; after it: the emitter.
"""

from __future__ import annotations

from .codec import DECODE_ERRORS, Kind, Side, decode, decoder, encode, recover
from .dialect import (
    Dialect,
    canonical,
    check_config,
    matching,
    nearest,
    response_params,
    session_config,
    spellings,
    to_beta,
    to_ga,
)

__all__ = [
    "DECODE_ERRORS",
    "Dialect",
    "Kind",
    "Side",
    "canonical",
    "check_config",
    "decode",
    "decoder",
    "encode",
    "matching",
    "nearest",
    "recover",
    "response_params",
    "session_config",
    "spellings",
    "to_beta",
    "to_ga",
]
