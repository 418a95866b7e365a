"""A microphone and a speaker, by the extra `audio` (sounddevice, which is PortAudio, and soxr).

Owns devices: which there are, opening one, what its thread brings and takes, and the pumps between them and a session.
Knows no protocol beyond four event names. Before it: a sound card; after it: `Session.send_audio` and
`session.playback`. Rates are changed by `audio.Converter`: a device is always opened at its own rate.

PortAudio calls back in a thread of its own. That thread only copies bytes into or out of a bounded buffer and wakes the
event loop; everything else happens on the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, cast

import msgspec

from ..audio import PCM16, AudioFormat, Converter
from ..audio.jitter import JitterBuffer
from ..events import AudioFlush, ResponseOutputAudioDelta, ResponseOutputAudioDone
from ..exceptions import AudioFormatError, ConfigurationError, ConnectionLostError, MissingExtra, RealtimeError
from ..logs import logger

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Device", "Microphone", "Speaker", "Talk", "list_devices", "talk_through"]

log = logger("sound")

Side = Literal["input", "output"]

NO_PORTAUDIO = (
    "the PortAudio library is not installed; on Debian and Ubuntu run: apt install libportaudio2, on macOS: "
    "brew install portaudio"
)
_NAMES = {"input": "microphone", "output": "speaker"}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A sound device: its number and name, its own rate in Hz, and how many channels it has each way."""

    index: int
    name: str
    rate: int
    inputs: int
    outputs: int


def list_devices(*, backend: Any = None) -> list[Device]:
    """Gives the sound devices of this machine, in the order of their numbers; an empty list is possible.

    Args:
        backend: What stands in for the module sounddevice, in tests.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or cannot ask for devices.
    """
    backend = backend or _sounddevice()
    with _portaudio_errors(backend, "the sound devices cannot be listed"):
        return [_device(found) for found in backend.query_devices()]


def _device(found: Any) -> Device:
    return Device(
        index=int(found["index"]),
        name=str(found["name"]),
        rate=round(found["default_samplerate"]),
        inputs=int(found["max_input_channels"]),
        outputs=int(found["max_output_channels"]),
    )


def _sounddevice() -> Any:
    try:
        return import_module("sounddevice")
    except ImportError as error:
        raise MissingExtra("audio", "sounddevice") from error
    except OSError as error:
        raise ConfigurationError(NO_PORTAUDIO) from error


@contextmanager
def _portaudio_errors(backend: Any, what: str) -> Generator[None]:
    try:
        yield
    except backend.PortAudioError as error:
        raise ConfigurationError(f"{what}: {error.args[0] if error.args else error}") from error


def _chosen(backend: Any, side: Side, wanted: int | str | None) -> Device:
    """Gives the device of a number, the first whose name holds some words, or the machine's default one."""
    fitting = [device for device in list_devices(backend=backend) if getattr(device, f"{side}s")]
    if not fitting:
        raise ConfigurationError(f"this machine has no {_NAMES[side]}, or PortAudio sees none")
    if wanted is None:
        with _portaudio_errors(backend, f"this machine has no default {_NAMES[side]}; name one of {_named(fitting)}"):
            return _device(backend.query_devices(kind=side))
    if isinstance(wanted, int):
        matches = [device for device in fitting if device.index == wanted]
    else:
        same = [device for device in fitting if device.name.casefold() == wanted.casefold()]
        matches = same or [device for device in fitting if wanted.casefold() in device.name.casefold()]
    if not matches:
        raise ConfigurationError(f"no {_NAMES[side]} is called {wanted!r}; there are {_named(fitting)}")
    return matches[0]


def _named(devices: list[Device]) -> str:
    return ", ".join(f"{device.index} {device.name!r}" for device in devices)


