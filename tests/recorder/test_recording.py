"""Recording: what stands on a tape, what never does, and what a session notices of it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime_events import ConfigurationError, Endpoint, Realtime
from realtime_events.events import Tool
from realtime_events.recorder import Header, Recorder, Recording, Tape, TapeWriter
from realtime_events.simulator import Simulator
from realtime_events.testing import Peer

from .conftest import Record

CANARY = "canary-7f3a"

RECORDS_UNTIL_KILLED = """
import asyncio, sys, time
from realtime_events import Realtime
from realtime_events.testing import Peer

async def main():
    peer = Peer()
    async with Realtime().connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False, record=sys.argv[1]):
        number = 0
        while True:
            peer.say({"type": "response.output_text.delta", "delta": str(number)})
            said_s = time.monotonic()
            print(number, said_s, flush=True)
            number += 1
            await asyncio.sleep(0.002)

asyncio.run(main())
"""


async def taped(path: Path, *said: dict[str, Any] | bytes, **options: Any) -> Tape:
    """Records a session in which the server says something, and reads the tape."""
    peer = Peer()
    record = Recording(path=path, **options)
    async with (
        asyncio.timeout(10),
        Realtime().connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False, record=record),
    ):
        peer.say(*said)
        await asyncio.sleep(0)
    return Tape.read(path)


async def test_every_frame_is_taped_both_ways_as_it_was_on_the_wire(record: Record) -> None:
    """With what was recorded in the header, times that never go back, and the ending."""
    tape = Tape.read(await record())
    types = [(frame.direction, msgspec.json.decode(frame.data)["type"]) for frame in tape]
    assert types[:3] == [("in", "session.created"), ("out", "session.update"), ("in", "session.updated")]
    assert ("out", "response.create") in types
    assert types[-1] == ("in", "response.done")
    assert [frame.t_s for frame in tape] == sorted(frame.t_s for frame in tape)
    assert (tape.header.model, tape.header.dialect, tape.header.audio) == ("gpt-realtime-2.1", "ga", False)
    assert tape.header.started.startswith("20")
    assert tape.ending is not None
    assert (tape.ending.code, tape.ending.initiator, tape.torn) == (1000, "client", False)


async def test_a_name_that_ends_in_gz_is_compressed(record: Record) -> None:
    """It holds the same, in less."""
    plain, packed = await record("a.jsonl"), await record("a.jsonl.gz")
    assert packed.read_bytes().startswith(b"\x1f\x8b")
    assert packed.stat().st_size < plain.stat().st_size / 2
    assert len(Tape.read(packed)) == len(Tape.read(plain))
    assert not Tape.read(packed).torn


@pytest.mark.parametrize("name", ["call.jsonl", "call.jsonl.gz"])
async def test_a_killed_process_leaves_a_readable_tape_up_to_its_last_100_ms(
    tmp_path: Path, child_environment: dict[str, str], name: str
) -> None:
    """SIGKILL in the middle of a session: what was heard 100 ms before the last word is on the tape."""
    path = tmp_path / name
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RECORDS_UNTIL_KILLED, str(path), env=child_environment, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    said: list[float] = []
    async with asyncio.timeout(30):
        while len(said) < 300:
            said.append(float((await child.stdout.readline()).split()[1]))
        child.send_signal(signal.SIGKILL)
        said += [float(line.split()[1]) for line in (await child.stdout.read()).splitlines() if line.count(b" ") == 1]
        await child.wait()
    tape = Tape.read(path)
    words = [msgspec.json.decode(f.data)["delta"] for f in tape if f.direction == "in" and b".delta" in f.data]
    assert words == [str(number) for number in range(len(words))]
    assert tape.torn
    old_enough = sum(at < said[-1] - 0.1 for at in said)
    assert len(words) >= old_enough > 100


@pytest.mark.parametrize(
    "secret",
    [
        {"session": {"client_secret": {"value": CANARY, "expires_at": 1}}},
        {"session": {"tools": [{"type": "mcp", "server_label": "x", "authorization": CANARY}]}},
        {"session": {"tools": [{"type": "mcp", "server_label": "x", "headers": {"X-Key": CANARY}}]}},
        {"session": {"tools": [{"type": "mcp", "server_url": f"https://user:{CANARY}@host/mcp?key={CANARY}"}]}},
        {"sip_headers": [{"name": "Authorization", "value": CANARY}]},
        {"anything": {"Proxy-Authorization": f"Digest {CANARY}"}},
        {"error": {"message": f"Incorrect API key provided: sk-{CANARY}-000"}},
        {"error": {"message": f"the secret ek_{CANARY} has expired"}},
        {"error": {"message": f"signed with whsec_{CANARY}"}},
        {"session": {"Client-Secret": CANARY}, "SIP_HEADERS": [{"name": "X", "value": CANARY}]},
        {"item": {"content": [{"audio": "AAAA" * 1000}, {"text": f"sk_{CANARY}", "audio": "AAAA" * 1000}]}},
        {"text": "la " * 5000, "x": {"url": 1, "target_uri": f"sip:me:{CANARY}@host"}},
        {"error": {"message": f"header was 'Bearer {CANARY}'"}},
        b'{"type":"session.updated","\\u0061uthorization":"' + CANARY.encode() + b'"}',
        b'{"type":"session.updated","value":"' + CANARY.encode() + b'","value":""}',
        b'{"type":"session.updated","authorization":"' + CANARY.encode() + b'", broken',
        b'{"type":"session.updated","X-Authorization":"' + CANARY.encode() + b'", broken',
        b'{"type":"session.updated",\n "headers":{"a":"' + CANARY.encode() + b'"}}',
    ],
)
@pytest.mark.parametrize("audio", [True, False])
async def test_no_secret_gets_onto_a_tape(tmp_path: Path, secret: dict[str, Any] | bytes, audio: bool) -> None:
    """B48: keys, client secrets, MCP authorization and SIP headers are hidden, in whatever frame they come."""
    path = tmp_path / "call.jsonl"
    tape = await taped(path, {"type": "session.updated", **secret} if isinstance(secret, dict) else secret, audio=audio)
    assert CANARY not in path.read_text("utf-8", "replace")
    assert tape.damaged == 0
    assert not any(line and not _is_json(line) for line in path.read_bytes().split(b"\n"))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return False
    return True


async def test_what_we_send_and_with_which_key_is_not_on_the_tape(tmp_path: Path) -> None:
    """B48: the headers of the handshake, the query of the URL and our own MCP tokens are left out."""
    peer, path = Peer(), tmp_path / "call.jsonl"
    endpoint = Endpoint(url=f"ws://localhost/v1/realtime?tenant={CANARY}", api_key=CANARY)
    tools = [Tool(type="mcp", server_label="x", server_url="https://host/mcp", authorization=CANARY)]
    rt = Realtime(session={"tools": msgspec.to_builtins(tools)})
    async with asyncio.timeout(10), rt.connect(endpoint=endpoint, dial=peer.dial, reconnect=False, record=path):
        assert peer.sent[0].session.tools[0].authorization == CANARY
    text = path.read_text("utf-8")
    assert CANARY not in text
    assert "https://host/mcp" in text


async def test_without_audio_each_piece_is_replaced_by_its_size(tmp_path: Path) -> None:
    """Audio is personal: it is taped only if asked for, and its length is kept."""
    audio = {"type": "response.output_audio.delta", "item_id": "i", "delta": "AAAA" * 1600}
    part = {"type": "input_audio", "audio": "AAAA", "transcript": "hi"}
    item = {"type": "conversation.item.retrieved", "item": {"id": "i", "content": [part, part]}}
    tape = await taped(tmp_path / "a.jsonl", audio, item)
    heard = [msgspec.json.decode(frame.data) for frame in tape][-2:]
    assert heard[0] == {"type": "response.output_audio.delta", "item_id": "i", "delta": None, "audio_bytes": 4800}
    taken = {"type": "input_audio", "audio": None, "audio_bytes": 3, "transcript": "hi"}
    assert heard[1]["item"]["content"] == [taken, taken]
    tape = await taped(tmp_path / "b.jsonl", audio, item, audio=True)
    assert [msgspec.json.decode(frame.data) for frame in tape][-2:] == [audio, item]


@pytest.mark.parametrize(
    ("frame", "size_bytes"),
    [
        (b'{"type":"response.output_audio.delta","item_id":"i","delta":"AAAA"}', 3),
        (b'{"type":"response.output_audio.delta","item_id":"i","delta":"AA=="}', 1),
        (b'{"type":"response.output_audio.delta","item_id":"i","delta":""}', 0),
        (b'{"type":"response.output_audio.delta","item_id":"i","delta":"\\/\\/\\/\\/AAAA"}', 6),
        (b'{"type":"response.output_audio.delta","delta":"AAAA","item_id":"i"}', 3),
        (b'{"delta" : "AAA=", "type":"response.output_audio.delta"}', 2),
        (b'{"type":"input_audio_buffer.append","event_id":"e","audio":"AAAA"}', 3),
        (b'{"type":"input_audio_buffer.append","audio":"AAAA","event_id":"e"}', 3),
    ],
)
async def test_a_piece_of_audio_is_left_out_wherever_it_stands_in_its_frame(
    tmp_path: Path, frame: bytes, size_bytes: int
) -> None:
    """Its size is exact, and the rest of the frame is as it was."""
    tape = await taped(tmp_path / "call.jsonl", frame)
    left, whole = msgspec.json.decode(tape.frames[-1].data), msgspec.json.decode(frame)
    field = "delta" if "delta" in whole else "audio"
    assert left == {**whole, field: None, "audio_bytes": size_bytes}


async def test_a_line_break_in_a_frame_begins_no_line(tmp_path: Path) -> None:
    """B48: no server can write lines of its own onto a tape, not by the frames that are looked at least either."""
    head, forged = b'{"type":"response.output_text.delta",', b'\n{"t":0.1,"d":"out","f":{"type":"response.create"}}\n'
    path = tmp_path / "call.jsonl"
    tape = await taped(path, head + b'\n"delta":"x"}', head + forged, head + b'"delta":"y"}')
    assert [(frame.direction, frame.data) for frame in tape][-3:] == [
        ("in", head + b'"delta":"x"}'),
        ("in", head + forged),
        ("in", head + b'"delta":"y"}'),
    ]
    assert all(_is_json(line) for line in path.read_bytes().splitlines())


async def test_both_directions_keep_their_order_and_each_turn_of_the_loop_its_time(tmp_path: Path) -> None:
    """Frames of one turn bear one time; what was sent between two that came stands between them."""
    path, peer, times_s = tmp_path / "call.jsonl", Peer(), [0.0]
    writer = TapeWriter(Recording(path=path), Header(), clock=lambda: times_s[-1])
    door = Recorder(await peer.dial("", {}, Realtime().options), writer)

    def answer(frame: bytes) -> bool:
        if b"create" not in frame:
            door.write(frame.replace(b"x.in", b"x.out"))
        return False

    reading = asyncio.create_task(door.run(answer))
    async with asyncio.timeout(5):
        for now_s in (0.25, 0.5):
            times_s.append(now_s)
            peer.say({"type": "x.in", "n": 1}, {"type": "x.in", "n": 2})
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        peer.close()
        await reading
        await writer.close()
    seen = [(f.t_s, f.direction, msgspec.json.decode(f.data)["n"]) for f in Tape.read(path) if b"x." in f.data]
    turn = [("in", 1), ("out", 1), ("in", 2), ("out", 2)]
    assert [(direction, number) for _, direction, number in seen] == turn * 2
    assert [t_s for t_s, _, _ in seen] == [0.25] * 4 + [0.5] * 4


async def test_a_frame_that_is_no_json_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """The line is JSON all the same, and one frame never becomes two lines."""
    path = tmp_path / "call.jsonl"
    odd = [b"not json", b'{"type":', b"\xff\xfe\n\n", b'{"a":1},{"b":2}', b""]
    tape = await taped(path, *odd, b'{\n  "type": "x.y",\n  "n": 1.0\n}')
    assert [frame.data for frame in tape][-6:-1] == odd
    assert msgspec.json.decode(tape.frames[-1].data) == {"type": "x.y", "n": 1.0}
    assert all(_is_json(line) for line in path.read_bytes().splitlines())


PHONE = re.compile(rb"\+?\d[\d ]{6,}\d")


def without_phone_numbers(frame: bytes) -> bytes | None:
    """Takes phone numbers out; of a delta, in which one may stand in part, the size is enough."""
    if b".delta" in frame:
        return None
    if b"break the hook" in frame:
        raise ValueError("as it was told to")
    return b"no JSON" if b"spoil the frame" in frame else PHONE.sub(b"[number]", frame)


async def test_what_the_application_takes_out_of_frames_never_gets_onto_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """B48: personal data, by a function of the application's; a frame that it fails on, or spoils, is left out."""
    path = tmp_path / "call.jsonl"
    said = [
        {"type": "response.output_text.delta", "delta": "0171 5550"},
        {"type": "response.output_text.done", "text": "Your number is +49 171 5550199."},
        {"type": "response.output_text.done", "text": "break the hook: 0171 5550199"},
        {"type": "response.output_text.done", "text": "break the hook again: 0171 5550199"},
        {"type": "response.output_text.done", "text": "spoil the frame: 0171 5550199"},
    ]
    tape = await taped(path, *said, redact=without_phone_numbers)
    assert b"555" not in path.read_bytes()
    assert b'"Your number is [number]."' in path.read_bytes()
    assert [b"[number]" in frame.data for frame in tape if b"text.done" in frame.data] == [True]
    assert path.read_bytes().count(b'"size_bytes"') == 4
    assert len([record for record in caplog.records if "redact=" in record.getMessage()]) == 1


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A conversation is nobody else's business."""
    await taped(tmp_path / "call.jsonl")
    assert stat.S_IMODE((tmp_path / "call.jsonl").stat().st_mode) == 0o600


