"""A conversation by recorded speech: a WAV file in, the turns that it causes out.

Owns the sending of a recording in real time and the wait for its answers. Before it: `run --wav` and `demo`; after it:
`Session.send_audio`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..audio import PCM16, AudioFormat, Converter, Pacer, load_audio, pieces
from ..events import AudioInput, ResponseCreate, TurnStarted
from ..exceptions import AudioFormatError, ConfigurationError, MissingExtra, RealtimeError
from .output import Printer, seconds
from .serving import loss, opened, patience_s

if TYPE_CHECKING:
    from ..app import Realtime
    from ..protocol.turns import Turn
    from ..session import Session

REAL_TIME = 1.0
SILENCE_MS = 10_000  # enough for the most patient turn detection
NOTICE_S = 1.0  # how long the server may take to notice speech at the very end
NO_SPEECH_S = 15.0
TURN_TIMEOUT_S = 120.0


def load_speech(path: Path) -> bytes:
    """Read a mono WAV file of any rate as pcm16 at 24 kHz.

    Raises:
        ConfigurationError: It cannot be read, or its audio is of another kind.
    """
    try:
        return load_audio(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    except (AudioFormatError, MissingExtra) as error:
        raise ConfigurationError(f"{path}: {error}") from None


async def speak(application: Realtime, speech: bytes) -> int:
    """Connect an application, say a recording to it, and show the turns that it causes."""
    printer = Printer()
    async with application.connect(connect_retry_s=patience_s(application)) as session:
        printer.note(opened(session))
        printer.said("you", "(speaking)", seconds(PCM16.duration_ms(len(speech))))
        for turn in await say_to(session, speech, pace=REAL_TIME):
            show(printer, turn)
    return 0


def show(printer: Printer, turn: Turn) -> None:
    """Print a turn that has ended."""
    if turn.user_text:
        printer.said("you", turn.user_text)
    for call in turn.tool_calls:
        printer.tool(call.name, call.arguments, call.output)
    note = f"{seconds(turn.audio_ms)} of speech" if turn.audio_ms else ""
    printer.said("assistant", turn.text or f"({turn.status})", note)


async def say_to(session: Session, speech: bytes, *, silence_ms: float = SILENCE_MS, pace: float) -> list[Turn]:
    """Send pcm16 speech in pieces of 20 ms and silence after it, and give the turns that it causes, all ended.

    Args:
        session: A session whose input format is one of the wire's.
        speech: pcm16 mono at 24 kHz.
        silence_ms: How much silence follows at the most; turn detection hears by it that the speech is over.
        pace: The speed relative to real time; infinite is as fast as the connection takes it.

    Raises:
        RealtimeError: No turn began: the server heard no speech.
        TransportError: The connection ended first.
    """
    turns: list[Turn] = []
    begun = 0
    async with session.stream("turn.started", "turn.done") as events:
        sending = asyncio.create_task(_send(session, speech, silence_ms, pace), name="realtime_events.cli.speech")
        try:
            await _sent(sending, speech, pace)
            while len(turns) < begun or not begun:
                event = await _within(TURN_TIMEOUT_S if begun else NO_SPEECH_S, events, session)
                begun += isinstance(event, TurnStarted)
                if not isinstance(event, TurnStarted):
                    turns.append(event.turn)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return turns


async def _sent(sending: asyncio.Task[None], speech: bytes, pace: float) -> None:
    """Wait until the speech is over, so that a turn which ends in the middle of it does not end the wait."""
    speech_s = PCM16.duration_ms(len(speech)) / 1000
    await asyncio.wait({sending}, timeout=(speech_s + NOTICE_S) / pace)
    if sending.done():
        sending.result()


async def _within(timeout: float, events: Any, session: Session) -> Any:
    try:
        async with asyncio.timeout(timeout):
            return await anext(events)
    except TimeoutError:
        raise RealtimeError(f"no turn began or ended within {timeout:g} s; did the server hear speech?") from None
    except StopAsyncIteration:
        raise loss(await session.wait_closed()) from None


async def _send(session: Session, speech: bytes, silence_ms: float, pace: float) -> None:
    wire = _input_format(session)
    await _send_pieces(session, _encoded(speech, wire), wire, pace)
    heard = _input(session)
    if heard is not None and heard.turn_detection is None:  # absent means that the server's default is on
        await session.commit_audio()
        await session.send(ResponseCreate())
        return
    await _send_pieces(session, wire.silence(silence_ms), wire, pace)


async def _send_pieces(session: Session, audio: bytes, wire: AudioFormat, pace: float) -> None:
    loop, pacer = asyncio.get_running_loop(), Pacer(pace)
    for piece in pieces(audio, wire):
        await asyncio.sleep(pacer.wait_s(loop.time(), wire.duration_ms(len(piece))))
        await session.send_audio(piece)


def _input(session: Session) -> AudioInput | None:
    return (session.config.audio.input or None) if session.config.audio else None


def _input_format(session: Session) -> AudioFormat:
    heard = _input(session)
    stated = heard.format if heard else None
    if not stated or not stated.type or stated.type == "audio/pcm":
        return PCM16
    return AudioFormat(type=stated.type, rate=8_000)


def _encoded(speech: bytes, wire: AudioFormat) -> bytes:
    converter = Converter(PCM16, wire)
    return converter.feed(speech) + converter.flush()
