"""What is asked, what is assumed, and what was found.

Owns the form of a question, of an experiment that answers some, and of a finding. Knows no socket and no event. Before
it: the experiments in `sessions.py` and `calls.py`; after it: the report.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ...exceptions import one_line
from ...secrecy import hide

if TYPE_CHECKING:
    from .line import Ground

Value: TypeAlias = bool | int | str
LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing that only the service can settle.

    Attributes:
        name: What it is called on the command line and in the file.
        asks: The question, in a sentence.
        assumed: What the package takes for granted today; any one of these values agrees with it. Empty where nothing
            rests on the answer yet.
        where: The files of the package that rest on it.
    """

    name: str
    asks: str
    assumed: tuple[Value, ...]
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of a question: `found`, or the `reason` why there is no answer.

    Attributes:
        question: The question.
        found: The answer; None where there is none.
        seen: What was seen beside: codes, counts, names of events; never an id, and nothing that anybody said.
        reason: Why there is no answer.
        was_asked: Whether it was asked at all.
    """

    question: Question
    found: Value | None = None
    seen: dict[str, Value] = field(default_factory=dict[str, Value])
    reason: str = ""
    was_asked: bool = True

    @property
    def agrees(self) -> bool | None:
        """Whether the answer is what is assumed; None where there is no answer, or nothing is assumed."""
        if self.found is None or not self.question.assumed:
            return None
        return any(type(value) is type(self.found) and value == self.found for value in self.question.assumed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One conversation with the server that answers some questions.

    Attributes:
        questions: Which.
        ask: Has it; tells the notebook what it finds, at once.
        lacks: Says what is missing for it; "" if nothing is.
        tokens: About how many tokens it costs.
        warning: What it does that somebody may notice; "" if nothing.
    """

    questions: tuple[Question, ...]
    ask: Callable[[Ground, Notebook], Awaitable[None]]
    lacks: Callable[[Ground], str] = lambda _: ""
    tokens: int = 0
    warning: str = ""


class Notebook:
    """The findings so far, in the order of the questions; of what the server says, the hidden are taken out."""

    def __init__(self, questions: Iterable[Question], *, hidden: Iterable[object] = ()) -> None:
        self._hidden = tuple(hidden)
        self._questions = {question.name: question for question in questions}
        self._findings: dict[str, Finding] = {}

    def found(self, name: str, value: Value, **seen: Value) -> None:
        """Take note of an answer; what the server named is cut to one short line."""
        told = {key: self._plain(fact) for key, fact in seen.items()}
        self._note(name, found=self._plain(value), seen=told)

    def unanswered(self, name: str, reason: str) -> None:
        """Take note that a question was asked and got no answer."""
        self._note(name, reason=str(self._plain(reason)))

    def not_asked(self, name: str, reason: str) -> None:
        """Take note that a question was not asked, or is pointless by the answer to another."""
        self._note(name, reason=reason, was_asked=False)

    def leave(self, experiment: Experiment, reason: str) -> None:
        """Take note that an experiment has ended before it had answered all of its questions."""
        for question in experiment.questions:
            if question.name not in self._findings:
                self.unanswered(question.name, reason)

    @property
    def has_answers(self) -> bool:
        """Whether any question was answered."""
        return any(finding.found is not None for finding in self._findings.values())

    @property
    def has_surprises(self) -> bool:
        """Whether an answer contradicts what is assumed, or one that was asked for did not come."""
        return any(one.agrees is False or (one.was_asked and one.found is None) for one in self.findings)

    @property
    def is_complete(self) -> bool:
        """Whether something became of every question."""
        return len(self._findings) == len(self._questions)

    @property
    def findings(self) -> list[Finding]:
        """What became of each question so far."""
        return [self._findings[name] for name in self._questions if name in self._findings]

    def _note(
        self,
        name: str,
        *,
        found: Value | None = None,
        seen: dict[str, Value] | None = None,
        reason: str = "",
        was_asked: bool = True,
    ) -> None:
        if (question := self._questions.get(name)) is not None:  # else an experiment answers it beside another
            self._findings[name] = Finding(
                question=question, found=found, seen=seen or {}, reason=reason, was_asked=was_asked
            )

    def _plain(self, value: Value) -> Value:
        return one_line(hide(value, self._hidden), limit=LONGEST_NAME) if isinstance(value, str) else value
