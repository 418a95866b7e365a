"""Everything one simulated server knows: its settings, its sessions, its keys.

Owns the making of sessions. Knows no socket. Before it: `app.py` and `rest.py`, which answer requests; after it:
`session.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..events.session import SessionConfig
from ..protocol import Dialect
from .calls import MOST_CALLS, Call, SipHeader
from .client_secrets import Keys
from .config import DEFAULT_MODEL, Kind
from .errors import Refusal
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
        self.calls: dict[str, Call] = {}
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
        is_call: bool = False,
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
            is_call=is_call,
        )
        cls = SimulatedTranslation if kind == "translation" else SimulatedSession
        session = cls(self.settings.organs, setup, now=self.settings.clock())
        self.sessions.append(session)
        return session

    def new_call(self, *, sip_headers: Sequence[SipHeader] = ()) -> Call:
        """Make a call that rings."""
        over = [call_id for call_id, call in self.calls.items() if call.is_over]
        for call_id in over[: max(len(self.calls) - MOST_CALLS, 0)]:
            del self.calls[call_id]
        call = Call(self.new_id("rtc"), clock=self.settings.clock, sip_headers=sip_headers)
        self.calls[call.id] = call
        return call

    def answer_call(self, call: Call, config: SessionConfig) -> None:
        """Let a session with this configuration take a call.

        Raises:
            Refusal: It does not ring.
        """
        call.check_ringing()
        session = self.open_session(model=config.model or DEFAULT_MODEL, config=config, is_call=True)
        if isinstance(session, SimulatedSession):
            call.answer(session)

    def find_call(self, call_id: str) -> Call:
        """Give a call.

        Raises:
            Refusal: (404) There is none of this id.
        """
        call = self.calls.get(call_id)
        if call is None:
            raise Refusal(f"No call found with id '{call_id}'.", code="call_id_not_found", param="call_id", status=404)
        return call

    def _forget_closed(self) -> None:
        closed = [session for session in self.sessions if session.is_over]
        for session in closed[:-MOST_CLOSED_SESSIONS]:
            self.sessions.remove(session)
