"""A story that is cut five times and told to its end: the session outlives the network, with its conversation.

python 14_survives.py

It needs no key: a simulator tells the story, and between it and us stands a network that is cut on purpose.
"""

import asyncio

from realtime_events import Realtime, Session
from realtime_events.events import ConnectionLost, ConnectionRestored
from realtime_events.reconnect import Reconnect
from realtime_events.simulator import Say, ScriptBrain, Simulator, Step
from realtime_events.testing import FaultProxy

STORY = [
    "Once upon a time a ship left the harbour of Genoa.",
    "On the second day a storm took its mast.",
    "On the third the compass was lost.",
    "On the fourth the cook fell silent.",
    "On the fifth somebody saw a light.",
    "It was Genoa. They had sailed in a circle, and were home.",
]

rt = Realtime(instructions="Tell the story, one sentence at a time.", session={"output_modalities": ["text"]})


@rt.on
async def lost(event: ConnectionLost) -> None:
    print(f"   ✂ lost: {event.reason}")


@rt.on
async def restored(event: ConnectionRestored) -> None:
    print(f"   ✓ back as {event.session_id}: {len(event.replayed)} items were said again")


async def cut(network: FaultProxy, session: Session) -> None:
    """Cut every connection, as a network does that goes away in the middle of a call."""
    back = asyncio.create_task(session.wait_for("connection.restored", timeout=30))
    await asyncio.sleep(0)
    network.cut()
    await back


async def main() -> None:
    brain = ScriptBrain([Step(emit=[Say(sentence)]) for sentence in STORY])
    async with Simulator(brain=brain, pace=None) as simulator, FaultProxy(simulator.endpoint) as network:
        quick = Reconnect(first_delay_s=0.1)
        async with rt.connect(endpoint=network.endpoint, reconnect=quick) as session:
            for sentence in STORY:
                turn = await session.ask("Go on.")
                print(turn.text)
                if sentence is not STORY[-1]:
                    await cut(network, session)
            told = [item.text for item in session.conversation if item.role == "assistant"]
            print(f"\nThe story in the conversation: {len(told)} sentences of {len(STORY)}, in order: {told == STORY}")
            tokens = session.usage.total.total_tokens
            print(f"Server-side sessions it took: {len(simulator.sessions)}; tokens in all: {tokens}")


if __name__ == "__main__":
    asyncio.run(main())
