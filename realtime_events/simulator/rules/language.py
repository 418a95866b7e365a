"""The little English that the rules know.

Owns words: what a word's stem and topic are, which words carry no meaning, how numbers are said. Knows no tool and no
conversation. After it: `matching.py` and `spans.py`.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["ORDINARY", "concept", "concepts", "described", "lower_words", "name_words", "negated", "word_set"]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")
_SUFFIX = re.compile(r"(?:ations?|ings?|ers?|ed|es|s|e|y)$")
_EXAMPLES = re.compile(
    r"[\"“'‘][^\"”'’]{1,80}[\"”'’](?!\w)|(?:\be\.g\.|\bi\.e\.|\bsuch as\b|\bfor example\b|\blike\b)[^.;)]*",
    re.IGNORECASE,
)

# One line a topic: its name, then the words of everyday speech that belong to it.
_TOPICS = """
weather: weather wear umbrella rain rainy raining snow snowy snowing sunny sun sunshine cloudy wind windy storm forecast
  temperature cold warm hot chilly freezing coat jacket degrees outside humidity climate sunscreen celsius fahrenheit
booking: book booking reserve reservation
mail: mail email inbox
calendar: calendar meeting appointment schedule agenda event
clock: time clock hour timezone
timer: timer alarm countdown wake
reminder: remind reminder
music: music song track playlist album artist
light: light lamp bulb lighting
purchase: buy purchase order checkout
price: price cost expensive cheap quote
payment: pay payment transfer money refund invoice
phone: phone dial ring
route: route directions navigate navigation distance drive
restaurant: restaurant dinner lunch eat pizzeria cafe
hotel: hotel room accommodation stay
flight: flight fly plane airline airport
train: train railway rail
stock: stock share ticker nasdaq
news: news headline
calculation: calculate calculator calculation compute sum plus minus times multiply multiplied divide divided add
  arithmetic math maths expression
translation: translate translation
search: search find lookup google browse
cancellation: cancel cancellation abort
person: people person guest party passenger adult attendee
handover: human agent representative operator handoff handover escalate
joke: joke funny laugh
home: thermostat heating
delivery: delivery deliver parcel package shipment shipping tracking track
"""


def word_set(text: str) -> frozenset[str]:
    """Gives the words of a text, as they are parted by blanks."""
    return frozenset(text.split())


ORDINARY = word_set(
    """
    a about above after again all also am an and any anything are around as at away be because been before being below
    but by can can't cannot could current currently did do does doesn't don't down during each else etc even ever every
    for from function get gets getting give given gives go going gonna good got great had has have he hello help her
    here hey hi him his how i i'd i'll i'm i've if in instead into is isn't it it's its just kindly know let let's like
    look looking made make may me might more most much must my need no not now of off ok okay on once one only or other
    our out over please put really return returned returns right same say see set shall she should show so some
    something still such sure take tell than thank thanks that that's the their them then there there's these they
    thing things think this those through to today tomorrow tonight too tool under until up us use used user user's
    uses using value very via wanna want wants was we we're well were what what's when where where's whether which
    while who who's whose why will with without won't would yes yesterday yet you you'd you'll your yourself
    example including optional default fetch retrieve lookup provide specified desired details detail information info
    data list listing current latest check query request string number text result results
    """
)
_NEGATIONS = word_set("no not without don't dont never off disable disabled stop deactivate")


def lower_words(text: str) -> list[str]:
    """Gives the words of a text in order, in lower case."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def name_words(name: str) -> str:
    """Gives an identifier as words: `getWeather_v2` becomes `get weather v 2`."""
    return " ".join(part.lower() for part in _NAME_PART.findall(name))


@lru_cache(maxsize=4096)
def concept(word: str) -> str:
    """Gives what a word is about: its topic where it has one, else its stem."""
    plain = word.removesuffix("'s")
    return _BY_WORD.get(plain) or _BY_WORD.get(_stem(plain)) or _stem(plain)


def concepts(text: str) -> set[str]:
    """Gives what a text is about, without the words that carry no meaning."""
    return {concept(word) for word in lower_words(text) if word not in ORDINARY and not word.isdigit()}


def described(text: str) -> set[str]:
    """Gives what a description is about, leaving out its examples: "such as Bern" says nothing of Bern."""
    return concepts(_EXAMPLES.sub(" ", text[:1_000]))


def negated(before: list[str]) -> bool:
    """Tells whether the words before a word turn its meaning round."""
    return any(word in _NEGATIONS for word in before[-3:])


def _stem(word: str) -> str:
    """Gives a word without its ending; never less than three letters of it."""
    ending = _SUFFIX.search(word)
    stem = word[: ending.start()] if ending and ending.start() >= 3 and not word.endswith("ss") else word
    return stem[:-1] if ending and len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "ls" else stem


def _topics() -> dict[str, str]:
    joined = _TOPICS.replace("\n  ", " ").strip().splitlines()
    table: dict[str, str] = {}
    for topic, words in (line.split(":") for line in joined):
        for word in words.split():
            table[word] = table[_stem(word)] = f"topic:{topic}"
    return table


_BY_WORD = _topics()
