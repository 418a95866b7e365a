"""Transcription sessions: audio in, lines of text out.

Owns the handle `Transcription` and the settings of such a session, with what each model takes. Knows no socket, and
leaves the order of lines to `protocol/lines.py`. Before it: the application; after it: a `Session` of the kind
transcription, whose events it listens to.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .arrivals import Arrivals
from .audio import PCM16, AudioFormat
from .audio_file import file_pieces
from .events import local
from .events.base import UNSET, UnsetType
from .events.session import InputTranscription, NoiseReduction, SessionConfig, TurnDetection
from .events.transcription import TranscriptionUsage
from .exceptions import ConfigurationError, LocalProtocolError, ServerError
from .protocol import dialect
from .protocol.captions import CaptionFormat, export_captions
from .protocol.lines import Line, Lines
from .streams import within

if TYPE_CHECKING:
    from .session import Session

DEFAULT_TRANSCRIPTION_MODEL: Final = "gpt-transcribe"
FINISH_TIMEOUT_S = 30.0
SHORTEST_COMMIT_MS = 100  # the API refuses to commit less
SERVER_SILENCE_MS = 500  # the API's default for the silence that ends a turn
SILENCE_MARGIN_MS = 300
NOTHING_TO_COMMIT = "input_audio_buffer_commit_empty"
LOGPROBS = "item.input_audio_transcription.logprobs"
SETTINGS: Final = frozenset(InputTranscription.__struct_fields__) - {"model"}
HEARD = ("input_audio_buffer.*", "conversation.item.*", "connection.lost", "connection.closed")

# What a model is known not to take; a model that is not named here may take anything.
_WHISPER = "gpt-realtime-whisper"
_OF_TWO = frozenset({"languages", "keywords"})
REFUSED: Final[Mapping[str, frozenset[str]]] = {
    "whisper-1": _OF_TWO | {"delay"},
    "gpt-transcribe": frozenset({"delay"}),
    "gpt-live-transcribe": frozenset({"delay"}),
    "gpt-4o-transcribe": _OF_TWO | {"delay"},
    "gpt-4o-mini-transcribe": _OF_TWO | {"delay"},
    "gpt-4o-mini-transcribe-2025-12-15": _OF_TWO | {"delay"},
    "gpt-4o-transcribe-diarize": _OF_TWO | {"delay", "prompt"},
    _WHISPER: _OF_TWO | {"prompt"},
}

Detection = TurnDetection | Mapping[str, Any] | UnsetType | None
Reduction = NoiseReduction | str | UnsetType | None


class Transcription:
    """A live transcription: send audio, and iterate over its lines.

    `Realtime.transcribe()` makes it. Partial lines grow as their item is spoken; a partial line that nobody took is
    replaced by what follows it. Final lines come in the order of the items. The iteration ends after `finish()`, or
    when the session is closed; it raises `ConnectionLostError` where the connection was lost, after the lines that
    had come: what was not transcribed by then is a final line with an `error`.

    Attributes:
        session: The session below, for everything else.
    """

    def __init__(self, session: Session, audio_format: AudioFormat) -> None:
        self.session = session
        self._format = audio_format
        self._lines = Lines()
        self._arrivals: Arrivals[Line] = Arrivals()
        self._is_finished = False
        # Heard on the reader, in the order of the frames: whoever awaits an answer finds its effect here already.
        self._stream = session.stream(*HEARD, when=self._hear)

    # Sending.

    async def send_audio(self, audio: bytes) -> None:
        """Append audio in the session's format; by default pcm16, mono, 24,000 Hz.

        Raises:
            AudioFormatError: Half a sample at the end.
            LocalProtocolError: The transcription is finished.
            ConnectionLostError: The connection has ended.
        """
        if self._is_finished:
            raise LocalProtocolError("send_audio() was called after finish()")
        await self.session.send_audio(self._format.check(audio))
        self._lines.sent_ms += self._format.duration_ms(len(audio))

    async def send_file(self, path: str | os.PathLike[str], *, pace: float | None = None) -> None:
        """Send a mono 16-bit WAV file of the format's rate.

        Args:
            path: The file.
            pace: The speed relative to real time: 1 is as it was spoken, None as fast as it goes.

        Raises:
            AudioFormatError: The file is no such file, or holds no audio; both values are named.
            OSError: The file cannot be read.
        """
        async for piece in file_pieces(path, self._format, pace):
            await self.send_audio(piece)

    async def commit(self) -> None:
        """Make an item of what was sent since the last one, if it is enough: the API takes no less than 100 ms.

        Only needed without turn detection, and not before `finish()`.
        """
        if self._lines.uncommitted_ms < SHORTEST_COMMIT_MS:
            return
        self._lines.commit()
        try:
            await self.session.commit_audio()
        except ServerError as refused:
            self._lines.not_committed()
            if refused.code != NOTHING_TO_COMMIT:
                raise

    async def finish(self, *, timeout: float | None = FINISH_TIMEOUT_S) -> None:
        """Say that all audio was sent, and wait until the last item is transcribed or has failed.

        With turn detection a silence is sent, by which the end of the last words is heard.

        Raises:
            TimeoutError: Transcripts are missing after `timeout` seconds.
            ConnectionLostError: The connection ended first.
        """
        if self._arrivals.is_over and self._arrivals.lost is None:
            return
        try:
            async with within(timeout, "the last transcripts did not come"):
                await self._end_of_audio()
                while self._lines.awaited and not self._arrivals.is_over:
                    await self._arrivals.news()
        finally:
            self._is_finished = True
        if self._arrivals.lost is not None:
            raise self._arrivals.lost
        self._arrivals.end()

    async def _end_of_audio(self) -> None:
        detection = self._detection()
        if self._is_finished:
            return
        if detection:
            silence_ms = (detection.silence_duration_ms or SERVER_SILENCE_MS) + SILENCE_MARGIN_MS
            await self.send_audio(self._format.silence(silence_ms))
            # The answer to an update that changes nothing comes after whatever the audio before it has caused.
            await self.session.update(timeout=None)
        if not detection or self._lines.speaking is not None:
            await self.commit()

    def _detection(self) -> TurnDetection | None:
        audio = self.session.config.audio
        heard = audio.input if audio else None
        return (heard.turn_detection or None) if heard else None

    # Looking.

    @property
    def lines(self) -> list[Line]:
        """The final lines so far, in the order of the items."""
        return self._lines.finals()

    @property
    def text(self) -> str:
        """The words of all final lines, one line each."""
        return "\n".join(line.text.strip() for line in self.lines if line.text.strip())

    @property
    def usage(self) -> TranscriptionUsage:
        """What the transcripts cost so far, in tokens or in seconds."""
        return self._lines.usage

    def export(self, format: CaptionFormat) -> str:
        """Give the final lines as an `srt`, `vtt`, `json` or `md` document."""
        return export_captions((line.caption for line in self.lines), format)

    # Listening.

    def __aiter__(self) -> Transcription:
        return self

    async def __anext__(self) -> Line:
        return await self._arrivals.next()

    def _hear(self, event: Any) -> bool:
        """Take an event; nothing is left for the stream, which would keep it."""
        if isinstance(event, local.ConnectionLost):
            self._offer(self._lines.cut())
        elif isinstance(event, local.ConnectionClosed):
            self._offer(self._lines.cut())
            self._arrivals.end_with(event, is_complete=self._arrivals.is_over)
        else:
            self._offer(self._lines.feed(event))
        self._arrivals.notify()
        return False

    def _offer(self, lines: list[Line]) -> None:
        arrivals = self._arrivals
        for line in lines:
            arrivals.ready = deque(waiting for waiting in arrivals.ready if not _is_replaced(waiting, line))
            arrivals.ready.append(line)


def _is_replaced(waiting: Line, line: Line) -> bool:
    if waiting.is_final or waiting.item_id != line.item_id:
        return False
    return line.is_final or waiting.segment_id == line.segment_id


@asynccontextmanager
async def transcribing(
    connecting: AbstractAsyncContextManager[Session], audio_format: AudioFormat
) -> AsyncGenerator[Transcription]:
    """Connect, and give the handle of the session while the block lasts."""
    async with connecting as session:
        yield Transcription(session, audio_format)


def transcription_config(
    settings: InputTranscription,
    *,
    turn_detection: Detection = UNSET,
    noise_reduction: Reduction = UNSET,
    format: AudioFormat = PCM16,
    logprobs: bool = False,
) -> SessionConfig:
    """Give the configuration of a transcription session.

    Raises:
        ConfigurationError: The model is known not to take a setting; both are named.
    """
    _check(settings)
    if settings.model == _WHISPER:
        if turn_detection:
            shown = turn_detection if isinstance(turn_detection, Mapping) else msgspec.to_builtins(turn_detection)
            raise ConfigurationError(f"{_WHISPER} needs turn_detection=None, got {shown}")
        turn_detection = None
    reduction = {"type": noise_reduction} if isinstance(noise_reduction, str) else noise_reduction
    heard = {
        "format": {"type": format.type, "rate": format.rate} if format.type == PCM16.type else {"type": format.type},
        "transcription": settings,
        "turn_detection": turn_detection,
        "noise_reduction": reduction,
    }
    said = {name: value for name, value in heard.items() if value is not UNSET}
    config: dict[str, Any] = {"type": "transcription", "audio": {"input": msgspec.to_builtins(said)}}
    return dialect.session_config({**config, "include": [LOGPROBS]} if logprobs else config)


def _check(settings: InputTranscription) -> None:
    for name in sorted(REFUSED.get(settings.model or "", frozenset())):
        if value := getattr(settings, name):
            raise ConfigurationError(f"the model {settings.model} does not take {name}, got {name}={value!r}")
