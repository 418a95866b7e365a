"""Batches: the tool calls of one response, which get one follow-up together.

Owns which call belongs to which response and turn, which are open, and the limits that end a run-away model. Pure.
Before it: `core.py`, which hears of calls and answers; after it: `core.py` again, which asks for the follow-up.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

import msgspec

from ..events.local import ToolCall
from .turns import Turn

__all__ = ["Batch", "Batches", "ToolLimits", "WhenDone", "output_item_id"]

WhenDone = Literal["idle", "interrupt", "silent"]
REMEMBERED_CALLS = 4096
REMEMBERED_ITEMS = 64  # of one call
MINUTE_S = 60.0
URGENCY: dict[WhenDone, int] = {"silent": 0, "idle": 1, "interrupt": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """How far a model may go with its tools before it is stopped.

    Attributes:
        rounds_per_turn: After so many responses with calls in one turn, a last one is asked for without tools.
        calls_per_response: Further calls of one response are answered unrun.
        calls_per_minute: As are calls beyond this rate, in any minute of a session, whatever its turns.
        parallel: How many calls of a session run at once; more wait.
        identical: How often in a row one tool runs with the same arguments in a turn, in one response or in one after
            the other; a response without that call begins the count anew.
    """

    rounds_per_turn: int = 10
    calls_per_response: int = 16
    calls_per_minute: int = 60
    parallel: int = 16
    identical: int = 3


@dataclass(eq=False, slots=True)
class Batch:
    """The calls of one response. `ended` is its response's status once that is over."""

    turn: Turn | None
    open: dict[str, ToolCall] = field(default_factory=dict[str, ToolCall])
    items: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    size: int = 0
    ended: str = ""
    respond: bool = False
    when_done: WhenDone = "silent"

    @property
    def is_complete(self) -> bool:
        """Whether its response has ended and every call of it is answered."""
        return bool(self.ended) and not self.open

    def answer(self, call_id: str, *, respond: bool, when_done: WhenDone) -> ToolCall:
        """Take note of an answer, and give its call; the follow-up is as urgent as the most urgent of them."""
        call = self.open.pop(call_id)
        if respond:
            self.respond = True
            self.when_done = max(self.when_done, when_done, key=URGENCY.__getitem__)
        return call


