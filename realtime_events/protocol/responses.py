"""Responses: which ones run, which have been asked for, and which are owed.

Owns the rule that no two in-band responses run at once, and the matching of a response that has begun to the request
that asked for it. Pure. Before it: `exchange.py`, which wants responses; after it: the same, which sends what `serve`
gives it.

Every request carries a tag of ours in its metadata, which the API gives back with the response. So a response that the
server began by itself, after its turn detection, is not taken for one that was asked for. A server that does not give
metadata back is understood by order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import msgspec

from ..events import client
from ..events.base import ClientEvent
from ..events.response import Response, ResponseCreateParams
from .turns import RunningResponse, Turn

__all__ = ["POLICIES", "TAG", "Policy", "Responses", "Wanted"]

Policy = Literal["queue", "cancel_active", "fail"]
POLICIES: Final[tuple[str, ...]] = get_args(Policy)

TAG: Final = "realtime_events.request"
MAX_METADATA_PAIRS: Final = 16  # the API's limit
REMEMBERED_RESPONSES: Final = 16


@dataclass(eq=False, slots=True)
class Wanted:
    """A response that somebody wants, from the wish to its end.

    Attributes:
        event: The request; another one after it was refused and is made again.
        turn: The turn that it answers, where `ask()` began one.
        after: The turn that must be over before, its tool rounds included.
        said: What goes out before the request.
        waiter: Told once it has begun (of its `RunningResponse`), or why it will not; None if nobody asks.
        end_waiter: Given the `Response` when it has ended.
        of_call: The tool call whose words it says.
        is_follow_up: Whether it only lets the model speak of tool outputs, which any other response does as well.
        interruptible: Whether somebody who speaks may cut it.
        running: The response, once it has begun.
    """

    event: client.ResponseCreate
    turn: Turn | None = None
    after: Turn | None = None
    said: tuple[ClientEvent, ...] = ()
    is_said: bool = False
    waiter: Any = None
    end_waiter: Any = None
    of_call: str = ""
    is_follow_up: bool = False
    interruptible: bool = True
    retried: bool = False
    dropped: bool = False
    running: RunningResponse | None = None

    @property
    def may_begin(self) -> bool:
        """Whether the turn that it waits for, if any, is over."""
        return self.after is None or self.after.status != "running"

    @property
    def in_band(self) -> bool:
        """Whether it belongs to the conversation; only one such response runs at a time."""
        return not self.event.response or self.event.response.conversation != "none"

    @property
    def is_plain(self) -> bool:
        """Whether it is asked for without instructions of its own, so that it speaks of all that is new."""
        return not self.event.response


@dataclass(slots=True)
class Responses:
    """All responses of one connection. `active` is the id of the in-band one that runs."""

    running: dict[str, RunningResponse] = field(default_factory=dict[str, RunningResponse])
    active: str | None = None
    asked: Wanted | None = None
    owed: list[Wanted] = field(default_factory=list[Wanted])
    beside: list[Wanted] = field(default_factory=list[Wanted])
    _ended: dict[str, None] = field(default_factory=dict[str, None])
    _gives_tags_back: bool = False

    @property
    def busy(self) -> bool:
        """Whether an in-band response runs or has been asked for."""
        return self.active is not None or self.asked is not None

    def waiting(self) -> Iterator[Wanted]:
        """Give the in-band wishes that have not begun, the one that was asked for first."""
        if self.asked is not None:
            yield self.asked
        yield from self.owed

    def serve(self) -> Wanted | None:
        """Take the next in-band response that is owed, if none stands against it; it has been asked for then."""
        first = next((wanted for wanted in self.owed if wanted.may_begin), None)
        if self.busy or first is None:
            return None
        self.owed.remove(first)
        self.asked = first
        return first

    def drop(self, wanted: Wanted) -> bool:
        """Forget a wish that has not been sent yet; says whether it was one."""
        if wanted not in self.owed:
            return False
        self.owed.remove(wanted)
        return True

    def begin(self, response: Response, *, server_may_begin: bool) -> RunningResponse:
        """Take note of a response that has begun, and find who asked for it.

        Args:
            response: As `response.created` tells it.
            server_may_begin: Whether turn detection is about to begin one by itself.
        """
        response_id = response.id or ""
        self._ended.pop(response_id, None)  # A server that counts from one again.
        running = self.find(response_id)
        wanted = self._wanted_of(response, server_may_begin)
        if wanted is not None:
            self._begun(wanted, running)
        running.may_be_asked_for = self.asked is not None
        running.in_band = wanted.in_band if wanted is not None else response.conversation_id is not None
        if running.in_band:
            self.active = running.id
        return running

    def answered_by(self, running: RunningResponse) -> Wanted | None:
        """Take out the in-band wish that a response without a tag, which has ended, was the answer to."""
        wanted = self.asked
        if wanted is None or running.wanted is not None or not running.in_band or not self._may_be_untagged(wanted):
            return None
        if not running.may_be_asked_for:
            return None
        self._begun(wanted, running)
        return wanted

    def _begun(self, wanted: Wanted, running: RunningResponse) -> None:
        wanted.running, running.wanted = running, wanted
        running.interruptible = wanted.interruptible
        if wanted is self.asked:
            self.asked = None
        else:
            self.beside.remove(wanted)

    def _wanted_of(self, response: Response, server_may_begin: bool) -> Wanted | None:
        metadata = response.metadata or {}
        if TAG in metadata:
            self._gives_tags_back = True
            return next((wanted for wanted in self.awaiting() if tag_of(wanted.event) == metadata[TAG]), None)
        if len(metadata) >= MAX_METADATA_PAIRS:  # There was no room for a tag.
            full = (wanted for wanted in self.awaiting() if _metadata_of(wanted.event) == metadata)
            if (wanted := next(full, None)) is not None:
                return wanted
        if response.conversation_id is None or (not response.conversation_id and self.asked is None):
            return next((wanted for wanted in self.beside if self._may_be_untagged(wanted)), None)
        if self.asked is None or not self._may_be_untagged(self.asked) or server_may_begin:
            return None
        return self.asked

    def awaiting(self) -> Iterator[Wanted]:
        """Give the wishes that have been asked for and have not begun, in band and out of it."""
        if self.asked is not None:
            yield self.asked
        yield from self.beside

    def _may_be_untagged(self, wanted: Wanted) -> bool:
        return not self._gives_tags_back or tag_of(wanted.event) is None

    def find(self, response_id: str) -> RunningResponse:
        """Give a response by its id; one that has ended, or was never heard of, is noted nowhere or newly."""
        running = self.running.get(response_id)
        if running is not None:
            return running
        running = RunningResponse(response_id)
        if response_id not in self._ended:
            self.running[response_id] = running
        return running

    def has_begun(self, response_id: str) -> bool:
        """Say whether `response.created` was heard of a response; servers and tapes may leave it out."""
        running = self.running.get(response_id)
        return running is not None and (running.turn is not None or not running.in_band)

    def has_ended(self, response_id: str) -> bool:
        """Say whether a response has ended already."""
        return bool(response_id) and response_id in self._ended

    def end(self, response_id: str) -> RunningResponse:
        """Take out a response that has ended."""
        running = self.running.pop(response_id, None) or RunningResponse(response_id)
        if response_id:
            self._remember(response_id)
        if self.active == response_id:
            self.active = None
        return running

    def _remember(self, response_id: str) -> None:
        self._ended[response_id] = None
        if len(self._ended) > REMEMBERED_RESPONSES:
            del self._ended[next(iter(self._ended))]

    def refused(self, event: ClientEvent) -> Wanted | None:
        """Take out the wish whose request the server has refused."""
        for wanted in self.awaiting():
            if wanted.event.event_id == event.event_id:
                if wanted is self.asked:
                    self.asked = None
                else:
                    self.beside.remove(wanted)
                return wanted
        return None

    def take_all(self) -> list[Wanted]:
        """Take out every wish that has not become a response, because none can come any more."""
        wanted = [*self.awaiting(), *self.owed]
        self.active = self.asked = None
        self.owed.clear()
        self.beside.clear()
        self.running.clear()
        return wanted


def tagged(event: client.ResponseCreate, tag: str) -> client.ResponseCreate:
    """Give a request with a tag in its metadata, unless that is full."""
    params = event.response or ResponseCreateParams()
    metadata = params.metadata or {}
    if len(metadata) >= MAX_METADATA_PAIRS or TAG in metadata:
        return event
    response = msgspec.structs.replace(params, metadata={**metadata, TAG: tag})
    return msgspec.structs.replace(event, response=response)


def tag_of(event: client.ResponseCreate) -> str | None:
    """Give the tag of a request, if it has one."""
    return _metadata_of(event).get(TAG)


def _metadata_of(event: client.ResponseCreate) -> dict[str, str]:
    return (event.response.metadata or {}) if event.response else {}
