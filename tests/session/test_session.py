"""A session: what it sends, what it waits for, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import msgspec
import pytest

from realtime_events import (
    AudioFormatError,
    ConfigurationError,
    ConnectionLostError,
    Endpoint,
    Plugin,
    Realtime,
    ServerError,
    Session,
    SessionConfig,
    system,
    user,
)
from realtime_events.events import (
    ConnectionClosed,
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorDetails,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputTextDelta,
    SessionUpdate,
    UnknownEvent,
)
from realtime_events.events.response import Response
from realtime_events.testing import Peer

SPEECH = InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)


def joined(peer: Peer, rt: Realtime | None = None, **changes: Any) -> Any:
    return (rt or Realtime()).connect(endpoint=peer.endpoint, dial=peer.dial, **{"reconnect": False, **changes})


# ── connecting ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_connecting_sends_what_there_is_to_set_and_waits_for_its_confirmation() -> None:
    """B13: one `session.update`, with GA names, and nothing that nobody set."""
    rt, peer = Realtime(instructions="Be brief.", voice="marin"), Peer()

    @rt.tool
    async def get_time() -> str:
        """Tell the time."""
        return "noon"

    async with asyncio.timeout(5), joined(peer, rt) as session:
        [update] = peer.sent
        assert isinstance(update, SessionUpdate)
        assert msgspec.to_builtins(update.session) == {
            "type": "realtime",
            "instructions": "Be brief.",
            "audio": {"output": {"voice": "marin"}},
            "tools": [
                {
                    "type": "function",
                    "name": "get_time",
                    "description": "Tell the time.",
                    "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
                }
            ],
        }
        assert session.config.instructions == "Be brief." and session.id == "sess_memory"


async def test_connecting_with_nothing_to_set_sends_nothing() -> None:
    """B13."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer):
        assert peer.sent == []
    [(url, headers)] = peer.dialled
    assert url == "ws://localhost/v1/realtime?model=gpt-realtime-2.1"
    assert headers["Authorization"] == "Bearer test-key" and "OpenAI-Beta" not in headers


