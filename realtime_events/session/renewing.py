"""Renewing: what each new connection of a session is made of.

Owns how a State and a connection are made, and how a door is dialled. When that happens is the lifeline's. Before it:
`lifeline.py`; after it: the endpoint, and the door.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..connection import Connection, Dial
from ..dialogue import LiveConversation
from ..dispatcher import Dispatcher
from ..events.session import SessionConfig
from ..lifeline import Lifeline, Means
from ..protocol import dialect
from ..protocol.conversation import Conversation
from ..protocol.core import Core
from .configuring import Configuring

if TYPE_CHECKING:
    from ..transport import Ending, Transport


class Renewing(Configuring):
    """What a session can be given anew while it lives."""

    _dial: Dial
    _speaks: dialect.Dialect

    def _make_line(self, conversation: LiveConversation, on_closed: Callable[[], None]) -> Lifeline:
        means = Means(
            core=self._make_core,
            connection=self._make_connection,
            dial=self._dial_now,
            wanted=self._told_so_far,
            configure=self._configure,
            swapped=self._swapped,
            new_id=self._new_id,
            on_closed=on_closed,
        )
        return Lifeline(
            means,
            conversation=conversation,
            options=self._options,
            dispatcher=self._dispatcher,
            place=self._place,
            is_call=self.call is not None,
            clock=self._clock,
        )

    def _make_core(self, conversation: Conversation | None) -> Core:
        return Core(
            new_id=self._new_id,
            conversation=conversation,
            retain_audio_bytes=self._options.retain_audio,
            splits_items=self._speaks == "beta",
            server_plays=self.call is not None,
            limits=self._options.tool_limits,
        )

    def _make_connection(
        self, core: Core, dispatcher: Dispatcher, on_end: Callable[[Ending, bool], None]
    ) -> Connection:
        return Connection(
            core,
            dispatcher,
            start_call=self._runner.start,
            interrupt_calls=self._runner.interrupt,
            speaks=self._speaks,
            kind=self._options.kind,
            clock=self._clock,
            on_end=on_end,
            sending=self._options.sending,
        )

    def _swapped(self, core: Core, connection: Connection, told: SessionConfig | None) -> None:
        """Go on with the State and the connection of a new incarnation, which was told so much."""
        self._core, self._connection = core, connection
        if told is not None:
            self.tools.were_told(told.tools or [])
        self._speech.attach(core, connection)

    async def _dial_now(self) -> Transport:
        headers = await self._endpoint.handshake_headers()
        return await self._dial(self._url(), headers, self._options)

    def _url(self) -> str:
        call_id = self.call.id if self.call is not None else None
        return self._endpoint.connect_url(model=self._model, kind=self._options.kind, call_id=call_id)

    @property
    def _place(self) -> str:
        """The server's URL without its query."""
        return self._url().partition("?")[0]
