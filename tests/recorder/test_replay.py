"""Playing a tape into an application: a replay is just another door."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from realtime_events import ConfigurationError, Realtime
from realtime_events.events import ResponseCreate, ResponseOutputAudioDelta
from realtime_events.recorder import Tape, replay

from .conftest import QUESTION, Concierge, Record

TAKEN_BACK = b'{"t":%.6f,"d":"%b","f":%b}\n'


async def play(concierge: Concierge, path: Path, **how: object) -> list[object]:
    """Plays a tape to its end, and gives what the application heard."""
    concierge.heard.clear()
    async with asyncio.timeout(20), concierge.rt.connect(dial=replay(path, **how)) as session:  # type: ignore[arg-type]
        await session.wait_closed()
    return list(concierge.heard)


async def test_two_replays_give_handlers_the_same_events(record: Record, concierge: Concierge) -> None:
    """The order is that of the tape, and the times are, too."""
    path = await record()
    first, second = await play(concierge, path), await play(concierge, path)
    names = [getattr(event, "type", "") for event in first]
    assert names == [getattr(event, "type", "") for event in second]
    assert {"session.updated", "tool.done", "response.done", "turn.done", "connection.closed"} <= set(names)
    turns = [next(e.turn for e in run if getattr(e, "type", "") == "turn.done") for run in (first, second)]  # type: ignore[attr-defined]
    assert turns[0].timeline_ms == turns[1].timeline_ms
    assert turns[0].text == turns[1].text == "18 °C and sunny in Bern"


async def test_a_replay_gives_the_frames_of_the_tape_in_its_order(record: Record) -> None:
    """Every frame that came in is heard once, the acknowledgements of the session's set-up among them."""
    path = await record(record_audio=True)
    rt, frames = Realtime(instructions="x"), []
    rt.on("frame.received", lambda event: frames.append(event.data))
    rt.tool(Concierge().get_weather)
    async with rt.connect(dial=replay(path)) as session:
        await session.wait_closed()
    taped = [frame.data for frame in Tape.read(path) if frame.direction == "in"]
    assert len(frames) == len(taped)
    same = [mine for mine, theirs in zip(frames, taped, strict=True) if mine == theirs]
    assert len(same) >= len(taped) - 2, "only what names an item of ours may be told in the ids of now"


async def test_tools_do_not_run_but_answer_what_is_on_the_tape(record: Record, concierge: Concierge) -> None:
    """A replay must not book a table."""
    events = await play(concierge, await record())
    done = [event for event in events if getattr(event, "type", "") == "tool.done"]
    assert concierge.asked == []
    assert [event.output for event in done] == ["18 °C and sunny in Bern"]  # type: ignore[attr-defined]


async def test_tools_run_if_asked_for(record: Record, concierge: Concierge) -> None:
    """With `tools="real"` the function is called."""
    await play(concierge, await record(), tools="real")
    assert concierge.asked == ["Bern"]


async def test_a_program_that_asks_again_gets_the_taped_answer(record: Record, concierge: Concierge) -> None:
    """The ids of the tape are read as those of now, so an answer finds whoever waits for it."""
    path = await record()
    async with concierge.rt.connect(dial=replay(path)) as session:
        turn = await session.ask(QUESTION, timeout=5)
    assert turn.text == "18 °C and sunny in Bern"
    assert [call.output for call in turn.tool_calls] == ["18 °C and sunny in Bern"]


async def test_a_tape_without_audio_gives_silence_of_the_same_length(record: Record) -> None:
    """What a player gets is as long as what was heard."""
    with_audio, without = await record("a.jsonl", record_audio=True), await record("b.jsonl")
    lengths: list[list[int]] = []
    for path in (with_audio, without):
        chunks: list[bytes] = []
        rt = Realtime()
        rt.on(ResponseOutputAudioDelta, lambda event, chunks=chunks: chunks.append(event.delta))
        async with rt.connect(dial=replay(path)) as session:
            await session.wait_closed()
        lengths.append([len(chunk) for chunk in chunks])
        assert any(b"".join(chunks)) is (path == with_audio)
    assert sum(lengths[0]) == sum(lengths[1]) > 0
    assert without.stat().st_size < with_audio.stat().st_size


