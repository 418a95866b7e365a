"""Where the items of a conversation are found, made, placed and let go.

Owns which items there are, which response each belongs to, and the bounds on what is kept. Knows no event. Before it:
`history.py`, which says what events say; after it: `items.py` and `order.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ...events.items import Item
from .items import INFERRED, ConversationItem, Part
from .order import ROOT, Order

ADDED, DONE = 0, 1  # How sure an event is of an item's place: one at its end knows what was inserted meanwhile.
REMEMBERED_RESPONSES: Final = 256
MOST_COMING: Final = 16


class Store:
    """The items of a conversation, by id and in order.

    Attributes:
        items: All that are shown, by id.
        coming: Items of which the user's speech has begun; they are shown when the server says that they are items.
        began_s: The time of the first event; None before it.
    """

    def __init__(self, *, retain_image_bytes: int) -> None:
        self.items: dict[str, ConversationItem] = {}
        self.coming: dict[str, ConversationItem] = {}
        self.began_s: float | None = None
        self._retain_image_bytes = retain_image_bytes
        self._order = Order()
        self._front = ROOT
        self._running: dict[str, list[ConversationItem]] = {}
        self._outcomes: dict[str, str] = {}
        self._apart: dict[str, None] = {}
        self._images: list[Part] = []
        self._image_bytes = 0

    def __iter__(self) -> Iterator[ConversationItem]:
        return iter([self.items[item_id] for item_id in self._order.ids()])

    @property
    def last_id(self) -> str:
        """The id of the last item, or ""."""
        ids = self._order.ids()
        return ids[-1] if ids else ""

    # Finding and making.

    def find(self, item_id: Any, now: float | None = None) -> ConversationItem | None:
        """Find an item or make it; None for one that was deleted, and for none at all."""
        if not item_id or self._order.is_removed(item_id):
            return None
        item = self.items.get(item_id)
        if item is None:
            item = self.coming.pop(item_id, None) or ConversationItem(id=item_id)
            self.items[item_id] = item
            self._order.see(item_id)
        if now is not None:
            self._start(item, now)
        return item

    def spoken(self, item_id: str, now: float) -> ConversationItem | None:
        """Find an item of the user's speech, or make one that is still to come."""
        if not item_id or self._order.is_removed(item_id):
            return None
        item = self.items.get(item_id) or self.coming.get(item_id)
        if item is None:
            item = self.coming[item_id] = ConversationItem(id=item_id, type="message", role="user")
            if len(self.coming) > MOST_COMING:
                del self.coming[next(iter(self.coming))]
        self._start(item, now)
        return item

    def generated(self, item_id: Any, response_id: str, now: float | None = None) -> ConversationItem | None:
        """Find or make an item of a response; None if the response is out of band."""
        if response_id in self._apart and item_id not in self.items:
            return None
        item = self.find(item_id, now)
        if item is not None and response_id and not item.response_id:
            item.response_id = response_id
            outcome = self._outcomes.get(response_id)
            if outcome is None:
                self._running.setdefault(response_id, []).append(item)
            else:
                _settle_by(item, outcome)
        return item

    def _start(self, item: ConversationItem, now: float) -> None:
        if item.started_s is None:
            item.started_s = now
        if self.began_s is None or now < self.began_s:
            self.began_s = now

    # Placing and letting go.

    def place(self, item: ConversationItem, previous: Any, sureness: int) -> None:
        """Put an item behind another; None, other than an absent id, is the front of the server's session."""
        item.in_conversation = True
        if previous is None or isinstance(previous, str):
            self._order.put(item.id, self._front if previous in (None, "", ROOT) else previous, sureness)

    def begin_behind(self) -> None:
        """Keep all items, and let those of another session come behind them."""
        self._front = self.last_id or ROOT

    def restore(self, items: Sequence[ConversationItem]) -> None:
        """Take in items that were saved, in order."""
        previous = ROOT
        for item in items:
            self.items[item.id] = item
            self._order.put(item.id, previous, ADDED)
            self._keep_images(item)
            previous = item.id

    def begin_again(self, items: Sequence[ConversationItem]) -> None:
        """Forget everything but these items, which have new ids; the times go on."""
        began_s = self.began_s
        Store.__init__(self, retain_image_bytes=self._retain_image_bytes)
        for item in items:
            item.response_id = ""
        self.restore(items)
        self.began_s = began_s

    def remove(self, item_id: str) -> None:
        """Let an item go for good."""
        self.coming.pop(item_id, None)
        item = self.items.pop(item_id, None)
        if item is not None:
            self._leave_response(item)
            self._drop_images(item)
        if item_id:
            self._order.remove(item_id)

    # Responses.

    def end_response(self, response_id: str, outcome: str, now: float) -> None:
        """Settle every item of a response by how that ended, unless it says something else of itself."""
        for item in self._running.pop(response_id, ()):
            _settle_by(item, outcome)
            item.end(now)
        if response_id:
            _remember(self._outcomes, response_id, outcome)

    def set_apart(self, response_id: str) -> None:
        """Keep the items of an out-of-band response out of the conversation."""
        if not response_id or response_id in self._apart:
            return
        _remember(self._apart, response_id, None)
        for item in self._running.pop(response_id, ()):
            if not item.in_conversation:
                self.items.pop(item.id, None)
                self._order.forget(item.id)

    def _leave_response(self, item: ConversationItem) -> None:
        others = [other for other in self._running.get(item.response_id, ()) if other is not item]
        if others:
            self._running[item.response_id] = others
        else:
            self._running.pop(item.response_id, None)

    # Content and images.

    def take(self, item: ConversationItem, given: Item, *, is_final: bool) -> None:
        """Take over what the server says an item is."""
        item.take(given, is_final=is_final)
        self._keep_images(item)

    def _keep_images(self, item: ConversationItem) -> None:
        """Keep the images of an item; the oldest of the conversation lose theirs if there is too much."""
        for part in item.parts:
            if part.image_url and not any(part is known for known in self._images):
                self._images.append(part)
                self._image_bytes += len(part.image_url)
        while self._image_bytes > self._retain_image_bytes:
            oldest = self._images.pop(0)
            self._image_bytes -= len(oldest.image_url)
            oldest.image_url = ""

    def _drop_images(self, item: ConversationItem) -> None:
        for part in [known for known in self._images if any(known is part for part in item.parts)]:
            self._image_bytes -= len(part.image_url)
        self._images = [known for known in self._images if not any(known is part for part in item.parts)]


def _settle_by(item: ConversationItem, outcome: str) -> None:
    """Give an item the status that follows from how its response ended."""
    item.is_cancelled = outcome == "cancelled"
    item.settle("completed" if outcome == "completed" else "incomplete", INFERRED)


def _remember(known: dict[str, Any], key: str, value: Any) -> None:
    known[key] = value
    if len(known) > REMEMBERED_RESPONSES:
        del known[next(iter(known))]
