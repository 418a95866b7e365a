"""The server of the schedules: one server-side session with its connection, and its books.

Owns what a server says and remembers. Each id that it makes begins with its own name, so that one that turns up
elsewhere is known for what it is. It judges only what no one else can see: ids that are not of it, and what is said to
it twice. Before it: `world.py`, which makes things happen; after it: the session, whose transport it is. `laws.py`
reads its books.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from typing import Any

import msgspec

from realtime_events.events import client, server
from realtime_events.events.items import ContentPart, Item
from realtime_events.events.response import Response
from realtime_events.events.session import SessionConfig
from realtime_events.exceptions import ConnectionLostError
from realtime_events.protocol import codec
from realtime_events.transport import Ending

PCM = 48  # bytes of a millisecond
ROOM_BYTES = 65_536
LEAST_COMMIT_BYTES = 100 * PCM
TOOLS = ("patient", "polite", "urgent", "silent", "quiet", "careful")


class Incarnation:
    """One server-side session.

    Args:
        number: Which of the session's it is, from 1.
        config: How it is set up.
        dies_after: It ends with so many frames received; 0 for never.
    """

    def __init__(self, number: int, config: SessionConfig, *, dies_after: int = 0) -> None:
        self.name = f"s{number}"
        self.config = config
        self.detects_turns = bool(config.audio and config.audio.input and config.audio.input.turn_detection)
        self.frames: deque[bytes] = deque()
        self.delivered: list[Any] = []
        self.received: list[Any] = []
        self.on_the_way: list[bytes] | None = None
        self.written_audio: list[bytes] = []
        self.written_outputs = set[str]()
        self.audio: list[bytes] = []
        self.heard_bytes = 0
        self.buffered_bytes = 0
        self.known = set[str]()
        self.said: list[str] = []
        self.broken: list[str] = []
        self.calls: dict[str, None] = {}
        self.outputs = Counter[str]()
        self.consultations: dict[str, None] = {}
        self.decisions = Counter[str]()
        self.asked: deque[client.ResponseCreate] = deque()
        self.active = ""
        self.output: list[Item] = []
        self.spoken_item = ""
        self.committed_at: dict[str, int] = {}
        self.cleared_at: list[int] = []
        self.unsent_bytes = 0
        self.ending: Ending | None = None
        self.published_from: int | None = 0 if number == 1 else None
        self.published_to: int | None = None
        self._dies_after = dies_after
        self._numbers = itertools.count(1)
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self.say(server.SessionCreated(session=msgspec.structs.replace(config, id=self.name)))

    def new(self, kind: str) -> str:
        return f"{self.name}_{kind}_{next(self._numbers)}"

    # What it says.

    def say(self, *events: Any) -> None:
        for event in events:
            if self.ending is None:
                self.frames.append(codec.encode(msgspec.structs.replace(event, event_id=self.new("event"))))
        self._wake.set()

    def speak(self) -> None:
        if self.detects_turns and not self.spoken_item:
            self.spoken_item, at_ms = self.new("item"), self.heard_bytes // PCM
            self.say(server.InputAudioBufferSpeechStarted(item_id=self.spoken_item, audio_start_ms=at_ms))

    def hush(self) -> None:
        if self.spoken_item:
            item_id, self.spoken_item = self.spoken_item, ""
            self.say(server.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=self.heard_bytes // PCM))
            self._commit(item_id)

    def _commit(self, item_id: str) -> None:
        self.known.add(item_id)
        self.committed_at[item_id], self.buffered_bytes, self.spoken_item = self.heard_bytes, 0, ""
        item = Item(
            type="message", id=item_id, role="user", status="completed", content=[ContentPart(type="input_audio")]
        )
        self.say(
            server.InputAudioBufferCommitted(item_id=item_id, previous_item_id=None),
            server.ConversationItemAdded(item=item),
            server.ConversationItemDone(item=item),
        )

    def begin(self, *, unasked: bool) -> None:
        if self.active or not (self.asked or unasked):
            return
        request = self.asked.popleft() if self.asked else None
        metadata = request.response.metadata if request is not None and request.response else None
        self.active, self.output = self.new("resp"), []
        self.known.add(self.active)
        self.say(server.ResponseCreated(response=Response(id=self.active, conversation_id="c", metadata=metadata)))

    def delta(self, pick: float) -> None:
        """Say some more: of a new message at first, then of that one."""
        if not self.active:
            return
        if not self.output or self.output[-1].type != "message" or pick < 0.2:
            item = Item(type="message", id=self.new("item"), role="assistant", status="in_progress", content=[])
            self._put_out(item)
        where = {"response_id": self.active, "item_id": str(self.output[-1].id)}
        self.say(
            server.ResponseOutputAudioTranscriptDelta(**where, delta="word "),
            server.ResponseOutputAudioDelta(**where, delta=b"\1" * (PCM * 40)),
        )

    def _put_out(self, item: Item) -> None:
        self.output.append(item)
        self.known.add(str(item.id))
        self.say(
            server.ResponseOutputItemAdded(response_id=self.active, item=item), server.ConversationItemAdded(item=item)
        )

    def call(self, pick: float) -> None:
        """Call a tool, shown by one or both of the events that show it, or by the end of the response."""
        if not self.active:
            return
        call_id, name = self.new("call"), TOOLS[int(pick * 60) % len(TOOLS)]
        item = Item(
            type="function_call", id=self.new("item"), call_id=call_id, name=name, arguments="{}", status="completed"
        )
        self.calls[call_id] = None
        self.known |= {call_id, str(item.id)}
        self.output.append(item)
        arguments = server.ResponseFunctionCallArgumentsDone(
            response_id=self.active, item_id=str(item.id), call_id=call_id, name=name, arguments="{}"
        )
        done = server.ResponseOutputItemDone(response_id=self.active, item=item)
        self.say(server.ConversationItemAdded(item=item))
        shown = ((arguments,), (done,), (arguments, done), (done, arguments), ())
        self.say(*shown[int(pick * 5)], server.ConversationItemDone(item=item))

    def consult(self) -> None:
        """Ask whether a hosted tool may be called."""
        if self.active:
            item = Item(type="mcp_approval_request", id=self.new("item"), server_label="m", name="n", arguments="{}")
            self.consultations[str(item.id)] = None
            self._put_out(item)
            self.say(
                server.ResponseOutputItemDone(response_id=self.active, item=item),
                server.ConversationItemDone(item=item),
            )

    def end(self, status: str) -> None:
        if not self.active:
            return
        finished: list[Item] = []
        for item in self.output:
            if item.type == "message":
                part = ContentPart(type="output_audio", transcript="word ")
                item = msgspec.structs.replace(
                    item, status="completed" if status == "completed" else "incomplete", content=[part]
                )
                self.say(
                    server.ResponseOutputItemDone(response_id=self.active, item=item),
                    server.ConversationItemDone(item=item),
                )
            finished.append(item)
        self.say(
            server.ResponseDone(response=Response(id=self.active, conversation_id="c", status=status, output=finished))
        )
        self.active = ""

    # Its books.

    @property
    def published(self) -> list[Any]:
        """What the client read while this was the current one."""
        return [] if self.published_from is None else self.delivered[self.published_from : self.published_to]

    @property
    def confirmed_outputs(self) -> set[str]:
        """The calls whose output the client knows to have arrived."""
        added = [event.item for event in self.published if isinstance(event, server.ConversationItemAdded)]
        return {str(item.call_id) for item in added if item.type == "function_call_output"}

    @property
    def confirmed_bytes(self) -> int:
        """How much of its audio the client was told to have been heard, or thrown away as it wished."""
        told, cleared_at = [0], iter(self.cleared_at)
        for event in self.delivered[: self.published_to]:
            if isinstance(event, server.InputAudioBufferSpeechStarted):
                told.append(event.audio_start_ms * PCM)
            elif isinstance(event, server.InputAudioBufferSpeechStopped):
                told.append(event.audio_end_ms * PCM)
            elif isinstance(event, server.InputAudioBufferCommitted):
                told.append(self.committed_at[event.item_id])
            elif isinstance(event, server.InputAudioBufferCleared):
                told.append(next(cleared_at))
        return max(told)

    # What it is told.

    def claim(self, holds: bool, broken: str) -> None:
        """Note a broken law; raised here, it would end up with the client, which calls this."""
        if not holds:
            self.broken.append(f"{self.name}: {broken}")

    def take(self, frame: bytes) -> None:
        event: Any = codec.decode(frame, side="client")
        self.received.append(event)
        if self._dies_after and len(self.received) >= self._dies_after:
            self.finish(Ending(1006, "gone while it was configured", "network"))
            return
        if isinstance(event, client.InputAudioBufferAppend):
            self._take_audio(event.audio)
        elif isinstance(event, client.SessionUpdate):
            self.say(server.SessionUpdated(session=self.config))
        elif isinstance(event, client.InputAudioBufferCommit):
            self._take_commit(event)
        elif isinstance(event, client.InputAudioBufferClear):
            self.buffered_bytes, self.spoken_item = 0, ""
            self.cleared_at.append(self.heard_bytes)
            self.say(server.InputAudioBufferCleared())
        elif isinstance(event, client.ConversationItemCreate):
            self._take_item(event.item, event.previous_item_id)
        elif isinstance(event, client.ConversationItemTruncate):
            self.is_known(event.item_id)
            self.say(server.ConversationItemTruncated(item_id=event.item_id, audio_end_ms=event.audio_end_ms))
        elif isinstance(event, client.ResponseCreate):
            self.asked.append(event)
        elif isinstance(event, client.ResponseCancel):
            self.is_known(str(event.response_id))
            if event.response_id == self.active:
                self.end("cancelled")

    def is_known(self, some_id: str) -> None:
        self.claim(some_id in self.known, f"was sent {some_id}, which is not of it")

    def _take_audio(self, audio: bytes) -> None:
        self.claim(audio not in self.audio, "audio: said twice in one incarnation")
        self.audio.append(audio)
        self.heard_bytes += len(audio)
        self.buffered_bytes += len(audio)

    def _take_commit(self, event: client.InputAudioBufferCommit) -> None:
        if self.buffered_bytes >= LEAST_COMMIT_BYTES:
            self._commit(self.spoken_item or self.new("item"))
            return
        details = server.ErrorDetails(
            type="invalid_request_error",
            code="input_audio_buffer_commit_empty",
            message="the buffer is too small",
            event_id=event.event_id,
        )
        self.say(server.ErrorEvent(error=details))

    def _take_item(self, item: Item, previous_item_id: Any) -> None:
        self.claim(bool(item.id) and item.id not in self.known, f"item {item.id} was said twice")
        if item.type == "function_call_output":
            self.is_known(str(item.call_id))
            self.outputs[str(item.call_id)] += 1
            self.claim(self.outputs[str(item.call_id)] == 1, f"answers: {item.call_id} was answered twice")
        elif item.type == "function_call":
            self.known.add(str(item.call_id))
        elif item.type == "mcp_approval_response":
            self.is_known(str(item.approval_request_id))
            self.decisions[str(item.approval_request_id)] += 1
        self.known.add(str(item.id))
        self._put_behind(str(item.id), previous_item_id)
        self.say(server.ConversationItemAdded(item=item), server.ConversationItemDone(item=item))

    def _put_behind(self, item_id: str, previous_item_id: Any) -> None:
        if previous_item_id == "root":
            self.said.insert(0, item_id)
        elif previous_item_id:
            self.is_known(previous_item_id)
            self.said.insert(self.said.index(previous_item_id) + 1, item_id)
        else:
            self.said.append(item_id)

    # The transport.

    async def run(self, on_frame: Any) -> Ending:
        while True:
            while self.frames:
                frame = self.frames.popleft()
                self.delivered.append(codec.decode(frame, side="server"))
                if on_frame(frame):
                    await asyncio.sleep(0)
            if self.ending is not None:
                return self.ending
            self._wake.clear()
            await self._wake.wait()

    async def send(self, data: bytes) -> None:
        self.write(data)

    def write(self, data: bytes) -> None:
        self._check()
        event: Any = codec.decode(data, side="client")
        if isinstance(event, client.InputAudioBufferAppend):
            self.written_audio.append(event.audio)
        elif isinstance(event, client.ConversationItemCreate) and event.item.type == "function_call_output":
            self.written_outputs.add(str(event.item.call_id))
        if self.on_the_way is not None:
            self.on_the_way.append(data)
        else:
            self.take(data)

    def arrive(self) -> None:
        """Let all that is on the way arrive."""
        waiting, self.on_the_way = self.on_the_way or [], None
        for frame in waiting:
            self.take(frame)

    @property
    def has_room(self) -> bool:
        return self.unsent_bytes <= ROOM_BYTES

    def let_go(self) -> None:
        self.unsent_bytes = 0
        self._room.set()

    async def drain(self) -> None:
        while self.ending is None and not self.has_room:
            self._room.clear()
            await self._room.wait()
        self._check()

    def _check(self) -> None:
        if self.ending is not None:
            raise ConnectionLostError(self.ending.code, self.ending.reason, initiator=self.ending.initiator)

    def finish(self, ending: Ending, *, torn: bool = False) -> None:
        """End; `torn` loses what the server had said and the client had not read yet."""
        if self.ending is None:
            self.ending = ending
            if torn:
                self.frames.clear()
        self._wake.set()
        self._room.set()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.ending is None:
            self.arrive()  # An orderly end comes behind all that was written.
        self.finish(Ending(code, reason, "client"))

    def abort(self) -> None:
        self.finish(Ending(1006, "aborted", "client"), torn=True)
