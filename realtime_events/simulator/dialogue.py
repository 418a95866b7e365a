"""A conversation, read for what a brain must answer.

Owns the reading of items: who said what last, and which tool outputs nobody has spoken about yet. Decides nothing.
Before it: `plans.py`; after it: the brains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..events.base import Struct
from ..events.items import ContentPart, Item

__all__ = ["Dialogue", "Output", "Said", "words_of"]


class Said(Struct, frozen=True, kw_only=True):
    """One message of a conversation. `seen` counts its images."""

    role: str
    text: str
    seen: int = 0


class Output(Struct, frozen=True, kw_only=True):
    """One tool output that came after the user's last message. `name` is empty where its call is not known."""

    name: str
    text: str


class Dialogue(Struct, frozen=True, kw_only=True):
    """What a conversation comes to: its messages, the tool outputs since the user last spoke, the last call's name."""

    messages: Sequence[Said] = ()
    outputs: Sequence[Output] = ()
    last_called: str = ""

    @classmethod
    def of(cls, items: Sequence[Item]) -> Dialogue:
        """Reads the items, in their order."""
        calls = {item.call_id: item.name or "" for item in items if item.type == "function_call"}
        messages = [_said(item) for item in items if item.type == "message"]
        return cls(
            messages=messages,
            outputs=[
                Output(name=calls.get(item.call_id, ""), text=item.output or "") for item in _fresh_outputs(items)
            ],
            last_called=[*calls.values()][-1] if calls else "",
        )

    @property
    def said(self) -> str:
        """The user's last words; empty if there are none."""
        return self.before(0)

    def before(self, turns: int) -> str:
        """Gives the user's words so many messages of theirs before the last."""
        texts = [message.text for message in self.messages if message.role == "user"]
        return texts[-1 - turns] if turns < len(texts) else ""

    @property
    def seen(self) -> int:
        """The images in the user's last message."""
        return next((message.seen for message in reversed(self.messages) if message.role == "user"), 0)

    @property
    def was_asked(self) -> bool:
        """Whether the assistant's last message before the user's last one was a question."""
        asked = [message for message in self.messages if message.role in ("user", "assistant")][-2:-1]
        return bool(asked) and asked[0].role == "assistant" and asked[0].text.rstrip().endswith("?")


def words_of(item: Item) -> str:
    """Gives a message's words: its texts, and the transcripts of its audio."""
    return " ".join(filter(None, (_words(part) for part in item.content or ()))).strip()


def _words(part: ContentPart) -> str:
    return part.text or part.transcript or ""


def _said(item: Item) -> Said:
    images = sum(part.type == "input_image" for part in item.content or ())
    return Said(role=item.role or "", text=words_of(item), seen=images)


def _fresh_outputs(items: Sequence[Item]) -> list[Item]:
    """Gives the tool outputs after the last message, in order; a message after them has answered or overtaken them."""

    def newest_first() -> Iterator[Item]:
        for item in reversed(items):
            if item.type == "message" and item.role in ("user", "assistant"):
                return
            if item.type == "function_call_output":
                yield item

    return [*newest_first()][::-1]
