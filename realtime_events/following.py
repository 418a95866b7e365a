"""Following one response: its text, its audio, its events, its end.

Owns the handle that `Session.respond` gives. Knows no socket, and of State the wish that it makes. Before it: the
session; after it: State, which says when the response begins, and the dispatcher, which brings its events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Set
from typing import Any, Generic, NamedTuple, Self, TypeVar

from .events import server
from .events.base import DeltaEvent, Event
from .events.response import Response
from .exceptions import LocalProtocolError, ResponseFailed
from .protocol.responses import Policy, Wanted
from .protocol.turns import text_of
from .streams import Subscriber, fail

T_co = TypeVar("T_co", covariant=True)

TEXT = (server.ResponseOutputTextDelta, server.ResponseOutputAudioTranscriptDelta)


class Asking(NamedTuple):
    """What a handle needs of its session: to ask, to take that back, to be brought events, to name a failure.

    `online` waits while the session's connection is lost and made again.
    """

    online: Callable[[], Awaitable[object]]
    ask_for: Callable[[Wanted, Policy], None]
    give_up: Callable[[Wanted], None]
    follow: Callable[[Subscriber], Callable[[], None]]
    failure: Callable[[Response], ResponseFailed]


class Follower:
    """Collects the events of one response, for any number of readers, each from the first one on."""

    def __init__(self, wanted: Wanted) -> None:
        self.keys = ("response.*",)
        self.wanted = wanted
        self.log: list[Event] = []
        self.ended = False
        self.is_cut = False
        self._readers: list[asyncio.Future[None]] = []

    def put(self, event: Any) -> None:
        """Take an event, if it is one of this response."""
        running = self.wanted.running
        if running is None or self.ended:
            return
        of = event.response.id if hasattr(event, "response") else getattr(event, "response_id", None)
        if of == running.id:
            self.log.append(event)
            self.ended = isinstance(event, server.ResponseDone)
            self._wake()

    def purge(self, response_ids: Set[str]) -> int:
        """Keep from its readers the deltas that they have not read yet."""
        if self.wanted.running is None or self.wanted.running.id not in response_ids:
            return 0
        self.is_cut = True
        return 1

    def end(self, error: Exception | None = None) -> None:
        """Nothing more will come."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)

    async def read(self) -> AsyncIterator[Event]:
        """Give all events, from the first one on, as they come; after an interruption no more of the waiting deltas."""
        position, was_cut = 0, self.is_cut
        while True:
            while position < len(self.log):
                event = self.log[position]
                position += 1
                if was_cut or not self.is_cut or not isinstance(event, DeltaEvent):
                    yield event
            if self.ended:
                return
            reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._readers.append(reader)
            await reader

    def forget(self) -> None:
        """Let go of what was collected; nothing more is."""
        self.log.clear()
        self.end()


class Pieces(Generic[T_co]):
    """The pieces of a response as they come, and, awaited, the whole of them.

    Every iteration begins with the first piece, and ends however the response ends. Awaited, they raise what the
    response raises: pieces of one that failed, or was lost with its connection, are no whole.
    """

    def __init__(
        self,
        pieces: Callable[[], AsyncIterator[T_co]],
        join: Callable[[list[Any]], T_co],
        end: Callable[[], Awaitable[object]],
    ) -> None:
        self._pieces = pieces
        self._join = join
        self._end = end

    def __aiter__(self) -> AsyncIterator[T_co]:
        return self._pieces()

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._whole().__await__()

    async def _whole(self) -> T_co:
        pieces = [piece async for piece in self._pieces()]
        await self._end()
        return self._join(pieces)


