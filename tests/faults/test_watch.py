"""What keeps the event loop: it is named while it does so, and told to every session when it has ended."""

from __future__ import annotations

import asyncio
import gc
import logging
import selectors
import socket
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_events import Realtime, Session
from realtime_events.events import LoopBlocked
from realtime_events.testing import Peer
from realtime_events.watch import Watch, stack_of

CANARY = "canary-7f3a"
NAME = "realtime_events.watch"
WAIT_S = 5.0


class Heard(logging.Handler):
    """What the watch has logged, and a way to wait for it that blocks."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.came.set()

    def block(self) -> None:
        """Keeps the loop until that is noticed."""
        assert self.came.wait(WAIT_S), "nobody has noticed"
        self.came.clear()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """Listens to a watch that is quick to notice."""
    monkeypatch.setattr("realtime_events.watch.BEAT_S", 0.02)
    monkeypatch.setattr("realtime_events.watch.LIMIT_S", 0.06)
    handler = Heard()
    logging.getLogger(NAME).addHandler(handler)
    yield handler
    logging.getLogger(NAME).removeHandler(handler)


@asynccontextmanager
async def connected(rt: Realtime, **options: Any) -> AsyncGenerator[Session]:
    peer = Peer()
    async with asyncio.timeout(20), rt.connect(endpoint=peer.endpoint, dial=peer.dial, **options) as session:
        yield session


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


async def blocked(session: Session, block: Callable[[], object]) -> LoopBlocked:
    """Blocks the loop, and gives what the session is told of it."""
    waiting = asyncio.create_task(session.wait_for("loop.blocked", timeout=WAIT_S))
    await asyncio.sleep(0)
    block()
    return await waiting


async def test_an_async_handler_that_blocks_the_loop_is_named_with_the_line_where_it_does(heard: Heard) -> None:
    """B03: while it does so in the log, and afterwards by an event."""
    rt = Realtime()

    @rt.on("app.block")
    async def blocks(event: str) -> None:
        heard.block()

    async with connected(rt) as session:
        waiting = asyncio.create_task(session.wait_for("loop.blocked", timeout=WAIT_S))
        await asyncio.sleep(0)
        session.emit("app.block", CANARY)
        told = await waiting
    assert told.blocked_ms >= 60
    mine = [place for place in told.stack if __file__ in place]
    assert [place.partition(" ")[2].rpartition(".")[2] for place in mine] == ["block", "blocks"]
    assert len(heard.lines) == 1 and " < ".join(told.stack) in heard.lines[0]
    assert CANARY not in heard.lines[0], "a local variable was told"


async def test_a_tool_that_blocks_the_loop_is_named(heard: Heard) -> None:
    """B03: whatever runs on the loop is seen."""
    rt = Realtime()

    @rt.tool
    async def look_up() -> str:
        """Look something up."""
        heard.block()
        return "found"

    async with connected(rt) as session:
        waiting = asyncio.create_task(session.wait_for("loop.blocked", timeout=WAIT_S))
        await asyncio.sleep(0)
        assert await session.tools.call("look_up") == "found"
        assert any("look_up" in place for place in (await waiting).stack)


async def test_every_session_of_the_loop_is_told_and_one_thread_watches_for_all(heard: Heard) -> None:
    """B47: what one of them does holds up the others as well."""
    async with connected(Realtime()) as one, connected(Realtime()) as two:
        assert len(watching()) == 1
        both = asyncio.gather(*(session.wait_for("loop.blocked", timeout=WAIT_S) for session in (one, two)))
        await asyncio.sleep(0)
        heard.block()
        first, second = await both
        assert first == second


async def test_a_place_that_blocks_again_is_logged_once_and_told_each_time(heard: Heard) -> None:
    """B52: a handler of every delta shall not fill the log."""

    never = threading.Event()
    async with connected(Realtime()) as session:
        for _ in range(3):
            told = await blocked(session, lambda: never.wait(0.4))
            assert any(__file__ in place for place in told.stack)
    assert len(heard.lines) == len({line.partition(" by ")[2].partition(" < ")[0] for line in heard.lines})


async def test_the_thread_ends_with_the_last_session(heard: Heard) -> None:
    """B46: and begins again with the next."""
    for _ in range(2):
        async with connected(Realtime()), connected(Realtime()):
            (thread,) = watching()
        await asyncio.to_thread(thread.join, WAIT_S)
        assert not thread.is_alive()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("realtime_events.")]


async def test_nobody_watches_where_the_application_says_so(heard: Heard) -> None:
    """The option is for programs with a watch of their own."""
    async with connected(Realtime(), watch_loop=False):
        assert watching() == []


async def test_a_session_that_could_not_be_opened_is_not_watched_for(heard: Heard) -> None:
    """B46: a failing connect leaves nothing."""
    peer = Peer(answers_updates=False)
    with pytest.raises(TimeoutError):
        await Realtime(instructions="Hi.").connect(endpoint=peer.endpoint, dial=peer.dial, connect_timeout_s=0.01)
    for thread in watching():
        await asyncio.to_thread(thread.join, WAIT_S)
    assert watching() == []


def test_a_loop_that_is_left_without_a_farewell_is_let_go_of(heard: Heard) -> None:
    """B46: its thread ends, and nothing holds it."""

    class Nobody:
        def publish(self, event: LoopBlocked, /) -> None:
            """Hears nothing."""

    nobody, loop = Nobody(), asyncio.new_event_loop()

    async def join() -> None:
        Watch.of_this_loop().join(nobody)

    loop.run_until_complete(join())
    (thread,) = watching()
    loop.close()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


async def test_a_loop_that_waits_is_not_blocked() -> None:
    """G10: its thread is in the selector, and that is nobody's fault."""
    loop, stack = threading.get_ident(), asyncio.get_running_loop().create_future()

    def look() -> None:
        seen = ("…",)
        while seen:
            seen = stack_of(sys._current_frames()[loop])  # pyright: ignore[reportPrivateUsage]
        stack.get_loop().call_soon_threadsafe(stack.set_result, seen)

    threading.Thread(target=look, daemon=True).start()
    async with asyncio.timeout(WAIT_S):
        assert await stack == ()


async def test_whoever_waits_in_a_selector_of_its_own_blocks_the_loop(heard: Heard) -> None:
    """G10: as `subprocess` does; the selector is not the loop's."""
    here, there = socket.socketpair()
    with here, there, selectors.DefaultSelector() as own:
        own.register(here, selectors.EVENT_READ)

        def answer() -> None:
            if heard.came.wait(WAIT_S):
                there.send(b".")

        async with connected(Realtime()) as session:
            threading.Thread(target=answer, daemon=True).start()
            told = await blocked(session, lambda: own.select(WAIT_S))
    assert "select" in told.stack[0] and any(__file__ in place for place in told.stack)
