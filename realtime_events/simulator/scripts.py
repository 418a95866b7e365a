"""A scripted brain: expect this, then emit that.

Owns scripts, from Python or a JSON file, and the report of what went otherwise. Knows no socket. Before it:
`plans.py`; after it: whoever tests a client.

    {"steps": [
      {"expect": {"user": "weather in bern"}, "emit": [{"call": "get_weather", "arguments": {"city": "Bern"}}]},
      {"expect": {"output": "18 °C"}, "emit": [{"say": "It is 18 degrees."}]}
    ]}
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..events.base import Struct
from ..events.items import Item
from ..exceptions import ConfigurationError, one_line
from .dialogue import Dialogue, words_of
from .plans import Call, Fail, Plan, Request, Say

__all__ = ["Expect", "ScriptBrain", "Step"]

_ITEMS_SHOWN = 8
_LINE_LIMIT = 160


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request for a response must look like; what is left out may be anything.

    Texts are looked for without regard to case. `user` is part of the user's last words, `output` of a tool output
    since then, `instructions` of the instructions; `tools` are names that must be offered, `metadata` entries that
    must be there.
    """

    user: str | None = None
    output: str | None = None
    instructions: str | None = None
    tools: Sequence[str] = ()
    metadata: Mapping[str, str] = {}


class Step(Struct, frozen=True, kw_only=True):
    """One response of a script: what is expected of its request, and what is emitted."""

    emit: Plan
    expect: Expect = Expect()


class _Emission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to emit, as a file spells it: exactly one of the three."""

    say: str | None = None
    call: str | None = None
    arguments: Any = None
    fail: Fail | None = None


class _FileStep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    emit: list[_Emission]
    expect: Expect = Expect()


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    steps: list[_FileStep]


class ScriptBrain:
    """Plays a script, one step for each response, and remembers the first request that was not as expected.

    A request that fits no step, or comes after the last, fails its response with the report as its message. One script
    is one conversation: give each session its own.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = list(steps)
        self._next = 0
        self.failure = ""

    @classmethod
    def from_json(cls, text: str | bytes) -> ScriptBrain:
        """Reads a script from JSON.

        Raises:
            ConfigurationError: if it is no script; the sentence says where.
        """
        try:
            script = msgspec.json.decode(text, type=_File)
            return cls([Step(expect=one.expect, emit=[*map(_emitted, one.emit)]) for one in script.steps])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"this is no script: {error}") from error

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ScriptBrain:
        """Reads a script from a JSON file.

        Raises:
            ConfigurationError: if it cannot be read or holds no script.
        """
        try:
            return cls.from_json(Path(path).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from None

    @property
    def done(self) -> bool:
        """Whether every step was played and every request was as expected."""
        return not self.failure and self._next == len(self._steps)

    def assert_done(self, frames: Iterable[str] = ()) -> None:
        """Does nothing if the script is done.

        Args:
            frames: Lines to show below the report, such as the last frames on the wire.

        Raises:
            AssertionError: with expected, got, and what was around it.
        """
        if self.done:
            return
        report = self.failure or "\n".join(self._unplayed())
        raise AssertionError("\n".join([report, *(["frames:"] if frames else []), *(f"  {frame}" for frame in frames)]))

    def plan(self, request: Request) -> Plan:
        """Gives the emissions of the next step, or a failure that holds the report."""
        problems = [] if self.failure else self._problems(request)
        if problems:
            self.failure = "\n".join([*problems, "conversation:", *_shown(request.conversation)])
        if self.failure:
            return [Fail("invalid_request_error", "script_mismatch", self.failure)]
        self._next += 1
        return self._steps[self._next - 1].emit

    def _problems(self, request: Request) -> list[str]:
        if self._next >= len(self._steps):
            return [
                f"the script has {len(self._steps)} steps",
                "expected: no further response",
                "got: one more request",
            ]
        lines = [line for problem in _differences(self._steps[self._next].expect, request) for line in problem]
        return [f"step {self._next + 1} of {len(self._steps)} of the script", *lines] if lines else []

    def _unplayed(self) -> Iterator[str]:
        yield f"the script stopped before step {self._next + 1} of {len(self._steps)}"
        yield f"expected: a request with {_described(self._steps[self._next].expect)}"
        yield "got: no further request"


def _emitted(one: _Emission) -> Say | Call | Fail:
    given = [name for name in ("say", "call", "fail") if getattr(one, name) is not None]
    if len(given) != 1:
        raise msgspec.ValidationError(f"an emission has one of say, call and fail, not {given or 'none'}")
    if one.call is not None:
        arguments = (
            one.arguments if isinstance(one.arguments, str) else msgspec.json.encode(one.arguments or {}).decode()
        )
        return Call(one.call, arguments)
    return one.fail or Say(one.say or "")


def _differences(expect: Expect, request: Request) -> Iterator[tuple[str, str]]:
    """Yields an "expected" and a "got" line for everything that is not as expected."""
    dialogue = Dialogue.of(request.conversation)
    outputs = [output.text for output in dialogue.outputs]
    if expect.user is not None and not _within(expect.user, [dialogue.said]):
        yield f"expected: the user says {expect.user!r}", f"got: {dialogue.said!r}"
    if expect.output is not None and not _within(expect.output, outputs):
        yield f"expected: a tool output with {expect.output!r}", f"got: {outputs or 'no tool output'}"
    if expect.instructions is not None and not _within(expect.instructions, [request.instructions]):
        yield f"expected: instructions with {expect.instructions!r}", f"got: {request.instructions!r}"
    offered = [tool.name for tool in request.tools]
    if not set(expect.tools) <= set(offered):
        yield f"expected: the tools {list(expect.tools)}", f"got: {offered}"
    metadata = request.metadata or {}
    if not expect.metadata.items() <= metadata.items():
        yield f"expected: the metadata {dict(expect.metadata)}", f"got: {dict(metadata)}"


def _within(wanted: str, texts: Iterable[str]) -> bool:
    return any(wanted.casefold() in text.casefold() for text in texts)


def _described(expect: Expect) -> str:
    given = [f"{name} {value!r}" for name, value in msgspec.structs.asdict(expect).items() if value]
    return ", ".join(given) or "anything"


def _shown(items: Sequence[Item]) -> list[str]:
    """Gives the last items, one line each."""
    return [f"  {one_line(_line(item), limit=_LINE_LIMIT)}" for item in items[-_ITEMS_SHOWN:]] or ["  (empty)"]


def _line(item: Item) -> str:
    if item.type == "function_call":
        return f"function_call {item.name} {item.arguments}"
    if item.type == "function_call_output":
        return f"function_call_output {item.output}"
    return f"{item.role or item.type}: {words_of(item)}"
