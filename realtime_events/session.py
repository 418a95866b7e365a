"""The session: one live conversation, as a user holds it.

Owns the handle: commands, waits, streams, the way in and the way out. Knows no socket and no frame (that is
`connection.py`), no matching of events (that is State) and no lane (that is `lanes.py`). Before it: the application;
after it: State for what a command means, and the connection for what goes out.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from .connection import Connection, Dial
from .dispatcher import Dispatcher
from .events import client, local, server
from .events.base import ClientEvent, Event, MalformedEvent
from .events.items import ContentPart, Item
from .events.session import AudioConfig, AudioOutput, SessionConfig, Tool
from .exceptions import (
    AudioFormatError,
    ConfigurationError,
    RemoteProtocolError,
)
from .handlers import key_of, keys_of
from .options import Options
from .protocol import codec, dialect
from .protocol.batches import WhenDone
from .protocol.core import Core
from .protocol.turns import Turn
from .streams import Stream, within
from .tools.offer import Offer
from .tools.output import Outcome
from .tools.runner import ToolRunner

if TYPE_CHECKING:
    from .app import Realtime
    from .endpoint import Endpoint
    from .overloads import StreamOf, WaitFor
    from .plugin import Plugin
    from .transport import Ending, Transport

log = logging.getLogger("realtime_events.session")

LANE_GRACE_S = 0.5
REQUEST_TIMEOUT_S = 10.0
MCP_TIMEOUT_S = 30.0
STREAM_MAX_PENDING = 1000
MAX_APPEND_BYTES = 15 * 1024 * 1024 // 4 * 3  # 15 MiB as base64, the API's limit for one append
MANNERS = ("closed by the application", 1000)


async def dial_websocket(url: str, headers: dict[str, str], options: Options) -> Transport:
    """Open a WebSocket by aiohttp, which is imported only now."""
    from .transport import Dialling, dial

    how = Dialling(
        ping_interval_s=options.ping_interval_s,
        ping_timeout_s=options.ping_timeout_s,
        max_frame_bytes=options.max_frame_bytes,
        connect_timeout_s=options.connect_timeout_s,
        proxy=options.proxy,
        ssl=options.ssl,
        trust_env=options.trust_env,
    )
    return await dial(url, headers, how)


def _as_wait_for(method: Callable[..., Any]) -> WaitFor:
    """Give a method back with the overloads that tell type checkers the payload of each event."""
    return cast("WaitFor", method)


def _as_stream(method: Callable[..., Any]) -> StreamOf:
    """Give a method back with the overloads that tell type checkers the payload of each event."""
    return cast("StreamOf", method)


class Session:
    """One live conversation. `Realtime.connect()` makes it; `async with` closes it.

    Attributes:
        state: Yours: a namespace for whatever the application wants to keep with the session.
        prepared: The plugins that were set up for the session, and will be closed with it.
    """

    def __init__(
        self,
        app: Realtime,
        endpoint: Endpoint,
        *,
        model: str,
        options: Options,
        config: SessionConfig,
        dial: Dial = dial_websocket,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = SimpleNamespace()
        self.prepared: list[Plugin] = []
        self._app = app
        self._endpoint = endpoint
        self._model = model
        self._options = options
        self._wanted = config
        self._dial = dial
        self._clock = clock
        speaks = options.dialect or endpoint.dialect
        prefix, numbers = secrets.token_hex(4), itertools.count(1)
        self._new_id: Callable[[str], str] = lambda kind: f"{kind}_{prefix}{next(numbers):06x}"
        self._core = Core(
            new_id=self._new_id,
            retain_audio_bytes=options.retain_audio,
            splits_items=speaks == "beta",
            limits=options.tool_limits,
        )
        self._dispatcher = Dispatcher(app, self, overflow=self._overflowed, close_when_full=options.on_full == "close")
        self.tools = Offer(
            app.tools, session=self, others=config.tools or (), tell=self._offer, run=self._run_tool_by_hand
        )
        self._runner = ToolRunner(
            self.tools,
            publish=self._dispatcher.publish,
            answer=self._answer_tool,
            say=self._say_for_tool,
            inject={Session: self},
            turn=lambda: self._core.turn,
            limits=options.tool_limits,
        )
        self._connection = Connection(
            self._core,
            self._dispatcher,
            start_call=self._runner.start,
            interrupt_calls=self._runner.interrupt,
            speaks=speaks,
            kind=options.kind,
            clock=clock,
            on_end=self._ended_by_itself,
        )
        self._closing: asyncio.Task[None] | None = None
        self._spared: set[asyncio.Task[Any]] = set()
        self._why = ""

    def __repr__(self) -> str:
        return f"<Session {self.id or '(connecting)'} {'closed' if self._connection.ended.done() else 'open'}>"

    # Looking.

    @property
    def id(self) -> str:
        """The server's id of this session."""
        return self._core.session_id

    @property
    def model(self) -> str:
        """The model that the server runs, or the one that was asked for."""
        return self._core.config.model or self._model

    @property
    def config(self) -> SessionConfig:
        """The configuration as the server last confirmed it."""
        return self._core.config

    @property
    def turn(self) -> Turn | None:
        """The turn that runs now, if any."""
        return self._core.turn

    @property
    def is_simulated(self) -> bool:
        """Whether the other side is the simulator."""
        return self._endpoint.is_simulated

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self._connection.ended.done()

    # The way in and the way out.

    async def open(self) -> Self:
        """Connect, configure the session and wait until the server has confirmed it.

        Raises:
            HandshakeError: The server refused; nothing of this session is left then.
            ServerError: The server refused the configuration.
            TimeoutError: The server did not answer in time.
        """
        try:
            await self._connect()
            await self._app.set_up(self)
        except BaseException:
            await self.close()
            raise
        return self

    async def _connect(self) -> None:
        url = self._endpoint.connect_url(model=self._model, kind=self._options.kind)
        headers = await self._endpoint.handshake_headers()
        self._connection.open(await self._dial(url, headers, self._options))
        async with within(self._options.connect_timeout_s, "the server sent no session.created"):
            await self._connection.created
        wanted = self._wanted
        if self._options.kind == "realtime" and (tools := self.tools.changed()) is not None:
            wanted = msgspec.structs.replace(wanted, tools=tools)
        if any(value is not msgspec.UNSET for value in msgspec.structs.asdict(wanted).values()):
            await self._update(wanted, self._options.connect_timeout_s)
        if self._connection.ended.done():
            raise self._connection.lost()
        place = url.partition("?")[0]
        log.info("session %s is open at %s", self.id, place)
        self._dispatcher.publish(local.ConnectionOpened(session_id=self.id, url=place))

    async def close(self) -> None:
        """End the session within a second, whatever the server does.

        Twice is fine, from inside a handler is fine, and a cancelled close still completes.
        """
        task = asyncio.current_task()
        if task is not None:
            self._spared.add(task)
        self._closing = self._closing or self._start_closing()
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        reason, code = self._why or MANNERS[0], 1011 if self._why else MANNERS[1]
        await self._connection.close(code, reason)
        # Side by side: each is bounded, and together they are to take no longer than the longest.
        await asyncio.gather(
            self._app.tear_down(self),
            self._runner.close(spare=self._spared),
            self._dispatcher.finish(LANE_GRACE_S, self._spared),
        )

    async def wait_closed(self) -> Ending:
        """Wait until the connection has ended for good, and say how."""
        return await asyncio.shield(self._connection.ended)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _ended_by_itself(self) -> None:
        self._closing = self._closing or self._start_closing()

    def _start_closing(self) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self._close(), name="realtime_events.session.close")

    def _overflowed(self, reason: str) -> None:
        """End the session because a lane holds nothing that may be dropped."""
        if not self._why:
            self._why = reason
            log.error("closing session %s: %s", self.id, reason)
            self._closing = self._closing or self._start_closing()

    # Sending.

    async def send(self, event: ClientEvent | Mapping[str, Any]) -> str:
        """Send a client event and give its `event_id`; a refusal comes as the event `send.rejected`.

        Raises:
            ConfigurationError: A mapping that is no client event, or a beta field in a GA configuration.
            ConnectionLostError: The connection has ended.
        """
        return str((await self._connection.send(_client_event(event))).event_id)

    async def send_raw(self, data: bytes) -> None:
        """Send one frame as it is, for what this package does not know yet."""
        await self._connection.write(data)

    # Talking.

    async def ask(self, content: str | Item | list[ContentPart], *, timeout: float | None = None) -> Turn:
        """Say something as the user, and give the whole turn: the answer, tool rounds included.

        Args:
            content: The user's words, the parts of a user message, or an item.
            timeout: Seconds to wait; None waits for as long as the connection lives.

        Raises:
            ResponseFailed: The response ended as failed; a cancelled or incomplete one is no error.
            ServerError: The server refused the request.
            ConnectionLostError: The connection ended first.
            TimeoutError: The turn took longer than `timeout`.
        """
        if self._connection.ended.done():
            raise self._connection.lost()
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._refresh_tools()
        turn = self._core.ask(_user_item(content), self._clock(), future)
        self._connection.carry_out()
        try:
            async with within(timeout, "the turn did not end"):
                return await future
        finally:
            self._core.give_up(turn, self._clock())
            self._connection.carry_out()

    async def add_item(self, item: Item, *, timeout: float | None = REQUEST_TIMEOUT_S) -> Item:
        """Add an item to the conversation without asking for a response, and give it as the server took it."""
        added: server.ConversationItemAdded = await self._connection.request(self._core.create_item(item), timeout)
        return added.item

    async def send_audio(self, audio: bytes) -> None:
        """Append audio in the session's input format to the input buffer; the server does not acknowledge it.

        Args:
            audio: Bytes; for `audio/pcm` 16-bit little-endian mono samples at 24,000 Hz. What is over the API's limit
                of 15 MiB an event is sent in several.

        Raises:
            AudioFormatError: Half a sample at the end.
            ConnectionLostError: The connection has ended.
        """
        if len(audio) % 2 and self._input_is_pcm():
            raise AudioFormatError("an even number of bytes (16-bit samples)", f"{len(audio)} bytes")
        for start in range(0, len(audio), MAX_APPEND_BYTES):
            piece = audio if len(audio) <= MAX_APPEND_BYTES else audio[start : start + MAX_APPEND_BYTES]
            event = client.InputAudioBufferAppend(event_id=self._new_id("event"), audio=piece)
            await self._connection.send(event)

    def _input_is_pcm(self) -> bool:
        audio_input = self.config.audio.input if self.config.audio else None
        kind = audio_input.format.type if audio_input and audio_input.format else None
        return not kind or kind == "audio/pcm"

    async def commit_audio(self, *, timeout: float | None = REQUEST_TIMEOUT_S) -> str:
        """Make a user item of the input buffer, where turn detection does not do it.

        Gives the item's id, or an empty string where the server does not name it.
        """
        committed: server.InputAudioBufferCommitted = await self._connection.request(
            client.InputAudioBufferCommit(), timeout
        )
        return committed.item_id

    async def clear_audio(self, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Throw the input buffer away."""
        await self._connection.request(client.InputAudioBufferClear(), timeout)

    async def interrupt(self) -> None:
        """Cancel the running response, if there is one, and have players empty their buffers.

        Running tools that say `on_interrupt="cancel"` are stopped, too.
        """
        self._runner.interrupt()
        if (response_id := self._core.active_response) is not None:
            self._dispatcher.publish(local.AudioFlush(response_id=response_id))
            await self.send(client.ResponseCancel(response_id=response_id))

    async def update(self, *, timeout: float | None = REQUEST_TIMEOUT_S, **changes: Any) -> SessionConfig:
        """Change the session and give the configuration that the server confirmed.

        Args:
            timeout: Seconds to wait for `session.updated`.
            changes: Fields of the session by their GA names, and `voice`; None and empty values clear.

        Raises:
            ConfigurationError: A field is unknown, or belongs to the beta dialect (its GA name is given).
            ServerError: The server refused the change.
        """
        voice = changes.pop("voice", None)
        return await self._update(with_voice(dialect.session_config(changes), voice), timeout)

    async def _update(self, config: SessionConfig, timeout: float | None) -> SessionConfig:
        typed = config if config.type else msgspec.structs.replace(config, type=_session_type(self._options.kind))
        updated: server.SessionUpdated = await self._connection.request(client.SessionUpdate(session=typed), timeout)
        return updated.session

    async def delete_item(self, item_id: str, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Delete an item of the conversation."""
        await self._connection.request(client.ConversationItemDelete(item_id=item_id), timeout)

    async def truncate_item(
        self, item_id: str, *, audio_end_ms: int, timeout: float | None = REQUEST_TIMEOUT_S
    ) -> None:
        """Tell the server that the user heard an assistant item only up to `audio_end_ms`."""
        await self._connection.request(
            client.ConversationItemTruncate(item_id=item_id, audio_end_ms=audio_end_ms), timeout
        )

    async def retrieve_item(self, item_id: str, *, timeout: float | None = REQUEST_TIMEOUT_S) -> Item:
        """Give an item as the server has it, with its audio."""
        retrieved: server.ConversationItemRetrieved = await self._connection.request(
            client.ConversationItemRetrieve(item_id=item_id), timeout
        )
        return retrieved.item

    # Listening.

    def emit(self, name: str, payload: Any = None) -> bool:
        """Emit an application event (`app.…`) to this session's handlers; true if anybody listens."""
        return self._dispatcher.publish_named(key_of(name), payload)

    @_as_wait_for
    async def wait_for(
        self, *targets: Any, when: Callable[[Any], object] | None = None, timeout: float | None = None
    ) -> Any:
        """Wait for the first event of a name, glob or class that fits `when`.

        Raises:
            TimeoutError: None came within `timeout` seconds.
            ConnectionLostError: The connection has ended for good.
        """
        keys = keys_of(targets)
        if self._connection.ended.done():
            raise self._connection.lost()
        return await self._dispatcher.wait_for(keys, when, timeout)

    @_as_stream
    def stream(
        self, *targets: Any, when: Callable[[Any], object] | None = None, max_pending: int = STREAM_MAX_PENDING
    ) -> Stream[Any]:
        """Give the coming events of names, globs or classes (of all, if none is named) as an async iterator.

        It is bounded like a lane, ends when the connection ends for good, and forgets itself when it is left.
        """
        stream = self._dispatcher.subscribe(keys_of(targets or ("*",)), when, max_pending)
        if self._connection.ended.done():
            self._dispatcher.end_waits(self._connection.lost())
        return stream

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.stream()

    # Tools.

    def approve(self, call_id: str, *, always: bool = False) -> asyncio.Future[bool]:
        """Let a tool call run that waits for approval (`tool.approval_requested`); it acts at once, awaited or not.

        Args:
            call_id: The call's.
            always: Whether its tool needs no approval any more in this session.

        Returns:
            A future that is done: whether the call was waiting; false if it was decided or had expired.
        """
        decided = self._runner.approvals.approve(call_id, always=always)
        return _done(decided or self._decide_hosted(call_id, approve=True))

    def deny(self, call_id: str, reason: str = "") -> asyncio.Future[bool]:
        """Refuse a tool call that waits for approval; the model is told the reason. It acts at once, awaited or not."""
        decided = self._runner.approvals.deny(call_id, reason)
        return _done(decided or self._decide_hosted(call_id, approve=False, reason=reason))

    def _decide_hosted(self, request_id: str, *, approve: bool, reason: str = "") -> bool:
        decided = self._core.decide_hosted(request_id, approve=approve, reason=reason)
        self._connection.carry_out()
        return decided

    async def mcp_ready(self, *, timeout: float | None = MCP_TIMEOUT_S) -> None:
        """Wait until the server has listed the tools of every hosted MCP server that the session was told of.

        Raises:
            RemoteProtocolError: One of them could not be listed; its label is named.
            TimeoutError: It took longer than `timeout` seconds.
            ConnectionLostError: The connection has ended.
        """
        labels = [tool.server_label for tool in self.config.tools or () if tool.type == "mcp" and tool.server_label]
        state = self._core.hosted.state
        async with asyncio.timeout(timeout), self.stream("mcp_list_tools.*", "conversation.item.*") as news:
            while None in (states := {label: state(label) for label in labels}).values():
                if await anext(news, None) is None:
                    raise self._connection.lost()
        if failed := [label for label, ok in states.items() if not ok]:
            raise RemoteProtocolError(f"the server could not list the tools of the MCP server {', '.join(failed)}")

    def _say_for_tool(self, call_id: str, text: str) -> None:
        self._core.say(call_id, text)
        self._connection.carry_out()

    async def _run_tool_by_hand(self, call: local.ToolCall) -> Outcome:
        return await self._runner.run(call)

    async def _offer(self, tools: list[Tool]) -> None:
        await self._update(SessionConfig(tools=tools), REQUEST_TIMEOUT_S)

    def _refresh_tools(self) -> None:
        """Tell the server of tools that have come or gone by their condition, before whatever is sent next."""
        if self._options.kind == "realtime" and (tools := self.tools.changed()) is not None:
            config = SessionConfig(type="realtime", tools=tools)
            self._core.effects.send.append(client.SessionUpdate(event_id=self._new_id("event"), session=config))

    def _answer_tool(self, result: local.ToolResult, respond: bool, when_done: WhenDone) -> None:
        self.tools.note(result)
        self._refresh_tools()
        self._core.answer_tool(result, self._clock(), respond=respond, when_done=when_done)
        self._connection.carry_out()


def with_voice(config: SessionConfig, voice: str | None) -> SessionConfig:
    """Put the setting that has a keyword of its own where the API has it."""
    if voice is None:
        return config
    audio = config.audio or AudioConfig()
    output = msgspec.structs.replace(audio.output or AudioOutput(), voice=voice)
    return msgspec.structs.replace(config, audio=msgspec.structs.replace(audio, output=output))


def _done(value: bool) -> asyncio.Future[bool]:
    """Give a value to somebody who may or may not await it."""
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def _session_type(kind: str) -> str:
    return "transcription" if kind == "transcription" else "realtime"


def _user_item(content: str | Item | list[ContentPart]) -> Item:
    if isinstance(content, Item):
        return content
    parts = [ContentPart(type="input_text", text=content)] if isinstance(content, str) else content
    return Item(type="message", role="user", content=parts)


def _client_event(event: ClientEvent | Mapping[str, Any]) -> ClientEvent:
    if isinstance(event, ClientEvent):
        return event
    if isinstance(event.get("session"), Mapping):
        dialect.session_config(event["session"])
    if isinstance(event.get("response"), Mapping):
        dialect.response_params(event["response"])
    decoded = codec.decode(msgspec.json.encode(event), side="client")
    if isinstance(decoded, ClientEvent):
        return decoded
    why = decoded.reason if isinstance(decoded, MalformedEvent) else f"unknown type {decoded.type!r}"
    raise ConfigurationError(f"this is no client event: {why}")
