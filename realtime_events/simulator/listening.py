"""The user's audio of one session: from the buffer to user items.

Owns the input buffer, turn detection, and what a turn does: barge-in at its start, an item and an answer at its end.
Knows no client event. Before it: `session.py`, which hands over appended audio; after it: `hearing.py` for the words
and `answering.py` for the answer.
"""

from __future__ import annotations

from ..events.items import ContentPart, Item
from ..events.server import (
    ConversationItemAdded,
    ConversationItemDone,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
)
from .answering import Answering
from .config import input_of, wire_format
from .errors import Refusal
from .generation import Generation
from .hearing import Hearing
from .input_audio import SHORTEST_COMMIT_MS, Decoder, InputAudio
from .stage import Stage
from .timeline import Ticket
from .turn_detection import SemanticVad, ServerVad, detector
from .vad import Heard


class Listening:
    """Takes audio in and makes turns of it, by itself or when the client commits."""

    def __init__(self, stage: Stage, hearing: Hearing, answering: Answering | None) -> None:
        self._stage = stage
        self._hearing = hearing
        self._answering = answering
        self._config = input_of(stage.config)
        self._audio = InputAudio(wire_format(self._config.format))
        self._decoder = Decoder(self._audio.audio_format)
        self._ear = self._detector(at_ms=0)
        self._item_id: str | None = None
        self._idle: Ticket | None = None

    def configure(self) -> None:
        """Obey the session's configuration, which may have changed."""
        config = input_of(self._stage.config)
        audio_format = wire_format(config.format)
        if audio_format != self._audio.audio_format:
            self._audio.change_format(audio_format)
            self._decoder = Decoder(audio_format)
            self._item_id = None
        elif config.turn_detection == self._config.turn_detection:
            self._config = config
            return
        self._config = config
        self._item_id = None
        self._cancel_idle()
        self._ear = self._detector(at_ms=int(self._audio.end_ms))

    def append(self, data: bytes, now: float) -> None:
        """Take audio in.

        Raises:
            Refusal: There is too much of it.
        """
        self._audio.append(data)
        if self._ear is None:
            return
        for change in self._ear.feed(self._decoder.feed(data)):
            self._take(change, now)
        if not self._ear.is_speaking:
            self._audio.forget_before(self._audio.end_ms - self._ear.lead_ms)

    def commit(self, now: float) -> None:
        """Make a user item of the buffer, because the client says so.

        Raises:
            Refusal: There is not enough audio.
        """
        kept_ms = self._audio.kept_ms
        if kept_ms < SHORTEST_COMMIT_MS:
            raise Refusal(
                f"Error committing input audio buffer: buffer too small. Expected at least {SHORTEST_COMMIT_MS}ms of "
                f"audio, but buffer only has {kept_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        self._make_item(self._audio.take(), now)
        if self._ear is not None:
            self._ear.reset()

    def clear(self) -> None:
        """Throw the buffer away."""
        self._audio.take()
        self._item_id = None
        if self._ear is not None:
            self._ear.reset()
        self._stage.send(InputAudioBufferCleared())

    def forget(self) -> None:
        """Forget what is kept, when the session is over."""
        self._audio.take()
        self._ear = None

    def response_over(self, generation: Generation, now: float) -> None:
        """Start to wait for the user, once a spoken response has been played."""
        wait_ms = self._config.turn_detection.idle_timeout_ms if self._config.turn_detection else None
        if not wait_ms or not generation.settings.in_band or self._item_id is not None:
            return
        self._cancel_idle()
        due = max(now, generation.began_at + generation.spoken_ms / 1000) + wait_ms / 1000
        played_ms = self._audio.end_ms
        self._idle = self._stage.timeline.at(due, lambda later: self._idled(played_ms, later))

    def _take(self, change: Heard, now: float) -> None:
        if change.kind == "started":
            self._started(change.at_ms, now)
        else:
            self._stopped(change.at_ms, now)

    def _started(self, at_ms: int, now: float) -> None:
        self._cancel_idle()
        self._audio.forget_before(at_ms)
        self._item_id = self._stage.ids("item")
        self._stage.send(InputAudioBufferSpeechStarted(item_id=self._item_id, audio_start_ms=at_ms))
        if self._answering is not None and self._is_on("interrupt_response"):
            self._answering.interrupt(now)

    def _stopped(self, at_ms: int, now: float) -> None:
        item_id = self._item_id or self._stage.ids("item")
        self._item_id = item_id
        self._stage.send(InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=at_ms))
        self._make_item(self._audio.take(until_ms=at_ms), now)
        self._answer(now)

    def _answer(self, now: float) -> None:
        if self._answering is not None and self._is_on("create_response"):
            self._answering.answer_turn(now)

    def _make_item(self, audio: bytes, now: float) -> None:
        stage = self._stage
        item_id, self._item_id = self._item_id or stage.ids("item"), None
        self._cancel_idle()
        item = Item(
            type="message",
            id=item_id,
            object="realtime.item",
            status="completed",
            role="user",
            content=[ContentPart(type="input_audio", transcript=None)],
        )
        entry, previous = stage.conversation.add(item)
        stage.conversation.set_audio(entry, audio, self._audio.audio_format)
        stage.send(InputAudioBufferCommitted(item_id=item_id, previous_item_id=previous))
        stage.send(ConversationItemAdded(item=item, previous_item_id=previous))
        stage.send(ConversationItemDone(item=item, previous_item_id=previous))
        self._hearing.hear(entry, now)

    def _idled(self, from_ms: float, now: float) -> None:
        self._idle = None
        if self._item_id is not None or (self._answering is not None and self._answering.active is not None):
            return
        self._item_id = self._stage.ids("item")
        self._stage.send(
            InputAudioBufferTimeoutTriggered(
                item_id=self._item_id, audio_start_ms=int(from_ms), audio_end_ms=int(self._audio.end_ms)
            )
        )
        self._make_item(self._audio.take(), now)
        self._answer(now)

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _is_on(self, flag: str) -> bool:
        detection = self._config.turn_detection
        return detection is not None and getattr(detection, flag) is not False

    def _detector(self, *, at_ms: int) -> ServerVad | SemanticVad | None:
        vad = self._stage.organs.vad
        return detector(self._config.turn_detection or None, at_ms=at_ms, words=self._words, vad=vad)

    def _words(self, from_ms: int) -> str:
        kept = self._audio.peek(from_ms)
        return self._hearing.words(Decoder(self._audio.audio_format).feed(kept))
