"""A simulated translation session: audio in all the time, translated audio and two transcripts out.

Owns the kind of session without turns and responses. Knows no socket and no clock. Before it: `connection.py`; after
it: the ears and the voice of the server.

What is "translated" is what was heard, repeated with the language named: the simulator speaks no languages. Speech is
found in the audio as in any session; silence gives nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

import msgspec

from ..audio import PCM16
from ..events.base import UNSET, ServerEvent, Struct
from ..events.translation import (
    SessionClose,
    SessionClosed,
    SessionCreated,
    SessionInputAudioBufferAppend,
    SessionInputTranscriptDelta,
    SessionOutputAudioDelta,
    SessionOutputTranscriptDelta,
    SessionUpdate,
    SessionUpdated,
    TranslationAudio,
    TranslationInput,
    TranslationOutput,
    TranslationSession,
)
from ..logs import logger
from .errors import SERVER_FAILED, Refusal, invalid_value, missing
from .exchange import Exchange, Outlet
from .input_audio import Decoder, InputAudio
from .setup import SessionSetup
from .stage import Organs
from .vad import Vad
from .validation import one_of
from .writing import rechunked

log = logger("simulator")

FRAME_MS = 200
DEFAULT_LANGUAGE = "en"
LEAD_MS = 1_300
CLOSED = 1000
UPDATABLE = ("type", "audio")

_S = TypeVar("_S", bound=Struct)


def initial_translation(
    model: str, wanted: TranslationSession | None, *, id: str, expires_at: int
) -> TranslationSession:
    """Give the configuration of a new translation session."""
    heard = TranslationInput(noise_reduction=None, transcription=None)
    audio = TranslationAudio(input=heard, output=TranslationOutput(language=DEFAULT_LANGUAGE))
    config = TranslationSession(type="translation", id=id, model=model, expires_at=expires_at, audio=audio)
    return _updated(config, wanted) if wanted is not None else config


class SimulatedTranslation(Exchange):
    """A translation session, sans-I/O.

    Args:
        organs: What it hears and speaks with; the brain is not asked.
        setup: What is decided before it begins; its `config` is a `TranslationSession` here.
        now: The time of its beginning, on the clock of all later calls.
    """

    def __init__(self, organs: Organs, setup: SessionSetup, *, now: float = 0.0) -> None:
        outlet = Outlet(setup.number)
        super().__init__(outlet, kind="translation", dialect="ga")
        self._organs = organs
        self._audio = InputAudio(PCM16)
        self._decoder = Decoder(PCM16)
        self._vad: Vad = organs.vad()
        self._segments: deque[tuple[bytes, int]] = deque()
        self._is_busy = False
        self._free_at = now
        self._is_last = False
        expires_at = int(setup.unix_s + setup.lifetime_s)
        self.config = initial_translation(setup.model, setup.config, id=self.id, expires_at=expires_at)
        self._handlers = {
            SessionUpdate: self._update,
            SessionInputAudioBufferAppend: self._append,
            SessionClose: self._close,
        }
        outlet.send(SessionCreated(session=self.config))
        outlet.timeline.at(now + setup.lifetime_s, lambda _: self.expire(setup.lifetime_s))

    def _update(self, event: SessionUpdate, now: float) -> None:
        check_translation(event.session)
        for name in event.session.__struct_fields__:
            if name not in UPDATABLE and getattr(event.session, name) is not UNSET:
                raise Refusal(f"Cannot update '{name}'.", code="invalid_parameter", param=f"session.{name}")
        self.config = _updated(self.config, event.session)
        self._outlet.send(SessionUpdated(session=self.config))

    def _append(self, event: SessionInputAudioBufferAppend, now: float) -> None:
        if self._is_last:
            raise Refusal("The session is closing.", code="invalid_event", param="type")
        self._audio.append(event.audio)
        for heard in self._vad.feed(self._decoder.feed(event.audio)):
            if heard.kind == "started":
                self._audio.forget_before(heard.at_ms)
            else:
                self._translate(self._audio.take(until_ms=heard.at_ms), heard.at_ms, now)
        if not self._vad.speaking:
            self._audio.forget_before(self._audio.end_ms - LEAD_MS)

    def _close(self, event: SessionClose, now: float) -> None:
        self._is_last = True
        if self._vad.speaking:
            self._translate(self._audio.take(), int(self._audio.end_ms), now)
        else:
            self._go_on(now)

    def _closed(self) -> None:
        self._outlet.send(SessionClosed())
        self.close(CLOSED, "")

    def _translate(self, audio: bytes, end_ms: int, now: float) -> None:
        self._segments.append((audio, end_ms))
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Translate the next segment, one at a time; after the last one, close."""
        if self._is_busy:
            return
        if self._segments:
            self._is_busy = True
            audio, end_ms = self._segments.popleft()
            recogniser = self._organs.recogniser
            self._outlet.work(
                recogniser,
                lambda: recogniser.hear(Decoder(PCM16).feed(audio)),
                lambda words, later: self._heard(words, end_ms, later),
                now,
            )
        elif self._is_last:
            self._outlet.timeline.at(max(now, self._free_at), lambda _: self._closed())

    def _heard(self, words: str | Exception, end_ms: int, now: float) -> None:
        if isinstance(words, Exception):
            self._fail(words, now)
            return
        heard, output = _halves(self.config)
        if heard.transcription:
            self._outlet.send(SessionInputTranscriptDelta(delta=words, elapsed_ms=_in_frames(end_ms)))
        language = output.language or DEFAULT_LANGUAGE
        text, voice = f"[{language}] {words}", self._organs.voice
        self._outlet.work(
            voice, lambda: list(voice.speak(text)), lambda chunks, later: self._say(text, chunks, end_ms, later), now
        )

    def _say(self, text: str, chunks: list[bytes] | Exception, end_ms: int, now: float) -> None:
        if isinstance(chunks, Exception):
            self._fail(chunks, now)
            return
        due, elapsed_ms = max(now, self._free_at), _in_frames(end_ms)
        self._at(due, SessionOutputTranscriptDelta(delta=text, elapsed_ms=elapsed_ms))
        for pcm in rechunked(chunks, PCM16.n_bytes(FRAME_MS)):
            delta = SessionOutputAudioDelta(
                delta=pcm, elapsed_ms=elapsed_ms, format="pcm16", sample_rate=PCM16.rate, channels=1
            )
            self._at(due, delta)
            due += PCM16.duration_ms(len(pcm)) / 1000 / self._organs.pace
            elapsed_ms += FRAME_MS
        self._free_at = due
        self._is_busy = False
        self._go_on(now)

    def _fail(self, broken: Exception, now: float) -> None:
        log.error("the recogniser or the voice failed", exc_info=broken)
        self.refuse(Refusal(SERVER_FAILED, code="server_error", type="server_error"))
        self._is_busy = False
        self._go_on(now)

    def _at(self, due: float, event: ServerEvent) -> None:
        self._outlet.timeline.at(due, lambda _: self._outlet.send(event))


