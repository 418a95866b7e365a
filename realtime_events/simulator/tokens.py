"""How many tokens things cost in the simulator.

Owns rough, fixed rates, so that usage adds up and is the same in every run. Knows no event it is used in.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..events.items import Item
from ..events.response import CachedTokenDetails, InputTokenDetails, OutputTokenDetails, Usage
from .conversation import Entry

CHARACTERS_PER_TOKEN = 4
INPUT_AUDIO_MS_PER_TOKEN = 100
OUTPUT_AUDIO_MS_PER_TOKEN = 50
IMAGE_TOKENS = 256
CACHE_BLOCK = 64


class Count:
    """Tokens by modality; they only grow."""

    __slots__ = ("audio", "image", "text")

    def __init__(self, text: int = 0, audio: int = 0, image: int = 0) -> None:
        self.text = text
        self.audio = audio
        self.image = image

    @property
    def total(self) -> int:
        """The tokens of all modalities."""
        return self.text + self.audio + self.image

    def add_item(self, item: Item, *, audio_ms: int = 0) -> None:
        """Count one item of the context."""
        self.text += text_tokens(item.arguments or "") + text_tokens(item.output or "")
        self.audio += -(-audio_ms // INPUT_AUDIO_MS_PER_TOKEN)
        for part in item.content or ():
            self.text += text_tokens(part.text or "")
            self.image += IMAGE_TOKENS if part.type == "input_image" else 0


def text_tokens(text: str) -> int:
    """Count the tokens of a text."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def context_tokens(entries: Iterable[Entry], *, prompt: str) -> Count:
    """Count what a response reads: its instructions and tools, and the items."""
    count = Count(text=text_tokens(prompt))
    for entry in entries:
        count.add_item(entry.item, audio_ms=entry.audio_ms)
    return count


def usage(read: Count, cached: Count, written: Count) -> Usage:
    """Put the usage of one response together; what is cached is part of what is read."""
    text, audio = _cached(read.text, cached.text), _cached(read.audio, cached.audio)
    image = _cached(read.image, cached.image)
    return Usage(
        total_tokens=read.total + written.total,
        input_tokens=read.total,
        output_tokens=written.total,
        input_token_details=InputTokenDetails(
            text_tokens=read.text,
            audio_tokens=read.audio,
            image_tokens=read.image,
            cached_tokens=text + audio + image,
            cached_tokens_details=CachedTokenDetails(text_tokens=text, audio_tokens=audio, image_tokens=image),
        ),
        output_token_details=OutputTokenDetails(text_tokens=written.text, audio_tokens=written.audio),
    )


def _cached(now: int, before: int) -> int:
    return min(now, before) // CACHE_BLOCK * CACHE_BLOCK
