"""Sending: client events on their way out, with and without an answer.

Owns what an application may send and how an answer is waited for, also while the connection is lost. Knows no kind of
event but the one that changes what is wanted of the session. Before it: the other sides of the session, and whoever
sends by hand; after it: the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..events import client
from ..events.base import ClientEvent, MalformedEvent
from ..exceptions import ConfigurationError
from ..protocol import codec, dialect
from ..protocol.resume import merged
from ..streams import within
from .base import SessionBase

REQUEST_TIMEOUT_S = 10.0


class Sending(SessionBase):
    """What goes out as it is."""

    async def send(self, event: ClientEvent | Mapping[str, Any]) -> str:
        """Send a client event and give its `event_id`; a refusal comes as the event `send.rejected`.

        Raises:
            ConfigurationError: A mapping that is no client event, or a beta field in a GA configuration.
            LocalProtocolError: The item that it names was lost with an earlier connection.
            ConnectionLostError: The connection has ended.
        """
        said = _client_event(event)
        connection = await self._line.online() if self._line.is_offline else self._connection
        sent = await connection.send(self._line.renamed(said))
        self._remember(said)
        return str(sent.event_id)

    async def request(
        self, event: ClientEvent | Mapping[str, Any], *, timeout: float | None = REQUEST_TIMEOUT_S
    ) -> Any:
        """Send a client event and give the server's answer: `session.updated` to a `session.update`, and so on.

        While the connection is lost, it waits for the next one.

        Raises:
            ServerError: The server refused it.
            LocalProtocolError: The item that it names was lost with an earlier connection.
            ConfigurationError: A mapping that is no client event, or a beta field in a GA configuration.
            ConnectionLostError: The connection has ended.
            TimeoutError: No answer came in time. To some events none ever comes: use `send` for audio, for instance.
        """
        said = _client_event(event)
        answer = await self._answer_to(said, timeout)
        self._remember(said)
        return answer

    async def _answer_to(self, event: ClientEvent, timeout: float | None) -> Any:
        if not self._line.is_offline:
            return await self._connection.request(self._line.renamed(event), timeout)
        async with within(timeout, f"the connection was lost, and the server did not answer {event.type}"):
            connection = await self._line.online()
            return await connection.request(self._line.renamed(event), None)

    async def send_raw(self, data: bytes) -> None:
        """Send one frame, a JSON object in UTF-8, as it is: for what this package does not know yet.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        connection = await self._line.online() if self._line.is_offline else self._connection
        await connection.write(data)

    def _remember(self, said: ClientEvent) -> None:
        """Keep what the session was told to be, for the one that takes its place."""
        if isinstance(said, client.SessionUpdate):
            self._wanted = merged(self._wanted, said.session)


def _client_event(event: ClientEvent | Mapping[str, Any]) -> ClientEvent:
    if isinstance(event, ClientEvent):
        return event
    if isinstance(event.get("session"), Mapping):
        dialect.session_config(event["session"])
    if isinstance(event.get("response"), Mapping):
        dialect.response_params(event["response"])
    decoded = codec.decode(msgspec.json.encode(event), side="client")
    if isinstance(decoded, ClientEvent):
        return decoded
    why = decoded.reason if isinstance(decoded, MalformedEvent) else f"unknown type {decoded.type!r}"
    raise ConfigurationError(f"this is no client event: {why}")
