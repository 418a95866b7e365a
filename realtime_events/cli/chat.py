"""`chat`: a conversation by text without a program, with one honest tool.

Before it: the arguments; after it: `talking.py`.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime

from ..app import Realtime
from .serving import until_sigterm
from .simulate import simulated
from .talking import talk

INSTRUCTIONS = "You are a helpful assistant in a terminal. Answer briefly, in plain text."


def command(arguments: argparse.Namespace) -> int:
    """Talk by text in the terminal."""
    with simulated(arguments.simulate) as endpoint:
        application = Realtime(instructions=INSTRUCTIONS, session={"output_modalities": ["text"]}, endpoint=endpoint)
        application.tool(get_time)
        return asyncio.run(until_sigterm(talk(application)))


async def get_time() -> str:
    """Tell the date and the time where the user is."""
    return datetime.now().astimezone().strftime("%A, %d %B %Y, %H:%M %Z")
