"""The library with `record=`: a plain tape, audio left out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

from benchmarks.clients import Tally, realtime_events
from realtime_events.recorder import Recording, Tape


class Client(realtime_events.Client):
    """The same application; a tape that misses a delta fails the run."""

    NAME: ClassVar[str] = "call.jsonl"
    AUDIO: ClassVar[bool] = False

    def __init__(self, url: str, tally: Tally) -> None:
        super().__init__(url, tally)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._path = Path(self._folder.name) / self.NAME
        self.changes["record"] = Recording(path=self._path, audio=self.AUDIO)

    async def __aexit__(self, *exc: object) -> None:
        """Looks whether everything is on the tape, when no clock runs any more."""
        try:
            name = f'"{self._tally.delta_name}"'.encode()
            taped = sum(name in frame.data[:80] for frame in Tape.read(self._path))
        finally:
            self._folder.cleanup()
        if taped != self._tally.deltas:
            raise AssertionError(f"{taped} deltas on the tape of {self._tally.deltas}")
