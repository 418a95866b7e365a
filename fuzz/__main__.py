"""Runs one target under atheris: `python -m fuzz frame -max_total_time=30`; more arguments are libFuzzer's."""

from __future__ import annotations

import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["realtime_events"]):
    from fuzz.targets import TARGETS, corpus


def main() -> None:
    """Fuzzes the named target until its time is over, or it raises."""
    name, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for data in corpus():
            Path(folder, sha256(data).hexdigest()).write_bytes(data)
        atheris.Setup([sys.argv[0], folder, *options], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
