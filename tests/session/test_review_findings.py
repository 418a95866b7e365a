"""Findings of a review: what used to wait for ever, answered the wrong one, or was heard although it was cut."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_events import ConnectionLostError, Realtime
from realtime_events.events import (
    AudioFlush,
    ConversationItemCreate,
    ConversationItemTruncate,
    ErrorDetails,
    ErrorEvent,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    Item,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputItemAdded,
    ResponseOutputTextDelta,
    SessionUpdated,
)
from realtime_events.events.session import AudioConfig, AudioInput, SessionConfig, TurnDetection
from realtime_events.protocol.core import QUIET, TABLE, Core
from realtime_events.protocol.responses import Wanted
from realtime_events.testing import Peer

SECOND = bytes(48_000)
LISTENING = SessionUpdated(
    session=SessionConfig(type="realtime", audio=AudioConfig(input=AudioInput(turn_detection=TurnDetection())))
)
STARTED = InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)
STOPPED = InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=100)


def joined(peer: Peer, rt: Realtime | None = None, **changes: Any) -> Any:
    return (rt or Realtime()).connect(endpoint=peer.endpoint, dial=peer.dial, **{"reconnect": False, **changes})


def begun(peer: Peer, number: int, **more: Any) -> ResponseCreated:
    """The beginning of a response that gives back the metadata of the last request."""
    request = [event for event in peer.sent if isinstance(event, ResponseCreate)][-1]
    metadata = request.response.metadata if request.response else None
    return ResponseCreated(response=Response(id=f"r{number}", metadata=metadata, **{"conversation_id": "c", **more}))


def begun_untagged(number: int, **more: Any) -> ResponseCreated:
    return ResponseCreated(response=Response(id=f"r{number}", **more))


def ended(number: int, status: str = "completed", **more: Any) -> ResponseDone:
    return ResponseDone(response=Response(id=f"r{number}", status=status, output=[], **more))


def text(words: str, number: int) -> ResponseOutputTextDelta:
    return ResponseOutputTextDelta(response_id=f"r{number}", item_id=f"i{number}", delta=words)


def sound(number: int, item: str = "") -> ResponseOutputAudioDelta:
    return ResponseOutputAudioDelta(response_id=f"r{number}", item_id=item or f"i{number}", delta=SECOND)


async def heard_all(peer: Peer, session: Any) -> None:
    """Wait until the session has heard everything that was said so far."""
    waiting = asyncio.ensure_future(session.wait_for("event.unknown", when=lambda e: e.type == "mark"))
    await asyncio.sleep(0)
    peer.say({"type": "mark"})
    await waiting


# ── nothing waits for ever ───────────────────────────────────────────────────────────────────────────────────────────


async def test_answering_speech_on_a_connection_that_has_ended_fails_at_once() -> None:
    """B06."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.drop()
        await session.wait_closed()
        with pytest.raises(ConnectionLostError):
            await session.answer_speech()


async def test_the_audio_of_a_connection_that_has_ended_ends_at_once() -> None:
    """B06."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.drop()
        await session.wait_closed()
        assert [chunk async for chunk in session.audio] == []


async def test_interrupting_after_the_connection_has_ended_waits_for_nothing() -> None:
    """B06."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.say(begun_untagged(1), sound(1))
        await heard_all(peer, session)
        peer.drop()
        await session.wait_closed()
        await session.interrupt(timeout=None)


async def test_a_response_that_is_cancelled_while_somebody_enters_it_lets_him_in() -> None:
    """B20: another task cancels before the server has begun."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        handle = session.respond()

        async def follow() -> Response:
            async with handle as r:
                return await r  # type: ignore[no-any-return]

        following = asyncio.create_task(follow())
        await peer.heard(ResponseCreate)
        assert (await handle.cancel()).status == "cancelled"
        assert (await following).status == "cancelled"


async def test_an_out_of_band_response_is_known_by_order_where_the_server_names_neither_tag_nor_conversation() -> None:
    """B12."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        asking = asyncio.ensure_future(_whole(session.respond(conversation="none")))
        await peer.heard(ResponseCreate)
        peer.say(begun_untagged(1), text("aside", 1), ended(1))
        assert (await asking).id == "r1"
        assert session.turn is None and len(session.conversation) == 0


async def _whole(handle: Any) -> Any:
    return await handle


