"""One scene with one client, in a process of its own: `python -m benchmarks.faults.cell <scene> <client>`.

It prints the measures as one line of JSON, the last of its output.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

from benchmarks.faults.clients import load
from benchmarks.faults.scenes import SCENES

LIMIT_S = 150.0


async def run(scene: str, client: str) -> dict[str, object]:
    """Runs it, within a time limit."""
    async with asyncio.timeout(LIMIT_S):
        return await SCENES[scene](load(client))


def main() -> None:
    """Reads from the command line what is to be run. Nothing is logged but what a scene itself listens for."""
    scene, client = sys.argv[1:]
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    print("\n" + json.dumps(asyncio.run(run(scene, client))), flush=True)


if __name__ == "__main__":
    main()
