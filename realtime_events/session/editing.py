"""Editing: items of the conversation, one by one or many at once.

Owns the commands that add, delete, shorten and fetch items, and the two that say a whole conversation. What has to be
said is worked out by the conversation itself (`protocol/conversation/`). Before it: the application; after it: requests
on their way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..events import client, server
from ..events.base import ClientEvent
from ..events.items import Item
from ..protocol.conversation import Conversation, ConversationItem, Dropped
from ..protocol.resume import Resumption
from ..streams import within
from .sending import REQUEST_TIMEOUT_S, Sending

SEED_TIMEOUT_S = 30.0


class Editing(Sending):
    """What can be done to the items of a conversation."""

    async def add_item(self, item: Item, *, timeout: float | None = REQUEST_TIMEOUT_S) -> Item:
        """Add an item to the conversation without asking for a response, and give it as the server took it.

        The builders `user`, `assistant`, `system`, `image` and `audio` make items and their parts.

        Raises:
            ServerError: The server refused it.
            TimeoutError: The server did not confirm it in time.
        """
        added: server.ConversationItemAdded = await self.request(self._core.create_item(item), timeout=timeout)
        return added.item

    async def delete_item(self, item_id: str, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Delete an item of the conversation, and return when the server has.

        Raises:
            ServerError: There is no such item.
        """
        await self.request(client.ConversationItemDelete(item_id=item_id), timeout=timeout)

    async def truncate_item(
        self, item_id: str, *, audio_end_ms: int, timeout: float | None = REQUEST_TIMEOUT_S
    ) -> None:
        """Tell the server that the user heard an assistant item only up to `audio_end_ms`.

        `interrupt` does so by itself.

        Raises:
            ServerError: There is no such item, or it has less audio.
        """
        await self.request(client.ConversationItemTruncate(item_id=item_id, audio_end_ms=audio_end_ms), timeout=timeout)

    async def retrieve_item(self, item_id: str, *, timeout: float | None = REQUEST_TIMEOUT_S) -> Item:
        """Give an item as the server has it, with its audio, which `conversation` does not keep.

        Raises:
            ServerError: There is no such item.
        """
        retrieved: server.ConversationItemRetrieved = await self.request(
            client.ConversationItemRetrieve(item_id=item_id), timeout=timeout
        )
        return retrieved.item

    async def seed(self, saved: Conversation, *, timeout: float | None = SEED_TIMEOUT_S) -> tuple[Dropped, ...]:
        """Say a saved conversation again to the server, in order; gives what could not be said again, and why.

        Assistant text is given as `output_text`, audio as its transcript: of what was interrupted, what was heard.

        Raises:
            ServerError: The server refused an item.
            TimeoutError: It took longer than `timeout`.
        """
        items = Resumption().take(saved, self._new_id)
        async with within(timeout, "the server did not take over the saved conversation"):
            await self._all_answered([self._core.create_item(item) for item in items])
        return tuple(saved.seed().dropped)

    async def _edit(self, wanted: Sequence[Item | ConversationItem], timeout: float | None) -> None:
        plan = self._core.conversation.edit_plan(wanted, new_id=self._new_id)
        async with within(timeout, "the server did not confirm the edit"):
            await self._all_answered(plan)

    async def _all_answered(self, events: Sequence[ClientEvent]) -> None:
        """Send events in order, and wait for the acknowledgement of each; the first refusal is raised."""
        loop = asyncio.get_running_loop()
        waits = [
            loop.create_task(self.request(event, timeout=None), name="realtime_events.session.request")
            for event in events
        ]
        try:
            for wait in waits:
                await wait
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
