"""Output: what the assistant says, delta by delta.

Owns the way of the deltas, the many, into the conversation, the turn and the playback. Pure. Before it: `core.py`, that
hears of them; after it: the lists of pieces and the counts of audio that others read.

Deltas of one part, and audio of one item, come in a row: the last ones are kept at hand, so that most of them cost no
look-up. Every method gives `SWALLOW` for a delta of a response that was interrupted: nobody hears it any more, although
the item still gets its whole transcript.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..audio.playback import Playback, Track
from ..events import server
from .conversation import Conversation, ConversationItem
from .responses import Responses
from .turns import RunningResponse, Turn

Clock = Callable[[], float]
SWALLOW: Final = object()
REMEMBERED_ITEMS: Final = 16
# RFC 3551 section 4.5: G.711 is one byte a sample at 8 kHz; the API's PCM is two bytes a sample at 24 kHz.
BYTES_PER_MS: Final = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}


class Output:
    """The output of all responses of one session.

    Args:
        responses: Where a response is looked up.
        conversation: Where the words of in-band responses go.
        playback: Where their audio is counted; None if the server plays it itself, as in a phone call.
        retain_audio_bytes: How many bytes of a turn's audio are kept at the most; 0 keeps none.
    """

    def __init__(
        self,
        responses: Responses,
        conversation: Conversation,
        *,
        playback: Playback | None,
        retain_audio_bytes: int = 0,
    ) -> None:
        self.bytes_per_ms = BYTES_PER_MS["audio/pcm"]
        self._responses = responses
        self._conversation = conversation
        self._playback = playback
        self._retain_audio_bytes = retain_audio_bytes
        self.spoken: list[ConversationItem] = []
        self._pieces: list[str] = []
        self._pieces_item = ""
        self._pieces_index = -1
        self._audio: ConversationItem | None = None
        self._audio_id = ""
        self._track: Track | None = None
        self._turn: Turn | None = None

    def adopt(self, conversation: Conversation, playback: Playback) -> None:
        """Write to another conversation, and count to another playback."""
        self.forget_last()
        self._conversation = conversation
        self._playback = None if self._playback is None else playback

    def forget_last(self) -> None:
        """Look the next delta's place up again, because a response has ended or was interrupted."""
        self._pieces_item = self._audio_id = ""
        self._audio = self._track = self._turn = None

    # Words.

    def text_delta(self, event: Any, clock: Clock) -> Any:
        """More text, or transcript, of a part."""
        if event.item_id == self._pieces_item and event.content_index == self._pieces_index:
            self._pieces.append(event.delta)
            return None
        running, pieces = self._part(event, clock())
        pieces.append(event.delta)
        if running.silenced:
            return SWALLOW
        self._pieces_item, self._pieces_index, self._pieces = event.item_id, event.content_index, pieces
        return None

    def _part(self, event: Any, now: float) -> tuple[RunningResponse, list[str]]:
        """Find the pieces of a part; those of an out-of-band response are in no conversation."""
        running = self._responses.find(event.response_id)
        place = (event.item_id, event.content_index)
        pieces = running.parts.get(place)
        if pieces is None:
            whole = self._conversation.pieces(*place, event.response_id) if running.in_band else []
            pieces = running.parts[place] = whole
        if running.turn is not None:
            running.turn.mark("first_delta", now)
        return running, pieces

    def text_done(self, event: server.ResponseOutputTextDone, now: float) -> Any:
        """The whole text of a part, which wins over its deltas."""
        return self._whole(event, event.text, now)

    def transcript_done(self, event: server.ResponseOutputAudioTranscriptDone, now: float) -> Any:
        """The whole transcript of a part, which wins over its deltas."""
        return self._whole(event, event.transcript, now)

    def _whole(self, event: Any, text: str, now: float) -> None:
        running, pieces = self._part(event, now)
        pieces[:] = [text]
        if running.in_band:
            self._conversation.apply(event, now)

    def arguments_delta(self, event: Any, clock: Clock) -> Any:
        """More of the arguments of a call."""
        running = self._responses.find(event.response_id)
        if running.in_band:
            call_id = getattr(event, "call_id", "")
            self._conversation.arguments(event.item_id, event.response_id, call_id).append(event.delta)
        return SWALLOW if running.silenced else None

    def transcription_delta(self, event: Any, clock: Clock) -> Any:
        """More of what the user said."""
        self._conversation.apply(event, clock())

    # Audio: counted, and kept only where that was asked for.

    def audio_delta(self, event: server.ResponseOutputAudioDelta, clock: Clock) -> Any:
        """More audio of an item."""
        if event.item_id != self._audio_id:
            running = self._begin_audio(event, clock)
            if running.silenced:
                return SWALLOW
        size = len(event.delta)
        if self._audio is not None:
            self._audio.audio_bytes += size
        if self._track is not None:
            self._track.add(size, clock())
        if self._retain_audio_bytes:
            self._retain(event.delta)
        return None

    def _begin_audio(self, event: server.ResponseOutputAudioDelta, clock: Clock) -> RunningResponse:
        """Find the item of some audio, and keep it at hand."""
        running = self._responses.find(event.response_id)
        self._audio = self._track = self._turn = None
        self._audio_id = event.item_id
        if running.in_band:
            now = clock()
            self._turn = running.turn
            if running.turn is not None:
                running.turn.mark("first_audio", now)
            item = self._audio = self._conversation.audio_item(event.item_id, event.response_id)
            if running.audio.setdefault(event.item_id, item) is item and item not in self.spoken:
                self._remember(item)
            if self._playback is not None:
                self._track = self._playback.begin(event.item_id, event.response_id, self.bytes_per_ms, now)
        if running.silenced:
            self._count_unheard(len(event.delta))
        return running

    def _remember(self, item: ConversationItem) -> None:
        self.spoken.append(item)
        if len(self.spoken) > REMEMBERED_ITEMS:
            del self.spoken[0]

    def _count_unheard(self, size: int) -> None:
        """Count audio that came after its response was interrupted: received, and never heard."""
        if self._audio is not None:
            self._audio.audio_bytes += size
        self.forget_last()

    def _retain(self, audio: bytes) -> None:
        turn = self._turn
        if turn is not None and (room := self._retain_audio_bytes - len(turn.audio)) > 0:
            turn.audio += audio[:room]
