"""Requests: what was asked of the server, and which of its events answers it.

Owns the matching of acknowledgements and of `error` events to their cause. Pure. Before it: commands and server
events, by way of `core.py`; after it: the settled requests.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ..events import client, server, translation
from ..events.base import ClientEvent, ServerEvent
from ..exceptions import ServerError

REMEMBERED_SENDS = 256
INVALID_REQUEST = "invalid_request_error"

# Which client event an error code is about; used only where the server left the event's id out.
CAUSE_OF_CODE: dict[str, type[ClientEvent]] = {
    "conversation_already_has_active_response": client.ResponseCreate,
    "response_cancel_not_active": client.ResponseCancel,
    "input_audio_buffer_commit_empty": client.InputAudioBufferCommit,
    "item_truncate_invalid_item_id": client.ConversationItemTruncate,
    "item_delete_invalid_item_id": client.ConversationItemDelete,
    "item_retrieve_invalid_item_id": client.ConversationItemRetrieve,
}

# Which server event acknowledges a client event.
ACKNOWLEDGES: dict[type[ClientEvent], type[ServerEvent]] = {
    client.SessionUpdate: server.SessionUpdated,
    client.ConversationItemCreate: server.ConversationItemAdded,
    client.ConversationItemDelete: server.ConversationItemDeleted,
    client.ConversationItemTruncate: server.ConversationItemTruncated,
    client.ConversationItemRetrieve: server.ConversationItemRetrieved,
    client.InputAudioBufferCommit: server.InputAudioBufferCommitted,
    client.InputAudioBufferClear: server.InputAudioBufferCleared,
    client.OutputAudioBufferClear: server.OutputAudioBufferCleared,
    translation.SessionUpdate: translation.SessionUpdated,
    translation.SessionClose: translation.SessionClosed,
}
WITHOUT_ITEM = (
    client.SessionUpdate,
    client.InputAudioBufferCommit,
    client.InputAudioBufferClear,
    client.OutputAudioBufferClear,
    translation.SessionUpdate,
    translation.SessionClose,
)
AUDIO = (client.InputAudioBufferAppend, translation.SessionInputAudioBufferAppend)


@dataclass(eq=False, slots=True)
class Request:
    """A client event that was sent.

    `waiter` is whatever the caller wants back when it is settled, or None; `audio_until` how much of the user's audio
    came before it, in bytes of all that was accepted.
    """

    event: ClientEvent
    waiter: Any = None
    audio_until: int = 0


class Requests:
    """The sent events that may still be answered, oldest first; those that nobody awaits are forgotten in time."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, Request] = OrderedDict()

    def add(self, event: ClientEvent, waiter: Any = None, audio_until: int = 0) -> None:
        """Remember a sent event by its `event_id`."""
        if not event.event_id or isinstance(event, AUDIO):
            return  # Audio is not kept just to be named in an error.
        self._sent[event.event_id] = Request(event, waiter, audio_until)
        if len(self._sent) > REMEMBERED_SENDS:
            self._forget_one()

    def _forget_one(self) -> None:
        for event_id, request in self._sent.items():
            if request.waiter is None:
                del self._sent[event_id]
                return

    def acknowledged_by(self, event: ServerEvent) -> Request | None:
        """Take out the oldest request that this event acknowledges."""
        for event_id, request in self._sent.items():
            if ACKNOWLEDGES.get(type(request.event)) is type(event) and _names_same_item(request.event, event):
                del self._sent[event_id]
                return request
        return None

    def blamed_by(self, error: server.ErrorEvent) -> Request | None:
        """Take out the request that an error is about.

        It is named by `event_id`, else by the error's code, else it is the one that somebody awaits, or the one
        response that was asked for; where several could be meant, none is.
        """
        if error.error.event_id:
            return self._sent.pop(error.error.event_id, None)
        cause = CAUSE_OF_CODE.get(error.error.code or "")
        if cause is not None:
            candidates = [key for key, request in self._sent.items() if type(request.event) is cause]
        elif error.error.type == INVALID_REQUEST:
            candidates = [key for key, request in self._sent.items() if _is_awaited(request)]
        else:
            candidates = []
        return self._sent.pop(candidates[0]) if len(candidates) == 1 else None

    @property
    def awaited_type(self) -> str:
        """The type of the oldest request whose answer somebody waits for; "" if there is none."""
        awaited = (request.event.type for request in self._sent.values() if request.waiter is not None)
        return next(awaited, "")

    def attach(self, event: ClientEvent, waiter: Any) -> bool:
        """Have somebody wait for the answer to an event that was sent before; false if it is answered already."""
        request = self._sent.get(event.event_id or "")
        if request is None or request.waiter is not None:
            return False
        request.waiter = waiter
        return True

    def forget(self, event: ClientEvent) -> None:
        """Drop a request that was answered by something else than an acknowledgement."""
        self._sent.pop(event.event_id or "", None)

    def abandon(self, event: ClientEvent) -> None:
        """Nobody awaits a request any more; it stays in its place, so that a late answer is not taken for another's."""
        if (request := self._sent.get(event.event_id or "")) is not None:
            request.waiter = None

    def take_all(self) -> list[Request]:
        """Take out everything, because no answer can come any more."""
        requests = list(self._sent.values())
        self._sent.clear()
        return requests


def _is_awaited(request: Request) -> bool:
    # A response that is asked for is remembered until it begins; who waits for it waits at `Responses`.
    return request.waiter is not None or isinstance(request.event, client.ResponseCreate)


def _names_same_item(sent: Any, event: Any) -> bool:
    """Compare item ids where both sides have one; acknowledgements without an id are taken in order."""
    if isinstance(sent, WITHOUT_ITEM):
        return True
    asked = sent.item.id if isinstance(sent, client.ConversationItemCreate) else sent.item_id
    answered = event.item.id if hasattr(event, "item") else event.item_id
    return bool(asked == answered)


def server_error(event: server.ErrorEvent, sent: ClientEvent | None = None) -> ServerError:
    """Turn the API's `error` event into the exception that a waiting call raises."""
    error = event.error
    return ServerError(
        error.message or "",
        type=error.type or "",
        code=error.code or None,
        param=error.param or None,
        event_id=error.event_id or None,
        sent_event=sent,
    )
