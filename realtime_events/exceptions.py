"""The error tree: every error this package raises on purpose.

Owns what went wrong, as typed fields; each class builds its own sentence from them.
Knows nothing else of the package but how a secret is hidden, so that every room may raise from here.

    RealtimeError                     every error of ours
    ├─ ConfigurationError             a missing key, a beta field in a GA config, a bad handler signature
    ├─ TransportError                 can_reconnect says whether trying again can help
    │  ├─ HandshakeError              status, headers, body
    │  │  └─ AuthenticationError      401 or 403
    │  ├─ ConnectionLostError         code, reason, initiator
    │  ├─ SessionExpired              session_id, lived_s
    │  └─ FrameTooLarge               size_bytes (where known), limit_bytes
    ├─ ProtocolError
    │  ├─ LocalProtocolError          you asked for what the state forbids
    │  └─ RemoteProtocolError         the server did
    ├─ ServerError                    the API's `error` event
    ├─ ResponseFailed                 a response that ended as failed
    ├─ ToolError                      its text may be read by the model
    │  ├─ ToolNotFound
    │  ├─ ToolArgumentsError
    │  └─ ToolTimeout
    ├─ AudioFormatError (ValueError)  expected and got; a rate is never guessed
    ├─ RestError                      status, code, request_id, retry_after_s, retryable
    ├─ WebhookVerificationError      status: what to answer the sender with
    └─ MissingExtra (ImportError)     which extra to install

Waits of ours raise the builtin `TimeoutError`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from .secrecy import hide, hide_keys

Initiator = Literal["client", "server", "network"]


class RealtimeError(Exception):
    """The base of every error this package raises on purpose."""


class ConfigurationError(RealtimeError):
    """Something was set up wrongly; the sentence says what to change."""


class TransportError(RealtimeError):
    """The connection failed or could not be made.

    `can_reconnect` is true where trying again can help.
    """

    can_reconnect: bool = True


class HandshakeError(TransportError):
    """The server answered the WebSocket handshake with something else than 101.

    Fields: `status` (HTTP status), `headers`, `body` (its first 2,048 characters), `url` (without its query).
    """

    def __init__(self, status: int, *, url: str = "", headers: Mapping[str, str] | None = None, body: str = "") -> None:
        self.status = status
        self.url = url
        self.headers = dict(headers or {})
        self.body = body
        self.can_reconnect = status in (408, 425, 429) or status >= 500
        super().__init__(status)

    def hide(self, secrets: Collection[str]) -> None:
        """Take out of what the server said the secrets it was sent, and what looks like one."""
        self.body = hide(self.body, secrets)
        self.headers = {name: hide(value, secrets) for name, value in self.headers.items()}

    def __str__(self) -> str:
        said = one_line(self.body, limit=200)
        return f"{self.url or 'the server'} answered the WebSocket handshake with HTTP {self.status}" + (
            f": {said}" if said else ""
        )


class AuthenticationError(HandshakeError):
    """The server refused the key (HTTP 401 or 403)."""

    def __str__(self) -> str:
        return super().__str__() + " (look at OPENAI_API_KEY, or at the api_key of the endpoint)"


class ConnectionLostError(TransportError):
    """The connection ended while something was waiting for it.

    Fields: `code` (the close code, RFC 6455 section 7.4; 1006 where no CLOSE frame came), `reason`, `initiator`.
    """

    def __init__(self, code: int = 1006, reason: str = "", *, initiator: Initiator = "network") -> None:
        self.code = code
        self.reason = hide_keys(reason)
        self.initiator: Initiator = initiator
        super().__init__(code, self.reason)

    def __str__(self) -> str:
        why = f": {one_line(self.reason, limit=200)}" if self.reason else ""
        return f"the connection was closed by the {self.initiator} with code {self.code}{why}"


class SessionExpired(TransportError):
    """The session reached the server's limit. Fields: `session_id`, `lived_s`."""

    def __init__(self, session_id: str, lived_s: float) -> None:
        self.session_id = session_id
        self.lived_s = lived_s
        super().__init__(session_id, lived_s)

    def __str__(self) -> str:
        return f"session {one_line(self.session_id, limit=80)} expired after {self.lived_s:.0f} s"


