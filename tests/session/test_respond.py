"""Following responses: their text, audio and events; cancelling them; several beside each other; policies; asking."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from realtime_events import (
    ConfigurationError,
    ConnectionLostError,
    LocalProtocolError,
    Realtime,
    ResponseFailed,
    ServerError,
    Session,
    system,
)
from realtime_events.events import (
    AudioFlush,
    ContentPart,
    ConversationItemCreate,
    ErrorDetails,
    ErrorEvent,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    Item,
    RateLimit,
    RateLimitsUpdated,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    SendRejected,
    TurnDone,
)
from realtime_events.following import ResponseHandle
from realtime_events.protocol.responses import MAX_METADATA_PAIRS, TAG
from realtime_events.simulator import Simulator
from realtime_events.simulator.plans import Call, Fail, Say
from realtime_events.simulator.scripts import Step
from realtime_events.testing import Peer

ACTIVE = "conversation_already_has_active_response"
SERVER_VAD = {"input": {"turn_detection": {"type": "server_vad"}}}


class Stage:
    """A session over a memory connection, and the server's lines."""

    def __init__(self, session: Session, peer: Peer) -> None:
        self.session = session
        self.peer = peer
        self.gives_tags_back = True

    async def request(self, number: int = 1) -> ResponseCreate:
        """Wait for the request with this number, counted from 1."""
        await self.peer.heard(ResponseCreate, lambda _: len(self.requests()) >= number)
        return self.requests()[number - 1]

    def requests(self) -> list[ResponseCreate]:
        return [event for event in self.peer.sent if isinstance(event, ResponseCreate)]

    def cancelled(self) -> list[str]:
        return [str(event.response_id) for event in self.peer.sent if isinstance(event, ResponseCancel)]

    def begin(self, response_id: str, request: ResponseCreate | None = None) -> None:
        """Say that a response has begun: the one of a request, or one of the server's own."""
        params = request.response if request is not None and request.response else None
        metadata = params.metadata if params is not None and self.gives_tags_back else None
        out_of_band = params is not None and params.conversation == "none"
        begun = Response(
            id=response_id,
            status="in_progress",
            conversation_id=None if out_of_band else "conv_1",
            metadata=metadata,
        )
        self.peer.say(ResponseCreated(response=begun))

    async def let_begin(self, response_id: str, number: int) -> None:
        self.begin(response_id, await self.request(number))

    def text(self, response_id: str, *deltas: str) -> None:
        for delta in deltas:
            self.peer.say(ResponseOutputTextDelta(response_id=response_id, item_id=f"item_{response_id}", delta=delta))

    def end(self, response_id: str, status: str = "completed", **more: Any) -> None:
        self.peer.say(ResponseDone(response=Response(id=response_id, status=status, **more)))

    def refuse(self, event: Any, code: str = "nope", message: str = "no") -> None:
        error = ErrorDetails(type="invalid_request_error", code=code, message=message, event_id=event.event_id)
        self.peer.say(ErrorEvent(error=error))

    async def settle(self) -> None:
        """Wait until everything that was said has been heard."""
        self.peer.say(RateLimitsUpdated(rate_limits=[]))
        await self.session.wait_for("rate_limits.updated")


@asynccontextmanager
async def staged(rt: Realtime | None = None) -> AsyncIterator[Stage]:
    peer = Peer()
    async with (
        asyncio.timeout(5),
        (rt or Realtime()).connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session,
    ):
        yield Stage(session, peer)


@asynccontextmanager
async def following(stage: Stage, response_id: str = "resp_1", **params: Any) -> AsyncIterator[ResponseHandle]:
    """Ask for a response, let it begin, and follow it."""
    beginning = asyncio.ensure_future(stage.let_begin(response_id, len(stage.requests()) + 1))
    async with stage.session.respond(**params) as r:
        await beginning
        yield r


