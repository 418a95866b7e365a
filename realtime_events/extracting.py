"""Extracting: a side question to the model whose answer is a value of a Python type.

Owns the form of the question (one function with the type's JSON Schema, which the model is made to call) and the reading
of the answer. Knows no socket. Before it: `Session.extract`; after it: the same, which asks again where `take` says so.
"""

from __future__ import annotations

import re
from typing import Any

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
        self._given = _arguments_of(response)
        try:
            self.answer = self._decode(FUNCTION, self._given)[FIELD]
        except ToolArgumentsError as error:
            self.problem = one_line(error.problem, limit=EXCERPT)
            return False
        return True


def _arguments_of(response: Response) -> str:
    """Give the JSON of an answer: a call's arguments or, from a model that writes instead of calling, its text."""
    for item in response.output or ():
        if item.type == "function_call" and item.arguments:
            return item.arguments
    text = text_of(response)
    inside = _FENCED.match(text)
    bare = inside["inside"] if inside is not None else text.strip()
    return bare if bare.startswith("{") and f'"{FIELD}"' in bare else f'{{"{FIELD}": {bare}}}'
