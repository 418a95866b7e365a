"""The application: what a user makes first.

Owns what all its sessions share: handlers, tools, plugins, the configuration and the options. Knows no socket. Before
it: the user's program; after it: a `Session` for each `connect()`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import msgspec

from .audio import PCM16, AudioFormat
from .call import Call
from .connection import Dial
from .emitter import Emitter
from .endpoint import Endpoint
from .events.base import UNSET
from .events.local import RecordingStopped
from .events.session import InputTranscription, SessionConfig
from .exceptions import ConfigurationError
from .handlers import Middleware
from .logs import logger
from .options import Options
from .plugin import Plugin, load_plugin
from .prices import Prices
from .protocol import dialect
from .protocol.lines import Line
from .protocol.resume import merged
from .recorder import Header, Recording, Replay, Tape, TapeWriter, recorded
from .recorder.resuming import Resumed
from .running import live, run
from .session import Session, dial_websocket, with_voice
from .tools.registry import ToolRegistry
from .transcription import (
    DEFAULT_TRANSCRIPTION_MODEL,
    SETTINGS,
    Detection,
    Reduction,
    Transcription,
    transcribing,
    transcription_config,
)
from .translation import DEFAULT_TRANSLATION_MODEL, Translation, translating, translation_config

if TYPE_CHECKING:
    from .browsers import Authorize, RateLimit, WebRoutes
    from .events.base import UnsetType
    from .switchboard import OnCall, Switchboard
    from .transport import Ending
    from .webhooks.serving import OnEvent

log = logger("app")

DEFAULT_MODEL = "gpt-realtime-2.1"
PLUGIN_CLOSE_TIMEOUT_S = 0.3
OPTION_NAMES = frozenset(field.name for field in fields(Options))
CONNECT_NAMES = frozenset(
    {"model", "instructions", "voice", "session", "endpoint", "conversation", "dial", "record", "record_audio"}
    | {"call_id"}
)

Record: TypeAlias = str | os.PathLike[str] | Recording
"""Where to record to, or what and where."""

M = TypeVar("M", bound=Middleware)
T = TypeVar("T")


class Realtime(Emitter):
    """One application: its handlers, tools and settings, for any number of sessions.

    It is a pyee emitter whose handlers sit in bounded, ordered lanes.

    Args:
        model: The model to talk to.
        instructions: What the assistant is told about itself.
        voice: Its voice.
        session: More of the session's configuration, as `SessionConfig` or as a mapping of GA field names.
        endpoint: Where to connect; by default what the environment says (`Endpoint.openai()`), read at `connect()`.
        options: How to connect.
        prices: What tokens cost, for `session.cost`; none by default.

    Raises:
        ConfigurationError: `session` has a field that the API does not know, or one of the beta dialect.
    """

    def __init__(
        self,
        *,
        model: str = DEFAULT_MODEL,
        instructions: str | None = None,
        voice: str | None = None,
        session: SessionConfig | Mapping[str, Any] | None = None,
        endpoint: Endpoint | None = None,
        options: Options | None = None,
        prices: Prices | None = None,
    ) -> None:
        super().__init__()
        self.prices = prices or Prices(currency="")
        self.model = model
        self.config = _configured(_as_config(session), instructions, voice)
        self.endpoint = endpoint
        self.options = options or Options()
        self.tools = ToolRegistry()
        self.tool = self.tools.tool
        self.plugins: list[Plugin] = []
        self.record: Record | Callable[[], Record] | None = None

    def use(self, middleware: M) -> M:
        """Wrap handlers: `async def middleware(event, session, call_next)`; the first one is the outermost.

        It wraps all but those of `inline` delivery, which run on the reader and cannot await.

        It holds for the lanes that start after it, so register middlewares before connecting.
        """
        self.middlewares.append(middleware)
        return middleware

    @overload
    def include(self, plugin: str) -> Plugin: ...

    @overload
    def include(self, plugin: T) -> T: ...

    def include(self, plugin: Any) -> Any:
        """Take over a plugin's handlers and tools; a string is the name of an installed one.

        Any other object gives the methods of it that are marked with `@tool`.

        Raises:
            ConfigurationError: There is no such plugin, it is included already, it has no tool, or one of its tools has
                the name of another.
        """
        if isinstance(plugin, str):
            plugin = load_plugin(plugin)
        if not isinstance(plugin, Plugin):
            if not self.tools.add_methods(plugin):
                raise ConfigurationError(f"{plugin!r} is no plugin, and has no method marked with @tool")
            return plugin
        if plugin in self.plugins:
            raise ConfigurationError(f"plugin {type(plugin).__name__} is included already")
        self.tools.include(plugin.tools, prefix=plugin.prefix)
        for registration in plugin.registrations:
            self._register(registration)
        self.plugins.append(plugin)
        return plugin

    def provide(self, tp: type[T], value: T) -> None:
        """Inject `value` where a tool that is registered from now on has a parameter of this type.

        Such a parameter is not shown to the model. A plugin that needs the type says so by `Plugin.provide(tp)`.
        """
        self.tools.provide(tp, value)

    def mock_tools(self, mocks: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Have functions, or ready values, answer in the place of tools: `with rt.mock_tools({"get_weather": fake}):`.

        Arguments are checked as for the real tool, and its policy holds.

        Raises:
            ToolNotFound: There is no such tool.
        """
        return self.tools.mocked(mocks)

    def connect(self, **changes: Any) -> Connecting:
        """Connect: `async with rt.connect() as session`, or `session = await rt.connect()` and `close()` later.

        Args:
            changes: Any argument of `Realtime` and any field of `Options` by name, for this session only;
                `conversation` is a saved one that the new session begins with; `dial`
                replaces the way to open a connection, `replay(tape)` being one. `record` is the path of a tape that
                every frame is written to, or a `Recording`; with a path, `record_audio` says whether audio is, too.
                `call_id` attaches the session to a phone or WebRTC call that was accepted: the server plays, the end of
                the call is the end of the session, and the model is what the call has.

        Raises:
            ConfigurationError: A name is unknown, there is no key, or the tape is there already.
        """
        unknown = sorted(set(changes) - OPTION_NAMES - CONNECT_NAMES)
        if unknown:
            raise ConfigurationError(f"connect() has no option {unknown[0]!r}")
        return Connecting(self, changes)

    def transcribe(
        self,
        *,
        model: str = DEFAULT_TRANSCRIPTION_MODEL,
        turn_detection: Detection = UNSET,
        noise_reduction: Reduction = UNSET,
        format: AudioFormat = PCM16,
        logprobs: bool = False,
        **more: Any,
    ) -> AbstractAsyncContextManager[Transcription]:
        """Open a transcription session: `async with rt.transcribe(language="en") as t`, then `async for line in t`.

        Handlers of this application hear its events, too; its instructions, voice and tools are left out.

        Args:
            model: The transcription model.
            turn_detection: How the end of a line is found; None leaves it to `commit()`, by default the server decides.
            noise_reduction: `near_field` for headsets, `far_field` for rooms, None for none.
            format: What is sent: `PCM16`, `PCMU` or `PCMA` of `realtime_events.audio`.
            logprobs: Whether each final line says how sure the model is of its tokens.
            more: `language`, `languages`, `keywords`, `prompt` and `delay` for the model, and any argument of
                `connect`.

        Raises:
            ConfigurationError: A name is unknown, or the model is known not to take it.
        """
        settings = InputTranscription(model=model, **{name: more.pop(name) for name in SETTINGS & set(more)})
        config = transcription_config(
            settings, turn_detection=turn_detection, noise_reduction=noise_reduction, format=format, logprobs=logprobs
        )
        return transcribing(self.connect(**more, model=model, kind="transcription", session=config), format)

    async def transcribe_file(self, path: str | os.PathLike[str], **settings: Any) -> list[Line]:
        """Transcribe a mono 16-bit WAV file and give its final lines; the settings are those of `transcribe`.

        Raises:
            AudioFormatError: The file is no such file, or holds no audio.
            TimeoutError: A transcript did not come.
        """
        async with self.transcribe(**settings) as transcription:
            await transcription.send_file(path)
            await transcription.finish()
            return transcription.lines

    def translate(
        self,
        to: str,
        *,
        transcribe_input: bool | str = False,
        noise_reduction: Reduction = UNSET,
        model: str = DEFAULT_TRANSLATION_MODEL,
        **changes: Any,
    ) -> AbstractAsyncContextManager[Translation]:
        """Open a translation session: `async with rt.translate(to="fr") as t`, then `async for piece in t`.

        Handlers of this application hear its events, too; its instructions, voice and tools are left out.

        Args:
            to: The language to translate into, as an ISO 639-1 code.
            transcribe_input: Whether there are captions of what was said, too; a string names the model for them.
            noise_reduction: `near_field` for headsets, `far_field` for rooms, None for none.
            model: The translation model.
            changes: Any argument of `connect`.

        Raises:
            ConfigurationError: A name is unknown, or no language is given.
        """
        wanted: dict[str, Any] = {"to": to, "noise_reduction": noise_reduction}
        if transcribe_input:
            wanted["transcribe_input"] = transcribe_input
        translation_config(**wanted)
        changes |= {"model": model, "kind": "translation", "session": SessionConfig()}
        return translating(self.connect(**changes).session, wanted)

    def web_routes(
        self,
        *,
        authorize: Authorize,
        origins: Iterable[str] | None = None,
        rate_limit: RateLimit | UnsetType | None = UNSET,
        relay: bool = False,
        **settings: Any,
    ) -> WebRoutes:
        """Give the routes by which web pages talk to this application: `rt.web_routes(authorize=who).add_to(app)`.

        `POST /session` gives a short-lived client secret, or answers an SDP offer; the configuration is this
        application's, whatever the page sends, and its key stays here.

        Args:
            authorize: Gives the name of the user behind a request, or None; sync or async.
            origins: The pages that may ask, as `https://app.example`; by default those of the server's own host.
            rate_limit: How often each user may ask, by default ten times a minute; None does not count.
            relay: Whether `GET /relay` is there as well: a WebSocket on a session that runs here.
            settings: `secret_life_s`, 60 by default, and the limits of `WebRoutes`; any argument of `connect`, for the
                sessions of pages.

        Raises:
            ConfigurationError: An origin is none, a name is unknown, or there is no key.
        """
        from .browsers import Admission, RateLimit, WebRoutes

        limit = RateLimit() if rate_limit is UNSET else rate_limit
        admission = Admission(authorize, origins=origins, rate_limit=limit or None)
        ours = {name: settings.pop(name) for name in WebRoutes.SETTINGS & set(settings)}
        return WebRoutes(self, admission, changes=settings, relay=relay, **ours)

    def webhooks(
        self,
        secret: str | Sequence[str] | None = None,
        *,
        on_call: OnCall | None = None,
        on_event: OnEvent | None = None,
        most_calls: int = 100,
        drain_s: float = 10.0,
        **changes: Any,
    ) -> Switchboard:
        """Take phone calls: `rt.webhooks(on_call=decide).add_to(web_app, "/webhook")`, for an aiohttp application.

        A webhook is verified, taken once and answered at once. A call that comes in is accepted with this application's
        instructions, voice and tools, and a session is attached to it, with the same handlers and tools; it ends with
        the call.

        Args:
            secret: The secret of the webhook, or several of which any may have signed; `OPENAI_WEBHOOK_SECRET` where
                it is left out.
            on_call: Decides on each call that comes in, sync or async: `Reject(603)` refuses it, a mapping of
                arguments of `connect` accepts it with other settings, None as the application is. What it is given
                was written by whoever calls.
            on_event: What to do with webhooks that tell of something else; sync or async.
            most_calls: How many calls are held at once; to more of them, the line is busy (486).
            drain_s: How long calls may go on when the web application shuts down; what is left is hung up. In the last
                four seconds of it (half of a shorter time) a call ends as soon as nobody speaks.
            changes: Any argument of `connect`, for the sessions of all calls.

        Raises:
            ConfigurationError: There is no secret or no key, or a name is unknown.
        """
        from .switchboard import Switchboard
        from .webhooks.verifying import hidden

        secret = hidden(secret)  # bound again, so that no traceback with locals shows it
        return Switchboard(
            self,
            secret=secret,
            on_call=on_call,
            on_event=on_event,
            most_calls=most_calls,
            drain_s=drain_s,
            changes=changes,
        )

    def resume(self, tape: str | os.PathLike[str] | Tape, **changes: Any) -> Connecting:
        """Go on with a session whose process has died, from its tape: `async with rt.resume("call.jsonl") as session`.

        The new session is told the taped configuration and conversation; its usage is counted on from the taped one,
        and the tools are this application's. When it is open, what was lost is said by `connection.restored` and, for
        each tool call that was left without an answer, by `tool.orphaned`. A torn end of the tape is dropped. The tape
        stays as it is: `record` another one to be able to resume again.

        Args:
            tape: What `connect(record=...)` has written.
            changes: As of `connect`.

        Raises:
            ConfigurationError: It is no tape, or none of a realtime session.
        """
        resumed = Resumed.of(tape if isinstance(tape, Tape) else os.fspath(tape))
        config = merged(self.config, resumed.config)
        known: dict[str, Any] = {"session": config, "conversation": resumed.conversation}
        if resumed.model:
            known["model"] = resumed.model
        return Connecting(self, {**known, "resumed": resumed, **changes})

    def run(self, **changes: Any) -> Ending:
        """Connect and block until SIGINT, SIGTERM or the end of the session; says how the session ended.

        SIGTERM drains: the turn that runs may end within `drain_s`, ten seconds, and no other begins. A second signal
        closes at once, and so does any while the first connection is still tried. What does not end by then is left
        behind.
        """
        return run(partial(self.serve, **changes))

    async def serve(self, **changes: Any) -> Ending:
        """Do the same as `run` inside a running loop."""
        return await live(self.connect(**changes).session())

    async def set_up(self, session: Session) -> None:
        """Let every plugin prepare for a session."""
        for plugin in self.plugins:
            result = plugin.setup(session)
            if inspect.isawaitable(result):
                await result
            session.prepared.append(plugin)

    async def tear_down(self, session: Session) -> None:
        """Let every plugin that was set up clean up after a session; a failing or hanging one keeps nobody."""
        await asyncio.gather(*(_closed(plugin, session) for plugin in session.prepared))

    def _session(self, changes: Mapping[str, Any]) -> Session:
        """Make the session that `connect` opens."""
        dial: Dial = changes.get("dial") or dial_websocket
        options = replace(self.options, **{k: v for k, v in changes.items() if k in OPTION_NAMES})
        if isinstance(dial, Replay):
            options = dial.options(options)
            endpoint, clock = dial.endpoint, dial.clock
        else:
            endpoint, clock = changes.get("endpoint") or self.endpoint or Endpoint.openai(), time.monotonic
        if options.dialect is not None:
            endpoint = replace(endpoint, dialect=options.dialect)  # The handshake's headers tell it as well.
        base = _as_config(changes["session"]) if "session" in changes else self.config
        config = _configured(base, changes.get("instructions"), changes.get("voice"))
        model = changes.get("model") or self.model
        taping = _taping({"record": self.record, **changes}, endpoint, model, options)
        if taping is not None:
            dial = recorded(dial, taping.writer)
        session = Session(
            self,
            endpoint,
            model=model,
            options=options,
            config=config,
            seed=changes.get("conversation"),
            call=_call(changes.get("call_id"), endpoint, options),
            dial=dial,
            clock=clock,
        )
        if (resumed := changes.get("resumed")) is not None:
            session.take_up(resumed)
        if taping is not None:
            taping.writer.on_stop = partial(_tell_stopped, session)
            session.prepared.append(taping)
        if isinstance(changes.get("dial"), Replay):
            session.tools.stand_in = changes["dial"].stand_in
        return session


