"""The four laws of a session that is cut, refused, rotated and interrupted.

Owns what has to hold, at every step and when all is over: no accepted audio without a place in the books, one answer to
each call, each event once and in order, and nothing lost in silence. Each law compares the books of the servers with
what the session's handlers were given. Before it: `world.py`, which has both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from realtime_events.events import AudioGap, HandlerSlow, UnknownEvent, server

from .incarnation import PCM, Incarnation
from .world import KNOWN, World


def audio(world: World, *, is_over: bool) -> None:
    """Accepted = queued + open + confirmed + lost + unknown, and each piece is in one of them only."""
    for one in world.incarnations:
        _hold("audio", [law for law in one.broken if "audio" in law])
    ring = world.ring
    books = _Books(world)
    assert ring.accepted_bytes == ring.queued_bytes + books.written_bytes + _n_bytes(books.lost), "audio: sums differ"
    assert ring.accepted_bytes == ring.queued_bytes + ring.sent_bytes + ring.dropped_bytes, "audio: its own sums differ"
    assert not (is_over and ring.queued_bytes), "audio: some waits for ever"
    assert is_over or set(books.order) >= set(world.accepted), "audio: some was accepted and is in no book"
    if books.is_complete:
        for number, start in books.starts():
            books.judge(number, start)
        assert _n_bytes(world.gaps) == books.named_bytes, "audio: a gap names what is no piece"
    assert books.is_complete or not is_over, "audio: a server heard what was never accepted"


class _Books:
    """Where each piece of audio is, by the servers' books; what was written to several, by the last one's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: dict[int, Incarnation] = {}
        self._confirmed = set[int]()
        sizes = {number: len(piece) for number, piece in world.accepted.items()}
        for one in world.incarnations:
            confirmed_bytes, at = one.confirmed_bytes, 0
            for piece in one.written_audio:
                number, at = int.from_bytes(piece[:8], "big"), at + len(piece)
                self._last[number], sizes[number] = one, len(piece)
                if at <= confirmed_bytes:
                    self._confirmed.add(number)
        self.order = sorted(sizes)
        self._sizes = sizes
        self.written_bytes = sum(sizes[number] for number in self._last)
        self.lost = [gap for gap in world.gaps if _kind_of(gap) == "lost" and "rotat" not in gap.reason]
        self.named_bytes = 0

    @property
    def is_complete(self) -> bool:
        """Whether the place of each piece is known: nobody has been accepted whom nobody told so yet."""
        return sum(self._sizes.values()) == self._world.ring.accepted_bytes

    def starts(self) -> Iterator[tuple[int, int]]:
        """Give each piece with its place in all audio that was accepted."""
        start = 0
        for number in self.order:
            yield number, start
            start += self._sizes[number]

    def judge(self, number: int, start: int) -> None:
        """Say what became of a piece, and see that it is named accordingly.

        Raises:
            AssertionError: It is not.
        """
        middle = start + self._sizes[number] / 2
        names = [gap for gap in self._world.gaps if gap.start_ms * PCM <= middle < (gap.start_ms + gap.length_ms) * PCM]
        assert len(names) <= 1, f"audio: piece {number} is named twice: {names}"
        self.named_bytes += self._sizes[number] * len(names)
        wanted = self._wanted(number)
        is_named = _kind_of(names[0]) if names else ""
        assert is_named in wanted, f"audio: piece {number} is named {is_named!r}, and should be {wanted}: {names}"

    def _wanted(self, number: int) -> tuple[str, ...]:
        """Give how a piece may be named; `""` where it must not be."""
        one = self._last.get(number)
        if one is None:  # Never written: it waits, or is lost; the sums tell which.
            return ("", "lost")
        if number in self._confirmed or self._world.talks_to(one):
            return ("",)
        if one.name not in self._world.rotated_out:
            is_told = one.ending is not None and one.ending.unacknowledged_bytes is not None
            return ("unknown", "delivered") if is_told and number in self._arrived_in(one) else ("unknown",)
        # Where the server listened, what it heard nothing in is lost to nobody. One that took over may have died of it.
        is_kept = "" if self._world.vad else "lost"
        if not self._is_cut_after(one):
            return (is_kept,)
        is_known = "audio that is said again to one that has just died counts as delivered" in KNOWN
        return (is_kept, "unknown", "delivered") if is_known else (is_kept, "unknown")

    def _arrived_in(self, one: Incarnation) -> set[int]:
        return {int.from_bytes(piece[:8], "big") for piece in one.audio}

    def _is_cut_after(self, one: Incarnation) -> bool:
        heirs = [
            heir
            for heir in self._world.incarnations[self._world.incarnations.index(one) + 1 :]
            if heir.published_from is not None
        ]
        return bool(heirs) and not self._world.talks_to(heirs[0]) and heirs[0].name not in self._world.rotated_out


