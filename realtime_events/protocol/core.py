"""State: what a session knows, and what follows from each event.

Owns the session's configuration and the matching of answers to requests; conducts the machines beside it: the exchange
of turns, the assistant's voice, the output of deltas, the conversation, the playback, the usage. Pure: no
loop, socket, clock, randomness or log; times and ids are passed in. Before it: canonical (GA) server events and the
session's commands; after it: `Effects`, which the session carries out.

`TABLE` maps an event class to the method that it concerns; classes that concern nothing here are not in it. A method
takes the event and the time, and gives None (publish the event as it is), another event (publish that one instead) or
`SWALLOW`. `QUIET` is the same for the deltas, the many: their methods have no effects, so nobody needs to look for any,
and take a clock instead of the time, because most of them need none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..audio.playback import Playback
from ..events import client, local, server, transcription, translation
from ..events.base import ClientEvent, Event
from ..events.items import Item
from ..events.response import Response
from ..events.session import SessionConfig
from ..exceptions import ResponseFailed
from .batches import ToolLimits, WhenDone
from .conversation import HEARD, Conversation
from .exchange import Exchange, failure
from .hosted import HostedMcp
from .output import BYTES_PER_MS, SWALLOW, Clock, Output
from .rate_limits import RateLimits, wait_of
from .requests import Request, Requests, server_error
from .responses import Policy
from .turns import Turn
from .usage import SessionUsage
from .voice import Voice

__all__ = ["QUIET", "SWALLOW", "TABLE", "Clock", "Core", "Effects"]

NO_OTHER_LIMITS: Final = ToolLimits()
FINISHED_ROLES = ("user", "system")
CANCEL_NOT_ACTIVE = "response_cancel_not_active"
SESSION_EXPIRED = "session_expired"
LEAST_COMMIT_MS = 100.0  # The API refuses to commit less.


@dataclass(slots=True)
class Effects:
    """What the session has to do after an event or a command, in the order of the fields.

    `purge` names the responses whose deltas are taken out of every lane, before `before` is published;
    `audio_settled_until` tells how much of all accepted audio has been committed or cleared, in bytes.
    """

    purge: set[str] = field(default_factory=set[str])
    before: list[Event] = field(default_factory=list[Event])
    after: list[Event] = field(default_factory=list[Event])
    settled: list[tuple[Any, Any]] = field(default_factory=list[tuple[Any, Any]])
    send: list[ClientEvent] = field(default_factory=list[ClientEvent])
    start: list[local.ToolCall] = field(default_factory=list[local.ToolCall])
    interrupted: bool = False
    audio_settled_until: int = 0

    def __bool__(self) -> bool:
        parts = (self.before, self.after, self.settled, self.send, self.start, self.purge)
        return any(parts) or self.interrupted or bool(self.audio_settled_until)


class Core:
    """The state of one session on one connection.

    Args:
        new_id: Gives a fresh id with the given prefix, such as `"event"` or `"item"`.
        conversation: Where the items go; an empty one by default.
        retain_audio_bytes: How many bytes of a turn's audio are kept at the most; 0 keeps none.
        limits: How far a model may go with its tools.
        splits_items: Whether the server speaks the beta dialect, whose one `conversation.item.created` stands for the
            GA's `added` and `done`.
        server_plays: Whether the server plays the audio itself, as in a phone call: it knows what was heard.
    """

    def __init__(
        self,
        *,
        new_id: Callable[[str], str],
        conversation: Conversation | None = None,
        retain_audio_bytes: int = 0,
        splits_items: bool = False,
        server_plays: bool = False,
        limits: ToolLimits = NO_OTHER_LIMITS,
    ) -> None:
        self.session_id = ""
        self.config = SessionConfig()
        self.effects = Effects()
        self.has_expired = False
        self.user_speaking = False
        self.heard_until_ms = 0.0
        self._stopped_item = ""  # Of the speech that the server heard last, and commits by itself.
        self.new_id = new_id
        self.requests = Requests()
        self.conversation = conversation if conversation is not None else Conversation()
        self.playback = Playback()
        self.usage = SessionUsage()
        self.rate_limits = RateLimits()
        self.hosted = HostedMcp()
        self.exchange = Exchange(self, limits)
        self.output = Output(
            self.exchange.responses,
            self.conversation,
            playback=None if server_plays else self.playback,
            retain_audio_bytes=retain_audio_bytes,
        )
        self.voice = Voice(self)
        self._splits_items = splits_items
        self.server_plays = server_plays
        self._items: dict[str, None] = {}

    @property
    def turn(self) -> Turn | None:
        """The turn that runs now, if any."""
        return self.exchange.turn

    @property
    def active_response(self) -> str | None:
        """The id of the in-band response that runs, if any."""
        return self.exchange.responses.active

    @property
    def response_active(self) -> bool:
        """Whether an in-band response runs or has been asked for."""
        return self.exchange.responses.busy

    # Commands: each may refuse, and changes nothing then.

    def stamp(self, event: ClientEvent) -> ClientEvent:
        """Give a client event a unique `event_id`, unless it has one."""
        if event.event_id:
            return event
        return msgspec.structs.replace(event, event_id=self.new_id("event"))

    def sent(self, event: ClientEvent, now: float, waiter: Any = None, audio_until: int = 0) -> None:
        """Take note of a client event that goes out as it is, behind so many bytes of the user's audio."""
        self.requests.add(event, waiter, audio_until)
        if isinstance(event, client.ResponseCreate):
            self.exchange.sent(event)

    def await_answer(self, event: ClientEvent, waiter: Any) -> bool:
        """Have somebody wait for what an interruption sent; false if there is nothing to wait for."""
        if isinstance(event, client.ConversationItemTruncate):
            return self.requests.attach(event, waiter)
        if isinstance(event, client.OutputAudioBufferClear):
            return bool(self.voice.playing_response) and self.requests.attach(event, waiter)
        if isinstance(event, client.ResponseCancel):
            running = self.exchange.responses.running.get(event.response_id or "")
            if running is not None:
                running.waiters.append(waiter)
                return True
        return False

    def abandon(self, event: ClientEvent) -> None:
        """Nobody awaits the answer to an event any more."""
        self.requests.abandon(event)

    def create_item(self, item: Item, previous_item_id: Any = msgspec.UNSET) -> client.ConversationItemCreate:
        """Give the event that adds an item, with an id by which its acknowledgement is known."""
        named = item if item.id else msgspec.structs.replace(item, id=self.new_id("item"))
        event_id = self.new_id("event")
        return client.ConversationItemCreate(event_id=event_id, item=named, previous_item_id=previous_item_id)

    def ask(self, item: Item, now: float, waiter: Any, policy: Policy = "queue") -> Turn:
        """Begin a turn: the user's item, then a response as soon as none is active.

        Raises:
            LocalProtocolError: One is active, and the policy is to fail.
        """
        return self.exchange.ask(item, now, waiter, policy)

    def give_up(self, turn: Turn, now: float) -> None:
        """Nobody waits for a turn any more; its response is not asked for, if that can still be helped."""
        self.exchange.give_up(turn, now)

    def answer_tool(
        self, result: local.ToolResult, now: float, *, respond: bool = True, when_done: WhenDone = "idle"
    ) -> bool:
        """Send a tool's output, and once the batch is complete one `response.create`; false if nobody may be answered.

        That is so for a second answer, and for a call whose conversation is gone.
        """
        return self.exchange.answer_tool(result, now, respond=respond, when_done=when_done)

    def cut(self, error: Exception, now: float) -> bool:
        """End everything because the connection ended; says whether a response was running."""
        for request in self.requests.take_all():
            if request.waiter is not None:
                self.effects.settled.append((request.waiter, error))
        self.output.forget_last()
        return self.exchange.cut(error, now)

    def adopt(self, before: Core, *, same_incarnation: bool) -> None:
        """Take over what outlives a server-side session; with the same incarnation, its open tool calls, too."""
        self.conversation, self.playback, self.usage = before.conversation, before.playback, before.usage
        self.rate_limits = before.rate_limits
        self.exchange.batches.go_on_from(before.exchange.batches)
        self.conversation.bytes_per_ms = self.output.bytes_per_ms
        self.output.adopt(self.conversation, self.playback)
        if same_incarnation:
            self.exchange.adopt(before.exchange)
            self.hosted = before.hosted
            self.session_id = self.session_id or before.session_id

    def waiting_for(self) -> str:
        """Say what answer of the server is due; "" if none is."""
        if self.exchange.responses.busy:
            return "a response"
        return self.requests.awaited_type

    def is_idle(self, now: float) -> bool:
        """Say whether nobody speaks, answers, works or is heard, and nobody waits for an answer."""
        exchange = self.exchange
        answering = exchange.responses.busy or exchange.responses.owed or exchange.turn
        working = exchange.batches.are_open or exchange.unconfirmed_outputs
        return not (
            answering or working or self.user_speaking or self.requests.awaited_type or self.playback.is_playing(now)
        )

    def decide_hosted(self, request_id: str, now: float, *, approve: bool, reason: str = "") -> bool:
        """Answer a hosted MCP server's request for approval; false if there is none."""
        answer = self.hosted.decide(request_id, approve=approve, reason=reason)
        if answer is not None:
            self.effects.send.append(self.create_item(answer))
            self.exchange.follow_up(now)
        return answer is not None

    def note_times(self) -> None:
        """Tell the conversation when the last items with audio began to be heard."""
        for item in self.output.spoken:
            if (started_s := self.playback.started_s(item.id)) is not None:
                item.started_s = started_s

    # The session.

    def session_created(self, event: server.SessionCreated, now: float) -> None:
        """The session exists."""
        self.session_id = event.session.id or self.session_id
        self._configured(event.session)

    def session_updated(self, event: server.SessionUpdated, now: float) -> None:
        """The session was changed; the oldest update is confirmed."""
        self._configured(event.session)
        if self.turn_detection is None:
            self._hush()  # Nobody will say when the user has stopped.
        self.acknowledged(event, now)

    def _configured(self, config: SessionConfig) -> None:
        self.config = config
        output = config.audio.output if config.audio else None
        kind = output.format.type if output and output.format else None
        self.output.bytes_per_ms = BYTES_PER_MS.get(kind or "", BYTES_PER_MS["audio/pcm"])
        self.conversation.bytes_per_ms = self.output.bytes_per_ms

    def acknowledged(self, event: Any, now: float) -> None:
        """Settle the request that an event acknowledges."""
        request = self.requests.acknowledged_by(event)
        if request is not None:
            self._settle(request, event)

    def _settle(self, request: Request, answer: Any) -> None:
        if request.waiter is not None:
            self.effects.settled.append((request.waiter, answer))

    def error(self, event: server.ErrorEvent, now: float) -> Any:
        """Settle or report the request that an error is about, or note that it ends the session."""
        if event.error.code == SESSION_EXPIRED:
            self.has_expired = True
            return None
        request = self.requests.blamed_by(event)
        if request is None:
            return None
        if isinstance(request.event, client.ResponseCancel) and event.error.code == CANCEL_NOT_ACTIVE:
            return SWALLOW  # The response had ended by then, which is what was wanted.
        if self.server_plays and isinstance(request.event, client.OutputAudioBufferClear):
            return self._nothing_to_clear(request, event)
        if self._told(event, request, now):
            return None
        rejected = local.SendRejected(
            event_id=request.event.event_id or "", sent_event=request.event, error=event.error
        )
        self.effects.after.append(rejected)
        return None

    def _told(self, event: server.ErrorEvent, request: Request, now: float) -> bool:
        """Give an error to whoever waits for the request that it is about; false if nobody does."""
        if isinstance(request.event, client.ResponseCreate):
            return self.exchange.refused(event, request, now)
        if request.waiter is not None:
            self.effects.settled.append((request.waiter, server_error(event, request.event)))
            return True
        return self.exchange.item_refused(event, request, now)

    def failure(self, response: Response, now: float) -> ResponseFailed:
        """Give the exception for a response that has failed, with how long to wait if it was for a rate limit."""
        return failure(response, wait_of(response, self.rate_limits.at(now)))

    def _nothing_to_clear(self, request: Request, event: server.ErrorEvent) -> Any:
        """Nothing was played any more, which is what was wanted."""
        if request.waiter is not None:
            self.effects.settled.append((request.waiter, event))
        return SWALLOW

    def rate_limited(self, event: server.RateLimitsUpdated, now: float) -> None:
        """The rate limits as they are now."""
        self.rate_limits.update(event.rate_limits, now)

    # The user's side.

    def speech_started(self, event: server.InputAudioBufferSpeechStarted, now: float) -> None:
        """The user speaks: a turn begins, and what the assistant says is cut, if the session is set so."""
        self.user_speaking = True
        self.heard_until_ms = max(self.heard_until_ms, event.audio_start_ms)
        self.effects.interrupted = True
        self.conversation.apply(event, now)
        if self._interrupts() and self.voice.may_be_cut(now):
            self.effects.send += self.voice.cut(now)
        self.exchange.speech_started(event.item_id, now)

    def speech_stopped(self, event: server.InputAudioBufferSpeechStopped, now: float) -> None:
        """The user has stopped; what waited for it goes out, unless the server answers by itself."""
        self.user_speaking = False
        self.heard_until_ms = max(self.heard_until_ms, event.audio_end_ms)
        self._stopped_item = event.item_id
        self.conversation.apply(event, now)
        self.exchange.speech_stopped(now)

    def _interrupts(self) -> bool:
        detection = self.turn_detection
        return bool(detection) and detection.interrupt_response is not False

    @property
    def answers_by_itself(self) -> bool:
        """Whether the server answers when the user has stopped."""
        detection = self.turn_detection
        return bool(detection) and detection.create_response is not False

    @property
    def turn_detection(self) -> Any:
        """The session's turn detection; None or absent where the application says when a turn ends."""
        audio_input = self.config.audio.input if self.config.audio else None
        return audio_input.turn_detection if audio_input else None

    def translation_created(self, event: translation.SessionCreated, now: float) -> None:
        """The translation session exists; its configuration has a shape of its own and stays with its handle."""
        self.session_id = event.session.id or self.session_id

    def transcribed(self, event: transcription.ConversationItemInputAudioTranscriptionCompleted, now: float) -> None:
        """The user's words are known."""
        self.conversation.apply(event, now)
        self.usage.add_transcription(event.usage, self._transcription_model())
        self.exchange.transcribed(event.item_id, event.transcript)

    def _transcription_model(self) -> str:
        audio_input = self.config.audio.input if self.config.audio else None
        transcribing = audio_input.transcription if audio_input else None
        return (transcribing.model if transcribing else None) or ""

    def committed(self, event: server.InputAudioBufferCommitted, now: float) -> None:
        """What was said is an item now."""
        self.conversation.apply(event, now)
        self._hush()
        if event.item_id and event.item_id == self._stopped_item:
            self._stopped_item = ""  # The server's own: a commit that was asked for is still to be answered.
        else:
            self.audio_settled(event, now)

    def cleared(self, event: server.InputAudioBufferCleared, now: float) -> None:
        """What was said is thrown away, and with it whatever the server heard begin."""
        self.conversation.apply(event, now)
        self._hush()
        self.audio_settled(event, now)

    def audio_settled(self, event: Any, now: float) -> None:
        """All audio before a request has been dealt with."""
        request = self.requests.acknowledged_by(event)
        if request is not None:
            self._settle(request, event)
            self.effects.audio_settled_until = max(self.effects.audio_settled_until, request.audio_until)

    def _hush(self) -> None:
        """Nobody speaks into an empty buffer: no `speech_stopped` may follow."""
        if self.user_speaking:
            self.user_speaking = False
            self.exchange.serve()

    # Responses and items.

    def response_created(self, event: server.ResponseCreated, now: float) -> None:
        """A response has begun."""
        self.conversation.apply(event, now)
        self.exchange.response_created(event, now)
        running = self.exchange.responses.running.get(event.response.id or "")
        if running is not None and running.in_band:
            self.voice.began(running, now)

    def response_done(self, event: server.ResponseDone, now: float) -> None:
        """A response has ended."""
        running = self.exchange.responses.running.get(event.response.id or "")
        if self.exchange.responses.has_ended(event.response.id or ""):
            return
        if running is None or running.in_band:
            self.conversation.apply(event, now)
        for item_id in running.audio if running is not None else ():
            self.playback.done(item_id)
        self.output.forget_last()
        self.usage.add(event.response, self.config.model or "")
        if running is not None and running.silenced:
            self.voice.cut_unheard(running, now)
        self.exchange.response_done(event, now)

    def output_item_added(self, event: server.ResponseOutputItemAdded, now: float) -> None:
        """An item has begun."""
        self.exchange.output_item_added(event.item)
        self.said(event, now)

    def arguments_done(self, event: server.ResponseFunctionCallArgumentsDone, now: float) -> None:
        """A call is complete."""
        self.said(event, now)
        self.exchange.arguments_done(event, now)

    def output_item_done(self, event: server.ResponseOutputItemDone, now: float) -> None:
        """An item is complete."""
        self.said(event, now)
        self.playback.done(event.item.id or "")
        self.output.forget_last()
        self.exchange.output_item_done(event.item, event.response_id, now)
        self._note_hosted(event.item)
        if self._splits_items:
            self.effects.after.append(server.ConversationItemDone(event_id=event.event_id, item=event.item))

    def said(self, event: Any, now: float) -> None:
        """Something of a response's output; that of an out-of-band response is in no conversation."""
        running = self.exchange.responses.running.get(event.response_id)
        if running is None or running.in_band:
            self.conversation.apply(event, now)

    def output_started(self, event: server.OutputAudioBufferStarted, now: float) -> None:
        """The other side of a call begins to hear a response."""
        self.voice.playing_response = event.response_id

    def output_stopped(self, event: Any, now: float) -> None:
        """Nothing is heard any more: it was played to its end, or cleared."""
        if event.response_id == self.voice.playing_response:
            self.voice.playing_response = ""
        self.acknowledged(event, now)

    def heard(self, event: Any, now: float) -> None:
        """Something that concerns the conversation only."""
        self.conversation.apply(event, now)

    def _note_hosted(self, item: Item) -> None:
        if (request := self.hosted.note(item)) is not None:
            self.effects.after.append(request)

    def mcp_listed(self, event: server.McpListToolsCompleted, now: float) -> None:
        """A hosted MCP server has told its tools."""
        self.hosted.listed(event.item_id, ok=True)
        self.conversation.apply(event, now)

    def mcp_not_listed(self, event: server.McpListToolsFailed, now: float) -> None:
        """A hosted MCP server did not tell its tools."""
        self.hosted.listed(event.item_id, ok=False)
        self.conversation.apply(event, now)

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
            self.exchange.output_settled(event.item.id)
        self.conversation.apply(event, now)
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
        self.item_changed(event, now)

    def item_changed(self, event: Any, now: float) -> None:
        """An item is otherwise than it was; the request for it is answered."""
        self.conversation.apply(event, now)
        self.acknowledged(event, now)


