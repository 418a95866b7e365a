"""Handlers: what a user registers, inspected once.

Owns the look at a callable (does it take the session, is it async, where does it stand) and at a target (a name in
any spelling, a glob, an event class). Knows no lane and no session. Before it: the user's code; after it: `emitter.py`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

from .callables import is_async, qualified_name_of, where_of
from .events.base import Event
from .exceptions import ConfigurationError
from .protocol import dialect

Delivery = Literal["ordered", "concurrent", "latest", "inline", "thread"]
DELIVERIES: tuple[str, ...] = typing.get_args(Delivery)
Target: TypeAlias = str | type[Event]
Middleware: TypeAlias = Callable[[Any, Any, Callable[[Any], Awaitable[None]]], Awaitable[None]]

DEFAULT_MAX_PENDING = 1000
APPLICATION_PREFIX = "app."
NEW_LISTENER = "new_listener"
# Named by nobody's glob: it doubles every frame, so only who names it gets it.
UNMATCHED_BY_GLOBS = frozenset({"frame.received"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a callable stands: its name, and `file:line`."""

    name: str
    where: str

    def __str__(self) -> str:
        return f"{self.name} ({self.where})"


@dataclass(eq=False, slots=True)
class Registration:
    """One handler: a callable with what it listens to and how it is delivered. The registry's keys are these."""

    fn: Callable[..., Any]
    keys: tuple[str, ...]
    place: Place
    wants_session: bool
    is_async: bool
    when: Callable[[Any], object] | None = None
    delivery: Delivery = "ordered"
    max_pending: int = DEFAULT_MAX_PENDING
    once: bool = False
    middlewares: list[Middleware] = field(default_factory=list[Middleware])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the user's function, so that pyee's own methods find a callable here."""
        return self.fn(*args, **kwargs)


def is_glob(key: str) -> bool:
    """Say whether a registry key stands for more than one name."""
    return "*" in key or "?" in key or "[" in key


def key_matches(key: str, name: str) -> bool:
    """Say whether a registry key (a canonical name or a glob over any spelling) means this canonical name."""
    if key == name:
        return True
    if not is_glob(key) or name in UNMATCHED_BY_GLOBS:
        return False
    return any(fnmatchcase(spelling, key) for spelling in (name, *dialect.spellings(name)))


def event_name(target: type[Event]) -> str:
    """Give the canonical name that events of a class are published under."""
    from .events.base import UnknownEvent

    if target is UnknownEvent:
        return "event.unknown"
    tag = str(target.__struct_config__.tag)
    name = dialect.canonical(tag) or (tag if tag.startswith(APPLICATION_PREFIX) else None)
    if name is None:
        raise ConfigurationError(f"{target.__name__} is a base class; listen to one event class or to a glob")
    return name


def key_of(target: object) -> str:
    """Turn one target into a registry key.

    Raises:
        ConfigurationError: No dialect and no local event has that name (the nearest names are given), or it is no
            target at all.
    """
    if isinstance(target, type) and issubclass(target, Event):
        return event_name(target)
    if not isinstance(target, str):
        raise ConfigurationError(f"{target!r} is no event name, glob or event class")
    if target.startswith(APPLICATION_PREFIX) or target == NEW_LISTENER:
        return target
    if is_glob(target):
        if not dialect.matching(target) and not target.startswith((APPLICATION_PREFIX, "*")):
            raise ConfigurationError(f"no event matches the glob {target!r}; `realtime-events events` lists them all")
        return target
    name = dialect.canonical(target)
    if name is None:
        raise ConfigurationError(_unknown(target))
    return name


def keys_of(targets: Iterable[object]) -> tuple[str, ...]:
    """Turn targets (lists and tuples of them too) into registry keys, each once."""
    keys: dict[str, None] = {}
    for target in targets:
        if isinstance(target, list | tuple | set | frozenset):
            keys.update(dict.fromkeys(keys_of(typing.cast("Iterable[object]", target))))
        else:
            keys[key_of(target)] = None
    return tuple(keys)


def _unknown(name: str) -> str:
    near = dialect.nearest(name)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"unknown event {name!r}{hint}"


def split_callable(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Callable[..., Any] | None]:
    """Split the positional arguments of `on` into targets and, if the last one is no event class, the handler."""
    return (args[:-1], args[-1]) if args and _is_handler(args[-1]) else (args, None)


def _is_handler(argument: object) -> bool:
    return callable(argument) and not (isinstance(argument, type) and issubclass(argument, Event))


def inspect_handler(
    fn: Callable[..., Any],
    keys: tuple[str, ...],
    *,
    when: Callable[[Any], object] | None = None,
    delivery: Delivery = "ordered",
    max_pending: int | None = None,
    once: bool = False,
) -> Registration:
    """Look at a callable once and give its registration; without keys they come from its first annotation.

    Raises:
        ConfigurationError: The signature is neither `(event)` nor `(event, session)`, or an option is out of range; the
            sentence names file and line.
    """
    if not callable(fn):
        raise ConfigurationError(f"{fn!r} cannot be called, so it is no handler")
    place = place_of(fn)
    is_coroutine = is_async(fn)
    if not keys:
        keys = keys_of(_annotated_targets(fn, place))
    if delivery not in DELIVERIES:
        raise ConfigurationError(f"{place}: delivery={delivery!r} is none of {', '.join(DELIVERIES)}")
    if delivery in ("inline", "thread") and is_coroutine:
        raise ConfigurationError(f"{place}: delivery={delivery!r} needs a plain function, not an async one")
    if max_pending is not None and max_pending < 1:
        raise ConfigurationError(f"{place}: max_pending={max_pending} leaves no room for an event")
    return Registration(
        fn=fn,
        keys=keys,
        place=place,
        wants_session=keys != (NEW_LISTENER,) and _takes_session(fn, place),
        is_async=is_coroutine,
        when=when,
        delivery=delivery,
        max_pending=max_pending or DEFAULT_MAX_PENDING,
        once=once,
    )


def place_of(fn: Callable[..., Any]) -> Place:
    """Say where a callable stands, in the words of a traceback."""
    return Place(qualified_name_of(fn), where_of(fn))


def _takes_session(fn: Callable[..., Any], place: Place) -> bool:
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return False  # A builtin that tells nothing of itself gets the event alone.
    if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
        raise ConfigurationError(f"{place}: a handler must not yield; it is called once for each event")
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(required) > 2 or named or not (positional or takes_any):
        shown = f"{place.name}{inspect.signature(fn)}"
        raise ConfigurationError(f"{place.where}: a handler takes (event) or (event, session), but this is {shown}")
    return len(required) == 2 or (len(positional) > 1 and positional[1].name == "session")


def _annotated_targets(fn: Callable[..., Any], place: Place) -> tuple[type[Event], ...]:
    """Read the event class, or the union of them, from the annotation of the first parameter."""
    function = fn if inspect.isroutine(fn) else type(fn).__call__
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ConfigurationError(
            f"{place}: the annotation of the first parameter cannot be resolved: {error}"
        ) from None
    hint = hints.get(next(iter(inspect.signature(fn).parameters), ""))
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members: tuple[Any, ...] = typing.get_args(hint) if is_union else (hint,)
    if not members or not all(isinstance(m, type) and issubclass(m, Event) for m in members):
        raise ConfigurationError(
            f"{place}: a bare @on reads the event from the annotation of the first parameter; annotate it with an "
            'event class, or name the event: @rt.on("response.done")'
        )
    return members
