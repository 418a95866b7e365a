"""The exchange: whose turn it is, and what is answered with which response.

Owns turns, from the input that begins one to the last response it causes, and the tool calls in between: one run for
each call, one follow-up for each batch. Pure. Before it: `core.py`, which hears of responses, calls and answers; after
it: `Responses`, which says when one may be asked for, and `Effects`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..events import client, local, server
from ..events.items import Item
from ..events.response import Response, ResponseCreateParams
from ..exceptions import ConfigurationError, LocalProtocolError, ResponseFailed
from .batches import Batch, Batches, ToolLimits, WhenDone, output_item_id
from .requests import Request, server_error
from .responses import POLICIES, Policy, Responses, Wanted, tagged
from .turns import RunningResponse, Turn

if TYPE_CHECKING:
    from .core import Core

ALREADY_ACTIVE = "conversation_already_has_active_response"
SAID_BY = "said_by_tool_call"
REMEMBERED_SPEECH = 8  # inputs whose words may come late
MAX_METADATA = 512  # the API's limit for one value
REMEMBERED_OUTPUTS = 256
SERVER_BEGINS_S = 5.0  # how long after the user's speech a response may still be the server's own


class Exchange:
    """The turns, responses and tool calls of one session.

    Args:
        core: Whose they are.
        limits: How far a model may go with its tools.
    """

    def __init__(self, core: Core, limits: ToolLimits) -> None:
        self.turn: Turn | None = None
        self.responses = Responses()
        self.batches = Batches(limits)
        self._core = core
        self._effects = core.effects
        self._spoken: Turn | None = None
        self._turn_waiters: dict[Turn, Any] = {}
        self._server_begins_until = 0.0
        self._call_names: dict[str, str] = {}
        self._said_in: dict[str, Turn] = {}
        self._now_called: dict[str, str] = {}  # by the id of a call in an earlier session
        self._unconfirmed: dict[str, tuple[local.ToolCall, Item]] = {}  # outputs that were sent, by their item's id
        self.has_progressed = False
        self._unwritten = set[str]()  # those of them that could not even be written
        # Of a follow-up when its connection was lost: it still waited, or it was sent, and nobody knows more.
        self._owes_words = self._asked_words = False

    # Wanting a response.

    def ask(self, item: Item, now: float, waiter: Any, policy: Policy) -> Turn:
        """Begin a turn: the user's item and the request for a response, as soon as none is active.

        Raises:
            LocalProtocolError: One is active, and the policy is to fail.
        """
        self.refuse_if_busy(policy)
        turn = self._new_turn(now, _words_of(item))
        self._turn_waiters[turn] = waiter
        wanted = Wanted(self.new_request(), turn=turn, said=(self._core.create_item(item),))
        if policy == "queue":
            wanted.after = self._last_turn()
        # Said at once, unless the model would hear it together with what was asked before, or in a tool round of that.
        if policy != "cancel_active" and wanted.after is None:
            self._say(wanted)
        self.want(wanted, now, policy)
        return turn

    def _last_turn(self) -> Turn | None:
        """Give the turn that a question waits for; none while tools run, since one of them may be asking."""
        if self.turn is not None and self.batches.hold(self.turn):
            return None
        turns = [wanted.turn for wanted in self.responses.waiting() if wanted.turn is not None]
        return turns[-1] if turns else self.turn

    def answer_speech(self, now: float, waiter: Any) -> Turn:
        """Begin a turn with what was said and committed: the request for a response, as soon as none is active."""
        turn = self._spoken or self._new_turn(now)
        turn.mark("speech_end", now)
        self._turn_waiters[turn] = waiter
        self.want(Wanted(self.new_request(), turn=turn), now)
        return turn

    def new_request(self, params: Any = msgspec.UNSET) -> client.ResponseCreate:
        """Give a `response.create`."""
        return client.ResponseCreate(event_id=self._core.new_id("event"), response=params)

    def refuse_if_busy(self, policy: Policy) -> None:
        """Refuse an in-band response that may not wait, before anything is changed.

        Raises:
            LocalProtocolError: One is active, and the policy is to fail.
            ConfigurationError: There is no such policy.
        """
        if policy not in POLICIES:
            raise ConfigurationError(f"no policy {policy!r}; there are {', '.join(POLICIES)}")
        if policy == "fail" and (self.responses.busy or self.responses.owed):
            raise LocalProtocolError("a response is active already, and this one may not wait for it (policy='fail')")

    def want(self, wanted: Wanted, now: float, policy: Policy = "queue") -> None:
        """Ask for a response: now, when the running one has ended, or in its place.

        Raises:
            LocalProtocolError: One is active, and the policy is to fail.
        """
        if not wanted.in_band:
            self.responses.beside.append(wanted)
            self._request(wanted)
            return
        self.refuse_if_busy(policy)
        if policy == "cancel_active":
            self._core.voice.interrupt(now)
            self.responses.owed.insert(0, wanted)
        else:
            self.responses.owed.append(wanted)
        self.serve()

    def serve(self) -> None:
        """Send the next response that is owed, if nothing stands against it."""
        if not self._core.user_speaking and (wanted := self.responses.serve()) is not None:
            self._request(wanted)

    def _request(self, wanted: Wanted) -> None:
        wanted.event = tagged(wanted.event, str(wanted.event.event_id))
        self._say(wanted)
        self._effects.send.append(wanted.event)

    def _say(self, wanted: Wanted) -> None:
        """Send what is said before a response is asked for, once."""
        if not wanted.is_said:
            wanted.is_said = True
            self._effects.send += wanted.said

    def sent(self, event: client.ResponseCreate) -> None:
        """Take note of a request that an application sends by itself."""
        if any(wanted.event is event for wanted in (self.responses.asked, *self.responses.beside) if wanted):
            return
        wanted = Wanted(event, retried=True)  # Whoever sends it by himself is told of its refusal.
        if not wanted.in_band:
            self.responses.beside.append(wanted)
        elif self.responses.asked is None:
            self.responses.asked = wanted

    def drop(self, wanted: Wanted, now: float) -> bool:
        """Nobody wants a response any more; says whether it need not be cancelled, because it was never asked for."""
        wanted.dropped = True
        wanted.waiter = None
        if wanted.running is not None and not wanted.running.in_band:
            self._silence(wanted.running)
        if not self.responses.drop(wanted):
            return False
        if wanted.turn is not None:
            self._end(wanted.turn, "cut", now)
        return True

    def give_up(self, turn: Turn, now: float) -> None:
        """Nobody waits for a turn any more; its response is not asked for, if that can still be helped."""
        self._turn_waiters.pop(turn, None)
        for wanted in [wanted for wanted in self.responses.owed if wanted.turn is turn]:
            self.drop(wanted, now)

    def refused(self, event: server.ErrorEvent, request: Request, now: float) -> bool:
        """Ask once more, after the active response, where the server was faster; else give up; says whether it is told.

        The server refused a `response.create`, or the item that was said before it.
        """
        wanted = self.responses.refused(request.event)
        if wanted is None:
            return False
        if event.error.code == ALREADY_ACTIVE and not wanted.retried and not wanted.dropped:
            wanted.retried = True
            wanted.event = msgspec.structs.replace(wanted.event, event_id=self._core.new_id("event"))
            self.responses.owed.insert(0, wanted)
            self.serve()
            return True
        return self._fail(wanted, server_error(event, request.event), now)

    def item_refused(self, event: server.ErrorEvent, request: Request, now: float) -> bool:
        """Fail the `ask()` whose item the server has refused; says whether there is one."""
        if isinstance(request.event, client.ConversationItemCreate):
            self.output_settled(request.event.item.id or "")
        begun = [running.wanted for running in self.responses.running.values()]
        for wanted in filter(None, (*self.responses.waiting(), *begun)):
            if request.event in wanted.said and wanted.turn in self._turn_waiters:
                self._end(wanted.turn, "failed", now, server_error(event, request.event))
                wanted.turn = None
                self._core.voice.give_up(wanted, now)  # It would answer what was not said.
                return True
        return False

    def _fail(self, wanted: Wanted, error: Exception, now: float) -> bool:
        """No response comes of a wish; says whether anybody is told who waits for it."""
        told = wanted.waiter is not None or wanted.turn in self._turn_waiters
        self._settle(wanted.waiter, error)
        turn = wanted.turn or self.turn
        if turn is not None and (turn is not self.turn or not self._goes_on(turn)):
            told = told or turn in self._turn_waiters
            self._end(turn, "failed", now, error)
        self.serve()
        return told

    def _settle(self, waiter: Any, outcome: Any) -> None:
        if waiter is not None:
            self._effects.settled.append((waiter, outcome))

    # Responses and turns.

    def _new_turn(self, now: float, words: str = "") -> Turn:
        turn = Turn(started_s=now, user_text=words)
        self._effects.after.append(local.TurnStarted(turn=turn))
        return turn

    def response_created(self, event: server.ResponseCreated, now: float) -> None:
        """A response has begun; an in-band one belongs to the turn that asked for it, or begins one."""
        running = self.responses.begin(event.response, server_may_begin=now < self._server_begins_until)
        wanted = running.wanted
        self.has_progressed = True
        if wanted is not None:
            self._tell_begun(wanted, running)
            if wanted.dropped:
                self._silence(running)
                self._effects.send.append(self.cancel(running.id))
        if not running.in_band:
            return
        if wanted is None:
            self._server_begins_until = 0.0
        self._belongs(running, now)

    def _credit(self, running: RunningResponse, now: float) -> None:
        """Take a response for the answer to a request after all, although it seemed to be the server's own.

        Had turn detection begun it, the server would have refused by now what was asked for before.
        """
        wanted = self.responses.answered_by(running)
        if wanted is None:
            return
        self._tell_begun(wanted, running)
        begun = running.turn
        if wanted.turn is not None and begun is not None and begun is not wanted.turn:
            wanted.turn.follow(running)
            self.turn = wanted.turn
            self._end(begun, "cut", now)

    def _tell_begun(self, wanted: Wanted, running: RunningResponse) -> None:
        self._core.requests.forget(wanted.event)
        self._settle(wanted.waiter, running)
        wanted.waiter = None
        if wanted.end_waiter is not None:
            running.waiters.append(wanted.end_waiter)

    def _belongs(self, running: RunningResponse, now: float) -> None:
        """Find the turn of a response that has begun."""
        wanted = running.wanted
        turn = wanted.turn if wanted is not None and wanted.turn is not None else self._spoken
        if turn is not None and turn is not self.turn:
            if self.turn is not None:
                self._end(self.turn, "cut", now)
            self.turn = turn
        if turn is self._spoken:
            self._spoken = None
        elif self._spoken is not None and not self._core.user_speaking and now >= self._server_begins_until:
            self._end(self._spoken, "cut", now)  # What was said is answered together with what was asked.
        if self.turn is None:
            self.turn = self._new_turn(now)
        self.turn.follow(running)
        self.turn.mark("response_created", now)

    def _silence(self, running: RunningResponse) -> None:
        """Deliver no delta of a response any more."""
        running.silenced = True
        self._core.output.forget_last()
        self._effects.purge.add(running.id)

    def cancel(self, response_id: str) -> client.ResponseCancel:
        """Give the event that cancels a response."""
        return client.ResponseCancel(event_id=self._core.new_id("event"), response_id=response_id)

    def response_done(self, event: server.ResponseDone, now: float) -> None:
        """A response has ended, and with it perhaps its turn or its batch of tool calls."""
        response = event.response
        response_id = response.id or ""
        if any(self.responses.awaiting()) and not self.responses.has_begun(response_id):
            self.response_created(server.ResponseCreated(response=response), now)
        running = self.responses.end(response_id)
        self._credit(running, now)
        for item in response.output or ():
            self._note_call(item, running, now)
        batch = self.batches.response_ended(running.id, _status(response.status))
        if running.turn is not None:
            self._collect(running.turn, running, response, batch, now)
        for waiter in running.waiters:
            self._settle(waiter, response)
        if batch is not None:
            self._settle_batch(batch, now)
        self.serve()

    def _collect(self, turn: Turn, running: RunningResponse, response: Response, batch: Any, now: float) -> None:
        turn.collect(running, response)
        turn.status = _status(response.status)
        if turn.status == "completed" and (self.batches.hold(turn) or self._owes_follow_up(turn)):
            turn.status = "running"
            turn.rounds += batch is not None
        elif turn is self.turn:
            failed = turn.status == "failed"
            self._end(turn, turn.status, now, self._core.failure(response, now) if failed else turn)

    def _end(self, turn: Turn, status: Any, now: float, outcome: Any = None) -> None:
        """End a turn: publish it, and give who waits for it the outcome: the turn itself, or an exception."""
        if turn is self.turn:
            self.turn = None
        if turn is self._spoken:
            self._spoken = None
        if "done" in turn.timeline_ms:
            return
        turn.status = status
        turn.mark("done", now)
        self._effects.after.append(local.TurnDone(turn=turn))
        self._settle(self._turn_waiters.pop(turn, None), outcome or turn)
        self.serve()

    def cut(self, error: Exception, now: float) -> bool:
        """End everything because the connection ended; says whether a response was running."""
        was_active = bool(self.responses.running)
        for running in self.responses.running.values():
            for waiter in running.waiters:
                self._settle(waiter, error)
        turns = [self.turn, self._spoken]
        asked = self.responses.asked
        for wanted in self.responses.take_all():
            self._settle(wanted.waiter, error)
            turns.append(wanted.turn)
            self._asked_words |= wanted.is_follow_up and wanted is asked
            self._owes_words |= wanted.is_follow_up and wanted is not asked
        for turn in dict.fromkeys(filter(None, (*turns, *self._turn_waiters))):
            self._end(turn, "cut", now, error)
        if not self._core.server_plays:  # The conversation of a call goes on without the connection.
            for call in self.batches.orphan():
                self._finish_item(call, now)
                self._effects.after.append(local.ToolOrphaned(call=call))
            self.keep_outputs(now)
            for output_id in list(self._unconfirmed):
                self.doubt_output(output_id)
        return was_active

    def _finish_item(self, call: local.ToolCall, now: float) -> None:
        """Take the item of a call for whole, which the server has not said yet: its arguments are."""
        item = Item(
            type="function_call",
            id=call.item_id,
            call_id=call.call_id,
            name=call.name,
            arguments=call.arguments,
            status="completed",
        )
        if call.item_id in self._core.conversation:
            self._core.conversation.apply(server.ConversationItemDone(item=item), now)

    def carry_over(self, before: Exchange, call_ids: Mapping[str, str], item_ids: Mapping[str, str]) -> None:
        """Go on with the calls that were said again to this session: their tools are at work, and answer here.

        Args:
            before: The exchange of the session that is gone.
            call_ids: The new ids of its calls.
            item_ids: The new ids of its items.
        """
        taken = self.batches.take_in(before.batches, call_ids, item_ids)
        earlier = {old: taken[id] for old, id in before._now_called.items() if id in taken}
        self._now_called = {**earlier, **taken}

    def keep_outputs(self, now: float) -> bool:
        """Put the outputs that nobody has confirmed yet into the conversation, so that it goes on with what was done.

        Says whether there were any that it had not.
        """
        conversation = self._core.conversation
        fresh = [(call, output) for id, (call, output) in self._unconfirmed.items() if id not in conversation]
        for call, output in fresh:
            added = server.ConversationItemAdded(item=output, previous_item_id=call.item_id or msgspec.UNSET)
            conversation.apply(added, now)
        return bool(fresh)

    def output_settled(self, item_id: str) -> None:
        """The server has taken or refused an item, which may be the output of a call."""
        self._unconfirmed.pop(item_id, None)
        self._unwritten.discard(item_id)

    def adopt(self, before: Exchange) -> None:
        """Go on with the tool calls of a conversation that outlived its connection."""
        self.batches, self._unconfirmed = before.batches, before._unconfirmed
        self._unwritten = before._unwritten
        self._owes_words, self._asked_words = before._owes_words, before._asked_words

    def go_on(self, now: float) -> None:
        """Ask for what is due after a gap in what was heard: a response may have ended in it, with all calls answered.

        If it runs still, the server says so, and it is asked for again when that has ended.
        """
        for batch in self.batches.assume_ended():
            self._settle_batch(batch, now)
        owes, self._owes_words, self._asked_words = self._owes_words, False, False
        if owes and not any(wanted.is_follow_up for wanted in self.responses.waiting()):
            self.follow_up(now)

    def output_was_lost(self, output: Item) -> None:
        """Send an output again; what was asked for behind it was lost, too."""
        self._owes_words |= self._asked_words
        self._effects.send.append(self._core.create_item(output))

    def doubt_output(self, item_id: str) -> None:
        """Name an output of which nobody knows whether the server has it."""
        call, _ = self._unconfirmed.pop(item_id, (None, None))
        if call is not None:
            self._effects.after.append(local.ToolOrphaned(call=call, unknown=item_id not in self._unwritten))
        self._unwritten.discard(item_id)

    def not_written(self, item_id: str) -> None:
        """Take note that an output could not be written, because its connection had just ended."""
        if item_id in self._unconfirmed:
            self._unwritten.add(item_id)

    @property
    def unconfirmed_outputs(self) -> list[Item]:
        """The outputs of tool calls that were sent, and that the server has neither taken nor refused."""
        return [output for _, output in self._unconfirmed.values()]

    def follow_up(self, now: float) -> None:
        """Ask for a response to what the conversation has got beside a turn."""
        self.want(Wanted(self.new_request(), is_follow_up=True), now)

    # The user's speech.

    def speech_started(self, item_id: str, now: float) -> None:
        """The user speaks: a turn begins."""
        if self._spoken is None:
            self._spoken = self._new_turn(now)
        self._said_in[item_id] = self._spoken
        if len(self._said_in) > REMEMBERED_SPEECH:
            del self._said_in[next(iter(self._said_in))]

    def speech_stopped(self, now: float) -> None:
        """The user has stopped; what waited for it goes out, unless the server answers by itself."""
        if self._spoken is not None:
            self._spoken.mark("speech_end", now)
        if self._core.answers_by_itself:
            self._server_begins_until = now + SERVER_BEGINS_S
            # The server's own response will have heard the outputs that still wait to be spoken of.
            for wanted in [wanted for wanted in self.responses.owed if wanted.is_follow_up and wanted.is_plain]:
                self.responses.drop(wanted)
                if self.turn is not None and not self._goes_on(self.turn):
                    self._end(self.turn, "cut", now)  # It may be that the server finds nothing to answer.
        self.serve()

    def transcribed(self, item_id: str, words: str) -> None:
        """The user's words are known."""
        turn = self._said_in.pop(item_id, None) or self._spoken or self.turn
        if turn is not None and not turn.user_text:
            turn.user_text = words

    # Tool calls: one run for each call_id, one follow-up for each batch.

    def output_item_added(self, item: Item) -> None:
        """An item has begun; a call's name is noted for the dialect that leaves it out later."""
        if item.type == "function_call" and item.call_id and item.name:
            self._call_names[item.call_id] = item.name

    def arguments_done(self, event: server.ResponseFunctionCallArgumentsDone, now: float) -> None:
        """A call is complete: the first of the three events that show it."""
        # The beta dialect leaves the name out; it came with the item.
        if name := event.name or self._call_names.get(event.call_id, ""):
            call = local.ToolCall(
                call_id=event.call_id,
                name=name,
                arguments=event.arguments,
                item_id=event.item_id,
                response_id=event.response_id,
            )
            self._start_call(call, self.responses.find(event.response_id), now)

    def output_item_done(self, item: Item, response_id: str, now: float) -> None:
        """An item is complete: the second event that shows a call."""
        self._note_call(item, self.responses.find(response_id), now)

    def _note_call(self, item: Item, running: RunningResponse, now: float) -> None:
        # A call that was cut off by a cancellation is no call: its arguments are not whole.
        if item.type == "function_call" and item.call_id and item.name and item.status != "incomplete":
            call = local.ToolCall(
                call_id=item.call_id,
                name=item.name,
                arguments=item.arguments or "",
                item_id=item.id or "",
                response_id=running.id,
            )
            self._start_call(call, running, now)

    def _start_call(self, call: local.ToolCall, running: RunningResponse, now: float) -> None:
        self._call_names.pop(call.call_id, None)
        # There is no conversation to put the output of an out-of-band call into: it is for whoever asked.
        if self.batches.knows(call) or not running.in_band:
            return
        refused = self.batches.begin(call, running.turn, now)
        self._effects.start.append(msgspec.structs.replace(call, refused=refused) if refused else call)

    def answer_tool(self, result: local.ToolResult, now: float, *, respond: bool, when_done: WhenDone) -> bool:
        """Send a tool's output, and once the batch is complete one `response.create`; false if nobody may be answered.

        That is so for a second answer, and for a call whose conversation is gone.
        """
        call_id = self._now_called.get(result.call_id, result.call_id)
        batch = self.batches.of(call_id)
        if batch is None:
            return False
        call = batch.answer(call_id, respond=respond, when_done=when_done)
        if batch.turn is not None:
            batch.turn.tool_calls.append(result)
        for wanted in [wanted for wanted in self.responses.owed if wanted.of_call == call_id]:
            self.responses.drop(wanted)
        item = Item(
            type="function_call_output",
            id=output_item_id(call_id),
            call_id=call_id,
            output=result.output,
        )
        self._unconfirmed[output_item_id(call_id)] = call, item
        if len(self._unconfirmed) > REMEMBERED_OUTPUTS:
            del self._unconfirmed[next(iter(self._unconfirmed))]
        self._effects.send.append(self._core.create_item(item))
        self._settle_batch(batch, now)
        return True

    def say(self, call_id: str, text: str, now: float) -> None:
        """Have the assistant say a text while a call runs; unsaid if the call is answered first."""
        call_id = self._now_called.get(call_id, call_id)
        if self.batches.of(call_id) is None:
            return
        params = ResponseCreateParams(
            instructions=f"Say exactly this and nothing else: {text}",
            tool_choice="none",
            metadata={SAID_BY: call_id[:MAX_METADATA]},
        )
        self.want(Wanted(self.new_request(params), of_call=call_id), now)

    def _settle_batch(self, batch: Batch, now: float) -> None:
        """Ask for the follow-up once the response has ended and every call of it is answered."""
        if not batch.is_complete:
            return
        self.batches.settle(batch)
        if self._is_followed_up(batch):
            self._follow_up(batch, now)
        elif batch.turn is not None and batch.turn is self.turn and not self._goes_on(batch.turn):
            self._end(batch.turn, "completed", now)
        batch.turn = None  # Its calls stay known for long; the turn and its audio must not.

    def _is_followed_up(self, batch: Batch) -> bool:
        if not batch.respond or batch.ended != "completed":
            return False
        if batch.turn is not None and batch.turn.rounds > self.batches.limits.rounds_per_turn:
            return False  # The last response, without tools, was asked for before, and called tools all the same.
        if any(wanted.is_plain and wanted.may_begin for wanted in self.responses.owed):
            return False  # The response that is owed already will hear the outputs.
        if batch.when_done == "silent":
            return not self._is_busy(batch.turn)
        return batch.when_done == "interrupt" or self._spoken is None or not self._core.answers_by_itself

    def _is_busy(self, turn: Turn | None) -> bool:
        """Say whether somebody speaks, or a newer turn is on."""
        newer = turn is not None and self.turn is not None and turn is not self.turn
        return self._core.user_speaking or self.responses.busy or self._spoken is not None or newer

    def _goes_on(self, turn: Turn) -> bool:
        return self.responses.busy or any(wanted.may_begin for wanted in self.responses.owed) or self.batches.hold(turn)

    def _follow_up(self, batch: Batch, now: float) -> None:
        """Ask for one response; the last one of a run-away turn without tools."""
        turn, limit = batch.turn, self.batches.limits.rounds_per_turn
        params: Any = msgspec.UNSET
        if turn is not None and turn.rounds >= limit:
            params = ResponseCreateParams(tool_choice="none")
            self._effects.after.append(local.ToolLoopStopped(turn=turn, rounds=turn.rounds))
        wanted = Wanted(self.new_request(params), is_follow_up=True)
        if batch.when_done != "interrupt":
            self.want(wanted, now)
        elif self.responses.busy:
            self.want(wanted, now, "cancel_active")
        else:  # It does not wait for the user either.
            self.responses.asked = wanted
            self._request(wanted)

    def _owes_follow_up(self, turn: Turn) -> bool:
        """Say whether a turn goes on although its last response has ended: what a tool said was not its answer."""
        return turn is self.turn and any(wanted.is_follow_up for wanted in self.responses.owed)


def _words_of(item: Item) -> str:
    return "\n".join(part.text or part.transcript or "" for part in item.content or ())


def _status(status: Any) -> Any:
    return status if status in ("completed", "cancelled", "incomplete", "failed") else "completed"


def failure(response: Any, retry_after_s: float | None = None) -> ResponseFailed:
    """Give the exception for a response that has failed."""
    details = response.status_details if response is not None else None
    error = details.error if details else None
    return ResponseFailed(
        response,
        type=(error.type if error else None) or None,
        code=(error.code if error else None) or None,
        message=(error.message if error else None) or "",
        retry_after_s=retry_after_s,
    )
