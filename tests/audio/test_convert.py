"""What a converter promises: any format to any other, the same bytes for any chunking, the same length, no aliases."""

from __future__ import annotations

import cmath
import math
import sys
from array import array
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_events.audio import PCM16, PCMA, PCMU, AudioFormat, Converter
from realtime_events.exceptions import AudioFormatError, MissingExtra

RATES = [8_000, 16_000, 24_000, 48_000]
PAIRS = [(one, other) for one in RATES for other in RATES if one != other]
WITH_SOXR = [
    pytest.param(*pair, marks=pytest.mark.skipif(find_spec("soxr") is None, reason="soxr is not installed"))
    for pair in [(44_100, 24_000), (24_000, 44_100), (44_100, 8_000), (48_000, 44_100)]
]
FORMATS = [PCM16, PCMU, PCMA, AudioFormat(rate=16_000), AudioFormat(type="audio/pcma", rate=16_000)]


def tone(frequency_hz: float, rate_hz: int, *, duration_s: float = 0.5, strength: int = 20_000) -> bytes:
    turn = 2 * math.pi * frequency_hz / rate_hz
    return array("h", [round(strength * math.sin(turn * at)) for at in range(int(rate_hz * duration_s))]).tobytes()


def strength(pcm: bytes, frequency_hz: float, rate_hz: int) -> float:
    """Gives how much of a frequency is in the steady middle of the audio."""
    samples = array("h", pcm)[rate_hz // 20 : -rate_hz // 20]
    turn = -2j * math.pi * frequency_hz / rate_hz
    return 2 * abs(sum(sample * cmath.exp(turn * at) for at, sample in enumerate(samples))) / len(samples)


def converted(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    converter = Converter(AudioFormat(rate=from_hz), AudioFormat(rate=to_hz))
    return converter.feed(pcm) + converter.flush()


@pytest.mark.parametrize(("from_hz", "to_hz"), [*PAIRS, *WITH_SOXR])
def test_a_tone_keeps_its_strength_its_length_and_its_place(from_hz: int, to_hz: int) -> None:
    """B26: the output is the tone as it would be at that rate, from its first millisecond on."""
    heard = array("h", converted(tone(1_000, from_hz), from_hz, to_hz))
    wanted = array("h", tone(1_000, to_hz))
    assert len(heard) == len(wanted)
    assert strength(heard.tobytes(), 1_000, to_hz) == pytest.approx(20_000, rel=0.01)
    # Half a sample of the lower rate is the most that the sound may lie beside its place.
    steepest = 20_000 * 2 * math.pi * 1_000 / min(from_hz, to_hz)
    middle = slice(to_hz // 20, -to_hz // 20)
    assert max(abs(a - b) for a, b in zip(heard[middle], wanted[middle], strict=True)) < 0.51 * steepest + 200


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_hold_is_gone(from_hz: int, to_hz: int) -> None:
    """B26: 7 kHz after 24 to 8 kHz, and the like from every rate to every lower one."""
    frequency_hz = 7_000 * to_hz / 8_000
    if frequency_hz >= from_hz / 2:
        frequency_hz = 0.45 * from_hz if 0.45 * from_hz > 0.6 * to_hz else 0.62 * to_hz
    heard = array("h", converted(tone(frequency_hz, from_hz), from_hz, to_hz))[200:-200]
    assert max(map(abs, heard)) <= 20_000 / 900  # 59 dB


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_a_raised_tone_has_no_mirror_image(from_hz: int, to_hz: int) -> None:
    """B26."""
    heard = converted(tone(1_000, from_hz), from_hz, to_hz)
    for image_hz in (from_hz - 1_000, from_hz + 1_000):
        if image_hz < to_hz / 2:
            assert strength(heard, image_hz, to_hz) < 25


@pytest.mark.parametrize(("from_hz", "to_hz"), [*PAIRS, *WITH_SOXR])
@settings(max_examples=25)
@given(data=st.data())
def test_chunks_of_any_size_give_what_the_whole_gives(from_hz: int, to_hz: int, data: st.DataObject) -> None:
    """B26: byte for byte, the rest at the end included."""
    pcm = data.draw(st.binary(max_size=600)) * data.draw(st.sampled_from([2, 20]))
    cuts = sorted(2 * cut for cut in data.draw(st.lists(st.integers(0, len(pcm) // 2), max_size=8)))
    converter = Converter(AudioFormat(rate=from_hz), AudioFormat(rate=to_hz))
    parts = [converter.feed(pcm[a:b]) for a, b in zip([0, *cuts], [*cuts, len(pcm)], strict=True)]
    assert b"".join([*parts, converter.flush()]) == converted(pcm, from_hz, to_hz)


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
@given(data=st.data())
@settings(max_examples=10)
def test_every_format_becomes_every_other_for_any_chunking(
    source: AudioFormat, target: AudioFormat, data: st.DataObject
) -> None:
    """B16, B26: and lasts as long as before, to the sample."""
    audio = data.draw(st.binary(min_size=48, max_size=480))
    audio = audio[: len(audio) // 6 * 6]
    cut = data.draw(st.integers(0, len(audio) // source.sample_bytes)) * source.sample_bytes
    whole, parts = Converter(source, target), Converter(source, target)
    expected = whole.feed(audio) + whole.flush()
    assert parts.feed(audio[:cut]) + parts.feed(audio[cut:]) + parts.flush() == expected
    assert target.duration_ms(len(expected)) == pytest.approx(source.duration_ms(len(audio)), abs=1000 / target.rate)


def test_after_a_flush_a_new_stream_begins() -> None:
    """B26: nothing of the old one is heard in it."""
    converter, pcm = Converter(PCM16, PCMU), tone(500, 24_000)
    first = converter.feed(pcm) + converter.flush()
    assert converter.flush() == b""
    assert converter.feed(pcm) + converter.flush() == first


def test_a_format_that_is_wanted_already_is_left_alone() -> None:
    """B26."""
    assert Converter(PCMU, PCMU).feed(b"abc") == b"abc"
    assert Converter(PCM16, PCM16).feed(b"abcd") == b"abcd"


@pytest.mark.parametrize("target", [PCM16, PCMU, AudioFormat(rate=48_000)])
def test_half_a_sample_is_refused_with_both_values(target: AudioFormat) -> None:
    """B16."""
    with pytest.raises(AudioFormatError, match="expected pcm16 of an even number of bytes, got 3 bytes"):
        Converter(PCM16, target).feed(b"abc")


def test_a_rate_that_needs_soxr_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """B16: and the rates of the wire need nothing."""
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(MissingExtra, match=r'soxr is not installed; run: pip install "realtime-events\[audio\]"'):
        Converter(AudioFormat(rate=44_100), PCM16)
    assert Converter(AudioFormat(rate=48_000), PCM16).feed(bytes(4_800))
