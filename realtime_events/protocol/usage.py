"""Usage: adding up what responses and transcriptions cost in tokens and seconds.

Pure arithmetic over the wire's `Usage`: a count that no side has stays absent, and cached tokens stay a subset of the
input tokens, never an addition. Knows no prices. Before it: `response.done` and finished transcriptions; after it:
turns, sessions and `prices.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeVar

import msgspec

from ..events.base import UNSET, UnsetType
from ..events.response import Response, Usage
from ..events.transcription import TranscriptionUsage

__all__ = ["SessionUsage", "add_usage"]

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(slots=True)
class SessionUsage:
    """What a session has used so far; two of them add up with `+`, as after a rotation.

    Attributes:
        responses: How many responses ended, by status. All of them count: cancelled and failed, in and out of band.
        by_model: The tokens of all responses, for each model.
        transcriptions: How many transcriptions were finished.
        transcription_by_model: What the transcription of the user's audio used, for each transcription model: tokens or
            seconds. It is billed apart, and part of no other count.
    """

    responses: dict[str, int] = field(default_factory=dict[str, int])
    by_model: dict[str, Usage] = field(default_factory=dict[str, Usage])
    transcriptions: int = 0
    transcription_by_model: dict[str, TranscriptionUsage] = field(default_factory=dict[str, TranscriptionUsage])

    @property
    def total(self) -> Usage:
        """The tokens of all responses together, by modality; cached tokens are a subset of the input tokens."""
        return reduce(_add, self.by_model.values(), Usage())

    @property
    def tokens(self) -> int:
        """How many tokens all responses took together, by the server's own totals where it gives them."""
        return sum(_tokens_of(used) for used in self.by_model.values())

    @property
    def transcription(self) -> TranscriptionUsage:
        """What all transcriptions used together; tokens of some models stand beside the seconds of others."""
        used = reduce(_add, self.transcription_by_model.values(), TranscriptionUsage())
        kinds = {one.type for one in self.transcription_by_model.values()}
        return used if len(kinds) == 1 else msgspec.structs.replace(used, type=UNSET)

    def add(self, response: Response, model: str | UnsetType | None = "") -> None:
        """Count a response that has ended, however it ended."""
        status = response.status or ""
        self.responses[status] = self.responses.get(status, 0) + 1
        if response.usage:
            _add_to(self.by_model, model or "", response.usage)

    def add_transcription(
        self, usage: TranscriptionUsage | UnsetType | None, model: str | UnsetType | None = ""
    ) -> None:
        """Count a finished transcription."""
        self.transcriptions += 1
        if usage:
            _add_to(self.transcription_by_model, model or "", usage)

    def __add__(self, other: SessionUsage) -> SessionUsage:
        statuses = self.responses | other.responses
        return SessionUsage(
            responses={s: self.responses.get(s, 0) + other.responses.get(s, 0) for s in statuses},
            by_model=_merged(self.by_model, other.by_model),
            transcriptions=self.transcriptions + other.transcriptions,
            transcription_by_model=_merged(self.transcription_by_model, other.transcription_by_model),
        )


def _tokens_of(used: Usage) -> int:
    return used.total_tokens or (used.input_tokens or 0) + (used.output_tokens or 0)


def add_usage(first: Usage, second: Usage) -> Usage:
    """Give the sum of two usages, field by field and modality by modality."""
    return _add(first, second)


def _add_to(totals: dict[str, S], model: str, used: S) -> None:
    before = totals.get(model)
    totals[model] = used if before is None else _add(before, used)


def _merged(first: Mapping[str, S], second: Mapping[str, S]) -> dict[str, S]:
    totals = dict(first)
    for model, used in second.items():
        _add_to(totals, model, used)
    return totals


def _add(first: S, second: S) -> S:
    total: dict[str, Any] = {}
    for name in first.__struct_fields__:
        a, b = getattr(first, name), getattr(second, name)
        if isinstance(a, msgspec.Struct) and isinstance(b, msgspec.Struct):
            total[name] = _add(a, b)
        elif isinstance(a, int | float) and isinstance(b, int | float):
            total[name] = a + b
        else:
            total[name] = a if a not in (None, UNSET) else b
    return type(first)(**total)
