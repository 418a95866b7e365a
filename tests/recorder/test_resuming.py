"""A session whose process has died goes on in another one, from its tape alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime_events import ConfigurationError, Realtime
from realtime_events.events import ConnectionRestored, ConversationItemCreate, SessionUpdate, ToolOrphaned
from realtime_events.recorder.resuming import Resumed
from realtime_events.simulator import Call, EchoBrain, ScriptBrain, Simulator, Step

WAIT_S = 20.0
TEXT = {"output_modalities": ["text"]}

DYING = """
import asyncio, os, signal, sys
from realtime_events import Endpoint, Realtime

async def main():
    rt = Realtime(instructions="Be brief.", session={"output_modalities": ["text"]})
    endpoint = Endpoint(url=sys.argv[1], api_key="test-key")
    async with rt.connect(endpoint=endpoint, record=sys.argv[2]) as session:
        await session.ask("My name is Ada.")
        await session.update(instructions="Sing.")
        await session.ask("Remember it.")
        await asyncio.sleep(0.3)  # Longer than the 100 ms that a killed process may lose.
        print("taped", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["call.jsonl", "call.jsonl.gz"])
async def test_a_killed_process_is_followed_by_another_that_goes_on_with_the_conversation(
    tmp_path: Path, name: str
) -> None:
    """B42: configuration, items and usage come from the tape."""
    tape, heard = tmp_path / name, list[Any]()
    rt = Realtime(session=TEXT)
    rt.on("connection.restored", heard.append)
    async with asyncio.timeout(WAIT_S), Simulator(brain=EchoBrain(), pace=None) as sim:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DYING, sim.endpoint.url, str(tape), stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"taped\n"
        child.kill()
        await child.wait()
        with tape.open("ab") as torn:
            torn.write(b'{"t":9.9,"d":"in","f":{"type":"resp')
        async with rt.resume(tape, endpoint=sim.endpoint) as session:
            turn = await session.ask("What is my name?")
            words = [item.text for item in session.conversation if item.role == "user"]
            assert words == ["My name is Ada.", "Remember it.", "What is my name?"]
            assert turn.text == "What is my name?"
            assert session.usage.responses == {"completed": 3}
            [update] = [event for event in sim.sessions[-1].received if isinstance(event, SessionUpdate)]
            assert update.session.instructions == "Sing."
            said = [event for event in sim.sessions[-1].received if isinstance(event, ConversationItemCreate)]
            assert len(said) == 5
    [restored] = heard
    assert isinstance(restored, ConnectionRestored)
    assert len(restored.replayed) == 4 and restored.dropped == restored.lost_in_flight == ()


async def test_a_tool_call_that_was_left_open_is_reported(tmp_path: Path) -> None:
    """B36: and its item is not said again."""
    tape, orphans = tmp_path / "call.jsonl", list[ToolOrphaned]()
    rt, started = Realtime(session=TEXT), asyncio.Event()

    @rt.tool
    async def slow() -> str:
        started.set()
        await asyncio.Event().wait()
        return ""

    brain = ScriptBrain([Step(emit=[Call("slow", "{}")])])
    async with asyncio.timeout(WAIT_S):
        async with Simulator(brain=brain, pace=None) as sim:
            async with rt.connect(endpoint=sim.endpoint, record=tape) as session:
                asking = asyncio.ensure_future(session.ask("Work."))
                await started.wait()
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        other = Realtime(session=TEXT)
        other.on("tool.orphaned", orphans.append)
        async with Simulator(brain=EchoBrain(), pace=None) as sim:
            async with other.resume(tape, endpoint=sim.endpoint) as session:
                assert (await session.ask("Hello")).text == "Hello"
                assert [item.type for item in session.conversation] == ["message", "message", "message"]
    assert [event.call.name for event in orphans] == ["slow"]


async def test_a_tape_with_a_reconnect_on_it_gives_the_conversation_once(tmp_path: Path) -> None:
    """The items that were said again after a loss are not doubled, and usage counts every connection."""
    from realtime_events.reconnect import Reconnect
    from realtime_events.testing import FaultProxy

    tape = tmp_path / "call.jsonl"
    async with (
        asyncio.timeout(WAIT_S),
        Simulator(brain=EchoBrain(), pace=None) as sim,
        FaultProxy(sim.endpoint) as proxy,
    ):
        quick = Reconnect(jitter=lambda: 0.0)
        async with Realtime(session=TEXT).connect(endpoint=proxy.endpoint, record=tape, reconnect=quick) as session:
            await session.ask("One")
            restored = asyncio.ensure_future(session.wait_for("connection.restored"))
            await asyncio.sleep(0)
            proxy.cut()
            await restored
            await session.ask("Two")
    resumed = Resumed.of(tape)
    assert [item.text for item in resumed.conversation] == ["One", "One", "Two", "Two"]
    assert resumed.usage.responses == {"completed": 2} and not resumed.open_calls


async def test_what_is_no_tape_cannot_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(ConfigurationError):
        Realtime().resume(path)