async def test_an_ask_is_answered_although_speech_before_it_led_to_no_response_and_no_tag_comes_back() -> None:
    """B12: the response looks as if turn detection had begun it."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.say(LISTENING, STARTED, STOPPED)
        await heard_all(peer, session)
        asking = asyncio.create_task(session.ask("Hello?"))
        await peer.heard(ResponseCreate)
        peer.say(begun_untagged(1), text("Hi", 1), ended(1))
        assert (await asking).text == "Hi"
        assert not session._core.response_active


async def test_a_refusal_without_an_id_fails_the_ask_if_nothing_else_waits() -> None:
    """B11."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        asking = asyncio.create_task(session.ask("Hello?"))
        created = await peer.heard(ConversationItemCreate)
        peer.say({"type": "conversation.item.added", "item": {"id": created.item.id, "type": "message"}})
        await peer.heard(ResponseCreate)
        peer.say(ErrorEvent(error=ErrorDetails(type="invalid_request_error", code="odd", message="no")))
        with pytest.raises(Exception, match="no"):
            await asking


async def test_turn_detection_switched_off_while_somebody_speaks_lets_an_ask_out() -> None:
    """B12: no `speech_stopped` will come."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.say(LISTENING, STARTED)
        await heard_all(peer, session)
        asking = asyncio.create_task(session.ask("Hello?"))
        await peer.heard(ConversationItemCreate)
        silent = SessionConfig(type="realtime", audio=AudioConfig(input=AudioInput(turn_detection=None)))
        peer.say(SessionUpdated(session=silent))
        await peer.heard(ResponseCreate)
        peer.say(begun(peer, 1), ended(1))
        await asking


# ── interrupting ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_response_interrupted_before_it_began_is_never_heard() -> None:
    """B22."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        told: list[Any] = []
        asking = asyncio.create_task(session.ask("Hello?"))
        await peer.heard(ResponseCreate)
        await session.interrupt()
        async with session.stream("response.*.delta") as deltas:
            peer.say(begun(peer, 1), sound(1), ended(1, "cancelled"))
            assert (await asking).status == "cancelled"
            await heard_all(peer, session)
            told += deltas._subscription.queue
        assert told == []
        [truncation] = [event for event in peer.sent if isinstance(event, ConversationItemTruncate)]
        assert (truncation.item_id, truncation.audio_end_ms) == ("i1", 0)


async def test_an_item_that_begins_after_the_interruption_is_truncated_at_zero() -> None:
    """B22."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.say(LISTENING, begun_untagged(1, conversation_id="c"), sound(1, "a"), STARTED, sound(1, "b"))
        peer.say(ended(1, "cancelled"))
        await heard_all(peer, session)
        cuts = [(e.item_id, e.audio_end_ms) for e in peer.sent if isinstance(e, ConversationItemTruncate)]
        assert [item_id for item_id, _ in cuts] == ["a", "b"] and cuts[1] == ("b", 0)


async def test_a_response_that_may_not_be_interrupted_is_not_dropped_before_it_has_begun() -> None:
    """B22."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:

        async def read_out() -> Response:
            async with session.respond(interruptible=False) as r:
                return await r  # type: ignore[no-any-return]

        reading = asyncio.create_task(read_out())
        await peer.heard(ResponseCreate)
        await session.interrupt()
        peer.say(begun(peer, 1), text("The fee is 5.", 1), ended(1))
        assert (await reading).status == "completed"
        assert not any(isinstance(event, ResponseCancel) for event in peer.sent)


