"""The simulator as a server: start it, point a client at it, look at what it saw.

Owns the listening socket. Before it: a test, an example or the command line; after it: `app.py`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self, TypeAlias

from ..exceptions import ConfigurationError
from ..logs import logger
from ..protocol import Dialect
from .brains import RuleBrain, ScriptBrain, Step
from .calls import Call, SipHeader, Webhook, incoming_webhook
from .ears import ClipRecogniser, Recogniser
from .faults import Faults
from .hosted import McpServer
from .plans import Brain
from .registry import Registry, Settings
from .session import SimulatedSession
from .setup import LIFETIME_S
from .stage import Organs
from .translating import SimulatedTranslation
from .vad import EnergyVad, MakeVad
from .voice import ToneVoice, Voice

if TYPE_CHECKING:
    from aiohttp import web

    from ..endpoint import Endpoint

log = logger("simulator")

DEFAULT_PACE = 4.0
SHUTDOWN_S = 2.0
WEBHOOK_TIMEOUT_S = 10.0
Script: TypeAlias = ScriptBrain | Iterable[Step] | str | os.PathLike[str]

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
        vad: What makes the turn detection of each session; it works on energy by default.
        host: Where to listen; loopback unless you say otherwise.
        port: 0 takes a free one.
        dialect: The spelling it speaks. The GA dialect refuses clients of the beta, as the service does.
        api_key: The only key that it accepts; None accepts any that is not empty.
        pace: The speed of audio relative to real time; None is as fast as the client reads.
        script: What answers, step by step: a `ScriptBrain`, its steps, or the path of its JSON file.
        mcp_servers: By label, the MCP servers that it pretends to reach; others fail to list.
        faults: What goes wrong, as a specification (see `faults.py`) or as `Faults`.
        session_lifetime_s: After how long a session expires.
        clock: The clock of its sessions, in seconds.
    """

    def __init__(  # noqa: PLR0913 - the front door of the simulator: every argument is optional and named
        self,
        *,
        brain: Brain | None = None,
        voice: Voice | None = None,
        recogniser: Recogniser | None = None,
        vad: MakeVad = EnergyVad,
        host: str = "127.0.0.1",
        port: int = 0,
        dialect: Dialect = "ga",
        api_key: str | None = None,
        pace: float | None = DEFAULT_PACE,
        script: Script | None = None,
        mcp_servers: Mapping[str, McpServer] | None = None,
        faults: Faults | str | None = None,
        session_lifetime_s: float = LIFETIME_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if pace is not None and not pace > 0:
            raise ConfigurationError(f"pace must be above zero, not {pace}")
        if brain is not None and script is not None:
            raise ConfigurationError("pass a brain or a script, not both")
        self._script = None if script is None else _script(script)
        organs = Organs(
            brain=brain or self._script or RuleBrain(),
            voice=voice or ToneVoice(),
            recogniser=recogniser or ClipRecogniser(),
            vad=vad,
            mcp_servers=mcp_servers or {},
            pace=math.inf if pace is None else pace,
        )
        self._registry = Registry(
            Settings(
                organs=organs,
                dialect=dialect,
                api_key=api_key,
                session_lifetime_s=session_lifetime_s,
                faults=_faults(faults),
                clock=clock,
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

    @property
    def calls(self) -> list[Call]:
        """The calls so far, the newest last."""
        return list(self._registry.calls.values())

    async def ring(
        self,
        *,
        webhook_url: str | None = None,
        secret: str = "",
        caller: str = "sip:+15550100@sip.example.com",
        sip_headers: Mapping[str, str] | None = None,
    ) -> Call:
        """Let a SIP call come in, and tell a webhook of it, signed with `secret`.

        Raises:
            aiohttp.ClientError: The webhook could not be delivered.
        """
        headers = {"From": f"<{caller}>;tag=1", "To": "<sip:project@sip.example.com>", **(sip_headers or {})}
        call = self._registry.new_call(sip_headers=[SipHeader(name, value) for name, value in headers.items()])
        if webhook_url is not None:
            unix_s = int(self._registry.settings.unix())
            event_id = self._registry.new_id("evt")
            await _deliver(webhook_url, incoming_webhook(call, event_id=event_id, unix_s=unix_s, secret=secret))
        return call

    def set_faults(self, faults: Faults | str | None) -> None:
        """Replace what goes wrong, for connections to come and those that live.

        Raises:
            ConfigurationError: The specification is none.
        """
        self._registry.set_faults(_faults(faults))

    def assert_done(self) -> None:
        """Check that the script was played to its end, every step as expected.

        Raises:
            AssertionError: It was not; the message shows expected, got, and the frames around it.
            ConfigurationError: There is no script.
        """
        if self._script is None:
            raise ConfigurationError("this simulator has no script")
        self._script.assert_done([line for session in self.sessions for line in session.last_frames()])

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


def _script(script: Script) -> ScriptBrain:
    if isinstance(script, ScriptBrain):
        return script
    return ScriptBrain.from_file(script) if isinstance(script, str | os.PathLike) else ScriptBrain(script)


def _faults(faults: Faults | str | None) -> Faults:
    return Faults.parse(faults or "") if isinstance(faults, str | None) else faults


async def _deliver(url: str, webhook: Webhook) -> None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as http:
        answer = await http.post(url, data=webhook.body, headers=webhook.headers)
        answer.release()
