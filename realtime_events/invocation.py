"""Invocation: a registered handler as one call of the event, whatever kind of function it is.

Owns the ways to call a handler: awaited, plain and timed, in a thread, inside its middlewares; and the answer to what
is a failure of it. Knows no queue and no order. Before it: the lane that calls; after it: the user's function.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from .handlers import Middleware, Registration

if TYPE_CHECKING:
    from .dispatcher import Dispatcher

SLOW_HANDLER_S = 0.020


def is_failure(error: BaseException) -> bool:
    """Say whether what foreign code raised is its own failure, not the end of the program or of the running task.

    A handler that awaits a cancelled future raises CancelledError although nobody has cancelled the handler.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def asynchronous_call(dispatcher: Dispatcher, registration: Registration) -> Callable[[Any], Awaitable[Any]] | None:
    """Give the handler as one awaitable call of the event, or None where a plain call will do."""
    middlewares = [*dispatcher.middlewares, *registration.middlewares]
    fn, session = registration.fn, dispatcher.session
    call: Callable[[Any], Awaitable[Any]]
    if registration.delivery == "thread":
        arguments = (session,) if registration.wants_session else ()

        async def in_thread(event: Any) -> None:
            # Not by the loop's executor: a handler that never returns would keep the process from ending.
            await asyncio.wrap_future(dispatcher.threads.submit(partial(_in_thread, fn, event, *arguments)))

        call = in_thread
    elif registration.is_async:
        call = (lambda event: fn(event, session)) if registration.wants_session else fn
    elif not middlewares:
        return None
    else:
        plain = _unguarded_plain_call(dispatcher, registration)

        async def awaited(event: Any) -> None:
            result = plain(event)
            if inspect.isawaitable(result):
                await result

        call = awaited
    return _wrapped(call, middlewares, session)


def _in_thread(fn: Callable[..., Any], *arguments: Any) -> None:
    try:
        fn(*arguments)
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error  # Python 3.11 would wait for ever.


def _wrapped(
    call: Callable[[Any], Awaitable[Any]], middlewares: Iterable[Middleware], session: Any
) -> Callable[[Any], Awaitable[Any]]:
    """Fold middlewares around a call; the first one registered is the outermost."""
    for middleware in reversed(list(middlewares)):
        call = _around(middleware, call, session)
    return call


def _around(middleware: Middleware, inner: Callable[[Any], Awaitable[Any]], session: Any) -> Callable[[Any], Any]:
    return lambda event: middleware(event, session, inner)


def _unguarded_plain_call(dispatcher: Dispatcher, registration: Registration) -> Callable[[Any], Any]:
    """Give a plain handler as one timed call of the event."""
    fn, session, clock = registration.fn, dispatcher.session, dispatcher.clock
    arguments = (session,) if registration.wants_session else ()

    def call(event: Any) -> Any:
        started = clock()
        result = fn(event, *arguments)
        if (took := clock() - started) > SLOW_HANDLER_S:
            dispatcher.took(registration, event, took)
        return result

    return call


def plain_call(dispatcher: Dispatcher, registration: Registration) -> Callable[[Any], Any]:
    """Give a plain handler as one timed call of the event whose failure is reported."""
    timed = _unguarded_plain_call(dispatcher, registration)

    def call(event: Any) -> Any:
        try:
            return timed(event)
        except BaseException as error:
            if not is_failure(error):
                raise
            dispatcher.failed(registration.place, event, error)
            return None

    return call
