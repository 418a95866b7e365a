"""User code that registers handlers, every line of it right: mypy and pyright, both strict, have nothing to say."""

from __future__ import annotations

from functools import partial
from typing import Any, assert_type

from realtime_events import Event, Plugin, Realtime, Session, UnknownEvent
from realtime_events.events import (
    ConnectionClosed,
    ConversationItemAdded,
    ErrorEvent,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    SessionCreated,
    TurnDone,
    beta,
    translation,
)

rt = Realtime()
plugin = Plugin(prefix="demo_")


# A name, in every spelling, tells the class; a handler takes the event, or the event and the session.


@rt.on("response.output_audio.delta")
async def play(event: ResponseOutputAudioDelta) -> None:
    assert_type(event.delta, bytes)


@rt.on("response.audio.delta")
async def play_beta(event: ResponseOutputAudioDelta, session: Session) -> None:
    await session.interrupt()


@rt.once("response.text.delta")
def show(event: ResponseOutputTextDelta) -> None:
    print(event.delta)


@rt.on("conversation.item.created")
def added(event: ConversationItemAdded, session: Session) -> int:
    return len(event.item.id or session.id)


@plugin.on("turn.done", delivery="concurrent", max_pending=10)
async def turned(event: TurnDone) -> None: ...


@plugin.once("connection.closed", delivery="inline")
def closed(event: ConnectionClosed) -> None:
    assert_type(event.code, int)


@rt.on("event.unknown")
def unknown(event: UnknownEvent) -> None:
    assert_type(event.raw, bytes)


@rt.on("session.closed")
def translated(event: translation.SessionClosed) -> None: ...


# The registrar gives each function back with its own type: parameter names, coroutine and all.


async def calls() -> None:
    delta = ResponseOutputAudioDelta(response_id="r", item_id="i", output_index=0, content_index=0, delta=b"")
    assert_type(await play(event=delta), None)
    assert_type(added.__name__, str)


# A handler may take more than it gets, and be registered for several events by stacking.


@rt.on("response.output_text.delta")
@rt.on("response.done")
def either(event: ResponseOutputTextDelta | ResponseDone) -> None: ...


@rt.on("response.done")
def any_event(event: Event) -> None: ...


@rt.on("response.done")
def optional_session(event: ResponseDone, session: Session | None = None) -> None: ...


# Event classes; those of the beta dialect bring the GA event, those of translation sessions their own.


@rt.on(SessionCreated)
def created(event: SessionCreated) -> None: ...


@rt.on(beta.SessionCreated)
def created_beta(event: SessionCreated) -> None: ...


@rt.on(beta.ResponseTextDelta)
def shown_beta(event: ResponseOutputTextDelta) -> None: ...


@rt.on(translation.SessionCreated)
def created_translation(event: translation.SessionCreated) -> None: ...


# Bare: the annotation names the event.


@rt.on
async def failed(event: ErrorEvent) -> None:
    print(event.error.message)


@plugin.once
def failed_or_done(event: ErrorEvent | ResponseDone, session: Session) -> None: ...


@rt.on(delivery="latest")
async def newest(event: ResponseDone) -> None: ...


# Several targets, globs, names in variables and the application's own names take any handler.


@rt.on("response.done", "error")
def two(event: ResponseDone | ErrorEvent) -> None: ...


@rt.on(ResponseDone, ErrorEvent)
def two_classes(event: ResponseDone | ErrorEvent) -> None: ...


@rt.on(["response.done", ErrorEvent])
def listed(event: ResponseDone | ErrorEvent) -> None: ...


@rt.on("response.*.delta")
def every_delta(event: Event) -> None: ...


@rt.on("app.score")
def scored(points: int) -> None: ...


def by_variable(name: str, cls: type[Event]) -> None:
    rt.on(name)(any_event)
    rt.on(cls)(any_event)


# A predicate is given the event.


@rt.on("response.done", when=lambda event: event.response.status == "failed")
def gone_wrong(event: ResponseDone) -> None: ...


@rt.on("response.*.delta", when=lambda event: event.type.startswith("response.output_audio"))
def spoken(event: Event) -> None: ...


def is_long(event: ResponseOutputTextDelta) -> bool:
    return len(event.delta) > 100


@rt.on("response.output_text.delta", when=is_long)
def long_text(event: ResponseOutputTextDelta) -> None: ...


def is_high(points: Any) -> bool:
    return bool(points > 10)


@rt.on("app.score", when=is_high)
def high_score(points: int) -> None: ...


# `on(target, f)`: functions, methods, lambdas, partials and callable objects.


class Recorder:
    """A group of handlers in a class of the user's own."""

    def __init__(self, app: Realtime) -> None:
        app.on("response.done", self.done)
        app.on("response.done", self)
        app.on("response.output_audio.delta", partial(self.keep, "assistant"))
        app.once("session.created", lambda event: print(event.session.id))
        app.on("error", lambda event, session: print(event.error.code, session))
        app.on("response.*", any_event)
        app.on("response.done", "error", any_event)
        app.on(TurnDone, turned)
        app.add_listener("response.*.delta", either)

    def __call__(self, event: ResponseDone) -> None: ...

    async def done(self, event: ResponseDone, session: Session) -> None: ...

    def keep(self, role: str, event: ResponseOutputAudioDelta) -> None: ...
