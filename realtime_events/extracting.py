"""Extracting: a side question to the model whose answer is a value of a Python type.

Owns the form of the question (one function with the type's JSON Schema, which the model is made to call) and how its
answer is read. Knows no socket. Before it: `Session.extract`; after it: the same, which asks again where `take` says
so.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .events.response import Response
from .exceptions import ToolArgumentsError, one_line
from .protocol.turns import text_of
from .tools.annotations import EMPTY, Parameter
from .tools.arguments import ArgumentsDecoder
from .tools.schema import parameters_schema

ATTEMPTS = 2
FUNCTION = "answer"
FIELD = "answer"
EXCERPT = 2000
_FENCED = re.compile(r"\A\s*```\w*\s*(?P<inside>.*?)\s*```\s*\Z", re.DOTALL)


class Question:
    """One question, and what came of it: `answer`, or `problem`.

    Raises:
        TypeError: The JSON Schema of the type cannot be told.
    """

    def __init__(self, question: str, output: Any) -> None:
        parameter = Parameter(name=FIELD, type=output, default=EMPTY)
        self._question = question
        self._schema = parameters_schema([parameter], {})
        self._decode = ArgumentsDecoder([parameter], self._schema)
        self._given = ""
        self.answer: Any = None
        self.problem = ""

    def params(self) -> dict[str, Any]:
        """Give the parameters of the next `response.create`."""
        function = {
            "type": "function",
            "name": FUNCTION,
            "description": "Gives the answer to the question.",
            "parameters": self._schema,
        }
        return {
            "conversation": "none",
            "output_modalities": ["text"],
            "instructions": self._instructions(),
            "tools": [function],
            "tool_choice": {"type": "function", "name": FUNCTION},
        }

    def _instructions(self) -> str:
        asked = (
            f"Do not go on with the conversation. Answer this question about it by calling {FUNCTION}: {self._question}"
        )
        if not self.problem:
            return asked
        return f"{asked}\n\nYour last answer was {self._given[:EXCERPT]!r}. That is wrong: {self.problem}"

    def take(self, response: Response) -> bool:
        """Read the answer of a response; false if it does not fit."""
        called, text = _arguments_of(response), text_of(response)
        self._given = called or text
        problems: list[str] = []
        for arguments in [called] if called else _readings(text):
            try:
                self.answer = self._decode(FUNCTION, arguments)[FIELD]
            except ToolArgumentsError as error:
                problems.append(one_line(error.problem, limit=EXCERPT))
            else:
                return True
        self.problem = problems[0] if problems else "there was no answer"
        return False


def _arguments_of(response: Response) -> str:
    """Give the arguments of the call; "" if there is none."""
    for item in response.output or ():
        if item.type == "function_call" and item.arguments:
            return item.arguments
    return ""


def _readings(text: str) -> list[str]:
    """Give what a model may have meant that writes instead of calling: the arguments, the answer, or plain words."""
    inside = _FENCED.match(text)
    bare = inside["inside"] if inside is not None else text.strip()
    if not bare:
        return []
    whole = [bare] if bare.startswith("{") and f'"{FIELD}"' in bare else []
    words = msgspec.json.encode(bare).decode()
    return [*whole, *(f'{{"{FIELD}": {answer}}}' for answer in (bare, words))]
