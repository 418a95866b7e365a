"""Everything one simulated server knows: its settings, its sessions, its keys.

Owns the making of sessions. Knows no socket. Before it: `app.py` and `rest.py`, which answer requests; after it:
`session.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..protocol import Dialect
from .client_secrets import Keys
from .config import DEFAULT_MODEL, Kind
from .faults import Dice, Fault, Faults, HandshakeDice
from .ids import Ids
from .session import SimulatedSession
from .setup import LIFETIME_S, SessionSetup
from .stage import Organs
from .translating import SimulatedTranslation

MOST_CLOSED_SESSIONS = 200


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server was started with."""

    organs: Organs
    dialect: Dialect = "ga"
    api_key: str | None = field(default=None, repr=False)
    session_lifetime_s: float = LIFETIME_S
    faults: Faults = field(default_factory=Faults)
    clock: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time


class Registry:
    """The sessions of a server, the newest last; of the closed ones only the newest are kept."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = Keys(settings.api_key, settings.unix)
        self.new_id = Ids(0)
        self.sessions: list[SimulatedSession | SimulatedTranslation] = []
        self.faults = settings.faults
        self._handshakes = HandshakeDice(settings.faults)
        self._live: list[Dice] = []
        self._connections = 0
        self._count = 0

    def set_faults(self, faults: Faults) -> None:
        """Replace the faults of all connections, those that live included."""
        self.faults = faults
        self._handshakes = HandshakeDice(faults)
        for dice in self._live:
            dice.replace(faults)

    def handshake_faults(self) -> list[Fault]:
        """Give the faults that hit the next connection before it is a session."""
        return self._handshakes.throw()

    @contextmanager
    def dice(self, own: Faults | None) -> Generator[Dice]:
        """Throw dice for one connection while the block lasts; `own` are faults that it asked for itself."""
        self._connections += 1
        dice = Dice(own or self.faults, self._connections)
        if own is None:
            self._live.append(dice)
        try:
            yield dice
        finally:
            if own is None:
                self._live.remove(dice)

    def open_session(
        self,
        *,
        kind: Kind = "realtime",
        model: str = DEFAULT_MODEL,
        config: Any = None,
        lifetime_s: float | None = None,
    ) -> SimulatedSession | SimulatedTranslation:
        """Make a session that begins now."""
        self._count += 1
        self._forget_closed()
        setup = SessionSetup(
            number=self._count,
            kind=kind,
            model=model,
            dialect=self.settings.dialect,
            config=config,
            unix_s=self.settings.unix(),
            lifetime_s=self.settings.session_lifetime_s if lifetime_s is None else lifetime_s,
        )
        cls = SimulatedTranslation if kind == "translation" else SimulatedSession
        session = cls(self.settings.organs, setup, now=self.settings.clock())
        self.sessions.append(session)
        return session

    def _forget_closed(self) -> None:
        closed = [session for session in self.sessions if session.is_over]
        for session in closed[:-MOST_CLOSED_SESSIONS]:
            self.sessions.remove(session)