async def whole(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


# ── following ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_response_is_read_as_text_audio_and_events_while_it_comes() -> None:
    """B20: each reader gets what is for it, as it comes."""
    async with staged() as stage, following(stage) as r:
        assert r.id == "resp_1"
        texts, sounds = aiter(r.text), aiter(r.audio)
        stage.peer.say(ResponseOutputAudioTranscriptDelta(response_id="resp_1", item_id="i", delta="Hi"))
        assert await anext(texts) == "Hi"
        stage.peer.say(ResponseOutputAudioDelta(response_id="resp_1", item_id="i", delta=b"\1\0" * 24))
        assert await anext(sounds) == b"\1\0" * 24
        stage.end("resp_1")
        assert [event.type async for event in r.events] == [
            "response.created",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.done",
        ]
        assert await whole(texts) == await whole(sounds) == []
        assert (await r).status == "completed" and await r.audio == b"\1\0" * 24


async def test_every_reader_begins_with_the_first_piece_however_late_it_comes() -> None:
    async with staged() as stage, following(stage) as r:
        early = asyncio.ensure_future(r.text)
        stage.text("resp_1", "one ", "two ")
        await stage.settle()
        late = asyncio.ensure_future(r.text)
        stage.text("resp_1", "three")
        stage.end("resp_1")
        assert await early == await late == await r.text == "one two three"
        assert len([event async for event in r]) == 5


async def test_a_response_that_is_awaited_without_a_block_is_asked_for_and_given_whole() -> None:
    async with staged() as stage:
        asking = asyncio.ensure_future(stage.session.respond(max_output_tokens=10))
        request = await stage.request()
        assert request.response and request.response.max_output_tokens == 10
        stage.begin("resp_1", request)
        stage.text("resp_1", "Hi")
        stage.end("resp_1", metadata={"mine": "1"})
        response = await asking
        assert response.id == "resp_1" and response.metadata == {"mine": "1"}
        assert stage.cancelled() == []


async def test_a_server_that_sends_no_deltas_is_read_from_the_finished_response() -> None:
    async with staged() as stage, following(stage) as r:
        said = Item(type="message", role="assistant", content=[ContentPart(type="output_text", text="All at once")])
        stage.end("resp_1", output=[said])
        assert await r.text == "All at once" and await r.audio == b""


@pytest.mark.parametrize("params", [{}, {"conversation": "none"}])
async def test_a_response_whose_beginning_the_server_does_not_tell_is_followed_all_the_same(params: Any) -> None:
    """B01: a `response.done` alone leaves nobody waiting."""
    async with staged() as stage:
        asking = asyncio.ensure_future(stage.session.respond(**params))
        request = await stage.request()
        assert request.response
        conversation_id = None if params else "conv_1"
        stage.end("resp_1", conversation_id=conversation_id, metadata=request.response.metadata)
        assert (await asking).id == "resp_1"


async def test_what_is_not_being_followed_cannot_be_read() -> None:
    """Nothing awaits for ever, and an empty text is never taken for the answer."""
    async with staged() as stage:
        r = stage.session.respond()
        with pytest.raises(LocalProtocolError, match="async with"):
            await r.text
        with pytest.raises(LocalProtocolError, match="not asked for yet"):
            await r.cancel()
        asking = asyncio.ensure_future(r)
        await stage.let_begin("resp_1", 1)
        stage.text("resp_1", "Hi")
        stage.end("resp_1")
        await asking
        with pytest.raises(LocalProtocolError, match="async with"):
            await r.text


async def test_a_handle_is_for_one_response() -> None:
    async with staged() as stage, following(stage) as r:
        with pytest.raises(LocalProtocolError, match="asked for once"):
            async with r:
                pass
        asking = asyncio.ensure_future(r)
        stage.end("resp_1")
        assert await asking is await r
        assert len(stage.requests()) == 1


async def test_nothing_of_a_response_is_kept_after_its_block() -> None:
    """B24."""
    async with staged() as stage:
        async with following(stage, conversation="none") as r:
            stage.text("resp_1", "Hi")
            stage.end("resp_1")
            assert await r.text == "Hi"
        handle = weakref.ref(r)
        assert not r._follower.log
        del r
        gc.collect()
        assert handle() is None


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("params", [{}, {"conversation": "none"}])
async def test_leaving_early_cancels_the_response_and_delivers_no_more_of_it(params: Any) -> None:
    """B22: neither to handlers nor to streams, although the server goes on for a while."""
    rt, heard = Realtime(), list[str]()
    rt.on("response.output_text.delta", lambda event: heard.append(event.delta))
    async with staged(rt) as stage, stage.session.stream("response.output_text.delta") as stream:
        async with following(stage, **params) as r:
            stage.text("resp_1", "one")
            assert await anext(aiter(r.text)) == "one"
        assert stage.cancelled() == ["resp_1"]
        stage.text("resp_1", "two", "three")
        stage.end("resp_1", "cancelled")
        assert (await r).status == "cancelled"
        await stage.settle()
        assert heard == ["one"] and stage.cancelled() == ["resp_1"]
        await stream.aclose()


async def test_leaving_after_the_end_cancels_nothing() -> None:
    async with staged() as stage:
        async with following(stage) as r:
            stage.end("resp_1")
            await r
        await stage.settle()
        assert stage.cancelled() == []


async def test_cancelling_a_response_that_waits_in_the_queue_asks_for_none() -> None:
    """B12: who waited for its beginning gets in, and finds nothing."""
    async with staged() as stage, following(stage) as first:
        second = stage.session.respond()

        async def enter() -> list[str]:
            async with second:
                return await whole(aiter(second.text))

        entering = asyncio.ensure_future(enter())
        await stage.settle()
        assert (await second.cancel()).status == "cancelled"
        assert await entering == [] and (await second).status == "cancelled"
        stage.end("resp_1")
        await first
        await stage.settle()
        assert len(stage.requests()) == 1 and stage.cancelled() == []


@pytest.mark.parametrize("params", [{}, {"conversation": "none"}])
async def test_a_response_that_is_given_up_before_it_begins_is_cancelled_when_it_does(params: Any) -> None:
    """B12, B22: and nobody hears a word of it."""
    rt, heard = Realtime(), list[str]()
    rt.on("response.output_text.delta", lambda event: heard.append(event.delta))
    async with staged(rt) as stage:
        entering = asyncio.ensure_future(stage.session.respond(**params))
        request = await stage.request()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert stage.cancelled() == []
        stage.begin("resp_1", request)
        stage.text("resp_1", "late")
        await stage.settle()
        assert stage.cancelled() == ["resp_1"] and heard == []
        stage.end("resp_1", "cancelled")
        async with following(stage, "resp_2"):
            stage.text("resp_2", "heard")
            stage.end("resp_2")
            await stage.settle()
        assert heard == ["heard"]


@pytest.mark.parametrize("params", [{}, {"conversation": "none"}])
async def test_cancel_gives_the_response_as_far_as_it_has_come_once_the_server_has_confirmed(params: Any) -> None:
    async with staged() as stage, following(stage, **params) as r:
        stage.text("resp_1", "one")
        assert await anext(aiter(r.text)) == "one"
        cancelling = asyncio.ensure_future(r.cancel())
        await stage.peer.heard(ResponseCancel)
        stage.text("resp_1", "two")
        await stage.settle()
        assert not cancelling.done()
        stage.end("resp_1", "cancelled")
        assert (await cancelling).status == "cancelled" and await r.text == "one"
        assert await r.cancel() is await r
        assert stage.cancelled() == ["resp_1"]


async def test_cancelling_flushes_what_is_heard_of_the_response() -> None:
    """B22."""
    async with staged() as stage, following(stage) as r:
        stage.peer.say(ResponseOutputAudioDelta(response_id="resp_1", item_id="i", delta=b"\0" * 48_000))
        await stage.settle()
        async with stage.session.stream("audio.flush") as flushes:
            cancelling = asyncio.ensure_future(r.cancel())
            flush = await anext(flushes)
        assert isinstance(flush, AudioFlush) and (flush.response_id, flush.item_id) == ("resp_1", "i")
        stage.end("resp_1", "cancelled")
        await cancelling


# ── failing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_request_is_raised_where_the_response_was_to_begin() -> None:
    """B11: and by everybody else who awaits the handle, and not as `send.rejected` too."""
    rt, rejected = Realtime(), list[SendRejected]()
    rt.on("send.rejected", rejected.append)
    async with staged(rt) as stage:
        r = stage.session.respond(voice="nobody")
        first, second = asyncio.ensure_future(r), asyncio.ensure_future(r)
        stage.refuse(await stage.request(), "invalid_value", "no such voice")
        with pytest.raises(ServerError, match="no such voice") as refused:
            await first
        with pytest.raises(ServerError, match="no such voice"):
            await second
        assert isinstance(refused.value.sent_event, ResponseCreate)
        await stage.settle()
        assert rejected == [] and stage.cancelled() == []
        async with following(stage):
            stage.end("resp_1")


@pytest.mark.parametrize("params", [{}, {"conversation": "none"}])
@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_lost_connection_ends_the_wait_for_a_response(has_begun: bool, params: Any) -> None:
    """B40: nothing awaits for ever, and half a text is not taken for the whole."""
    async with staged() as stage:
        r = stage.session.respond(**params)

        async def read() -> str:
            async with r:
                return await r.text

        reading = asyncio.ensure_future(read())
        request = await stage.request()
        if has_begun:
            stage.begin("resp_1", request)
            stage.text("resp_1", "half")
            await stage.settle()
        stage.peer.drop()
        with pytest.raises(ConnectionLostError):
            await reading
        with pytest.raises(ConnectionLostError):
            await r
        with pytest.raises(ConnectionLostError):
            await stage.session.respond()


async def test_iterating_ends_with_the_connection() -> None:
    """B40."""
    async with staged() as stage, following(stage) as r:
        stage.text("resp_1", "half")
        reading = asyncio.ensure_future(whole(aiter(r.text)))
        await stage.settle()
        stage.peer.close(1001, "bye")
        assert await reading == ["half"]


async def test_a_failed_response_raises_with_code_and_message() -> None:
    """B20: awaited as a whole or as its text; iterating shows what came."""
    async with staged() as stage, following(stage) as r:
        stage.text("resp_1", "half")
        error = {"type": "server_error", "code": "overloaded", "message": "try later"}
        stage.end("resp_1", "failed", status_details={"type": "failed", "error": error})
        with pytest.raises(ResponseFailed, match="try later") as failed:
            await r
        assert (failed.value.code, failed.value.retry_after_s) == ("overloaded", None)
        with pytest.raises(ResponseFailed):
            await r.text
        assert await whole(aiter(r.text)) == ["half"]


async def test_a_response_that_failed_for_a_rate_limit_says_how_long_to_wait() -> None:
    """B20, B25."""
    async with staged() as stage, following(stage) as r:
        limit = RateLimit(name="tokens", limit=1000, remaining=0, reset_seconds=2.5)
        stage.peer.say(RateLimitsUpdated(rate_limits=[limit]))
        error = {"type": "requests", "code": "rate_limit_exceeded", "message": "slow down"}
        stage.end("resp_1", "failed", status_details={"type": "failed", "error": error})
        with pytest.raises(ResponseFailed) as failed:
            await r
        assert failed.value.retry_after_s == pytest.approx(2.5, abs=0.5)


@pytest.mark.parametrize("status", ["cancelled", "incomplete"])
async def test_a_cancelled_or_incomplete_response_is_no_error(status: str) -> None:
    """B20."""
    async with staged() as stage, following(stage) as r:
        stage.text("resp_1", "half")
        stage.end("resp_1", status, status_details={"type": status, "reason": "max_output_tokens"})
        response = await r
        assert response.status == status and await r.text == "half"
        assert response.status_details and response.status_details.reason == "max_output_tokens"


async def test_several_items_and_calls_of_one_response_all_arrive() -> None:
    """B20."""
    async with staged() as stage, following(stage, conversation="none") as r:
        for item in ("a", "b"):
            stage.peer.say(ResponseOutputTextDelta(response_id="resp_1", item_id=item, delta=item))
        calls = [Item(type="function_call", id=f"i{n}", call_id=f"c{n}", name="f", arguments="{}") for n in (1, 2)]
        for call in calls:
            stage.peer.say(ResponseOutputItemDone(response_id="resp_1", item=call))
        stage.end("resp_1", output=calls)
        assert await r.text == "ab"
        assert [event.item.call_id async for event in r if isinstance(event, ResponseOutputItemDone)] == ["c1", "c2"]
        assert [item.call_id for item in (await r).output or ()] == ["c1", "c2"]


# ── out of band ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("gives_tags_back", [True, False])
async def test_three_out_of_band_responses_run_beside_the_conversations_own(gives_tags_back: bool) -> None:
    """B12: known by their tags, or else by the order in which they were asked for."""
    async with staged() as stage, AsyncExitStack() as stack:
        stage.gives_tags_back = gives_tags_back
        own = await stack.enter_async_context(following(stage, "own"))
        handles = [stage.session.respond(conversation="none", instructions=name) for name in "abc"]
        entering = asyncio.gather(*(stack.enter_async_context(handle) for handle in handles))
        await stage.request(4)
        order = (2, 0, 1) if gives_tags_back else (0, 1, 2)
        for place in order:
            stage.begin("abc"[place], stage.requests()[place + 1])
        await entering
        for name in ("b", "own", "a", "c", "a", "b"):
            stage.text(name, name)
        for name in ("c", "own", "b", "a"):
            stage.end(name)
        assert [handle.id for handle in handles] == ["a", "b", "c"]
        assert await asyncio.gather(own.text, *(handle.text for handle in handles)) == ["own", "aa", "bb", "c"]
        assert stage.cancelled() == []


async def test_what_is_said_out_of_band_is_in_no_conversation_and_its_calls_are_not_run() -> None:
    """B12."""
    rt, ran = Realtime(), list[str]()

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the weather."""
        ran.append(city)
        return "18 °C"

    async with staged(rt) as stage, following(stage, conversation="none") as r:
        stage.text("resp_1", "aside")
        call = Item(type="function_call", id="i", call_id="c", name="get_weather", arguments='{"city":"Bern"}')
        stage.peer.say(
            ResponseFunctionCallArgumentsDone(
                response_id="resp_1", item_id="i", call_id="c", name="get_weather", arguments='{"city":"Bern"}'
            ),
            ResponseOutputItemDone(response_id="resp_1", item=call),
        )
        stage.end("resp_1", output=[call])
        assert (await r).output == [call] and await r.text == "aside"
        await stage.settle()
        assert ran == [] and list(stage.session.conversation.items) == []
        assert stage.session.turn is None and len(stage.peer.sent) == 2  # the tools, and the request


async def test_the_metadata_of_the_user_is_kept() -> None:
    """The tag of ours goes beside it, and the user's own pairs come back."""
    async with staged() as stage, following(stage, conversation="none", metadata={"topic": "mood"}) as r:
        [request] = stage.requests()
        assert request.response and request.response.metadata
        assert request.response.metadata == {"topic": "mood", TAG: request.response.metadata[TAG]}
        stage.end("resp_1", metadata=request.response.metadata)
        assert (await r).metadata["topic"] == "mood"


async def test_full_metadata_leaves_no_room_for_a_tag_and_is_the_sign_itself() -> None:
    """B12: whichever of them begins first."""
    full = [{str(n): name for n in range(MAX_METADATA_PAIRS)} for name in "ab"]
    async with staged() as stage, AsyncExitStack() as stack:
        handles = [stage.session.respond(conversation="none", metadata=metadata) for metadata in full]
        entering = asyncio.gather(*(stack.enter_async_context(handle) for handle in handles))
        await stage.request(2)
        assert [request.response.metadata for request in stage.requests() if request.response] == full
        for place in (1, 0):
            stage.begin("ab"[place], stage.requests()[place])
        await entering
        assert [handle.id for handle in handles] == ["a", "b"]
        stage.end("a")
        stage.end("b")
        await asyncio.gather(*handles)


# ── policies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_responses_of_the_conversation_come_one_after_the_other_in_their_order() -> None:
    """B12: `queue`, which is the default."""
    async with staged() as stage:
        asked = [asyncio.ensure_future(stage.session.respond(instructions=str(n))) for n in (1, 2, 3)]
        for n in (1, 2, 3):
            request = await stage.request(n)
            await stage.settle()
            assert len(stage.requests()) == n and request.response and request.response.instructions == str(n)
            stage.begin(f"resp_{n}", request)
            await stage.settle()
            assert len(stage.requests()) == n
            stage.end(f"resp_{n}")
        assert [response.id for response in await asyncio.gather(*asked)] == ["resp_1", "resp_2", "resp_3"]


async def test_a_response_that_may_not_wait_is_refused_before_anything_is_sent() -> None:
    """B12: `fail`, while one runs, was asked for, or waits."""
    async with staged() as stage:
        first = asyncio.ensure_future(stage.session.respond())
        request = await stage.request()
        for turn in range(2):
            for asking in (stage.session.respond(policy="fail"), stage.session.ask("Now?", policy="fail")):
                with pytest.raises(LocalProtocolError, match="active already"):
                    await asking
            if not turn:
                stage.begin("resp_1", request)
                await stage.settle()
        assert stage.peer.sent == [request]
        stage.end("resp_1")
        await first
        async with following(stage, "resp_2", policy="fail") as r:
            stage.end("resp_2")
            await r


async def test_a_response_may_take_the_place_of_the_one_that_runs() -> None:
    """B12: `cancel_active` goes out once the other has ended, before those that wait."""
    async with staged() as stage, following(stage) as first:
        waiting = asyncio.ensure_future(stage.session.respond(instructions="waits"))
        await stage.settle()
        urgent = asyncio.ensure_future(stage.session.respond(instructions="urgent", policy="cancel_active"))
        await stage.peer.heard(ResponseCancel)
        assert stage.cancelled() == ["resp_1"] and len(stage.requests()) == 1
        stage.end("resp_1", "cancelled")
        assert (await first).status == "cancelled"
        for n, words in ((2, "urgent"), (3, "waits")):
            request = await stage.request(n)
            assert request.response and request.response.instructions == words
            stage.begin(f"resp_{n}", request)
            stage.end(f"resp_{n}")
        await asyncio.gather(urgent, waiting)


async def test_what_is_still_heard_gives_way_too() -> None:
    """B12, B22: the response is over, and a second of it is still to be heard."""
    async with staged() as stage:
        async with following(stage) as r:
            stage.peer.say(ResponseOutputAudioDelta(response_id="resp_1", item_id="i", delta=b"\0" * 48_000))
            stage.end("resp_1")
            await r
        stage.session.playback.played("i", ms=250)
        asking = asyncio.ensure_future(stage.session.ask("Wait.", policy="cancel_active"))
        await stage.let_begin("resp_2", 2)
        stage.end("resp_2")
        assert (await asking).status == "completed"
        truncation, item, request = stage.peer.sent[1:]
        assert (truncation.item_id, truncation.audio_end_ms) == ("i", 250)
        assert isinstance(item, ConversationItemCreate) and isinstance(request, ResponseCreate)


async def test_an_unknown_policy_is_refused() -> None:
    async with staged() as stage:
        policy: Any = "cancel"
        with pytest.raises(ConfigurationError, match="no policy 'cancel'; there are queue, cancel_active, fail"):
            await stage.session.respond(policy=policy)
        with pytest.raises(ConfigurationError, match="no policy 'cancel'"):
            await stage.session.ask("Hello?", policy=policy)
        assert stage.peer.sent == []


@pytest.mark.parametrize("gives_tags_back", [True, False])
async def test_the_servers_own_response_is_not_taken_for_the_one_that_was_asked_for(gives_tags_back: bool) -> None:
    """B12: it races turn detection; the request is refused, and made again once the server's own has ended."""
    async with staged() as stage:
        await stage.session.update(audio=SERVER_VAD)
        stage.gives_tags_back = gives_tags_back
        stage.peer.say(InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0))
        stage.peer.say(InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=500))
        await stage.settle()
        asking = asyncio.ensure_future(stage.session.ask("Typed"))
        request = await stage.request()
        stage.begin("own")
        stage.text("own", "to what was said")
        stage.refuse(request, ACTIVE)
        stage.end("own")
        again = await stage.request(2)
        assert again.event_id != request.event_id
        stage.begin("mine", again)
        stage.text("mine", "to what was typed")
        stage.end("mine")
        turn = await asking
        assert turn.text == "to what was typed" and turn.user_text == "Typed"
        assert len([event for event in stage.peer.sent if isinstance(event, ConversationItemCreate)]) == 1


