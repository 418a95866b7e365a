"""The simulator's brains, in one place.

Owns `EchoBrain` and the names that users import; the others live beside it: `plans.py` is the seam, `rules.py` the
default, `scripts.py` the scripted one. Knows no event and no time.
"""

from __future__ import annotations

from .dialogue import Dialogue
from .plans import Brain, Call, Fail, Plan, Request, Say
from .rules import RuleBrain
from .scripts import ScriptBrain, Step

__all__ = ["Brain", "Call", "EchoBrain", "Fail", "Plan", "Request", "RuleBrain", "Say", "ScriptBrain", "Step"]


class EchoBrain:
    """Says back what it heard last: the user's words, or a tool's output."""

    def plan(self, request: Request) -> Plan:
        """Gives one message with the words; an ellipsis where there are none."""
        dialogue = Dialogue.of(request.conversation)
        heard = [output.text for output in dialogue.outputs] or [dialogue.said]
        return [Say(" ".join(filter(None, heard)) or "…")]
