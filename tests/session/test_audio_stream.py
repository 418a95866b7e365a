"""The assistant's audio: pieces that know their place, a position that is never ahead, and nothing kept unasked."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import msgspec
import pytest

from realtime_events import ConfigurationError, Realtime
from realtime_events.events import ResponseCreate, ResponseOutputAudioDelta, SessionUpdated
from realtime_events.events.session import SessionConfig
from realtime_events.hearing import AudioChunk, Chunks

from .room import PCM, SPEECH, Room, audio, created, done, item_done, room


def pieces(bytes_: int, item_id: str = "item_a", response_id: str = "resp_1") -> ResponseOutputAudioDelta:
    return ResponseOutputAudioDelta(response_id=response_id, item_id=item_id, delta=b"\1" * bytes_)


def speaking(kind: str) -> SessionUpdated:
    config = {"type": "realtime", "audio": {"output": {"format": {"type": kind}}}}
    return SessionUpdated(session=msgspec.convert(config, SessionConfig))


async def taken(stream: Any, count: int) -> list[AudioChunk]:
    return [await anext(stream) for _ in range(count)]


def places(chunks: list[AudioChunk]) -> list[tuple[str, float, float]]:
    return [(chunk.item_id, chunk.start_ms, chunk.length_ms) for chunk in chunks]


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_piece_knows_its_item_its_place_and_its_length() -> None:
    async with room() as at, at.session.audio as chunks:
        await at.hear(created(), audio(100), audio(40), audio(60, "item_b"))
        got = await taken(chunks, 3)
        assert places(got) == [("item_a", 0, 100), ("item_a", 100, 40), ("item_b", 0, 60)]
        assert got[0].audio == audio(100).delta and got[0].response_id == "resp_1"


async def test_items_that_take_turns_keep_their_places() -> None:
    """Those of parallel responses do."""
    async with room() as at, at.session.audio as chunks:
        await at.hear(created(), audio(100), audio(40, "item_b", "resp_2"), audio(60), audio(50, "item_b", "resp_2"))
        assert places(await taken(chunks, 4)) == [
            ("item_a", 0, 100),
            ("item_b", 0, 40),
            ("item_a", 100, 60),
            ("item_b", 40, 50),
        ]


async def test_whoever_begins_to_listen_within_an_item_is_told_the_true_place() -> None:
    """A player that reports by it would else report too little."""
    async with room() as at:
        await at.hear(created(), audio(130))
        async with at.session.audio as chunks:
            await at.hear(audio(50), audio(20))
            assert places(await taken(chunks, 2)) == [("item_a", 130, 50), ("item_a", 180, 20)]


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
async def test_a_piece_of_a_phones_audio_lasts_as_long_as_it_sounds(kind: str) -> None:
    """B23: G.711 has one byte a sample at 8 kHz."""
    async with room() as at, at.session.audio as chunks:
        await at.hear(speaking(kind), created(), pieces(160), pieces(80))
        assert places(await taken(chunks, 2)) == [("item_a", 0, 20), ("item_a", 20, 10)]
        at.pass_ms(25)
        assert at.session.playback.position_ms("item_a") == 25
        assert at.session.playback.received_ms("item_a") == 30


async def test_the_places_of_many_items_cost_no_memory() -> None:
    """B24."""
    async with room() as at:
        chunks = Chunks(at.session._dispatcher, lambda: PCM)
        for number in range(1_000):
            chunks.put(audio(1, f"item_{number}"))
            chunks.queue.clear()
        assert len(chunks._end_bytes) < 50


async def test_pieces_come_until_the_session_ends() -> None:
    async with room() as at:
        stream = at.session.audio
        await at.hear(created(), audio(100))
        at.peer.close()
        assert places([chunk async for chunk in stream]) == [("item_a", 0, 100)]


async def test_two_listeners_each_get_everything() -> None:
    """B06."""
    async with room() as at, at.session.audio as first, at.session.audio as second:
        await at.hear(created(), audio(100), audio(40))
        assert await taken(first, 2) == await taken(second, 2)


# ── what was heard ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_player_the_position_follows_the_clock_and_stops_where_the_audio_ends() -> None:
    """B23."""
    async with room() as at:
        playback = at.session.playback
        await at.hear(created(), audio(100))
        assert playback.item_id == "item_a" and playback.is_playing and not playback.has_player
        for passed, expected in ((0, 0), (60, 60), (60, 100), (1_000, 100)):
            at.pass_ms(passed)
            assert playback.position_ms("item_a") == expected
        assert playback.item_id == "" and not playback.is_playing


async def test_a_player_reports_in_milliseconds_or_in_bytes() -> None:
    """B23."""
    async with room() as at:
        playback = at.session.playback
        await at.hear(created(), audio(500), audio(300, "item_b"))
        playback.played("item_a", bytes_=120 * PCM)
        assert playback.has_player and playback.position_ms("item_a") == 120
        at.pass_ms(400)
        assert playback.position_ms("item_a") == 120 and playback.until_idle_s == pytest.approx(0.68)
        playback.played("item_b", ms=10)
        assert playback.position_ms("item_a") == 500 and playback.item_id == "item_b"


async def test_a_report_that_makes_no_sense_is_refused_and_one_of_an_unknown_item_is_ignored() -> None:
    """B23."""
    async with room() as at:
        at.session.playback.played("item_unknown", ms=5)
        for wrong in ({}, {"ms": 1, "bytes_": 48}, {"ms": -1}, {"ms": float("nan")}):
            with pytest.raises(ConfigurationError, match="playback position"):
                at.session.playback.played("item_a", **wrong)


async def test_a_player_that_plays_the_pieces_is_believed_when_it_is_interrupted() -> None:
    """B22, B23: by what `session.audio` gives, a player knows all that it has to report."""
    async with room() as at, at.session.audio as chunks:
        await at.hear(created(), audio(100), audio(100), audio(100))
        for chunk in await taken(chunks, 2):
            at.session.playback.played(chunk.item_id, ms=chunk.start_ms + chunk.length_ms / 2)
        at.pass_ms(5_000)
        await at.hear(SPEECH)
        assert at.cuts() == [("item_a", 150)]


async def test_captions_begin_when_the_item_began_to_be_heard() -> None:
    """B23: it waits behind the one before it."""
    async with room() as at:
        await at.hear(created(), audio(500), item_done(), audio(300, "item_b"), done())
        first, second = (at.session.conversation.get(name) for name in ("item_a", "item_b"))
        assert first is not None and second is not None
        assert first.started_s is not None and second.started_s == first.started_s + 0.5


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def asked(at: Room) -> Any:
    asking = asyncio.create_task(at.session.ask("Hello?"))
    await at.hear(created(request=await at.peer.heard(ResponseCreate)), audio(100), audio(100), done())
    return await asking


async def test_no_audio_is_kept_unless_it_was_asked_for() -> None:
    """B24."""
    async with room() as at:
        turn = await asked(at)
        assert turn.audio == b"" and turn.audio_ms == 200


async def test_a_turn_keeps_its_audio_up_to_the_cap() -> None:
    """B24."""
    async with room(retain_audio=150 * PCM) as at:
        turn = await asked(at)
        assert len(turn.audio) == 150 * PCM and turn.audio_ms == 200


async def test_nothing_of_a_response_is_kept_when_nobody_holds_its_turn() -> None:
    """B24: neither its audio nor the response itself."""
    turns: list[weakref.ref[Any]] = []
    rt = Realtime()
    rt.on("turn.started", lambda event: turns.append(weakref.ref(event.turn)), delivery="inline")
    async with room(rt=rt, retain_audio=1_000_000) as at:
        await at.hear(created(), audio(100), done())
        at.seen.clear()
        await at.hear(created("resp_2"), audio(100, "item_b", "resp_2"), done("resp_2"))
        at.seen.clear()
        gc.collect()
        assert len(turns) == 2 and turns[0]() is None
        assert not at.session._core.exchange.responses.running
