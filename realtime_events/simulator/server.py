"""The simulator as a server: start it, point a client at it, look at what it saw.

Owns the listening socket. Before it: a test, an example or the command line; after it: `app.py`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from ..exceptions import ConfigurationError
from ..protocol import Dialect
from .brains import RuleBrain
from .ears import ClipRecogniser, Recogniser
from .plans import Brain
from .registry import Registry, Settings
from .session import SimulatedSession
from .setup import LIFETIME_S
from .stage import Organs
from .translating import SimulatedTranslation
from .voice import ToneVoice, Voice

if TYPE_CHECKING:
    from aiohttp import web

    from ..endpoint import Endpoint

log = logging.getLogger("realtime_events.simulator")

DEFAULT_PACE = 4.0
SHUTDOWN_S = 2.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Simulator:
    """A Realtime server on this machine.

        async with Simulator() as sim:
            async with rt.connect(endpoint=sim.endpoint) as session:
                ...
            sim.sessions[0].received("session.update")

    Args:
        brain: What answers; `RuleBrain` by default.
        voice: What speaks; tones of the right length by default.
        recogniser: What hears; by default it knows only clips that were added to it.
        host: Where to listen; loopback unless you say otherwise.
        port: 0 takes a free one.
        dialect: The spelling it speaks. The GA dialect refuses clients of the beta, as the service does.
        api_key: The only key that it accepts; None accepts any that is not empty.
        pace: The speed of audio relative to real time; None is as fast as the client reads.
        session_lifetime_s: After how long a session expires.
        clock: The clock of its sessions, in seconds.
    """

    def __init__(  # noqa: PLR0913 - the front door of the simulator: every argument is optional and named
        self,
        *,
        brain: Brain | None = None,
        voice: Voice | None = None,
        recogniser: Recogniser | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        dialect: Dialect = "ga",
        api_key: str | None = None,
        pace: float | None = DEFAULT_PACE,
        session_lifetime_s: float = LIFETIME_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if pace is not None and not pace > 0:
            raise ConfigurationError(f"pace must be above zero, not {pace}")
        organs = Organs(
            brain=brain or RuleBrain(),
            voice=voice or ToneVoice(),
            recogniser=recogniser or ClipRecogniser(),
            pace=math.inf if pace is None else pace,
        )
        self._registry = Registry(
            Settings(
                organs=organs, dialect=dialect, api_key=api_key, session_lifetime_s=session_lifetime_s, clock=clock
            )
        )
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def sessions(self) -> list[SimulatedSession | SimulatedTranslation]:
        """The sessions so far, the newest last; each has its `received` and `sent` events."""
        return self._registry.sessions

    @property
    def port(self) -> int:
        """The port it listens on, once it has started."""
        return self._port

    @property
    def url(self) -> str:
        """The WebSocket URL."""
        return f"ws://{self._authority()}/v1/realtime"

    @property
    def http_url(self) -> str:
        """The base URL of the REST endpoints and of the status page."""
        return f"http://{self._authority()}"

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint to hand to `Realtime.connect`."""
        from ..endpoint import Endpoint

        settings = self._registry.settings
        key = settings.api_key or "test-key"
        return Endpoint(url=self.url, api_key=key, dialect=settings.dialect, is_simulated=True)

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The port is taken.
        """
        from aiohttp import web

        from .app import make_app

        if self._host not in LOOPBACK:
            log.warning("the simulator listens on %s, where others can reach it", self._host)
        runner = web.AppRunner(make_app(self._registry), access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every session with code 1001 and stop listening; a second time is fine."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"
