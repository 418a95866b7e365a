"""Approval: small payments run by themselves, large ones wait for somebody, and a denied call is answered, too."""

import asyncio
import json
import os

from realtime_events import Endpoint, Realtime, Session, ToolCall
from realtime_events.events import ToolApprovalRequested
from realtime_events.simulator import Call, Say, ScriptBrain, Simulator, Step

SMALL = 50

rt = Realtime(instructions="You are a banker.", session={"output_modalities": ["text"]})


def policy(call: ToolCall) -> bool | None:
    """Decide by itself what is small; None leaves it to somebody."""
    return True if json.loads(call.arguments)["amount"] <= SMALL else None


@rt.tool(approval=policy, kind="destructive", approval_timeout_s=30)
async def pay(amount: float, to: str) -> str:
    """Pay an amount in francs to somebody.

    Args:
        amount: How much.
        to: To whom.
    """
    return f"paid {amount:.2f} to {to}"


@rt.on
async def decide(event: ToolApprovalRequested, session: Session) -> None:
    """Ask a person here; this one is easy to convince, but does not like Mallory."""
    print(f"approval   {event.call.name}({event.call.arguments}), {event.expires_s:g} s to decide")
    if "Mallory" in event.call.arguments:
        session.deny(event.call.call_id, "we do not pay Mallory")
    else:
        session.approve(event.call.call_id)


SCRIPT = [
    Step(
        emit=[
            Call("pay", '{"amount": 5, "to": "Ada"}'),
            Call("pay", '{"amount": 500, "to": "Bea"}'),
            Call("pay", '{"amount": 900, "to": "Mallory"}'),
        ]
    ),
    Step(emit=[Say("Ada and Bea are paid. Mallory is not: that was not approved.")]),
]


async def converse(endpoint: Endpoint) -> None:
    async with rt.connect(endpoint=endpoint) as session:
        turn = await session.ask("Pay Ada 5, Bea 500 and Mallory 900, please.")
        for call in turn.tool_calls:
            print(f"{'paid' if call.ok else 'refused':10} {call.output}")
        print(f"assistant  {turn.text}")


async def main() -> None:
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai())
    else:
        print("OPENAI_API_KEY is not set: talking to the simulator")
        async with Simulator(brain=ScriptBrain(SCRIPT)) as sim:
            await converse(sim.endpoint)


if __name__ == "__main__":
    asyncio.run(main())
