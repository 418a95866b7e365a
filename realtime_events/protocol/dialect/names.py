"""The names of events in every spelling.

Owns which names mean the same event. The canonical name is the GA one; Azure's preview endpoints speak the beta
dialect and its GA endpoints the GA dialect, so that they add no spelling of their own.
"""

from __future__ import annotations

import difflib
import re
from fnmatch import translate
from functools import cache
from types import MappingProxyType

from ...events import EVENTS_BY_NAME

RENAMED = MappingProxyType(
    {
        "response.text.delta": "response.output_text.delta",
        "response.text.done": "response.output_text.done",
        "response.audio.delta": "response.output_audio.delta",
        "response.audio.done": "response.output_audio.done",
        "response.audio_transcript.delta": "response.output_audio_transcript.delta",
        "response.audio_transcript.done": "response.output_audio_transcript.done",
        "conversation.item.created": "conversation.item.added",
        "transcription_session.update": "session.update",
        "transcription_session.created": "session.created",
        "transcription_session.updated": "session.updated",
    }
)
"""The canonical name of every event that the beta dialect calls otherwise."""

# Written out so that asking for a name does not load the translation events; a test compares them.
TRANSLATION_NAMES = (
    "session.closed",
    "session.input_transcript.delta",
    "session.output_transcript.delta",
    "session.output_audio.delta",
    "session.input_audio_buffer.append",
    "session.close",
)
"""The events that only translation sessions have."""

CANONICAL = tuple(name for name in (*EVENTS_BY_NAME, *TRANSLATION_NAMES) if name not in RENAMED)
"""Every event's canonical name: GA server, GA client, local, then translation."""

_CANONICAL = frozenset(CANONICAL)

# A relay asks for raw frames by name; a glob that caught them would give every handler of `*` each frame twice.
_BEYOND_GLOBS = frozenset({"frame.received"})


def canonical(name: str) -> str | None:
    """Give the canonical name of an event in any spelling; None if there is no such event."""
    name = RENAMED.get(name, name)
    return name if name in _CANONICAL else None


def spellings(name: str) -> tuple[str, ...]:
    """Give every spelling of a canonical name, itself first."""
    return (name, *(beta for beta, ga in RENAMED.items() if ga == name))


def nearest(name: str) -> list[str]:
    """Give up to three names, in any spelling, that somebody who wrote `name` may have meant, the nearest first."""
    return difflib.get_close_matches(name.strip().lower(), (*CANONICAL, *RENAMED), n=3, cutoff=0.6)


@cache
def matching(glob: str) -> tuple[str, ...]:
    """Give the canonical names of all events of which some spelling matches a glob.

    `*` stands for any characters, dots included; `?` and `[abc]` are as in `fnmatch`. `frame.received` matches no glob.
    """
    fits = re.compile(translate(glob)).match
    return tuple(
        name for name in CANONICAL if name not in _BEYOND_GLOBS and any(fits(spelling) for spelling in spellings(name))
    )
