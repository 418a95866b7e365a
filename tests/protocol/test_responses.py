"""The machine of responses, against any server and any user: one in band at a time, and nobody waits for ever."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime_events import LocalProtocolError, user
from realtime_events.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorDetails,
    ErrorEvent,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputTextDelta,
    SessionCreated,
    TurnDone,
    TurnStarted,
)
from realtime_events.events.response import ResponseCreateParams
from realtime_events.events.session import AudioConfig, AudioInput, SessionConfig, TurnDetection
from realtime_events.protocol.core import QUIET, TABLE, Core
from realtime_events.protocol.responses import MAX_METADATA_PAIRS, TAG, Responses, Wanted, tagged
from realtime_events.protocol.turns import RunningResponse, Turn

POLICIES = st.sampled_from(["queue", "cancel_active", "fail"])
SPEECH = "the user's speech"
STATUSES = st.sampled_from(["completed", "completed", "incomplete", "failed"])


class Talking(RuleBasedStateMachine):
    """Plays the application, the network with its delay, the user, and a server that knows who asked for what.

    Whatever was asked for is told once that it has begun, of its own response, or why not; and its end, or why not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.core = Core(new_id=lambda kind: f"{kind}_{next(self.numbers)}")
        self.now = 0.0
        self.under_way: list[Any] = []
        self.wishes: dict[str, Wanted] = {}
        self.turns: dict[str, Turn] = {}
        self.asked_by: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.told: dict[str, list[Any]] = {}
        self.given_up: set[str] = set()
        self.server_active = ""
        self.server_beside: list[str] = []
        self.turn_events: list[Any] = []
        self.delivered: list[str] = []

    @initialize(gives_tags_back=st.booleans(), detects_turns=st.booleans())
    def connect(self, gives_tags_back: bool, detects_turns: bool) -> None:
        self.gives_tags_back = gives_tags_back
        detection = TurnDetection(type="server_vad") if detects_turns else None
        config = SessionConfig(id="s", audio=AudioConfig(input=AudioInput(turn_detection=detection)))
        self.detects_turns = detects_turns
        self.hear(SessionCreated(session=config))

    # The client's side.

    def hear(self, event: Any) -> None:
        self.now += 0.01
        if (quiet := QUIET.get(type(event))) is not None:
            if quiet(self.core.output, event, lambda: self.now) is None:
                self.delivered.append(event.response_id)
        else:
            TABLE[type(event)](self.core, event, self.now)
        self.carry_out()

    def carry_out(self) -> None:
        effects = self.core.effects
        self.turn_events += [event for event in effects.after if isinstance(event, TurnStarted | TurnDone)]
        settled, effects.settled = effects.settled, []
        for waiter, outcome in settled:
            self.told.setdefault(waiter, []).append(outcome)
        sends, effects.send = effects.send, []
        for event in sends:
            self.core.sent(event, self.now)
            if isinstance(event, ResponseCreate):
                self.note(event)
        self.under_way += sends
        effects.before.clear()
        effects.after.clear()
        effects.purge.clear()
        effects.interrupted = False

    def note(self, request: ResponseCreate) -> None:
        """Remember which wish a request is of."""
        for name, wanted in self.wishes.items():
            if wanted.event.event_id == request.event_id:
                self.asked_by[str(request.event_id)] = name

    def new_name(self) -> str:
        return f"wish {next(self.numbers)}"

    @rule(policy=POLICIES)
    def ask(self, policy: Any) -> None:
        name = self.new_name()
        before = list(self.under_way)
        try:
            turn = self.core.ask(user(name), self.now, name, policy)
        except LocalProtocolError:
            assert policy == "fail" and self.under_way == before and not self.core.effects
            return
        exchange = self.core.exchange
        [wanted] = [wish for wish in exchange.responses.waiting() if wish.turn is turn]
        self.turns[name], self.wishes[name] = turn, wanted
        self.carry_out()

    @rule(policy=POLICIES, out_of_band=st.booleans(), is_full=st.booleans(), interruptible=st.booleans())
    def respond(self, policy: Any, out_of_band: bool, is_full: bool, interruptible: bool) -> None:
        name = self.new_name()
        params = ResponseCreateParams(
            conversation="none" if out_of_band else "auto",
            metadata={str(n): name for n in range(MAX_METADATA_PAIRS if is_full else 1)},
        )
        request = self.core.exchange.new_request(params)
        wanted = Wanted(request, waiter=name, end_waiter=f"end of {name}", interruptible=interruptible)
        self.wishes[name] = wanted
        try:
            self.core.exchange.want(wanted, self.now, policy)
        except LocalProtocolError:
            assert policy == "fail" and not out_of_band and not self.core.effects
            del self.wishes[name]
            return
        self.carry_out()

    @precondition(lambda self: self.wishes.keys() - self.given_up)
    @rule(data=st.data())
    def give_up(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.wishes.keys() - self.given_up)))
        self.given_up.add(name)
        if name in self.turns:
            self.core.give_up(self.turns[name], self.now)
        else:
            self.core.voice.give_up(self.wishes[name], self.now)
        self.carry_out()

    @rule()
    def interrupt(self) -> None:
        self.core.voice.interrupt(self.now)
        self.carry_out()

    # The server's side.

    @precondition(lambda self: self.under_way)
    @rule()
    def take(self) -> None:
        """The server gets the next event that is under way to it."""
        event = self.under_way.pop(0)
        match event:
            case ConversationItemCreate():
                self.hear(ConversationItemAdded(item=event.item))
            case ResponseCancel():
                self.take_cancel(event)
            case ResponseCreate():
                self.take_request(event)

    def take_cancel(self, event: ResponseCancel) -> None:
        if event.response_id in (self.server_active, *self.server_beside):
            self.end(str(event.response_id), "cancelled")
        else:
            self.refuse(event, "response_cancel_not_active")

    def take_request(self, event: ResponseCreate) -> None:
        assert event.response
        out_of_band = event.response.conversation == "none"
        if self.server_active and not out_of_band:
            self.refuse(event, "conversation_already_has_active_response")
            return
        response_id = self.begin(event.response.metadata if self.gives_tags_back else None, out_of_band)
        self.answers[response_id] = self.asked_by[str(event.event_id)]

    @precondition(
        lambda self: self.under_way and isinstance(self.under_way[0], ConversationItemCreate | ResponseCreate)
    )
    @rule()
    def refuse_next(self) -> None:
        self.refuse(self.under_way.pop(0), "invalid_value")

    def refuse(self, event: Any, code: str) -> None:
        self.hear(ErrorEvent(error=ErrorDetails(type="invalid_request_error", code=code, event_id=event.event_id)))

    def begin(self, metadata: dict[str, str] | None, out_of_band: bool) -> str:
        response_id = f"resp_{next(self.numbers)}"
        if out_of_band:
            self.server_beside.append(response_id)
        else:
            self.server_active = response_id
        conversation_id = None if out_of_band else "conv"
        self.hear(
            ResponseCreated(response=Response(id=response_id, conversation_id=conversation_id, metadata=metadata))
        )
        self.hear(ResponseOutputTextDelta(response_id=response_id, item_id=f"item_{response_id}", delta="."))
        return response_id

    @precondition(lambda self: self.server_active or self.server_beside)
    @rule(data=st.data(), status=STATUSES)
    def finish(self, data: Any, status: str) -> None:
        running = [response_id for response_id in (self.server_active, *self.server_beside) if response_id]
        self.end(data.draw(st.sampled_from(running)), status)

    def end(self, response_id: str, status: str) -> None:
        if self.answers[response_id] == SPEECH:
            while self.under_way:  # No network is slower than a whole response; nothing else could tell them apart.
                self.take()
        if response_id not in (self.server_active, *self.server_beside):
            return
        if response_id == self.server_active:
            self.server_active = ""
        else:
            self.server_beside.remove(response_id)
        self.hear(ResponseDone(response=Response(id=response_id, status=status, output=[])))

    @precondition(lambda self: self.detects_turns)
    @rule()
    def speak(self) -> None:
        """The user says something; the server answers it by itself, unless it is answering."""
        while self.server_active:
            self.end(self.server_active, "cancelled")
        self.hear(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
        self.hear(InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=1))
        self.answers[self.begin(None, out_of_band=False)] = SPEECH

    # What holds at any time, and in the end.

    @invariant()
    def nobody_is_told_twice_or_of_anothers_response(self) -> None:
        for waiter, outcomes in self.told.items():
            assert len(outcomes) == 1
            name, outcome = waiter.removeprefix("end of "), outcomes[0]
            ids = []
            if isinstance(outcome, RunningResponse | Response):
                ids = [outcome.id]
            elif isinstance(outcome, Turn):
                ids = [response.id for response in outcome.responses]
                assert outcome is self.turns[name]
            assert all(self.answers.get(str(response_id), name) == name for response_id in ids)

    @invariant()
    def what_runs_in_band_is_known(self) -> None:
        if self.server_active:
            assert self.core.active_response == self.server_active

    def teardown(self) -> None:
        """Let everything come to its end: nobody waits any more, and nothing is left."""
        for _ in range(1000):
            if self.under_way:
                self.take()
            elif running := (self.server_active or next(iter(self.server_beside), "")):
                self.end(running, "completed")
            else:
                break
        self.nobody_is_told_twice_or_of_anothers_response()
        responses = self.core.exchange.responses
        assert not responses.busy and not responses.owed and not responses.beside and not responses.running
        for name in self.wishes.keys() - self.given_up:
            assert name in self.told, name
            outcome = self.told[name][0]
            if isinstance(outcome, RunningResponse):
                assert isinstance(self.told[f"end of {name}"][0], Response)
            elif isinstance(outcome, Turn):
                assert outcome.status in ("completed", "cancelled", "incomplete") and outcome.responses
        started = [event.turn for event in self.turn_events if isinstance(event, TurnStarted)]
        ended = [event.turn for event in self.turn_events if isinstance(event, TurnDone)]
        assert len(started) == len(ended) and set(map(id, started)) == set(map(id, ended))
        super().teardown()


