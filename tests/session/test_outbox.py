"""The outbox: who overtakes whom, what is dropped and named, and what an ended connection leaves behind."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.audio.ring import Gap
from realtime_events.events.base import ClientEvent
from realtime_events.events.client import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from realtime_events.events.items import Item
from realtime_events.events.session import SessionConfig
from realtime_events.exceptions import ConnectionLostError
from realtime_events.options import Options
from realtime_events.outbox import Outbox, Place, Sending, place_of
from realtime_events.protocol import codec
from realtime_events.testing import ManualClock, Peer
from realtime_events.transport import ROOM_BYTES, Dialling, Transport, WebSocketTransport, dial

PIECE = 960  # 20 ms of pcm16 at 24 kHz


class Door:
    """A transport that keeps what is written, and is full when the test says so."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.unsent_bytes = 0
        self.keeps_bytes = 0  # of each frame
        self.ended = False
        self._room = asyncio.Event()

    @property
    def has_room(self) -> bool:
        return self.unsent_bytes <= 1000

    def write(self, data: bytes) -> None:
        if self.ended:
            raise ConnectionLostError(1006, "gone")
        self.written.append(data.decode())
        self.unsent_bytes += self.keeps_bytes

    async def drain(self) -> None:
        while not self.has_room:
            self._room.clear()
            await self._room.wait()

    def fill(self) -> None:
        self.unsent_bytes = 10_000_000

    def empty(self) -> None:
        self.unsent_bytes = 0
        self._room.set()


class Desk:
    """An outbox with its door, a clock, and the gaps it told of."""

    def __init__(self, **sending: Any) -> None:
        self.door = Door()
        self.clock = ManualClock()
        self.gaps: list[Gap] = []
        how = Sending(**sending)
        self.outbox = Outbox(cast(Transport, self.door), clock=self.clock, on_gap=self.gaps.append, sending=how)

    async def audio(self, *names: str) -> None:
        for name in names:
            await self.outbox.send_audio(name.encode(), PIECE)

    async def drained(self) -> list[str]:
        """Empty the door and give all that was written once nothing waits."""
        self.door.empty()
        async with asyncio.timeout(5):
            while self.outbox.ring or self.outbox.waiting_bytes:
                await asyncio.sleep(0)
        return self.door.written


@asynccontextmanager
async def full(**sending: Any) -> AsyncGenerator[Desk]:
    """Give a desk whose door is full."""
    desk = Desk(**sending)
    desk.door.fill()
    yield desk
    desk.outbox.end()


async def test_audio_is_written_at_once_and_without_a_task_while_the_door_has_room() -> None:
    """B17."""
    desk = Desk()
    tasks = asyncio.all_tasks()
    await desk.audio("a1", "a2")
    assert desk.door.written == ["a1", "a2"]
    assert asyncio.all_tasks() == tasks
    assert (desk.outbox.ring.accepted_bytes, desk.outbox.ring.sent_bytes) == (2 * PIECE, 2 * PIECE)


@pytest.mark.parametrize("place", [Place.AHEAD, Place.AT_ONCE, Place.AFTER_COMMIT])
async def test_control_overtakes_audio_that_waits(place: Place) -> None:
    """B15."""
    async with full() as desk:
        await desk.audio("a1", "a2")
        desk.outbox.post(b"control", place)
        assert desk.door.written == ["control"]
        assert await desk.drained() == ["control", "a1", "a2"]


async def test_a_peer_that_holds_lets_control_pass_and_takes_the_audio_later() -> None:
    """B15: the aids for tests can stand in for a slow network."""
    peer = Peer()
    outbox = Outbox(
        await peer.dial("ws://localhost", {}, Options()), clock=ManualClock(), on_gap=lambda gap: pytest.fail(repr(gap))
    )
    peer.hold()
    await outbox.send_audio(codec.encode(InputAudioBufferAppend(audio=bytes(PIECE))), PIECE)
    await outbox.send(codec.encode(InputAudioBufferCommit()), Place.IN_LINE)
    outbox.post(codec.encode(ResponseCancel(response_id="resp_1")), Place.AT_ONCE)
    assert [event.type for event in peer.sent] == ["response.cancel"]
    peer.let_go()
    await peer.heard(InputAudioBufferCommit)
    assert [event.type for event in peer.sent][1:] == ["input_audio_buffer.append", "input_audio_buffer.commit"]


