"""The local events: what this package itself tells an application.

Owns their shapes. Knows no room that emits them. Every class is published under its tag, beside the wire's events
and in the same order, and reaches handlers in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..exceptions import Initiator
from .base import Event, LocalEvent

if TYPE_CHECKING:
    from ..protocol.turns import Turn
else:
    Turn = Any  # The vocabulary lies below State, which makes turns.


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One function call of the model. `arguments` is the JSON text as the model wrote it.

    `refused` says why a call must not run, although it is answered: the model went beyond a limit.
    """

    call_id: str
    name: str
    arguments: str
    item_id: str = ""
    response_id: str = ""
    refused: str = ""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """One answered tool call of a turn. `output` is the text the model was given."""

    call_id: str
    name: str
    arguments: str
    output: str
    ok: bool = True
    duration_ms: float = 0.0


class ConnectionOpened(LocalEvent, frozen=True, kw_only=True, tag="connection.opened"):
    """The session is connected and configured. `url` carries no query and no key."""

    session_id: str
    url: str
    attempt: int = 1


class ConnectionLost(LocalEvent, frozen=True, kw_only=True, tag="connection.lost"):
    """The connection broke and a reconnect follows; iterators go on."""

    code: int
    reason: str
    initiator: Initiator
    response_cut: bool = False
    attempt: int = 1


class ConnectionRestored(LocalEvent, frozen=True, kw_only=True, tag="connection.restored"):
    """A reconnect gave a working session.

    `replayed` are the new ids of the items that were said again; `dropped` the old ids of finished items that could not
    be, `lost_in_flight` those of items that were not finished. Of a call, whose conversation the server keeps, nothing
    is said again, and `lost_in_flight` are the items of which something may have been said while nobody listened.
    """

    session_id: str
    attempt: int = 1
    replayed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    lost_in_flight: tuple[str, ...] = ()


class ConnectionClosed(LocalEvent, frozen=True, kw_only=True, tag="connection.closed"):
    """The connection ended for good; iterators and waits end.

    `code` is the close code (RFC 6455 section 7.4; 1006 where no CLOSE frame came), `response_cut` whether a response
    was running.
    """

    code: int
    reason: str
    initiator: Initiator
    response_cut: bool = False


class ConnectionStalled(LocalEvent, frozen=True, kw_only=True, tag="connection.stalled"):
    """The server has sent no event for `silent_s` seconds, although `waiting_for` wants an answer."""

    silent_s: float
    waiting_for: str


class SessionExpiring(LocalEvent, frozen=True, kw_only=True, tag="session.expiring"):
    """The server will end the session in about `left_s` seconds, and rotating is off."""

    session_id: str
    left_s: float


class SessionEnding(LocalEvent, frozen=True, kw_only=True, tag="session.ending"):
    """The session is closed for `reason`, as when a budget is used up; the turn that runs has `grace_s` seconds."""

    reason: str
    grace_s: float


class SessionRotated(LocalEvent, frozen=True, kw_only=True, tag="session.rotated"):
    """The session goes on in a fresh server-side session, before the server's limit.

    `replayed` are the new ids of the items that were said again; `dropped` the old ids of finished items that could not
    be, `lost_in_flight` those of items that were not finished: only a rotation that found no idle moment has any.
    """

    old_session_id: str
    session_id: str
    replayed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    lost_in_flight: tuple[str, ...] = ()


class TurnStarted(LocalEvent, frozen=True, kw_only=True, tag="turn.started"):
    """A user input began a turn."""

    turn: Turn


class TurnDone(LocalEvent, frozen=True, kw_only=True, tag="turn.done"):
    """A turn ended: its `Turn` has the text, responses, tool calls, usage and timeline in milliseconds."""

    turn: Turn


class AudioFlush(LocalEvent, frozen=True, kw_only=True, tag="audio.flush"):
    """The assistant was interrupted: players empty their buffers. Comes before anything else of an interruption."""

    item_id: str = ""
    response_id: str = ""


class AudioGap(LocalEvent, frozen=True, kw_only=True, tag="audio.gap"):
    """Audio that was accepted and that the conversation will not contain, or perhaps not.

    `start_ms` counts all audio that was accepted in the session; `reason` says why. `unknown` says that it was written
    and may have arrived or not, `delivered` that it reached the peer's machine before the connection was lost, though
    no event of the server covers it.
    """

    start_ms: float
    length_ms: float
    bytes: int
    reason: str
    unknown: bool = False
    delivered: bool = False


class AudioLagging(LocalEvent, frozen=True, kw_only=True, tag="audio.lagging"):
    """The network is slower than the user's audio: the oldest of it has waited for `age_s` seconds.

    `waiting_ms` is how much waits. Told once, until nothing waits any more; what is dropped for it is an `audio.gap`.
    """

    age_s: float
    waiting_ms: float


