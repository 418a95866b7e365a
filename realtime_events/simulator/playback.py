"""The output audio buffer of a call: what the caller hears, which the sideband is only told of.

Owns when a response begins and ends to be played on WebRTC and SIP. Knows no audio format. Before it: `answering.py`,
which hands over each event; after it: the outlet.
"""

from __future__ import annotations

from ..audio import AudioFormat
from ..events.base import ServerEvent
from ..events.server import (
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseOutputAudioDelta,
)
from .errors import Refusal
from .exchange import Outlet
from .timeline import Ticket


class Playback:
    """Takes the audio out of a call's events, and tells when it is played, in real time."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._playing: str | None = None
        self._until = 0.0
        self._end: Ticket | None = None

    def send(self, event: ServerEvent, audio_format: AudioFormat, now: float) -> None:
        """Pass an event on; audio goes to the caller instead."""
        if not isinstance(event, ResponseOutputAudioDelta):
            self._outlet.send(event)
            return
        if self._playing != event.response_id:
            self._stop()
            self._playing, self._until = event.response_id, now
            self._outlet.send(OutputAudioBufferStarted(response_id=event.response_id))
        self._until = max(self._until, now) + audio_format.duration_ms(len(event.delta)) / 1000
        self._plan_end()

    def clear(self) -> None:
        """Stop playing: the user barged in, or the client cleared the buffer."""
        playing, self._playing = self._playing, None
        if self._end is not None:
            self._end.cancel()
        if playing is not None:
            self._outlet.send(OutputAudioBufferCleared(response_id=playing))

    def check_playing(self) -> None:
        """Refuse to clear what is not playing."""
        if self._playing is None:
            raise Refusal("There is no audio to clear.", code="output_audio_buffer_empty")

    def _plan_end(self) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = self._outlet.timeline.at(self._until, lambda _: self._stop())

    def _stop(self) -> None:
        playing, self._playing = self._playing, None
        if playing is not None:
            self._outlet.send(OutputAudioBufferStopped(response_id=playing))
