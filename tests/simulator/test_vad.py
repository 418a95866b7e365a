"""What turn detection promises: speech is found where it is, and nothing else is speech."""

from __future__ import annotations

import math
import random
from array import array
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_events.audio import PCM16, PCMU, Resampler, read_wav
from realtime_events.exceptions import ConfigurationError
from realtime_events.simulator.vad import EnergyVad, Heard

FIXTURES = Path(__file__).parent.parent / "fixtures" / "audio"
# Where a person who looks at the waveform sees the speech begin and end, in ms; the clips rest half a second at most
# in between, but for the 0.7 s after "Hello!".
SPEECH_MS = {
    "weather_bern.wav": (350, 2_960),
    "book_table.wav": (400, 2_520),
    "stop.wav": (370, 1_560),
    "librivox_0870.wav": (240, 6_800),
    "librivox_0880.wav": (240, 2_800),
    "librivox_0890.wav": (250, 5_060),
    "librivox_0920.wav": (260, 5_780),
}
SILENCE = PCM16.silence(1_500)


def clip(name: str = "weather_bern.wav") -> bytes:
    return read_wav(FIXTURES / name)


def noise(duration_ms: int, amplitude: float, *, smooth: float = 0.0) -> bytes:
    """Gives Gaussian noise; the nearer `smooth` is to 1, the more it rumbles."""
    source = random.Random(1)
    level, samples = 0.0, array("h")
    for _ in range(PCM16.n_bytes(duration_ms) // 2):
        level = smooth * level + math.sqrt(1 - smooth**2) * source.gauss(0, amplitude)
        samples.append(max(-32_768, min(32_767, round(level))))
    return samples.tobytes()


def mixed(one: bytes, other: bytes) -> bytes:
    pairs = zip(array("h", one), array("h", other), strict=False)
    return array("h", [max(-32_768, min(32_767, a + b)) for a, b in pairs]).tobytes()


def louder(pcm: bytes, factor: float) -> bytes:
    return array("h", [round(factor * sample) for sample in array("h", pcm)]).tobytes()


def tone(duration_ms: int, amplitude: int = 20_000, frequency_hz: int = 200) -> bytes:
    turn = 2 * math.pi * frequency_hz / 24_000
    count = PCM16.n_bytes(duration_ms) // 2
    return array("h", [round(amplitude * math.sin(turn * place)) for place in range(count)]).tobytes()


def through_telephone(pcm: bytes) -> bytes:
    wire = PCMU.from_pcm16(Resampler(24_000, 8_000).feed(pcm))
    return Resampler(8_000, 24_000).feed(PCMU.to_pcm16(wire))


def kinds(heard: list[Heard]) -> list[str]:
    return [change.kind for change in heard]


@pytest.mark.parametrize("name", SPEECH_MS)
def test_a_clip_followed_by_silence_is_one_turn_at_the_right_place(name: str) -> None:
    """B20."""
    begin_ms, end_ms = SPEECH_MS[name]
    started, stopped = EnergyVad(prefix_padding_ms=0).feed(clip(name) + SILENCE)
    assert (started.kind, stopped.kind) == ("started", "stopped")
    assert started.at_ms == pytest.approx(begin_ms, abs=150)
    assert stopped.at_ms == pytest.approx(end_ms + 500, abs=150)


@pytest.mark.parametrize("name", SPEECH_MS)
def test_the_padding_comes_off_the_start_but_not_below_zero(name: str) -> None:
    """B20."""
    plain = EnergyVad(prefix_padding_ms=0).feed(clip(name))[0].at_ms
    assert EnergyVad(prefix_padding_ms=200).feed(clip(name))[0].at_ms == plain - 200
    assert EnergyVad(prefix_padding_ms=2_000).feed(clip(name))[0].at_ms == 0


@pytest.mark.parametrize("name", SPEECH_MS)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(through_telephone, id="through G.711"),
        pytest.param(lambda pcm: louder(pcm, 0.25), id="a quarter as loud"),
        pytest.param(lambda pcm: mixed(pcm, noise(9_000, 400)), id="in noise"),
        pytest.param(
            lambda pcm: array("h", [s + 2_000 for s in array("h", louder(pcm, 0.9))]).tobytes(), id="with an offset"
        ),
    ],
)
def test_a_bad_line_does_not_change_the_turn(name: str, change) -> None:
    """B20."""
    begin_ms, end_ms = SPEECH_MS[name]
    heard = EnergyVad(prefix_padding_ms=0).feed(change(clip(name) + SILENCE))
    assert kinds(heard) == ["started", "stopped"]
    assert heard[0].at_ms == pytest.approx(begin_ms, abs=200)
    assert heard[1].at_ms == pytest.approx(end_ms + 500, abs=250)


@pytest.mark.parametrize("amplitude", [0, 3, 30, 300, 3_000, 12_000])
def test_constant_noise_of_any_strength_is_no_speech(amplitude: int) -> None:
    """B20: also when it begins in the middle of silence."""
    assert EnergyVad().feed(noise(5_000, amplitude)) == []
    assert EnergyVad().feed(SILENCE + noise(5_000, amplitude)) == []


