"""Configuring: what a session is told to be, its tools included.

Owns what the application wants of the session, and when the server is told. Before it: the application, and the
lifeline, whose fresh sessions know nothing; after it: `session.update` on its way out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..connection import Connection
from ..events import client, server
from ..events.session import AudioConfig, AudioOutput, SessionConfig, Tool
from ..protocol import dialect
from .sending import REQUEST_TIMEOUT_S, Sending


class Configuring(Sending):
    """What the server is told of a session."""

    _is_told = False

    async def update(self, *, timeout: float | None = REQUEST_TIMEOUT_S, **changes: Any) -> SessionConfig:
        """Change the session, as by `update(instructions="Be brief.")`, and give what the server confirmed.

        Args:
            timeout: Seconds to wait for `session.updated`.
            changes: Fields of the session by their GA names, and `voice`; None and empty values clear.

        Raises:
            ConfigurationError: A field is unknown, or belongs to the beta dialect (its GA name is given).
            ServerError: The server refused the change.
            TimeoutError: The server did not confirm it in time.
        """
        voice = changes.pop("voice", None)
        return await self._update(with_voice(dialect.session_config(changes), voice), timeout)

    def tell(self) -> SessionConfig:
        """Give what the server is to be told when the session begins, tools included; it counts as told then.

        Whoever accepts a call says it by REST, before the session is opened.
        """
        self._is_told = True
        wanted = self._wanted
        if self._options.kind == "realtime" and (tools := self.tools.changed()) is not None:
            wanted = msgspec.structs.replace(wanted, tools=tools)
        return wanted

    def _told_so_far(self) -> SessionConfig:
        """Give all that a fresh server-side session has to be told; nothing counts as told before it goes on."""
        tools = self.tools.wire() if self._options.kind == "realtime" else []
        return msgspec.structs.replace(self._wanted, tools=tools) if tools else self._wanted

    async def _configure(self, connection: Connection, wanted: SessionConfig) -> None:
        if says_something(wanted):
            event = client.SessionUpdate(session=self._typed(wanted))
            await connection.request(event, self._options.connect_timeout_s)

    async def _update(self, config: SessionConfig, timeout: float | None) -> SessionConfig:
        updated: server.SessionUpdated = await self.request(
            client.SessionUpdate(session=self._typed(config)), timeout=timeout
        )
        return updated.session

    def _typed(self, config: SessionConfig) -> SessionConfig:
        return config if config.type else msgspec.structs.replace(config, type=_session_type(self._options.kind))

    async def _offer(self, tools: list[Tool]) -> None:
        await self._update(SessionConfig(tools=tools), REQUEST_TIMEOUT_S)

    def _refresh_tools(self) -> None:
        """Tell the server of tools that have come or gone by their condition, before whatever is sent next."""
        if self._options.kind == "realtime" and (tools := self.tools.changed()) is not None:
            config = SessionConfig(type="realtime", tools=tools)
            self._core.effects.send.append(client.SessionUpdate(event_id=self._new_id("event"), session=config))


def with_voice(config: SessionConfig, voice: str | None) -> SessionConfig:
    """Put the setting that has a keyword of its own where the API has it."""
    if voice is None:
        return config
    audio = config.audio or AudioConfig()
    output = msgspec.structs.replace(audio.output or AudioOutput(), voice=voice)
    return msgspec.structs.replace(config, audio=msgspec.structs.replace(audio, output=output))


def says_something(config: SessionConfig) -> bool:
    """Say whether a configuration has a field that is set."""
    return any(value is not msgspec.UNSET for value in msgspec.structs.asdict(config).values())


def _session_type(kind: str) -> str:
    return "transcription" if kind == "transcription" else "realtime"
