"""Turn detection by configuration: which ear listens for turns, and when a pause ends one.

Owns the choice between server VAD, semantic VAD and none. Knows no event. Before it: `listening.py`, which feeds it
pcm; after it: `vad.py`, which hears.

Semantic VAD is a model of timing: a pause ends the turn early if what was said sounds whole and late if it does not,
never later than the eagerness allows. Whether it sounds whole is told by its last word. Where no words can be made
out, as in the first part of a recording that is known only as a whole, the wait lies between the two.
"""

from __future__ import annotations

from collections.abc import Callable

from ..events.session import TurnDetection
from .ears import INAUDIBLE
from .vad import Heard, MakeVad

SEMANTIC_PAUSE_MS = 200
SEMANTIC_WHOLE_MS = {"low": 1_200, "medium": 600, "auto": 600, "high": 300}
SEMANTIC_UNSURE_MS = {"low": 1_500, "medium": 900, "auto": 900, "high": 600}
SEMANTIC_LONGEST_MS = {"low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000}
UNFINISHED = frozenset(
    {"a", "an", "and", "as", "at", "because", "but", "er", "erm", "for", "from", "if", "in", "is", "my", "of", "on"}
    | {"or", "so", "that", "the", "then", "to", "uh", "um", "well", "with"}
)


class ServerVad:
    """Ends a turn after a set silence; `lead_ms` is how much audio before now may still become part of a turn."""

    def __init__(self, config: TurnDetection, *, at_ms: int, vad: MakeVad) -> None:
        prefix_padding_ms = config.prefix_padding_ms if isinstance(config.prefix_padding_ms, int) else 300
        self.lead_ms = prefix_padding_ms + 1_000
        self._vad = vad(
            threshold=0.5 if not isinstance(config.threshold, int | float) else config.threshold,
            prefix_padding_ms=prefix_padding_ms,
            silence_duration_ms=config.silence_duration_ms if isinstance(config.silence_duration_ms, int) else 500,
            at_ms=at_ms,
        )

    @property
    def is_speaking(self) -> bool:
        """Whether a turn is going on."""
        return self._vad.speaking

    def feed(self, pcm: bytes) -> list[Heard]:
        """Listen to more audio."""
        return self._vad.feed(pcm)

    def reset(self) -> None:
        """Forget the turn that is going on."""
        self._vad.reset()


class SemanticVad:
    """Ends a turn when what was said sounds whole, or after the longest wait that the eagerness allows.

    `words` gives what has been said since a millisecond; it is asked once in each pause.
    """

    lead_ms = 1_300

    def __init__(self, config: TurnDetection, *, at_ms: int, words: Callable[[int], str], vad: MakeVad) -> None:
        eagerness = config.eagerness or "auto"
        self._whole_ms = SEMANTIC_WHOLE_MS[eagerness]
        self._unsure_ms = SEMANTIC_UNSURE_MS[eagerness]
        self._longest_ms = SEMANTIC_LONGEST_MS[eagerness]
        self._vad = vad(silence_duration_ms=SEMANTIC_PAUSE_MS, at_ms=at_ms)
        self._words = words
        self._started_ms: int | None = None
        self._end_ms: int | None = None
        self._free_ms = at_ms

    @property
    def is_speaking(self) -> bool:
        """Whether a turn is going on."""
        return self._started_ms is not None

    def feed(self, pcm: bytes) -> list[Heard]:
        """Listen to more audio."""
        heard: list[Heard] = []
        for change in self._vad.feed(pcm):
            heard += self._ended_by(change.at_ms)
            heard += self._take(change)
        return heard + self._ended_by(self._vad.at_ms)

    def reset(self) -> None:
        """Forget the turn that is going on."""
        self._started_ms = self._end_ms = None
        self._vad.reset()

    def _take(self, change: Heard) -> list[Heard]:
        if change.kind == "stopped":
            self._end_ms = change.at_ms - SEMANTIC_PAUSE_MS + self._wait_ms()
            return []
        self._end_ms = None
        if self._started_ms is not None:
            return []
        self._started_ms = max(change.at_ms, self._free_ms)
        return [Heard(kind="started", at_ms=self._started_ms)]

    def _ended_by(self, now_ms: int) -> list[Heard]:
        if self._end_ms is None or now_ms < self._end_ms:
            return []
        stopped = Heard(kind="stopped", at_ms=self._end_ms)
        self._free_ms = self._end_ms
        self._started_ms = self._end_ms = None
        return [stopped]

    def _wait_ms(self) -> int:
        said = self._words(self._started_ms or 0).lower().split()
        if not said or said == [INAUDIBLE]:
            return self._unsure_ms
        is_whole = not said[-1].endswith(("...", "…", ",")) and said[-1].strip(".,!?") not in UNFINISHED
        return self._whole_ms if is_whole else self._longest_ms


def detector(
    config: TurnDetection | None, *, at_ms: int, words: Callable[[int], str], vad: MakeVad
) -> ServerVad | SemanticVad | None:
    """Give the ear that a configuration asks for; None where turn detection is off."""
    if not config:
        return None
    if config.type == "semantic_vad":
        return SemanticVad(config, at_ms=at_ms, words=words, vad=vad)
    return ServerVad(config, at_ms=at_ms, vad=vad)
