"""How many words of a transcript were heard when its audio stopped.

Owns one estimate. The API gives no times of words, so a word is taken to end where its last letter lies in the
transcript, in proportion to the audio. Knows no item. Before it: `items.py`; after it: captions and what is said again.
"""

from __future__ import annotations

import re
from typing import Final

# Chinese and Japanese are written without spaces: each of their characters counts as a word.
_WORD: Final = re.compile(r"[⺀-鿿豈-﫿]|[^\s⺀-鿿豈-﫿]+")


def words_heard(transcript: str, heard_ms: float, audio_ms: float) -> str:
    """Give the beginning of a transcript: its words that had ended after `heard_ms` of `audio_ms`."""
    if heard_ms <= 0 or audio_ms <= 0:
        return ""
    if heard_ms >= audio_ms:
        return transcript
    reached = len(transcript) * heard_ms / audio_ms
    end = 0
    for word in _WORD.finditer(transcript):
        if word.end() > reached:
            break
        end = word.end()
    return transcript[:end]
