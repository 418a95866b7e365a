"""The library with `record=`: a plain tape with the audio on it."""

from __future__ import annotations

from benchmarks.clients import recorded


class Client(recorded.Client):
    """The same application."""

    AUDIO = True
