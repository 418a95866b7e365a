"""Options: how a session is connected and kept, apart from what it is told.

Owns the settings of a connection with their defaults, and nothing else. Before it: the application; after it: the
session, which hands each room its part.
"""

from __future__ import annotations

import ssl as ssl_module
from dataclasses import dataclass, field
from typing import Literal

from .exceptions import ConfigurationError
from .outbox import Sending
from .protocol.batches import ToolLimits
from .protocol.dialect import Dialect
from .reconnect import Reconnect
from .secrecy import SecretUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to connect. Times are in seconds, sizes in bytes.

    Attributes:
        dialect: The spelling of the protocol; None takes the endpoint's.
        kind: A realtime, transcription or translation session.
        connect_timeout_s: How long the handshake may take, and then the session's own set-up.
        reconnect: Whether, or how, a connection that was lost is made again, with its conversation.
        connect_retry_s: How long the first connection is tried again after passing failures; 0 tries once.
        rotate: Whether the session goes on in a fresh one before the server's limit; a number says after how many
            seconds.
        stall_s: After how long without an event, although an answer is due, `connection.stalled` is published.
        on_stall: What is done then besides: nothing, the response is cancelled, or the connection is made again.
        idle_timeout_s: After how long without anything sent or received the session is closed; None never closes it.
        max_duration_s: After how long the session is closed in any case; None never closes it.
        max_tokens: After how many tokens of responses, over all its connections, it is closed; None never closes it.
        farewell: What the model is asked to say before one of these three ends the session, as instructions; "" asks
            for nothing.
        drain_s: How long the turn that runs may go on when the process is told to end, or the session is to be closed.
        watch_loop: Whether whatever keeps the event loop for longer than 200 ms is named (`loop.blocked`).
        ping_interval_s: After how much silence a PING is sent; None sends none.
        ping_timeout_s: How long the peer may then stay silent before the connection counts as dead.
        max_frame_bytes: The largest frame that is taken; a larger one ends the connection with code 1009.
        proxy: The URL of an HTTP proxy; a password in it is not shown.
        ssl: A TLS context, for a private certificate authority; one that does not verify the server is refused.
        trust_env: Whether `HTTPS_PROXY`, `NO_PROXY` and `.netrc` count.
        retain_audio: How many bytes of each turn's audio are kept in `turn.audio`; 0 keeps none.
        gate: Whether the user is heard while the assistant is: `open`, or `half_duplex` against echo.
        sending: How the user's audio waits while the network is slower than it comes.
        on_full: What a full lane does: drop its oldest deltas, or close the session.
        tool_limits: How far the model may go with its tools before it is stopped.
    """

    dialect: Dialect | None = None
    kind: Literal["realtime", "transcription", "translation"] = "realtime"
    connect_timeout_s: float = 10.0
    reconnect: Reconnect | bool = True
    connect_retry_s: float = 10.0
    rotate: bool | float = True
    stall_s: float = 30.0
    on_stall: Literal["tell", "cancel", "reconnect"] = "tell"
    idle_timeout_s: float | None = None
    max_duration_s: float | None = None
    max_tokens: int | None = None
    farewell: str = ""
    drain_s: float = 10.0
    watch_loop: bool = True
    ping_interval_s: float | None = 10.0
    ping_timeout_s: float = 20.0
    max_frame_bytes: int = 64 * 1024 * 1024
    proxy: str | None = None
    ssl: ssl_module.SSLContext | None = None
    trust_env: bool = False
    retain_audio: int = 0
    gate: Literal["open", "half_duplex"] = "open"
    sending: Sending = field(default_factory=Sending)
    on_full: Literal["drop_deltas", "close"] = "drop_deltas"
    tool_limits: ToolLimits = field(default_factory=ToolLimits)

    def __post_init__(self) -> None:
        if self.ssl is not None and (why := _does_not_verify(self.ssl)):
            raise ConfigurationError(
                f"ssl={why}: the key would go to whoever answers; for a private authority, give"
                " ssl.create_default_context() after its load_verify_locations(...)"
            )
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens={self.max_tokens} leaves no token for an answer")
        if self.proxy is not None:
            object.__setattr__(self, "proxy", SecretUrl(self.proxy))


def _does_not_verify(context: object) -> str:
    """Say in what a TLS context falls short; "" for one that verifies whom it talks to."""
    if not isinstance(context, ssl_module.SSLContext):
        return f"{type(context).__name__} is no ssl.SSLContext"
    if context.verify_mode is not ssl_module.CERT_REQUIRED:
        return "a context that checks no certificate"
    return "" if context.check_hostname else "a context that does not check the host's name"
