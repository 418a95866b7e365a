"""What the scripted ears promise: registered clips are known through a bad line, other audio is admitted unknown."""

from __future__ import annotations

import random
from array import array

import pytest

from realtime_events.audio import PCM16, PCMA, PCMU, AudioFormat, Resampler, read_wav
from realtime_events.exceptions import AudioFormatError
from realtime_events.simulator.ears import INAUDIBLE, ClipRecogniser
from realtime_events.simulator.vad import EnergyVad
from realtime_events.simulator.voice import ToneVoice

from .. import recordings
from ..recordings import AUDIO, WORDS

CLIPS = {name: read_wav(AUDIO / name) for name in WORDS}
GAP = PCM16.silence(900)


@pytest.fixture(scope="module")
def ears() -> ClipRecogniser:
    """Ears that know all the clips, so that each could be taken for another."""
    return recordings.ears(*(AUDIO / name for name in WORDS))


def cut_by_turn_detection(pcm: bytes) -> bytes:
    heard = EnergyVad().feed(GAP + pcm + GAP)
    return (GAP + pcm + GAP)[PCM16.n_bytes(heard[0].at_ms) : PCM16.n_bytes(heard[-1].at_ms)]


def through(audio: AudioFormat, pcm: bytes) -> bytes:
    wire = audio.from_pcm16(Resampler(24_000, 8_000).feed(pcm))
    return Resampler(8_000, 24_000).feed(audio.to_pcm16(wire))


def louder(pcm: bytes, factor: float) -> bytes:
    return array("h", [max(-32_768, min(32_767, round(factor * sample))) for sample in array("h", pcm)]).tobytes()


def noisy(pcm: bytes, amplitude: int) -> bytes:
    source = random.Random(1)
    return array(
        "h", [max(-32_768, min(32_767, round(s + source.gauss(0, amplitude)))) for s in array("h", pcm)]
    ).tobytes()


@pytest.mark.parametrize("name", WORDS)
def test_a_clip_is_known_as_it_was_added(name: str, ears: ClipRecogniser) -> None:
    assert ears.hear(CLIPS[name]) == WORDS[name]


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pcm: pcm, id="cut"),
        pytest.param(lambda pcm: PCM16.silence(1) * 3 + pcm, id="shifted"),
        pytest.param(lambda pcm: through(PCMU, pcm), id="through µ-law"),
        pytest.param(lambda pcm: through(PCMA, pcm), id="through A-law"),
        pytest.param(lambda pcm: louder(pcm, 0.25), id="a quarter as loud"),
        pytest.param(lambda pcm: louder(pcm, 1.5), id="half as loud again"),
        pytest.param(lambda pcm: noisy(pcm, 300), id="in noise"),
        pytest.param(lambda pcm: louder(through(PCMU, noisy(pcm, 150)), 0.5), id="all of it"),
    ],
)
def test_a_clip_cut_by_turn_detection_is_known_through_a_bad_line(name: str, change, ears: ClipRecogniser) -> None:
    """B26."""
    assert ears.hear(cut_by_turn_detection(change(CLIPS[name]))) == WORDS[name]


def test_several_clips_are_heard_in_their_order(ears: ClipRecogniser) -> None:
    one, other = "stop.wav", "weather_bern.wav"
    assert ears.hear(CLIPS[one] + GAP + CLIPS[other]) == f"{WORDS[one]} {WORDS[other]}"
    assert ears.hear(CLIPS[other] + CLIPS[one] + CLIPS[other]) == f"{WORDS[other]} {WORDS[one]} {WORDS[other]}"


@pytest.mark.parametrize("name", WORDS)
def test_half_a_clip_is_not_taken_for_the_whole(name: str, ears: ClipRecogniser) -> None:
    half = len(CLIPS[name]) // 4 * 2
    assert ears.hear(CLIPS[name][:half]) == INAUDIBLE
    assert ears.hear(CLIPS[name][half:]) == INAUDIBLE


@pytest.mark.parametrize("name", WORDS)
def test_a_clip_that_was_not_added_is_not_taken_for_another(name: str) -> None:
    others = ClipRecogniser()
    for other, words in WORDS.items():
        if other != name:
            others.add(CLIPS[other], words)
    assert others.hear(cut_by_turn_detection(CLIPS[name])) == INAUDIBLE


@pytest.mark.parametrize(
    "pcm",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(PCM16.silence(3_000), id="silence"),
        pytest.param(noisy(PCM16.silence(3_000), 3_000), id="noise"),
        pytest.param(b"".join(ToneVoice().speak("Hello there, how is the weather in Bern?")), id="the tone voice"),
        pytest.param(CLIPS["stop.wav"][::-2] + b"\0" * (len(CLIPS["stop.wav"]) % 2), id="garbage"),
    ],
)
def test_other_audio_is_inaudible(pcm: bytes, ears: ClipRecogniser) -> None:
    assert ears.hear(pcm[: len(pcm) // 2 * 2]) == "[inaudible]"


def test_ears_without_clips_hear_nothing() -> None:
    assert ClipRecogniser().hear(CLIPS["stop.wav"]) == INAUDIBLE


def test_audio_that_cannot_be_known_again_is_refused() -> None:
    """B16: with what was expected and what came."""
    with pytest.raises(AudioFormatError, match="at least 160 ms of sound, got 0 ms"):
        ClipRecogniser().add(PCM16.silence(1_000), "nothing")
    with pytest.raises(AudioFormatError, match="got 3 bytes"):
        ClipRecogniser().hear(b"abc")