class _Bell:
    """Calls a function on the event loop for the thread of a device: once, however often it rings until then."""

    def __init__(self, answer: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer = answer
        self._rings = False

    def ring(self) -> None:
        if self._rings or self._loop.is_closed():
            return
        self._rings = True
        try:
            self._loop.call_soon_threadsafe(self._answered)
        except RuntimeError:
            return  # The loop was closed in between: nobody is there any more.

    def _answered(self) -> None:
        # Before the answer: what comes while it runs rings again.
        self._rings = False
        self._answer()


class _Stream:
    """One open device; what a microphone and a speaker have in common.

    Opening and closing block the event loop for as long as PortAudio takes, some ten milliseconds: on Windows a device
    belongs to the thread that opened it.
    """

    def __init__(
        self,
        backend: Any,
        side: Side,
        device: Device,
        *,
        block_ms: float,
        callback: Callable[..., None],
        on_finish: Callable[[], None],
    ) -> None:
        self._on_finish = on_finish
        make = backend.RawInputStream if side == "input" else backend.RawOutputStream
        with _portaudio_errors(backend, f"the {_NAMES[side]} {device.name!r} cannot be opened"):
            self._stream = make(
                samplerate=device.rate,
                blocksize=max(1, int(device.rate * block_ms / 1000)),
                device=device.index,
                channels=1,
                dtype="int16",
                latency="low",
                callback=callback,
                finished_callback=self._finish,
            )
            try:
                self._stream.start()
            except backend.PortAudioError:
                self.close()
                raise

    def close(self) -> None:
        self._on_finish = _nothing  # it is no surprise
        self._stream.abort()
        self._stream.close()

    def _finish(self) -> None:
        self._on_finish()


def _nothing() -> None:
    return


class Microphone:
    """Gives what a microphone hears, as an async iterator of bytes; `async with` opens and closes it.

    Args:
        device: A number of `list_devices`, a part of a name (the first that fits), or None for the default one.
        format: What comes out. None means what the session wants, in `talk_through`, and pcm16 at 24 kHz elsewhere.
        block_ms: How much comes at a time.
        max_ms: How much waits at the most for somebody who does not read; then the oldest is dropped, and counted.
        backend: What stands in for the module sounddevice, in tests.

    Attributes:
        device: The device that was found.
        overflows: How often the device itself had lost something before it called.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or there is no such device.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        format: AudioFormat | None = None,
        block_ms: float = 20,
        max_ms: float = 1_000,
        backend: Any = None,
    ) -> None:
        self._backend = backend or _sounddevice()
        self.device = _chosen(self._backend, "input", device)
        self.format = format
        self.overflows = 0
        self._block_ms = block_ms
        self._ring: deque[bytes] = deque(maxlen=max(1, round(max_ms / block_ms)))
        self._dropped_bytes = 0
        self._stream: _Stream | None = None
        self._has_stopped = False

    @property
    def dropped_ms(self) -> float:
        """How much was dropped because nobody read it in time."""
        return self._own_format.duration_ms(self._dropped_bytes)

    @property
    def _own_format(self) -> AudioFormat:
        return AudioFormat(rate=self.device.rate)

    async def __aenter__(self) -> Self:
        self._converter = Converter(self._own_format, self.format or PCM16)
        self._news = asyncio.Event()
        self._bell = _Bell(self._news.set)
        self._ring.clear()
        self._has_stopped = False
        self._stream = _Stream(
            self._backend,
            "input",
            self.device,
            block_ms=self._block_ms,
            callback=self._heard,
            on_finish=self._stop,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Gives the next audio in the microphone's format.

        Raises:
            RealtimeError: The device has stopped by itself: it was unplugged, for one.
        """
        while True:
            if self._ring:
                if audio := self._converter.feed(self._ring.popleft()):
                    return audio
                continue
            if self._stream is None:
                raise StopAsyncIteration
            if self._has_stopped:
                raise RealtimeError(f"the microphone {self.device.name!r} has stopped")
            self._news.clear()
            # What came between the look into the ring and here has not rung yet: its bell is answered on this loop.
            await self._news.wait()

    def _heard(self, indata: Any, frames: int, time: Any, status: Any) -> None:
        """Takes a block, in PortAudio's thread."""
        self.overflows += bool(status.input_overflow)
        if len(self._ring) == self._ring.maxlen:
            self._dropped_bytes += len(self._ring[0])
        self._ring.append(bytes(indata))
        self._bell.ring()

    def _stop(self) -> None:
        self._has_stopped = True
        self._bell.ring()


class Speaker:
    """Plays the audio of items, and knows how much of each was heard; `async with` opens and closes it.

    Args:
        device: A number of `list_devices`, a part of a name (the first that fits), or None for the default one.
        format: What it is given. None means what the session gives, in `talk_through`, and pcm16 at 24 kHz elsewhere.
        start_ms: How much has to be there before an item is begun, against gaps where the network is uneven.
        block_ms: How much the device takes at a time; positions are as fine as this.
        on_played: Called on the event loop with an item's id and the milliseconds of it that were heard, whenever that
            changed.
        backend: What stands in for the module sounddevice, in tests.

    Attributes:
        device: The device that was found.
        underflows: How often the device itself ran dry because this program was too slow.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or there is no such device.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        format: AudioFormat | None = None,
        start_ms: float = 60,
        block_ms: float = 10,
        on_played: Callable[[str, float], object] | None = None,
        backend: Any = None,
    ) -> None:
        self._backend = backend or _sounddevice()
        self.device = _chosen(self._backend, "output", device)
        self.format = format
        self.on_played = on_played
        self.underflows = 0
        self._block_ms = block_ms
        self._own_format = AudioFormat(rate=self.device.rate)
        self._buffer = JitterBuffer(self._own_format, start_ms=start_ms)
        self._stream: _Stream | None = None
        self._has_stopped = False
        self._whole_ms: dict[str, float] = {}
        self._begin_item("")

    @property
    def underruns(self) -> int:
        """How often the audio of an item ran out before its end."""
        return self._buffer.underruns

    async def __aenter__(self) -> Self:
        self._news = asyncio.Event()
        self._bell = _Bell(self._report)
        self._begin_item("")
        self._has_stopped = False
        self._stream = _Stream(
            self._backend,
            "output",
            self.device,
            block_ms=self._block_ms,
            callback=self._fill,
            on_finish=self._stop,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._buffer.clear()
            self._news.set()

    def play(self, item_id: str, audio: bytes) -> None:
        """Adds audio of an item, in the speaker's format, to what is to be played.

        Raises:
            AudioFormatError: if pcm16 has an odd length.
        """
        if item_id != self._item_id:
            self.end(self._item_id)
            self._begin_item(item_id)
        fresh = self._converter.feed(audio)
        self._given_bytes += len(audio)
        self._buffer.put(item_id, fresh)

    def end(self, item_id: str) -> None:
        """Takes note that nothing more of an item comes: what there is of it is played, however short."""
        if item_id and item_id == self._item_id:
            self._buffer.put(item_id, self._converter.flush())
            self._whole_ms[item_id] = self._format.duration_ms(self._given_bytes)
            self._buffer.end(item_id)
            self._begin_item("")

    def flush(self) -> None:
        """Throws away what waits; what the device has already been given is still heard."""
        self._whole_ms.clear()
        self._begin_item("")
        self._buffer.clear()

    async def finished(self) -> None:
        """Waits until everything that was given has been heard and reported.

        Raises:
            RealtimeError: The device has stopped by itself.
        """
        while self._stream is not None and not self._buffer.is_empty:
            await self._next_news()
        self._report()

    async def watch(self) -> None:
        """Waits until the speaker is closed.

        Raises:
            RealtimeError: The device has stopped by itself: it was unplugged, for one.
        """
        while self._stream is not None:
            await self._next_news()

    async def _next_news(self) -> None:
        if self._has_stopped:
            raise RealtimeError(f"the speaker {self.device.name!r} has stopped")
        self._news.clear()
        await self._news.wait()

    @property
    def _format(self) -> AudioFormat:
        return self.format or PCM16

    def _begin_item(self, item_id: str) -> None:
        self._item_id = item_id
        self._given_bytes = 0
        self._converter = Converter(self._format, self._own_format)

    def _fill(self, outdata: Any, frames: int, time: Any, status: Any) -> None:
        """Gives the device a block, in PortAudio's thread."""
        self.underflows += bool(status.output_underflow)
        delay_s = time.outputBufferDacTime - time.currentTime
        outdata[:] = self._buffer.take(len(outdata), 1000 * delay_s)
        self._bell.ring()

    def _stop(self) -> None:
        self._has_stopped = True
        self._bell.ring()

    def _report(self) -> None:
        for position in self._buffer.positions():
            # The sum of converted samples may be a fraction of a sample off; who heard everything heard all of it.
            whole_ms = self._whole_ms.pop(position.item_id, position.ms) if position.is_over else position.ms
            if self.on_played is not None:
                self.on_played(position.item_id, whole_ms)
        self._news.set()


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
