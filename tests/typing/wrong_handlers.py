"""User code with faults in registering handlers: each line marked `# wrong` is reported by mypy and pyright, no other.

`# wrong: pyright` is what mypy cannot see: it does not infer a lambda's parameter from a union of two signatures.
"""

from __future__ import annotations

from realtime_events import Plugin, Realtime, Session
from realtime_events.events import (
    ErrorEvent,
    ResponseCreated,
    ResponseDone,
    ResponseOutputTextDelta,
    SessionCreated,
    TurnDone,
    beta,
)

rt = Realtime()
plugin = Plugin()


@rt.on("response.output_audio.delta")  # wrong
async def other_delta(event: ResponseOutputTextDelta) -> None: ...


@rt.on("response.audio.delta")  # wrong
async def other_delta_beta(event: ResponseOutputTextDelta) -> None: ...


@rt.once("turn.done")  # wrong
def other_local(event: ResponseDone) -> None: ...


@plugin.on("error", max_pending=1)  # wrong
async def other_in_plugin(event: TurnDone, session: Session) -> None: ...


@plugin.once(ResponseDone)  # wrong
def other_class(event: ResponseCreated) -> None: ...


@rt.on(beta.SessionCreated)  # wrong
def beta_class(event: beta.SessionCreated) -> None: ...


@rt.on("response.done")  # wrong
def too_many(event: ResponseDone, session: Session, more: int) -> None: ...


@rt.on("response.done")  # wrong
def none_at_all() -> None: ...


@rt.on("response.done")  # wrong
def no_session(event: ResponseDone, session: str) -> None: ...


@rt.on("response.*")  # wrong
def no_session_of_glob(event: ResponseDone, session: str) -> None: ...


@rt.on("response.output_text.delta")  # wrong
@rt.on("response.done")
def stacked(event: ResponseDone) -> None: ...


@rt.on("response.done", when=lambda event: event.delta == "")  # wrong
def no_such_field(event: ResponseDone) -> None: ...


def of_error(event: ErrorEvent) -> bool:
    return event.error.code == "x"


@rt.on("response.done", when=of_error)  # wrong
def other_predicate(event: ResponseDone) -> None: ...


@rt.on("response.done", delivery="sometimes")  # wrong
def no_delivery(event: ResponseDone) -> None: ...


@rt.on("response.done", priority=1)  # wrong
def no_option(event: ResponseDone) -> None: ...


@rt.on(42)  # wrong
def no_target(event: ResponseDone) -> None: ...


rt.on("response.done", other_delta)  # wrong
rt.on("session.created", lambda event: print(event.no_field))  # wrong: pyright
plugin.on(SessionCreated, of_error)  # wrong


@rt.on("error")
async def right(event: ErrorEvent) -> None: ...


async def own_type() -> None:
    await right(event="no event")  # wrong
