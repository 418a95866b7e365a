"""Sounding: the user's audio, the assistant's, and the silence when one interrupts the other.

Owns the commands for both. How audio is converted, withheld and paced is `speaking.py`, the chunks of the assistant's
are `hearing.py`. Before it: the application and its devices; after it: the connection, and State, which knows what was
heard.
"""

from __future__ import annotations

import asyncio
import os

from ..audio import AudioFormat
from ..events import client, server
from ..exceptions import LocalProtocolError
from ..hearing import AudioChunk, Chunks
from ..protocol.turns import Turn
from ..speaking import Talk
from ..streams import Stream
from .configuring import Configuring
from .looking import Looking
from .sending import REQUEST_TIMEOUT_S


class Sounding(Configuring, Looking):
    """What is said and heard."""

    async def send_audio(self, audio: bytes, *, format: AudioFormat | None = None) -> None:
        """Append audio to the input buffer; the server does not acknowledge it.

        It waits where the network is slower than the audio comes, in a bounded queue that control events overtake
        (`Options.sending`). Muted audio, and what comes while the gate is closed, is not sent.

        Args:
            audio: Bytes in the session's input format; for `audio/pcm` 16-bit little-endian mono samples at 24,000 Hz.
                What is longer than a second is sent in several events.
            format: What the audio is, if it is something else: it is converted as one stream from call to call.

        Raises:
            AudioFormatError: Half a sample at the end, or no bytes.
            ConnectionLostError: The connection has ended.
            TimeoutError: There was no room in time; nothing of it was accepted.
        """
        await self._speech.send(audio, format)

    async def send_file(
        self, source: str | os.PathLike[str] | bytes, *, pace: float = 1.0, silence_ms: float = 0.0
    ) -> float:
        """Send a WAV file, converted to the session's input format, as fast as it sounds; gives its milliseconds.

        Args:
            source: A path, or audio in the session's input format.
            pace: The speed relative to real time; `math.inf` sends as fast as the connection takes it.
            silence_ms: How much silence follows; turn detection hears by it that the speech is over.

        Raises:
            AudioFormatError: The file is no WAV file that can be read; both values are named.
            OSError: It cannot be read.
        """
        return await self._speech.send_file(source, pace=pace, silence_ms=silence_ms)

    def mute(self, muted: bool = True) -> None:
        """Send no audio of the user from now on; `mute(False)` sends it again, and the last 300 ms first."""
        self._speech.muted = muted

    @property
    def is_muted(self) -> bool:
        """Whether the user's audio is withheld."""
        return self._speech.muted

    async def commit_audio(self, *, if_enough: bool = False, timeout: float | None = REQUEST_TIMEOUT_S) -> str | None:
        """Make a user item of the input buffer, where turn detection does not do it.

        Gives the item's id, or an empty string where the server does not name it. With less than 100 ms of audio it
        raises or, if told so by `if_enough`, does nothing and gives None.

        Raises:
            LocalProtocolError: Less than 100 ms of audio were sent since the last commit.
        """
        if self._line.is_offline:
            await self._line.online()  # What is lost with a connection cannot be committed in the next.
        if not self._speech.check_commit(if_enough=if_enough):
            return None
        committed: server.InputAudioBufferCommitted = await self.request(
            client.InputAudioBufferCommit(), timeout=timeout
        )
        return committed.item_id

    async def clear_audio(self, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Throw the input buffer away."""
        self._speech.cleared()
        await self.request(client.InputAudioBufferClear(), timeout=timeout)

    def talk(self) -> Talk:
        """Push-to-talk: `async with session.talk():` commits what is sent within, and asks for the answer.

        Entering interrupts the assistant. Awaited after the block, it is the turn. The session must have no turn
        detection.

        Raises:
            LocalProtocolError: The session is draining.
        """
        if self._is_draining:
            raise LocalProtocolError("the session is draining: the turn that runs may end, and nobody speaks any more")
        return Talk(self, self._speech, self._core)

    def answer_speech(self) -> asyncio.Future[Turn]:
        """Ask for the response to what was committed, and give the turn once it has ended.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        if self._connection.ended.done():
            raise self._connection.lost()
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._refresh_tools()
        self._core.exchange.answer_speech(self._clock(), future)
        self._connection.carry_out()
        return future

    @property
    def audio(self) -> Stream[AudioChunk]:
        """The assistant's audio from now on, in chunks that know their item and their place in it.

        After an interruption nothing more comes of what was cut.
        """
        chunks = Chunks(
            self._dispatcher,
            lambda: self._core.output.bytes_per_ms,
            lambda item_id: self._core.playback.received_ms(item_id),
        )
        self._dispatcher.follow(chunks)
        if self.is_closed:
            chunks.end(self._connection.lost())
        return Stream(self._dispatcher, chunks)

    async def interrupt(self, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Stop what the assistant says, and tell the server how much was heard; returns when it has confirmed that.

        Players are told first (`audio.flush`), nothing more is delivered of what was cut, and the conversation knows
        the words that were heard. Running tools that say `on_interrupt="cancel"` are stopped, too. A response that may
        not be interrupted goes on.

        Raises:
            TimeoutError: The server did not confirm it in time.
        """
        sent = self._core.voice.interrupt(self._clock())
        self._connection.carry_out()
        self._runner.interrupt()  # After it: the answer to what it stops is not interrupted.
        await self._connection.answers(sent, timeout)
