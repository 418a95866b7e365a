"""The default brain: a handful of rules in place of a language model.

Owns the order in which the rules are tried: a tool that must be called, tool outputs to speak, words to repeat, tools
that fit, small talk. It decides by words and schemas only, so the same conversation always gives the same plan.
Before it: `plans.py`; after it: `matching.py` (tools), `smalltalk.py` (everything else), `wording.py` (outputs).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ..dialogue import Dialogue
from ..plans import Plan, Request, Say
from .language import concepts, name_words, word_set
from .matching import Match, Offer, best_offer, completed, match_of, matches, must_call, offers_of
from .parameters import Parameter
from .smalltalk import GREETING, repeated, small_talk
from .untyped import mapping_in
from .wording import joined, plural, sentence, spoken

__all__ = ["RuleBrain"]

_LONGEST = 2_000  # characters of the user's words and of the instructions that the rules look at
_INAUDIBLE = "[inaudible]"
_PEOPLE = concepts("people")
_FOLLOW_UP = re.compile(r"^(?:and|what about|how about|and what about)\b", re.IGNORECASE)
_NEVER_ALONE = word_set("a an the i i'm it it's is am are you your that that's this there there's my we to of in")
_NAME = re.compile(r"\b(?i:you are|you're|your name is|call yourself)\s+(?!An?\b|The\b)([A-Z][\w'-]*)")
_ONLY_SAY = re.compile(
    r"^\W*(?:please )?(?:say|reply|respond|answer)(?: only| just| exactly)?(?: with)?(?: exactly)?:?\s+"
    r"[\"“](.+?)[\"”]\W*$",
    re.IGNORECASE | re.DOTALL,
)
_ONE_WORD = re.compile(r"\b(?:in|with|using) (?:only |just |exactly )?(?:one|a single) word\b", re.IGNORECASE)
_ONE_SENTENCE = re.compile(r"\b(?:in|with|using) (?:only |just |exactly )?(?:one|a single) sentence\b", re.IGNORECASE)
_CAPITALS = re.compile(
    r"\b(?:in|with|using) (?:all )?(?:capitals|capital letters|upper ?case|all caps)\b", re.IGNORECASE
)


class RuleBrain:
    """Answers by rules: greets, chats, does sums, tells the time, repeats, and calls whatever tool fits.

    Of the instructions it obeys a name ("You are Ada"), a fixed reply (`Say "…"`), and answers in one word, in one
    sentence, or in capitals.

    Args:
        now: What tells the time.
    """

    def __init__(self, *, now: Callable[[], datetime] = datetime.now) -> None:
        self._now = now

    def plan(self, request: Request) -> Plan:
        """Gives the calls of the tools that fit what the user said last, or one message."""
        dialogue = Dialogue.of(request.conversation)
        offers = offers_of(request.tools)
        must, offers = _choice(request.tool_choice, offers)
        said, instructions = dialogue.said[:_LONGEST], request.instructions[:_LONGEST]
        if must and offers:
            best = best_offer(offers, said, at_least=0.0) or offers[0]
            return must_call(best, said)
        if dialogue.outputs:
            return [Say(_styled(_outputs(dialogue), instructions))]
        found = self._wanted(dialogue, offers, said) if not repeated(said) else []
        asked = next((match for match in found if match.filling.missing), None)
        if asked and asked is found[0]:
            return [Say(_question(asked.filling.missing))]
        if found:
            return [call for match in found if not match.filling.missing for call in match.calls]
        return [Say(_styled(self._reply(instructions, dialogue, offers, said), instructions))]

    def _wanted(self, dialogue: Dialogue, offers: Sequence[Offer], said: str) -> list[Match]:
        """Gives the tools that fit the words; a bare reply or "and in Zurich?" means the tool talked about before."""
        if found := matches(offers, said):
            return found
        if dialogue.was_asked and (earlier := matches(offers, dialogue.before(1)[:_LONGEST])):
            return [completed(match, said) if match.filling.missing else match for match in earlier[:1]]
        if _FOLLOW_UP.search(said):
            again = [match_of(offer, said) for offer in offers if offer.name == dialogue.last_called]
            return [match for match in again if match.filling.found and not match.filling.missing]
        return []

    def _reply(self, instructions: str, dialogue: Dialogue, offers: Sequence[Offer], said: str) -> str:
        if only := _ONLY_SAY.match(instructions):
            return only[1]
        if said == _INAUDIBLE:
            return "I am sorry, I could not make out the words. Could you say that again?"
        if dialogue.seen and not said:
            return "Thank you for the picture. I cannot see it; what shall I do with it?"
        if not said:
            return GREETING
        named = _NAME.search(instructions)
        name = named[1] if named else "the simulated assistant"
        return repeated(said) or small_talk(said, now=self._now, name=name) or _puzzled(said, offers)


def _choice(choice: Any, offers: list[Offer]) -> tuple[bool, list[Offer]]:
    """Gives whether a tool must be called, and those that may be."""
    kind = choice if isinstance(choice, str) else _field(choice, "type")
    if kind == "none":
        return False, []
    if kind == "required":
        return True, offers
    name = _field(choice, "name")
    return (True, [offer for offer in offers if offer.name == name]) if kind == "function" else (False, offers)


def _field(choice: Any, name: str) -> Any:
    return mapping_in(choice).get(name) or getattr(choice, name, None)


def _outputs(dialogue: Dialogue) -> str:
    texts = [spoken(output.text) for output in dialogue.outputs]
    return texts[0] if len(texts) == 1 else " ".join(map(sentence, texts))


def _question(missing: Sequence[Parameter]) -> str:
    names = [f"the {one.spoken}" for one in missing]
    if len(missing) == 1 and missing[0].role == "place":
        return f"For which {missing[0].spoken}?"
    if len(missing) == 1 and missing[0].type == "integer" and (plural(missing[0].spoken) or missing[0].about & _PEOPLE):
        return f"How many {missing[0].spoken}?"
    return f"What {'are' if len(names) > 1 else 'is'} {joined(names)}?"


def _puzzled(said: str, offers: Sequence[Offer]) -> str:
    tools = [name_words(offer.name) for offer in offers]
    offer = f" I can use these tools: {joined(tools)}." if tools else ""
    return f'You said: "{said.strip()}". I am only a simulation and know no answer to that.{offer}'


def _styled(text: str, instructions: str) -> str:
    """Obeys the instructions about the form of an answer."""
    if _ONE_WORD.search(instructions):
        words = re.findall(r"[\w'’°-]+", text)
        text = sentence(next((word for word in words if word.lower() not in _NEVER_ALONE), "Yes"))
    elif _ONE_SENTENCE.search(instructions):
        text = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    return text.upper() if _CAPITALS.search(instructions) else text
