"""State: what a session knows, and what follows from each event.

Owns the session's configuration, its responses and turns, the matching of answers to requests, and the rule that no
two in-band responses run at once. Pure: no loop, socket, clock, randomness or log; times and ids are passed in.
Before it: canonical (GA) server events and the session's commands; after it: `Effects`, which the session carries out.

`TABLE` maps an event class to the method that it concerns; classes that concern nothing here are not in it. A method
takes the event and the time, and gives None (publish the event as it is), another event (publish that one instead) or
`SWALLOW`. `QUIET` is the same for the deltas, the many: their methods have no effects, so nobody needs to look for any,
and take a clock instead of the time, because most of them need none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..events import client, local, server, transcription
from ..events.base import UNSET, ClientEvent, Event, UnsetType
from ..events.items import Item
from ..events.response import ResponseCreateParams
from ..events.session import SessionConfig
from ..exceptions import LocalProtocolError, ResponseFailed
from .batches import Batch, Batches, ToolLimits, WhenDone, output_item_id
from .hosted import HostedMcp
from .requests import Requests, server_error
from .turns import RunningResponse, Turn

Clock = Callable[[], float]
SWALLOW: Final = object()
NO_OTHER_LIMITS: Final = ToolLimits()
SAID_BY: Final = "said_by_tool_call"
MAX_METADATA: Final = 512  # the API's limit for one value
REMEMBERED_RESPONSES: Final = 16
ALREADY_ACTIVE = "conversation_already_has_active_response"
FINISHED_ROLES = ("user", "system")
# RFC 3551 section 4.5: G.711 is one byte a sample at 8 kHz; the API's PCM is two bytes a sample at 24 kHz.
BYTES_PER_MS = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}


@dataclass(slots=True)
class Effects:
    """What the session has to do after an event or a command, in the order of the fields."""

    before: list[Event] = field(default_factory=list[Event])
    after: list[Event] = field(default_factory=list[Event])
    settled: list[tuple[Any, Any]] = field(default_factory=list[tuple[Any, Any]])
    send: list[ClientEvent] = field(default_factory=list[ClientEvent])
    start: list[local.ToolCall] = field(default_factory=list[local.ToolCall])
    interrupted: bool = False

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.settled or self.send or self.start or self.interrupted)


class Core:
    """The state of one session on one connection.

    Args:
        new_id: Gives a fresh id with the given prefix, such as `"event"` or `"item"`.
        retain_audio_bytes: How many bytes of a turn's audio are kept at the most; 0 keeps none.
        limits: How far a model may go with its tools.
        splits_items: Whether the server speaks the beta dialect, whose one `conversation.item.created` stands for the
            GA's `added` and `done`.
    """

    def __init__(
        self,
        *,
        new_id: Callable[[str], str],
        retain_audio_bytes: int = 0,
        splits_items: bool = False,
        limits: ToolLimits = NO_OTHER_LIMITS,
    ) -> None:
        self.session_id = ""
        self.config = SessionConfig()
        self.effects = Effects()
        self.user_speaking = False
        self.turn: Turn | None = None
        self._new_id = new_id
        self._retain_audio_bytes = retain_audio_bytes
        self._splits_items = splits_items
        self._bytes_per_ms = BYTES_PER_MS["audio/pcm"]
        self._requests = Requests()
        self._responses: dict[str, RunningResponse] = {}
        self._active: str | None = None
        self._asked: client.ResponseCreate | None = None
        self._owed: deque[client.ResponseCreate] = deque()
        self._retried = False
        self._incoming: Turn | None = None
        self._ask_events: set[str] = set()
        self._turn_waiters: dict[Turn, Any] = {}
        self._ended: deque[str] = deque(maxlen=REMEMBERED_RESPONSES)
        self._items: dict[str, None] = {}
        self._batches = Batches(limits)
        self.hosted = HostedMcp()
        self._follow_up_id = ""
        self._call_names: dict[str, str] = {}
        self._last: RunningResponse | None = None
        self._last_item = ""
        self._last_index = -1
        self._last_pieces: list[str] = []

    @property
    def active_response(self) -> str | None:
        """The id of the in-band response that runs, if any."""
        return self._active

    @property
    def response_active(self) -> bool:
        """Whether an in-band response runs or has been asked for."""
        return self._active is not None or self._asked is not None

    # Commands: each may refuse, and changes nothing then.

    def stamp(self, event: ClientEvent) -> ClientEvent:
        """Give a client event a unique `event_id`, unless it has one."""
        if event.event_id:
            return event
        return msgspec.structs.replace(event, event_id=self._new_id("event"))

    def sent(self, event: ClientEvent, now: float, waiter: Any = None) -> None:
        """Take note of a client event that goes out as it is."""
        self._requests.add(event, waiter)
        if isinstance(event, client.ResponseCreate) and _in_band(event):
            self._asked = event

    def abandon(self, event: ClientEvent) -> None:
        """Nobody awaits the answer to an event any more."""
        self._requests.abandon(event)

    def create_item(self, item: Item) -> client.ConversationItemCreate:
        """Give the event that adds an item, with an id by which its acknowledgement is known."""
        named = item if item.id else msgspec.structs.replace(item, id=self._new_id("item"))
        return client.ConversationItemCreate(event_id=self._new_id("event"), item=named)

    def ask(self, item: Item, now: float, waiter: Any) -> Turn:
        """Begin a turn: the user's item, then a response as soon as none is active.

        Raises:
            LocalProtocolError: A turn that was asked for has not begun yet.
        """
        if self._incoming in self._turn_waiters:
            raise LocalProtocolError("ask() was called while another ask() still waits for its response to begin")
        self._end_incoming("cut", now)
        turn = self._incoming = self._new_turn(now, _words_of(item))
        self._turn_waiters[turn] = waiter
        said, asked = self.create_item(item), client.ResponseCreate(event_id=self._new_id("event"))
        self._ask_events = {str(said.event_id), str(asked.event_id)}
        self.effects.send.append(said)
        self.respond(asked)
        return turn

    def give_up(self, turn: Turn, now: float) -> None:
        """Nobody waits for a turn any more; its response is not asked for, if that can still be helped."""
        self._turn_waiters.pop(turn, None)
        if turn is self._incoming and self._incoming_is_owed():
            self._end_incoming("cut", now)

    def respond(self, event: client.ResponseCreate) -> None:
        """Ask for an in-band response, now or when the running one has ended."""
        self._owed.append(event)
        self._serve_owed()

    def answer_tool(
        self, result: local.ToolResult, now: float, *, respond: bool = True, when_done: WhenDone = "idle"
    ) -> bool:
        """Send a tool's output, and once the batch is complete one `response.create`; false if nobody may be answered.

        That is so for a second answer, and for a call whose conversation is gone.
        """
        batch = self._batches.of(result.call_id)
        if batch is None:
            return False
        batch.answer(result.call_id, respond=respond, when_done=when_done)
        if batch.turn is not None:
            batch.turn.tool_calls.append(result)
        self._owed = deque(event for event in self._owed if _said_by(event) != result.call_id)
        item = Item(
            type="function_call_output",
            id=output_item_id(result.call_id),
            call_id=result.call_id,
            output=result.output,
        )
        self.effects.send.append(self.create_item(item))
        self._settle_batch(batch, now)
        return True

    def say(self, call_id: str, text: str) -> None:
        """Have the assistant say a text while a call runs; unsaid if the call is answered first."""
        if self._batches.of(call_id) is None:
            return
        params = ResponseCreateParams(
            instructions=f"Say exactly this and nothing else: {text}",
            tool_choice="none",
            metadata={SAID_BY: call_id[:MAX_METADATA]},
        )
        self.respond(client.ResponseCreate(event_id=self._new_id("event"), response=params))

    def cut(self, error: Exception, now: float) -> bool:
        """End everything because the connection ended; says whether a response was running."""
        was_active = self._active is not None or bool(self._responses)
        for request in self._requests.take_all():
            if request.waiter is not None:
                self.effects.settled.append((request.waiter, error))
        for turn in filter(None, (self.turn, self._incoming)):
            turn.status = "cut"
            self._tell_done(turn, now, error)
        self.effects.after += [local.ToolOrphaned(call=call) for call in self._batches.orphan()]
        self.turn = None
        self._active = self._asked = self._incoming = None
        self._owed.clear()
        self._responses.clear()
        return was_active

    # The session.

    def session_created(self, event: server.SessionCreated, now: float) -> None:
        """The session exists."""
        self.session_id = event.session.id or self.session_id
        self._configured(event.session)

    def session_updated(self, event: server.SessionUpdated, now: float) -> None:
        """The session was changed; the oldest update is confirmed."""
        self._configured(event.session)
        self.acknowledged(event, now)

    def _configured(self, config: SessionConfig) -> None:
        self.config = config
        output = config.audio.output if config.audio else None
        kind = output.format.type if output and output.format else None
        self._bytes_per_ms = BYTES_PER_MS.get(kind or "", BYTES_PER_MS["audio/pcm"])

    def acknowledged(self, event: Any, now: float) -> None:
        """Settle the request that an event acknowledges."""
        request = self._requests.acknowledged_by(event)
        if request is not None and request.waiter is not None:
            self.effects.settled.append((request.waiter, event))

    def error(self, event: server.ErrorEvent, now: float) -> None:
        """Settle or report the request that an error is about."""
        request = self._requests.blamed_by(event)
        if isinstance(request and request.event, client.ResponseCreate) and self._response_refused(event, request, now):
            return
        if request is None:
            return
        if request.event.event_id in self._ask_events:
            self._end_incoming("failed", now, server_error(event, request.event))
        elif request.waiter is not None:
            self.effects.settled.append((request.waiter, server_error(event, request.event)))
        else:
            event_id = request.event.event_id or ""
            self.effects.after.append(
                local.SendRejected(event_id=event_id, sent_event=request.event, error=event.error)
            )

    def _response_refused(self, event: server.ErrorEvent, request: Any, now: float) -> bool:
        """Ask once more, after the active response, where the server was faster; else fail the turn."""
        if self._asked is request.event:
            self._asked = None
        of_ask = request.event.event_id in self._ask_events
        if event.error.code == ALREADY_ACTIVE and not self._retried:
            self._retried = True
            again = msgspec.structs.replace(request.event, event_id=self._new_id("event"))
            if of_ask:
                self._ask_events.add(again.event_id)
            self._owed.appendleft(again)
            self._serve_owed()
            return True
        error, told = server_error(event, request.event), of_ask
        if of_ask:
            self._end_incoming("failed", now, error)
        elif (turn := self.turn) is not None and not self._goes_on(turn):
            told = turn in self._turn_waiters
            self._end_turn("failed", now, error)  # Nothing more comes of it: this was its follow-up.
        self._serve_owed()
        return told

    # Responses and turns.

    def _new_turn(self, now: float, words: str = "") -> Turn:
        turn = Turn(started_s=now, user_text=words)
        self.effects.after.append(local.TurnStarted(turn=turn))
        return turn

    def _incoming_is_owed(self) -> bool:
        """Say whether the response that an ask() wants has not been asked for yet."""
        return any(event.event_id in self._ask_events for event in self._owed)

    def _end_incoming(self, status: Any, now: float, outcome: Any = None) -> None:
        """End a turn that has no response yet, and ask for none."""
        turn, self._incoming = self._incoming, None
        if turn is None:
            return
        self._owed = deque(event for event in self._owed if event.event_id not in self._ask_events)
        self._ask_events = set()
        turn.status = status
        self._tell_done(turn, now, outcome)

    def response_created(self, event: server.ResponseCreated, now: float) -> None:
        """A response has begun; an in-band one belongs to the turn that asked for it, or begins one."""
        response = event.response
        if response.id and response.id in self._ended:
            self._ended.remove(response.id)  # A server that counts from one again.
        running = self._running(response.id or "")
        if response.conversation_id is None:
            running.in_band = False
            return
        self._active = running.id
        self._take_asked()
        if self._incoming is not None and not self._incoming_is_owed():
            self._end_turn("cut", now)
            self.turn, self._incoming, self._ask_events = self._incoming, None, set()
        elif self.turn is None:
            self.turn = self._new_turn(now)
        self.turn.follow(running)
        self.turn.mark("response_created", now)

    def _take_asked(self) -> None:
        if self._asked is not None:
            self._requests.forget(self._asked)
            self._asked = None
            self._retried = False

    def _running(self, response_id: str) -> RunningResponse:
        running = self._responses.get(response_id)
        if response_id in self._ended:
            return RunningResponse(response_id)  # A latecomer: nobody looks at it any more.
        if running is None:
            running = self._responses[response_id] = RunningResponse(response_id)
        return running

    def text_delta(self, event: Any, clock: Clock) -> None:
        """More text of a part."""
        if event.item_id == self._last_item and event.content_index == self._last_index:
            self._last_pieces.append(event.delta)
            return
        self._begin_part(event, clock()).append(event.delta)

    def _begin_part(self, event: Any, now: float) -> list[str]:
        """Find the pieces of a part, and keep them at hand: deltas of one part come in a row."""
        running = self._running(event.response_id)
        pieces = running.parts.setdefault((event.item_id, event.content_index), [])
        self._last_item, self._last_index, self._last_pieces = event.item_id, event.content_index, pieces
        if running.turn is not None:
            running.turn.mark("first_delta", now)
        return pieces

    def text_done(self, event: server.ResponseOutputTextDone, now: float) -> None:
        """The whole text of a part, which wins over its deltas."""
        self._begin_part(event, now)[:] = [event.text]

    def transcript_done(self, event: server.ResponseOutputAudioTranscriptDone, now: float) -> None:
        """The whole transcript of a part, which wins over its deltas."""
        self._begin_part(event, now)[:] = [event.transcript]

    def audio_delta(self, event: server.ResponseOutputAudioDelta, clock: Clock) -> None:
        """More audio: counted, and kept only where that was asked for."""
        running = self._last
        if running is None or running.id != event.response_id:
            running = self._begin_audio(event.response_id, clock)
        running.audio_bytes += len(event.delta)
        if self._retain_audio_bytes:
            self._retain(event.delta, running.turn)

    def _begin_audio(self, response_id: str, clock: Clock) -> RunningResponse:
        """Find the response of some audio, and keep it at hand: deltas of one response come in a row."""
        running = self._last = self._running(response_id)
        running.bytes_per_ms = self._bytes_per_ms
        if running.turn is not None:
            running.turn.mark("first_audio", clock())
        return running

    def _retain(self, audio: bytes, turn: Turn | None) -> None:
        if turn is not None and (room := self._retain_audio_bytes - len(turn.audio)) > 0:
            turn.audio += audio[:room]

    def response_done(self, event: server.ResponseDone, now: float) -> None:
        """A response has ended, and with it perhaps its turn or its batch of tool calls."""
        response = event.response
        if response.id and response.id in self._ended:
            return
        if self._asked is not None and response.conversation_id is not None and not self._has_begun(response.id or ""):
            self.response_created(server.ResponseCreated(response=response), now)
        running = self._responses.pop(response.id or "", None) or RunningResponse(response.id or "")
        if running.id:
            self._ended.append(running.id)
        self._last, self._last_item = None, ""
        for item in response.output or ():
            self._note_call(item, running.id, now)
        if self._active == running.id:
            self._active = None
        batch = self._batches.response_ended(running.id, _status(response.status))
        turn = running.turn
        if turn is not None:
            turn.collect(running, response)
            turn.status = _status(response.status)
            if turn.status == "completed" and (self._batches.hold(turn) or self._owes_follow_up(turn)):
                turn.status = "running"
                turn.rounds += batch is not None
            else:
                self._end_this_turn(turn, now, response)
        if batch is not None:
            self._settle_batch(batch, now)
        self._serve_owed()

    def _has_begun(self, response_id: str) -> bool:
        """Say whether `response.created` was heard of a response; servers and tapes may leave it out."""
        running = self._responses.get(response_id)
        return running is not None and (running.turn is not None or not running.in_band)

    def _end_this_turn(self, turn: Turn, now: float, response: Any) -> None:
        if turn is self.turn:
            self.turn = None
            self._tell_done(turn, now, _failure(response) if turn.status == "failed" else turn)

    def _end_turn(self, status: Any, now: float, outcome: Any = None) -> None:
        """End the current turn: a newer one begins, or nothing more can come of it."""
        turn, self.turn = self.turn, None
        if turn is not None:
            turn.status = status
            self._tell_done(turn, now, outcome)

    def _tell_done(self, turn: Turn, now: float, outcome: Any = None) -> None:
        """Publish the end of a turn, and give who waits for it the outcome: the turn itself, or an exception."""
        turn.mark("done", now)
        self.effects.after.append(local.TurnDone(turn=turn))
        waiter = self._turn_waiters.pop(turn, None)
        if waiter is not None:
            self.effects.settled.append((waiter, outcome or turn))

    def _serve_owed(self) -> None:
        """Send the next response that is owed, if nothing stands against it."""
        if self._owed and not self.response_active and not self.user_speaking:
            self._asked = self._owed.popleft()
            self.effects.send.append(self._asked)

    # Tool calls: one run for each call_id, one follow-up for each response.

    def output_item_added(self, event: server.ResponseOutputItemAdded, now: float) -> None:
        """An item has begun; a call's name is noted for the dialect that leaves it out later."""
        item = event.item
        if item.type == "function_call" and item.call_id and item.name:
            self._call_names[item.call_id] = item.name

    def arguments_done(self, event: server.ResponseFunctionCallArgumentsDone, now: float) -> None:
        """A call is complete: the first of the three events that show it."""
        # The beta dialect leaves the name out; it came with the item.
        name = event.name or self._call_names.get(event.call_id, "")
        if name:
            call = local.ToolCall(
                call_id=event.call_id,
                name=name,
                arguments=event.arguments,
                item_id=event.item_id,
                response_id=event.response_id,
            )
            self._start_call(call, now)

    def output_item_done(self, event: server.ResponseOutputItemDone, now: float) -> None:
        """An item is complete: the second event that shows a call."""
        self._note_call(event.item, event.response_id, now)
        self._note_hosted(event.item)
        if self._splits_items:
            self.effects.after.append(server.ConversationItemDone(event_id=event.event_id, item=event.item))

    def _note_hosted(self, item: Item) -> None:
        if (request := self.hosted.note(item)) is not None:
            self.effects.after.append(request)

    def mcp_listed(self, event: server.McpListToolsCompleted, now: float) -> None:
        """A hosted MCP server has told its tools."""
        self.hosted.listed(event.item_id, ok=True)

    def mcp_not_listed(self, event: server.McpListToolsFailed, now: float) -> None:
        """A hosted MCP server did not tell its tools."""
        self.hosted.listed(event.item_id, ok=False)

    def decide_hosted(self, request_id: str, *, approve: bool, reason: str = "") -> bool:
        """Answer a hosted MCP server's request for approval; false if there is none."""
        answer = self.hosted.decide(request_id, approve=approve, reason=reason)
        if answer is not None:
            self.effects.send.append(self.create_item(answer))
            self.respond(client.ResponseCreate(event_id=self._new_id("event")))
        return answer is not None

    def _note_call(self, item: Item, response_id: str, now: float) -> None:
        # A call that was cut off by a cancellation is no call: its arguments are not whole.
        if item.type == "function_call" and item.call_id and item.name and item.status != "incomplete":
            call = local.ToolCall(
                call_id=item.call_id,
                name=item.name,
                arguments=item.arguments or "",
                item_id=item.id or "",
                response_id=response_id,
            )
            self._start_call(call, now)

    def _start_call(self, call: local.ToolCall, now: float) -> None:
        if self._batches.knows(call.call_id):
            return
        self._call_names.pop(call.call_id, None)
        running = self._responses.get(call.response_id)
        refused = self._batches.begin(call, running.turn if running else None, now)
        self.effects.start.append(msgspec.structs.replace(call, refused=refused) if refused else call)

    def _settle_batch(self, batch: Batch, now: float) -> None:
        """Ask for the follow-up once the response has ended and every call of it is answered."""
        if not batch.is_complete:
            return
        self._batches.settle(batch)
        if self._is_followed_up(batch):
            self._follow_up(batch)
        elif batch.turn is not None and batch.turn is self.turn and not self._goes_on(batch.turn):
            batch.turn.status = "completed"
            self._end_this_turn(batch.turn, now, None)
        batch.turn = None  # Its calls stay known for long; the turn and its audio must not.

    def _is_followed_up(self, batch: Batch) -> bool:
        if not batch.respond or batch.ended != "completed":
            return False
        if batch.turn is not None and batch.turn.rounds > self._batches.limits.rounds_per_turn:
            return False  # The last response, without tools, was asked for before, and called tools all the same.
        if any(not event.response for event in self._owed):
            return False  # The response that is owed already will hear the outputs.
        if batch.when_done == "silent":
            return not self._is_busy(batch.turn)
        return batch.when_done == "interrupt" or self._incoming is None or not self._will_hear()

    def _is_busy(self, turn: Turn | None) -> bool:
        """Say whether somebody speaks, or a newer turn is on."""
        newer = turn is not None and self.turn is not None and turn is not self.turn
        return self.user_speaking or self.response_active or self._incoming is not None or newer

    def _will_hear(self) -> bool:
        """Say whether the server, once the user has stopped, answers by itself, and so hears what is sent now."""
        return self._incoming is not None and self._incoming not in self._turn_waiters and self._answers_by_itself()

    def _goes_on(self, turn: Turn) -> bool:
        return self.response_active or bool(self._owed) or self._batches.hold(turn)

    def _follow_up(self, batch: Batch) -> None:
        """Ask for one response; the last one of a run-away turn without tools."""
        turn, limit = batch.turn, self._batches.limits.rounds_per_turn
        params: ResponseCreateParams | UnsetType = UNSET
        if turn is not None and turn.rounds >= limit:
            params = ResponseCreateParams(tool_choice="none")
            self.effects.after.append(local.ToolLoopStopped(turn=turn, rounds=turn.rounds))
        event = client.ResponseCreate(event_id=self._new_id("event"), response=params)
        self._follow_up_id = str(event.event_id)
        if batch.when_done == "interrupt":
            self._interrupt_with(event)
        else:
            self.respond(event)

    def _owes_follow_up(self, turn: Turn) -> bool:
        """Say whether a turn goes on although its last response has ended: what a tool said was not its answer."""
        return turn is self.turn and any(event.event_id == self._follow_up_id for event in self._owed)

    def _interrupt_with(self, event: client.ResponseCreate) -> None:
        """Ask for a response before everything else, and cancel the one that speaks."""
        if self._active is not None:
            self.effects.after.append(local.AudioFlush(response_id=self._active))
            cancel = client.ResponseCancel(event_id=self._new_id("event"), response_id=self._active)
            self.effects.send.append(cancel)
        if self.response_active:
            self._owed.appendleft(event)
        else:
            self._asked = event
            self.effects.send.append(event)

    # The user's side.

    def speech_started(self, event: server.InputAudioBufferSpeechStarted, now: float) -> None:
        """The user speaks: a turn begins, and players are flushed if that interrupts a response."""
        self.user_speaking = True
        self.effects.interrupted = True
        if self._active is not None and self._interrupts():
            self.effects.before.append(local.AudioFlush(response_id=self._active))
        if self._incoming is None:
            self._incoming = self._new_turn(now)

    def speech_stopped(self, event: server.InputAudioBufferSpeechStopped, now: float) -> None:
        """The user has stopped; what waited for it goes out, unless the server answers by itself."""
        self.user_speaking = False
        if self._incoming is not None:
            self._incoming.mark("speech_end", now)
        if self._answers_by_itself():
            # The server's own response will have heard the outputs that still wait to be spoken of.
            self._owed = deque(event for event in self._owed if event.response)
        self._serve_owed()

    def _interrupts(self) -> bool:
        detection = self._turn_detection()
        return bool(detection) and detection.interrupt_response is not False

    def _answers_by_itself(self) -> bool:
        detection = self._turn_detection()
        return bool(detection) and detection.create_response is not False

    def _turn_detection(self) -> Any:
        audio_input = self.config.audio.input if self.config.audio else None
        return audio_input.turn_detection if audio_input else None

    def transcribed(self, event: transcription.ConversationItemInputAudioTranscriptionCompleted, now: float) -> None:
        """The user's words are known."""
        turn = self._incoming or self.turn
        if turn is not None and not turn.user_text:
            turn.user_text = event.transcript

    def committed(self, event: server.InputAudioBufferCommitted, now: float) -> None:
        """What was said is an item now."""
        self._hush(now)
        self.acknowledged(event, now)

    def cleared(self, event: server.InputAudioBufferCleared, now: float) -> None:
        """What was said is thrown away, and with it whatever the server heard begin."""
        self._hush(now)
        self.acknowledged(event, now)

    def _hush(self, now: float) -> None:
        """Nobody speaks into an empty buffer: no `speech_stopped` may follow."""
        if self.user_speaking:
            self.user_speaking = False
            self._serve_owed()

    # Items.

    def item_created(self, event: server.ConversationItemCreated, now: float) -> Any:
        """Publish a GA server's own `created` as `added`, unless the item is known already."""
        if event.item.id and event.item.id in self._items:
            return SWALLOW
        added = server.ConversationItemAdded(
            event_id=event.event_id, item=event.item, previous_item_id=event.previous_item_id
        )
        self.item_added(added, now)
        return added

    def item_added(self, event: server.ConversationItemAdded, now: float) -> None:
        """An item is in the conversation."""
        if event.item.id:
            self._items[event.item.id] = None
        self._note_hosted(event.item)
        self.acknowledged(event, now)
        if self._splits_items and _is_finished(event.item):
            done = server.ConversationItemDone(
                event_id=event.event_id, item=event.item, previous_item_id=event.previous_item_id
            )
            self.effects.after.append(done)

    def item_deleted(self, event: server.ConversationItemDeleted, now: float) -> None:
        """An item is gone."""
        self._items.pop(event.item_id, None)
        self.acknowledged(event, now)