TestTalking = Talking.TestCase
TestTalking.settings = settings(max_examples=200, stateful_step_count=30)


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def request(number: int, **params: Any) -> ResponseCreate:
    return ResponseCreate(event_id=f"event_{number}", response=ResponseCreateParams(**params))


def test_a_tag_leaves_the_request_otherwise_as_it_was() -> None:
    """B12."""
    event = request(1, instructions="Be brief.", metadata={"a": "1"})
    sent = tagged(event, "t")
    assert sent.response and sent.response.metadata == {"a": "1", TAG: "t"}
    again = msgspec.structs.replace(sent, response=msgspec.structs.replace(sent.response, metadata={"a": "1"}))
    assert again == event and tagged(sent, "other") is sent


@pytest.mark.parametrize("pairs", [MAX_METADATA_PAIRS, MAX_METADATA_PAIRS + 1])
def test_full_metadata_is_sent_as_it_is(pairs: int) -> None:
    """B12."""
    event = request(1, metadata={str(n): "" for n in range(pairs)})
    assert tagged(event, "t") is event


def test_once_a_server_gives_tags_back_a_response_without_one_is_its_own() -> None:
    """B12: turn detection may begin one at any time."""
    responses, first, second = Responses(), Wanted(tagged(request(1), "one")), Wanted(tagged(request(2), "two"))
    responses.asked = first
    begun = responses.begin(Response(id="a", conversation_id="c", metadata={TAG: "one"}), server_may_begin=True)
    assert begun.wanted is first and responses.active == "a" and responses.asked is None
    responses.end("a")
    responses.asked = second
    own = responses.begin(Response(id="b", conversation_id="c"), server_may_begin=False)
    assert own.wanted is None and own.in_band and responses.asked is second


