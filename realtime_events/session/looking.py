"""Looking: what a session shows of itself.

Owns the properties that only tell. Before it: the application; after it: State, which knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..audio import AudioLedger
from ..dialogue import LiveConversation
from ..events import server
from ..events.session import SessionConfig
from ..options import Options
from ..protocol.turns import Turn
from ..protocol.usage import SessionUsage
from .base import SessionBase
from .counting import Counters, count

if TYPE_CHECKING:
    from ..prices import Cost


class Looking(SessionBase):
    """What can be seen of a session."""

    def __repr__(self) -> str:
        return f"<Session {self.id or '(connecting)'} {'closed' if self.is_closed else 'open'}>"

    @property
    def id(self) -> str:
        """The server's id of this session: another after each reconnection and rotation; "" before the first."""
        return self._core.session_id

    @property
    def model(self) -> str:
        """The model that the server runs, or the one that was asked for."""
        return self._core.config.model or self._model

    @property
    def config(self) -> SessionConfig:
        """The configuration as the server last confirmed it."""
        return self._core.config

    @property
    def options(self) -> Options:
        """How the session is connected: times, limits and policies, with the changes of `connect()`."""
        return self._options

    @property
    def conversation(self) -> LiveConversation:
        """What was said in the session, in order: live text and transcripts, and what was heard of them."""
        self._core.note_times()
        return cast("LiveConversation", self._core.conversation)

    @property
    def usage(self) -> SessionUsage:
        """What the session has used so far: tokens of all responses by modality and model, and transcription apart."""
        return self._core.usage

    @property
    def cost(self) -> Cost:
        """What `usage` costs by the price table of `Realtime(prices=...)`, and whether the table knows all of it."""
        return self._app.prices.cost(self._core.usage)

    @property
    def rate_limits(self) -> dict[str, server.RateLimit]:
        """The rate limits by name (`requests`, `tokens`); their `reset_seconds` count from now."""
        return {limit.name or "": limit for limit in self._core.rate_limits.at(self._clock())}

    @property
    def audio_ledger(self) -> AudioLedger:
        """What became of the user's audio: queued, open, confirmed, delivered, unknown or lost, to the byte."""
        return self._connection.audio_ledger

    @property
    def counters(self) -> Counters:
        """How often something went otherwise than it should: what was odd, dropped, lost, late or doubled."""
        return count(self._dispatcher, self._runner, self._core.exchange.batches)

    @property
    def turn(self) -> Turn | None:
        """The turn that runs now, if any."""
        return self._core.turn

    @property
    def is_simulated(self) -> bool:
        """Whether the other side is the simulator."""
        return self._endpoint.is_simulated

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended for good; while a lost connection is made again, it has not."""
        return self._line.ended.done()
