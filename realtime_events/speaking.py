"""Speaking: the user's audio on its way into the input buffer.

Owns formats and their conversion, the gate against echo, muting, pacing, and push-to-talk. Knows no socket and no
device. Before it: a microphone or a file; after it: the connection, whose outbox keeps audio behind what is urgent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Generator
from typing import Literal, Protocol

from .audio import PCM16, PCMA, PCMU, AudioFormat
from .audio.convert import Converter
from .audio.pacing import Pacer, PreRoll, pieces
from .audio.wav import load_audio
from .events import client
from .events.session import SessionConfig
from .exceptions import AudioFormatError, ConfigurationError, LocalProtocolError, RealtimeError
from .protocol.core import LEAST_COMMIT_MS, Core
from .protocol.turns import Turn

Gate = Literal["open", "half_duplex"]

# The API takes 15 MiB an append; so that what is urgent never waits behind much of it, one holds a second of pcm16.
MAX_APPEND_BYTES = 48_000
PIECE_MS = 20.0
PRE_ROLL_MS = 300.0
# What is kept to be said again to a session that takes over: where the server listens for speech, the moment before it
# hears any; where the application commits, all that is to be committed.
KEEP_RECENT_MS = 500.0
KEEP_UNCOMMITTED_MS = 30_000.0
WIRE_FORMATS = {"audio/pcm": PCM16, "audio/pcmu": PCMU, "audio/pcma": PCMA}


class Appending(Protocol):
    """What takes the audio: the connection."""

    @property
    def waiting_bytes(self) -> int:
        """How much accepted audio has not been sent yet."""
        ...

    @property
    def uncommitted_bytes(self) -> int:
        """How much audio was sent, and waits for an event of the server that covers it."""
        ...

    def audio_is(self, format: AudioFormat, *, keep_ms: float) -> None:
        """Take note of the format of the audio that will be sent, and how much of it to keep for saying it again."""
        ...

    async def send_audio(self, event: client.InputAudioBufferAppend) -> None:
        """Send audio, which nobody answers; it is accepted when this returns."""
        ...


class Speech:
    """The user's audio of one session.

    Args:
        core: State, which knows the session's input format and what is being heard.
        connection: Where audio goes.
        gate: `open`, or `half_duplex`: nothing is sent while the assistant is heard.
        new_id: Gives a fresh id.
        clock: Gives seconds.
    """

    def __init__(
        self,
        core: Core,
        connection: Appending,
        *,
        gate: Gate,
        new_id: Callable[[str], str],
        clock: Callable[[], float],
    ) -> None:
        self.gate: Gate = gate
        self.muted = False
        self.withheld_ms = 0.0
        self._core = core
        self._connection = connection
        self._new_id = new_id
        self._clock = clock
        self._converter: Converter | None = None
        self._config: SessionConfig | None = None
        self._format = self._wire = PCM16
        self._listens = False
        self._uncommitted_bytes = 0
        self._pre_roll: PreRoll | None = None

    def attach(self, core: Core, connection: Appending) -> None:
        """Go on with a new incarnation of the session."""
        self._core, self._connection = core, connection
        self._note_config()
        # What is lost with a session cannot be committed in the next.
        self._uncommitted_bytes = 0 if self._listens else connection.uncommitted_bytes + connection.waiting_bytes

    @property
    def format(self) -> AudioFormat:
        """The session's input format, as the server last confirmed it."""
        if self._core.config is not self._config:  # Asked for with every piece of audio, and changed hardly ever.
            self._note_config()
        return self._format

    def _note_config(self) -> None:
        self._config = self._core.config
        self._format, self._listens = _input_format(self._config), bool(self._core.turn_detection)
        keep_ms = KEEP_RECENT_MS if self._listens else KEEP_UNCOMMITTED_MS
        self._connection.audio_is(self._format, keep_ms=keep_ms)

    async def send(self, audio: bytes, source: AudioFormat | None) -> None:
        """Send audio, unless it is withheld: muted, or gated against echo.

        Raises:
            AudioFormatError: It is not whole samples of its format.
        """
        audio = self._in_wire_format(audio, source)
        if not audio:
            return
        if self.muted or self.is_gated:
            self._withhold(audio)
            return
        if self._pre_roll is not None:
            audio, self._pre_roll = self._pre_roll.take() + audio, None
        if len(audio) <= MAX_APPEND_BYTES:
            await self._append(audio)
            return
        for start in range(0, len(audio), MAX_APPEND_BYTES):
            await self._append(audio[start : start + MAX_APPEND_BYTES])

    @property
    def is_gated(self) -> bool:
        """Whether the user is not to be heard now, because the assistant is."""
        if self.gate == "open" and not self._core.voice.is_protected:
            return False
        return self._core.voice.gates_mic(self._clock(), half_duplex=self.gate == "half_duplex")

    def _in_wire_format(self, audio: bytes, source: AudioFormat | None) -> bytes:
        wire = self.format
        if wire is not self._wire:
            self._wire, self._pre_roll = wire, None
        if source is None or source == wire:
            return _whole_samples(audio, wire)
        if self._converter is None or (self._converter.source, self._converter.target) != (source, wire):
            self._converter = Converter(source, wire)
        return self._converter.feed(_whole_samples(audio, source))

    def _withhold(self, audio: bytes) -> None:
        self.withheld_ms += self.format.duration_ms(len(audio))
        if not self.muted:
            self._pre_roll = None  # What was kept is not followed by what is sent next.
            return
        # The first word is often said just before the button is pressed.
        self._pre_roll = self._pre_roll or PreRoll(PRE_ROLL_MS, self.format)
        self._pre_roll.feed(audio)

    async def _append(self, audio: bytes) -> None:
        event = client.InputAudioBufferAppend(event_id=self._new_id("event"), audio=audio)
        await self._connection.send_audio(event)
        # With turn detection, it is the server that commits.
        self._uncommitted_bytes = 0 if self._listens else self._uncommitted_bytes + len(audio)

    async def send_file(
        self, source: str | os.PathLike[str] | bytes, *, pace: float, silence_ms: float, piece_ms: float = PIECE_MS
    ) -> float:
        """Send a file, or audio of the session's format, in pieces as fast as it sounds; gives how many ms it was."""
        wire = self.format
        if isinstance(source, bytes | bytearray):
            audio = bytes(source)
        else:  # In a thread: to change the rate of a long file takes longer than the loop may be held up.
            audio = await asyncio.to_thread(load_audio, source, wire)
        loop, pacer = asyncio.get_running_loop(), Pacer(pace)
        for piece in pieces(audio, wire, piece_ms=piece_ms, silence_ms=silence_ms):
            if wait_s := pacer.wait_s(loop.time(), wire.duration_ms(len(piece))):
                await asyncio.sleep(wait_s)
            await self.send(piece, None)
        return wire.duration_ms(len(audio)) + silence_ms

    # Committing.

    def check_commit(self, *, if_enough: bool) -> bool:
        """Say whether there is enough to commit, and count from zero again.

        Raises:
            LocalProtocolError: There is not, and `if_enough` does not say that this is fine.
        """
        have_ms = self.format.duration_ms(self._uncommitted_bytes)
        if have_ms < LEAST_COMMIT_MS and not self._core.turn_detection:
            if if_enough:
                return False
            raise LocalProtocolError(
                f"commit_audio() needs at least {LEAST_COMMIT_MS:g} ms of audio; {have_ms:g} ms were sent "
                "since the last"
            )
        self._uncommitted_bytes = 0
        return True

    @property
    def has_uncommitted(self) -> bool:
        """Whether audio was sent that is in no item yet, where turn detection does not make items of it."""
        return self._uncommitted_bytes > 0

    def cleared(self) -> None:
        """Count from zero again."""
        self._uncommitted_bytes = 0


