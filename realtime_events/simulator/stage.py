"""What the parts of one simulated session share.

Owns the configuration, the conversation and the organs (brain, voice, recogniser), beside the outlet. Decides
nothing. Before and after it: `listening.py`, `answering.py` and `session.py`, which do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..events.session import SessionConfig
from .conversation import Conversation
from .ears import Recogniser
from .exchange import Outlet
from .plans import Brain
from .vad import EnergyVad, MakeVad
from .voice import Voice

Job: TypeAlias = Callable[[], Any]
Then: TypeAlias = Callable[[Any, float], None]
Runner: TypeAlias = Callable[[Job, Then], None]
"""Runs a job elsewhere and later calls `then` with its result and the time, on the thread of the session."""


@dataclass(frozen=True, kw_only=True)
class Organs:
    """What a session thinks, speaks and hears with; `vad` makes what finds the turns in its audio.

    `pace` is the speed of audio relative to real time; infinite is as fast as it is read. An organ with a true
    `is_slow` works where the session's runner puts it; all others work at once.
    """

    brain: Brain
    voice: Voice
    recogniser: Recogniser
    vad: MakeVad = EnergyVad
    pace: float = 4.0


class Stage(Outlet):
    """The common ground of one session's parts. `runner` is where slow organs work; without one they work at once."""

    def __init__(self, number: int, config: SessionConfig, organs: Organs) -> None:
        super().__init__(number)
        self.config = config
        self.organs = organs
        self.runner: Runner | None = None
        self.conversation = Conversation(self.ids)
        self.conversation_id = self.ids("conv")
        self.has_spoken = False

    def work(self, organ: object, job: Job, then: Then, now: float) -> None:
        """Let an organ do a job, and go on with its result: at once, or later if the organ is slow."""
        if self.runner is not None and getattr(organ, "is_slow", False):
            self.runner(job, then)
        else:
            then(job(), now)
