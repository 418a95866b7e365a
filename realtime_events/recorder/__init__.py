"""The recorder: it stands at the door and tapes bytes, so a replay is just another door.

Owns tapes: their format and reading (`tape.py`), their writing (`writer.py`), the door that is taped (`door.py`) and
the door that plays (`replaying.py`). The recorder knows no event by name; what a frame must not show on a disk it asks
`protocol/redaction.py`. Before it: the network, or a tape; after it: the session, which notices no difference.
"""

from __future__ import annotations

from .door import Recorder, recorded
from .replaying import Replay, replay
from .tape import Direction, Frame, Header, Tape, TapedEnding
from .writer import Recording, TapeWriter

__all__ = [
    "Direction",
    "Frame",
    "Header",
    "Recorder",
    "Recording",
    "Replay",
    "Tape",
    "TapeWriter",
    "TapedEnding",
    "recorded",
    "replay",
]