class ResponseHandle:
    """One response, asked for and followed; `Session.respond` makes it.

    As `async with`, entering waits until the response has begun, and leaving before its end cancels it. Awaited, it is
    the whole `Response` once it has ended. What it has collected is kept, and can be read, until the block is left.

    Attributes:
        text: The text, or the transcript of what is said, piece by piece; awaited, the whole of it.
        audio: The audio in the session's output format, piece by piece; awaited, the whole of it.
        events: Every event of the response, from `response.created` to `response.done`.
    """

    def __init__(self, asking: Asking, wanted: Wanted, policy: Policy) -> None:
        self._asking = asking
        self._wanted = wanted
        self._policy: Policy = policy
        self._follower = Follower(wanted)
        self._begun: asyncio.Future[Any] | None = None
        self._ended: asyncio.Future[Response] | None = None
        self._unfollow: Callable[[], None] | None = None
        self.text: Pieces[str] = Pieces(self._texts, "".join, self._end)
        self.audio: Pieces[bytes] = Pieces(self._audio, b"".join, self._end)

    @property
    def id(self) -> str:
        """The response's id; "" until it has begun."""
        return self._wanted.running.id if self._wanted.running is not None else ""

    @property
    def events(self) -> AsyncIterator[Event]:
        """Every event of the response."""
        return self._read()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._read()

    def _read(self) -> AsyncIterator[Event]:
        """Begin to read.

        Raises:
            LocalProtocolError: There is nothing to read: the block was not entered yet, or has been left.
        """
        if self._unfollow is None:
            raise LocalProtocolError("a response is read within `async with session.respond(...) as r`")
        return self._follower.read()

    async def _texts(self) -> AsyncIterator[str]:
        told = False
        async for event in self._read():
            if isinstance(event, TEXT):
                told = True
                yield event.delta
            elif (
                isinstance(event, server.ResponseDone)
                and not (told or self._follower.is_cut)
                and (text := text_of(event.response))
            ):
                yield text  # A server that sends no deltas.

    async def _audio(self) -> AsyncIterator[bytes]:
        async for event in self._read():
            if isinstance(event, server.ResponseOutputAudioDelta):
                yield event.delta

    # Its life.

    async def __aenter__(self) -> Self:
        """Ask for the response, and wait until it has begun.

        Raises:
            LocalProtocolError: A response is active, and the policy is to fail; or the handle was used before.
            ServerError: The server refused the request.
            ConnectionLostError: The connection ended first.
        """
        if self._ended is not None:
            raise LocalProtocolError("a response is asked for once; make another by respond()")
        loop = asyncio.get_running_loop()
        self._begun = self._wanted.waiter = loop.create_future()
        self._ended = self._wanted.end_waiter = loop.create_future()
        # However it ends: a session that outlives the response's connection tells its readers nothing more.
        follower = self._follower
        self._ended.add_done_callback(lambda _: follower.end())
        self._unfollow = self._asking.follow(self._follower)
        try:
            await self._asking.online()
            self._asking.ask_for(self._wanted, self._policy)
            await self._begun
        except BaseException as error:
            if isinstance(error, Exception):
                fail(self._ended, error)  # So that whoever awaits it besides is told the same.
            self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        """Stop following, and forget what came; a response that still runs, or is still to come, is cancelled."""
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        self._give_up()
        self._follower.forget()

    def _give_up(self) -> None:
        """Cancel the response, or see to it that it never begins: it has ended then, without a word."""
        if self._ended is None or self._ended.done() or self._begun is None:
            return
        self._asking.give_up(self._wanted)
        if self._wanted.running is None:
            self._ended.set_result(Response(status="cancelled"))
            self._follower.forget()
            if not self._begun.done():
                self._begun.set_result(None)

    def __await__(self) -> Generator[Any, None, Response]:
        return self._whole().__await__()

    async def _whole(self) -> Response:
        if self._ended is None:
            async with self:
                return await self._end()
        return await self._end()

    async def _end(self) -> Response:
        assert self._ended is not None
        response = await asyncio.shield(self._ended)
        if response.status == "failed":
            raise self._asking.failure(response)
        return response

    async def cancel(self) -> Response:
        """Stop the response, and give it as far as it has come, once the server has confirmed it."""
        if self._ended is None:
            raise LocalProtocolError("nothing to cancel: the response was not asked for yet")
        self._give_up()
        return await asyncio.shield(self._ended)