async def test_a_refused_configuration_is_raised_by_connect_and_leaves_nothing_behind() -> None:
    """B13."""
    rt, peer = Realtime(instructions="x"), Peer(answers_updates=False)

    async def refuse() -> None:
        update = await peer.heard(SessionUpdate)
        peer.say(ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="no", event_id=update.event_id)))

    async with asyncio.timeout(5):
        refusing = asyncio.create_task(refuse())
        with pytest.raises(ServerError, match="invalid_request_error: no") as refused:
            await joined(peer, rt)
        await refusing
    assert isinstance(refused.value.sent_event, SessionUpdate)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_server_that_never_answers_makes_connect_time_out() -> None:
    peer = Peer(answers_updates=False)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError, match=r"did not answer session\.update within 0\.01 s"):
            await joined(peer, Realtime(instructions="x"), connect_timeout_s=0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_an_unknown_option_of_connect_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no option 'ping_intervall_s'"):
        Realtime().connect(ping_intervall_s=3)


async def test_without_a_key_the_error_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as refused:
        await Realtime().connect()
    assert "--simulate" in str(refused.value)


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_sent_event_has_an_id_of_its_own() -> None:
    """B10."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        given = [await session.send(ResponseCancel()) for _ in range(3)]
        await session.send_audio(b"\0\0")
        await session.send({"type": "response.cancel"})
        assert await session.send(ResponseCancel(event_id="mine")) == "mine"
    ids = [event.event_id for event in peer.sent]
    assert ids[:3] == given and len(set(ids)) == len(ids) == 6 and all(ids)


async def test_absent_null_and_zero_are_three_different_things_on_the_wire() -> None:
    """B10."""
    peer, frames = Peer(), []
    peer.take = frames.append  # type: ignore[method-assign]
    async with asyncio.timeout(5), joined(peer) as session:
        for detection in ({}, {"turn_detection": None}, {"turn_detection": {"type": "server_vad", "threshold": 0}}):
            await session.send({"type": "session.update", "session": {"audio": {"input": detection}}})
    sent = [msgspec.json.decode(frame)["session"]["audio"]["input"] for frame in frames]
    assert sent == [{}, {"turn_detection": None}, {"turn_detection": {"type": "server_vad", "threshold": 0}}]


async def test_beta_names_in_a_ga_configuration_are_refused_before_anything_is_sent() -> None:
    """B14."""
    peer = Peer()
    with pytest.raises(ConfigurationError, match="output_modalities"):
        Realtime(session={"modalities": ["text"]})
    async with asyncio.timeout(5), joined(peer) as session:
        with pytest.raises(ConfigurationError, match=r"audio\.input\.format"):
            await session.update(input_audio_format="pcm16")
        with pytest.raises(ConfigurationError, match="max_output_tokens"):
            await session.send({"type": "session.update", "session": {"max_response_output_tokens": 5}})
        with pytest.raises(ConfigurationError, match="output_modalities"):
            await session.send({"type": "response.create", "response": {"modalities": ["text"]}})
    assert peer.sent == []


async def test_the_beta_dialect_is_spoken_both_ways() -> None:
    """B14: GA names here, beta names on the wire."""
    peer, frames = Peer(dialect="beta"), []
    take = peer.take
    peer.take = lambda frame: (frames.append(frame), take(frame))  # type: ignore[method-assign,assignment,func-returns-value]
    rt = Realtime(voice="alloy", session={"output_modalities": ["audio"], "max_output_tokens": 7})
    async with asyncio.timeout(5), joined(peer, rt) as session:
        [frame] = frames
        said = msgspec.json.decode(frame)["session"]
        assert said["voice"] == "alloy" and said["max_response_output_tokens"] == 7
        assert set(said["modalities"]) == {"audio", "text"} and "audio" not in said and "type" not in said
        assert session.config.audio.output.voice == "alloy"


async def test_the_dialect_that_is_asked_for_reaches_the_handshake() -> None:
    """B14: a server is told by a header that beta will be spoken, whoever chose it."""
    peer = Peer(dialect="beta")
    async with (
        asyncio.timeout(5),
        Realtime().connect(
            endpoint=Endpoint(url="ws://localhost/v1/realtime", api_key="test-key"), dial=peer.dial, dialect="beta"
        ),
    ):
        [(_, headers)] = peer.dialled
        assert headers["OpenAI-Beta"] == "realtime=v1"


async def test_a_commit_is_acknowledged_by_a_server_that_names_no_item() -> None:
    """B01: what State can do without is not required."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        await session.send_audio(bytes(4_800))
        commit = asyncio.create_task(session.commit_audio())
        await peer.heard(InputAudioBufferCommit)
        peer.say(b'{"type":"input_audio_buffer.committed"}')
        assert await commit == ""


async def test_update_gives_what_the_server_confirmed() -> None:
    """B13."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        effective = await session.update(instructions="Shout.", voice="cedar")
        assert isinstance(effective, SessionConfig)
        assert effective.instructions == "Shout." and effective.audio.output.voice == "cedar"
        assert session.config == effective


async def test_updates_are_matched_in_order() -> None:
    """B13: `session.updated` carries no correlating id."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        first, second = await asyncio.gather(session.update(instructions="one"), session.update(instructions="two"))
    assert (first.instructions, second.instructions) == ("one", "two")


async def test_a_refusal_is_raised_by_the_call_that_caused_it_and_by_no_other() -> None:
    """B11."""
    peer = Peer(answers_updates=False)
    async with asyncio.timeout(5), joined(peer) as session:
        first = asyncio.create_task(session.update(instructions="bad"))
        second = asyncio.create_task(session.update(instructions="good"))
        await peer.heard(SessionUpdate, lambda e: e.session.instructions == "good")
        bad = await peer.heard(SessionUpdate)
        peer.say(ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="no", event_id=bad.event_id)))
        peer.say({"type": "session.updated", "event_id": "e", "session": {"instructions": "good"}})
        with pytest.raises(ServerError):
            await first
        assert (await second).instructions == "good"


async def test_a_request_gives_the_servers_answer_to_whatever_is_asked() -> None:
    """B11: by hand as by a command, a mapping as well as a struct; what it sets is told to the next session, too."""
    peer, rt = Peer(), Realtime()
    async with asyncio.timeout(5), joined(peer, rt, reconnect=True, stall_s=7) as session:
        updated = await session.request({"type": "session.update", "session": {"instructions": "Sing."}})
        assert updated.session.instructions == session.config.instructions == session.tell().instructions == "Sing."
        cleared = asyncio.create_task(session.request(InputAudioBufferClear()))
        asked = await peer.heard(InputAudioBufferClear)
        peer.say(InputAudioBufferCleared())
        assert isinstance(await cleared, InputAudioBufferCleared)
        refused = asyncio.create_task(session.request(InputAudioBufferClear()))
        again = await peer.heard(InputAudioBufferClear, lambda e: e.event_id != asked.event_id)
        peer.say(ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="no", event_id=again.event_id)))
        with pytest.raises(ServerError):
            await refused
        assert session.options.stall_s == 7


