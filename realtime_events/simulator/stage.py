"""What the parts of one simulated session share.

Owns the outgoing events, the timeline, the ids, the configuration, the conversation and the organs (brain, voice,
recogniser). Decides nothing. Before and after it: `listening.py`, `answering.py` and `session.py`, which do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from ..events.base import ServerEvent
from ..events.session import SessionConfig
from .conversation import Conversation
from .ears import Recogniser
from .ids import Ids
from .plans import Brain
from .timeline import Timeline
from .voice import Voice

Job: TypeAlias = Callable[[], Any]
Then: TypeAlias = Callable[[Any, float], None]
Runner: TypeAlias = Callable[[Job, Then], None]
"""Runs a job elsewhere and later calls `then` with its result and the time, on the thread of the session."""


@dataclass(frozen=True, kw_only=True)
class Organs:
    """What a session thinks, speaks and hears with.

    `pace` is the speed of audio relative to real time; infinite is as fast as it is read. An organ with a true
    `is_slow` works on the `runner`, if there is one; all others work at once.
    """

    brain: Brain
    voice: Voice
    recogniser: Recogniser
    pace: float = 4.0
    runner: Runner | None = None


class Stage:
    """The common ground of one session's parts."""

    def __init__(self, number: int, config: SessionConfig, organs: Organs) -> None:
        self.number = number
        self.config = config
        self.organs = organs
        self.ids = Ids(number)
        self.timeline = Timeline()
        self.outbox: deque[ServerEvent] = deque()
        self.conversation = Conversation(self.ids)
        self.conversation_id = self.ids("conv")
        self.has_spoken = False

    def send(self, event: ServerEvent) -> None:
        """Put a fresh event into the outbox, with its id."""
        msgspec.structs.force_setattr(event, "event_id", self.ids("event"))
        self.outbox.append(event)

    def work(self, organ: object, job: Job, then: Then, now: float) -> None:
        """Let an organ do a job, and go on with its result: at once, or later if the organ is slow."""
        if self.organs.runner is not None and getattr(organ, "is_slow", False):
            self.organs.runner(job, then)
        else:
            then(job(), now)
