"""The programs of the Go client, in our words: the comprehensive one notices a single event that is missing."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime_events.events import CLIENT_EVENTS, SERVER_EVENTS
from realtime_events.recorder import Tape

from .programs import run

FOLDER = Path(__file__).parent.parent / "examples" / "from_go"
COMPREHENSIVE = FOLDER / "comprehensive.py"
GO_README = {
    "error",
    "session.created",
    "session.updated",
    "conversation.created",
    "conversation.item.created",
    "conversation.item.deleted",
    "conversation.item.truncated",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.failed",
    "input_audio_buffer.committed",
    "input_audio_buffer.cleared",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "response.created",
    "response.done",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.text.delta",
    "response.text.done",
    "response.audio.delta",
    "response.audio.done",
    "response.audio_transcript.delta",
    "response.audio_transcript.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "rate_limits.updated",
}
LINE = b'{"t":0.1,"d":"%b","f":{"type":"%b"}}\n'


@pytest.fixture(scope="module")
def comprehensive() -> Any:
    """Gives the comprehensive example as a module."""
    spec = importlib.util.spec_from_file_location("comprehensive", COMPREHENSIVE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["comprehensive"] = module  # its dataclasses look there for their annotations
    spec.loader.exec_module(module)
    return module


def tape_of(incoming: list[str], outgoing: list[str]) -> Tape:
    """Gives a tape with these events on it."""
    lines = [LINE % (b"in", name.encode()) for name in incoming] + [LINE % (b"out", name.encode()) for name in outgoing]
    return Tape.parse(b'{"tape":1}\n' + b"".join(lines))


async def test_an_event_that_is_lost_on_the_way_is_named_and_fails_the_program(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """The simulator really loses it; everything else is met all the same, and nothing is left behind."""
    faults = ("--faults", "drop:rate_limits.updated")
    ended = await run(sys.executable, COMPREHENSIVE, *faults, cwd=tmp_path, env=child_environment)
    assert ended.code == 1, f"{ended.out}\n{ended.err}"
    lines = ended.out.splitlines()
    assert lines[-1] == "missing: ← rate_limits.updated"
    assert "54" not in next(line for line in lines if line.startswith("events of servers")).split()[3]
    assert not os.listdir(tmp_path)


async def test_a_scene_that_waits_for_a_lost_event_breaks_off_and_the_next_one_is_played(
    comprehensive: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is waited for in vain ends one scene by its time limit, not the program."""
    monkeypatch.setattr(comprehensive, "SCENE_S", 2)
    monkeypatch.setattr(comprehensive, "SCENES", (comprehensive.by_hosted_mcp, comprehensive.by_the_beta))
    async with asyncio.timeout(30):
        assert await comprehensive.main("drop:mcp_list_tools.*") == 1
    out = capsys.readouterr().out
    missing = out.splitlines()[-1]
    assert "broken off: TimeoutError" in out
    assert "← mcp_list_tools.completed" in missing
    assert "← response.text.done" not in missing


def test_all_events_are_wanted_both_ways(comprehensive: Any) -> None:
    """46 of GA servers, 8 more of the beta's, 11 of clients, one more of the beta's."""
    assert (
        (len(comprehensive.SERVER), len(comprehensive.CLIENT)) == (46, 11) == (len(SERVER_EVENTS), len(CLIENT_EVENTS))
    )
    assert (len(comprehensive.BETA_SERVER), len(comprehensive.BETA_CLIENT)) == (8, 1)
    assert (set(comprehensive.GO_README), len(comprehensive.GO_ADDED)) == (GO_README, 5)
    assert len(GO_README) == len(comprehensive.GO_README) == 28
    assert len(comprehensive.GO_OUTGOING) == 10


def test_every_incoming_event_of_the_go_client_has_its_place(comprehensive: Any) -> None:
    """Each of the 33 is on the wire today, or another one says the same."""
    wire = {*comprehensive.SERVER, *comprehensive.BETA_SERVER}
    assert {*comprehensive.GO_README, *map(comprehensive.today, comprehensive.GO_README)} <= wire
    assert set(comprehensive.GO_ADDED.values()) <= wire
    assert {*map(comprehensive.today, comprehensive.GO_README)} <= set(comprehensive.SERVER)


def test_each_event_is_missed_by_itself_in_its_direction(comprehensive: Any) -> None:
    """An event that only went the other way was not met."""
    incoming = [*comprehensive.SERVER, *comprehensive.BETA_SERVER]
    outgoing = [*comprehensive.CLIENT, *comprehensive.BETA_CLIENT]
    whole = comprehensive.Tally()
    assert whole.count(tape_of(incoming, outgoing)) == [*incoming, *outgoing]
    assert whole.missing == []
    for name in incoming:
        tally = comprehensive.Tally()
        tally.count(tape_of([one for one in incoming if one != name], [*outgoing, name]))
        assert tally.missing == [f"← {name}"]
    for name in outgoing:
        tally = comprehensive.Tally()
        tally.count(tape_of([*incoming, name], [one for one in outgoing if one != name]))
        assert tally.missing == [f"→ {name}"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
async def test_sigterm_ends_both_sessions_in_an_orderly_way(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """The program leaves its blocks: both connections are closed by the client with code 1000."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        str(FOLDER / "dual_session.py"),
        cwd=tmp_path,
        env=child_environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while not (await process.stdout.readline()).startswith(b"realtime session"):
            pass
        await process.stdout.readexactly(1)  # both sessions are open: the answer begins
        process.terminate()
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().endswith("stopped; both sessions are closed\n")
    assert err.decode().count("code 1000 by the client") == 2
    assert "Traceback" not in err.decode()
