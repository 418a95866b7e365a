"""Translation sessions: speech in, translated speech and captions out.

Owns the handle `Translation`, what such a session may change, and its way out: `session.close`, the rest of the output,
`session.closed`. Knows no socket. Before it: the application; after it: a `Session` of the kind translation, whose
events it listens to.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from .arrivals import Arrivals
from .audio import PCM16, AudioFormat
from .audio_file import file_pieces
from .events import local
from .events.base import UNSET, Struct, UnsetType
from .events.session import InputTranscription, NoiseReduction
from .events.translation import (
    SessionClose,
    SessionClosed,
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
from .exceptions import AudioFormatError, ConfigurationError, LocalProtocolError
from .protocol.captions import Caption, CaptionFormat, CaptionTrack, export_captions

if TYPE_CHECKING:
    from .session import Session

DEFAULT_TRANSLATION_MODEL: Final = "gpt-realtime-translate"
DEFAULT_CAPTION_MODEL: Final = "gpt-realtime-whisper"
FRAME_MS = 200  # the service's engine works in frames of this length
LARGEST_APPEND_MS = 1_000
UPDATE_TIMEOUT_S = 10.0
FINISH_TIMEOUT_S = 60.0
MOST_WAITING_AUDIO = 3_000  # pieces: ten minutes of frames, 29 MB
UPDATABLE: Final = ("to", "transcribe_input", "noise_reduction")
HEARD = ("session.updated", "session.closed", "session.*.delta", "connection.closed")

Side: TypeAlias = Literal["output", "input"]
Reduction = NoiseReduction | str | UnsetType | None


class TranslatedAudio(Struct, frozen=True, kw_only=True):
    """A piece of translated speech.

    Attributes:
        audio: The bytes; by what the API documents pcm16, mono, 24,000 Hz.
        elapsed_ms: Where it belongs, counted from the start of the session.
        format: What the server calls the bytes: `pcm16`.
        rate_hz: Samples in a second.
        channels: One is mono.
    """

    audio: bytes
    elapsed_ms: int
    format: str = "pcm16"
    rate_hz: int = PCM16.rate
    channels: int = 1


class CaptionPiece(Struct, frozen=True, kw_only=True):
    """The next words of a caption: of the translation (`of="output"`), or of what was said (`of="input"`)."""

    text: str
    elapsed_ms: int
    of: Side = "output"


Piece: TypeAlias = TranslatedAudio | CaptionPiece
"""What a translation gives."""


class Translation:
    """A live translation: send speech, and iterate over translated audio and captions.

    `Realtime.translate()` makes it. Keep sending audio, silence included: the service translates as it hears. The
    iteration ends when everything is translated after `finish()`, or when the session is closed; it raises
    `ConnectionLostError` where the connection was lost.

    Attributes:
        session: The session below, for everything else.
        config: The configuration as the server last confirmed it.
        dropped: How many pieces of audio were dropped because nobody took them; ten minutes of them wait at most.
        is_drained: Whether the server has said that everything is translated and sent.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.config = TranslationSession()
        self.dropped = 0
        self.is_drained = False
        self._sent_bytes = 0
        self._tracks: dict[Side, CaptionTrack] = {"output": CaptionTrack(), "input": CaptionTrack()}
        self._elapsed_ms = 0
        self._arrivals: Arrivals[Piece] = Arrivals()
        self._audio_waiting = 0
        self._is_finished = False
        self._updating = asyncio.Lock()
        # Heard on the reader, in the order of the frames: whoever awaits an answer finds its effect here already.
        self._stream = session.stream(*HEARD, when=self._hear)

    # Sending.

    async def send_audio(self, audio: bytes, *, format: AudioFormat = PCM16) -> None:
        """Append speech: pcm16, mono, 24,000 Hz. The service takes nothing else.

        Raises:
            AudioFormatError: Another format, or half a sample at the end; both values are named.
            LocalProtocolError: The translation is finished.
            ConnectionLostError: The connection has ended.
        """
        if self._is_finished:
            raise LocalProtocolError("send_audio() was called after finish()")
        if format != PCM16:
            raise AudioFormatError(_shown(PCM16), _shown(format))
        PCM16.check(audio)
        size = PCM16.n_bytes(LARGEST_APPEND_MS)
        for start in range(0, len(audio), size):
            piece = audio[start : start + size]
            await self.session.send(SessionInputAudioBufferAppend(audio=piece))
            self._sent_bytes += len(piece)

    async def send_file(self, path: str | os.PathLike[str], *, pace: float | None = None) -> None:
        """Send a mono 16-bit WAV file of 24,000 Hz.

        Args:
            path: The file.
            pace: The speed relative to real time: 1 is as it was spoken, None as fast as it goes.

        Raises:
            AudioFormatError: The file is no such file, or holds no audio; both values are named.
            OSError: The file cannot be read.
        """
        async for piece in file_pieces(path, PCM16, pace):
            await self.send_audio(piece)

    async def update(self, *, timeout: float | None = UPDATE_TIMEOUT_S, **changes: Any) -> TranslationSession:
        """Change the translation and give the configuration that the server confirmed.

        Args:
            timeout: Seconds to wait for `session.updated`.
            changes: Any of `to`, `transcribe_input` and `noise_reduction`, as for `Realtime.translate`.

        Raises:
            ConfigurationError: Anything else, which a translation session cannot change.
            ServerError: The server refused the change.
        """
        if unknown := sorted(set(changes) - set(UPDATABLE)):
            raise ConfigurationError(
                f"a translation cannot change {unknown[0]!r}; it can change {', '.join(UPDATABLE)}"
            )
        async with self._updating:  # `session.updated` names no update, so one is under way at a time.
            await self.session.request(SessionUpdate(session=translation_config(**changes)), timeout=timeout)
        return self.config

    async def finish(self, *, timeout: float | None = FINISH_TIMEOUT_S) -> None:
        """Say that all speech was sent, and wait until the server has translated the rest and sent `session.closed`.

        What came meanwhile is still there to iterate over, also after an error.

        Raises:
            TimeoutError: `session.closed` did not come within `timeout` seconds.
            ConnectionLostError: The connection ended first.
        """
        if self._is_finished:
            return
        # A frame that is not full would wait for more.
        frame = PCM16.n_bytes(FRAME_MS)
        await self.send_audio(bytes(-self._sent_bytes % frame))
        self._is_finished = True
        try:
            await self.session.request(SessionClose(), timeout=timeout)
        finally:
            self._arrivals.end()

    # Looking.

    @property
    def captions(self) -> list[Caption]:
        """The captions of the translation so far."""
        return self._tracks["output"].captions()

    @property
    def input_captions(self) -> list[Caption]:
        """The captions of what was said so far; empty unless `transcribe_input` asked for them."""
        return self._tracks["input"].captions()

    def export(self, format: CaptionFormat, *, of: Side = "output") -> str:
        """Give the captions as an `srt`, `vtt`, `json` or `md` document."""
        return export_captions(self._tracks[of].captions(), format)

    # Listening.

    def __aiter__(self) -> Translation:
        return self

    async def __anext__(self) -> Piece:
        piece = await self._arrivals.next()
        self._audio_waiting -= isinstance(piece, TranslatedAudio)
        return piece

    def _hear(self, event: Any) -> bool:
        """Take an event; nothing is left for the stream, which would keep it."""
        if isinstance(event, SessionOutputAudioDelta):
            self._offer_audio(event)
        elif isinstance(event, SessionOutputTranscriptDelta):
            self._offer_words(event, "output")
        elif isinstance(event, SessionInputTranscriptDelta):
            self._offer_words(event, "input")
        elif isinstance(event, SessionUpdated):
            self.config = event.session
        elif isinstance(event, SessionClosed):
            self.is_drained = True
            self._arrivals.end()
        elif isinstance(event, local.ConnectionClosed):
            self._arrivals.end_with(event, is_complete=self.is_drained)
        self._arrivals.notify()
        return False

    def _offer_audio(self, event: SessionOutputAudioDelta) -> None:
        piece = TranslatedAudio(
            audio=event.delta,
            elapsed_ms=self._at(event.elapsed_ms),
            format=event.format or "pcm16",
            rate_hz=event.sample_rate or PCM16.rate,
            channels=event.channels or 1,
        )
        ready = self._arrivals.ready
        ready.append(piece)
        self._audio_waiting += 1
        if self._audio_waiting > MOST_WAITING_AUDIO:
            oldest = next(waiting for waiting in ready if isinstance(waiting, TranslatedAudio))
            ready.remove(oldest)
            self._audio_waiting -= 1
            self.dropped += 1

    def _offer_words(self, event: SessionOutputTranscriptDelta | SessionInputTranscriptDelta, of: Side) -> None:
        at_ms = self._at(event.elapsed_ms)
        self._tracks[of].add(event.delta, at_ms)
        self._arrivals.ready.append(CaptionPiece(text=event.delta, elapsed_ms=at_ms, of=of))

    def _at(self, elapsed_ms: int | UnsetType | None) -> int:
        """Give an event's time; one without belongs to what came before it."""
        if isinstance(elapsed_ms, int):
            self._elapsed_ms = elapsed_ms
        return self._elapsed_ms


