"""The server's side of a connection without a socket: a test says what the server says.

Owns `Peer` and the memory transport behind it. Knows no test framework, no clock and no network. A test says what the
server says, looks at what the client sent, and decides when the connection ends; nothing sleeps. The room before is
the test; the one after is the session, which takes it for a transport.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from ..endpoint import Endpoint
from ..events import client, server
from ..events.base import Event
from ..events.session import SessionConfig
from ..exceptions import ConnectionLostError
from ..options import Options
from ..protocol import codec, dialect
from ..protocol.dialect import Dialect
from ..transport import ABNORMAL_CLOSURE, FRAMES_PER_TURN, ROOM_BYTES, Ending, OnFrame

C = TypeVar("C", bound=Event)


class Peer:
    """The server's side of a memory connection.

    It says `session.created` when dialled and confirms each `session.update`, as a server does; everything else the
    test says. `answers_updates=False` leaves updates to the test too.
    """

    def __init__(
        self, *, session_id: str = "sess_memory", answers_updates: bool = True, dialect: Dialect = "ga"
    ) -> None:
        self.session_id = session_id
        self.dialect: Dialect = dialect
        self.endpoint = Endpoint(url="ws://localhost/v1/realtime", api_key="test-key", dialect=dialect)
        self.sent: list[Any] = []
        self.dialled: list[tuple[str, Mapping[str, str]]] = []
        self._answers_updates = answers_updates
        self._config = SessionConfig(type="realtime", id=session_id)
        self._door = _MemoryDoor(self)
        self._waiting: list[tuple[Callable[[Any], bool], asyncio.Future[Any]]] = []

    async def dial(self, url: str, headers: dict[str, str], options: Options) -> _MemoryDoor:
        """Open the connection: pass this as `connect(dial=...)`."""
        self.dialled.append((url, headers))
        self.say(server.SessionCreated(event_id="event_created", session=self._config))
        return self._door

    def say(self, *said: Event | Mapping[str, Any] | bytes) -> None:
        """Send events, mappings or raw frames to the client."""
        for thing in said:
            if isinstance(thing, Event):
                thing = codec.encode(thing, dialect=self.dialect)
            self._door.deliver(thing if isinstance(thing, bytes) else msgspec.json.encode(thing))

    async def heard(self, kind: type[C], when: Callable[[C], bool] | None = None, *, timeout: float = 5.0) -> C:
        """Wait until the client has sent an event of a class, and give it; one that was sent already counts."""

        def fits(event: Any) -> bool:
            return isinstance(event, kind) and (when is None or when(event))

        for event in self.sent:
            if fits(event):
                return event  # type: ignore[no-any-return]
        future: asyncio.Future[C] = asyncio.get_running_loop().create_future()
        self._waiting.append((fits, future))
        async with asyncio.timeout(timeout):
            return await future

    def hold(self, unsent_bytes: int = 100_000) -> None:
        """Stop taking audio, as a server does whose network is full; so much then counts as unsent."""
        self._door.unsent_bytes = unsent_bytes

    def let_go(self) -> None:
        """Take audio again after `hold`."""
        self._door.unsent_bytes = 0
        self._door.room.set()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection with a CLOSE frame from the server."""
        self._door.finish(Ending(code, reason, "server"))

    def drop(self) -> None:
        """End the connection without a CLOSE frame, as a reset does."""
        self._door.finish(Ending(ABNORMAL_CLOSURE, "the connection ended without a CLOSE frame", "network"))

    def take(self, frame: bytes) -> None:
        """Take a frame of the client's."""
        event = dialect.to_ga(codec.decode(frame, side="client", dialect=self.dialect))
        self.sent.append(event)
        if self._answers_updates and isinstance(event, client.SessionUpdate):
            self._confirm(event)
        for fits, future in self._waiting[:]:
            if not future.done() and fits(event):
                future.set_result(event)

    def _confirm(self, event: client.SessionUpdate) -> None:
        asked = {
            name: value for name, value in msgspec.structs.asdict(event.session).items() if value is not msgspec.UNSET
        }
        self._config = msgspec.structs.replace(self._config, **asked)
        self.say(server.SessionUpdated(event_id="event_updated", session=self._config))


class _MemoryDoor:
    """A transport between a session and a `Peer`; frames pass in the order in which they were said."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._frames: deque[bytes] = deque()
        self._ending: Ending | None = None
        self._wake = asyncio.Event()
        self.room = asyncio.Event()
        self.unsent_bytes = 0

    def deliver(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._wake.set()

    def finish(self, ending: Ending) -> None:
        self._ending = self._ending or ending
        self._wake.set()
        self.room.set()

    async def run(self, on_frame: OnFrame) -> Ending:
        budget = FRAMES_PER_TURN
        while True:
            while self._frames:
                budget -= 1
                if on_frame(self._frames.popleft()) or not budget:
                    budget = FRAMES_PER_TURN
                    await asyncio.sleep(0)
            if self._ending is not None:
                return self._ending
            self._wake.clear()
            await self._wake.wait()

    async def send(self, data: bytes) -> None:
        self.write(data)

    def write(self, data: bytes) -> None:
        self._check()
        self._peer.take(data)

    @property
    def has_room(self) -> bool:
        return self.unsent_bytes <= ROOM_BYTES

    async def drain(self) -> None:
        while self._ending is None and not self.has_room:
            self.room.clear()
            await self.room.wait()
        self._check()

    def _check(self) -> None:
        if self._ending is not None:
            raise ConnectionLostError(self._ending.code, self._ending.reason, initiator=self._ending.initiator)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.finish(Ending(code, reason, "client"))

    def abort(self) -> None:
        self._frames.clear()
        self.finish(Ending(ABNORMAL_CLOSURE, "aborted", "client"))
