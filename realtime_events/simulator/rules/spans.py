"""Finding values in what was said: places, dates, times, numbers, people, quotes, codes.

Owns how a value sounds in an English sentence. Knows no tool and no schema. Before it: `language.py`; after it:
`arguments.py`, which decides which value belongs to which parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ...events.base import Struct
from .language import ORDINARY, concept, word_set

__all__ = ["FINDERS", "Span", "numbers", "places"]

_TO_TWELVE = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate((*_TO_TWELVE, *_TEENS))} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_SPELT = "|".join((*_SMALL, *_LARGE))
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december|"
    "jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec"
)
_DAY_PARTS = "morning|afternoon|evening|night|noon|midnight|weekend|week|month|year|moment|meantime|future"
_NOT_PLACES = frozenset(
    (f"{_DAYS}|{_MONTHS}|{_DAY_PARTS}|{_SPELT}|advance|general|total|case|celsius|fahrenheit").split("|")
)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_HOUR = f"(?:\\d{{1,2}}|{'|'.join(_TO_TWELVE)})"
_TIME = _pattern(
    rf"\b(?:(?:half|quarter)\s(?:past|to)\s{_HOUR}|\d{{1,2}}[:.h]\d{{2}}(?:\s?[ap]\.?m\b\.?)?|\d{{1,2}}\s?[ap]\.?m\b\.?"
    rf"|{_HOUR}\so['’]?\s?clock(?:\s[ap]\.?m\b\.?)?|{_HOUR}\s(?:thirty|fifteen|forty-five|[ap]\.?m\b\.?)|noon|midnight"
    rf"|(?<=\bat\s){_HOUR}(?=$|[,.?!;]|\s(?:on|in|for|with|today|tomorrow|tonight|next|and|please)\b))"
)
_DATE = _pattern(
    rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|(?:the\s)?day\safter\stomorrow|today|tonight|tomorrow|yesterday"
    rf"|(?:next|this|last|coming)\s(?:{_DAYS}|week(?:end)?|month|year)|(?:{_DAYS})"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{_MONTHS})\b(?:,?\s\d{{4}})?"
    rf"|(?:{_MONTHS})\s\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}})?|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}})\b"
)
_EMAIL = _pattern(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_URL = _pattern(r"https?://[^\s\"'<>]{1,2000}|\bwww\.[^\s\"'<>]{1,2000}")
_PHONE = _pattern(r"\+?\d[\d ()/-]{5,20}\d")
_CODE = re.compile(r"(?<![\w])#?(?=[\w-]{0,40}\d)[A-Za-z0-9][\w-]{1,40}(?![\w])")
_QUOTE = re.compile(r"[\"“”„]([^\"“”„]{1,2000})[\"“”]|(?<!\w)['‘]([^'‘’]{1,2000})['’](?!\w)")
_COLOUR = _pattern(
    r"\b(?:(?:light|dark|warm|cool)\s)?(?:red|green|blue|yellow|white|black|orange|purple|violet|pink|brown|grey|gray"
    r"|turquoise|cyan|magenta|silver|gold)\b"
)
_LANGUAGE = _pattern(
    r"\b(?:english|german|french|italian|spanish|portuguese|dutch|swedish|danish|norwegian|finnish|polish|czech|russian"
    r"|ukrainian|turkish|greek|arabic|hebrew|hindi|chinese|mandarin|japanese|korean|vietnamese|thai|latin|romansh)\b"
)
_NUMBER = _pattern(
    rf"(?<![\w.])-?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?!\w)"
    rf"|\b(?:a\s)?(?:{_SPELT})(?:(?:[\s-]|\sand\s)(?:{_SPELT})){{0,8}}\b(?:\spoint(?:\s(?:{'|'.join(_TO_TWELVE[:10])})){{1,6}})?"
)
_WORD = re.compile(r"\b(?:St|Mt|Ft|[A-Z])\.(?=\s[A-Z])|[^\s,;.!?\"“”()]+")
_LINKS = word_set("of de da do dos del la le les den der am an im y and upon sur")
_AND = re.compile(r"\s*(?:,\s*(?:and|or)\s+|,\s*|\s+(?:and|or|&)\s+(?:also\s+)?(?:(?:in|for|at|to)\s+)?)")


class Span(Struct, frozen=True, kw_only=True):
    """A value and where in the text it stands."""

    start: int
    end: int
    value: str


def _found(pattern: re.Pattern[str]) -> Callable[[str], list[Span]]:
    def find(text: str) -> list[Span]:
        return [Span(start=m.start(), end=m.end(), value=m.group().strip(" .,?!")) for m in pattern.finditer(text)]

    return find


def _quotes(text: str) -> list[Span]:
    return [Span(start=m.start(), end=m.end(), value=m[1] or m[2]) for m in _QUOTE.finditer(text)]


FINDERS: dict[str, Callable[[str], list[Span]]] = {
    "date": _found(_DATE),
    "time": _found(_TIME),
    "email": _found(_EMAIL),
    "url": _found(_URL),
    "phone": _found(_PHONE),
    "code": _found(_CODE),
    "colour": _found(_COLOUR),
    "language": _found(_LANGUAGE),
    "quote": _quotes,
}


def numbers(text: str) -> list[tuple[Span, float]]:
    """Gives the numbers in a text, in digits or in words, but not those of dates and times."""
    taken = [span for role in ("date", "time") for span in FINDERS[role](text)]
    found = [Span(start=m.start(), end=m.end(), value=m.group()) for m in _NUMBER.finditer(text)]
    return [(span, _value(span.value)) for span in found if not any(_overlap(span, other) for other in taken)]


def places(text: str, prepositions: Iterable[str], *, known: frozenset[str] = frozenset()) -> list[Span]:
    """Gives the names after a preposition, several if they are joined by commas and "and".

    A name is capitalised words, or up to three words of a transcript in lower case; a word whose concept is `known`
    is none.
    """
    for match in re.finditer(rf"\b(?:{'|'.join(prepositions)})\s+(?:the\s+)?", text, re.IGNORECASE):
        if found := list(_names(text, match.end(), known)):
            return found
    return []


def _names(text: str, start: int, known: frozenset[str]) -> Iterator[Span]:
    while name := _name(text, start, known):
        yield name
        joint = _AND.match(text, name.end)
        if not joint:
            return
        start = joint.end()


def _name(text: str, start: int, known: frozenset[str]) -> Span | None:
    end = start
    taken: list[str] = []
    for match in _WORD.finditer(text, start, start + 80):
        word = match.group()
        if match.start() - end > (1 if taken else 0) or not _belongs(word, taken, known):
            break
        taken.append(word)
        end = match.end()
        if len(taken) == 4 or (taken[0].islower() and len(taken) == 3):
            break
    while taken and taken[-1] in _LINKS:
        end -= len(taken.pop()) + 1
    value = text[start:end].removesuffix("'s").removesuffix("’s")
    return Span(start=start, end=start + len(value), value=value) if value else None


def _belongs(word: str, taken: list[str], known: frozenset[str]) -> bool:
    plain = word.lower().replace("’", "'")
    if plain in _NOT_PLACES or word[0].isdigit():
        return False
    if word[0].isupper() and plain not in ("i", "i'm"):
        return not taken or not taken[0].islower()
    if taken and taken[0][0].isupper():
        return plain in _LINKS and plain != "and"
    return word[0].isalpha() and plain not in ORDINARY and concept(plain) not in known


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _value(said: str) -> float:
    """Gives what a number comes to: "-1,250.5", "twenty-one", "a hundred and five", "two point five"."""
    try:
        return float(said.replace(",", ""))
    except ValueError:
        whole, _, fraction = said.lower().partition(" point ")
    digits = "".join(str(_SMALL[word]) for word in fraction.split())
    total = part = 0
    for word in re.split(r"[\s-]+", whole):
        if word in _SMALL:
            part += _SMALL[word]
        elif word in _LARGE:
            part = max(part, 1) * _LARGE[word]
            if _LARGE[word] >= 1_000:
                total, part = total + part, 0
    return float(f"{total + part}.{digits or 0}")
