"""Transcription sessions: audio in, lines out."""

from __future__ import annotations

import asyncio
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
from realtime_events.audio import PCM16, PCMU, read_wav, write_wav
from realtime_events.events import (
    ErrorDetails,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    SessionUpdate,
)
from realtime_events.events.transcription import (
    ConversationItemInputAudioTranscriptionCompleted as Completed,
)
from realtime_events.events.transcription import (
    ConversationItemInputAudioTranscriptionDelta as Delta,
)
from realtime_events.simulator import Simulator
from realtime_events.testing import Peer

from ..recordings import STOP, WEATHER, WORDS, ears, wav


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(recogniser=ears(), pace=None) as simulator:
        yield simulator


def heard(peer: Peer, **settings: Any) -> Any:
    return Realtime().transcribe(endpoint=peer.endpoint, dial=peer.dial, reconnect=False, **settings)


def commits(peer: Peer, *item_ids: str) -> None:
    peer.say(*[InputAudioBufferCommitted(item_id=item_id) for item_id in item_ids])


# ── on the simulator ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["gpt-transcribe", "gpt-4o-transcribe", "whisper-1"])
async def test_two_recordings_become_two_final_lines(sim: Simulator, model: str) -> None:
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).transcribe(model=model) as t:
        await t.send_file(WEATHER)
        await t.send_file(STOP)
        await t.finish()
        lines = [line async for line in t if line.is_final]
    assert [line.text for line in lines] == [WORDS[WEATHER.name], WORDS[STOP.name]]
    assert lines == t.lines and t.text == "\n".join(line.text for line in lines)
    assert lines[0].end_ms <= lines[1].start_ms < lines[1].end_ms
    assert lines[0].languages == (("en",) if model == "gpt-transcribe" else ())
    assert t.usage.seconds if model == "whisper-1" else t.usage.total_tokens


async def test_a_model_that_tells_speakers_apart_names_them(sim: Simulator) -> None:
    app = Realtime(endpoint=sim.endpoint)
    async with asyncio.timeout(20), app.transcribe(model="gpt-4o-transcribe-diarize", turn_detection=None) as t:
        await t.send_file(STOP)
        await t.finish()
    [line] = t.lines
    assert (line.speaker, line.text, line.is_final) == ("A", WORDS[STOP.name], True)
    assert "<v A>Stop, wait a moment." in t.export("vtt")


async def test_a_file_is_transcribed_in_one_line_of_code(sim: Simulator) -> None:
    async with asyncio.timeout(20):
        lines = await Realtime(endpoint=sim.endpoint).transcribe_file(STOP, turn_detection=None, logprobs=True)
    [line] = lines
    assert line.text == WORDS[STOP.name] and len(line.logprobs) == 4
    assert (line.start_ms, line.end_ms) == (0, int(PCM16.duration_ms(len(read_wav(STOP)))))


async def test_speech_that_ends_with_the_file_is_heard_to_its_end(sim: Simulator) -> None:
    """The silence that turn detection waits for is sent by `finish`."""
    pcm = read_wav(STOP).rstrip(b"\0")
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).transcribe() as t:
        await t.send_audio(pcm[: len(pcm) // 2 * 2])
        await t.finish()
    assert [line.text for line in t.lines] == [WORDS[STOP.name]]


async def test_semantic_turn_detection_loses_no_last_words(sim: Simulator) -> None:
    """Where turn detection still waits for more, `finish` commits."""
    detection = {"type": "semantic_vad", "eagerness": "low"}
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).transcribe(turn_detection=detection) as t:
        await t.send_file(STOP)
        await t.finish()
    assert [line.text for line in t.lines] == [WORDS[STOP.name]]


async def test_handlers_of_the_application_hear_the_session_and_its_assistant_is_left_out(sim: Simulator) -> None:
    rt, deltas = Realtime(endpoint=sim.endpoint, instructions="Be brief.", voice="marin"), []
    rt.on("conversation.item.input_audio_transcription.delta", lambda event: deltas.append(event.delta))

    @rt.tool
    async def get_time() -> str:
        """Tell the time."""
        return "noon"

    async with asyncio.timeout(20):
        await rt.transcribe_file(STOP, language="en", turn_detection=None)
    assert "".join(deltas) == WORDS[STOP.name]
    [session] = sim.sessions
    [update] = [event for event in session.received if event.type == "session.update"]
    assert msgspec.to_builtins(update.session) == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "gpt-transcribe", "language": "en"},
                "turn_detection": None,
            }
        },
    }


