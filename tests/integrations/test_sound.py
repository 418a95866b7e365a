"""What the microphone and the speaker promise, with a sound card that is only memory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_events.audio import PCM16, PCMU, AudioFormat, Converter
from realtime_events.events import AudioFlush, ResponseOutputAudioDelta, ResponseOutputAudioDone
from realtime_events.events.session import AudioConfig, AudioInput, AudioOutput, SessionConfig
from realtime_events.events.session import AudioFormat as WireFormat
from realtime_events.exceptions import (
    AudioFormatError,
    ConfigurationError,
    ConnectionLostError,
    MissingExtra,
    RealtimeError,
)
from realtime_events.integrations.sound import Microphone, Speaker, devices, list_devices, talk_through

from .sound_card import SoundCard, Stream, device, usual_card

BLOCK = bytes([1, 2]) * 480  # 20 ms at 24 kHz


async def settle() -> None:
    """Lets the event loop answer the bells."""
    for _ in range(5):
        await asyncio.sleep(0)


# Devices, and the lack of them.


def test_devices_are_listed_with_their_own_rates() -> None:
    """B26: what is opened is opened at that rate."""
    listed = list_devices(backend=usual_card(rate=44_100.0))
    assert [(one.index, one.name, one.rate, one.inputs, one.outputs) for one in listed] == [
        (0, "Built-in Microphone", 44_100, 2, 0),
        (1, "Built-in Speaker", 44_100, 0, 2),
        (2, "Blue Headset", 16_000, 1, 2),
    ]


@pytest.mark.parametrize(
    ("wanted", "name"), [(None, "Built-in Microphone"), (2, "Blue Headset"), ("headset", "Blue Headset"), ("b", 0)]
)
def test_a_device_is_chosen_by_number_or_by_part_of_its_name(wanted: Any, name: Any) -> None:
    """B16: the first that fits."""
    chosen = Microphone(wanted, backend=usual_card()).device
    assert chosen.name == (name or "Built-in Microphone")


def test_a_whole_name_wins_over_a_part_of_another() -> None:
    """B16: devices of one maker have similar names."""
    card = SoundCard(device("USB Audio 2", inputs=1), device("usb audio", inputs=1))
    assert Microphone("USB Audio", backend=card).device.index == 1


@pytest.mark.parametrize(("make", "side"), [(Microphone, "microphone"), (Speaker, "speaker")])
def test_an_unknown_device_is_refused_with_the_ones_there_are(make: Any, side: str) -> None:
    """B16: both values."""
    with pytest.raises(ConfigurationError, match=f"no {side} is called 'Trumpet'; there are .*2 'Blue Headset'"):
        make("Trumpet", backend=usual_card())
    with pytest.raises(ConfigurationError, match=f"no {side} is called 9; there are "):
        make(9, backend=usual_card())


def test_a_speaker_is_no_microphone() -> None:
    """B16."""
    with pytest.raises(ConfigurationError, match="no microphone is called 1; there are 0 'Built-in Microphone'"):
        Microphone(1, backend=usual_card())


@pytest.mark.parametrize(("make", "side"), [(Microphone, "microphone"), (Speaker, "speaker")])
def test_a_machine_without_devices_is_told(make: Any, side: str) -> None:
    """PortAudio's own words for it are `Error querying device -1`."""
    assert list_devices(backend=SoundCard()) == []
    with pytest.raises(ConfigurationError, match=f"this machine has no {side}, or PortAudio sees none"):
        make(backend=SoundCard())
    card = usual_card()
    card.default = {"input": -1, "output": -1}
    with pytest.raises(ConfigurationError, match=f"no default {side}; name one of .*: Error querying device -1"):
        make(backend=card)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    for call in (list_devices, Microphone, Speaker):
        with pytest.raises(
            MissingExtra, match=r'sounddevice is not installed; run: pip install "realtime-events\[audio'
        ):
            call()


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is there on Linux, and what it needs is not."""

    def load(name: str) -> Any:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(devices, "import_module", load)
    for call in (list_devices, Microphone, Speaker):
        with pytest.raises(ConfigurationError, match="PortAudio library is not installed; .*apt install libportaudio2"):
            call()


@pytest.mark.parametrize("make", [Microphone, Speaker])
async def test_a_device_that_cannot_be_opened_is_told_and_leaves_nothing_open(make: Any) -> None:
    """B46."""
    card = usual_card()
    card.refusal = "Device unavailable"
    with pytest.raises(ConfigurationError, match="'Built-in .*' cannot be opened: Device unavailable"):
        async with make(backend=card):
            raise AssertionError("it was opened")
    card.refusal, card.refusal_to_start = "", "Device busy"
    with pytest.raises(ConfigurationError, match="cannot be opened: Device busy"):
        async with make(backend=card):
            raise AssertionError("it was started")
    assert [stream.is_open for stream in card.streams] == [False]


# The microphone.


async def test_the_microphone_gives_what_the_device_heard() -> None:
    """B17: block by block, from a device of the wanted rate."""
    card = usual_card()
    async with asyncio.timeout(5), Microphone(backend=card) as microphone:
        (stream,) = card.streams
        assert (stream.how["samplerate"], stream.how["blocksize"], stream.how["channels"]) == (24_000, 480, 1)
        stream.hear(BLOCK)
        stream.hear(BLOCK[::-1])
        assert [await anext(microphone), await anext(microphone)] == [BLOCK, BLOCK[::-1]]
        waiting = asyncio.ensure_future(anext(microphone))
        await settle()
        assert not waiting.done()
        stream.hear(BLOCK)
        assert await waiting == BLOCK
    assert not stream.is_open


@pytest.mark.parametrize("form", [PCM16, PCMU])
async def test_the_microphone_changes_the_rate_of_the_device(form: AudioFormat) -> None:
    """B26: 48 kHz is what most devices have."""
    card = usual_card(rate=48_000.0)
    said = bytes(range(240)) * 8  # 20 ms
    converter = Converter(AudioFormat(rate=48_000), form)
    async with asyncio.timeout(5), Microphone(format=form, backend=card) as microphone:
        for _ in range(3):
            card.streams[0].hear(said)
        assert [await anext(microphone) for _ in range(3)] == [converter.feed(said) for _ in range(3)]


async def test_a_microphone_that_nobody_reads_keeps_the_newest_and_counts_the_rest() -> None:
    """B17: memory stays bounded."""
    card = usual_card()
    async with asyncio.timeout(5), Microphone(max_ms=60, backend=card) as microphone:
        for number in range(10):
            card.streams[0].hear(bytes([number, 0]) * 480, overflow=number == 4)
        assert microphone.dropped_ms == 140
        assert microphone.overflows == 1
        assert [(await anext(microphone))[0] for _ in range(3)] == [7, 8, 9]


async def test_a_microphone_that_is_closed_ends_its_iteration() -> None:
    """B46: whoever waits for it is let go."""
    microphone = Microphone(backend=usual_card())
    async with asyncio.timeout(5):
        async with microphone:
            reading = asyncio.ensure_future(anext(microphone))
            await settle()
        with pytest.raises(StopAsyncIteration):
            await reading


async def test_a_microphone_that_is_unplugged_is_an_error_after_what_it_heard() -> None:
    """B17: it does not just fall silent."""
    card = usual_card()
    async with asyncio.timeout(5), Microphone(backend=card) as microphone:
        card.streams[0].hear(BLOCK)
        card.streams[0].unplug()
        assert await anext(microphone) == BLOCK
        with pytest.raises(RealtimeError, match="the microphone 'Built-in Microphone' has stopped"):
            await anext(microphone)


async def test_a_device_that_calls_after_the_loop_is_gone_harms_nobody() -> None:
    """B46: PortAudio's thread may be in the middle of a call when the program ends."""
    card = usual_card()

    async def use() -> None:
        await Microphone(backend=card).__aenter__()

    await asyncio.to_thread(asyncio.run, use())
    card.streams[0].hear(BLOCK)
    card.streams[0].hear(BLOCK)