class Batches:
    """All batches of a session."""

    def __init__(self, limits: ToolLimits) -> None:
        self.limits = limits
        self._calls: OrderedDict[str, Batch] = OrderedDict()
        self._running: dict[str, Batch] = {}
        self._unsettled: dict[Batch, None] = {}
        self._times: deque[float] = deque()
        self._orphaned: list[Batch] = []
        self.duplicates = 0
        """How many items came with the id of a call that another item had made."""

    def go_on_from(self, before: Batches) -> None:
        """Take over what counts for a session and not for a conversation: its rate of calls, and what was counted."""
        self._times, self.duplicates = before._times, before.duplicates

    @property
    def are_open(self) -> bool:
        """Whether any call is not settled."""
        return bool(self._unsettled)

    def knows(self, call: ToolCall) -> bool:
        """Say whether the call was begun before, be it answered or not; its id in another item is counted."""
        batch = self._calls.get(call.call_id)
        if batch is None:
            return False
        items = batch.items[call.call_id]
        if call.item_id and call.item_id not in items and len(items) < REMEMBERED_ITEMS:
            items.add(call.item_id)
            self.duplicates += 1
        return True

    def begin(self, call: ToolCall, turn: Turn | None, now: float) -> str:
        """Note a new call of a response, and give the reason why it must not run, or ""."""
        batch = self._running.get(call.response_id)
        if batch is None:
            batch = self._running[call.response_id] = Batch(turn)
            self._unsettled[batch] = None
        self._calls[call.call_id] = batch
        batch.open[call.call_id] = call
        batch.items[call.call_id] = {call.item_id}
        batch.size += 1
        if len(self._calls) > REMEMBERED_CALLS:
            self._forget_one()
        return self._refusal(batch, now)

    def _forget_one(self) -> None:
        """Forget the oldest call that is answered: a call shows up again only within its own response."""
        for call_id, batch in self._calls.items():
            if call_id not in batch.open:
                del self._calls[call_id]
                return

    def _refusal(self, batch: Batch, now: float) -> str:
        limits = self.limits
        if batch.turn is not None and batch.turn.rounds >= limits.rounds_per_turn:
            return f"{limits.rounds_per_turn} rounds of tool calls in one turn are the limit; answer with what you know"
        if batch.size > limits.calls_per_response:
            return f"{limits.calls_per_response} tool calls in one response are the limit; make the rest in the next"
        while self._times and self._times[0] <= now - MINUTE_S:
            self._times.popleft()
        if len(self._times) >= limits.calls_per_minute:
            return f"{limits.calls_per_minute} tool calls in a minute are the limit; go on without, or try later"
        self._times.append(now)
        return ""

    def of(self, call_id: str) -> Batch | None:
        """Give the batch of a call that has no answer yet."""
        batch = self._calls.get(call_id)
        return batch if batch is not None and call_id in batch.open else None

    def response_ended(self, response_id: str, status: str) -> Batch | None:
        """Give the batch of a response that has ended, if it made calls."""
        batch = self._running.pop(response_id, None)
        if batch is not None:
            batch.ended = status
        return batch

    def assume_ended(self) -> list[Batch]:
        """Count every response as ended whose end may have been missed, and give the batches of their calls."""
        batches = list(self._running.values())
        self._running.clear()
        for batch in batches:
            batch.ended = batch.ended or "completed"
        return batches

    def settle(self, batch: Batch) -> None:
        """Forget a complete batch; its calls stay known."""
        self._unsettled.pop(batch, None)

    def hold(self, turn: Turn) -> bool:
        """Say whether a turn has calls that are not settled, so that it is not over."""
        return any(batch.turn is turn for batch in self._unsettled)

    def orphan(self) -> list[ToolCall]:
        """Give every open call and close it: the conversation that asked is gone, and nobody may be answered."""
        self._orphaned = [replace(batch, turn=None, ended="completed") for batch in self._unsettled if batch.open]
        for batch in self._unsettled:
            batch.open = {}
        self._unsettled.clear()
        self._running.clear()
        return [call for batch in self._orphaned for call in batch.open.values()]

    @property
    def waiting(self) -> set[str]:
        """The ids of the calls that wait for their answer, in this conversation or, of one that is gone, in another."""
        return {call_id for batch in (*self._unsettled, *self._orphaned) for call_id in batch.open}

    def take_in(self, before: Batches, call_ids: Mapping[str, str], item_ids: Mapping[str, str]) -> dict[str, str]:
        """Go on with the calls of a conversation that is gone, as far as they were said again in this one.

        Args:
            before: The batches of that conversation.
            call_ids: The new ids of its calls.
            item_ids: The new ids of its items.

        Returns:
            The new ids of the calls that go on.
        """
        taken = dict[str, str]()
        for batch in before._orphaned:
            known = [call for call in batch.open.values() if call.call_id in call_ids and call.item_id in item_ids]
            batch.open, batch.items = {}, {}
            for call in known:
                now_called, item_id = call_ids[call.call_id], item_ids[call.item_id]
                taken[call.call_id] = now_called
                batch.open[now_called] = msgspec.structs.replace(call, call_id=now_called, item_id=item_id)
                batch.items[now_called] = {item_id}
                self._calls[now_called] = batch
            if known:
                self._unsettled[batch] = None
        return taken


def output_item_id(call_id: str) -> str:
    """Give the id of a call's output item; always the same one, so that a resend after doubt can be looked up."""
    return f"item_{blake2b(call_id.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"
