"""What is decided before a session begins.

Owns its settings. Knows nothing that uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..protocol import Dialect
from .config import DEFAULT_MODEL, Kind

LIFETIME_S = 3_600.0


@dataclass(frozen=True, kw_only=True)
class SessionSetup:
    """What is decided before a session begins.

    Attributes:
        number: Which session of its server it is; part of every id.
        kind: `realtime`, `transcription` or `translation`.
        model: The model it pretends to be.
        dialect: The spelling that it speaks.
        config: What a client secret or a call asks for, over the defaults, in the configuration struct of its kind.
        unix_s: Its beginning in seconds since 1970, for `expires_at`.
        lifetime_s: After how long it expires.
        is_call: Whether its audio is that of a WebRTC or SIP call, of which a sideband is only told.
    """

    number: int = 1
    kind: Kind = "realtime"
    model: str = DEFAULT_MODEL
    dialect: Dialect = "ga"
    config: Any = None
    unix_s: float = 0.0
    lifetime_s: float = LIFETIME_S
    is_call: bool = False
