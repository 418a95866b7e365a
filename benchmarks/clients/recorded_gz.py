"""The library with `record=`: a compressed tape, audio left out."""

from __future__ import annotations

from benchmarks.clients import recorded


class Client(recorded.Client):
    """The same application."""

    NAME = "call.jsonl.gz"