def _is_finished(item: Item) -> bool:
    return item.status in ("completed", "incomplete") or item.role in FINISHED_ROLES


def _in_band(event: client.ResponseCreate) -> bool:
    return not event.response or event.response.conversation != "none"


def _said_by(event: client.ResponseCreate) -> str:
    """Give the id of the call whose words a response shall say, or ""."""
    return event.response.metadata.get(SAID_BY, "") if event.response and event.response.metadata else ""


def _words_of(item: Item) -> str:
    return "\n".join(part.text or part.transcript or "" for part in item.content or ())


def _status(status: Any) -> Any:
    return status if status in ("completed", "cancelled", "incomplete", "failed") else "completed"


def _failure(response: Any) -> ResponseFailed:
    details = response.status_details if response is not None else None
    error = details.error if details else None
    return ResponseFailed(
        response,
        type=(error.type if error else None) or None,
        code=(error.code if error else None) or None,
        message=(error.message if error else None) or "",
    )


Apply = Callable[[Core, Any, float], Any]

TABLE: Final[dict[type[Event], Apply]] = {
    server.SessionCreated: Core.session_created,
    server.SessionUpdated: Core.session_updated,
    server.ErrorEvent: Core.error,
    server.ResponseCreated: Core.response_created,
    server.ResponseDone: Core.response_done,
    server.ResponseOutputTextDone: Core.text_done,
    server.ResponseOutputAudioTranscriptDone: Core.transcript_done,
    server.ResponseOutputItemAdded: Core.output_item_added,
    server.ResponseOutputItemDone: Core.output_item_done,
    server.ResponseFunctionCallArgumentsDone: Core.arguments_done,
    server.McpListToolsCompleted: Core.mcp_listed,
    server.McpListToolsFailed: Core.mcp_not_listed,
    server.ConversationItemCreated: Core.item_created,
    server.ConversationItemAdded: Core.item_added,
    server.ConversationItemDeleted: Core.item_deleted,
    server.ConversationItemTruncated: Core.acknowledged,
    server.ConversationItemRetrieved: Core.acknowledged,
    transcription.ConversationItemInputAudioTranscriptionCompleted: Core.transcribed,
    server.InputAudioBufferSpeechStarted: Core.speech_started,
    server.InputAudioBufferSpeechStopped: Core.speech_stopped,
    server.InputAudioBufferCommitted: Core.committed,
    server.InputAudioBufferCleared: Core.cleared,
}

QUIET: Final[dict[type[Event], Callable[[Core, Any, Clock], None]]] = {
    server.ResponseOutputTextDelta: Core.text_delta,
    server.ResponseOutputAudioTranscriptDelta: Core.text_delta,
    server.ResponseOutputAudioDelta: Core.audio_delta,
}
