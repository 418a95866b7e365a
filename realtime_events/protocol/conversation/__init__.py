"""The conversation: what was said in a session, in order, and what was heard of it.

Owns the pure model of a session's items, how it is saved and exported, what of it can be said again, and how it is
edited. Before it: State, which passes on events and deltas; after it: `session.conversation`.
"""

from __future__ import annotations

from .editing import plan_edit
from .export import Format
from .history import HEARD, Conversation
from .items import ConversationItem, Part, Segment, Transcription
from .seeding import Dropped, Seed

__all__ = [
    "HEARD",
    "Conversation",
    "ConversationItem",
    "Dropped",
    "Format",
    "Part",
    "Seed",
    "Segment",
    "Transcription",
    "plan_edit",
]