def check_translation(config: TranslationSession) -> None:
    """Refuse a translation session with a value that none can have."""
    if config.type:
        one_of("translation")("session.type", config.type)
    heard, output = _halves(config)
    if output.language is not UNSET and not output.language:
        raise invalid_value("session.audio.output.language", "")
    if heard.noise_reduction:
        one_of("near_field", "far_field")("session.audio.input.noise_reduction.type", heard.noise_reduction.type)
    if heard.transcription and not heard.transcription.model:
        raise missing("session.audio.input.transcription.model")


def _updated(config: TranslationSession, change: TranslationSession) -> TranslationSession:
    (old_input, old_output), (new_input, new_output) = _halves(config), _halves(change)
    heard, output = _over(old_input, new_input), _over(old_output, new_output)
    return msgspec.structs.replace(config, audio=TranslationAudio(input=heard, output=output))


def _halves(config: TranslationSession) -> tuple[TranslationInput, TranslationOutput]:
    audio = config.audio or TranslationAudio()
    return audio.input or TranslationInput(), audio.output or TranslationOutput()


def _over(old: _S, new: _S) -> _S:
    given = {name: getattr(new, name) for name in new.__struct_fields__}
    return msgspec.structs.replace(old, **{name: value for name, value in given.items() if value is not UNSET})


def _in_frames(ms: int) -> int:
    return -(-ms // FRAME_MS) * FRAME_MS