async def test_a_file_that_is_there_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    """The refusal comes before anything is dialled, and names the file."""
    path, peer = tmp_path / "call.jsonl", Peer()
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match=r"call\.jsonl' is there already"):
        await Realtime().connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False, record=path)
    assert (path.read_text(), peer.dialled) == ("precious", [])
    tape = await taped(path, overwrite=True)
    assert "precious" not in path.read_text()
    assert len(tape) == 1


async def test_a_link_in_the_place_of_the_tape_is_not_followed(tmp_path: Path) -> None:
    """Nobody who can write into a folder can have a tape written elsewhere."""
    (tmp_path / "call.jsonl").symlink_to(tmp_path / "elsewhere")
    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match="call.jsonl"):
            await taped(tmp_path / "call.jsonl", overwrite=overwrite)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("path", ["no/such/folder/call.jsonl", "nul\0byte.jsonl"])
async def test_a_place_where_no_file_can_be_is_refused_by_name(path: str) -> None:
    """Before anything is dialled."""
    with pytest.raises(ConfigurationError, match="cannot be made"):
        await Realtime().connect(endpoint=Peer().endpoint, dial=Peer().dial, record=path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk that is always full")
async def test_a_full_disk_ends_the_recording_and_not_the_session(caplog: pytest.LogCaptureFixture) -> None:
    """The recording stops, named; the session lives."""
    await _stops(Recording(path="/dev/full", overwrite=True), "No space left on device", caplog)


@pytest.mark.parametrize("name", ["call.jsonl", "call.jsonl.gz"])
async def test_a_tape_stops_at_its_largest_size(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What was taped until then can be read."""
    path = tmp_path / name
    await _stops(Recording(path=path, max_bytes=3000), "its limit of 3000 bytes", caplog)
    tape = Tape.read(path)
    assert path.stat().st_size <= 3000
    assert tape.torn
    assert tape.frames[0].direction == "in"


async def test_the_application_is_told_when_a_recording_stops(tmp_path: Path) -> None:
    """The event has the path and the reason, and the session goes on."""
    rt, path = Realtime(), tmp_path / "call.jsonl"
    told: list[Any] = []
    rt.on("recording.stopped", told.append)
    async with Simulator() as simulator, asyncio.timeout(20):
        async with rt.connect(endpoint=simulator.endpoint, record=Recording(path=path, max_bytes=100)) as session:
            assert (await session.ask("Hello!")).text
    (event,) = told
    assert (event.path, event.reason) == (str(path), "the tape has reached its limit of 100 bytes")


async def _stops(recording: Recording, why: str, caplog: pytest.LogCaptureFixture) -> None:
    peer, stopped = Peer(), asyncio.Event()
    writer = TapeWriter(recording, Header(), on_stop=lambda path, reason: stopped.set())
    door = Recorder(await peer.dial("", {}, Realtime().options), writer)
    heard: list[bytes] = []
    reading = asyncio.create_task(door.run(_listener(heard)))
    number = 0
    async with asyncio.timeout(10):
        while not stopped.is_set():
            peer.say({"type": "x.y", "number": number, "text": os.urandom(64).hex()})
            number += 1
            await asyncio.wait({asyncio.create_task(stopped.wait())}, timeout=0.02)
        peer.say({"type": "x.y", "number": "last"})
        await door.close()
        await reading
        await writer.close()
    assert b"last" in heard[-1]
    assert why in writer.stopped
    (entry,) = [entry for entry in caplog.records if entry.name == "realtime_events.recorder"]
    assert entry.levelno == logging.ERROR
    assert "the session goes on" in entry.getMessage()


def _listener(heard: list[bytes]) -> Callable[[bytes], bool]:
    def hear(frame: bytes) -> bool:
        heard.append(frame)
        return False

    return hear


async def test_after_the_session_no_thread_and_no_file_is_left(record: Record) -> None:
    """B46: closing a session ends what recorded it, and a connection that was never made, too."""
    threads, files = set(threading.enumerate()), _open_files()
    await record()
    with pytest.raises(OSError, match="nobody"):
        await record("b.jsonl", dial=_nobody)
    ours = {thread for thread in set(threading.enumerate()) - threads if "recorder" in thread.name}
    for thread in ours:
        thread.join(1)
    assert not any(thread.is_alive() for thread in ours)
    assert _open_files() <= files


def _open_files() -> int:
    """Counts the open files of this process, where the system tells."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.is_dir() else 0


async def _nobody(url: str, headers: dict[str, str], options: Any) -> Any:
    raise OSError("nobody is there")


async def test_a_session_that_connects_again_goes_on_in_the_same_tape(tmp_path: Path) -> None:
    """Each connection is an epoch, with its own ending."""
    path, peer = tmp_path / "call.jsonl", Peer()
    writer = TapeWriter(Recording(path=path), Header())
    for code in (1012, 1000):
        peer = Peer()
        door = Recorder(await peer.dial("", {}, Realtime().options), writer)
        peer.close(code)
        async with asyncio.timeout(5):
            await door.run(lambda frame: False)
    await writer.close()
    tape = Tape.read(path)
    assert [frame.epoch for frame in tape] == [1, 2]
    assert [tape.endings[epoch].code for epoch in (1, 2)] == [1012, 1000]


async def test_the_loop_never_waits_for_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs delays no frame; when it wakes, everything is there."""
    awake = threading.Event()
    write = os.write

    def hang(descriptor: int, data: bytes) -> int:
        awake.wait(10)
        return write(descriptor, data)

    path, peer, count = tmp_path / "call.jsonl", Peer(), 1000
    writer = TapeWriter(Recording(path=path), Header())
    monkeypatch.setattr("realtime_events.recorder.writer.os.write", hang)
    door = Recorder(await peer.dial("", {}, Realtime().options), writer)
    for number in range(count):
        peer.say(b'{"type":"response.output_text.delta","delta":"%d"}' % number)
    peer.close()
    heard: list[bytes] = []
    async with asyncio.timeout(10):
        await door.run(_listener(heard))
        assert (len(heard), path.stat().st_size) == (count + 1, 0)
        awake.set()
        await writer.close()
    assert [frame.data for frame in Tape.read(path)] == heard


async def test_a_disk_that_cannot_keep_up_ends_the_recording_before_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a disk is bounded."""
    awake = threading.Event()
    monkeypatch.setattr("realtime_events.recorder.writer.os.write", lambda fd, data: awake.wait(10) and len(data))
    monkeypatch.setattr("realtime_events.recorder.writer.WAITING_BYTES", 10_000)
    peer = Peer()
    writer = TapeWriter(Recording(path=tmp_path / "call.jsonl"), Header())
    door = Recorder(await peer.dial("", {}, Realtime().options), writer)
    peer.say(*[{"type": "x.y", "text": "z" * 1000}] * 20)
    peer.close()
    async with asyncio.timeout(10):
        await door.run(lambda frame: False)
        await asyncio.sleep(0)
        assert "slower than the frames" in writer.stopped
        awake.set()
        await writer.close()