def test_a_tag_that_nobody_knows_is_nobodys() -> None:
    """Another client of the same session, or a request of before a reconnect."""
    responses, wanted = Responses(), Wanted(tagged(request(1), "one"))
    responses.asked = wanted
    begun = responses.begin(Response(id="a", conversation_id="c", metadata={TAG: "else"}), server_may_begin=False)
    assert begun.wanted is None and responses.asked is wanted and responses.busy


def test_a_server_without_tags_is_understood_by_order_and_time() -> None:
    """B12."""
    responses, asked = Responses(), Wanted(tagged(request(1), "one"))
    beside = [Wanted(tagged(request(n, conversation="none"), str(n))) for n in (2, 3)]
    responses.asked, responses.beside = asked, list(beside)
    aside = responses.begin(Response(id="a", conversation_id=None), server_may_begin=True)
    own = responses.begin(Response(id="b", conversation_id="c"), server_may_begin=True)
    mine = responses.begin(Response(id="c", conversation_id="c"), server_may_begin=False)
    assert (aside.wanted, own.wanted, mine.wanted) == (beside[0], None, asked)
    assert not aside.in_band and own.in_band and responses.beside == beside[1:]


def test_a_response_has_ended_once_until_its_id_is_given_again() -> None:
    responses = Responses()
    responses.begin(Response(id="a", conversation_id="c"), server_may_begin=False)
    responses.end("a")
    assert responses.has_ended("a") and not responses.busy and not responses.running
    responses.begin(Response(id="a", conversation_id="c"), server_may_begin=False)
    assert not responses.has_ended("a") and responses.active == "a"


def test_taking_everything_leaves_nothing() -> None:
    """B40."""
    responses = Responses()
    wishes = [Wanted(request(1)), Wanted(request(2, conversation="none")), Wanted(request(3))]
    responses.asked, responses.beside, responses.owed = wishes[0], [wishes[1]], [wishes[2]]
    assert responses.take_all() == wishes
    assert not responses.busy and not list(responses.waiting()) and not list(responses.awaiting())


def test_a_response_that_began_before_a_request_is_not_its_answer() -> None:
    """B12: a request that was made meanwhile waits for its own."""
    responses, wanted = Responses(), Wanted(tagged(request(1), "one"))
    begun = responses.begin(Response(id="a", conversation_id="c"), server_may_begin=True)
    responses.asked = wanted
    assert responses.answered_by(responses.end("a")) is None
    assert begun.wanted is None and responses.asked is wanted


def test_full_metadata_that_nobody_asked_with_is_another_ones() -> None:
    """B12: the server's own response, or another client's."""
    responses, pairs = Responses(), {str(number): "" for number in range(MAX_METADATA_PAIRS)}
    wanted = Wanted(tagged(request(1, metadata=pairs), "one"))
    responses.asked = wanted
    other = {**pairs, "0": "else"}
    begun = responses.begin(Response(id="a", conversation_id="c", metadata=other), server_may_begin=True)
    assert begun.wanted is None and responses.asked is wanted
    mine = responses.begin(Response(id="b", conversation_id="c", metadata=pairs), server_may_begin=True)
    assert mine.wanted is wanted
