"""Translation sessions: speech in, translated speech and captions out."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime_events import (
    AudioFormatError,
    ConfigurationError,
    ConnectionLostError,
    LocalProtocolError,
    Realtime,
    ServerError,
)
from realtime_events import translation as translation_module
from realtime_events.audio import PCM16, PCMU
from realtime_events.audio import AudioFormat as Format
from realtime_events.events import ErrorDetails, ErrorEvent, UnknownEvent
from realtime_events.events.translation import (
    SessionClosed,
    SessionInputTranscriptDelta,
    SessionOutputAudioDelta,
    SessionOutputTranscriptDelta,
)
from realtime_events.simulator import Simulator
from realtime_events.testing import Peer
from realtime_events.translation import CaptionPiece, TranslatedAudio

from ..recordings import STOP, WEATHER, WORDS, ears

PAUSE = PCM16.silence(1_000)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(recogniser=ears(), pace=None) as simulator:
        yield simulator


def interpreted(peer: Peer, to: str = "fr", **settings: Any) -> Any:
    return Realtime().translate(to, endpoint=peer.endpoint, dial=peer.dial, **settings)


def sent(peer: Peer, name: str) -> list[dict[str, Any]]:
    """The frames of one name; to a peer of the realtime kind most of them are unknown."""
    frames = [event.raw if isinstance(event, UnknownEvent) else msgspec.json.encode(event) for event in peer.sent]
    return [frame for frame in map(msgspec.json.decode, frames) if frame["type"] == name]


async def asked_to_close(peer: Peer) -> None:
    await peer.heard(UnknownEvent, lambda event: event.type == "session.close")


# ── on the simulator ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_speech_becomes_audio_and_captions_until_the_session_is_closed(sim: Simulator) -> None:
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).translate(to="fr", transcribe_input=True) as t:
        await t.send_file(WEATHER)
        await t.finish()
        pieces = [piece async for piece in t]
    audio = [piece for piece in pieces if isinstance(piece, TranslatedAudio)]
    assert t.is_drained and t.dropped == 0 and audio
    assert {(piece.format, piece.rate_hz, piece.channels) for piece in audio} == {("pcm16", 24_000, 1)}
    assert [piece.elapsed_ms for piece in audio] == sorted(piece.elapsed_ms for piece in audio)
    words = [(piece.of, piece.text) for piece in pieces if isinstance(piece, CaptionPiece)]
    assert words == [("input", WORDS[WEATHER.name]), ("output", f"[fr] {WORDS[WEATHER.name]}")]
    assert [caption.text for caption in t.captions] == [f"[fr] {WORDS[WEATHER.name]}"]
    assert [caption.text for caption in t.input_captions] == [WORDS[WEATHER.name]]
    assert "[fr] Hello!" in t.export("srt") and "\nHello!" in t.export("vtt", of="input")


async def test_the_language_can_be_changed_on_the_way(sim: Simulator) -> None:
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).translate(to="fr", transcribe_input=True) as t:
        assert t.config.audio.output.language == "fr" and t.config.model == "gpt-realtime-translate"
        await t.send_file(WEATHER)
        await t.send_audio(PAUSE)
        config = await t.update(to="de", transcribe_input=False)
        assert config is t.config and config.audio.output.language == "de"
        await t.send_file(STOP)
        await t.finish()
    assert [caption.text[:5] for caption in t.captions] == ["[fr] ", "[de] "]
    assert [caption.text for caption in t.input_captions] == [WORDS[WEATHER.name]]


async def test_handlers_of_the_application_hear_the_session_and_its_assistant_is_left_out(sim: Simulator) -> None:
    rt, seen = Realtime(endpoint=sim.endpoint, instructions="Be brief.", voice="marin"), []
    rt.on("session.output_transcript.delta", lambda event: seen.append(event.delta))
    rt.on("session.closed", lambda event: seen.append(event.type))
    rt.on("session.created", lambda event, session: seen.append(type(session).__name__))

    @rt.tool
    async def get_time() -> str:
        """Tell the time."""
        return "noon"

    async with asyncio.timeout(20):
        async with rt.translate(to="es") as t:
            await t.send_file(STOP)
            await t.finish()
            assert t.session.id == sim.sessions[0].id
    assert seen == ["Session", f"[es] {WORDS[STOP.name]}", "session.closed"]
    [update] = [event for event in sim.sessions[0].received if event.type == "session.update"]
    assert msgspec.to_builtins(update.session) == {"audio": {"output": {"language": "es"}}}


async def test_closing_without_audio_gives_nothing_and_no_error(sim: Simulator) -> None:
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).translate(to="fr") as t:
        await t.finish()
        await t.finish()
        assert [piece async for piece in t] == [] and t.captions == [] and t.is_drained
        with pytest.raises(LocalProtocolError, match="finish"):
            await t.send_audio(PAUSE)


async def test_two_interpreters_of_one_application_do_not_mix(sim: Simulator) -> None:
    rt = Realtime(endpoint=sim.endpoint)
    async with asyncio.timeout(20), rt.translate(to="fr") as there, rt.translate(to="en") as back:
        await asyncio.gather(there.send_file(WEATHER), back.send_file(STOP))
        await asyncio.gather(there.finish(), back.finish())
    assert [caption.text for caption in there.captions] == [f"[fr] {WORDS[WEATHER.name]}"]
    assert [caption.text for caption in back.captions] == [f"[en] {WORDS[STOP.name]}"]


async def test_an_update_that_the_server_refuses_is_raised_and_the_translation_goes_on(sim: Simulator) -> None:
    """B11."""
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).translate(to="fr") as t:
        with pytest.raises(ServerError, match="noise_reduction") as refused:
            await t.update(noise_reduction="loud")
        assert refused.value.event_id == refused.value.sent_event.event_id  # type: ignore[attr-defined]
        assert (await t.update(noise_reduction="near_field")).audio.input.noise_reduction.type == "near_field"


async def test_a_language_that_nobody_knows_is_for_the_server_to_judge(sim: Simulator) -> None:
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).translate(to="tlh") as t:
        assert t.config.audio.output.language == "tlh"


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_audio_goes_out_in_short_pieces_and_ends_with_a_whole_frame() -> None:
    peer = Peer()
    async with asyncio.timeout(5), interpreted(peer) as t:
        assert peer.dialled[0][0] == "ws://localhost/v1/realtime/translations?model=gpt-realtime-translate"
        await t.send_audio(PCM16.silence(2_050))
        finishing = asyncio.create_task(t.finish())
        await asked_to_close(peer)
        peer.say(SessionClosed())
        await finishing
    lengths = [len(base64.b64decode(frame["audio"])) / 48 for frame in sent(peer, "session.input_audio_buffer.append")]
    assert lengths == [1_000, 1_000, 50, 150]
    ids = [frame["event_id"] for frame in sent(peer, "session.input_audio_buffer.append")]
    assert all(ids) and len(set(ids)) == 4


@pytest.mark.parametrize(
    ("format", "got"),
    [(PCMU, "audio/pcmu at 8000 Hz"), (Format(type="audio/pcm", rate=16_000), "audio/pcm at 16000 Hz")],
)
async def test_other_audio_is_refused_with_both_values(format: Format, got: str) -> None:
    """B16."""
    peer = Peer()
    async with asyncio.timeout(5), interpreted(peer) as t:
        with pytest.raises(AudioFormatError, match=f"expected audio/pcm at 24000 Hz, got {got}"):
            await t.send_audio(bytes(320), format=format)
        with pytest.raises(AudioFormatError, match="even number of bytes, got 3 bytes"):
            await t.send_audio(bytes(3))
    assert sent(peer, "session.input_audio_buffer.append") == []


async def test_a_file_that_holds_no_audio_is_refused(tmp_path: Path) -> None:
    path, peer = tmp_path / "empty.wav", Peer()
    path.write_bytes(b"")
    async with asyncio.timeout(5), interpreted(peer) as t:
        with pytest.raises(AudioFormatError, match="expected a WAV file"):
            await t.send_file(path)


@pytest.mark.parametrize("name", ["model", "voice", "instructions", "tools"])
async def test_what_a_translation_cannot_change_is_refused_by_name(name: str) -> None:
    peer = Peer()
    async with asyncio.timeout(5), interpreted(peer) as t:
        with pytest.raises(ConfigurationError, match=f"cannot change '{name}'; it can change to, transcribe_input"):
            await t.update(**{name: "x"})
    assert len(sent(peer, "session.update")) == 1


def test_a_wrong_setting_is_refused_before_connecting() -> None:
    with pytest.raises(ConfigurationError, match="needs a language"):
        Realtime().translate(to="")
    with pytest.raises(ConfigurationError, match="no option 'form'"):
        Realtime().translate(to="fr", form="de")


# ── when things go wrong ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_finish_says_that_the_session_was_not_closed_and_keeps_what_came() -> None:
    peer = Peer()
    async with asyncio.timeout(5), interpreted(peer) as t:
        peer.say(SessionOutputTranscriptDelta(delta="Bonjour.", elapsed_ms=200))
        with pytest.raises(TimeoutError, match=r"did not answer session\.close within 0\.01 s"):
            await t.finish(timeout=0.01)
        assert [piece.text async for piece in t] == ["Bonjour."] and not t.is_drained


async def test_a_lost_connection_is_raised_after_what_had_come() -> None:
    peer = Peer()
    async with asyncio.timeout(5), interpreted(peer) as t:
        peer.say(SessionOutputTranscriptDelta(delta="Bon", elapsed_ms=200))
        peer.drop()
        assert (await anext(t)).text == "Bon"
        with pytest.raises(ConnectionLostError, match="1006"):
            await anext(t)
        with pytest.raises(ConnectionLostError):
            await t.finish()


async def test_a_connection_that_is_lost_while_finishing_ends_the_wait() -> None:
    peer = Peer()
    async with asyncio.timeout(5), interpreted(peer) as t:
        finishing = asyncio.create_task(t.finish())
        await asked_to_close(peer)
        peer.close(1011, "oops")
        with pytest.raises(ConnectionLostError, match="1011: oops"):
            await finishing


async def test_a_refused_configuration_is_raised_and_leaves_nothing_behind() -> None:
    """B13."""
    peer = Peer(answers_updates=False)

    async def refuse() -> None:
        await peer.heard(msgspec.Struct, lambda event: event.type == "session.update")
        peer.say(ErrorEvent(error=ErrorDetails(type="server_error", message="not about it", event_id="other")))
        peer.say(ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="no such language")))

    async with asyncio.timeout(5):
        refusing = asyncio.create_task(refuse())
        with pytest.raises(ServerError, match="no such language"):
            async with interpreted(peer):
                pass
        await refusing
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_leaving_the_block_ends_the_pieces_without_an_error() -> None:
    peer = Peer()
    async with asyncio.timeout(5):
        async with interpreted(peer) as t:
            peer.say(SessionOutputTranscriptDelta(delta="Bon"))
            await t.session.wait_for("session.output_transcript.delta")
        assert [(piece.text, piece.elapsed_ms) async for piece in t] == [("Bon", 0)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_audio_that_nobody_takes_is_bounded_and_its_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """B24: memory has a bound; words are kept."""
    monkeypatch.setattr(translation_module, "MOST_WAITING_AUDIO", 2)
    peer = Peer()
    async with asyncio.timeout(5), interpreted(peer) as t:
        for number in range(4):
            peer.say(SessionOutputAudioDelta(delta=bytes([number, 0]), elapsed_ms=number * 200))
            peer.say(SessionInputTranscriptDelta(delta=str(number), elapsed_ms=number * 200))
        await t.session.wait_for("session.input_transcript.delta", when=lambda event: event.delta == "3")
        assert t.dropped == 2
        pieces = [await anext(t) for _ in range(6)]
    assert [piece.audio[0] for piece in pieces if isinstance(piece, TranslatedAudio)] == [2, 3]
    assert [piece.text for piece in pieces if isinstance(piece, CaptionPiece)] == ["0", "1", "2", "3"]
