"""User code that waits and iterates, every line of it right: mypy and pyright, both strict, have nothing to say."""

from __future__ import annotations

from typing import Any, assert_type

from realtime_events import Event, Session, Stream
from realtime_events.events import (
    ErrorEvent,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    TurnDone,
    beta,
)


def has_code(event: ErrorEvent) -> bool:
    return bool(event.error.code)


async def wait(session: Session, name: str, cls: type[ErrorEvent]) -> None:
    assert_type(await session.wait_for("response.done"), ResponseDone)
    assert_type(await session.wait_for("response.text.delta", timeout=1), ResponseOutputTextDelta)
    assert_type(await session.wait_for("turn.done", timeout=None), TurnDone)
    assert_type(await session.wait_for(ResponseDone), ResponseDone)
    assert_type(await session.wait_for(beta.ResponseDone), ResponseDone)
    assert_type(await session.wait_for(cls), ErrorEvent)
    assert_type(await session.wait_for("response.done", when=lambda e: e.response.id == "r"), ResponseDone)
    assert_type(await session.wait_for(ErrorEvent, when=has_code), ErrorEvent)
    # What a lambda reads of the event tells mypy which overload is meant; of one that fits every event it says Any.
    assert_type(await session.wait_for(ErrorEvent, when=lambda e: bool(e.error.code)), ErrorEvent)
    assert_type(await session.wait_for(cls, when=lambda e: bool(e.error.code)), ErrorEvent)
    assert_type(await session.wait_for(TurnDone, when=lambda e: e.turn.text == "yes", timeout=1), TurnDone)
    assert_type(await session.wait_for(beta.ResponseDone, when=lambda e: e.response.id == "r"), ResponseDone)
    # Of several, it may be each; of a glob or a name that only the run knows, anything, payloads of `app.…` too.
    assert_type(await session.wait_for("response.done", ErrorEvent), Event)
    assert_type(await session.wait_for(["response.done", "error"]), Event)
    assert_type(await session.wait_for("response.*"), Any)
    assert_type(await session.wait_for(name), Any)


async def iterate(session: Session) -> None:
    assert_type(session.stream("response.audio.delta"), Stream[ResponseOutputAudioDelta])
    assert_type(session.stream(TurnDone, max_pending=10), Stream[TurnDone])
    assert_type(session.stream(ErrorEvent, when=lambda e: bool(e.error.code)), Stream[ErrorEvent])
    assert_type(session.stream("response.done", "error"), Stream[Event])
    assert_type(session.stream(), Stream[Event])
    assert_type(session.stream("response.*.delta"), Stream[Any])
    async for event in session:
        assert_type(event, Event)
    async for delta in session.stream("response.output_audio.delta", when=lambda e: len(e.delta) > 0):
        assert_type(delta.delta, bytes)
    async with session.stream("response.done") as responses:
        assert_type(responses, Stream[ResponseDone])
        assert_type(await anext(responses), ResponseDone)
    events: Stream[Event] = session.stream("response.done")
    await events.aclose()
