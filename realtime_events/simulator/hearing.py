"""What was said in a user's audio, and the transcription events that tell of it.

Owns the way from an item's audio to its words. Knows no turn. Before it: `listening.py` and `session.py`, which make
user items; after it: `ears.py`, which recognises, and `answering.py`, which waits for the words.

The model hears every user item; the transcription events come only where the configuration asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from ..events.base import UNSET, ServerEvent
from ..events.response import FailureDetails, InputTokenDetails
from ..events.session import InputTranscription
from ..events.transcription import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    LogProb,
    TranscriptionLanguage,
    TranscriptionUsage,
)
from ..logs import logger
from .config import input_of
from .conversation import Entry
from .input_audio import Decoder
from .stage import Stage
from .tokens import INPUT_AUDIO_MS_PER_TOKEN, text_tokens

log = logger("simulator")

TRANSCRIPTION_S = 0.1
SURE = -0.01
_WORD = re.compile(r"\s*\S+")


class Hearing:
    """Recognises user items; `on_heard` is told when one is understood."""

    def __init__(self, stage: Stage, *, on_heard: Callable[[float], None]) -> None:
        self._stage = stage
        self._on_heard = on_heard

    def hear(self, entry: Entry, now: float) -> None:
        """Find out what a user item says, and transcribe it if the configuration asks for that."""
        entry.heard = None
        stage, recogniser = self._stage, self._stage.organs.recogniser
        wanted = input_of(stage.config).transcription or None
        stage.work(
            recogniser,
            lambda: recogniser.hear(_pcm(entry)),
            lambda result, later: self._understood(entry, result, wanted, later),
            now,
        )

    def words(self, audio: bytes) -> str:
        """Recognise a piece of the buffer (pcm16 at 24 kHz) for semantic VAD; a slow recogniser is not asked."""
        recogniser = self._stage.organs.recogniser
        if self._stage.works_elsewhere(recogniser):
            return ""
        try:
            return recogniser.hear(audio)
        except Exception as broken:
            log.error("the recogniser failed", exc_info=broken)
            return ""

    def _understood(self, entry: Entry, result: str | Exception, wanted: InputTranscription | None, now: float) -> None:
        entry.heard = "" if isinstance(result, Exception) else result
        if isinstance(result, Exception):
            log.error("the recogniser failed", exc_info=result)
        if wanted is not None:
            due = now + TRANSCRIPTION_S / self._stage.organs.pace
            self._stage.timeline.at(due, lambda _: self._transcribe(entry, result, wanted))
        self._on_heard(now)

    def _transcribe(self, entry: Entry, result: str | Exception, wanted: InputTranscription) -> None:
        if self._stage.conversation.find(entry.id) is not entry:
            return
        if isinstance(result, Exception):
            said = FailureDetails(type="server_error", code="transcription_failed", message="Transcription failed.")
            self._stage.send(
                ConversationItemInputAudioTranscriptionFailed(item_id=entry.id, content_index=0, error=said)
            )
            return
        self._note(entry, result)
        for event in _transcription(entry, result, wanted, include=bool(self._stage.config.include)):
            self._stage.send(event)

    def _note(self, entry: Entry, words: str) -> None:
        parts = [
            msgspec.structs.replace(part, transcript=words) if part.type == "input_audio" else part
            for part in entry.item.content or ()
        ]
        entry.item = msgspec.structs.replace(entry.item, content=parts)


def _transcription(entry: Entry, words: str, wanted: InputTranscription, *, include: bool) -> list[ServerEvent]:
    events: list[ServerEvent] = []
    pieces = _WORD.findall(words)
    model = wanted.model or ""
    if "diarize" in model:
        events.append(_segment(entry, words))
    elif model != "whisper-1":
        events += [_delta(entry, piece, include=include) for piece in pieces]
    completed = ConversationItemInputAudioTranscriptionCompleted(
        item_id=entry.id,
        content_index=0,
        transcript=words,
        usage=_usage(entry, words, model),
        logprobs=[_sure(piece) for piece in pieces] if include else UNSET,
        languages=_languages(wanted, words) if model == "gpt-transcribe" else UNSET,
    )
    return [*events, completed]


def _delta(entry: Entry, piece: str, *, include: bool) -> ServerEvent:
    logprobs = [_sure(piece)] if include else UNSET
    return ConversationItemInputAudioTranscriptionDelta(
        item_id=entry.id, content_index=0, delta=piece, logprobs=logprobs
    )


def _segment(entry: Entry, words: str) -> ServerEvent:
    return ConversationItemInputAudioTranscriptionSegment(
        item_id=entry.id, content_index=0, id="seg_1", speaker="A", text=words, start=0, end=entry.audio_ms / 1000
    )


def _sure(piece: str) -> LogProb:
    return LogProb(token=piece, logprob=SURE, bytes=list(piece.encode()))


def _languages(wanted: InputTranscription, words: str) -> list[TranscriptionLanguage]:
    return [TranscriptionLanguage(code=wanted.language or "en")] if words else []


def _usage(entry: Entry, words: str, model: str) -> TranscriptionUsage:
    if model == "whisper-1":
        return TranscriptionUsage(type="duration", seconds=entry.audio_ms / 1000)
    heard, written = -(-entry.audio_ms // INPUT_AUDIO_MS_PER_TOKEN), text_tokens(words)
    return TranscriptionUsage(
        type="tokens",
        total_tokens=heard + written,
        input_tokens=heard,
        output_tokens=written,
        input_token_details=InputTokenDetails(text_tokens=0, audio_tokens=heard),
    )


def _pcm(entry: Entry) -> bytes:
    return Decoder(entry.audio_format).feed(bytes(entry.audio)) if entry.audio_format else b""
