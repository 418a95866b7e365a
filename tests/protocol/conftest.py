"""Gives a test the recorded payloads it asks for, one run for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from realtime_events.protocol import Dialect, Kind, Side

SAMPLES = Path(__file__).parent.parent / "fixtures" / "samples"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A payload of the wire. `valid` says whether it fits the published schema."""

    file: str
    dialect: Dialect
    side: Side
    kind: Kind
    type: str
    valid: bool

    @property
    def frame(self) -> bytes:
        return (SAMPLES / self.file).read_bytes()

    @property
    def value(self) -> dict[str, Any]:
        return json.loads(self.frame)

    @property
    def line(self) -> dict[str, Any]:
        """The keyword arguments of the codec for the connection this sample was on."""
        return {"dialect": self.dialect, "side": self.side, "kind": self.kind}


def load() -> list[Sample]:
    return [
        Sample(
            file=entry["file"],
            dialect=entry["dialect"],
            side=entry["direction"],
            kind="translation" if "/translation-" in entry["file"] else "realtime",
            type=entry["type"],
            valid=entry["schema_valid"],
        )
        for entry in json.loads((SAMPLES / "index.json").read_text("utf-8"))
    ]


ALL = load()
WANTED = {
    "sample": ALL,
    "ga_sample": [sample for sample in ALL if sample.dialect == "ga" and sample.kind == "realtime"],
    "beta_sample": [sample for sample in ALL if sample.dialect == "beta"],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in WANTED.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, WANTED[name], ids=lambda sample: sample.file)


@pytest.fixture(scope="session")
def every_sample() -> list[Sample]:
    return ALL
