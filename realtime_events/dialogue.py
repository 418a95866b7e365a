"""The conversation of a live session: the same as any other, and it can be edited at the server.

Owns nothing but the way from an edit to the session's requests. Before it: the application; after it: the session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from .events.items import Item
from .protocol.conversation import Conversation, ConversationItem

EDIT_TIMEOUT_S = 10.0

Edit = Callable[[Sequence[Item | ConversationItem], float | None], Awaitable[None]]


class LiveConversation(Conversation):
    """What was said in a live session."""

    def __init__(self, edit: Edit) -> None:
        super().__init__()
        self._edit = edit

    async def edit(self, wanted: Sequence[Item | ConversationItem], *, timeout: float | None = EDIT_TIMEOUT_S) -> None:
        """Make the conversation what is wanted, by the fewest client events, and wait until each is acknowledged.

        Args:
            wanted: The items in their new order: those of `items` that shall stay, and new ones; what is missing is
                deleted. An item that is changed is deleted and created anew, the assistant's audio as its words.
            timeout: Seconds to wait.

        Raises:
            ServerError: The server refused one of the events; the others may have been carried out.
            TimeoutError: It took longer than `timeout`.
        """
        await self._edit(wanted, timeout)
