"""Talking: questions and their answers.

Owns how a turn, a response and a side question are asked for. What becomes of a response is `following.py`, and a typed
answer is `extracting.py`. Before it: the application; after it: State, which says when each begins and has ended.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar, cast

import msgspec

from ..events import client
from ..events.items import ContentPart, Item
from ..events.response import Response
from ..exceptions import LocalProtocolError, RemoteProtocolError, ResponseFailed
from ..extracting import ATTEMPTS, Question
from ..following import Asking, ResponseHandle
from ..protocol import codec, dialect
from ..protocol.responses import Policy, Wanted
from ..protocol.turns import Turn
from ..streams import within
from .configuring import Configuring

T = TypeVar("T")

EXTRACT_TIMEOUT_S = 30.0


class Talking(Configuring):
    """What the model can be asked for."""

    _asking: Asking

    async def ask(
        self,
        content: str | Item | list[ContentPart],
        *,
        policy: Policy | None = None,
        timeout: float | None = None,
    ) -> Turn:
        """Say something as the user, and give the whole turn: the answer, tool rounds included.

        Args:
            content: The user's words, the parts of a user message, or an item.
            policy: What to do if a response is active: `queue` waits for its end, `cancel_active` interrupts it and
                what is still heard, `fail` raises. By default it interrupts where a player reports what is heard, and
                queues where none does.
            timeout: Seconds to wait; None waits for as long as the connection lives.

        Raises:
            ResponseFailed: The response ended as failed; a cancelled or incomplete one is no error.
            LocalProtocolError: A response is active, and the policy is to fail; or the session is draining.
            ServerError: The server refused the request.
            ConnectionLostError: The connection ended first.
            TimeoutError: The turn took longer than `timeout`.
        """
        item = _user_item(content)
        codec.encode(client.ConversationItemCreate(item=item))  # What cannot be said begins no turn.
        async with within(timeout, "the turn did not end"):
            await self._admitted()
            return await self._turn_of(item, policy)

    async def _turn_of(self, item: Item, policy: Policy | None) -> Turn:
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._refresh_tools()
        chosen = policy or ("cancel_active" if self.playback.has_player else "queue")
        turn = self._core.ask(item, self._clock(), future, chosen)
        self._connection.carry_out()
        try:
            return await future
        finally:
            self._core.give_up(turn, self._clock())
            self._connection.carry_out()

    def respond(self, *, policy: Policy = "queue", interruptible: bool = True, **params: Any) -> ResponseHandle:
        """Ask for a response and follow it: `async with session.respond(instructions="…") as r`.

        Args:
            policy: What to do if another in-band response is active: `queue` waits for its end, `cancel_active`
                interrupts it, `fail` raises.
            interruptible: Whether the user's speech may cut it. While one that may not be cut is heard, the user's
                audio is withheld, since the server would cut it by itself.
            params: What the response shall do otherwise than the session says, by the GA names of `response.create`,
                and `voice`; `conversation="none"` makes it out of band: it runs beside others, leaves nothing in the
                conversation, and its tool calls are for whoever asked.

        Raises:
            ConfigurationError: A parameter is unknown, or belongs to the beta dialect (its GA name is given).
        """
        voice = params.pop("voice", None)
        if voice is not None:
            params["audio"] = {"output": {"voice": voice}}
        request = self._core.exchange.new_request(dialect.response_params(params) if params else msgspec.UNSET)
        codec.encode(request)
        return ResponseHandle(self._asking, Wanted(request, interruptible=interruptible), policy)

    async def extract(
        self,
        question: str,
        *,
        output: type[T],
        timeout: float | None = EXTRACT_TIMEOUT_S,
        **params: Any,
    ) -> T:
        """Put a side question about the conversation, and give its answer as `output`: out of band, as text, validated.

        The model is shown the JSON Schema of `output`. An answer that does not fit is sent back once, with what is
        wrong with it.

        Args:
            question: What to find out, such as "How does the user feel?".
            output: A type whose JSON Schema can be told: a Struct, dataclass, TypedDict, pydantic model, list, `int` …
            timeout: Seconds for the whole of it.
            params: More parameters of `response.create`, such as `input`.

        Raises:
            RemoteProtocolError: The second answer does not fit either; the sentence says what is wrong with it.
            ResponseFailed: A response ended as failed.
            TimeoutError: It took longer than `timeout`.
        """
        asked = Question(question, output)
        async with within(timeout, "the question was not answered"):
            for _ in range(ATTEMPTS):
                response = await self.respond(**{**asked.params(), **params})
                if asked.take(response):
                    return cast("T", asked.answer)
        raise RemoteProtocolError(f"the model's answer does not fit {output!r}: {asked.problem}")

    # What a response that is followed needs.

    async def _admitted(self) -> None:
        """Wait until something new can be asked for: while the connection is lost, for the next one.

        Raises:
            LocalProtocolError: The session is draining: what runs may end, and nothing else begins.
        """
        if self._is_draining:
            raise LocalProtocolError("the session is draining: the turn that runs may end, and no other begins")
        await self._line.online()

    def _ask_for(self, wanted: Wanted, policy: Policy) -> None:
        if self._connection.ended.done():
            raise self._connection.lost()
        self._refresh_tools()
        self._core.exchange.want(wanted, self._clock(), policy)
        self._connection.carry_out()

    def _failure(self, response: Response) -> ResponseFailed:
        return self._core.failure(response, self._clock())

    def _give_up(self, wanted: Wanted) -> None:
        """Cancel a response that somebody has asked for, unless it was not asked for yet."""
        if self._connection.ended.done():
            return
        self._core.voice.give_up(wanted, self._clock())
        self._connection.carry_out()


def _user_item(content: str | Item | list[ContentPart]) -> Item:
    if isinstance(content, Item):
        return content
    parts = [ContentPart(type="input_text", text=content)] if isinstance(content, str) else content
    return Item(type="message", role="user", content=parts)