class SpeechInterrupted(LocalEvent, frozen=True, kw_only=True, tag="speech.interrupted"):
    """The assistant's speech was cut at `audio_end_ms` of item `item_id`; `heard` are the words played until then."""

    item_id: str
    audio_end_ms: int
    heard: str = ""


class ToolStarted(LocalEvent, frozen=True, kw_only=True, tag="tool.started"):
    """A tool begins to run."""

    call: ToolCall


class ToolProgress(LocalEvent, frozen=True, kw_only=True, tag="tool.progress"):
    """A running tool tells how far it is."""

    call: ToolCall
    progress: Any


class ToolDone(LocalEvent, frozen=True, kw_only=True, tag="tool.done"):
    """A tool gave its output, the text the model gets."""

    call: ToolCall
    output: str
    duration_ms: float


class ToolFailed(LocalEvent, frozen=True, kw_only=True, tag="tool.failed"):
    """A tool call failed. `output` is the text the model gets instead of a result."""

    call: ToolCall
    error: BaseException
    output: str
    duration_ms: float


class ToolApprovalRequested(LocalEvent, frozen=True, kw_only=True, tag="tool.approval_requested"):
    """A call waits for `session.approve(call_id)` or `session.deny(call_id, reason)`, for `expires_s` seconds.

    `kind` is what the tool says of itself: `read`, `write` or `destructive`; `mcp` for the tool of a hosted MCP server,
    whose approval does not expire here (`expires_s` is 0) and whose `call_id` is the id of the request.
    """

    call: ToolCall
    kind: str = "read"
    expires_s: float = 0.0


class ToolOrphaned(LocalEvent, frozen=True, kw_only=True, tag="tool.orphaned"):
    """A call cannot be answered where it was made: that conversation has ended.

    Its tool works on. Where the session goes on in a fresh one, the call is said again there, and its output follows.
    `unknown` says that its output was written before, and that the connection was lost before the server confirmed it;
    then both are a part of the conversation that goes on.
    """

    call: ToolCall
    unknown: bool = False


class ToolLoopStopped(LocalEvent, frozen=True, kw_only=True, tag="tool.loop_stopped"):
    """The model called tools in `rounds` responses of one turn: one last answer, without tools, was asked for."""

    turn: Any
    rounds: int


class HandlerFailed(LocalEvent, frozen=True, kw_only=True, tag="handler.failed"):
    """A handler raised. `handler` is its name, `where` its file and line."""

    handler: str
    where: str
    event: Any
    error: BaseException


class HandlerSlow(LocalEvent, frozen=True, kw_only=True, tag="handler.slow"):
    """A sync handler kept the event loop for longer than 20 ms."""

    handler: str
    where: str
    event: Any
    duration_ms: float


class HandlerLagging(LocalEvent, frozen=True, kw_only=True, tag="handler.lagging"):
    """A handler's lane is at least 80 % full. `dropped` counts the deltas it has lost so far."""

    handler: str
    where: str
    pending: int
    max_pending: int
    dropped: int = 0


class LoopBlocked(LocalEvent, frozen=True, kw_only=True, tag="loop.blocked"):
    """Something kept the event loop for at least `blocked_ms`: nothing was read, sent or answered meanwhile.

    Published when the loop is free again. `stack` says where it was found, the innermost function first, each as
    `file:line function`.
    """

    blocked_ms: float
    stack: tuple[str, ...] = ()


class SendRejected(LocalEvent, frozen=True, kw_only=True, tag="send.rejected"):
    """The server refused a client event that nobody awaited."""

    event_id: str
    sent_event: Any
    error: Any


class RecordingStopped(LocalEvent, frozen=True, kw_only=True, tag="recording.stopped"):
    """The recording to `path` ended before the session did: the disk is full, or the tape has reached its size."""

    path: str
    reason: str


class FrameReceived(LocalEvent, frozen=True, kw_only=True, tag="frame.received"):
    """A frame as it came, beside the event it decodes to.

    Published only where a handler, stream or wait names it (no glob matches it), so that a relay can pass on what the
    structs do not know.
    """

    data: bytes
    event: Event


LOCAL_EVENTS: tuple[type[LocalEvent], ...] = (
    ConnectionOpened,
    ConnectionLost,
    ConnectionRestored,
    ConnectionClosed,
    ConnectionStalled,
    SessionEnding,
    SessionExpiring,
    SessionRotated,
    TurnStarted,
    TurnDone,
    AudioFlush,
    AudioGap,
    AudioLagging,
    SpeechInterrupted,
    ToolStarted,
    ToolProgress,
    ToolDone,
    ToolFailed,
    ToolApprovalRequested,
    ToolOrphaned,
    ToolLoopStopped,
    HandlerFailed,
    HandlerSlow,
    HandlerLagging,
    LoopBlocked,
    SendRejected,
    RecordingStopped,
    FrameReceived,
)
