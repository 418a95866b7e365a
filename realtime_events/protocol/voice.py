"""The voice: what the assistant says aloud, who may cut it, and what follows from that.

Owns what an interruption means: cancel, flush, truncate; which responses may not be interrupted; and whether the user
is to be heard meanwhile. Pure. Before it: `core.py`, which hears that the user speaks, and the session's commands;
after it: `Effects`, and the playback, which knows what was heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import client, local
from ..events.base import ClientEvent
from .responses import Wanted
from .turns import RunningResponse

if TYPE_CHECKING:
    from .core import Core


class Voice:
    """What the assistant says, in one session on one connection.

    Attributes:
        playing_response: The response that the other side of a call hears, where the server plays; else "".
    """

    def __init__(self, core: Core) -> None:
        self.playing_response = ""
        self._core = core
        self._protected: set[str] = set()

    def began(self, running: RunningResponse, now: float) -> None:
        """Take note of a response of the conversation, which may be one that must not be cut."""
        self._protected &= self._core.playback.unheard_responses(now) | {self.playing_response}
        self._protected |= set() if running.interruptible else {running.id}

    # What may be.

    @property
    def is_protected(self) -> bool:
        """Whether there is a response, running or still heard, that may not be interrupted."""
        return bool(self._protected)

    def may_be_cut(self, now: float) -> bool:
        """Say whether what is said, and what is still to be heard, may be cut."""
        playback = self._core.playback
        if self._protected.isdisjoint((self._core.active_response, self.playing_response)):
            return self._protected.isdisjoint(playback.unheard_responses(now)) or playback.is_stalled(now)
        return False

    def gates_mic(self, now: float, *, half_duplex: bool) -> bool:
        """Say whether the user is not to be heard now: against echo, or because what is said may not be cut."""
        playback = self._core.playback
        is_heard = half_duplex and playback.is_playing(now) and not playback.is_stalled(now)
        return is_heard or not self.may_be_cut(now)

    # Cutting it.

    def interrupt(self, now: float, *, force: bool = False) -> list[ClientEvent]:
        """Stop what the assistant says: cancel, flush, truncate; give the events that are sent for it.

        A response that is not interruptible goes on, unless it is whoever asked for it who stops it (`force`).
        """
        if not force and not self.may_be_cut(now):
            return []
        core = self._core
        asked = core.exchange.responses.asked
        if asked is not None and (asked.interruptible or force):
            asked.dropped = True  # It is cancelled as soon as it begins.
        response_id = core.active_response
        cuts = self.cut(now)
        sends: list[ClientEvent] = [] if response_id is None else [core.exchange.cancel(response_id)]
        if core.server_plays and (response_id is not None or self.playing_response):
            sends.append(client.OutputAudioBufferClear(event_id=core.new_id("event")))
        core.effects.send += [*sends, *cuts]
        return [*sends, *cuts]

    def give_up(self, wanted: Wanted, now: float) -> None:
        """Cancel a response whose asker wants it no more, or never ask for it."""
        core = self._core
        if core.exchange.drop(wanted, now) or wanted.running is None:
            return
        if wanted.running.id == core.active_response:
            self.interrupt(now, force=True)
        elif wanted.running.id in core.exchange.responses.running:
            core.effects.send.append(core.exchange.cancel(wanted.running.id))

    def cut(self, now: float) -> list[ClientEvent]:
        """Silence what is said and what is still to be heard, and give the truncations that tell the server."""
        core = self._core
        cuts = core.playback.interrupt(now)
        running = core.exchange.responses.running.get(core.active_response or "")
        if not cuts and (running is None or running.silenced):
            return []
        if running is not None:
            running.silenced = True
        core.output.forget_last()
        core.effects.purge |= {cut.response_id for cut in cuts} | ({running.id} if running is not None else set())
        first = cuts[0] if cuts else None
        response_id = running.id if running is not None else first.response_id if first is not None else ""
        core.effects.before.append(local.AudioFlush(item_id=first.item_id if first else "", response_id=response_id))
        for place, cut in enumerate(cuts):
            heard = core.conversation.truncate(cut.item_id, cut.audio_end_ms, now)
            if place == 0:
                told = local.SpeechInterrupted(item_id=cut.item_id, audio_end_ms=cut.audio_end_ms, heard=heard)
                core.effects.after.append(told)
        # What a dead incarnation said may still be heard; the server of this one does not know it.
        known = [cut for cut in cuts if cut.item_id in core.conversation]
        return [self._truncation(cut.item_id, cut.audio_end_ms) for cut in known]

    def cut_unheard(self, running: RunningResponse, now: float) -> None:
        """Tell the server of items that began after their response was interrupted: nothing of them was heard."""
        core = self._core
        unheard = [
            item for item in running.audio.values() if item.audio_bytes and not core.playback.received_ms(item.id)
        ]
        for item in () if core.server_plays else unheard:
            core.conversation.truncate(item.id, 0, now)
            core.effects.send.append(self._truncation(item.id, 0))

    def _truncation(self, item_id: str, audio_end_ms: int) -> client.ConversationItemTruncate:
        event_id = self._core.new_id("event")
        return client.ConversationItemTruncate(event_id=event_id, item_id=item_id, audio_end_ms=audio_end_ms)