# The speaker.


@asynccontextmanager
async def speaking(card: SoundCard, **how: Any) -> AsyncIterator[tuple[Speaker, Stream, list[tuple[str, float]]]]:
    heard: list[tuple[str, float]] = []
    speaker = Speaker(on_played=lambda item_id, ms: heard.append((item_id, ms)), backend=card, **how)
    async with asyncio.timeout(5), speaker:
        yield speaker, card.streams[0], heard


async def test_the_speaker_plays_what_it_is_given_and_tells_what_was_heard() -> None:
    """B23: less what the device still holds."""
    async with speaking(usual_card(), start_ms=20) as (speaker, stream, heard):
        assert not any(stream.play())
        speaker.play("item", BLOCK[:480])
        assert not any(stream.play())
        speaker.play("item", BLOCK[480:])
        assert stream.play(delay_ms=5) + stream.play(delay_ms=5) == BLOCK
        speaker.end("item")
        stream.play(delay_ms=5)
        await settle()
        assert heard == [("item", 15)]
        stream.play(delay_ms=5)
        await speaker.finished()
        assert heard == [("item", 15), ("item", 20)]
        assert speaker.underruns == 0


@pytest.mark.parametrize("rate", [8_000.0, 16_000.0, 48_000.0])
async def test_an_item_that_was_heard_is_heard_to_its_last_sample_whatever_the_device(rate: float) -> None:
    """B23: what changed its rate lasts as long as before."""
    async with speaking(usual_card(rate=rate), start_ms=0) as (speaker, stream, heard):
        speaker.play("item", BLOCK * 5 + b"ab")
        speaker.end("item")
        played = b"".join(stream.play() for _ in range(14))
        converter = Converter(PCM16, AudioFormat(rate=int(rate)))
        assert played.startswith(converter.feed(BLOCK * 5 + b"ab") + converter.flush())
        await speaker.finished()
        assert heard[-1] == ("item", PCM16.duration_ms(len(BLOCK * 5 + b"ab")))


