"""The session: one live conversation, as a user holds it.

Owns the handle: commands, waits, streams, the way in and the way out. Knows no socket and no frame (that is
`connection.py`), no matching of events (that is State) and no lane (that is `lanes.py`). Before it: the application;
after it: State for what a command means, and the connection for what goes out.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import msgspec

from .audio import AudioFormat, AudioLedger
from .call import Call, Entry
from .connection import Connection, Dial
from .dialogue import LiveConversation
from .dispatcher import Dispatcher
from .events import client, local, server
from .events.base import ClientEvent, Event, MalformedEvent
from .events.items import ContentPart, Item
from .events.response import Response
from .events.session import AudioConfig, AudioOutput, SessionConfig, Tool
from .exceptions import ConfigurationError, LocalProtocolError, RealtimeError, RemoteProtocolError, ResponseFailed
from .extracting import ATTEMPTS, Question
from .following import Asking, ResponseHandle
from .handlers import key_of, keys_of
from .hearing import AudioChunk, Chunks, Heard
from .lifeline import Lifeline, Means
from .logs import logger
from .options import Options
from .protocol import codec, dialect
from .protocol.batches import WhenDone
from .protocol.conversation import Conversation, ConversationItem, Dropped
from .protocol.core import Core
from .protocol.responses import Policy, Wanted
from .protocol.resume import Resumption, merged
from .protocol.turns import Turn
from .protocol.usage import SessionUsage
from .speaking import Speech, Talk
from .streams import Stream, within
from .tools.offer import Offer
from .tools.output import Outcome
from .tools.runner import ToolRunner
from .vigil import Vigil

if TYPE_CHECKING:
    from .app import Realtime
    from .endpoint import Endpoint
    from .overloads import StreamOf, WaitFor
    from .plugin import Plugin
    from .prices import Cost
    from .recorder.resuming import Resumed
    from .transport import Ending, Transport

log = logger("session")

T = TypeVar("T")

LANE_GRACE_S = 0.5
REQUEST_TIMEOUT_S = 10.0
MCP_TIMEOUT_S = 30.0
STREAM_MAX_PENDING = 1000
EXTRACT_TIMEOUT_S = 30.0
SEED_TIMEOUT_S = 30.0
DRAIN_S = 10.0
DRAIN_LOOK_S = 0.25
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
        playback: What the user has really heard; a player reports to it.
        tools: The tools that the session offers to the model.
        call: The phone or WebRTC call that the session is attached to; None for every other session.
    """

    def __init__(  # noqa: PLR0913 - only the application makes sessions; each argument is one thing that it decides
        self,
        app: Realtime,
        endpoint: Endpoint,
        *,
        model: str,
        options: Options,
        config: SessionConfig,
        seed: Conversation | None = None,
        call: Call | None = None,
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
        self._is_told = False
        self._dial = dial if call is None else call.dialling(dial)
        self.call = call
        self._clock = clock
        self._speaks: dialect.Dialect = options.dialect or endpoint.dialect
        prefix, numbers = secrets.token_hex(4), itertools.count(1)
        self._new_id: Callable[[str], str] = lambda kind: f"{kind}_{prefix}{next(numbers):06x}"
        self._seed = seed
        self._resumed: Resumed | None = None
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
        self._line = Lifeline(
            Means(
                core=self._make_core,
                connection=self._make_connection,
                dial=self._dial_now,
                wanted=self._told_so_far,
                configure=self._configure,
                swapped=self._swapped,
                new_id=self._new_id,
                on_closed=self._ended_by_itself,
            ),
            conversation=LiveConversation(self._edit),
            options=options,
            dispatcher=self._dispatcher,
            place=self._url().partition("?")[0],
            is_call=call is not None,
            clock=clock,
        )
        self._core, self._connection = self._line.core, self._line.connection
        self.playback = Heard(self._core.playback, clock)
        self._speech = Speech(self._core, self._connection, gate=options.gate, new_id=self._new_id, clock=clock)
        self._asking = Asking(
            self._line.online,
            self._ask_for,
            self._give_up,
            self._dispatcher.follow,
            self._failure,
        )
        if call is not None:
            self._dispatcher.follow(call.keypad)
        self._vigil = Vigil(self._line, self._dispatcher, options, close=self._close_because, clock=clock)
        self._closing: asyncio.Task[None] | None = None
        self._spared: set[asyncio.Task[Any]] = set()
        self._why = self._reason = ""

    # What the lifeline makes a new incarnation of.

    def _make_core(self, conversation: Conversation | None) -> Core:
        return Core(
            new_id=self._new_id,
            conversation=conversation,
            retain_audio_bytes=self._options.retain_audio,
            splits_items=self._speaks == "beta",
            server_plays=self.call is not None,
            limits=self._options.tool_limits,
        )

    def _make_connection(
        self, core: Core, dispatcher: Dispatcher, on_end: Callable[[Ending, bool], None]
    ) -> Connection:
        return Connection(
            core,
            dispatcher,
            start_call=self._runner.start,
            interrupt_calls=self._runner.interrupt,
            speaks=self._speaks,
            kind=self._options.kind,
            clock=self._clock,
            on_end=on_end,
            sending=self._options.sending,
        )

    def _url(self) -> str:
        call_id = self.call.id if self.call is not None else None
        return self._endpoint.connect_url(model=self._model, kind=self._options.kind, call_id=call_id)

    async def _dial_now(self) -> Transport:
        headers = await self._endpoint.handshake_headers()
        return await self._dial(self._url(), headers, self._options)

    def _told_so_far(self) -> SessionConfig:
        """Give all that a fresh server-side session has to be told."""
        self.tools.forget_told()
        return self.tell()

    async def _configure(self, connection: Connection, wanted: SessionConfig) -> None:
        if _says_something(wanted):
            event = client.SessionUpdate(session=self._typed(wanted))
            await connection.request(event, self._options.connect_timeout_s)

    def _swapped(self, core: Core, connection: Connection) -> None:
        """Go on with the State and the connection of a new incarnation."""
        self._core, self._connection = core, connection
        self._speech.attach(core, connection)

    def __repr__(self) -> str:
        return f"<Session {self.id or '(connecting)'} {'closed' if self.is_closed else 'open'}>"

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
    def conversation(self) -> LiveConversation:
        """What was said in the session, in order: live text and transcripts, and what was heard of them."""
        self._core.note_times()
        return cast("LiveConversation", self._core.conversation)

    @property
    def usage(self) -> SessionUsage:
        """What the session has used so far: tokens of all responses by modality and model, and transcription apart."""
        return self._core.usage

    @property
    def cost(self) -> Cost:
        """What that costs by the price table of `Realtime(prices=...)`, and whether the table knows everything used."""
        return self._app.prices.cost(self._core.usage)

    @property
    def rate_limits(self) -> dict[str, server.RateLimit]:
        """The rate limits by name (`requests`, `tokens`), with the seconds until they are whole again from now."""
        return {limit.name or "": limit for limit in self._core.rate_limits.at(self._clock())}

    @property
    def audio_ledger(self) -> AudioLedger:
        """What became of the user's audio: queued, open, confirmed, delivered, unknown or lost, to the byte."""
        return self._connection.audio_ledger

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
        """Whether the session has ended for good; while a lost connection is made again, it has not."""
        return self._line.ended.done()

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
        await self._line.connect()
        wanted = SessionConfig() if self._is_told else self.tell()
        if _says_something(wanted):
            await self._update(wanted, self._options.connect_timeout_s)
        dropped = await self.seed(self._seed) if self._seed is not None else ()
        if self._connection.ended.done():
            raise self._connection.lost()
        place = self._url().partition("?")[0]
        self._line.is_open()
        self._vigil.begin()
        log.info("session %s is open at %s", self.id, place)
        self._dispatcher.publish(local.ConnectionOpened(session_id=self.id, url=place))
        if self._resumed is not None:
            self._tell_resumed(self._resumed, dropped)

    def take_up(self, resumed: Resumed) -> None:
        """Go on from what a tape knows; the session is told so when it is opened."""
        self._resumed = resumed
        self._core.usage = resumed.usage

    def _tell_resumed(self, resumed: Resumed, dropped: Sequence[Dropped]) -> None:
        items = {item_id: resumed.conversation.get(item_id) for item_id, _ in dropped}
        in_flight = tuple(
            item_id for item_id, item in items.items() if item is not None and item.status == "in_progress"
        )
        self._dispatcher.publish(
            local.ConnectionRestored(
                session_id=self.id,
                replayed=tuple(item.id for item in self._core.conversation),
                dropped=tuple(item_id for item_id in items if item_id not in in_flight),
                lost_in_flight=in_flight,
            )
        )
        for call in resumed.open_calls:
            self._dispatcher.publish(local.ToolOrphaned(call=call))

    def tell(self) -> SessionConfig:
        """Give what the server is to be told when the session begins, tools included; it counts as told then.

        Whoever accepts a call says it by REST, before the session is opened.
        """
        self._is_told = True
        wanted = self._wanted
        if self._options.kind == "realtime" and (tools := self.tools.changed()) is not None:
            wanted = msgspec.structs.replace(wanted, tools=tools)
        return wanted

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
        reason, code = self._why or self._reason or MANNERS[0], 1011 if self._why else MANNERS[1]
        self._vigil.end()
        await self._line.close(code, reason)
        # Side by side: each is bounded, and together they are to take no longer than the longest.
        await asyncio.gather(
            self._app.tear_down(self),
            self._runner.close(spare=self._spared),
            self._dispatcher.finish(LANE_GRACE_S, self._spared),
        )

    async def wait_closed(self) -> Ending:
        """Wait until the session has ended for good, and say how its last connection did."""
        return await asyncio.shield(self._line.ended)

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

    def _close_because(self, reason: str) -> None:
        """Close the session for a reason of this side."""
        if self._closing is None:
            log.info("closing session %s: %s", self.id, reason)
            self._reason = reason
            self._closing = self._start_closing()

    async def drain(self, grace_s: float = DRAIN_S) -> None:
        """Close the session, but let the turn that runs end within a time, and send no more of the user's audio."""
        self.mute()
        try:
            async with asyncio.timeout(grace_s):
                while not self.is_closed and not self._core.is_idle(self._clock()):
                    with suppress(TimeoutError):  # No event tells that what was said has been heard.
                        await self.wait_for("turn.done", "response.done", "connection.*", timeout=DRAIN_LOOK_S)
        except (TimeoutError, RealtimeError):
            pass
        await self.close()

    # Sending.

    async def _request(self, event: ClientEvent, timeout: float | None) -> Any:
        """Send an event and wait for the server's answer; while the connection is lost, for the next one first."""
        if not self._line.is_offline:
            return await self._connection.request(event, timeout)
        async with within(timeout, f"the connection was lost, and the server did not answer {event.type}"):
            connection = await self._line.online()
            return await connection.request(self._line.renamed(event), None)

    async def send(self, event: ClientEvent | Mapping[str, Any]) -> str:
        """Send a client event and give its `event_id`; a refusal comes as the event `send.rejected`.

        Raises:
            ConfigurationError: A mapping that is no client event, or a beta field in a GA configuration.
            ConnectionLostError: The connection has ended.
        """
        said = _client_event(event)
        connection = await self._line.online() if self._line.is_offline else self._connection
        sent = await connection.send(said)
        if isinstance(said, client.SessionUpdate):
            self._wanted = merged(self._wanted, said.session)
        return str(sent.event_id)

    async def send_raw(self, data: bytes) -> None:
        """Send one frame as it is, for what this package does not know yet."""
        connection = await self._line.online() if self._line.is_offline else self._connection
        await connection.write(data)

    # Talking.

    async def ask(
        self,
        content: str | Item | list[ContentPart],
        *,
        policy: Policy | None = None,
        timeout: float | None = None,
    ) -> Turn:
        """Say something as the user, and give the whole turn: the answer, tool rounds included.

        Args:
            content: The user's words, the parts of a user message, or an item.
            policy: What to do if a response is active: `queue` waits for its end, `cancel_active` interrupts it and
                what is still heard, `fail` raises. By default it interrupts where a player reports what is heard, and
                queues where none does.
            timeout: Seconds to wait; None waits for as long as the connection lives.

        Raises:
            ResponseFailed: The response ended as failed; a cancelled or incomplete one is no error.
            LocalProtocolError: A response is active, and the policy is to fail.
            ServerError: The server refused the request.
            ConnectionLostError: The connection ended first.
            TimeoutError: The turn took longer than `timeout`.
        """
        item = _user_item(content)
        codec.encode(client.ConversationItemCreate(item=item))  # What cannot be said begins no turn.
        async with within(timeout, "the turn did not end"):
            await self._line.online()
            return await self._turn_of(item, policy)

    async def _turn_of(self, item: Item, policy: Policy | None) -> Turn:
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._refresh_tools()
        chosen = policy or ("cancel_active" if self.playback.has_player else "queue")
        turn = self._core.ask(item, self._clock(), future, chosen)
        self._connection.carry_out()
        try:
            return await future
        finally:
            self._core.give_up(turn, self._clock())
            self._connection.carry_out()

    def respond(self, *, policy: Policy = "queue", interruptible: bool = True, **params: Any) -> ResponseHandle:
        """Ask for a response and follow it: `async with session.respond(instructions="…") as r`.

        Args:
            policy: What to do if another in-band response is active: `queue` waits for its end, `cancel_active`
                interrupts it, `fail` raises.
            interruptible: Whether the user's speech may cut it. While one that may not be cut is heard, the user's
                audio is withheld, since the server would cut it by itself.
            params: What the response shall do otherwise than the session says, by the GA names of `response.create`,
                and `voice`; `conversation="none"` makes it out of band: it runs beside others, leaves nothing in the
                conversation, and its tool calls are for whoever asked.

        Raises:
            ConfigurationError: A parameter is unknown, or belongs to the beta dialect (its GA name is given).
        """
        voice = params.pop("voice", None)
        if voice is not None:
            params["audio"] = {"output": {"voice": voice}}
        request = self._core.exchange.new_request(dialect.response_params(params) if params else msgspec.UNSET)
        codec.encode(request)
        return ResponseHandle(self._asking, Wanted(request, interruptible=interruptible), policy)

    async def extract(
        self,
        question: str,
        *,
        output: type[T],
        timeout: float | None = EXTRACT_TIMEOUT_S,
        **params: Any,
    ) -> T:
        """Put a side question about the conversation, and give its answer as `output`: out of band, as text, validated.

        The model is shown the JSON Schema of `output`. An answer that does not fit is sent back once, with what is
        wrong with it.

        Args:
            question: What to find out, such as "How does the user feel?".
            output: A type whose JSON Schema can be told: a Struct, dataclass, TypedDict, pydantic model, list, `int` …
            timeout: Seconds for the whole of it.
            params: More parameters of `response.create`, such as `input`.

        Raises:
            RemoteProtocolError: The second answer does not fit either; the sentence says what is wrong with it.
            ResponseFailed: A response ended as failed.
            TimeoutError: It took longer than `timeout`.
        """
        asked = Question(question, output)
        async with within(timeout, "the question was not answered"):
            for _ in range(ATTEMPTS):
                response = await self.respond(**{**asked.params(), **params})
                if asked.take(response):
                    return cast("T", asked.answer)
        raise RemoteProtocolError(f"the model's answer does not fit {output!r}: {asked.problem}")

    async def add_item(self, item: Item, *, timeout: float | None = REQUEST_TIMEOUT_S) -> Item:
        """Add an item to the conversation without asking for a response, and give it as the server took it."""
        added: server.ConversationItemAdded = await self._request(self._core.create_item(item), timeout)
        return added.item

    async def send_audio(self, audio: bytes, *, format: AudioFormat | None = None) -> None:
        """Append audio to the input buffer; the server does not acknowledge it.

        It waits where the network is slower than the audio comes, in a bounded queue that control events overtake
        (`Options.sending`). Muted audio, and what comes while the gate is closed, is not sent.

        Args:
            audio: Bytes in the session's input format; for `audio/pcm` 16-bit little-endian mono samples at 24,000 Hz.
                What is longer than a second is sent in several events.
            format: What the audio is, if it is something else: it is converted as one stream from call to call.

        Raises:
            AudioFormatError: Half a sample at the end, or no bytes.
            ConnectionLostError: The connection has ended.
            TimeoutError: There was no room in time; nothing of it was accepted.
        """
        await self._speech.send(audio, format)

    async def send_file(
        self, source: str | os.PathLike[str] | bytes, *, pace: float = 1.0, silence_ms: float = 0.0
    ) -> float:
        """Send a WAV file, converted to the session's input format, as fast as it sounds; gives its milliseconds.

        Args:
            source: A path, or audio in the session's input format.
            pace: The speed relative to real time; `math.inf` sends as fast as the connection takes it.
            silence_ms: How much silence follows; turn detection hears by it that the speech is over.

        Raises:
            AudioFormatError: The file is no WAV file that can be read; both values are named.
            OSError: It cannot be read.
        """
        return await self._speech.send_file(source, pace=pace, silence_ms=silence_ms)

    def mute(self, muted: bool = True) -> None:
        """Send no audio of the user from now on; the last 300 ms are kept, and sent first when he is heard again."""
        self._speech.muted = muted

    @property
    def is_muted(self) -> bool:
        """Whether the user's audio is withheld."""
        return self._speech.muted

    def talk(self) -> Talk:
        """Push-to-talk: `async with session.talk():` commits what is sent within, and asks for the answer.

        Entering interrupts the assistant. Awaited after the block, it is the turn. The session must have no turn
        detection.
        """
        return Talk(self, self._speech, self._core)

    def answer_speech(self) -> asyncio.Future[Turn]:
        """Ask for the response to what was committed, and give the turn once it has ended.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        if self._connection.ended.done():
            raise self._connection.lost()
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._refresh_tools()
        self._core.exchange.answer_speech(self._clock(), future)
        self._connection.carry_out()
        return future

    @property
    def audio(self) -> Stream[AudioChunk]:
        """The assistant's audio from now on, in chunks that know their item and their place in it.

        After an interruption nothing more comes of what was cut.
        """
        chunks = Chunks(
            self._dispatcher,
            lambda: self._core.output.bytes_per_ms,
            lambda item_id: self._core.playback.received_ms(item_id),
        )
        self._dispatcher.follow(chunks)
        if self.is_closed:
            chunks.end(self._connection.lost())
        return Stream(self._dispatcher, chunks)

    async def commit_audio(self, *, if_enough: bool = False, timeout: float | None = REQUEST_TIMEOUT_S) -> str | None:
        """Make a user item of the input buffer, where turn detection does not do it.

        Gives the item's id, or an empty string where the server does not name it. With less than 100 ms of audio it
        raises or, if told so by `if_enough`, does nothing and gives None.

        Raises:
            LocalProtocolError: Less than 100 ms of audio were sent since the last commit.
        """
        if not self._speech.check_commit(if_enough=if_enough):
            return None
        committed: server.InputAudioBufferCommitted = await self._request(client.InputAudioBufferCommit(), timeout)
        return committed.item_id

    async def clear_audio(self, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Throw the input buffer away."""
        self._speech.cleared()
        await self._request(client.InputAudioBufferClear(), timeout)

    async def interrupt(self, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Stop what the assistant says, and tell the server how much was heard; returns when it has confirmed that.

        Players are told first (`audio.flush`), nothing more is delivered of what was cut, and the conversation knows
        the words that were heard. Running tools that say `on_interrupt="cancel"` are stopped, too. A response that may
        not be interrupted goes on.

        Raises:
            TimeoutError: The server did not confirm it in time.
        """
        sent = self._core.interrupt(self._clock())
        self._connection.carry_out()
        self._runner.interrupt()  # After it: the answer to what it stops is not interrupted.
        await self._connection.answers(sent, timeout)

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
        updated: server.SessionUpdated = await self._request(client.SessionUpdate(session=self._typed(config)), timeout)
        self._wanted = merged(self._wanted, config)
        return updated.session

    def _typed(self, config: SessionConfig) -> SessionConfig:
        return config if config.type else msgspec.structs.replace(config, type=_session_type(self._options.kind))

    async def delete_item(self, item_id: str, *, timeout: float | None = REQUEST_TIMEOUT_S) -> None:
        """Delete an item of the conversation."""
        await self._request(client.ConversationItemDelete(item_id=item_id), timeout)

    async def truncate_item(
        self, item_id: str, *, audio_end_ms: int, timeout: float | None = REQUEST_TIMEOUT_S
    ) -> None:
        """Tell the server that the user heard an assistant item only up to `audio_end_ms`."""
        await self._request(client.ConversationItemTruncate(item_id=item_id, audio_end_ms=audio_end_ms), timeout)

    async def retrieve_item(self, item_id: str, *, timeout: float | None = REQUEST_TIMEOUT_S) -> Item:
        """Give an item as the server has it, with its audio."""
        retrieved: server.ConversationItemRetrieved = await self._request(
            client.ConversationItemRetrieve(item_id=item_id), timeout
        )
        return retrieved.item

    async def seed(self, saved: Conversation, *, timeout: float | None = SEED_TIMEOUT_S) -> tuple[Dropped, ...]:
        """Say a saved conversation again to the server, in order; gives what could not be said again, and why.

        Assistant text is given as `output_text`, audio as its transcript: of what was interrupted, what was heard.

        Raises:
            ServerError: The server refused an item.
            TimeoutError: It took longer than `timeout`.
        """
        items = Resumption().take(saved, self._new_id)
        async with within(timeout, "the server did not take over the saved conversation"):
            await self._all_answered([self._core.create_item(item) for item in items])
        return tuple(saved.seed().dropped)

    async def _edit(self, wanted: Sequence[Item | ConversationItem], timeout: float | None) -> None:
        plan = self._core.conversation.edit_plan(wanted, new_id=self._new_id)
        async with within(timeout, "the server did not confirm the edit"):
            await self._all_answered(plan)

    async def _all_answered(self, events: Sequence[ClientEvent]) -> None:
        """Send events in order, and wait for the acknowledgement of each; the first refusal is raised."""
        loop = asyncio.get_running_loop()
        waits = [
            loop.create_task(self._request(event, None), name="realtime_events.session.request") for event in events
        ]
        try:
            for wait in waits:
                await wait
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def gather(
        self,
        count: int | None = None,
        *,
        timeout: float | None = 5.0,
        total_timeout: float | None = None,
        finish_on: str = "#",
    ) -> str:
        """Take the keys that the caller presses, as phone menus do: `digits = await session.gather(4, timeout=5)`.

        What was pressed before, and not taken, comes first. A key silences the assistant, and the time for an answer
        begins when the assistant has been heard to its end. It ends with the last key of `count`, with a key of
        `finish_on`, or with a time that has passed, and gives what was pressed by then: fewer keys, or an empty string.

        Args:
            count: How many keys are wanted; None takes what comes until a finishing key or a time ends it.
            timeout: How many seconds of silence after a key, or before the first one, end it; None waits on.
            total_timeout: How many seconds it may take in all; None bounds it by the silence alone.
            finish_on: The keys that end it, and are not given; an empty string for none.

        Raises:
            LocalProtocolError: This session is attached to no call, or somebody else gathers.
            ConnectionLostError: The call ended first.
            ConfigurationError: Nothing would ever end it, or a key is none.
        """
        if self.call is None:
            raise LocalProtocolError("this session is attached to no call, so nobody presses keys")
        entry = Entry(count=count, timeout=timeout, total_timeout=total_timeout, finish_on=finish_on)
        return await self.call.keypad.gather(entry, is_spoken_to=self._is_speaking, hush=self._hush)

    def _is_speaking(self) -> bool:
        return self._core.response_active or bool(self._core.playing_response)

    def _hush(self) -> None:
        self._core.interrupt(self._clock())
        self._connection.carry_out()

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
        if self.is_closed:
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
        if self.is_closed:
            self._dispatcher.end_waits(self._connection.lost())
        return stream

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.stream()

    # Responses.

    def _ask_for(self, wanted: Wanted, policy: Policy) -> None:
        if self._connection.ended.done():
            raise self._connection.lost()
        self._refresh_tools()
        self._core.exchange.want(wanted, self._clock(), policy)
        self._connection.carry_out()

    def _failure(self, response: Response) -> ResponseFailed:
        return self._core.failure(response, self._clock())

    def _give_up(self, wanted: Wanted) -> None:
        """Cancel a response that somebody has asked for, unless it was not asked for yet."""
        if self._connection.ended.done():
            return
        self._core.give_up_response(wanted, self._clock())
        self._connection.carry_out()

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
        decided = self._core.decide_hosted(request_id, self._clock(), approve=approve, reason=reason)
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
        async with asyncio.timeout(timeout), self.stream("mcp_list_tools.*", "conversation.item.*") as news:
            while None in (states := {label: self._core.hosted.state(label) for label in labels}).values():
                if await anext(news, None) is None:
                    raise self._connection.lost()
        if failed := [label for label, ok in states.items() if not ok]:
            raise RemoteProtocolError(f"the server could not list the tools of the MCP server {', '.join(failed)}")

    def _say_for_tool(self, call_id: str, text: str) -> None:
        self._core.exchange.say(call_id, text, self._clock())
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

        def answer() -> None:
            self._refresh_tools()
            self._core.answer_tool(result, self._clock(), respond=respond, when_done=when_done)
            self._connection.carry_out()

        self._line.when_online(answer)


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


def _says_something(config: SessionConfig) -> bool:
    return any(value is not msgspec.UNSET for value in msgspec.structs.asdict(config).values())


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
