"""Playing schedules: a world's steps, one after the other, on a clock that jumps.

Owns the loop, and how far it comes on with each step: exactly so many turns, so that a schedule is the same whether a
seed, a command line or hypothesis plays it. The laws are asked after every step, and when all is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Iterator
from typing import Any

from . import laws
from .schedules import Schedule
from .world import World

BOUND_S = 3_000.0  # of the clock that jumps
WAITS_S = (0.01, 0.05, 0.1, 0.5, 3.0, 25.0, 200.0)  # the last is longer than a rotation waits for an idle moment


class _Jumping(selectors.DefaultSelector):
    """Moves the clock on instead of waiting: nothing but timers can wake this loop."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer will ever wake anybody")
        self.now += max(0.0, timeout)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop without sockets, whose clock jumps to the next timer."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let code run as if a callback of this loop did, and nothing else beside it."""
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def turn(self) -> None:
        """Run what is ready now, once."""
        self.stop()
        self.run_forever()


class Play:
    """A world that is played step by step, from outside its loop."""

    def __init__(self, world: int) -> None:
        self._runner = asyncio.Runner(loop_factory=JumpingLoop)
        self._loop: Any = self._runner.get_loop()
        self._loop.set_exception_handler(self._fails)
        try:
            self.world = self._wait_for(self._opened(world))
        except BaseException:
            self.close()
            raise

    def _fails(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.world.broken.append(f"nobody took an exception: {context}")

    def _wait_for(self, what: Any) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(BOUND_S):
                return await what

        return self._loop.run_until_complete(bounded())

    async def _opened(self, number: int) -> World:
        world = World(number)
        await world.session.open()
        return world

    def step(self, verb: str, pick: float) -> None:
        """Let one thing happen, and the loop come on a little, or not at all."""
        with self._loop.held():
            self.world.do(verb, pick)
        for _ in range(int(pick * 1_000) % 7):
            self._loop.turn()
        if verb == "wait":
            self._wait_for(asyncio.sleep(WAITS_S[int(pick * len(WAITS_S))]))

    def ask(self, *, is_over: bool = False) -> None:
        """Ask all laws.

        Raises:
            AssertionError: One is broken.
        """
        for law in laws.LAWS:
            law(self.world, is_over=is_over)

    def finish(self) -> None:
        """Let everything come to its end, close the session, and ask all laws.

        Raises:
            AssertionError: One is broken.
        """
        self._wait_for(self.world.settle())
        self.ask()
        laws.owed(self.world)
        self._wait_for(self.world.session.close())
        self._wait_for(asyncio.sleep(30))
        left = [task.get_name() for task in asyncio.all_tasks(self._loop)]
        assert not left, f"silence: tasks are left: {left}"
        self.ask(is_over=True)

    def close(self) -> None:
        """Stop whatever is left, and close the loop."""
        self._runner.close()


def play(schedule: Schedule, *, ask_often: bool = True) -> World:
    """Play a schedule, and give the world as it was in the end.

    Args:
        schedule: The steps.
        ask_often: Whether all laws are asked after each step, and not only in the end.

    Raises:
        AssertionError: A law is broken.
    """
    with contextlib.closing(Play(schedule.world)) as playing:
        for verb, pick in schedule.steps:
            playing.step(verb, pick)
            if ask_often:
                playing.ask()
        playing.finish()
        return playing.world
