"""Plugins: a group of handlers and tools that an application includes.

Owns the group and the way to find installed ones. Knows no application. Before it: the plugin's author; after it:
`Realtime.include`, which takes over what the plugin has registered.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from .emitter import Registrar
from .exceptions import ConfigurationError
from .handlers import Middleware, Registration
from .tools.registry import ToolRegistry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .session import Session

ENTRY_POINT_GROUP = "realtime_events.plugins"

M = TypeVar("M", bound=Middleware)
T = TypeVar("T")


class Plugin(Registrar):
    """A group of handlers and tools.

    Use it as it is (`plugin = Plugin()`, then `@plugin.on(...)` and `@plugin.tool`), or subclass it: its methods that
    are marked with `@tool` are its tools, and more is registered in `__init__`. `setup` and `close` may be overridden,
    as plain or async methods.

    An application takes over what is registered when it includes the plugin; what comes later is not heard.

    Args:
        prefix: Stands before the name of each of its tools.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.tools = ToolRegistry()
        self.tool = self.tools.tool
        self.registrations: list[Registration] = []
        self._middlewares: list[Middleware] = []
        self.tools.add_methods(self)

    def use(self, middleware: M) -> M:
        """Wrap every handler of this plugin: `async def middleware(event, session, call_next)`."""
        self._middlewares.append(middleware)
        return middleware

    def provide(self, tp: type[T], value: T | None = None) -> None:
        """Inject values of this type into tools registered from now on; without a value the application provides it."""
        self.tools.provide(tp, value)

    def setup(self, session: Session) -> Awaitable[None] | None:
        """Prepare for a session; called once it is connected and configured."""

    def close(self, session: Session) -> Awaitable[None] | None:
        """Clean up after a session."""

    def _register(self, registration: Registration) -> None:
        registration.middlewares = self._middlewares
        self.registrations.append(registration)


def installed_plugins() -> dict[str, EntryPoint]:
    """Give the plugins that installed packages offer (entry-point group `realtime_events.plugins`), none imported."""
    from importlib.metadata import entry_points  # a tenth of what importing this package takes

    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def load_plugin(name: str) -> Plugin:
    """Import the installed plugin of that name.

    Raises:
        ConfigurationError: No package offers it (those on offer are named), or what it offers is no plugin.
    """
    offered = installed_plugins()
    if name not in offered:
        raise ConfigurationError(f"no installed plugin {name!r}; installed: {', '.join(sorted(offered)) or 'none'}")
    loaded = offered[name].load()
    plugin = loaded() if isinstance(loaded, type) else loaded
    if not isinstance(plugin, Plugin):
        raise ConfigurationError(
            f"entry point {name!r} ({offered[name].value}) is a {type(plugin).__name__}, no Plugin"
        )
    return plugin
