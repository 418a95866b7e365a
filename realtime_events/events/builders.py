"""Builders: short ways to write what a user, a system or an assistant said, and a hosted MCP server.

Owns only these few functions over `Item`, `ContentPart` and `Tool`. Before it: the application; after it:
`Session.add_item` and `Session.ask`, and a session's configuration.
"""

from __future__ import annotations

import base64
from typing import Literal

from .base import UNSET
from .items import ContentPart, Item
from .session import ApprovalFilter, Tool, ToolFilter

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


def hosted_mcp(
    label: str,
    *,
    url: str | None = None,
    connector_id: str | None = None,
    authorization: str | None = None,
    headers: dict[str, str] | None = None,
    description: str | None = None,
    allowed_tools: list[str] | ToolFilter | None = None,
    require_approval: Literal["always", "never"] | ApprovalFilter | None = None,
) -> Tool:
    """Give an MCP server that the API's own server lists and calls: put it into `session={"tools": [...]}`.

    Args:
        label: What it is called in the session.
        url: Where it is; or else `connector_id`, such as `"connector_googledrive"`.
        authorization: An OAuth token for it; it shows in no `repr` and no log.
        headers: Further headers for it.
        description: What the model is told of it.
        allowed_tools: Which of its tools the model may call; all by default.
        require_approval: Which calls wait for `session.approve`; the API's default is all.
    """
    return Tool(
        type="mcp",
        server_label=label,
        server_url=url or UNSET,
        connector_id=connector_id or UNSET,
        authorization=authorization or UNSET,
        headers=headers or UNSET,
        server_description=description or UNSET,
        allowed_tools=UNSET if allowed_tools is None else allowed_tools,
        require_approval=require_approval or UNSET,
    )


def _message(role: str, content: Parts, kind: str, id: str | None) -> Item:
    if isinstance(content, str):
        content = [ContentPart(type=kind, text=content)]
    elif isinstance(content, ContentPart):
        content = [content]
    if id is None:
        return Item(type="message", role=role, content=content)
    return Item(type="message", id=id, role=role, content=content)