async def test_a_refused_event_that_nobody_awaits_is_an_event_itself() -> None:
    """B11."""
    peer, rejected = Peer(), []
    rt = Realtime()
    rt.on("send.rejected", rejected.append)
    async with asyncio.timeout(5), joined(peer, rt) as session:
        event_id = await session.send(ResponseCancel())
        peer.say(
            ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="none", event_id=event_id)), SPEECH
        )
        await session.wait_for("input_audio_buffer.speech_started")
    [event] = rejected
    assert event.event_id == event_id and isinstance(event.sent_event, ResponseCancel) and event.error.message == "none"


async def test_an_error_without_an_id_is_blamed_on_the_only_candidate() -> None:
    """B11."""
    peer = Peer()
    error = ErrorDetails(type="invalid_request_error", code="input_audio_buffer_commit_empty", message="empty")
    async with asyncio.timeout(5), joined(peer) as session:
        await session.send_audio(bytes(4_800))
        committing = asyncio.create_task(session.commit_audio())
        await peer.heard(InputAudioBufferCommit)
        peer.say(ErrorEvent(error=error))
        with pytest.raises(ServerError, match="empty"):
            await committing


async def test_an_error_without_id_and_known_code_is_blamed_on_the_only_call_that_waits() -> None:
    """B11: and on nobody where two wait, or where the server blames itself."""
    peer = Peer(answers_updates=False)
    refusal = ErrorDetails(type="invalid_request_error", message="no such voice")
    async with asyncio.timeout(5), joined(peer) as session:
        first = asyncio.create_task(session.update(voice="nobody"))
        second = asyncio.create_task(session.update(instructions="x"))
        await peer.heard(SessionUpdate, lambda event: bool(event.session.instructions))
        peer.say(ErrorEvent(error=refusal), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        assert not first.done() and not second.done()
        peer.say({"type": "session.updated", "event_id": "e", "session": {}})
        await first
        peer.say(ErrorEvent(error=ErrorDetails(type="server_error", message="oops")), SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        assert not second.done()
        peer.say(ErrorEvent(error=refusal))
        with pytest.raises(ServerError, match="no such voice"):
            await second


async def test_items_are_acknowledged_by_their_id() -> None:
    """B11."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        adding = asyncio.create_task(session.add_item(system("Speak slowly.")))
        sent = await peer.heard(ConversationItemCreate)
        peer.say(ConversationItemAdded(item=user("another", id="item_other")), ConversationItemAdded(item=sent.item))
        assert (await adding).id == sent.item.id


async def test_audio_is_sent_as_it_is_and_split_into_seconds() -> None:
    """B16: far below the API's limit, so that an interruption never waits behind one large frame (B15)."""
    peer = Peer()
    async with asyncio.timeout(20), joined(peer) as session:
        await session.send_audio(b"\1\2" * 100)
        await session.send_audio(b"\0" * (12 * 1024 * 1024))
        committing = asyncio.create_task(session.commit_audio())
        await peer.heard(InputAudioBufferCommit)
        peer.say(InputAudioBufferCommitted(item_id="item_1"))
        assert await committing == "item_1"
        clearing = asyncio.create_task(session.clear_audio())
        await peer.heard(InputAudioBufferClear)
        peer.say(InputAudioBufferCleared())
        await clearing
    appended = [event.audio for event in peer.sent if isinstance(event, InputAudioBufferAppend)]
    assert appended[0] == b"\1\2" * 100
    assert sum(map(len, appended[1:])) == 12 * 1024 * 1024
    assert all(len(audio) <= 48_000 and len(audio) % 2 == 0 for audio in appended)


async def test_half_a_sample_is_refused_with_both_values() -> None:
    """B16."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        with pytest.raises(AudioFormatError, match="even number of bytes.*got 3 bytes"):
            await session.send_audio(b"\0\0\0")


async def test_what_is_no_client_event_is_refused() -> None:
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        with pytest.raises(ConfigurationError, match="unknown type 'response.creat'"):
            await session.send({"type": "response.creat"})
        with pytest.raises(ConfigurationError, match="no client event"):
            await session.send({"type": "conversation.item.delete"})
        await session.send_raw(b'{"type":"response.creat"}')
    assert isinstance(peer.sent[0], UnknownEvent)


async def test_interrupt_cancels_the_running_response_and_flushes_players_first() -> None:
    rt, peer, order = Realtime(), Peer(), []
    rt.on("audio.flush", lambda event: order.append(event.response_id))
    async with asyncio.timeout(5), joined(peer, rt) as session:
        await session.interrupt()
        assert peer.sent == []
        peer.say(ResponseCreated(response=Response(id="resp_1", conversation_id="conv_1")))
        await session.wait_for("response.created")
        interrupting = asyncio.create_task(session.interrupt())
        assert (await peer.heard(ResponseCancel)).response_id == "resp_1"
        assert not interrupting.done()
        peer.say(ResponseDone(response=Response(id="resp_1", conversation_id="conv_1", status="cancelled")))
        await interrupting
    assert order == ["resp_1"]


# ── waiting and iterating ────────────────────────────────────────────────────────────────────────────────────────────


async def test_any_number_of_waits_streams_and_handlers_each_see_every_event() -> None:
    """B06."""
    rt, peer, handled = Realtime(), Peer(), []
    rt.on("response.text.delta", handled.append)
    async with asyncio.timeout(5), joined(peer, rt) as session:
        streams = [session.stream("response.text.delta") for _ in range(3)]
        waits = [asyncio.create_task(session.wait_for("response.text.delta")) for _ in range(3)]
        await asyncio.sleep(0)
        peer.say(*[ResponseOutputTextDelta(response_id="r", item_id="i", delta=str(n)) for n in range(3)])
        assert [(await wait).delta for wait in waits] == ["0"] * 3
        for stream in streams:
            assert [(await anext(stream)).delta for _ in range(3)] == ["0", "1", "2"]
    assert [event.delta for event in handled] == ["0", "1", "2"]


async def test_a_wait_removes_itself_on_timeout_and_on_cancellation() -> None:
    """B06."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        with pytest.raises(TimeoutError, match=r"no response\.done came within 0 s"):
            await session.wait_for("response.done", timeout=0)
        waiting = asyncio.create_task(session.wait_for("response.done"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not session._dispatcher._subscribers


async def test_a_predicate_of_a_stream_that_raises_is_reported_and_ends_nothing() -> None:
    rt, peer, failures = Realtime(), Peer(), []
    rt.on("handler.failed", failures.append)
    async with asyncio.timeout(5), joined(peer, rt) as session:
        stream = session.stream("*", when=lambda event: event.no_such_field)
        waiting = asyncio.create_task(session.wait_for("*", when=lambda event: event.no_such_field))
        await asyncio.sleep(0)
        peer.say(SPEECH)
        with pytest.raises(AttributeError):
            await waiting
        assert not session.is_closed
        await stream.aclose()
    assert isinstance(failures[0].error, AttributeError) and "stream" in failures[0].handler


async def test_a_forgotten_stream_unsubscribes_itself() -> None:
    """B06: leaving a loop early leaves nothing behind."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.say(SPEECH)
        async for event in session:
            assert event == SPEECH
            break
        gc.collect()
        assert not session._dispatcher._subscribers
        async with session.stream("response.*"):
            assert len(session._dispatcher._subscribers) == 1
        assert not session._dispatcher._subscribers


async def test_when_the_connection_ends_waits_fail_and_iterators_end() -> None:
    """B06, B40."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        waiting = asyncio.create_task(session.wait_for("response.done"))
        updating = asyncio.create_task(session.update(instructions="x"))
        asking = asyncio.create_task(session.ask("hello"))
        stream = session.stream("input_audio_buffer.*")
        await peer.heard(ResponseCreate)
        await updating
        deleting = asyncio.create_task(session.delete_item("item_1"))
        await asyncio.sleep(0)
        peer.say(SPEECH)
        peer.close(1011, "server is going down")
        for call in (waiting, deleting, asking):
            with pytest.raises(ConnectionLostError, match="1011: server is going down") as lost:
                await call
            assert (lost.value.code, lost.value.initiator) == (1011, "server")
        assert [event async for event in stream] == [SPEECH]
        with pytest.raises(ConnectionLostError):
            await session.wait_for("response.done")
        with pytest.raises(ConnectionLostError):
            await session.send(ResponseCancel())
        with pytest.raises(ConnectionLostError):
            await session.ask("hello")
        assert [event async for event in session.stream()] == []


# ── ending ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda peer: peer.close(1001, "going away"), (1001, "going away", "server")),
        (lambda peer: peer.drop(), (1006, "the connection ended without a CLOSE frame", "network")),
    ],
)
async def test_an_ending_gives_one_event_with_code_reason_and_initiator(end: Any, expected: Any) -> None:
    """B40."""
    rt, peer, closed = Realtime(), Peer(), []
    rt.on("connection.closed", closed.append)
    async with asyncio.timeout(5), joined(peer, rt) as session:
        end(peer)
        ending = await session.wait_closed()
    assert (ending.code, ending.reason, ending.initiator) == expected
    assert [(e.code, e.reason, e.initiator, e.response_cut) for e in closed] == [(*expected, False)]


async def test_the_ending_says_whether_a_response_was_cut() -> None:
    """B40."""
    rt, peer, closed, turns = Realtime(), Peer(), [], []
    rt.on("connection.closed", closed.append)
    rt.on("turn.done", turns.append)
    async with asyncio.timeout(5), joined(peer, rt) as session:
        peer.say(ResponseCreated(response=Response(id="resp_1", conversation_id="conv_1")))
        await session.wait_for("response.created")
        peer.drop()
        await session.wait_closed()
    assert closed[0].response_cut and turns[0].turn.status == "cut"


async def test_closing_twice_and_from_a_handler_is_fine() -> None:
    """B40."""
    rt, peer, closed = Realtime(), Peer(), []

    @rt.on("input_audio_buffer.speech_started")
    async def hang_up(event: Any, session: Any) -> None:
        await session.close()
        closed.append("handler went on")

    rt.on(ConnectionClosed, lambda event: closed.append(event.initiator))
    async with asyncio.timeout(5), joined(peer, rt) as session:
        peer.say(SPEECH)
        await session.wait_closed()
        await asyncio.gather(session.close(), session.close())
    assert sorted(closed) == ["client", "handler went on"]


async def test_a_cancelled_close_still_completes() -> None:
    """B40."""
    peer = Peer()
    session = await joined(peer)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    async with asyncio.timeout(5):
        await session.close()
    assert session.is_closed and asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_lets_lanes_finish_and_then_cancels_what_still_runs() -> None:
    """B40: half a second of grace, a second in all, whatever handlers do."""
    rt, peer, ended, started = Realtime(), Peer(), [], asyncio.Event()

    @rt.on("input_audio_buffer.speech_started")
    async def quick(event: Any) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        ended.append("quick")

    @rt.on("input_audio_buffer.speech_started")
    async def endless(event: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("endless was cancelled")
            raise

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        async with joined(peer, rt):
            peer.say(SPEECH)
            await started.wait()
            before = loop.time()
        assert loop.time() - before < 1.0
    assert ended == ["quick", "endless was cancelled"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nothing_is_left_after_a_session() -> None:
    """B46."""
    gc.collect()
    before = {id(thing) for thing in gc.get_objects() if type(thing).__name__ == "Dispatcher"}
    rt, peer = Realtime(instructions="x"), Peer()
    rt.on("*", lambda event: None)
    async with asyncio.timeout(5), joined(peer, rt) as session:
        peer.say(SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    del session
    gc.collect()
    assert not [t for t in gc.get_objects() if type(t).__name__ == "Dispatcher" and id(t) not in before]


async def test_sessions_of_one_application_do_not_hear_each_other() -> None:
    """B47."""
    rt, one, two, seen = Realtime(), Peer(session_id="one"), Peer(session_id="two"), []
    rt.on("input_audio_buffer.speech_started", lambda event, session: seen.append(session.id))
    async with asyncio.timeout(5), joined(one, rt) as first, joined(two, rt) as second:
        first.state.name, second.state.name = "a", "b"
        two.say(SPEECH)
        await second.wait_for("input_audio_buffer.speech_started")
        one.drop()
        await first.wait_closed()
        two.say(SPEECH)
        await second.wait_for("input_audio_buffer.speech_started")
        assert not second.is_closed and (first.state.name, second.state.name) == ("a", "b")
    assert seen == ["two", "two"]


# ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_logs_are_short_and_show_neither_keys_nor_audio(caplog: pytest.LogCaptureFixture) -> None:
    """B52."""
    caplog.set_level(logging.DEBUG, logger="realtime_events")
    rt, peer = Realtime(instructions="x"), Peer()
    canary = Endpoint(url="ws://localhost/v1/realtime", api_key="canary-key")
    frame = b'{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"' + b"A" * 6400 + b'"}'
    async with asyncio.timeout(5), rt.connect(endpoint=canary, dial=peer.dial) as session:
        await session.send_audio(b"\0" * 4800)
        peer.say(frame, SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
        shown = repr((rt, session, canary, vars(session)))
    lines = [record.getMessage() for record in caplog.records]
    assert sum(record.levelno >= logging.INFO for record in caplog.records) < 10
    assert [line for line in lines if "<pcm 4800 B>" in line and "response.output_audio.delta" in line]
    assert [line for line in lines if "<pcm 4800 B>" in line and "input_audio_buffer.append" in line]
    assert "canary-key" not in shown + "".join(lines) and "AAAA" not in "".join(lines)


async def test_a_frame_that_is_no_event_is_warned_of_once_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """B01: the log line shows foreign text escaped."""
    peer, malformed, unknown = Peer(), [], []
    rt = Realtime()
    rt.on("event.malformed", malformed.append)
    rt.on("event.unknown", unknown.append, when=lambda event: event.type == "brand.new")
    async with asyncio.timeout(5), joined(peer, rt) as session:
        peer.say(b"\x1b[31mINFO root:\r\nforged", b"[]", b'{"type":"brand.new"}', b'{"type":"brand.new"}', SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
    assert [event.raw for event in malformed] == [b"\x1b[31mINFO root:\r\nforged", b"[]"] and len(unknown) == 2
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 3 and not any("\x1b" in line or "\n" in line for line in warnings)


# ── plugins, tools and the end ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_plugin_that_was_not_set_up_is_not_closed() -> None:
    """B46: after a refused configuration there is nothing to clean up."""
    closed: list[str] = []

    class Memory(Plugin):
        def close(self, session: Any) -> None:
            closed.append("closed")

    rt, peer = Realtime(instructions="x"), Peer(answers_updates=False)
    rt.include(Memory())
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await joined(peer, rt, connect_timeout_s=0.01)
    assert closed == []


async def test_hanging_plugins_and_handlers_together_do_not_delay_the_close() -> None:
    """B40: a second in all."""
    never = asyncio.Event()

    class Stuck(Plugin):
        async def close(self, session: Any) -> None:
            await never.wait()

    rt, peer, started = Realtime(), Peer(), asyncio.Event()
    for _ in range(3):
        rt.include(Stuck())

    @rt.on("input_audio_buffer.speech_started")
    async def stuck(event: Any) -> None:
        started.set()
        await never.wait()

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        async with joined(peer, rt):
            peer.say(SPEECH)
            await started.wait()
            before = loop.time()
        assert loop.time() - before < 1.0


async def test_a_server_that_closes_right_after_the_greeting_makes_connect_fail() -> None:
    """B40: nobody is given a session that has ended."""
    rt, peer, opened = Realtime(), Peer(), []
    rt.on("connection.opened", opened.append)

    async def dial(*args: Any) -> Any:
        door = await peer.dial(*args)
        peer.close(1013, "try again later")
        return door

    async with asyncio.timeout(5):
        with pytest.raises(ConnectionLostError, match="1013"):
            await rt.connect(endpoint=peer.endpoint, dial=dial)
    assert opened == []


async def test_a_tool_may_close_its_own_session_and_goes_on() -> None:
    """B40."""
    rt, peer, steps = Realtime(), Peer(), []

    @rt.tool
    async def hang_up(session: Session) -> str:
        """Hang up."""
        await session.close()
        steps.append("went on")
        return "bye"

    call = {"type": "function_call", "id": "item_1", "call_id": "call_1", "name": "hang_up", "arguments": "{}"}
    async with asyncio.timeout(5), joined(peer, rt) as session:
        peer.say(ResponseCreated(response=Response(id="resp_1", conversation_id="conv_1")))
        peer.say({"type": "response.output_item.done", "event_id": "e", "response_id": "resp_1", "item": call})
        await session.wait_closed()
        while not steps:
            await asyncio.sleep(0)
    assert steps == ["went on"]
