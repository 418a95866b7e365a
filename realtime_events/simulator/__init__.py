"""A Realtime server on your own machine: no key, no money, no network.

Owns the server's side of the protocol: `SimulatedSession` is the whole of it without any I/O, `Simulator` puts it on
a socket. Nothing in the client's rooms knows of it.

    from realtime_events.simulator import Simulator

    async with Simulator() as sim:
        ...  # connect any Realtime client to sim.url
"""

from __future__ import annotations

from .brains import EchoBrain, RuleBrain, ScriptBrain, Step
from .calls import Call as IncomingCall
from .ears import ClipRecogniser, Recogniser
from .faults import Fault, Faults
from .hosted import McpServer
from .plans import Brain, Call, Fail, Plan, Request, Say
from .server import Simulator
from .session import SimulatedSession
from .stage import Organs
from .voice import ToneVoice, Voice

__all__ = [
    "Brain",
    "Call",
    "ClipRecogniser",
    "EchoBrain",
    "Fail",
    "Fault",
    "Faults",
    "IncomingCall",
    "McpServer",
    "Organs",
    "Plan",
    "Recogniser",
    "Request",
    "RuleBrain",
    "Say",
    "ScriptBrain",
    "SimulatedSession",
    "Simulator",
    "Step",
    "ToneVoice",
    "Voice",
]