async def test_a_session_ends_as_the_tape_ended(tmp_path: Path) -> None:
    """Code, reason and initiator are those of the tape; a torn tape ends as a broken line does."""
    head = b'{"tape":1}\n{"t":0.0,"epoch":1}\n' + TAKEN_BACK % (0.1, b"in", b'{"type":"session.created","session":{}}')
    path = tmp_path / "call.jsonl"
    for tail, expected in (
        (b'{"t":1.0,"end":{"code":1011,"reason":"oops","initiator":"server"}}\n', (1011, "oops", "server")),
        (b"", (1006, "the tape ends here", "network")),
    ):
        path.write_bytes(head + tail)
        session = await Realtime().connect(dial=replay(path))
        ending = await session.wait_closed()
        assert (ending.code, ending.reason, ending.initiator) == expected
        await session.close()


async def test_a_configuration_that_the_tape_knows_nothing_of_is_confirmed(tmp_path: Path) -> None:
    """An application that has changed since still connects to its tape."""
    path = tmp_path / "call.jsonl"
    path.write_bytes(b'{"tape":1}\n' + TAKEN_BACK % (0.1, b"in", b'{"type":"session.created","session":{}}'))
    async with asyncio.timeout(5), Realtime(instructions="new").connect(dial=replay(path)) as session:
        assert session.config.instructions == "new"


async def test_what_the_application_says_beside_the_tape_goes_nowhere(record: Record, concierge: Concierge) -> None:
    """A replay has nobody to hear it."""
    async with asyncio.timeout(20), concierge.rt.connect(dial=replay(await record())) as session:
        await session.send_audio(bytes(4800))
        await session.send(ResponseCreate())
        await session.wait_closed()


async def test_a_replay_needs_no_key_and_no_network(record: Record, concierge: Concierge) -> None:
    """The endpoint is that of the tape, and nothing is dialled."""
    path = await record()
    playing = replay(path)
    assert playing.endpoint.api_key is None
    await play(concierge, path)


async def test_time_passes_as_on_the_tape_if_a_speed_is_given(
    tmp_path: Path, concierge: Concierge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the speed is half the wait, and the session's clock shows the tape's time."""
    path = tmp_path / "call.jsonl"
    created = b'{"type":"session.created","session":{}}'
    path.write_bytes(b'{"tape":1}\n' + b"".join(TAKEN_BACK % (t, b"in", created) for t in (0.5, 2.5)))
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(delay: float) -> None:
        if delay:
            waited.append(delay)
        await sleep(0)

    monkeypatch.setattr("realtime_events.recorder.replaying.asyncio.sleep", note)
    playing = replay(path, speed=2)
    door = await playing("", {}, concierge.rt.options)
    await door.run(lambda frame: False)
    assert (waited, playing.clock()) == ([0.25, 1.0], 2.5)
    with pytest.raises(ValueError, match="above zero"):
        replay(path, speed=0)


def _hear(heard: list[bytes], frame: bytes) -> bool:
    heard.append(frame)
    return False


async def test_each_dialling_gives_the_next_connection_of_the_tape(tmp_path: Path) -> None:
    """A session that reconnected plays on in its next epoch; after the last there is nothing to connect to."""
    path = tmp_path / "call.jsonl"
    created = TAKEN_BACK % (0.1, b"in", b'{"type":"session.created","session":{"id":"sess_%d"}}')
    lost = b'{"t":0.2,"end":{"code":1006,"reason":"","initiator":"network"}}\n'
    path.write_bytes(
        b'{"tape":1}\n{"t":0.0,"epoch":1}\n' + created % 1 + lost + b'{"t":0.3,"epoch":2}\n' + created % 2 + lost
    )
    playing, heard = replay(path), list[bytes]()
    for epoch in (1, 2):
        door = await playing("", {}, Realtime().options)
        ending = await door.run(partial(_hear, heard))
        assert (len(heard), ending.code) == (epoch, 1006)
    assert b"sess_1" in heard[0]
    assert b"sess_2" in heard[1]
    with pytest.raises(Exception, match="the tape ends here"):
        await playing("", {}, Realtime().options)


def test_a_tape_that_is_not_there_is_refused() -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigurationError, match=r"cannot read the tape 'nowhere\.jsonl'"):
        replay("nowhere.jsonl")
