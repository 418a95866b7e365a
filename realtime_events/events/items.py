"""Conversation items and their content parts.

Owns one `Item` and one `ContentPart` for every kind of them, sent or received: which fields are there depends on
`type` (and, for messages, on `role`), and a kind newer than this package still decodes. Builders live elsewhere.
"""

from __future__ import annotations

from typing import Any

from .base import UNSET, Struct, UnsetType
from .enums import Detail, ItemStatus, ItemType, McpErrorType, PartType, Phase, Role


class ContentPart(Struct, frozen=True, kw_only=True):
    """One part of a message's content.

    `input_text` and `output_text` have `text`; `input_audio` and `output_audio` have `audio` (bytes in the session's
    format; base64 on the wire) and `transcript`; `input_image` has `image_url` (a data URI) and `detail`. The server
    leaves the audio out of most events. In `response.content_part.*` and in the beta dialect the types are `text` and
    `audio`; `id` belongs to the beta dialect's `item_reference`.
    """

    type: PartType | UnsetType | None = UNSET
    text: str | UnsetType | None = UNSET
    transcript: str | UnsetType | None = UNSET
    audio: bytes | UnsetType | None = UNSET
    image_url: str | UnsetType | None = UNSET
    detail: Detail | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET


class McpListedTool(Struct, frozen=True, kw_only=True):
    """A tool an MCP server offers. `input_schema` is a JSON Schema."""

    name: str = ""
    description: str | UnsetType | None = UNSET
    input_schema: Any = UNSET
    annotations: Any = UNSET


class McpError(Struct, frozen=True, kw_only=True):
    """Why a call to an MCP server failed."""

    type: McpErrorType | UnsetType | None = UNSET
    code: int | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET


class Item(Struct, frozen=True, kw_only=True):
    """One item of a conversation.

    | `type` | fields |
    | --- | --- |
    | `message` | `role`, `content`, `phase` |
    | `function_call` | `call_id`, `name`, `arguments` (JSON text) |
    | `function_call_output` | `call_id`, `output` (any text) |
    | `mcp_list_tools` | `server_label`, `tools` |
    | `mcp_call` | `server_label`, `name`, `arguments`, `approval_request_id`, `output`, `error` |
    | `mcp_approval_request` | `server_label`, `name`, `arguments` |
    | `mcp_approval_response` | `approval_request_id`, `approve`, `reason` |
    | `item_reference` | `id`, in the input of `response.create` only |
    """

    type: ItemType | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    object: str | UnsetType | None = UNSET
    status: ItemStatus | UnsetType | None = UNSET
    role: Role | UnsetType | None = UNSET
    content: list[ContentPart] | UnsetType | None = UNSET
    phase: Phase | UnsetType | None = UNSET
    call_id: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    arguments: str | UnsetType | None = UNSET
    output: str | UnsetType | None = UNSET
    server_label: str | UnsetType | None = UNSET
    tools: list[McpListedTool] | UnsetType | None = UNSET
    error: McpError | UnsetType | None = UNSET
    approval_request_id: str | UnsetType | None = UNSET
    approve: bool | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET
