"""The give and take of frames that every kind of session has.

Owns decoding, refusing, logging, the outbox and the end. Knows no event but `error`. Before it: `connection.py` or a
test; after it: the handlers of `session.py` and `translating.py`.

    exchange.receive(frame, now)      # a frame of the client; never raises
    for frame in exchange.poll(now):  # everything due by now
        ...
    exchange.next_due()               # when to poll again; None: after the next `receive`
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from ..events.base import Event, MalformedEvent, ServerEvent, UnknownEvent
from ..events.client import InputAudioBufferAppend
from ..events.server import ErrorDetails, ErrorEvent
from ..events.translation import SessionInputAudioBufferAppend
from ..logs import logger
from ..protocol import Dialect, decode, encode, to_beta, to_ga
from .config import Kind
from .errors import SERVER_FAILED, Refusal, beta_param, check_known, from_validation, invalid_value
from .ids import Ids
from .log import EventLog
from .timeline import Timeline

log = logger("simulator")

FRAMES_PER_POLL = 256
FRAMES_SHOWN = 20
LINE_LIMIT = 200
GOING_AWAY = 1001

Handlers: TypeAlias = Mapping[type[Event], Callable[[Any, float], None]]
"""What each client event does; it is given the event and the time."""
Job: TypeAlias = Callable[[], Any]
"""Work of an organ; what it raises counts as its result."""
Then: TypeAlias = Callable[[Any, float], None]
Runner: TypeAlias = Callable[[Job, Then], None]
"""Runs a job elsewhere and later calls `then` with its result and the time, on the thread of the session."""


class Outlet:
    """Where the parts of a session put what they say: fresh events now, actions for later.

    `runner` is where slow organs work; without one they work at once.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.ids = Ids(number)
        self.timeline = Timeline()
        self.outbox: deque[ServerEvent] = deque()
        self.runner: Runner | None = None

    def work(self, organ: object, job: Job, then: Then, now: float) -> None:
        """Let an organ do a job, and go on with its result: at once, or later if the organ works elsewhere."""
        if self.runner is not None and self.works_elsewhere(organ):
            self.runner(lambda: _result_of(job), then)
        else:
            then(_result_of(job), now)

    def works_elsewhere(self, organ: object) -> bool:
        """Tell whether an organ is slow and there is a place for slow ones."""
        return self.runner is not None and getattr(organ, "is_slow", False)

    def send(self, event: ServerEvent) -> None:
        """Put a fresh event into the outbox, with its id."""
        msgspec.structs.force_setattr(event, "event_id", self.ids("event"))
        self.outbox.append(event)


class Exchange:
    """Frames of one client in, frames for it out.

    `closing` has code and reason once the server wants to close; `on_change` is called when there is something to poll
    that neither a frame nor the time brought.
    """

    def __init__(self, outlet: Outlet, *, kind: Kind, dialect: Dialect) -> None:
        self.kind: Kind = kind
        self.dialect: Dialect = dialect
        self.id = outlet.ids("sess")
        self.received = EventLog("received")
        self.sent = EventLog("sent")
        self.closing: tuple[int, str] | None = None
        self.is_over = False
        self.on_change: Callable[[], None] = lambda: None
        self._last: deque[tuple[str, Event]] = deque(maxlen=FRAMES_SHOWN)
        self._outlet = outlet
        self._handlers: Handlers = {}

    def receive(self, data: bytes, now: float) -> None:
        """Take one frame of the client. Whatever it holds, the answer is an event; nothing is raised."""
        if self.closing is not None or self.is_over:
            return
        try:
            event = self._decode(data)
            self._last.append(("<-", self.received.add(event, len(data))))
            self._handle(event, now)
        except Refusal as refusal:
            self.refuse(refusal, data)
        except Exception:
            log.exception("the simulator failed at a client event")
            self.refuse(Refusal(SERVER_FAILED, code="server_error", type="server_error"), data)

    def poll(self, now: float) -> list[bytes]:
        """Give the frames that are due, at most a few hundred at a time."""
        frames: list[bytes] = []
        outbox = self._outlet.outbox
        while len(frames) < FRAMES_PER_POLL and (outbox or self._advance(now)):
            while outbox:
                frames += self._encode(outbox.popleft())
        return frames

    def next_due(self) -> float | None:
        """Give the time of the next frames: a time that is past where there are some now, None if none are planned."""
        return float("-inf") if self._outlet.outbox else self._outlet.timeline.next_due()

    def unsent(self) -> int:
        """Count the events that wait for `poll`."""
        return len(self._outlet.outbox)

    def end(self, now: float) -> None:
        """Say that the connection is over; nothing is planned any more."""
        self.is_over = True
        self._outlet.timeline.clear()

    def run_slow_organs_on(self, runner: Runner) -> None:
        """Let slow organs work elsewhere, so that they hold up no other session."""
        self._outlet.runner = runner

    def refuse(self, refusal: Refusal, data: bytes = b"") -> None:
        """Answer a frame with an error; without one, the error is the server's own."""
        details = ErrorDetails(
            type=refusal.type,
            code=refusal.code,
            message=refusal.message,
            param=refusal.param,
            event_id=_event_id(data),
        )
        self._outlet.send(ErrorEvent(error=details))

    def expire(self, lifetime_s: float) -> None:
        """Say that the session has lived too long, and close."""
        text = f"Your session hit the maximum duration of {lifetime_s / 60:g} minutes."
        self.refuse(Refusal(text, code="session_expired"))
        self.close(GOING_AWAY, text)

    def last_frames(self) -> list[str]:
        """Give the last events of both sides, one line each: `<-` from the client, `->` to it."""
        return [f"{arrow} {event!r}"[:LINE_LIMIT] for arrow, event in self._last]

    def close(self, code: int, reason: str) -> None:
        """Close the connection once everything is said."""
        self.closing = (code, reason)
        self.on_change()

    def _advance(self, now: float) -> bool:
        return self.closing is None and self._outlet.timeline.step(now)

    def _decode(self, data: bytes) -> Event:
        event = decode(data, dialect=self.dialect, side="client", kind=self.kind)
        if type(event) is InputAudioBufferAppend or type(event) is SessionInputAudioBufferAppend:
            return event
        if isinstance(event, MalformedEvent):
            raise from_validation(event.reason)
        if isinstance(event, UnknownEvent):
            raise invalid_value("type", event.type, self._names())
        check_known(data, encode(event))
        return to_ga(event) if self.dialect == "beta" else event

    def _handle(self, event: Event, now: float) -> None:
        handler = self._handlers.get(type(event))
        if handler is None:
            raise invalid_value("type", event.type, self._names())
        try:
            handler(event, now)
        except Refusal as refusal:
            if self.dialect == "beta":
                refusal.param = beta_param(refusal.param)
            raise

    def _encode(self, event: ServerEvent) -> list[bytes]:
        said = to_beta(event) if self.dialect == "beta" else event
        frames = [] if said is None else [encode(said)]
        self._last.append(("->", self.sent.add(event, sum(map(len, frames)))))
        return frames

    def _names(self) -> list[str]:
        return [str(cls.__struct_config__.tag) for cls in self._handlers]


def _result_of(job: Job) -> Any:
    try:
        return job()
    except Exception as broken:  # noqa: BLE001 - foreign code may raise anything
        return broken


class _Header(msgspec.Struct):
    event_id: Any = None


def _event_id(data: bytes) -> str | None:
    try:
        found = msgspec.json.decode(data, type=_Header).event_id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None
