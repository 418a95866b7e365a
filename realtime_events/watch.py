"""The watch: what keeps an event loop for so long that nothing is read, sent or answered meanwhile.

Owns one daemon thread for each event loop with sessions in it, and what that thread sees of the loop's. Knows no frame,
no handler and no tool: whatever runs on the loop is seen. Before it: the session, which joins when it is connected and
leaves when it is closed; after it: the log, and the lanes of every session of the loop.

The loop beats, by a timer; a beat that is overdue by `LIMIT_S` has the thread look where the loop is. So what takes
less than that is never named, and what takes as long as the limit and a beat together always is. The thread wakes some
four times a second, and ends with the loop's last session.

A process that was stopped, or a machine that slept, is not blamed: the thread has overslept then, too, and the loop's
thread has used no processor time.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import threading
import time
import weakref
from types import FrameType
from typing import ClassVar, NamedTuple, Protocol

from .events.local import LoopBlocked
from .logs import logger

log = logger("watch")

BEAT_S = 0.1
LIMIT_S = 0.2
BUSY_SHARE = 0.5
MOST_FRAMES = 8
MOST_WARNINGS = 100
ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep
HERE = os.path.dirname(__file__) + os.sep


class Lanes(Protocol):
    """Whoever is to be told: the lanes of a session."""

    def publish(self, event: LoopBlocked, /) -> None:
        """Take an event."""
        ...


class _Sight(NamedTuple):
    """Where the loop was found; `is_late` says that the thread which looked had overslept itself."""

    stack: tuple[str, ...]
    is_late: bool


class Watch:
    """The watch of one event loop, which runs. All but `_look` and what it calls runs on the loop, too."""

    # A watch holds its loop only while there is somebody to tell.
    _all: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watch]] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # A loop with a clock of its own, as tests have one, cannot be late by ours.
        self._is_real = abs(loop.time() - time.monotonic()) < LIMIT_S
        self._listeners: weakref.WeakSet[Lanes] = weakref.WeakSet()
        self._thread_id = 0
        self._due_s = self._used_s = 0.0
        self._sight: _Sight | None = None
        self._warned: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._stop: threading.Event | None = None

    @classmethod
    def of_this_loop(cls) -> Watch:
        """Give that of the running loop."""
        loop = asyncio.get_running_loop()
        watch = cls._all.get(loop)
        if watch is None:
            watch = cls._all[loop] = cls(loop)
        return watch

    def join(self, lanes: Lanes) -> None:
        """Tell these lanes from now on; nobody is kept alive by it."""
        self._listeners.add(lanes)
        if self._stop is None and self._is_real:
            self._start(asyncio.get_running_loop())

    def leave(self, lanes: Lanes) -> None:
        """Tell these lanes no more; the last one to leave ends the thread."""
        self._listeners.discard(lanes)
        if not self._listeners:
            self._end()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._thread_id = threading.get_ident()
        self._sight = None
        self._stop = threading.Event()
        self._due_s = time.monotonic()
        self._beat(loop)
        name = "realtime_events.watch"
        threading.Thread(target=self._look, args=(loop, self._stop), name=name, daemon=True).start()

    def _end(self) -> None:
        if self._stop is not None:
            self._stop.set()
            self._stop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now, used_s = time.monotonic(), time.thread_time()
        late_s, busy_s = now - self._due_s, used_s - self._used_s
        self._due_s, self._used_s = now + BEAT_S, used_s
        sight, self._sight = self._sight, None
        if not self._listeners:  # All were let go of without a farewell.
            self._end()
            return
        self._timer = loop.call_later(BEAT_S, self._beat, loop)
        if sight is not None and late_s >= LIMIT_S and not (sight.is_late and busy_s < late_s * BUSY_SHARE):
            self._tell(sight, late_s)

    def _tell(self, sight: _Sight, late_s: float) -> None:
        if sight.is_late:
            self._warn(sight.stack, late_s)
        event = LoopBlocked(blocked_ms=late_s * 1000, stack=sight.stack)
        for lanes in list(self._listeners):
            lanes.publish(event)

    def _warn(self, stack: tuple[str, ...], late_s: float) -> None:
        """Name what blocks the loop, once for each place: it may do so at every event."""
        if stack[0] in self._warned or len(self._warned) >= MOST_WARNINGS:
            return
        self._warned.add(stack[0])
        log.warning("the event loop has been blocked for %.0f ms by %s", late_s * 1000, " < ".join(stack))

    # In the thread.

    def _look(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        due_s = self._due_s
        look_s = due_s + LIMIT_S
        while not stop.wait(max(0.0, look_s - time.monotonic())):
            now = time.monotonic()
            if due_s != self._due_s:
                due_s = self._due_s
                look_s = due_s + LIMIT_S
                continue
            if loop.is_closed():  # Its sessions were never closed.
                self._timer = None
                return
            if (self._sight is None or self._sight.is_late) and loop.is_running():
                self._see(due_s, now, is_late=now - look_s >= LIMIT_S)
            look_s = now + LIMIT_S

    def _see(self, due_s: float, now: float, *, is_late: bool) -> None:
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
        stack = stack_of(frames.get(self._thread_id))
        if not stack or due_s != self._due_s:
            return  # It waits for something to do, or has gone on meanwhile.
        self._sight = _Sight(stack, is_late)
        if not is_late:
            self._warn(stack, now - due_s)


def stack_of(frame: FrameType | None) -> tuple[str, ...]:
    """Give where a loop's thread is as `file:line function`, the innermost first; nothing if the loop only waits.

    Only what the loop has called is told, and nothing of this package where anything else is.
    """
    theirs: list[str] = []
    ours: list[str] = []
    if frame is not None and frame.f_code.co_filename == selectors.__file__ and _is_loop(frame.f_back):
        return ()
    while frame is not None and not _is_loop(frame):
        code = frame.f_code
        place = f"{code.co_filename}:{frame.f_lineno} {code.co_qualname}"
        (ours if code.co_filename.startswith(HERE) else theirs).append(place)
        frame = frame.f_back
    return tuple((theirs or ours)[:MOST_FRAMES])


def _is_loop(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(ASYNCIO)