class _Taping(Plugin):
    """Ends a tape when its session ends."""

    def __init__(self, writer: TapeWriter) -> None:
        super().__init__()
        self.writer = writer

    async def close(self, session: Session) -> None:
        """Write what is left."""
        await self.writer.close()


def _call(call_id: str | None, endpoint: Endpoint, options: Options) -> Call | None:
    """Make the handle of the call that a session shall be attached to."""
    if call_id is None:
        return None
    if options.kind != "realtime":
        raise ConfigurationError(f"a call is no {options.kind} session")
    return Call(call_id, endpoint, options)


def _tell_stopped(session: Session, path: str, reason: str) -> None:
    session.emit("recording.stopped", RecordingStopped(path=path, reason=reason))


def _taping(changes: Mapping[str, Any], endpoint: Endpoint, model: str, options: Options) -> _Taping | None:
    """Make the tape that a session asks for."""
    record: Record | Callable[[], Record] | None = changes.get("record")
    if record is None:
        return None
    if callable(record):
        record = record()
    if not isinstance(record, Recording):
        record = Recording(path=record, audio=bool(changes.get("record_audio")))
    from . import __version__

    where = endpoint.url.partition("?")[0]
    speaks = options.dialect or endpoint.dialect
    header = Header(library=__version__, dialect=speaks, kind=options.kind, model=model, url=where)
    return _Taping(TapeWriter(record, header))


class Connecting:
    """What `connect()` gives: an async context manager, and an awaitable, of a `Session`."""

    def __init__(self, app: Realtime, changes: Mapping[str, Any]) -> None:
        self._app = app
        self._changes = changes
        self._session: Session | None = None

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def session(self) -> Session:
        """Give the session that is not open yet."""
        return self._app._session(self._changes)  # pyright: ignore[reportPrivateUsage]

    async def _open(self) -> Session:
        return await self.session().open()


async def _closed(plugin: Plugin, session: Session) -> None:
    try:
        async with asyncio.timeout(PLUGIN_CLOSE_TIMEOUT_S):
            result = plugin.close(session)
            if inspect.isawaitable(result):
                await result
    except Exception:
        log.exception("plugin %s failed to close", type(plugin).__name__)


def _as_config(session: SessionConfig | Mapping[str, Any] | None) -> SessionConfig:
    if session is None:
        return SessionConfig()
    return session if isinstance(session, SessionConfig) else dialect.session_config(session)


def _configured(config: SessionConfig, instructions: str | None, voice: str | None) -> SessionConfig:
    if instructions is not None:
        config = msgspec.structs.replace(config, instructions=instructions)
    return with_voice(config, voice)