@pytest.mark.parametrize(
    ("event", "place"),
    [
        (InputAudioBufferCommit(), Place.IN_LINE),
        (InputAudioBufferClear(), Place.CLEAR),
        (ResponseCreate(), Place.AFTER_COMMIT),
        (ResponseCancel(), Place.AHEAD),
        (ResponseCancel(response_id="resp_1"), Place.AT_ONCE),
        (ConversationItemTruncate(item_id="item_1", audio_end_ms=1), Place.AT_ONCE),
        (ConversationItemCreate(item=Item(type="message", role="user")), Place.AFTER_COMMIT),
        (ConversationItemCreate(item=Item(type="function_call_output", call_id="call_1", output="")), Place.AT_ONCE),
        (ConversationItemDelete(item_id="item_1"), Place.AHEAD),
        (SessionUpdate(session=SessionConfig(type="transcription")), Place.IN_LINE),
        (SessionUpdate(session=SessionConfig(type="realtime", instructions="x")), Place.AHEAD),
    ],
)
def test_an_event_goes_where_its_meaning_allows(event: ClientEvent, place: Place) -> None:
    """B15: what names a thing that the server has already need not wait for what it has not."""
    assert place_of(event) is place


async def test_an_awaited_control_event_waits_a_bounded_time_for_the_door() -> None:
    """B15, B17."""
    async with full(timeout_s=0.01) as desk:
        async with asyncio.timeout(5):
            await desk.outbox.send(b"image")
        assert desk.door.written == ["image"]


async def test_a_commit_keeps_its_place_and_what_builds_on_it_follows_it() -> None:
    """B15."""
    async with full() as desk:
        await desk.audio("a1")
        desk.outbox.post(b"commit", Place.IN_LINE)
        await desk.audio("a2")
        desk.outbox.post(b"create", Place.AFTER_COMMIT)
        desk.outbox.post(b"update", Place.AHEAD)
        desk.outbox.post(b"truncate", Place.AT_ONCE)
        assert await desk.drained() == ["truncate", "a1", "commit", "create", "update", "a2"]


async def test_control_overtakes_a_commit_that_nothing_follows() -> None:
    """B15."""
    async with full() as desk:
        await desk.audio("a1")
        desk.outbox.post(b"commit", Place.IN_LINE)
        desk.outbox.post(b"cancel", Place.AHEAD)
        assert desk.door.written == ["cancel"]


async def test_a_clear_takes_the_audio_since_the_last_commit_and_names_it() -> None:
    """B15, B17."""
    async with full() as desk:
        await desk.audio("a1", "a2")
        desk.outbox.post(b"clear", Place.CLEAR)
        assert desk.door.written == ["clear"]
        assert [(gap.start_ms, gap.length_ms, gap.reason) for gap in desk.gaps] == [(0, 40, "cleared")]
        await desk.audio("a3")
        desk.outbox.post(b"commit", Place.IN_LINE)
        await desk.audio("a4")
        desk.outbox.post(b"clear again", Place.CLEAR)
        assert await desk.drained() == ["clear", "a3", "commit", "clear again"]
        assert [(gap.start_ms, gap.length_ms) for gap in desk.gaps] == [(0, 40), (60, 20)]


async def test_a_full_queue_lets_senders_wait_in_their_order() -> None:
    """B15, B17."""
    async with full(max_ms=40) as desk:
        await desk.audio("a1", "a2")
        waiting = [asyncio.create_task(desk.audio(f"{who}1", f"{who}2")) for who in "bc"]
        await asyncio.sleep(0)
        assert desk.outbox.waiting_bytes == 4 * PIECE
        desk.outbox.post(b"cancel", Place.AHEAD)
        written = await desk.drained()
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
        written = await desk.drained()
        assert written[:5] == ["cancel", "a1", "a2", "b1", "c1"] and sorted(written[5:]) == ["b2", "c2"]
        assert not desk.gaps


async def test_a_small_piece_does_not_pass_a_large_one_that_is_blocked() -> None:
    """B15."""
    async with full(max_ms=40) as desk:
        await desk.audio("a1")
        sizes = {"large": 2 * PIECE, "small": 2}
        waiting = [asyncio.create_task(desk.outbox.send_audio(name.encode(), size)) for name, size in sizes.items()]
        await asyncio.sleep(0)
        assert await desk.drained() == ["a1", "large", "small"]
        await asyncio.wait(waiting, timeout=5)


async def test_only_as_much_is_written_as_the_door_has_room_for() -> None:
    """B15: so that an urgent frame never finds more than that before it."""
    async with full() as desk:
        await desk.audio(*(f"a{number}" for number in range(10)))
        desk.door.keeps_bytes = 400
        desk.door.empty()
        for _ in range(5):
            await asyncio.sleep(0)
        assert desk.door.written == ["a0", "a1", "a2"]
        desk.door.keeps_bytes = 0
        assert len(await desk.drained()) == 10


async def test_a_commit_is_followed_before_later_audio_and_after_earlier_commits() -> None:
    """B15."""
    async with full() as desk:
        for number in (1, 2):
            await desk.audio(f"a{number}")
            desk.outbox.post(b"commit%d" % number, Place.IN_LINE)
        desk.outbox.post(b"create", Place.AFTER_COMMIT)
        await desk.audio("a3")
        assert await desk.drained() == ["a1", "commit1", "a2", "commit2", "create", "a3"]