async def test_g711_is_sent_as_it_is_and_a_file_becomes_it(sim: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "telephone.wav"
    write_wav(path, bytes(16_000), rate=8_000)
    async with asyncio.timeout(20), Realtime(endpoint=sim.endpoint).transcribe(format=PCMU, turn_detection=None) as t:
        await t.send_file(path)
        with pytest.raises(AudioFormatError, match="expected 8000 Hz, got 24000 Hz"):
            await t.send_file(STOP)
        await t.finish()
    [line] = t.lines
    assert line.end_ms == 1_000


async def test_a_file_goes_out_in_the_format_of_the_session(tmp_path: Path) -> None:
    path, peer = tmp_path / "telephone.wav", Peer()
    write_wav(path, bytes(16_000), rate=8_000)
    async with asyncio.timeout(5), heard(peer, format=PCMU) as t:
        await t.send_file(path)
    assert b"".join(e.audio for e in peer.sent if isinstance(e, InputAudioBufferAppend)) == b"\xff" * 8_000


async def test_nothing_sent_is_nothing_transcribed(sim: Simulator) -> None:
    async with asyncio.timeout(20):
        for detection in (None, {"type": "server_vad"}):
            async with Realtime(endpoint=sim.endpoint).transcribe(turn_detection=detection) as t:
                await t.finish()
                await t.finish()
                assert [line async for line in t] == [] and t.export("srt") == ""


# ── lines as they come ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_partial_lines_are_seen_while_they_grow() -> None:
    peer = Peer()
    async with asyncio.timeout(5), heard(peer) as t:
        commits(peer, "a")
        for text, piece in (("Good", "Good"), ("Good day", " day")):
            peer.say(Delta(item_id="a", delta=piece))
            line = await anext(t)
            assert (line.text, line.is_final) == (text, False)
        peer.say(Completed(item_id="a", transcript="Good day."))
        line = await anext(t)
        assert (line.text, line.is_final) == ("Good day.", True)


async def test_a_partial_line_that_nobody_took_is_replaced() -> None:
    peer = Peer()
    async with asyncio.timeout(5), heard(peer) as t:
        commits(peer, "a", "b")
        peer.say(Delta(item_id="a", delta="o"), Delta(item_id="b", delta="t"), Delta(item_id="a", delta="n"))
        peer.say(Completed(item_id="a", transcript="one"))
        await t.session.wait_for("conversation.item.input_audio_transcription.completed")
        assert [(line.text, line.is_final) for line in (await anext(t), await anext(t))] == [
            ("t", False),
            ("one", True),
        ]


async def test_lines_come_in_the_order_of_their_items() -> None:
    """B21."""
    peer = Peer()
    async with asyncio.timeout(5), heard(peer) as t:
        peer.say(InputAudioBufferCommitted(item_id="b", previous_item_id="a"))
        peer.say(InputAudioBufferCommitted(item_id="a", previous_item_id=None))
        peer.say(Completed(item_id="b", transcript="two"), Completed(item_id="a", transcript="one"))
        assert [(await anext(t)).text, (await anext(t)).text] == ["one", "two"]


# ── finishing ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_finish_waits_for_the_last_transcript() -> None:
    peer = Peer()
    async with asyncio.timeout(5), heard(peer, turn_detection=None) as t:
        await t.send_audio(PCM16.silence(100))
        finishing = asyncio.create_task(t.finish())
        await peer.heard(InputAudioBufferCommit)
        commits(peer, "a")
        await t.session.wait_for("input_audio_buffer.committed")
        assert not finishing.done()
        peer.say(Completed(item_id="a", transcript="one"))
        await finishing
        assert [line.text async for line in t] == ["one"]
        with pytest.raises(LocalProtocolError, match="finish"):
            await t.send_audio(PCM16.silence(100))


async def test_finish_says_that_a_transcript_did_not_come() -> None:
    peer = Peer()
    async with asyncio.timeout(5), heard(peer, turn_detection=None) as t:
        commits(peer, "a")
        await t.session.wait_for("input_audio_buffer.committed")
        with pytest.raises(TimeoutError, match=r"the last transcripts did not come within 0\.01 s"):
            await t.finish(timeout=0.01)
    [line] = t.lines
    assert line.error is not None and line.error.code == "no_transcript"


async def test_less_than_the_api_takes_is_not_committed() -> None:
    """B16: nothing under 100 ms is committed."""
    peer = Peer()
    async with asyncio.timeout(5), heard(peer, turn_detection=None) as t:
        await t.send_audio(PCM16.silence(99))
        await t.commit()
        await t.finish()
    assert not any(isinstance(event, InputAudioBufferCommit) for event in peer.sent)


@pytest.mark.parametrize(("code", "is_raised"), [("input_audio_buffer_commit_empty", False), ("other", True)])
async def test_a_refused_commit_is_raised_unless_there_was_nothing_left(code: str, is_raised: bool) -> None:
    peer = Peer()
    async with asyncio.timeout(5), heard(peer, turn_detection=None) as t:
        await t.send_audio(PCM16.silence(200))
        committing = asyncio.create_task(t.commit())
        sent = await peer.heard(InputAudioBufferCommit)
        details = ErrorDetails(type="invalid_request_error", code=code, message="no", event_id=sent.event_id)
        peer.say(ErrorEvent(error=details))
        if is_raised:
            with pytest.raises(ServerError, match="other: no"):
                await committing
        else:
            await committing


async def test_a_lost_connection_is_raised_after_the_lines_that_had_come() -> None:
    peer = Peer()
    async with asyncio.timeout(5), heard(peer) as t:
        commits(peer, "a", "b")
        peer.say(Completed(item_id="a", transcript="one"), Delta(item_id="b", delta="tw"))
        peer.drop()
        lines = [await anext(t), await anext(t)]
        assert [(line.text, line.is_final, line.error is not None) for line in lines] == [
            ("one", True, False),
            ("tw", True, True),
        ]
        with pytest.raises(ConnectionLostError, match="1006"):
            await anext(t)
        with pytest.raises(ConnectionLostError):
            await t.send_audio(PCM16.silence(20))
        with pytest.raises(ConnectionLostError):
            await t.finish()


async def test_leaving_the_block_ends_the_lines_without_an_error() -> None:
    peer = Peer()
    async with asyncio.timeout(5):
        async with heard(peer) as t:
            commits(peer, "a")
            await t.session.wait_for("input_audio_buffer.committed")
        assert [line.error is not None async for line in t] == [True]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_refused_configuration_is_raised_and_leaves_nothing_behind() -> None:
    """B13."""
    peer = Peer(answers_updates=False)

    async def refuse() -> None:
        update = await peer.heard(SessionUpdate)
        peer.say(ErrorEvent(error=ErrorDetails(type="invalid_request_error", message="no", event_id=update.event_id)))

    async with asyncio.timeout(5):
        refusing = asyncio.create_task(refuse())
        with pytest.raises(ServerError, match="no"):
            async with heard(peer, model="whatever"):
                pass
        await refusing
    assert asyncio.all_tasks() == {asyncio.current_task()}


# ── what is refused here ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "settings", "refusal"),
    [
        ("gpt-realtime-whisper", {"turn_detection": {"type": "server_vad"}}, "turn_detection=None, got .*server_vad"),
        ("gpt-realtime-whisper", {"prompt": "names"}, "gpt-realtime-whisper does not take prompt, got prompt='names'"),
        ("gpt-4o-transcribe", {"delay": "low"}, "gpt-4o-transcribe does not take delay, got delay='low'"),
        ("gpt-4o-transcribe", {"languages": ["de"]}, r"does not take languages, got languages=\['de'\]"),
        ("whisper-1", {"keywords": ["Bern"]}, r"does not take keywords, got keywords=\['Bern'\]"),
        ("gpt-4o-transcribe-diarize", {"prompt": "names"}, "gpt-4o-transcribe-diarize does not take prompt"),
        ("gpt-transcribe", {"turn_detection": {"type": "server_vad", "silence_ms": 3}}, "silence_ms"),
        ("gpt-transcribe", {"langauge": "de"}, "no option 'langauge'"),
    ],
)
def test_what_a_model_is_known_not_to_take_is_refused_before_connecting(
    model: str, settings: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(ConfigurationError, match=refusal):
        Realtime().transcribe(model=model, **settings)


async def test_a_model_that_nobody_knows_yet_takes_everything() -> None:
    """B01: enumerations are open."""
    peer = Peer()
    settings = {"delay": "low", "prompt": "names", "languages": ["de", "xx"], "keywords": ["Bern"], "language": "tlh"}
    async with asyncio.timeout(5), heard(peer, model="gpt-hears-all", noise_reduction="far_field", **settings):
        [update] = peer.sent
    said = msgspec.to_builtins(update.session)["audio"]["input"]
    assert said["transcription"] == {"model": "gpt-hears-all", **settings}
    assert said["noise_reduction"] == {"type": "far_field"} and "turn_detection" not in said


async def test_gpt_realtime_whisper_gets_the_turn_detection_that_it_needs() -> None:
    peer = Peer()
    async with asyncio.timeout(5), heard(peer, model="gpt-realtime-whisper", delay="low"):
        [update] = peer.sent
        assert peer.dialled[0][0].endswith("?intent=transcription")
    assert update.session.audio.input.turn_detection is None


@pytest.mark.parametrize(
    ("make", "refusal"),
    [
        ({"rate": 16_000}, "expected 24000 Hz, got 16000 Hz"),
        ({"channels": 2}, "expected mono, got 2 channels"),
        ({"sample_bytes": 1}, "expected 16-bit samples, got 8-bit pcm samples"),
        ({"frames": b""}, "expected audio in the file, got none"),
    ],
)
async def test_a_file_of_another_format_is_refused_with_both_values(
    make: dict[str, Any], refusal: str, tmp_path: Path
) -> None:
    """B16."""
    path, peer = tmp_path / "odd.wav", Peer()
    path.write_bytes(wav(**{"frames": bytes(400), **make}))
    async with asyncio.timeout(5), heard(peer) as t:
        with pytest.raises(AudioFormatError, match=refusal):
            await t.send_file(path)
        with pytest.raises(AudioFormatError, match="even number of bytes, got 3 bytes"):
            await t.send_audio(b"\0\0\0")
        with pytest.raises(OSError, match="nowhere"):
            await t.send_file(tmp_path / "nowhere.wav")
        with pytest.raises(ConfigurationError, match="pace=0 is not above zero"):
            await t.send_file(path, pace=0)
    assert not any(isinstance(event, InputAudioBufferAppend) for event in peer.sent)


async def test_a_paced_file_is_sent_no_faster_than_it_sounds(tmp_path: Path) -> None:
    """B16."""
    path, peer, loop = tmp_path / "short.wav", Peer(), asyncio.get_running_loop()
    write_wav(path, PCM16.silence(250))
    async with asyncio.timeout(5), heard(peer) as t:
        began = loop.time()
        await t.send_file(path, pace=10)
        assert loop.time() - began >= 0.019  # the last of three pieces is due after 200 ms at ten times the speed
    sent = [len(event.audio) for event in peer.sent if isinstance(event, InputAudioBufferAppend)]
    assert sent == [4_800, 4_800, 2_400]