def _is_finished(item: Item) -> bool:
    return item.status in ("completed", "incomplete") or item.role in FINISHED_ROLES


Apply = Callable[[Core, Any, float], Any]

TABLE: Final[dict[type[Event], Apply]] = {
    **dict.fromkeys(HEARD, Core.heard),
    server.SessionCreated: Core.session_created,
    server.SessionUpdated: Core.session_updated,
    translation.SessionCreated: Core.translation_created,
    translation.SessionUpdated: Core.acknowledged,
    translation.SessionClosed: Core.audio_settled,
    server.ErrorEvent: Core.error,
    server.RateLimitsUpdated: Core.rate_limited,
    server.ResponseCreated: Core.response_created,
    server.ResponseDone: Core.response_done,
    server.ResponseOutputTextDone: lambda core, event, now: core.output.text_done(event, now),
    server.ResponseOutputAudioTranscriptDone: lambda core, event, now: core.output.transcript_done(event, now),
    server.ResponseOutputItemAdded: Core.output_item_added,
    server.ResponseOutputItemDone: Core.output_item_done,
    server.ResponseContentPartAdded: Core.said,
    server.ResponseContentPartDone: Core.said,
    server.ResponseFunctionCallArgumentsDone: Core.arguments_done,
    server.McpListToolsCompleted: Core.mcp_listed,
    server.McpListToolsFailed: Core.mcp_not_listed,
    server.ConversationItemCreated: Core.item_created,
    server.ConversationItemAdded: Core.item_added,
    server.ConversationItemDeleted: Core.item_deleted,
    server.ConversationItemTruncated: Core.item_changed,
    server.ConversationItemRetrieved: Core.item_changed,
    transcription.ConversationItemInputAudioTranscriptionCompleted: Core.transcribed,
    server.InputAudioBufferSpeechStarted: Core.speech_started,
    server.InputAudioBufferSpeechStopped: Core.speech_stopped,
    server.InputAudioBufferCommitted: Core.committed,
    server.InputAudioBufferCleared: Core.cleared,
    server.OutputAudioBufferStarted: Core.output_started,
    server.OutputAudioBufferStopped: Core.output_stopped,
    server.OutputAudioBufferCleared: Core.output_stopped,
}

QUIET: Final[dict[type[Event], Callable[[Output, Any, Clock], Any]]] = {
    server.ResponseOutputTextDelta: Output.text_delta,
    server.ResponseOutputAudioTranscriptDelta: Output.text_delta,
    server.ResponseOutputAudioDelta: Output.audio_delta,
    server.ResponseFunctionCallArgumentsDelta: Output.arguments_delta,
    server.ResponseMcpCallArgumentsDelta: Output.arguments_delta,
    transcription.ConversationItemInputAudioTranscriptionDelta: Output.transcription_delta,
}