async def test_an_out_of_band_response_that_is_left_before_it_began_is_cancelled_when_it_does() -> None:
    """B20."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        with pytest.raises(TimeoutError):
            await session.extract("How many?", output=int, timeout=0)
        await peer.heard(ResponseCreate)
        peer.say(begun(peer, 1, conversation_id=None))
        assert (await peer.heard(ResponseCancel)).response_id == "r1"


def test_a_player_that_never_reports_the_end_does_not_close_the_microphone_for_ever() -> None:
    """B23."""
    core = Core(new_id=str)
    hear(core, 0.0, begun_untagged(1, conversation_id="c"), sound(1), ended(1))
    core.playback.played("i1", ms=400, now=0.4)
    assert core.voice.gates_mic(1.0, half_duplex=True)
    core.playback.played("i1", ms=900, now=2.9)  # It is late, and goes on.
    assert core.voice.gates_mic(3.0, half_duplex=True)
    assert not core.voice.gates_mic(60.0, half_duplex=True)


def test_speech_that_may_not_be_cut_stays_so_while_it_is_heard_although_another_response_begins() -> None:
    """B22."""
    core = Core(new_id=str)
    wanted = Wanted(core.exchange.new_request(), interruptible=False)
    core.exchange.want(wanted, 0.0)
    hear(core, 0.0, begun_untagged(1, metadata=wanted.event.response.metadata), sound(1), ended(1))
    hear(core, 0.1, begun_untagged(2, conversation_id="c"), ended(2))
    assert core.voice.gates_mic(0.9, half_duplex=False)
    assert core.voice.interrupt(0.9) == []
    assert not core.voice.gates_mic(1.1, half_duplex=False)


def hear(core: Core, now: float, *events: Any) -> None:
    for event in events:
        if (quiet := QUIET.get(type(event))) is not None:
            quiet(core.output, event, lambda: now)
        else:
            TABLE[type(event)](core, event, now)


# ── whose it is ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_chunks_of_items_that_take_turns_keep_their_place() -> None:
    """B23."""
    peer = Peer()
    async with asyncio.timeout(5), joined(peer) as session:
        peer.say(begun_untagged(1, conversation_id="c"), sound(1, "a"))
        await heard_all(peer, session)
        chunks = session.audio
        peer.say(sound(1, "a"), sound(1, "b"), sound(1, "a"))
        places = [(chunk.item_id, chunk.start_ms) for chunk in [await anext(chunks) for _ in range(3)]]
        assert places == [("a", 1000.0), ("b", 0.0), ("a", 2000.0)]


async def test_what_was_said_and_answered_by_hand_is_one_turn() -> None:
    """B21."""
    peer, rt = Peer(), Realtime()
    started: list[Any] = []
    rt.on("turn.started", started.append)
    by_hand = SessionUpdated(
        session=SessionConfig(
            type="realtime", audio=AudioConfig(input=AudioInput(turn_detection=TurnDetection(create_response=False)))
        )
    )
    async with asyncio.timeout(5), joined(peer, rt) as session:
        peer.say(by_hand, STARTED, STOPPED)
        await heard_all(peer, session)
        answering = session.answer_speech()
        await peer.heard(ResponseCreate)
        peer.say(begun(peer, 1), text("Yes", 1), ended(1))
        turn = await answering
        await heard_all(peer, session)
        assert turn.text == "Yes" and [event.turn for event in started] == [turn]


async def test_words_that_are_transcribed_late_are_those_of_their_own_turn() -> None:
    """B21."""
    peer, rt = Peer(), Realtime()
    turns: list[Any] = []
    rt.on("turn.started", lambda event: turns.append(event.turn))
    async with asyncio.timeout(5), joined(peer, rt) as session:
        second = InputAudioBufferSpeechStarted(item_id="u2", audio_start_ms=0)
        peer.say(LISTENING, STARTED, STOPPED, begun_untagged(1, conversation_id="c"), second)
        for item_id, words in (("u", "First."), ("u2", "Second.")):
            peer.say(
                {
                    "type": "conversation.item.input_audio_transcription.completed",
                    "item_id": item_id,
                    "content_index": 0,
                    "transcript": words,
                }
            )
        await heard_all(peer, session)
        assert [turn.user_text for turn in turns] == ["First.", "Second."]


async def test_a_turn_whose_follow_up_is_left_to_the_server_ends_if_the_server_has_nothing_to_say() -> None:
    """B32: what was waiting to be spoken of is left to the answer to the user's speech; `ask()` does not wait."""
    peer, rt = Peer(), Realtime()
    go = asyncio.Event()

    @rt.tool
    async def slow() -> str:
        """Take long."""
        await go.wait()
        return "ok"

    async with asyncio.timeout(5), joined(peer, rt) as session:
        asking = asyncio.create_task(session.ask("Please."))
        await peer.heard(ResponseCreate)
        call = Item(type="function_call", id="f", call_id="call_1", name="slow", arguments="{}")
        peer.say(LISTENING, begun(peer, 1), ResponseOutputItemAdded(response_id="r1", item=call))
        peer.say(ResponseDone(response=Response(id="r1", status="completed", output=[call])))
        await heard_all(peer, session)
        session._core.user_speaking = True  # As by speech that began in another turn.
        go.set()
        await peer.heard(ConversationItemCreate, lambda e: e.item.type == "function_call_output")
        peer.say(STOPPED)
        assert (await asking).status == "cut"


def test_the_pieces_of_the_vocabulary_are_only_what_is_sent_or_told() -> None:
    from realtime_events.handlers import keys_of

    with pytest.raises(Exception, match="unknown event"):
        keys_of(("audio.chunk",))


async def test_a_flush_comes_first_also_if_everything_comes_in_one_go() -> None:
    """B22."""
    peer, rt = Peer(), Realtime()
    seen: list[str] = []
    rt.on("*", lambda event: seen.append(event.type), delivery="inline")
    async with asyncio.timeout(5), joined(peer, rt) as session:
        peer.say(LISTENING, begun_untagged(1, conversation_id="c"), sound(1), STARTED, sound(1), ended(1, "cancelled"))
        await heard_all(peer, session)
    assert AudioFlush.__struct_config__.tag in seen
    after = seen[seen.index("audio.flush") :]
    assert after[1] == "input_audio_buffer.speech_started" and "response.output_audio.delta" not in after
