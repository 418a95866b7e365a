"""What the parts of one simulated session share.

Owns the configuration, the conversation and the organs (brain, voice, recogniser), beside the outlet. Decides
nothing. Before and after it: `listening.py`, `answering.py` and `session.py`, which do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..events.session import SessionConfig
from .conversation import Conversation
from .ears import Recogniser
from .exchange import Outlet
from .hosted import Hosted, McpServer
from .plans import Brain
from .playback import Playback
from .vad import EnergyVad, MakeVad
from .voice import Voice


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
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer])


class Stage(Outlet):
    """The common ground of one session's parts."""

    def __init__(self, number: int, config: SessionConfig, organs: Organs) -> None:
        super().__init__(number)
        self.config = config
        self.organs = organs
        self.conversation = Conversation(self.ids)
        self.conversation_id = self.ids("conv")
        self.hosted = Hosted(self, self.conversation, organs.mcp_servers)
        self.playback: Playback | None = None
        self.has_spoken = False
