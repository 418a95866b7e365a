"""`calls accept|reject|refer|hangup`: what can be done with a call, by its id.

Before it: the arguments; after it: `realtime_events.rest`.
"""

from __future__ import annotations

import argparse
import asyncio

from ..rest import RestClient
from .configuring import session_from
from .failures import say


def command(arguments: argparse.Namespace) -> int:
    """Do one thing with one call, and say that it was done."""
    say(asyncio.run(_do(arguments)))
    return 0


async def _do(arguments: argparse.Namespace) -> str:
    call_id: str = arguments.call_id
    async with RestClient() as client:
        match arguments.verb:
            case "accept":
                config = session_from(arguments.session, model=arguments.model, instructions=arguments.instructions)
                await client.accept_call(call_id, config)
                return f"accepted {call_id}; join it by the WebSocket with ?call_id={call_id}"
            case "reject":
                await client.reject_call(call_id, arguments.status)
                return f"rejected {call_id} with {arguments.status}"
            case "refer":
                await client.refer_call(call_id, arguments.target)
                return f"referred {call_id} to {arguments.target}"
            case _:
                await client.hang_up(call_id)
                return f"hung up {call_id}"
