"""Writes `realtime_events/overloads.py`: what type checkers know of each event's names and classes.

Run it after a change of the vocabulary: `python scripts/generate_overloads.py`. A test compares the committed file
with what it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import isclass
from pathlib import Path
from types import ModuleType

from realtime_events.events import EVENTS_BY_NAME, Event, beta, event_class, translation
from realtime_events.handlers import event_name
from realtime_events.protocol.dialect.names import CANONICAL, spellings

FILE = Path(__file__).parents[1] / "realtime_events" / "overloads.py"

HEAD = '''"""Overloads: what type checkers know of the payload behind each event's names and classes.

Owns the call shapes of `on` and `once` (`On`), of `wait_for` (`WaitFor`) and of `stream` (`StreamOf`): one overload for
all names and classes of an event. Only type checkers import it. Before it: the vocabulary, from which
`scripts/generate_overloads.py` writes it (never edit it by hand); after it: user code.

What nobody can know is as open as it has to be: several targets, globs and names in a variable take a handler of any
event, and give a predicate an `Event`. What an application's own event (`app.…`) carries is `Any`; a predicate on it
annotates its parameter so. `on(target, f)` with a target unknown here wants `f` to take any `Event`; `add_listener`
takes every function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar, Unpack, overload

'''

FORMS = '''from .handlers import Delivery
from .session import Session
from .streams import Stream

# Known names are strings, and classes are callables: the overloads overlap on purpose, the closest first.
# mypy: disable-error-code="overload-overlap"
# One overload is one line, so that the file reads as the table it is.
# ruff: noqa: E501
# fmt: off

E = TypeVar("E")

Handler: TypeAlias = Callable[[E], object] | Callable[[E, Session], object]
"""What may be registered: a function of the event, or of the event and the session, sync or async."""

When: TypeAlias = Callable[[E], object] | None
"""A predicate on the event."""


class How(TypedDict, total=False):
    """How events are delivered to a handler."""

    delivery: Delivery
    max_pending: int | None

'''


@dataclass(frozen=True)
class Known:
    """One event as type checkers see it.

    Attributes:
        label: What its alias and its type variable begin with.
        cls: The class that handlers are given.
        names: Its names, in every spelling.
        others: More classes that mean it as a target, such as those of the beta dialect.
    """

    label: str
    cls: str
    names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The alias of everything that means this event."""
        return f"{self.label}Target"

    @property
    def handler(self) -> str:
        """The type variable of a handler of this event."""
        return f"{self.label}Handler"


def known_events() -> list[Known]:
    """Give every event by its canonical name, then the translation classes that share a name with another kind's."""
    canonical = {name: cls for name in CANONICAL if (cls := event_class(name))}
    everything = (*EVENTS_BY_NAME.values(), *classes_of(beta), *classes_of(translation))
    strays = [cls for cls in everything if cls not in canonical.values()]
    own = [cls for cls in strays if cls.__module__ == translation.__name__]
    known: list[Known] = []
    for name, cls in canonical.items():
        others = [s for s in strays if s not in own and event_name(s) == name and not issubclass(s, cls)]
        known.append(Known(cls.__name__, written(cls), spellings(name), tuple(map(written, others))))
    return known + [Known(f"Translation{cls.__name__}", written(cls)) for cls in own]


def classes_of(module: ModuleType) -> list[type[Event]]:
    """Give the event classes that a module defines itself."""
    classes = (cls for cls in vars(module).values() if isclass(cls) and cls.__module__ == module.__name__)
    return [cls for cls in classes if issubclass(cls, Event)]


def written(cls: type[Event]) -> str:
    """Give the expression by which the generated file names a class."""
    room = cls.__module__.rpartition(".")[2]
    return f"{room}.{cls.__name__}" if room in ("beta", "translation") else cls.__name__


def imports(known: Iterable[Known]) -> str:
    """Give the import of every class, in the order that the linter wants."""
    classes = {cls for event in known for cls in (event.cls, *event.others) if "." not in cls}
    names = [*sorted(classes | {"Event"}), "beta", "translation"]
    return "from .events import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"


def aliases(known: Iterable[Known]) -> Iterator[str]:
    """Give an alias of all targets, and a type variable of all handlers, for each event."""
    for event in known:
        classes = f"type[{' | '.join([event.cls, *event.others])}]"
        names = f"Literal[{quoted(event.names)}] | " if event.names else ""
        yield f"{event.target}: TypeAlias = {names}{classes}"
        yield f'{event.handler} = TypeVar("{event.handler}", bound=Handler[{event.cls}])'
    yield f"EventName: TypeAlias = Literal[{quoted(name for event in known for name in event.names)}]"
    yield "KnownTarget: TypeAlias = EventName | type[Event] | Collection[EventName | type[Event]]"
    yield "Target: TypeAlias = str | type[Event] | Collection[str | type[Event]]"
    yield 'AnyHandler = TypeVar("AnyHandler", bound=Handler[Any])'


def quoted(names: Iterable[str]) -> str:
    """Give names as they stand in a `Literal`."""
    return ", ".join(f'"{name}"' for name in names)


def overload(parameters: str, returns: str) -> str:
    """Give one overload of `__call__`."""
    return f"    @overload\n    def __call__(self, {parameters}) -> {returns}: ...\n"


def registering(known: Iterable[Known]) -> Iterator[str]:
    """Give the overloads of `on`: decorators of one event, functions of one event, then what is less known."""
    options = "when: When[{}] = None, **how: Unpack[How]".format
    for e in known:
        yield overload(f"target: {e.target}, /, *, {options(e.cls)}", f"Callable[[{e.handler}], {e.handler}]")
    for e in known:
        parameters = f"target: {e.target}, handler: Handler[{e.cls}], /, *, {options(e.cls)}"
        yield overload(parameters, f"Handler[{e.cls}]")
    yield overload("handler: AnyHandler, /", "AnyHandler")
    yield overload(f"*targets: Target, {options('Event')}", "Callable[[AnyHandler], AnyHandler]")
    yield overload(f"*args: *tuple[*tuple[Target, ...], Handler[Event]], {options('Event')}", "Handler[Event]")


def looking_up(known: Iterable[Known], option: str, returns: str) -> Iterator[str]:
    """Give the overloads of what gives events: of one event, of several known ones, then of anything."""
    for e in known:
        yield overload(f"target: {e.target}, /, *, when: When[{e.cls}] = None, {option}", returns.format(e.cls))
    yield overload(f"*targets: KnownTarget, when: When[Event] = None, {option}", returns.format("Event"))
    yield overload(f"*targets: Target, when: When[Event] = None, {option}", returns.format("Any"))


def shape(name: str, sentence: str, overloads: Iterable[str]) -> str:
    """Give a protocol with overloads of its call."""
    return f'\n\nclass {name}(Protocol):\n    """{sentence}"""\n\n' + "".join(overloads)


def generate() -> str:
    """Give the text of the file."""
    known = known_events()
    return "".join(
        [
            HEAD,
            imports(known),
            FORMS,
            "".join(f"\n{line}" for line in aliases(known)),
            "\n",
            shape("On", "The shape of `on` and `once`: they take handlers of that event.", registering(known)),
            shape(
                "WaitFor",
                "The shape of `wait_for`: it gives that event.",
                looking_up(known, "timeout: float | None = None", "Coroutine[Any, Any, {}]"),
            ),
            shape(
                "StreamOf",
                "The shape of `stream`: it gives those events.",
                looking_up(known, "max_pending: int = ...", "Stream[{}]"),
            ),
        ]
    )


if __name__ == "__main__":
    FILE.write_text(generate(), "utf-8")
