"""The user's audio over losses and rotations: every accepted byte ends in one column, and what is lost is named."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_events import LocalProtocolError, Realtime, Session
from realtime_events.audio import AudioLedger
from realtime_events.events import AudioGap, InputAudioBufferAppend, SessionRotated
from realtime_events.outbox import Outbox
from realtime_events.reconnect import Reconnect
from realtime_events.simulator import EchoBrain, Simulator
from realtime_events.testing import FaultProxy, Toxics
from realtime_events.transport import Ending

WAIT_S = 10.0
PCM = 48  # bytes of a millisecond
QUICK = Reconnect(jitter=lambda: 0.0)
BY_HAND = {"output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}
LISTENS = {"output_modalities": ["text"], "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what the peer's machine has taken")


class Line:
    """A session with a simulator, over a network that can be broken, and the gaps that it was told of."""

    def __init__(self, sim: Simulator, proxy: FaultProxy, session: Session, gaps: list[AudioGap]) -> None:
        self.sim = sim
        self.proxy = proxy
        self.session = session
        self.gaps = gaps

    @property
    def ledger(self) -> AudioLedger:
        """The ledger, once its law has been seen to hold."""
        books = self.session.audio_ledger
        settled = books.confirmed_bytes + books.delivered_bytes + books.unknown_bytes + books.lost_bytes
        assert books.accepted_bytes == books.queued_bytes + books.open_bytes + settled
        return books

    @property
    def appends(self) -> int:
        """How many pieces of audio the newest server-side session has got."""
        return len([event for event in self.sim.sessions[-1].received if isinstance(event, InputAudioBufferAppend)])

    async def cut(self) -> None:
        """Cuts the connection, and waits for the next."""
        restored = asyncio.ensure_future(self.session.wait_for("connection.restored"))
        await asyncio.sleep(0)
        self.proxy.cut()
        await restored

    async def rotate(self) -> SessionRotated:
        """Rotates the session."""
        rotated = asyncio.ensure_future(self.session.wait_for(SessionRotated))
        await asyncio.sleep(0)
        self.session._line.rotate()
        return await rotated

    async def named(self) -> list[tuple[float, float, bool, bool]]:
        """Gives the gaps that were told, once the server has taken all that was sent before."""
        await self.session.update(instructions="In order.")
        return [(gap.start_ms, gap.length_ms, gap.unknown, gap.delivered) for gap in self.gaps]


@asynccontextmanager
async def line(config: dict[str, Any], faults: str = "", **options: Any) -> AsyncIterator[Line]:
    rt, gaps = Realtime(session=config), list[AudioGap]()
    rt.on(AudioGap, gaps.append, delivery="inline")
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None, faults=faults) as sim:
        async with FaultProxy(sim.endpoint) as proxy:
            async with rt.connect(endpoint=proxy.endpoint, **{"reconnect": QUICK, **options}) as session:
                yield Line(sim, proxy, session, gaps)


async def test_a_commit_confirms_the_audio_before_it_so_that_a_loss_names_only_what_came_later() -> None:
    """B42: where the application commits, `input_audio_buffer.committed` is what covers audio."""
    async with line(BY_HAND) as it:
        await it.session.send_audio(bytes(200 * PCM))
        await it.session.commit_audio()
        assert (it.ledger.confirmed_bytes, it.ledger.open_bytes) == (200 * PCM, 0)
        await it.session.send_audio(bytes(100 * PCM))
        await it.cut()
        assert await it.named() == [(200.0, 100.0, True, False)]
        assert (it.ledger.unknown_bytes, it.ledger.open_bytes) == (100 * PCM, 0)


async def test_audio_that_was_cleared_is_in_no_doubt() -> None:
    """B42: it was to be thrown away."""
    async with line(BY_HAND) as it:
        await it.session.send_audio(bytes(200 * PCM))
        await it.session.clear_audio()
        await it.cut()
        assert await it.named() == []
        assert it.ledger.confirmed_bytes == 200 * PCM


@on_linux
async def test_audio_that_reached_a_peer_that_closed_is_told_apart_from_audio_that_may_not_have() -> None:
    """B42: the kernel says what the peer's has acknowledged (SIOCOUTQ)."""
    async with line(BY_HAND, faults="close=1012:session.updated#2") as it:
        await it.session.send_audio(bytes(100 * PCM))
        restored = asyncio.ensure_future(it.session.wait_for("connection.restored"))
        await asyncio.sleep(0)
        with pytest.raises(Exception, match="1012"):
            await it.session.update(instructions="This ends it.")
        it.sim.set_faults(None)
        await restored
        assert await it.named() == [(0.0, 100.0, False, True)]
        assert it.ledger.delivered_bytes == 100 * PCM


