"""The simulator's turn detection: where speech starts and stops in real audio.

Owns `Vad`, the seam that a speech model fills, and `EnergyVad`, which needs none: from pcm16 at 24 kHz to milliseconds
of the audio fed so far. Knows no clock, session or event: the session turns what it hears into
`input_audio_buffer.speech_started` and `speech_stopped`.

`EnergyVad` works on energy. A frame is loud if it is over an absolute gate and well over the noise floor, which is the
quietest moment of the last three seconds, so that constant noise of any strength ends as floor. Speech starts when
enough loud frames come together (a click is too short) and some of them are voiced (hiss is not): neighbouring samples
of a voice are alike, those of hiss are not. A whisper is therefore not heard; a deep hum is, until the floor has risen
to it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, Protocol

import msgspec

from ..audio import PCM16
from ..audio.samples import dot, to_samples
from ..exceptions import ConfigurationError

__all__ = ["EnergyVad", "Heard", "MakeVad", "Vad", "check_settings", "patience_ms"]

_FRAME_MS = 10
_FRAME_BYTES = PCM16.n_bytes(_FRAME_MS)
_STRIDE = 3  # every third sample tells the energy of speech well enough, at a third of the cost
_FRAME_SAMPLES = _FRAME_BYTES // 2 // _STRIDE

_START_FRAMES = 8  # a click of 60 ms touches 7 frames
_VOICED_FRAMES = 3  # an unvoiced one takes half a voiced one back, or hiss would do in the long run
_VOICED = 0.3  # the likeness of neighbours at 8 kHz: white noise has 0, vowels have 0.6 to 0.95
_UNVOICED_LEAD_MS = 300  # what came before the voice counts as speech no further back than this
_STAY_FRAMES = 3  # in a pause, a shorter sound does not count as going on
_STAY_FACTOR = 0.4  # speech that has begun may sink 4 dB below what starts it
_OPENING_MS = 700  # so short a turn may be an opening ("Hello!") before the question
_OPENING_GRACE = 1.5  # it gets half as much silence again

_FLOOR_FRAMES = 5  # rumble has single quiet frames, speech has whole closures
_FLOOR_BLOCK_FRAMES = 30
_FLOOR_BLOCKS = 10
_LOWEST_FLOOR_DB = -70.0  # digital silence must not make a whisper of noise loud
_FIRST_FLOOR_DB = -36.0  # before three seconds are known, nothing louder passes for the floor


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the audio makes: speech started or stopped at a millisecond of the audio fed.

    The start lies `prefix_padding_ms` before the first sound, the stop `silence_duration_ms` after the last, as on
    the wire; so the audio of the turn is what lies between the two.
    """

    kind: Literal["started", "stopped"]
    at_ms: int


class Vad(Protocol):
    """Hears where speech starts and stops in one stream of pcm16 mono at 24 kHz."""

    speaking: bool

    @property
    def at_ms(self) -> int:
        """The milliseconds of audio judged so far."""
        ...

    def feed(self, pcm: bytes) -> list[Heard]:
        """Gives what the audio up to the end of `pcm` makes known, in order; usually nothing."""
        ...

    def reset(self) -> None:
        """Forgets the speech in progress; the clock goes on."""
        ...


class MakeVad(Protocol):
    """Makes the `Vad` of one stream; the arguments are those of `EnergyVad`."""

    def __call__(
        self, *, threshold: float = 0.5, prefix_padding_ms: int = 300, silence_duration_ms: int = 500, at_ms: int = 0
    ) -> Vad:
        """Gives a `Vad` whose clock begins at `at_ms`."""
        ...


def check_settings(threshold: float, prefix_padding_ms: int, silence_duration_ms: int, at_ms: int) -> None:
    """Refuses the settings that no `Vad` can work with.

    Raises:
        ConfigurationError: The threshold is not within 0 and 1, or a time is negative.
    """
    if not 0 <= threshold <= 1:
        raise ConfigurationError(f"threshold must be from 0 to 1, not {threshold}")
    if min(prefix_padding_ms, silence_duration_ms, at_ms) < 0:
        raise ConfigurationError("prefix_padding_ms, silence_duration_ms and at_ms must not be negative")


def patience_ms(silence_duration_ms: int, spoken_ms: float) -> float:
    """Gives how long it must be quiet for a turn to end after that much speech."""
    return silence_duration_ms * (_OPENING_GRACE if spoken_ms < _OPENING_MS else 1)