@asynccontextmanager
async def translating(make: Callable[[], Session], wanted: Mapping[str, Any]) -> AsyncGenerator[Translation]:
    """Connect, ask for what is wanted, and give the handle of the session while the block lasts."""
    session = make()
    await session.open()
    try:
        translation = Translation(session)
        await translation.update(**wanted)
        yield translation
    finally:
        await session.close()


def translation_config(
    *, to: str | None = None, transcribe_input: bool | str | None = None, noise_reduction: Reduction = UNSET
) -> TranslationSession:
    """Give the part of a translation session's configuration that can be changed; what is left out is kept.

    Raises:
        ConfigurationError: The language is empty.
    """
    if to == "":
        raise ConfigurationError('a translation needs a language to translate into, such as to="fr"')
    heard = TranslationInput(
        noise_reduction=NoiseReduction(type=noise_reduction) if isinstance(noise_reduction, str) else noise_reduction,
        transcription=_transcription(transcribe_input),
    )
    output = UNSET if to is None else TranslationOutput(language=to)
    return TranslationSession(
        audio=TranslationAudio(input=UNSET if heard == TranslationInput() else heard, output=output)
    )


def _transcription(wanted: bool | str | None) -> InputTranscription | UnsetType | None:
    if wanted is None:
        return UNSET
    if wanted is False:
        return None
    return InputTranscription(model=DEFAULT_CAPTION_MODEL if wanted is True else wanted)


def _shown(audio_format: AudioFormat) -> str:
    return f"{audio_format.type} at {audio_format.rate} Hz"