async def test_a_flush_silences_the_speaker_at_once() -> None:
    """B22: with the next block, and the next item is whole."""
    async with speaking(usual_card(), start_ms=0) as (speaker, stream, heard):
        speaker.play("one", BLOCK * 10)
        assert stream.play() == BLOCK[:480]
        speaker.flush()
        assert not any(stream.play())
        speaker.end("one")
        speaker.play("two", BLOCK)
        assert stream.play() == BLOCK[:480]
        await settle()
        assert heard == [("one", 10)]


async def test_underruns_and_underflows_are_counted_apart() -> None:
    """B23: the network was late, or this program was."""
    async with speaking(usual_card(), start_ms=0) as (speaker, stream, _):
        speaker.play("item", BLOCK)
        for _ in range(3):
            stream.play()
        stream.play(underflow=True)
        assert (speaker.underruns, speaker.underflows) == (1, 1)


async def test_a_new_item_ends_the_one_before_it() -> None:
    """B23: although nobody said so."""
    async with speaking(usual_card(), start_ms=0) as (speaker, stream, heard):
        speaker.play("one", BLOCK)
        speaker.play("two", BLOCK)
        for _ in range(5):
            stream.play()
        await settle()
        assert heard == [("one", 20), ("two", 20)]


async def test_a_speaker_that_is_unplugged_is_an_error_for_whoever_waits() -> None:
    """B46: nobody waits for ever."""
    async with speaking(usual_card(), start_ms=0) as (speaker, stream, _):
        speaker.play("item", BLOCK)
        waiting = asyncio.ensure_future(speaker.finished())
        await settle()
        stream.unplug()
        with pytest.raises(RealtimeError, match="the speaker 'Built-in Speaker' has stopped"):
            await waiting


async def test_half_a_sample_is_refused_and_not_played() -> None:
    """B16."""
    async with speaking(usual_card(), start_ms=0) as (speaker, stream, _):
        with pytest.raises(AudioFormatError, match="got 3 bytes"):
            speaker.play("item", b"abc")
        assert not any(stream.play())


# Through a session.


