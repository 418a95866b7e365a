"""The emitter: a pyee emitter whose handlers sit in lanes.

Owns the registry (pyee's, its keys being registrations) and the ways to register. Knows no session beyond the
dispatchers attached to it. Before it: `handlers.py`, which looks at each callable; after it: `dispatcher.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import pyee

from .dispatcher import Dispatcher
from .exceptions import ConfigurationError
from .handlers import (
    NEW_LISTENER,
    Delivery,
    Middleware,
    Registration,
    inspect_handler,
    is_glob,
    key_matches,
    key_of,
    keys_of,
    split_callable,
)

if TYPE_CHECKING:
    from .overloads import On

F = TypeVar("F", bound=Callable[..., Any])


def _as_on(method: Callable[..., Any]) -> On:
    """Give a method back with the overloads that tell type checkers the payload of each event."""
    return cast("On", method)


class Registrar:
    """The ways to register a handler, shared by applications and plugins."""

    def _register(self, registration: Registration) -> None:
        raise NotImplementedError

    @_as_on
    def on(
        self,
        *targets: Any,
        when: Callable[[Any], object] | None = None,
        delivery: Delivery = "ordered",
        max_pending: int | None = None,
    ) -> Any:
        """Register a handler, as decorator or as `on(target, f)`, and give the function back.

        Args:
            targets: Names in any spelling, globs (`"response.*.delta"`), event classes, or several of them. A bare
                `@on` reads the class from the annotation of the handler's first parameter.
            when: A predicate on the event; called on the reader, so it must be quick.
            delivery: `"ordered"` (one bounded lane), `"concurrent"`, `"latest"` (only the newest waits), `"inline"`
                (a plain function, called on the reader) or `"thread"` (a plain function, in a thread, in order).
            max_pending: How many events may wait for this handler in one session.

        Raises:
            ConfigurationError: A name is unknown (the nearest are given) or the handler's signature is neither
                `(event)` nor `(event, session)`.
        """
        return self._decorate(targets, when=when, delivery=delivery, max_pending=max_pending)

    @_as_on
    def once(
        self,
        *targets: Any,
        when: Callable[[Any], object] | None = None,
        delivery: Delivery = "ordered",
        max_pending: int | None = None,
    ) -> Any:
        """Register a handler for one event only: the first that fits, in any session of the application."""
        return self._decorate(targets, when=when, delivery=delivery, max_pending=max_pending, once=True)

    def _decorate(self, args: tuple[Any, ...], **options: Any) -> Any:
        targets, fn = split_callable(args)
        keys = keys_of(targets)

        def decorate(f: F) -> F:
            self._register(inspect_handler(f, keys, **options))
            return f

        return decorate if fn is None else decorate(fn)


# pyee takes any string as an event and any callable as a key of its registry. Here `on` knows its events, and the keys
# are registrations: narrower on purpose, and said once.
class Emitter(Registrar, pyee.EventEmitter):  # type: ignore[misc]
    """A pyee emitter with a bounded, ordered lane for each handler in each session."""

    _events: dict[str, OrderedDict[Registration, Registration]]  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.middlewares: list[Middleware] = []
        self._serials = itertools.count()
        self._order: dict[Registration, int] = {}
        self._dispatchers: weakref.WeakSet[Dispatcher] = weakref.WeakSet()
        self._application: Dispatcher | None = None

    # Registering.

    def _register(self, registration: Registration) -> None:
        for key in registration.keys:
            self._add_event_handler(key, registration, registration)  # pyright: ignore[reportUnknownMemberType]
        self._order[registration] = next(self._serials)
        self._forget_tables()

    @overload
    def add_listener(self, event: str, f: F) -> F: ...
    @overload
    def add_listener(self, event: Any, f: F) -> F: ...
    def add_listener(self, event: Any, f: F) -> F:
        """Register a handler; the same as `on(event, f)`."""
        self._register(inspect_handler(f, keys_of((event,))))
        return f

    def listens_to(self, event: str) -> Callable[[F], F]:
        """Give a decorator that registers a handler; the same as `on(event)`."""
        return lambda f: self.add_listener(event, f)

    def off(self, target: Any, f: Callable[..., Any]) -> None:
        """Remove a handler from a target, once for each time it is registered there; unknown handlers are ignored."""
        key = key_of(target)
        for registration in [r for r in self._events.get(key, ()) if _same(r, f)]:
            self._discard(key, registration)

    def remove_listener(self, event: str, f: Callable[..., Any]) -> None:
        """Remove a handler; the same as `off`."""
        self.off(event, f)

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Remove every handler of an event, or of all events."""
        keys = list(self._events) if event is None else [key_of(event)]
        for key in keys:
            for registration in list(self._events.get(key, ())):
                self._discard(key, registration)

    def _discard(self, key: str, registration: Registration) -> None:
        with self._lock:
            handlers = self._events.get(key)
            if handlers is None or handlers.pop(registration, None) is None:
                return
            if not handlers:
                del self._events[key]
        if not any(registration in handlers for handlers in self._events.values()):
            self._order.pop(registration, None)
            for dispatcher in self._dispatchers:
                dispatcher.forget(registration)
        self._forget_tables()

    def claim_once(self, registration: Registration) -> bool:
        """Take a `once` registration out of the registry; false where another event had it already."""
        if registration not in self._order:
            return False
        for key in registration.keys:
            self._discard(key, registration)
        return True

    # Looking.

    def listening_to(self, name: str) -> Sequence[Registration]:
        """Give the handlers of a canonical name, by whatever they are still registered for, in their order."""
        listening = {r for key, handlers in self._events.items() if key_matches(key, name) for r in handlers}
        return [registration for registration in self._order if registration in listening]

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """Give the functions registered for exactly this event (or glob), in order."""
        return [registration.fn for registration in self._events.get(key_of(event), ())]

    # Publishing.

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Emit an application event that belongs to no session; true if anybody listens.

        Raises:
            ConfigurationError: A listener asks for a session (use `session.emit`), more than one payload is given, or
                no event loop runs here for the handlers' lanes.
        """
        if event == NEW_LISTENER:
            return self._call_handlers(event, args, kwargs)
        if kwargs or len(args) > 1 or is_glob(event):
            raise ConfigurationError(f"emit({event!r}) takes one name and one payload")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(f"emit({event!r}) needs a running event loop for the lanes of handlers") from None
        if self._application is None:
            self._application = Dispatcher(self, None, overflow=_refuse_overflow)
        return self._application.publish_named(key_of(event), args[0] if args else None)

    def attach(self, dispatcher: Dispatcher) -> None:
        """Tell a dispatcher of every later registration."""
        self._dispatchers.add(dispatcher)

    def detach(self, dispatcher: Dispatcher) -> None:
        """Stop telling a dispatcher of registrations."""
        self._dispatchers.discard(dispatcher)

    def _forget_tables(self) -> None:
        for dispatcher in self._dispatchers:
            dispatcher.forget_table()


def _same(registration: Registration, f: Callable[..., Any]) -> bool:
    return registration is f or registration.fn == f


def _refuse_overflow(reason: str) -> None:
    raise ConfigurationError(reason)