@on_linux
async def test_of_a_peer_that_takes_nothing_any_more_the_last_audio_is_in_doubt_and_the_first_is_not() -> None:
    """B42, B44: what does not fit into its window has not arrived; it is ended by our own ping."""
    seconds = 40
    async with line(BY_HAND, ping_interval_s=0.05, ping_timeout_s=0.1) as it:
        it.proxy.up = Toxics(stall_after_bytes=it.proxy.bytes_up)
        restored = asyncio.ensure_future(it.session.wait_for("connection.restored"))
        lost = asyncio.ensure_future(it.session.wait_for("connection.lost"))
        await asyncio.sleep(0)
        for _ in range(seconds):
            if lost.done():
                break
            await it.session.send_audio(bytes(1000 * PCM))
        await lost
        delivered, unknown = it.ledger.delivered_bytes, it.ledger.unknown_bytes
        assert delivered and unknown
        told = [(gap.delivered, gap.bytes) for gap in it.gaps if gap.delivered or gap.unknown]
        assert sorted(told) == [(False, unknown), (True, delivered)]
        it.proxy.heal()
        await restored


async def test_a_rotation_waits_for_the_commit_of_what_is_being_said() -> None:
    """B43: where the application commits, what was sent is half a sentence until then."""
    async with line(BY_HAND) as it:
        await it.session.send_audio(bytes(200 * PCM))
        rotating = asyncio.ensure_future(it.rotate())
        await it.session.update(instructions="Time passes.")
        assert not rotating.done() and len(it.sim.sessions) == 1
        await it.session.commit_audio()
        rotated = await rotating
        # Speech without a transcript cannot be said again; a rotation that loses it says so.
        assert len(rotated.replayed) + len(rotated.dropped) == 1
        assert await it.named() == []


async def test_a_microphone_hears_nothing_of_a_connection_that_has_just_ended() -> None:
    """B42: what comes between the end of a connection and its being told waits for the next one."""
    async with line(BY_HAND) as it:
        restored = asyncio.ensure_future(it.session.wait_for("connection.restored"))
        await asyncio.sleep(0)
        it.session._connection.abort()
        it.session._connection._transport.end(Ending(1006, "gone", "network"))  # type: ignore[union-attr]
        await it.session.send_audio(bytes(100 * PCM))
        assert it.ledger.queued_bytes == 100 * PCM
        await restored
        assert await it.session.commit_audio()
        assert it.ledger.confirmed_bytes == 100 * PCM and not it.gaps


async def test_less_than_can_be_committed_keeps_no_session_from_rotating() -> None:
    """B43: a tap on the button is no sentence; it goes along."""
    async with line(BY_HAND) as it:
        await it.session.send_audio(bytes(60 * PCM))
        await it.rotate()
        assert await it.named() == [] and it.ledger.open_bytes == 60 * PCM


async def test_the_audio_of_a_translation_that_was_finished_is_in_no_doubt() -> None:
    """B42: `session.closed` covers all that came before."""
    rt, gaps = Realtime(), list[AudioGap]()
    rt.on(AudioGap, gaps.append, delivery="inline")
    async with asyncio.timeout(WAIT_S), Simulator(pace=None) as sim:
        async with rt.translate(to="es", endpoint=sim.endpoint) as translating:
            for _ in range(10):
                await translating.send_audio(bytes(20 * PCM))
            await translating.finish()
            assert translating.session.audio_ledger.confirmed_bytes == 200 * PCM
    assert not gaps


async def test_the_transcripts_of_a_session_that_was_lost_stay_before_those_of_the_next() -> None:
    """B21, B42: a transcription session is told nothing again; what was written down is kept, its ids are dead."""
    async with line({"audio": {"input": {"turn_detection": None}}}, kind="transcription") as it:
        said: list[str] = []
        for n in range(4):
            if n == 2:
                await it.cut()
            await it.session.send_audio(bytes(200 * PCM))
            said.append(str(await it.session.commit_audio()))
        assert [item.id for item in it.session.conversation] == said
        with pytest.raises(LocalProtocolError, match="was lost with the connection"):
            await it.session.retrieve_item(said[0])


async def test_a_forced_rotation_says_all_uncommitted_audio_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """B43: and the commit that follows is one of the whole sentence."""
    monkeypatch.setattr("realtime_events.lifeline.FORCED_AFTER_S", 0.0)
    async with line(BY_HAND) as it:
        for _ in range(40):
            await it.session.send_audio(bytes(20 * PCM))
        await it.rotate()
        assert await it.named() == [] and it.ledger.open_bytes == 800 * PCM
        assert it.appends == 40
        assert await it.session.commit_audio()
        assert it.ledger.confirmed_bytes == 800 * PCM