async def test_audio_does_not_pass_audio_when_the_door_gets_room() -> None:
    """B15."""
    async with full() as desk:
        await desk.audio("a1")
        desk.door.empty()
        await desk.audio("a2")
        assert await desk.drained() == ["a1", "a2"]


async def test_a_sender_waits_only_so_long_and_nothing_of_it_is_sent() -> None:
    """B17."""
    async with full(max_ms=20, timeout_s=0.01) as desk:
        await desk.audio("a1")
        with pytest.raises(TimeoutError, match=r"no room for audio within 0\.01 s: 960 bytes wait already"):
            await desk.audio("a2")
        assert await desk.drained() == ["a1"]
        assert desk.outbox.ring.accepted_bytes == PIECE


async def test_a_cancelled_sender_leaves_the_queue() -> None:
    """B15."""
    async with full(max_ms=20) as desk:
        await desk.audio("a1")
        waiting = asyncio.create_task(desk.audio("a2"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert await desk.drained() == ["a1"]


async def test_drop_oldest_never_waits_and_names_what_it_drops() -> None:
    """B17."""
    async with full(policy="drop_oldest", max_ms=40) as desk:
        await desk.audio("a1", "a2", "a3", "a4")
        assert await desk.drained() == ["a3", "a4"]
        assert [(gap.start_ms, gap.length_ms, gap.reason) for gap in desk.gaps] == [
            (0, 20, "overflow"),
            (20, 20, "overflow"),
        ]


async def test_audio_that_is_too_old_is_dropped_before_it_is_written() -> None:
    """B17."""
    async with full(policy="drop_oldest") as desk:
        await desk.audio("a1", "a2")
        desk.clock.advance(1.5)
        await desk.audio("a3")
        desk.clock.advance(1.0)
        assert await desk.drained() == ["a3"]
        assert [(gap.start_ms, gap.length_ms, gap.reason) for gap in desk.gaps] == [(0, 40, "too old")]


async def test_the_end_frees_every_sender_and_names_what_was_not_sent() -> None:
    """B15, B17."""
    async with full(max_ms=20) as desk:
        await desk.audio("a1")
        waiting = asyncio.create_task(desk.audio("a2"))
        await asyncio.sleep(0)
        lost = ConnectionLostError(1006, "gone")
        desk.outbox.end(lost)
        with pytest.raises(ConnectionLostError, match="gone"):
            async with asyncio.timeout(5):
                await waiting
        assert [(gap.start_bytes, gap.length_bytes, gap.reason) for gap in desk.gaps] == [
            (0, PIECE, "the connection ended")
        ]
        with pytest.raises(ConnectionLostError, match="gone"):
            desk.outbox.post(b"control")
        with pytest.raises(ConnectionLostError, match="gone"):
            await desk.audio("a3")
        assert desk.door.written == []


# ── any interleaving ─────────────────────────────────────────────────────────────────────────────────────────────────

PLACES = {"commit": Place.IN_LINE, "clear": Place.CLEAR, "create": Place.AFTER_COMMIT, "update": Place.AHEAD}
STEPS = st.lists(
    st.sampled_from(["audio", "audio", "commit", *PLACES, "truncate", "fill", "empty", "turn"]), max_size=20
)


@given(steps=STEPS)
def test_any_interleaving_keeps_its_order_and_loses_nothing_unnamed(steps: list[str]) -> None:
    """B15, B17: audio among audio and commits, control among control; control never waits but for a commit."""
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    desk = Desk(policy="drop_oldest", max_ms=200)
    desk.door.fill()
    said: list[str] = []
    for number, step in enumerate(steps):
        name = f"{step} {number}"
        if step == "fill":
            desk.door.fill()
        elif step == "empty":
            desk.door.empty()
        elif step == "turn":
            await asyncio.sleep(0)
        else:
            said.append(name)
            waits_for_commit = desk.outbox.ring.has_marks
            if step == "audio":
                await desk.audio(name)
            else:
                desk.outbox.post(name.encode(), PLACES.get(step, Place.AT_ONCE))
            if step == "truncate" or (step in ("create", "update", "clear") and not waits_for_commit):
                assert desk.door.written[-1] == name
        ring = desk.outbox.ring
        assert ring.accepted_bytes == ring.queued_bytes + ring.sent_bytes + ring.dropped_bytes
    written = await desk.drained()
    lost = _lost_names(said, desk.gaps)
    assert sorted(written) == sorted(set(said) - lost)
    for kinds in (("audio", "commit", "clear"), ("create", "update", "clear"), ("commit", "create")):
        assert _of(written, kinds) == [name for name in _of(said, kinds) if name not in lost]
    desk.outbox.end()


def _of(names: list[str], kinds: tuple[str, ...]) -> list[str]:
    return [name for name in names if name.split()[0] in kinds]


def _lost_names(said: list[str], gaps: list[Gap]) -> set[str]:
    """Give the pieces that the gaps name, each piece being 20 ms of the stream."""
    audio = _of(said, ("audio",))
    return {
        audio[start // PIECE]
        for gap in gaps
        for start in range(gap.start_bytes, gap.start_bytes + gap.length_bytes, PIECE)
    }


# ── a real socket ────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def door_to_a_deaf_server() -> AsyncGenerator[tuple[WebSocketTransport, asyncio.Event, list[str]]]:
    """Give a door to a server that reads only once the event is set, what it then reads, and small buffers between."""
    listens, heard = asyncio.Event(), list[str]()

    async def handler(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await listens.wait()
        async for message in ws:
            heard.append(message.data.rstrip())
        return ws

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listening.bind(("127.0.0.1", 0))
        await web.SockSite(runner, listening).start()
        transport = await dial(f"ws://127.0.0.1:{listening.getsockname()[1]}/", {}, Dialling())
        reading = asyncio.create_task(transport.run(lambda data: False))
        try:
            yield transport, listens, heard
        finally:
            listens.set()
            await transport.close()
            await asyncio.wait({reading})
            await runner.cleanup()


async def test_an_interruption_passes_a_megabyte_of_audio_that_a_deaf_server_does_not_take() -> None:
    """B15: it is written at once, behind at most what the door had room for, and all arrives in order later."""
    async with asyncio.timeout(30), door_to_a_deaf_server() as (transport, listens, heard):
        gaps: list[Gap] = []
        outbox = Outbox(transport, clock=time.monotonic, on_gap=gaps.append)
        said: list[str] = []
        while outbox.ring.queued_bytes < 1_000_000:
            said.append(f"audio {len(said)}")
            await outbox.send_audio(said[-1].ljust(1280).encode(), PIECE)
            await asyncio.sleep(0)
        before = transport.unsent_bytes
        assert before <= ROOM_BYTES + 2000
        outbox.post(b"cancel", Place.AT_ONCE)
        outbox.post(b"truncate", Place.AT_ONCE)
        assert transport.unsent_bytes - before == len(b"cancel" + b"truncate") + 2 * 6  # RFC 6455 section 5.2: headers
        sent = outbox.ring.sent_pieces
        listens.set()
        while len(heard) < len(said) + 2:
            await asyncio.sleep(0)
        assert heard == [*said[:sent], "cancel", "truncate", *said[sent:]]
        assert not gaps and outbox.ring.sent_bytes == outbox.ring.accepted_bytes
        outbox.end()


async def test_control_on_a_full_line_leaves_the_audio_that_waits_alive() -> None:
    """B15: aiohttp's senders share what they wait for; nobody may cancel it for the others."""
    async with asyncio.timeout(30), door_to_a_deaf_server() as (transport, listens, heard):
        outbox = Outbox(transport, clock=time.monotonic, on_gap=lambda gap: pytest.fail(repr(gap)))
        pieces = 0
        while outbox.ring.queued_bytes < 200_000:
            await outbox.send_audio(f"audio {pieces}".ljust(1280).encode(), PIECE)
            pieces += 1
            await asyncio.sleep(0)
        for number in range(2_000):  # More than the kernel takes, too.
            outbox.post(f"cancel {number}".ljust(4_000).encode(), Place.AT_ONCE)
            await asyncio.sleep(0)
        listens.set()
        while len(heard) < pieces + 2_000:
            await asyncio.sleep(0)
        assert not outbox.ring
        outbox.end()


async def test_an_abort_frees_the_senders_that_a_deaf_server_blocks() -> None:
    """B15, B17: and the task that writes ends with the connection."""
    async with asyncio.timeout(30), door_to_a_deaf_server() as (transport, _, _):
        gaps: list[Gap] = []
        outbox = Outbox(transport, clock=time.monotonic, on_gap=gaps.append, sending=Sending(max_ms=200))

        async def speak() -> None:
            while True:
                await outbox.send_audio(bytes(1280), PIECE)

        speaking = asyncio.create_task(speak())
        while not outbox.waiting_bytes > outbox.ring.queued_bytes:
            await asyncio.sleep(0)
        transport.abort()
        outbox.end(ConnectionLostError(1006, "aborted"))
        with pytest.raises(ConnectionLostError, match="aborted"):
            await speaking
        assert sum(gap.length_bytes for gap in gaps) == outbox.ring.accepted_bytes - outbox.ring.sent_bytes
        while any(task.get_name() == "realtime_events.session.send" for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
