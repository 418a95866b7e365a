"""Builders of conversation items: short ways to write what a user, a system or an assistant said.

Owns only these few functions over `Item` and `ContentPart`. Before it: the application; after it: `Session.add_item`
and `Session.ask`.
"""

from __future__ import annotations

import base64
from typing import Literal

from .items import ContentPart, Item

Parts = str | ContentPart | list[ContentPart]


def user(content: Parts, *, id: str | None = None) -> Item:
    """Give a user message of a text, a part (`image(...)`, `audio(...)`) or several parts."""
    return _message("user", content, "input_text", id)


def system(content: Parts, *, id: str | None = None) -> Item:
    """Give a system message."""
    return _message("system", content, "input_text", id)


def assistant(content: Parts, *, id: str | None = None) -> Item:
    """Give an assistant message of text; the API takes no assistant audio from a client."""
    return _message("assistant", content, "output_text", id)


def text(words: str) -> ContentPart:
    """Give a text part of a user or system message."""
    return ContentPart(type="input_text", text=words)


def audio(data: bytes, *, transcript: str | None = None) -> ContentPart:
    """Give an audio part of a user message; `data` is in the session's input format."""
    if transcript is None:
        return ContentPart(type="input_audio", audio=data)
    return ContentPart(type="input_audio", audio=data, transcript=transcript)


def image(
    data: bytes | str, *, detail: Literal["auto", "low", "high"] | None = None, media_type: str = "image/png"
) -> ContentPart:
    """Give an image part of a user message: PNG or JPEG bytes, or a data URI."""
    url = data if isinstance(data, str) else f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    if detail is None:
        return ContentPart(type="input_image", image_url=url)
    return ContentPart(type="input_image", image_url=url, detail=detail)


def _message(role: str, content: Parts, kind: str, id: str | None) -> Item:
    if isinstance(content, str):
        content = [ContentPart(type=kind, text=content)]
    elif isinstance(content, ContentPart):
        content = [content]
    if id is None:
        return Item(type="message", role=role, content=content)
    return Item(type="message", id=id, role=role, content=content)