async def test_what_a_forced_rotation_cannot_say_again_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """B43: nothing is lost in silence."""
    monkeypatch.setattr("realtime_events.lifeline.FORCED_AFTER_S", 0.0)
    monkeypatch.setattr("realtime_events.speaking.KEEP_UNCOMMITTED_MS", 100.0)
    async with line(BY_HAND) as it:
        for _ in range(10):
            await it.session.send_audio(bytes(20 * PCM))
        await it.rotate()
        assert await it.named() == [(0.0, 100.0, False, False)]
        assert [gap.reason for gap in it.gaps] == ["the session was rotated before it was committed"]
        assert (it.ledger.lost_bytes, it.ledger.open_bytes) == (100 * PCM, 100 * PCM)


async def test_a_rotation_of_a_session_that_listens_says_the_last_moment_again_and_names_no_silence() -> None:
    """B43: what the server heard nothing in is lost to nobody."""
    async with line(LISTENS) as it:
        for _ in range(100):
            await it.session.send_audio(bytes(20 * PCM))
        await it.session.update(instructions="All of it was taken.")
        await it.rotate()
        assert await it.named() == []
        assert it.appends == 25
        assert (it.ledger.delivered_bytes, it.ledger.open_bytes) == (1500 * PCM, 500 * PCM)


async def test_what_is_lost_with_a_connection_cannot_be_committed_in_the_next() -> None:
    """B15, B42: less than the API takes is refused here; with what waited, it is enough."""
    slow = Reconnect(jitter=lambda: 1.0, first_delay_s=0.05)
    async with line(BY_HAND, reconnect=slow) as it:
        await it.session.send_audio(bytes(200 * PCM))
        await it.cut()
        assert await it.session.commit_audio(if_enough=True) is None
        with pytest.raises(LocalProtocolError, match="0 ms were sent"):
            await it.session.commit_audio()
        lost = asyncio.ensure_future(it.session.wait_for("connection.lost"))
        restored = asyncio.ensure_future(it.session.wait_for("connection.restored"))
        await asyncio.sleep(0)
        it.proxy.cut()
        await lost
        await it.session.send_audio(bytes(150 * PCM))  # It waits for the next connection.
        await restored
        assert await it.session.commit_audio() is not None
        assert it.ledger.confirmed_bytes == 150 * PCM


async def test_audio_that_waits_for_too_long_is_told_once_until_nothing_waits() -> None:
    """B17, B42: the default policy drops nothing, and so the user is heard late; that is not a secret."""
    from realtime_events.events import AudioLagging
    from realtime_events.outbox import LAG_S

    times = iter([float(number) for number in range(100)])
    told: list[tuple[float, float]] = []
    transport = Narrow()
    outbox = Outbox(
        transport,  # type: ignore[arg-type]
        clock=lambda: next(times),
        on_gap=lambda gap: None,
        on_lag=lambda age_s, waiting_ms: told.append((age_s, waiting_ms)),
    )
    assert LAG_S <= 1.0 and AudioLagging.__struct_config__.tag == "audio.lagging"
    for _ in range(5):
        await outbox.send_audio(b"frame", 20 * PCM)
    assert len(told) == 1 and told[0][1] >= 20.0
    transport.opens.set()
    await transport.emptied.wait()
    outbox.end()
    assert len(transport.written) == 5


class Narrow:
    """A door that has no room until it is opened."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.opens = asyncio.Event()
        self.emptied = asyncio.Event()
        self.unsent_bytes = 0

    @property
    def has_room(self) -> bool:
        return self.opens.is_set()

    async def drain(self) -> None:
        await self.opens.wait()

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if len(self.written) == 5:
            self.emptied.set()


async def test_a_session_refuses_another_thread_and_says_what_to_call() -> None:
    """B47: and nothing of it is sent."""
    async with line(BY_HAND) as it:
        loop = asyncio.get_running_loop()

        def from_a_thread(step: Any) -> str:
            with pytest.raises(LocalProtocolError) as refused:
                asyncio.run(step())
            return str(refused.value)

        for step in (
            lambda: it.session.send_audio(bytes(960)),
            lambda: it.session.update(instructions="From a thread."),
            lambda: it.session.ask("From a thread?"),
        ):
            assert "run_coroutine_threadsafe" in await asyncio.to_thread(from_a_thread, step)
        sending = asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(it.session.send_audio(bytes(960)), loop))
        await asyncio.wrap_future(await sending)
        await it.session.update(instructions="All of it was taken.")
        assert it.appends == 1