class TalkingSession(Protocol):
    """What push-to-talk needs of a session."""

    async def interrupt(self) -> None:
        """Stop the assistant."""
        ...

    async def clear_audio(self) -> None:
        """Throw the input buffer away."""
        ...

    async def commit_audio(self, *, if_enough: bool = False) -> str | None:
        """Make an item of the input buffer; None if there was too little."""
        ...

    def answer_speech(self) -> asyncio.Future[Turn]:
        """Ask for the response to what was said."""
        ...


class Talk:
    """Push-to-talk: what is sent within the block is one user input; leaving it commits it and asks for the answer.

    Awaited after the block, it is the whole turn; None if too little was said. A block that fails takes back what was
    said.
    """

    def __init__(self, session: TalkingSession, speech: Speech, core: Core) -> None:
        self._session = session
        self._speech = speech
        self._core = core
        self._was_muted = False
        self._turn: asyncio.Future[Turn] | None = None

    async def __aenter__(self) -> Talk:
        """Stop the assistant, and begin to listen.

        Raises:
            ConfigurationError: The server detects turns by itself.
        """
        if self._core.turn_detection:
            raise ConfigurationError(
                "push-to-talk needs a session without turn detection: connect with "
                'session={"audio": {"input": {"turn_detection": None}}}'
            )
        await self._session.interrupt()
        if self._speech.has_uncommitted:
            await self._session.clear_audio()  # What was sent before the block is no part of what is said in it.
        self._was_muted, self._speech.muted = self._speech.muted, False
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        self._speech.muted = self._was_muted
        if kind is not None:
            with contextlib.suppress(RealtimeError, TimeoutError):  # What failed in the block says more.
                await self._session.clear_audio()
        elif await self._session.commit_audio(if_enough=True) is not None:
            self._turn = self._session.answer_speech()

    def __await__(self) -> Generator[object, None, Turn | None]:
        return self._answer().__await__()

    async def _answer(self) -> Turn | None:
        return await self._turn if self._turn is not None else None


def _input_format(config: SessionConfig) -> AudioFormat:
    audio_input = config.audio.input if config.audio else None
    kind = audio_input.format.type if audio_input and audio_input.format else None
    return WIRE_FORMATS.get(kind or "audio/pcm", PCM16)


def _whole_samples(audio: bytes, format: AudioFormat) -> bytes:
    if len(audio) % format.sample_bytes:
        raise AudioFormatError("an even number of bytes (16-bit samples)", f"{len(audio)} bytes")
    return audio
