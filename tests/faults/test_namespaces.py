"""The door on a network that the kernel breaks: packet loss, black holes, firewalls, a narrow line.

Each scene of `namespace_scenes.py` runs in a network namespace of its own, and is skipped where the machine has not the
tools or the rights for it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import realtime_events

from ..programs import output_of

SCENES = Path(__file__).with_name("namespace_scenes.py")
ALONE = ("unshare", "--user", "--map-root-user", "--net")
NFT = "ip link set lo up && nft add table inet t && nft add chain inet t c '{ type filter hook input priority 0 ; }'"
PROBES = {
    "drop": f"{NFT} && nft add rule inet t c numgen random mod 100 '<' 20 counter drop",
    "reject": f"{NFT} && nft add rule inet t c tcp flags '&' '(rst | syn)' == 0 reject with tcp reset",
    "tbf": f"{NFT} && tc qdisc add dev lo root tbf rate 256kbit burst 5kb limit 400kb",
}


@functools.cache
def what_is_missing(need: str) -> str:
    """Says why a scene cannot be played here; empty where it can."""
    if missing := [tool for tool in ("unshare", "ip", "nft", "tc") if not shutil.which(tool)]:
        return f"needs {', '.join(missing)} (Debian: util-linux, iproute2, nftables)"
    command = [*ALONE, "sh", "-c", PROBES[need]]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return "" if tried.returncode == 0 else f"this kernel or user may not: {tried.stderr.strip()[:200]}"


async def play(scene: str, environment: dict[str, str], need: str = "drop") -> dict[str, Any]:
    """Plays a scene and gives what it printed."""
    if why := await asyncio.to_thread(what_is_missing, need):
        pytest.skip(f"no broken network on this machine: {why}")
    where = {"PYTHONPATH": str(Path(realtime_events.__file__).parents[1])}
    result: dict[str, Any] = json.loads(
        await output_of(*ALONE, sys.executable, SCENES, scene, env=environment | where, within_s=40)
    )
    return result


def packets_dropped(result: dict[str, Any]) -> int:
    found = re.search(r"counter packets (\d+)", result["rules"])
    return int(found[1]) if found else 0


async def test_with_a_fifth_of_all_packets_lost_every_frame_arrives_in_order(child_environment: dict[str, str]) -> None:
    """B49: loss costs time, never a frame."""
    result = await play("loss", child_environment)
    assert result["is_whole"] and packets_dropped(result) > 0


async def test_a_short_black_hole_costs_time_and_no_frame(child_environment: dict[str, str]) -> None:
    """B44: what was under way is sent again by the system once packets pass."""
    result = await play("short_hole", child_environment)
    assert result["is_whole"] and 0.4 <= result["took_s"] < 10


async def test_a_narrow_line_slows_frames_down_and_loses_none(child_environment: dict[str, str]) -> None:
    """B44: 60 kB there and back at 256 kbit/s, and pings behind them, are no dead peer."""
    result = await play("bandwidth", child_environment, need="tbf")
    assert result["is_whole"] and 1.0 < result["took_s"] < 20


async def test_a_black_hole_is_noticed_within_interval_and_timeout_and_frees_the_sender(
    child_environment: dict[str, str],
) -> None:
    """B44, T3: no FIN, no RST, no acknowledgement; only the ping tells."""
    result = await play("hole", child_environment)
    assert (result["code"], result["initiator"], result["sender_is_freed"]) == (1006, "network", True)
    assert "did not answer a ping" in result["reason"] and 0.35 < result["took_s"] < 3


async def test_a_firewall_that_resets_is_a_lost_connection(child_environment: dict[str, str]) -> None:
    """B40, T5."""
    result = await play("firewall_reset", child_environment, need="reject")
    assert (result["code"], result["initiator"]) == (1006, "network")


async def test_a_connect_that_nobody_answers_is_given_up_and_may_be_tried_again(
    child_environment: dict[str, str],
) -> None:
    """B41."""
    result = await play("silent_syn", child_environment)
    assert re.search(r"did not answer within 0\.5 s", result["error"]) and result["can_reconnect"]


async def test_a_network_without_a_route_is_one_line_and_may_be_tried_again(child_environment: dict[str, str]) -> None:
    """B41."""
    result = await play("no_route", child_environment)
    assert "network is unreachable" in result["error"] and result["can_reconnect"]
