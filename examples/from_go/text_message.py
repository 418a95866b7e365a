"""The Go client's `text_message_example`: say "Hello, world!", ask for a response in text, print it while it comes.

What was different there: the session that REST made was not the one that it connected to.
"""

import asyncio
import logging
import os
from dataclasses import replace

from realtime_events import Endpoint, Realtime, user
from realtime_events.events import ErrorEvent, ResponseCreate, ResponseDone, ResponseOutputTextDelta
from realtime_events.rest import RestClient
from realtime_events.simulator import Simulator

DEADLINE_S = 30
TEXT = {"type": "realtime", "model": "gpt-realtime-2.1", "output_modalities": ["text"]}

log = logging.getLogger("text_message")
rt = Realtime()


async def create(endpoint: Endpoint) -> Endpoint:
    """Create a text session by REST; its secret opens that session and nothing else."""
    async with RestClient(endpoint) as rest:
        secret = await rest.create_client_secret(TEXT)
    print(f"session {secret.session and secret.session.id}")
    return replace(endpoint, api_key=secret.value)


async def converse(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=await create(endpoint)) as session, session.stream() as events:
        await session.add_item(user("Hello, world!"))
        await session.send(ResponseCreate())
        async for event in events:
            if isinstance(event, ResponseOutputTextDelta):
                print(event.delta, end="", flush=True)
            elif isinstance(event, ResponseDone):
                print()
                return
            elif isinstance(event, ErrorEvent):
                raise SystemExit(f"the server reports {event.error.message}")
            else:
                log.debug("received %s", event.type)


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    async with asyncio.timeout(DEADLINE_S):
        if os.environ.get("OPENAI_API_KEY"):
            await converse(Endpoint.openai())
        else:
            print("OPENAI_API_KEY is not set: talking to the simulator")
            async with Simulator() as sim:
                await converse(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
