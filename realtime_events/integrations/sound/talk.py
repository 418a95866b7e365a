"""A talk: the pumps between a microphone, a session and a speaker.

Owns their tasks and how they end, and the format that each device is given. Knows no device beyond the two. Before it:
`microphone.py` and the session's events; after it: `Session.send_audio`, `speaker.py` and `session.playback`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...audio import PCM16, AudioFormat
from ...events import AudioFlush, ResponseOutputAudioDelta, ResponseOutputAudioDone
from ...exceptions import AudioFormatError, ConnectionLostError, RealtimeError
from ...logs import logger
from .microphone import Microphone
from .speaker import Speaker

if TYPE_CHECKING:
    from ...session import Session

log = logger("sound")


class _Playback(Protocol):
    """What takes the positions: `session.playback`."""

    def played(self, item_id: str, *, ms: float) -> object: ...


class Talk:
    """A microphone and a speaker at work for a session; `talk_through` makes it."""

    def __init__(self, session: Session, microphone: Microphone, speaker: Speaker) -> None:
        self.session = session
        self.microphone = microphone
        self.speaker = speaker
        self._tasks: list[asyncio.Task[None]] = []

    async def ended(self) -> None:
        """Waits until the session has ended.

        Raises:
            RealtimeError: A device has stopped by itself.
        """
        closed = asyncio.ensure_future(self.session.wait_closed())
        waiting: set[asyncio.Future[Any]] = {closed, *self._tasks}
        try:
            while not closed.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            closed.cancel()

    def start(self) -> None:
        """Starts the pumps."""
        events = self.session.stream(ResponseOutputAudioDelta, ResponseOutputAudioDone, AudioFlush)
        self._tasks = [
            self._task(self._listen(), "microphone"),
            self._task(self._speak(events), "speaker"),
            self._task(self._watch(), "watch"),
        ]

    async def stop(self) -> None:
        """Stops the pumps, and raises what one of them failed with."""
        for task in self._tasks:
            task.cancel()
        for end in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(end, Exception):
                raise end

    def _task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.create_task(work, name=f"realtime_events.sound.{name}")

    async def _listen(self) -> None:
        try:
            async for audio in self.microphone:
                await self.session.send_audio(audio)
        except ConnectionLostError:
            return  # The session tells by itself how it ended.
        except RealtimeError as error:
            log.error("session %s hears nothing any more: %s", self.session.id, error)
            raise

    async def _watch(self) -> None:
        try:
            await self.speaker.watch()
        except RealtimeError as error:
            log.error("session %s is not heard any more: %s", self.session.id, error)
            raise

    async def _speak(self, events: Any) -> None:
        async with events:
            async for event in events:
                if isinstance(event, ResponseOutputAudioDelta):
                    self.speaker.play(event.item_id, event.delta)
                elif isinstance(event, ResponseOutputAudioDone):
                    self.speaker.end(event.item_id)
                else:
                    self.speaker.flush()


@asynccontextmanager
async def talk_through(
    session: Session, microphone: Microphone | None = None, speaker: Speaker | None = None
) -> AsyncGenerator[Talk]:
    """Lets a person talk with a session: the microphone is sent, its answers are played.

    An `audio.flush` empties the speaker, and the speaker tells `session.playback` what was heard, so an interruption is
    cut at the right word. Without headphones the microphone hears the speaker.

    Args:
        session: An open session.
        microphone: One that is not open yet; None takes the default one.
        speaker: One that is not open yet; None takes the default one.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or a device is missing or cannot be opened.
        AudioFormatError: A device was made for another format than the session's.
        RealtimeError: A device stopped by itself; raised at the end.
    """
    microphone, speaker = microphone or Microphone(), speaker or Speaker()
    heard, spoken = _formats(session)
    microphone.format = _agreed(heard, microphone.format)
    speaker.format = _agreed(spoken, speaker.format)
    playback = cast("_Playback", cast("Any", session).playback)
    speaker.on_played = _both(speaker.on_played, playback)
    async with AsyncExitStack() as devices:
        await devices.enter_async_context(speaker)
        await devices.enter_async_context(microphone)
        talk = Talk(session, microphone, speaker)
        talk.start()
        devices.push_async_callback(talk.stop)
        yield talk


def _both(own: Callable[[str, float], object] | None, playback: _Playback) -> Callable[[str, float], None]:
    def on_played(item_id: str, ms: float) -> None:
        playback.played(item_id, ms=ms)
        if own is not None:
            own(item_id, ms)

    return on_played


def _formats(session: Session) -> tuple[AudioFormat, AudioFormat]:
    """Gives what a session hears and what it says."""
    audio = session.config.audio
    sides = (audio.input, audio.output) if audio else (None, None)
    heard, spoken = (side.format if side else None for side in sides)
    return _format(heard), _format(spoken)


def _format(stated: Any) -> AudioFormat:
    if not stated or not stated.type or stated.type == "audio/pcm":
        return PCM16
    return AudioFormat(type=stated.type, rate=8_000)


def _agreed(wanted: AudioFormat, given: AudioFormat | None) -> AudioFormat:
    if given not in (None, wanted):
        raise AudioFormatError(f"{wanted.type} at {wanted.rate} Hz", f"{given.type} at {given.rate} Hz")
    return wanted