class FrameTooLarge(TransportError):
    """A frame was over the limit. Fields: `size_bytes` (None where the size is not told), `limit_bytes`."""

    can_reconnect = False

    def __init__(self, size_bytes: int | None, limit_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(size_bytes, limit_bytes)

    def __str__(self) -> str:
        size = "a frame" if self.size_bytes is None else f"a frame of {self.size_bytes:,} bytes"
        return f"{size} is over the limit of {self.limit_bytes:,} bytes (max_frame_bytes)"


class ProtocolError(RealtimeError):
    """One side broke the protocol."""


class LocalProtocolError(ProtocolError):
    """You asked for something that the state of the session forbids; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The server did something that the protocol forbids."""


class ServerError(RealtimeError):
    """The API's `error` event, raised where a call was waiting for an answer.

    Fields: `type`, `code`, `param`, `message`, `event_id` (of the client event at fault), `sent_event` (that event).
    """

    def __init__(
        self,
        message: str,
        *,
        type: str = "",
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
        sent_event: object | None = None,
    ) -> None:
        self.message = hide_keys(message)
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id
        self.sent_event = sent_event
        super().__init__(self.message)

    def __str__(self) -> str:
        kind = one_line(" ".join(filter(None, (self.type, self.code))), limit=160)
        where = f" (param {one_line(self.param, limit=80)})" if self.param else ""
        return f"{kind or 'error'}: {one_line(self.message, limit=500)}{where}"


class ResponseFailed(RealtimeError):
    """A response ended with status `failed`. Fields: `response`, `type`, `code`, `message`, `retry_after_s`.

    `retry_after_s` is how long to wait before asking again, where the response failed for a rate limit; else None.
    """

    def __init__(
        self,
        response: Any,
        *,
        type: str | None = None,
        code: str | None = None,
        message: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.response = response
        self.type = type
        self.code = code
        self.message = hide_keys(message)
        self.retry_after_s = retry_after_s
        super().__init__(self.message)

    def __str__(self) -> str:
        kind = one_line(" ".join(filter(None, (self.type, self.code))), limit=160)
        return f"the response failed: {kind}{': ' if kind and self.message else ''}{one_line(self.message, limit=500)}"


class ToolError(RealtimeError):
    """Raise it in a tool: its text is what the model reads as the tool's output."""


class ToolNotFound(ToolError):
    """The model called a tool that is not offered. Fields: `name`, `available`."""

    def __init__(self, name: str, available: Sequence[str] = ()) -> None:
        self.name = name
        self.available = tuple(available)
        super().__init__(name)

    def __str__(self) -> str:
        return f"there is no tool {one_line(self.name, limit=80)!r}; available: {', '.join(self.available) or 'none'}"


class ToolArgumentsError(ToolError):
    """The arguments of a tool call do not fit its schema. Fields: `name`, `problem`."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(name, problem)

    def __str__(self) -> str:
        return f"the arguments of {one_line(self.name, limit=80)!r} do not fit: {self.problem}"


class ToolTimeout(ToolError):
    """A tool took longer than it may. Fields: `name`, `timeout_s`."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self.name = name
        self.timeout_s = timeout_s
        super().__init__(name, timeout_s)

    def __str__(self) -> str:
        return f"{self.name!r} gave no result within {self.timeout_s:g} s"


class AudioFormatError(RealtimeError, ValueError):
    """Audio of the wrong format, rate or length. Fields: `expected`, `got`."""

    def __init__(self, expected: str, got: str) -> None:
        self.expected = expected
        self.got = got
        super().__init__(expected, got)

    def __str__(self) -> str:
        return f"expected {self.expected}, got {one_line(self.got, limit=200)}"


class RestError(RealtimeError):
    """An HTTP call of the API failed.

    Fields: `status` (None where no whole answer came), `code`, `message`, `request_id` (to tell the vendor),
    `retry_after_s`, and `retryable`: whether the same call may succeed later and cannot do its work twice.
    """

    def __init__(
        self,
        status: int | None,
        message: str = "",
        *,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        retryable: bool = False,
    ) -> None:
        self.status = status
        self.message = message
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.retryable = retryable
        super().__init__(status, message)

    def __str__(self) -> str:
        status = f"HTTP {self.status}" if self.status else ""
        kind = " ".join(filter(None, (status, one_line(self.code or "", limit=80))))
        where = f" (request {one_line(self.request_id, limit=80)})" if self.request_id else ""
        return f"{kind}{': ' if kind else ''}{one_line(self.message, limit=500)}{where}"


class WebhookVerificationError(RealtimeError):
    """A webhook's signature, timestamp, id or body was refused.

    Fields: `reason`, and `status`, the HTTP status to answer with: 400 where it is malformed or out of time, 401 where
    the signature is wrong, 409 where the delivery was taken before, 413 where the body is too large, 408 where it does
    not come.
    """

    def __init__(self, reason: str, *, status: int = 400) -> None:
        self.reason = reason
        self.status = status
        super().__init__(reason)


class MissingExtra(RealtimeError, ImportError):
    """An optional package is missing. Fields: `extra`, `package`."""

    def __init__(self, extra: str, package: str) -> None:
        self.extra = extra
        self.package = package
        super().__init__(extra, package)

    def __str__(self) -> str:
        return f'{self.package} is not installed; run: pip install "realtime-events[{self.extra}]"'


def one_line(text: str, *, limit: int) -> str:
    """Give a text that somebody else wrote as one printable line of at most `limit` characters.

    Control characters, newlines and bidirectional marks become escapes, so that no server and no caller can forge
    a log line or hide part of one. What looks like a key is hidden.
    """
    # Far more than is shown need not be looked at: a server's text may be as long as a frame.
    joined = hide_keys(" ".join(text[: 16 * limit].split()))
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
