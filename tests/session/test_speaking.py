"""The user's audio: refused where it is wrong, converted where that was asked for, withheld where it is not wanted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from realtime_events import AudioFormatError, ConfigurationError, LocalProtocolError
from realtime_events.audio import PCM16, PCMA, PCMU, AudioFormat, Converter
from realtime_events.events import (
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    ResponseCancel,
    ResponseCreate,
)

from ..recordings import wav
from .room import SERVER_VAD, Room, audio, created, done, listening, room

NARROW = AudioFormat(type="audio/pcm", rate=8_000)
TONE = b"".join(
    round(8_000 * math.sin(place / 12)).to_bytes(2, "little", signed=True) for place in range(PCM16.n_bytes(600) // 2)
)


def spoken(kind: str) -> dict[str, Any]:
    return {"audio": {"input": {"format": {"type": kind}, "turn_detection": None}}}


@asynccontextmanager
async def manual(**options: Any) -> AsyncIterator[Room]:
    """Give a session without turn detection."""
    async with room(listening(None), **options) as at:
        yield at


# ── formats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_audio_goes_out_as_it_is() -> None:
    async with manual() as at:
        await at.session.send_audio(TONE[:4_800])
        await at.session.send_audio(b"")
        assert at.appended() == [TONE[:4_800]]


async def test_half_a_sample_is_refused_with_both_values() -> None:
    """B16."""
    async with manual() as at:
        with pytest.raises(AudioFormatError) as refused:
            await at.session.send_audio(b"\0\0\0")
        assert "even number of bytes" in refused.value.expected and refused.value.got == "3 bytes"
        with pytest.raises(AudioFormatError):
            await at.session.send_audio(b"\0\0\0", format=NARROW)
        assert at.appended() == []


async def test_more_than_a_second_goes_out_in_several_events_in_order() -> None:
    """B16."""
    long = TONE * 5
    async with manual() as at:
        await at.session.send_audio(long)
        assert [len(piece) for piece in at.appended()] == [48_000, 48_000, 48_000]
        assert b"".join(at.appended()) == long


@pytest.mark.parametrize("size", [2, 162, 4_800, 30_000])
async def test_another_rate_is_converted_as_one_stream_whatever_its_pieces(size: int) -> None:
    """B16, B26."""
    whole = Converter(NARROW, PCM16).feed(TONE)
    async with manual() as at:
        for start in range(0, len(TONE), size):
            await at.session.send_audio(TONE[start : start + size], format=NARROW)
        assert b"".join(at.appended()) == whole


@pytest.mark.parametrize("wire", [PCMU, PCMA])
async def test_a_session_in_a_phones_format_takes_it_as_it_is_and_pcm_on_request(wire: AudioFormat) -> None:
    """B16, B26: any number of its bytes is whole samples."""
    async with room(spoken(wire.type)) as at:
        await at.session.send_audio(b"\xd5" * 161)
        await at.session.send_audio(TONE, format=PCM16)
        assert at.appended() == [b"\xd5" * 161, Converter(PCM16, wire).feed(TONE)]


async def test_a_phones_audio_in_a_session_of_pcm_is_converted_on_request_only() -> None:
    """B16: nothing is guessed."""
    phone = b"\x55\xd5" * 400
    async with manual() as at:
        await at.session.send_audio(phone, format=PCMA)
        await at.session.send_audio(phone)
        assert at.appended() == [Converter(PCMA, PCM16).feed(phone), phone]


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "expected", "got"),
    [
        (wav(TONE, channels=2), "mono", "2 channels"),
        (wav(TONE, sample_bytes=1), "16-bit samples", "8-bit pcm samples"),
        (wav(b""), "audio in the file", "none"),
        (b"", "a WAV file of 16-bit samples", "an empty file"),
        (b"ID3\x04 this is a song", "a WAV file of 16-bit samples", "a file that begins with b'ID3\\x04 this is'"),
        (wav(TONE)[:-1_001], "28,800 bytes of audio", "27,799 bytes"),
    ],
    ids=["stereo", "8-bit", "no samples", "empty", "no audio", "cut short"],
)
async def test_a_file_that_is_no_speech_is_refused_with_both_values(
    content: bytes, expected: str, got: str, tmp_path: Path
) -> None:
    """B16: and nothing of it is sent."""
    path = tmp_path / "speech.wav"
    path.write_bytes(content)
    async with manual() as at:
        with pytest.raises(AudioFormatError) as refused:
            await at.session.send_file(path, pace=math.inf)
        assert at.appended() == []
    assert (refused.value.expected, refused.value.got) == (expected, got)


async def test_a_file_that_is_missing_is_an_error_of_the_system(tmp_path: Path) -> None:
    async with manual() as at:
        with pytest.raises(FileNotFoundError):
            await at.session.send_file(tmp_path / "missing.wav")


async def test_bytes_of_odd_length_are_refused_before_any_of_them_is_sent() -> None:
    """B16."""
    async with manual() as at:
        with pytest.raises(AudioFormatError, match="got"):
            await at.session.send_file(TONE + b"\0", pace=math.inf)
        assert at.appended() == []


async def test_a_file_goes_out_in_pieces_with_silence_after_it(tmp_path: Path) -> None:
    """B16."""
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(TONE))
    async with manual() as at:
        assert await at.session.send_file(path, pace=math.inf, silence_ms=100) == 700
        assert b"".join(at.appended()) == TONE + PCM16.silence(100)
        assert {len(piece) for piece in at.appended()} == {PCM16.n_bytes(20)}


@pytest.mark.parametrize("wire", [PCM16, PCMU])
async def test_a_file_of_another_rate_is_converted(wire: AudioFormat, tmp_path: Path) -> None:
    """B16, B26: the file says what it is, so nothing is guessed."""
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(TONE, rate=8_000))
    converter = Converter(NARROW, wire)
    async with room(spoken(wire.type)) as at:
        await at.session.send_file(path, pace=math.inf)
        assert b"".join(at.appended()) == converter.feed(TONE) + converter.flush()


# ── committing ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def commit(at: Room, **how: Any) -> str | None:
    committing = asyncio.create_task(at.session.commit_audio(**how))
    known = sum(isinstance(event, InputAudioBufferCommit) for event in at.peer.sent)
    await at.hear()
    if sum(isinstance(event, InputAudioBufferCommit) for event in at.peer.sent) > known:
        await at.hear(InputAudioBufferCommitted(item_id=f"item_{known}", previous_item_id=None))
    return await committing


async def test_a_commit_of_less_than_100_ms_is_refused_before_it_is_sent() -> None:
    """B16."""
    async with manual() as at:
        await at.session.send_audio(bytes(PCM16.n_bytes(99)))
        with pytest.raises(LocalProtocolError, match=r"at least 100 ms.*; 99 ms were sent"):
            await at.session.commit_audio()
        assert await at.session.commit_audio(if_enough=True) is None
        assert at.sent() == ["input_audio_buffer.append"]
        await at.session.send_audio(bytes(PCM16.n_bytes(1)))
        assert await commit(at, if_enough=True) == "item_0"


async def test_what_was_committed_or_cleared_does_not_count_any_more() -> None:
    """B16."""
    async with manual() as at:
        await at.session.send_audio(bytes(PCM16.n_bytes(150)))
        assert await commit(at) == "item_0"
        assert await at.session.commit_audio(if_enough=True) is None
        await at.session.send_audio(bytes(PCM16.n_bytes(150)))
        clearing = asyncio.create_task(at.session.clear_audio())
        await at.peer.heard(InputAudioBufferClear)
        await at.hear(InputAudioBufferCleared())
        await clearing
        with pytest.raises(LocalProtocolError, match="0 ms were sent"):
            await at.session.commit_audio()


async def test_in_a_phones_format_100_ms_are_800_bytes() -> None:
    """B16."""
    async with room(spoken("audio/pcmu")) as at:
        await at.session.send_audio(bytes(799))
        assert await at.session.commit_audio(if_enough=True) is None
        await at.session.send_audio(bytes(1))
        assert await commit(at, if_enough=True) == "item_0"


async def test_what_was_said_under_turn_detection_does_not_count_after_it_was_switched_off() -> None:
    """B16: the server has committed it by itself."""
    async with room(listening(SERVER_VAD)) as at:
        await at.session.send_audio(bytes(PCM16.n_bytes(500)))
        await at.session.update(audio={"input": {"turn_detection": None}})
        assert await at.session.commit_audio(if_enough=True) is None


# ── muting ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_muting_the_last_300_ms_come_first() -> None:
    """The first word is often said just before the button is pressed."""
    async with manual() as at:
        at.session.mute()
        assert at.session.is_muted
        for start in range(0, PCM16.n_bytes(500), PCM16.n_bytes(20)):
            await at.session.send_audio(TONE[start : start + PCM16.n_bytes(20)])
        assert at.appended() == []
        at.session.mute(False)
        rest = TONE[PCM16.n_bytes(500) :]
        await at.session.send_audio(rest)
        await at.session.send_audio(rest)
        assert at.appended() == [TONE[PCM16.n_bytes(200) : PCM16.n_bytes(500)] + rest, rest]


async def test_what_was_kept_while_muted_is_not_put_before_something_said_later() -> None:
    """It is followed by what was withheld because the assistant was heard."""
    async with manual(gate="half_duplex") as at:
        at.session.mute()
        await at.session.send_audio(TONE[:960])
        at.session.mute(False)
        await at.hear(created(), audio(100), done())
        await at.session.send_audio(TONE[960:1_920])
        at.pass_ms(100)
        await at.session.send_audio(TONE[1_920:2_880])
        assert at.appended() == [TONE[1_920:2_880]]


async def test_what_was_kept_in_another_format_is_not_sent() -> None:
    """It would be noise."""
    async with manual() as at:
        at.session.mute()
        await at.session.send_audio(TONE[:960])
        await at.session.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
        at.session.mute(False)
        await at.session.send_audio(b"\xff" * 160)
        assert at.appended() == [b"\xff" * 160]


# ── push-to-talk ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Server:
    """Confirms what push-to-talk asks for, and answers."""

    def __init__(self, at: Room) -> None:
        self._at = at
        self._dealt: set[int] = set()

    async def serve(self) -> None:
        """Answer everything that was sent and not answered yet."""
        at = self._at
        for event in list(at.peer.sent):
            if id(event) in self._dealt:
                continue
            self._dealt.add(id(event))
            if isinstance(event, InputAudioBufferCommit):
                await at.hear(InputAudioBufferCommitted(item_id="item_said", previous_item_id=None))
            elif isinstance(event, InputAudioBufferClear):
                await at.hear(InputAudioBufferCleared())
            elif isinstance(event, ResponseCreate):
                await at.hear(created("resp_2", event), audio(100, "item_z", "resp_2"), done("resp_2"))

    async def until(self, task: asyncio.Task[Any]) -> Any:
        """Serve until a task is done."""
        while not task.done():
            await self.serve()
            await self._at.hear()
        return await task


async def test_push_to_talk_commits_what_is_said_and_gives_the_turn_that_answers_it() -> None:
    async with manual() as at:

        async def talk() -> Any:
            async with (speech := at.session.talk()):
                await at.session.send_audio(bytes(PCM16.n_bytes(200)))
            return await speech

        turn = await Server(at).until(asyncio.create_task(talk()))
        assert at.sent() == ["input_audio_buffer.append", "input_audio_buffer.commit", "response.create"]
        assert turn.status == "completed" and turn.audio_ms == 100 and "speech_end" in turn.timeline_ms


async def test_push_to_talk_interrupts_before_it_listens() -> None:
    """B22."""
    async with manual() as at:
        await at.hear(created(), audio(500))
        at.pass_ms(200)
        entering = asyncio.create_task(at.session.talk().__aenter__())
        await at.peer.heard(ResponseCancel)
        assert at.cuts() == [("item_a", 200)] and not entering.done()
        await at.confirm(1)
        await entering


async def test_too_little_said_is_no_turn() -> None:
    async with manual() as at:

        async def talk() -> Any:
            async with (speech := at.session.talk()):
                await at.session.send_audio(bytes(PCM16.n_bytes(99)))
            return await speech

        assert await talk() is None
        assert at.sent() == ["input_audio_buffer.append"]


async def test_what_was_said_too_short_is_no_part_of_what_is_said_next() -> None:
    async with manual() as at:
        async with at.session.talk():
            await at.session.send_audio(bytes(PCM16.n_bytes(99)))

        async def talk() -> None:
            async with at.session.talk():
                await at.session.send_audio(bytes(PCM16.n_bytes(99)))

        await Server(at).until(asyncio.create_task(talk()))
        assert at.sent() == ["input_audio_buffer.append", "input_audio_buffer.clear", "input_audio_buffer.append"]


async def test_a_block_that_fails_takes_back_what_was_said() -> None:
    async with manual() as at:

        async def talk() -> None:
            async with at.session.talk():
                await at.session.send_audio(bytes(PCM16.n_bytes(200)))
                raise KeyError("the microphone is gone")

        talking = asyncio.create_task(talk())
        await at.peer.heard(InputAudioBufferClear)
        await at.hear(InputAudioBufferCleared())
        with pytest.raises(KeyError, match="microphone"):
            await talking
        assert at.sent() == ["input_audio_buffer.append", "input_audio_buffer.clear"]


async def test_a_block_that_fails_with_its_connection_tells_its_own_failure() -> None:
    async with manual() as at:

        async def talk() -> None:
            async with at.session.talk():
                at.peer.drop()
                await at.session.wait_closed()
                raise KeyError("the microphone is gone")

        with pytest.raises(KeyError, match="microphone"):
            await talk()


async def test_who_is_muted_is_heard_while_he_talks_and_muted_again_afterwards() -> None:
    async with manual() as at:
        at.session.mute()
        await at.session.send_audio(TONE[:960])
        async with at.session.talk():
            await at.session.send_audio(TONE[960:1_920])
        assert at.session.is_muted and at.appended() == [TONE[:1_920]]


async def test_push_to_talk_is_refused_where_the_server_detects_turns() -> None:
    async with room(listening(SERVER_VAD)) as at:
        with pytest.raises(ConfigurationError, match="turn_detection"):
            async with at.session.talk():
                raise AssertionError("this is never reached")
        assert at.sent() == []
