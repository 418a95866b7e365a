"""User code with faults in waiting and iterating: mypy and pyright report each line marked `# wrong`, no other."""

from __future__ import annotations

from realtime_events import Session, Stream
from realtime_events.events import ErrorEvent, ResponseCreated, ResponseDone


def of_error(event: ErrorEvent) -> bool:
    return event.error.code == "x"


async def wait(session: Session) -> None:
    created: ResponseCreated = await session.wait_for("response.done")  # wrong
    print((await session.wait_for("response.text.delta")).text)  # wrong
    print((await session.wait_for("response.done", "error")).response)  # wrong
    await session.wait_for("response.done", when=lambda event: event.delta == "")  # wrong
    await session.wait_for("response.done", when=of_error)  # wrong
    await session.wait_for(42)  # wrong
    await session.wait_for("response.done", deadline=1)  # wrong
    print(created)


async def iterate(session: Session) -> None:
    stream: Stream[ResponseCreated] = session.stream("response.done")  # wrong
    async for event in session.stream("response.audio.delta"):
        print(event.text)  # wrong
    async for any_event in session.stream():
        print(any_event.response)  # wrong
    async for done in session.stream(ResponseDone, when=lambda event: event.delta == ""):  # wrong
        print(done)
    print(stream)
