"""Programs that tests run to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it printed."""

    code: int | None
    out: str
    err: str


async def run(*command: str | Path, env: Mapping[str, str], cwd: Path | None = None, within_s: float = 45) -> Ended:
    """Runs a command to its end, whatever that is; one that takes longer is killed, and fails the test."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode, out.decode(), err.decode())


async def output_of(*command: str | Path, env: Mapping[str, str], cwd: Path | None = None, within_s: float = 45) -> str:
    """Runs a command to its end and gives what it printed; anything but exit code 0 fails the test."""
    ended = await run(*command, env=env, cwd=cwd, within_s=within_s)
    assert ended.code == 0, f"{command} ended with {ended.code}\n{ended.out[-2000:]}\n{ended.err[-2000:]}"
    return ended.out