@pytest.mark.parametrize("by", ["ask", "respond"])
async def test_a_second_refusal_fails_the_call_at_once(by: str) -> None:
    """B12: within one event, never by time."""
    async with staged() as stage:
        session = stage.session
        asking = asyncio.ensure_future(session.ask("Typed") if by == "ask" else session.respond())
        stage.refuse(await stage.request(), ACTIVE)
        stage.refuse(await stage.request(2), ACTIVE)
        with pytest.raises(ServerError) as refused:
            await asking
        assert refused.value.code == ACTIVE and len(stage.requests()) == 2
        async with following(stage) as r:
            stage.end("resp_1")
            await r


async def test_a_refusal_of_what_an_application_sent_by_itself_is_told_and_not_made_again() -> None:
    """B11."""
    rt, rejected = Realtime(), list[SendRejected]()
    rt.on("send.rejected", rejected.append)
    async with staged(rt) as stage:
        await stage.session.send(ResponseCreate(event_id="mine"))
        stage.refuse(stage.requests()[0], ACTIVE)
        await stage.settle()
        assert [event.event_id for event in rejected] == ["mine"] and len(stage.requests()) == 1


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_asks_are_answered_one_after_the_other_and_do_not_hear_each_other() -> None:
    """B12."""
    async with staged() as stage:
        asking = asyncio.gather(stage.session.ask("One?"), stage.session.ask("Two?"))
        for n in (1, 2):
            await stage.let_begin(f"resp_{n}", n)
            assert [type(event) for event in stage.peer.sent] == [ConversationItemCreate, ResponseCreate] * n
            stage.text(f"resp_{n}", str(n))
            stage.end(f"resp_{n}")
        assert [(turn.user_text, turn.text) for turn in await asking] == [("One?", "1"), ("Two?", "2")]


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_second_ask_waits_for_the_tool_rounds_of_the_first(is_slow: bool) -> None:
    """B12, B32: each gets its own answer, however long the tool takes."""
    rt, go = Realtime(), asyncio.Event()

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the current weather."""
        await go.wait()
        return "18 °C"

    steps = [Step(emit=[Call("get_weather", '{"city":"Bern"}')]), Step(emit=[Say("Mild.")]), Step(emit=[Say("Noon.")])]
    async with asyncio.timeout(10), Simulator(script=steps, pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint) as session, session.stream("response.done") as ends:
            asking = asyncio.gather(session.ask("Weather?"), session.ask("And the time?"))
            if is_slow:
                await anext(ends)
                await session.add_item(system("Everything before has been heard."))
            go.set()
            assert [(turn.status, turn.text) for turn in await asking] == [
                ("completed", "Mild."),
                ("completed", "Noon."),
            ]
        sim.assert_done()


async def test_a_tool_may_ask_and_does_not_wait_for_the_turn_that_waits_for_it() -> None:
    """B12: even where another question waits for that turn."""
    rt = Realtime()

    @rt.tool
    async def second_opinion(session: Session) -> str:
        """Ask once more."""
        return (await session.ask("Are you sure?")).text

    steps = [Step(emit=[Call("second_opinion", "{}")]), Step(emit=[Say("Yes.")]), *[Step(emit=[Say("Fine.")])] * 2]
    async with asyncio.timeout(10), Simulator(script=steps, pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint) as session:
            first, second = await asyncio.gather(session.ask("Sure?"), session.ask("And then?"))
            assert [call.output for call in first.tool_calls] == ["Yes."] and second.status == "completed"


async def test_an_ask_that_cannot_be_said_leaves_nothing_behind() -> None:
    rt, turns = Realtime(), list[str]()
    rt.on("turn.*", lambda event: turns.append(event.type))
    async with staged(rt) as stage:
        odd: Any = Item(type="message", role="user", content=[{"type": object()}])  # type: ignore[list-item]
        with pytest.raises((TypeError, ConfigurationError)):
            await stage.session.ask(odd)
        assert stage.session.turn is None and stage.peer.sent == []
        asking = asyncio.ensure_future(stage.session.ask("Hello?"))
        await stage.let_begin("resp_1", 1)
        stage.end("resp_1")
        assert (await asking).status == "completed"
        await stage.settle()
        assert turns == ["turn.started", "turn.done"]


async def test_an_ask_whose_item_is_refused_fails_and_its_answer_is_not_heard() -> None:
    """B11: there is no answer to what was not said."""
    async with staged() as stage:
        asking = asyncio.ensure_future(stage.session.ask("Hello?"))
        request = await stage.request()
        stage.refuse(stage.peer.sent[0], "invalid_value", "no such part")
        with pytest.raises(ServerError, match="no such part"):
            await asking
        stage.begin("resp_1", request)
        await stage.settle()
        assert stage.cancelled() == ["resp_1"]
        stage.end("resp_1", "cancelled")
        async with following(stage, "resp_2") as r:
            stage.end("resp_2")
            await r


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_an_ask_that_is_given_up_while_it_waits_is_never_said(how: str) -> None:
    """B12."""
    async with staged() as stage:
        first = asyncio.ensure_future(stage.session.ask("One?"))
        request = await stage.request()
        second = asyncio.ensure_future(stage.session.ask("Two?", timeout=0.01 if how == "timeout" else None))
        if how == "cancel":
            await stage.settle()
            second.cancel()
        with pytest.raises(TimeoutError if how == "timeout" else asyncio.CancelledError):
            await second
        stage.begin("resp_1", request)
        stage.end("resp_1")
        await first
        await stage.settle()
        assert [type(event) for event in stage.peer.sent] == [ConversationItemCreate, ResponseCreate]


async def test_an_ask_that_is_given_up_while_it_is_answered_harms_no_other() -> None:
    """B12: its answer goes on, and is not taken for that of the next."""
    async with staged() as stage:
        with pytest.raises(TimeoutError, match="the turn did not end"):
            await stage.session.ask("One?", timeout=0.01)
        asking = asyncio.ensure_future(stage.session.ask("Two?"))
        stage.begin("resp_1", stage.requests()[0])
        stage.text("resp_1", "1")
        stage.end("resp_1")
        await stage.let_begin("resp_2", 2)
        stage.text("resp_2", "2")
        stage.end("resp_2")
        assert (await asking).text == "2"


async def test_a_turn_has_its_marks_in_order_over_its_tool_rounds() -> None:
    """B32: text, calls and usage of the whole turn, and when what happened."""
    rt, done = Realtime(), list[TurnDone]()
    rt.on("turn.done", done.append)

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the current weather."""
        return f"18 °C in {city}"

    steps = [
        Step(emit=[Call("get_weather", '{"city":"Bern"}'), Call("get_weather", '{"city":"Rome"}')]),
        Step(emit=[Call("get_weather", '{"city":"Oslo"}')]),
        Step(emit=[Say("Mild everywhere.")]),
    ]
    async with asyncio.timeout(10), Simulator(script=steps, pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint) as session:
            turn = await session.ask("What is the weather?")
        assert turn.text == "Mild everywhere." and turn.status == "completed" and turn.rounds == 2
        assert [call.output for call in turn.tool_calls] == ["18 °C in Bern", "18 °C in Rome", "18 °C in Oslo"]
        assert len(turn.responses) == 3
        assert turn.usage.total_tokens == sum(response.usage.total_tokens for response in turn.responses)
        marks = [turn.timeline_ms[name] for name in ("response_created", "first_delta", "first_audio", "done")]
        assert list(turn.timeline_ms) == sorted(turn.timeline_ms, key=lambda mark: turn.timeline_ms[mark])
        assert 0 <= marks[0] <= min(marks[1:3]) and max(marks[1:3]) <= marks[3] and turn.audio_ms > 0
        assert [event.turn for event in done] == [turn]
        sim.assert_done()