@pytest.mark.parametrize("amplitude", [30, 300, 3_000])
def test_rumble_is_taken_for_speech_for_a_few_seconds_at_most(amplitude: int) -> None:
    """B20: energy cannot tell a rumble that begins from a voice; the floor rises to it."""
    vad = EnergyVad()
    vad.feed(SILENCE + noise(6_000, amplitude, smooth=0.97))
    assert not vad.speaking


@pytest.mark.parametrize("duration_ms", [1, 10, 30, 60])
@pytest.mark.parametrize("place_ms", [1_000, 1_003, 1_007])
def test_a_click_is_no_speech(duration_ms: int, place_ms: int) -> None:
    """B20: wherever it lies between frames."""
    assert EnergyVad().feed(PCM16.silence(place_ms) + tone(duration_ms) + SILENCE) == []


def test_a_click_in_a_pause_does_not_make_the_turn_longer() -> None:
    """B20."""
    speech = clip("book_table.wav")
    quiet = EnergyVad().feed(speech + SILENCE)
    clicked = EnergyVad().feed(mixed(speech + SILENCE, PCM16.silence(2_800) + tone(15) + SILENCE) + SILENCE)
    assert clicked == quiet


def test_a_quiet_voice_is_heard_only_with_a_low_threshold() -> None:
    """B20: the threshold is a gate on loudness."""
    quiet = louder(clip(), 0.02) + SILENCE
    assert kinds(EnergyVad(threshold=0.0).feed(quiet))[:1] == ["started"]
    assert EnergyVad(threshold=0.5).feed(quiet) == []
    assert kinds(EnergyVad(threshold=1.0).feed(clip() + SILENCE))[:1] == ["started"]
    assert EnergyVad(threshold=1.0).feed(louder(clip(), 0.1) + SILENCE) == []


def test_silence_ends_a_turn_only_when_it_lasts() -> None:
    """B20: the pause between the words of the two clips is 1.1 s."""
    speech = clip("stop.wav") + clip("book_table.wav") + PCM16.silence(3_000)
    assert kinds(EnergyVad(silence_duration_ms=2_000).feed(speech)) == ["started", "stopped"]
    assert kinds(EnergyVad(silence_duration_ms=500).feed(speech)) == ["started", "stopped"] * 2


def test_an_opening_gets_half_as_much_silence_again() -> None:
    """B20: "Hello!" alone ends after 750 ms of silence; the 675 ms before the question do not end it."""
    hello = clip()[: PCM16.n_bytes(1_000)]
    _, stopped = EnergyVad(prefix_padding_ms=0).feed(hello + SILENCE)
    assert stopped.at_ms == pytest.approx(790 + 750, abs=40)


def test_a_turn_never_begins_before_the_end_of_the_last_one() -> None:
    """B20: its padding would otherwise reach into audio that is committed already."""
    speech = clip("stop.wav") + clip("stop.wav") + SILENCE
    heard = EnergyVad(prefix_padding_ms=3_000).feed(speech)
    assert kinds(heard) == ["started", "stopped"] * 2
    assert heard[2].at_ms == heard[1].at_ms


def test_a_reset_forgets_the_speech_and_keeps_the_clock() -> None:
    """B20: as `input_audio_buffer.clear` needs it."""
    vad = EnergyVad()
    assert kinds(vad.feed(clip()[: PCM16.n_bytes(700)])) == ["started"]
    vad.reset()
    assert not vad.speaking
    assert vad.feed(SILENCE) == []
    assert vad.at_ms == 2_200
    assert vad.feed(clip())[0].at_ms == pytest.approx(2_200 + 350 - 300, abs=150)


def test_the_clock_may_begin_later() -> None:
    """B20: as a change of turn detection in the middle of a session needs it."""
    plain = EnergyVad().feed(clip() + SILENCE)
    later = EnergyVad(at_ms=5_000).feed(clip() + SILENCE)
    assert [change.at_ms - 5_000 for change in later] == [change.at_ms for change in plain]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(clip("stop.wav") + SILENCE)), max_size=8))
def test_chunks_of_any_size_give_what_the_whole_gives(cuts: list[int]) -> None:
    """B20: half samples included."""
    speech = clip("stop.wav") + SILENCE
    edges = [0, *sorted(cuts), len(speech)]
    vad = EnergyVad()
    pieces = [vad.feed(speech[begin:end]) for begin, end in pairwise(edges)]
    assert [change for piece in pieces for change in piece] == EnergyVad().feed(speech)


@given(st.binary(max_size=4_000))
def test_any_bytes_are_taken(data: bytes) -> None:
    """B20: starts and stops take turns."""
    heard = kinds(EnergyVad(threshold=0.0, silence_duration_ms=0).feed(data))
    assert heard == ["started", "stopped"] * (len(heard) // 2) + ["started"] * (len(heard) % 2)


@pytest.mark.parametrize("wrong", [{"threshold": 1.1}, {"threshold": -0.1}, {"silence_duration_ms": -1}])
def test_a_setting_without_meaning_is_refused(wrong: dict[str, float]) -> None:
    """B16."""
    with pytest.raises(ConfigurationError):
        EnergyVad(**wrong)