def _kind_of(gap: AudioGap) -> str:
    return "unknown" if gap.unknown else "delivered" if gap.delivered else "lost"


def _n_bytes(gaps: list[AudioGap]) -> int:
    return sum(gap.bytes for gap in gaps)


def answers(world: World, *, is_over: bool) -> None:
    """Each call that the client was shown is answered once, or reported: as open, or as answered for all it knows."""
    for one in world.incarnations:
        _hold("answers", [law for law in one.broken if "answer" in law])
        shown, confirmed = _calls_in(one.published), one.confirmed_outputs
        for call_id in one.calls:
            orphaned = [event for event in world.orphans if event.call.call_id == call_id]
            is_written = call_id in one.written_outputs
            assert one.outputs[call_id] <= 1, f"answers: {call_id} has {one.outputs[call_id]}"
            if world.talks_to(one) and not world.session.is_closed:
                assert not orphaned, f"answers: {call_id} was given up while its session lives"
            elif call_id in shown and call_id not in confirmed:
                named = [event.unknown for event in orphaned]
                may_be_silent = is_written and world.talks_to(
                    one
                )  # It was closed in good order, after all was written.
                wanted = [[is_written], []] if may_be_silent else [[is_written]]
                assert named in wanted, f"answers: {call_id}, written: {is_written}, is named {named}"
            else:
                assert not orphaned, f"answers: {call_id} was given up, and is answered"


def owed(world: World) -> None:
    """What a session that lives, and has had time enough, has done."""
    if world.session.is_closed:
        return
    one = world.now_in
    shown = _calls_in(one.published)
    for call_id in one.calls:
        assert one.outputs[call_id] == (call_id in shown), f"answers: {call_id} has {one.outputs[call_id]}"


def delivery(world: World, *, is_over: bool) -> None:
    """Each event of a server was given once, and in order; a lane may be late, and may miss deltas."""
    given, deltas = dict[str, list[str]](), dict[str, list[str]]()
    for event in world.inline:
        name, is_servers, _ = _id_of(event).partition("_event_")
        if is_servers:
            (deltas if _is_delta(event) else given).setdefault(name, []).append(_id_of(event))
    for one in world.incarnations:
        wanted = [_id_of(event) for event in one.published if not _is_delta(event)]
        assert given.pop(one.name, []) == wanted, f"delivery: {one.name}: events differ"
        left = iter([_id_of(event) for event in one.published if _is_delta(event)])
        some = deltas.pop(one.name, [])
        assert all(delta in left for delta in some), f"delivery: {one.name}: deltas came twice, or out of order"
    assert not given, "delivery: events that no server sent"
    # `handler.slow` tells of this machine, and is published while the event that it is about is still given out.
    inline, lane = (
        [event for event in events if not _is_delta(event) and not isinstance(event, HandlerSlow)]
        for events in (world.inline, world.lane)
    )
    assert lane == (inline if is_over else inline[: len(lane)]), "delivery: a lane and an inline handler differ"


def silence(world: World, *, is_over: bool) -> None:
    """Whatever was lost is named, and whoever waits is told."""
    _hold("silence", world.broken)
    for one in world.incarnations:
        _hold("silence", one.broken)
    for before, after in zip(["", *world.lives], world.lives, strict=False):
        assert (before == "connection.lost") <= (after in ("connection.restored", "connection.closed")), (
            f"silence: {world.lives}"
        )
        assert (after == "connection.restored") <= (before == "connection.lost"), f"silence: {world.lives}"
        assert before != "connection.closed", f"silence: {world.lives}"
    if is_over:
        assert world.lives[-1:] == ["connection.closed"], f"silence: {world.lives}"
        assert all(task.done() for task in world.tasks), "silence: somebody waits for ever"
        for task in world.tasks:
            task.result()


LAWS = (audio, answers, delivery, silence)


def _hold(law: str, broken: list[str]) -> None:
    assert not broken, f"{law}: {broken}"


def _id_of(event: Any) -> str:
    if isinstance(event, UnknownEvent):
        return str(msgspec.json.decode(event.raw)["event_id"])
    return str(getattr(event, "event_id", ""))


def _is_delta(event: Any) -> bool:
    return isinstance(event, server.ResponseOutputAudioTranscriptDelta | server.ResponseOutputAudioDelta)


def _calls_in(events: list[Any]) -> set[str]:
    shown = set[str]()
    for event in events:
        if isinstance(event, server.ResponseFunctionCallArgumentsDone):
            shown.add(event.call_id)
        elif isinstance(event, server.ResponseOutputItemDone):
            shown.add(str(event.item.call_id))
        elif isinstance(event, server.ResponseDone):
            shown |= {str(item.call_id) for item in event.response.output or ()}
    return shown
