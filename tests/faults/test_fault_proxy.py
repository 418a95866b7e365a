"""The fault proxy itself, between two plain TCP ends: what it breaks, and that it breaks nothing else."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_events import ConfigurationError, Endpoint, Realtime
from realtime_events.simulator import Simulator
from realtime_events.testing import FaultProxy, Toxics

NOISE = bytes(range(251)) * 1200  # about 300 kB in which every shift shows
POSITIONS = [0, 1, 1000, 65_536, 200_001]


@pytest.fixture(autouse=True)
async def nothing_is_left() -> Any:
    """After each test no task and no socket is open that was not before."""
    sockets = open_sockets()
    yield
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "fault_proxy" in task.get_name()]
    gc.collect()
    assert open_sockets() == sockets


def open_sockets() -> int:
    if sys.platform != "linux":
        return 0
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found += str(fd.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


# ── what comes through ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_toxics_both_directions_carry_every_byte_and_count_it(make_line: Any) -> None:
    async with asyncio.timeout(10), make_line() as line:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(line.near.say(NOISE))
            tasks.create_task(line.far.say(NOISE[::-1]))
            there = tasks.create_task(line.far.hear(len(NOISE)))
            back = tasks.create_task(line.near.hear(len(NOISE)))
        assert there.result() == NOISE and back.result() == NOISE[::-1]
        assert (line.proxy.bytes_up, line.proxy.bytes_down) == (len(NOISE), len(NOISE))
        assert (line.proxy.connections_accepted, line.proxy.connections_open) == (1, 1)


toxics = st.builds(
    Toxics,
    latency_ms=st.sampled_from([0.0, 0.3, 40.0, 5000.0]),
    jitter_ms=st.sampled_from([0.0, 7.0, 900.0]),
    bandwidth_bytes_per_s=st.none() | st.sampled_from([900.0, 64_000.0]),
    drain_bytes_per_s=st.none() | st.sampled_from([700.0, 64_000.0]),
    slice_bytes=st.none() | st.integers(1, 5000),
    slice_gap_ms=st.sampled_from([0.0, 3.0]),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.binary(max_size=300), max_size=6), up=toxics, down=toxics, seed=st.integers(0, 9))
def test_whatever_delays_and_slices_the_same_bytes_arrive_and_then_the_end(
    messages: list[bytes], up: Toxics, down: Toxics, seed: int, make_line: Any, in_virtual_time: Any
) -> None:
    async def there_and_back() -> None:
        async with make_line(up=up, down=down, seed=seed) as line:

            async def echo() -> None:
                data, end = await line.far.hear_to_the_end()
                assert (data, end) == (b"".join(messages), "FIN")
                await line.far.say(data)
                line.far.say_no_more()

            echoing = asyncio.create_task(echo())
            for message in messages:
                await line.near.say(message)
            line.near.say_no_more()
            assert await line.near.hear_to_the_end() == (b"".join(messages), "FIN")
            await echoing

    in_virtual_time(there_and_back())


async def test_a_websocket_session_runs_through_it_whatever_is_sliced() -> None:
    torn = Toxics(slice_bytes=7)
    async with asyncio.timeout(20), Simulator() as sim, FaultProxy(sim.endpoint, up=torn, down=torn) as proxy:
        async with Realtime().connect(endpoint=proxy.endpoint) as session:
            assert "Hello" in (await session.ask("Hello!")).text
        assert proxy.endpoint.is_simulated and proxy.bytes_down > proxy.bytes_up > 0


# ── time, on a clock that jumps ──────────────────────────────────────────────────────────────────────────────────────


def test_latency_holds_each_byte_for_its_time_and_no_longer(make_line: Any, in_virtual_time: Any) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        async with make_line(up=Toxics(latency_ms=250), down=Toxics(latency_ms=50)) as line:
            begun = loop.time()
            await line.near.say(b"ping")
            assert await line.far.hear(4) == b"ping"
            assert loop.time() - begun == pytest.approx(0.25)
            await line.far.say(b"pong")
            assert await line.near.hear(4) == b"pong"
            assert loop.time() - begun == pytest.approx(0.3)

    in_virtual_time(scene())


def arrivals(make_line: Any, in_virtual_time: Any, seed: int) -> list[float]:
    """The times at which ten messages arrive, one sent each second."""

    async def scene() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        async with make_line(up=Toxics(latency_ms=100, jitter_ms=50), seed=seed) as line:
            for _ in range(10):
                begun = loop.time()
                await line.near.say(b"x")
                await line.far.hear(1)
                times.append(loop.time() - begun)
        return times

    result: list[float] = in_virtual_time(scene())
    return result


def test_jitter_is_the_same_for_the_same_seed(make_line: Any, in_virtual_time: Any) -> None:
    first, again, other = (arrivals(make_line, in_virtual_time, seed) for seed in (1, 1, 2))
    assert first == pytest.approx(again) and first != pytest.approx(other)
    assert all(0.1 <= time_s <= 0.1501 for time_s in first) and max(first) - min(first) > 0.01


@pytest.mark.parametrize("kind", ["bandwidth_bytes_per_s", "drain_bytes_per_s"])
def test_a_limited_rate_is_kept(kind: str, make_line: Any, in_virtual_time: Any) -> None:
    async def scene() -> float:
        loop = asyncio.get_running_loop()
        async with make_line(up=Toxics(**{kind: 5_000})) as line:
            await line.near.say(bytes(20_000))
            await line.far.hear(20_000)
            return loop.time()

    assert in_virtual_time(scene()) == pytest.approx(4.0, abs=0.05)


def test_the_gap_between_slices_is_kept_and_each_slice_is_seen_by_itself(make_line: Any, in_virtual_time: Any) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        async with make_line(down=Toxics(slice_bytes=3, slice_gap_ms=20)) as line:
            await line.far.say(b"abcdefgh")
            seen = [(await line.near.hear_some(), loop.time()) for _ in range(3)]
        assert [piece for piece, _ in seen] == [b"abc", b"def", b"gh"]
        assert [at for _, at in seen] == pytest.approx([0.0, 0.02, 0.04])

    in_virtual_time(scene())


async def test_slices_without_a_gap_are_seen_one_by_one_too(make_line: Any) -> None:
    async with asyncio.timeout(5), make_line(down=Toxics(slice_bytes=2)) as line:
        await line.far.say(b"abcde")
        assert [await line.near.hear_some() for _ in range(3)] == [b"ab", b"cd", b"e"]


async def test_healing_lets_go_at_once_what_was_held_for_an_hour(make_line: Any) -> None:
    async with asyncio.timeout(5), make_line(up=Toxics(latency_ms=3_600_000)) as line:
        await line.near.say(b"at last")
        line.proxy.heal()
        assert await line.far.hear(7) == b"at last"


# ── endings at exact bytes ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at", POSITIONS)
async def test_a_reset_comes_after_exactly_so_many_bytes_at_both_ends(at: int, make_line: Any) -> None:
    async with asyncio.timeout(5), make_line(down=Toxics(reset_after_bytes=at)) as line:
        saying = asyncio.create_task(line.far.say(NOISE))
        data, end = await line.near.hear_to_the_end()
        assert (len(data), data, end) == (at, NOISE[:at], "RST")
        assert (await line.far.hear_to_the_end())[1] == "RST"
        await asyncio.gather(saying, return_exceptions=True)
        assert line.proxy.bytes_down == at


@pytest.mark.parametrize("at", POSITIONS)
async def test_a_half_close_comes_after_exactly_so_many_bytes_and_leaves_the_other_direction(
    at: int, make_line: Any
) -> None:
    async with asyncio.timeout(5), make_line(up=Toxics(half_close_after_bytes=at)) as line:
        saying = asyncio.create_task(line.near.say(NOISE))
        assert await line.far.hear_to_the_end() == (NOISE[:at], "FIN")
        await saying
        await line.far.say(b"I can still talk")
        assert await line.near.hear(16) == b"I can still talk"


@pytest.mark.parametrize("at", POSITIONS)
async def test_a_close_ends_both_directions_in_order(at: int, make_line: Any) -> None:
    async with asyncio.timeout(5), make_line(up=Toxics(close_after_bytes=at)) as line:
        saying = asyncio.create_task(line.near.say(NOISE))
        assert await line.far.hear_to_the_end() == (NOISE[:at], "FIN")
        await saying
        assert await line.near.hear_to_the_end() == (b"", "FIN")
        line.near.say_no_more()
        line.far.say_no_more()
        await line.proxy.wait_until(lambda: line.proxy.connections_open == 0)


@pytest.mark.parametrize("kind", ["reset", "close", "half_close"])
async def test_an_ending_at_byte_0_strikes_a_silent_connection(kind: str, make_line: Any) -> None:
    async with asyncio.timeout(5), make_line() as line:
        line.proxy.down = Toxics(**{f"{kind}_after_bytes": 0})
        assert await line.near.hear_to_the_end() == (b"", "RST" if kind == "reset" else "FIN")


@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_the_end_of_one_side_comes_out_at_the_other_behind_its_last_byte(end: str, make_line: Any) -> None:
    async with asyncio.timeout(5), make_line(down=Toxics(latency_ms=5)) as line:
        await line.far.say(b"last words")
        if end == "RST":
            await line.proxy.wait_until(lambda: line.proxy.bytes_down == 10)
            line.far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        line.far.sock.close()
        assert await line.near.hear_to_the_end() == (b"last words", end)


# ── silence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def push_until_full(sock: socket.socket, most_bytes: int = 64 << 20) -> int:
    """Writes until the system takes no more, and says how much it took."""
    pushed = 0
    while pushed < most_bytes:
        try:
            pushed += sock.send(bytes(65_536))
        except BlockingIOError:
            break
    return pushed


async def test_a_stall_closes_the_window_of_the_sender_and_loses_nothing(make_line: Any) -> None:
    async with asyncio.timeout(10), make_line(down=Toxics(stall_after_bytes=1000), buffer_bytes=4096) as line:
        sent = 0
        while (more := push_until_full(line.far.sock)) and sent < 64 << 20:
            sent += more
            await line.proxy.wait_until(lambda: line.proxy.bytes_down == 1000)
        assert sent < 64 << 20
        assert await line.near.hear(1000) == bytes(1000)
        line.proxy.heal()
        assert await line.near.hear(sent - 1000) == bytes(sent - 1000)


async def test_a_black_hole_swallows_bytes_and_the_end_until_it_is_healed(make_line: Any) -> None:
    async with asyncio.timeout(10), make_line(up=Toxics(black_hole_after_bytes=5)) as line:
        await line.near.say(b"heardlost")
        assert await line.far.hear(5) == b"heard"
        await line.near.say(NOISE * 10)
        line.near.say_no_more()
        await line.proxy.wait_until(lambda: line.proxy.bytes_lost == 4 + 10 * len(NOISE))
        assert line.proxy.bytes_up == 5
        line.proxy.heal()
        assert await line.far.hear_to_the_end() == (b"", "FIN")


async def test_a_slow_receiver_slows_the_sender_and_not_the_memory_of_the_proxy(make_line: Any) -> None:
    async with asyncio.timeout(10), make_line(up=Toxics(latency_ms=3_600_000), buffer_bytes=4096) as line:
        sent = 0
        while more := push_until_full(line.near.sock):
            sent += more
            await asyncio.sleep(0)
        assert sent < 16 << 20


# ── the gate, and cutting ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_closed_gate_refuses_and_opens_again_at_the_same_port(make_server: Any, call_proxy: Any) -> None:
    async with asyncio.timeout(5), make_server() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        port = proxy.port
        proxy.gate = "closed"
        with pytest.raises(ConnectionRefusedError):
            await call_proxy(proxy)
        proxy.gate = "open"
        near = await call_proxy(proxy)
        far = await server.accept()
        await near.say(b"hello")
        assert await far.hear(5) == b"hello" and proxy.port == port
        near.sock.close()
        far.sock.close()


async def test_a_resetting_gate_counts_whom_it_turns_away_and_leaves_the_others_alone(
    make_line: Any, call_proxy: Any
) -> None:
    async with asyncio.timeout(5), make_line() as line:
        line.proxy.gate = "reset"
        for _ in range(3):
            try:
                turned_away = await call_proxy(line.proxy)
            except ConnectionResetError:  # The loop may read the reset before it reads that the connection was made.
                continue
            assert await turned_away.hear_to_the_end() == (b"", "RST")
            turned_away.sock.close()
        await line.proxy.wait_until(lambda: line.proxy.connections_refused == 3)
        assert line.proxy.connections_accepted == 1
        await line.near.say(b"still here")
        assert await line.far.hear(10) == b"still here"


async def test_a_server_that_cannot_be_reached_is_a_reset_for_the_client(make_server: Any, call_proxy: Any) -> None:
    async with make_server() as server:
        port = server.port
    async with asyncio.timeout(5), FaultProxy("127.0.0.1", port) as proxy:
        near = await call_proxy(proxy)
        assert await near.hear_to_the_end() == (b"", "RST")
        await proxy.wait_until(lambda: proxy.connections_refused == 1 and not proxy.connections_open)
        near.sock.close()


async def test_cutting_resets_every_open_connection_at_both_ends_and_lets_new_ones_in(
    make_server: Any, call_proxy: Any
) -> None:
    async with asyncio.timeout(5), make_server() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        ends = [end for _ in range(5) for end in (await call_proxy(proxy), await server.accept())]
        assert (proxy.cut(), proxy.connections_open) == (5, 0)
        assert [await end.hear_to_the_end() for end in ends] == [(b"", "RST")] * 10
        near, far = await call_proxy(proxy), await server.accept()
        await far.say(b"again")
        assert await near.hear(5) == b"again" and proxy.connections_accepted == 6
        for end in (*ends, near, far):
            end.sock.close()


async def test_leaving_resets_what_is_open_whatever_holds_it_up(make_server: Any, call_proxy: Any) -> None:
    held = Toxics(latency_ms=3_600_000, stall_after_bytes=10)
    async with asyncio.timeout(5), make_server() as server:
        async with FaultProxy("127.0.0.1", server.port, up=held, down=held) as proxy:
            near, far = await call_proxy(proxy), await server.accept()
            await near.say(b"x" * 100)
            late = await call_proxy(proxy)
        ends = [await end.hear_to_the_end() for end in (near, far, late)]
        assert ends == [(b"", "RST")] * 3 and proxy.connections_open == 0
        for end in (near, far, late):
            end.sock.close()
        await proxy.stop()


# ── how it is asked ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_endpoint_keeps_its_credentials_path_and_dialect() -> None:
    target = Endpoint(url="wss://example.com/v1/realtime?x=1", api_key="test-key", dialect="beta")
    through = FaultProxy(target).endpoint
    assert (through.api_key, through.dialect) == ("test-key", "beta")
    assert through.url == "wss://127.0.0.1:0/v1/realtime?x=1"


@pytest.mark.parametrize(
    "asked",
    [
        lambda: FaultProxy("127.0.0.1"),
        lambda: FaultProxy("127.0.0.1", 1).endpoint,
        lambda: Toxics(latency_ms=-1),
        lambda: Toxics(bandwidth_bytes_per_s=0),
        lambda: Toxics(slice_bytes=0),
        lambda: Toxics(reset_after_bytes=-1),
    ],
)
def test_what_makes_no_sense_is_refused(asked: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        asked()


async def test_waiting_for_what_does_not_come_ends_with_a_timeout(make_line: Any) -> None:
    async with make_line() as line:
        with pytest.raises(TimeoutError):
            await line.proxy.wait_until(lambda: line.proxy.bytes_up > 0, timeout=0.01)
