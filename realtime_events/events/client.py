"""The client events of the GA dialect: everything a client can say to a realtime or transcription session.

Owns their shapes only; State decides when each of them is allowed.
"""

from __future__ import annotations

from .base import UNSET, ClientEvent, UnsetType
from .items import Item
from .response import ResponseCreateParams
from .session import SessionConfig


class SessionUpdate(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    """Change the session; answered by `session.updated`.

    What is absent is kept; `""`, `[]` and None clear. The model cannot be changed, nor the voice once it has spoken.
    """

    session: SessionConfig


class InputAudioBufferAppend(ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.append"):
    """Add audio to the input buffer; not acknowledged.

    `audio` is bytes in the session's input format, at most 15 MiB.
    """

    audio: bytes


class InputAudioBufferCommit(ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.commit"):
    """Make a user item of the input buffer; answered by `input_audio_buffer.committed`."""


class InputAudioBufferClear(ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.clear"):
    """Throw the input buffer away; answered by `input_audio_buffer.cleared`."""


class OutputAudioBufferClear(ClientEvent, frozen=True, kw_only=True, tag="output_audio_buffer.clear"):
    """Stop the audio that is being played (WebRTC and SIP only); answered by `output_audio_buffer.cleared`.

    Send `response.cancel` first.
    """


class ConversationItemCreate(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.create"):
    """Add an item to the conversation; answered by `conversation.item.added`.

    It goes to the end, or after `previous_item_id` (`root` is the front). Assistant audio cannot be created.
    """

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class ConversationItemRetrieve(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.retrieve"):
    """Ask for an item with its audio; answered by `conversation.item.retrieved`."""

    item_id: str


class ConversationItemTruncate(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.truncate"):
    """Say how much of an assistant item was heard; answered by `conversation.item.truncated`.

    `audio_end_ms` is inclusive and not beyond the audio there is; `content_index` is 0.
    """

    item_id: str
    content_index: int = 0
    audio_end_ms: int


class ConversationItemDelete(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.delete"):
    """Delete an item; answered by `conversation.item.deleted`."""

    item_id: str


class ResponseCreate(ClientEvent, frozen=True, kw_only=True, tag="response.create"):
    """Ask for a response; answered by `response.created`."""

    response: ResponseCreateParams | UnsetType | None = UNSET


class ResponseCancel(ClientEvent, frozen=True, kw_only=True, tag="response.cancel"):
    """Cancel a response: the one that runs in the conversation, or `response_id`; answered by `response.done`."""

    response_id: str | UnsetType | None = UNSET


CLIENT_EVENTS: tuple[type[ClientEvent], ...] = (
    SessionUpdate,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferClear,
    OutputAudioBufferClear,
    ConversationItemCreate,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ConversationItemDelete,
    ResponseCreate,
    ResponseCancel,
)