class Events:
    """A stream of events that a test puts in."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Any:
        return await self.queue.get()


class FakeSession:
    """What `talk_through` needs of a session."""

    id = "sess_1"

    def __init__(self, config: SessionConfig | None = None) -> None:
        self.config = config or SessionConfig()
        self.sent: list[bytes] = []
        self.heard: list[tuple[str, float]] = []
        self.events = Events()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.playback = SimpleNamespace(played=lambda item_id, *, ms: self.heard.append((item_id, ms)))
        self.failure: Exception | None = None

    def stream(self, *targets: Any) -> Events:
        return self.events

    async def send_audio(self, audio: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append(audio)

    async def wait_closed(self) -> None:
        await asyncio.shield(self.closed)


def talking(session: FakeSession, card: SoundCard, **how: Any) -> Any:
    return talk_through(session, Microphone(backend=card), Speaker(backend=card, start_ms=0, **how))  # type: ignore[arg-type]


async def test_a_person_talks_with_a_session() -> None:
    """B17, B22, B23: the microphone is sent, the answer is played, an interruption empties the speaker."""
    card, session = usual_card(), FakeSession()
    async with asyncio.timeout(5), talking(session, card):
        speaker, microphone = card.streams
        microphone.hear(BLOCK)
        await settle()
        assert session.sent == [BLOCK]
        put = session.events.queue.put_nowait
        put(ResponseOutputAudioDelta(response_id="resp_1", item_id="item_1", delta=BLOCK))
        await settle()
        assert speaker.play() == BLOCK[:480]
        assert speaker.play() == BLOCK[480:]
        put(ResponseOutputAudioDone(response_id="resp_1", item_id="item_1"))
        put(ResponseOutputAudioDelta(response_id="resp_1", item_id="item_2", delta=BLOCK * 3))
        await settle()
        assert speaker.play(delay_ms=5) == BLOCK[:480]
        put(AudioFlush(item_id="item_2"))
        await settle()
        assert not any(speaker.play(delay_ms=5))
        await settle()
        assert session.heard == [("item_1", 10), ("item_1", 15), ("item_1", 20), ("item_2", 5)]
    assert not any(stream.is_open for stream in card.streams)


async def test_the_session_says_which_formats_are_spoken() -> None:
    """B16: G.711 is sent and played without a word."""
    audio = AudioConfig(
        input=AudioInput(format=WireFormat(type="audio/pcmu")), output=AudioOutput(format=WireFormat(type="audio/pcma"))
    )
    card, session = usual_card(), FakeSession(SessionConfig(audio=audio))
    async with asyncio.timeout(5), talking(session, card) as talk:
        assert (talk.microphone.format, talk.speaker.format) == (PCMU, AudioFormat(type="audio/pcma", rate=8_000))
        card.streams[1].hear(BLOCK)
        await settle()
        assert len(session.sent[0]) < 160  # 20 ms less what the filter holds back


async def test_a_device_made_for_another_format_is_refused_with_both_values() -> None:
    """B16: nothing is opened then."""
    card, session = usual_card(), FakeSession()
    with pytest.raises(AudioFormatError, match="expected audio/pcm at 24000 Hz, got audio/pcmu at 8000 Hz"):
        async with talk_through(session, Microphone(format=PCMU, backend=card), Speaker(backend=card)):  # type: ignore[arg-type]
            raise AssertionError("it was opened")
    assert not card.streams


async def test_a_talk_ends_with_its_session() -> None:
    """B40: a connection that is gone is told by the session, not by the microphone."""
    card, session = usual_card(), FakeSession()
    async with asyncio.timeout(5), talking(session, card) as talk:
        session.failure = ConnectionLostError(1006, "gone", initiator="network")
        card.streams[1].hear(BLOCK)
        ended = asyncio.ensure_future(talk.ended())
        await settle()
        assert not ended.done()
        session.closed.set_result(None)
        await ended


@pytest.mark.parametrize(("number", "name"), [(0, "Speaker"), (1, "Microphone")])
async def test_a_device_that_stops_ends_the_talk(number: int, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """B46: for who waits, and at the end of the block for who does not; the log has it at once."""
    card, session = usual_card(), FakeSession()

    async def talk_until_it_stops() -> None:
        async with asyncio.timeout(5), talking(session, card) as talk:
            ended = asyncio.ensure_future(talk.ended())
            await settle()
            card.streams[number].unplug()
            with pytest.raises(RealtimeError, match=f"'Built-in {name}' has stopped"):
                await ended
            assert "any more" in caplog.text

    with pytest.raises(RealtimeError, match=f"'Built-in {name}' has stopped"):
        await talk_until_it_stops()
    assert not any(stream.is_open for stream in card.streams)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("realtime_events.sound")]