# ── over a socket ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dialect", ["ga", "beta"])
async def test_the_simulators_response_is_followed_in_text_and_audio(dialect: Any) -> None:
    """B20."""
    async with asyncio.timeout(10), Simulator(script=[Step(emit=[Say("Good morning.")])], dialect=dialect) as sim:
        async with Realtime().connect(endpoint=sim.endpoint) as session, session.respond() as r:
            audio, text = await asyncio.gather(r.audio, r.text)
            assert text == "Good morning." and len(audio) > 4800 and (await r).status == "completed"
            [item] = session.conversation.items
            assert item.text == text and item.audio_bytes == len(audio) and session.turn is None


async def test_three_side_questions_are_answered_beside_the_conversation_by_the_simulator() -> None:
    """B12."""
    names = ("a", "b", "c")
    async with asyncio.timeout(10), Simulator(pace=None) as sim:
        async with Realtime().connect(endpoint=sim.endpoint) as session:
            side = [
                session.respond(
                    conversation="none", output_modalities=["text"], instructions=f'Say "{name}"', metadata={"n": name}
                )
                for name in names
            ]

            async def read(r: ResponseHandle) -> tuple[str, Any]:
                async with r:
                    return await r.text, (await r).metadata

            turn, *answers = await asyncio.gather(session.ask("Hello!"), *map(read, side))
            assert turn.status == "completed" and len(session.conversation.items) == 2
            assert [text for text, _ in answers] == list(names)
            assert [metadata["n"] for _, metadata in answers] == list(names)


async def test_leaving_the_simulators_response_early_cancels_it_there() -> None:
    """B22."""
    long = " ".join(["word"] * 200)
    async with asyncio.timeout(10), Simulator(script=[Step(emit=[Say(long)])], pace=4.0) as sim:
        async with Realtime().connect(endpoint=sim.endpoint) as session:
            async with session.respond() as r:
                async for _ in r.text:
                    break
            response = await r
            assert response.status == "cancelled" and response.id
            assert sim.sessions[0].received("response.cancel").response_id == response.id


async def test_a_failed_response_of_the_simulator_raises() -> None:
    """B20."""
    steps = [Step(emit=[Fail("server_error", "overloaded", "try later")]), Step(emit=[Say("Now.")])]
    async with asyncio.timeout(10), Simulator(script=steps, pace=None) as sim:
        async with Realtime().connect(endpoint=sim.endpoint) as session:
            with pytest.raises(ResponseFailed, match="try later") as failed:
                await session.respond()
            assert failed.value.code == "overloaded" and failed.value.response is not None
            assert (await session.respond()).status == "completed"