class EnergyVad:
    """Hears where speech starts and stops; feed it pcm16 mono at 24 kHz in chunks of any length.

    Args:
        threshold: From 0 (a quiet voice is enough: -60 dB of full scale, 4 dB over the noise) to 1 (-30 dB, 14 dB
            over the noise).
        prefix_padding_ms: How long before its first sound a turn begins.
        silence_duration_ms: How long it must be quiet for the turn to end; half as long again after a turn under
            0.7 s, which may be the "Hello!" before a question.
        at_ms: What the clock of the audio shows at the first sample.

    Raises:
        ConfigurationError: if the threshold is not within 0 and 1, or a time is negative.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.5,
        prefix_padding_ms: int = 300,
        silence_duration_ms: int = 500,
        at_ms: int = 0,
    ) -> None:
        check_settings(threshold, prefix_padding_ms, silence_duration_ms, at_ms)
        self.prefix_padding_ms = prefix_padding_ms
        self.silence_duration_ms = silence_duration_ms
        self.speaking = False
        self._gate = _power(-60 + 30 * threshold)
        self._over_floor = 10 ** ((4 + 10 * threshold) / 10)
        self._now_ms = self._earliest_ms = at_ms
        self._rest = b""
        self._floor = _Floor()
        self._forget_speech()

    @property
    def at_ms(self) -> int:
        """The milliseconds of audio judged so far, in whole frames of 10 ms."""
        return self._now_ms

    def feed(self, pcm: bytes) -> list[Heard]:
        """Gives what the audio up to the end of `pcm` makes known, in order; usually nothing."""
        data = self._rest + pcm
        whole = len(data) - len(data) % _FRAME_BYTES
        samples, self._rest = to_samples(data[:whole])[::_STRIDE].tolist(), data[whole:]
        heard: list[Heard] = []
        for place in range(0, len(samples), _FRAME_SAMPLES):
            change = self._judge(samples[place : place + _FRAME_SAMPLES])
            if change:
                heard.append(change)
        return heard

    def reset(self) -> None:
        """Forgets the speech in progress, as when the buffer is cleared; the clock and the noise floor go on."""
        self.speaking = False
        self._earliest_ms = self._now_ms
        self._forget_speech()

    def _forget_speech(self) -> None:
        self._loud, self._voiced = 0, 0.0
        self._onset_ms = self._last_loud_ms = self._now_ms

    def _judge(self, frame: list[int]) -> Heard | None:
        mean = sum(frame) / _FRAME_SAMPLES
        power = dot(frame, frame) / _FRAME_SAMPLES - mean * mean
        limit = max(self._gate, self._floor.after(power) * self._over_floor)
        begin_ms, self._now_ms = self._now_ms, self._now_ms + _FRAME_MS
        if self.speaking:
            return self._still_speaking(power > limit * _STAY_FACTOR)
        if power <= limit:
            self._loud = max(self._loud - 2, 0)
            return None
        if not self._loud:
            self._onset_ms, self._voiced = begin_ms, 0
        self._loud += 1
        voiced = _likeness(frame, mean, power) > _VOICED
        self._voiced = self._voiced + 1 if voiced else max(self._voiced - 0.5, 0)
        return self._perhaps_started()

    def _perhaps_started(self) -> Heard | None:
        if self._loud < _START_FRAMES or self._voiced < _VOICED_FRAMES:
            self._loud = min(self._loud, _START_FRAMES)
            self._onset_ms = max(self._onset_ms, self._now_ms - _UNVOICED_LEAD_MS)
            return None
        self.speaking = True
        self._last_loud_ms = self._now_ms
        return Heard(kind="started", at_ms=max(self._onset_ms - self.prefix_padding_ms, self._earliest_ms))

    def _still_speaking(self, loud: bool) -> Heard | None:
        self._loud = self._loud + 1 if loud else 0
        if self._loud >= _STAY_FRAMES:
            self._last_loud_ms = self._now_ms
        silence_ms = patience_ms(self.silence_duration_ms, self._last_loud_ms - self._onset_ms)
        if loud or self._now_ms - self._last_loud_ms < silence_ms:
            return None
        self.reset()
        return Heard(kind="stopped", at_ms=self._now_ms)


class _Floor:
    """The power that the quietest 50 ms of the last three seconds stayed under."""

    def __init__(self) -> None:
        self._recent = deque([0.0], maxlen=_FLOOR_FRAMES)
        self._blocks = deque([_power(_FIRST_FLOOR_DB)] * _FLOOR_BLOCKS, maxlen=_FLOOR_BLOCKS)
        self._past = self._block = _power(_FIRST_FLOOR_DB)
        self._frames = 0

    def after(self, power: float) -> float:
        """Takes the next frame's power in and gives the floor."""
        self._recent.append(power)
        loudest = max(self._recent)
        self._block = min(self._block, loudest) if self._frames else loudest
        self._frames += 1
        floor = max(min(self._past, self._block), _power(_LOWEST_FLOOR_DB))
        if self._frames == _FLOOR_BLOCK_FRAMES:
            self._blocks.append(self._block)
            self._past = min(self._blocks)
            self._frames = 0
        return floor


def _power(level_db: float) -> float:
    """Gives the mean square of a level in dB of full scale."""
    return 32768.0 * 32768.0 * math.pow(10, level_db / 10)


def _likeness(frame: list[int], mean: float, power: float) -> float:
    """Gives how alike neighbouring samples are, from -1 to 1: the autocorrelation at a lag of one."""
    products: float = dot(frame[:-1], frame[1:]) / (_FRAME_SAMPLES - 1)
    return (products - mean * mean) / power
