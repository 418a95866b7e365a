"""Counting: how often a session had to do otherwise than it promises, in one place.

Owns the struct that shows it. Each count stands where the thing happens: in the lanes, the runner of tools, the batches
of State, and the dispatcher, which counts the events that tell of such things. Before it: those rooms, read when
somebody asks; after it: the application, which logs it or hands it to its metrics.
"""

from __future__ import annotations

import msgspec

from ..dispatcher import Dispatcher
from ..events import local
from ..events.base import MalformedEvent, UnknownEvent
from ..protocol.batches import Batches
from ..tools.runner import ToolRunner

__all__ = ["Counters", "count"]


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What a session has counted so far, through all its connections.

    Attributes:
        unknown_events: Frames of a type that this package does not know (`event.unknown`).
        malformed_events: Frames that are no event (`event.malformed`).
        rejected_sends: Events that the server refused and whose answer nobody awaited (`send.rejected`).
        handler_failures: Exceptions of handlers (`handler.failed`).
        dropped_deltas: Deltas that went because a lane or a stream was full (`handler.lagging`).
        duplicate_calls: Items that came with the id of a tool call that had been made already.
        late_tool_results: Results that came when their call had its answer; nobody was given them.
        abandoned_calls: Tool calls that go on, or went on, although they were told to stop.
        orphaned_calls: Tool calls whose conversation was lost (`tool.orphaned`).
        audio_gaps: Pieces of the user's audio that were lost or are in doubt (`audio.gap`).
        stalls: Times at which an answer was due and nothing came (`connection.stalled`).
        reconnects: Connections that took the place of one that was lost, or of a dead process (`connection.restored`).
        rotations: Moves to a fresh session before the server's limit (`session.rotated`).
    """

    unknown_events: int = 0
    malformed_events: int = 0
    rejected_sends: int = 0
    handler_failures: int = 0
    dropped_deltas: int = 0
    duplicate_calls: int = 0
    late_tool_results: int = 0
    abandoned_calls: int = 0
    orphaned_calls: int = 0
    audio_gaps: int = 0
    stalls: int = 0
    reconnects: int = 0
    rotations: int = 0


def count(dispatcher: Dispatcher, runner: ToolRunner, batches: Batches) -> Counters:
    """Collect what the rooms of a session have counted."""
    told = dispatcher.told
    return Counters(
        unknown_events=told[UnknownEvent],
        malformed_events=told[MalformedEvent],
        rejected_sends=told[local.SendRejected],
        handler_failures=told[local.HandlerFailed],
        dropped_deltas=dispatcher.dropped_deltas,
        duplicate_calls=runner.duplicates + batches.duplicates,
        late_tool_results=runner.late_results,
        abandoned_calls=runner.abandoned,
        orphaned_calls=told[local.ToolOrphaned],
        audio_gaps=told[local.AudioGap],
        stalls=told[local.ConnectionStalled],
        reconnects=told[local.ConnectionRestored],
        rotations=told[local.SessionRotated],
    )
