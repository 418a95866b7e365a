"""The replay: a door that plays a tape.

Owns what a session hears of a tape, when, and what becomes of what it says. Knows no file (that is `tape.py`). Of
events it knows the few by which a client's word finds its answer. Before it: a tape; after it: the session, to which it
is a transport like any other.

The tape leads. What the server said comes in its order, as fast as handlers take it, and the session's clock shows the
times of the tape. What the application says goes nowhere; but at each place where the taped client said something, the
door waits while the application is busy, and if it says something of the same type, the two are taken for one: the ids
that the tape has are read as those of now, and so an answer finds whoever waits for it. An application that says
nothing at that place is not waited for: whoever typed `ask` in the recording need not be there.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import msgspec

from ..endpoint import Endpoint
from ..events import client, server
from ..events.local import ToolCall
from ..exceptions import ConfigurationError, ConnectionLostError, ToolError, TransportError
from ..options import Options
from ..protocol import codec, redaction
from ..protocol import dialect as dialects
from ..tools.annotations import injection_key
from ..tools.options import ToolOptions
from ..tools.registry import Tool
from .tape import Frame, Tape, TapedEnding

if TYPE_CHECKING:
    from ..transport import Ending, OnFrame

TURNS = 100
REAL_TOOL_S = 60.0
NAMES = 256
SILENCE = {"audio/pcmu": b"\xff", "g711_ulaw": b"\xff", "audio/pcma": b"\xd5", "g711_alaw": b"\xd5"}
PLACE = "ws://localhost/v1/realtime"
OVER = TapedEnding(code=1006, reason="the tape ends here", initiator="network")
ABORTED = TapedEnding(code=1006, reason="aborted", initiator="client")

Tools = Literal["mock", "real"]


class Replay:
    """A way to dial that gives a tape: `rt.connect(dial=replay("call.jsonl"))`.

    Each dialling gives the next connection of the tape; after the last there is nothing to connect to.

    Attributes:
        tape: What is played.
        endpoint: Where it seems to come from; it needs no key.
    """

    def __init__(self, tape: Tape, *, speed: float | None = None, tools: Tools = "mock") -> None:
        self.tape = tape
        self.tools = tools
        self._speed = speed
        self._now_s = 0.0
        self._epoch = 0
        self._outputs = dict(_outputs(tape))
        self.endpoint = Endpoint(url=_place(tape), dialect=tape.header.dialect)

    async def __call__(self, url: str, headers: dict[str, str], options: Options) -> TapeDoor:
        """Open the next connection of the tape."""
        if self._epoch >= max(self.tape.epochs, 1):
            raise _no_more()
        self._epoch += 1
        return TapeDoor(self, self._epoch)

    def options(self, options: Options) -> Options:
        """Give options with the kind and the dialect of the tape."""
        kind = self.tape.header.kind
        if kind == "translation":
            raise ConfigurationError("a tape of a translation session cannot be replayed: an application has none")
        return replace(options, dialect=None, kind=kind, reconnect=False, rotate=False)

    def clock(self) -> float:
        """Give the time of the tape, in seconds since it began."""
        return self._now_s

    async def until(self, t_s: float) -> None:
        """Let the time of the tape be `t_s`; with a speed, it is waited for."""
        if self._speed and t_s > self._now_s:
            await asyncio.sleep((t_s - self._now_s) / self._speed)
        self._now_s = t_s

    def stand_in(self, tool: Tool) -> Tool:
        """Give a tool that answers what the tape answered, whatever it is given; with real tools, the tool itself."""
        if self.tools == "real":
            return tool
        return msgspec.structs.replace(
            tool,
            fn=self._answer,
            decode=_no_arguments,
            injected={"call": injection_key(ToolCall)},
            positional=(),
            is_async=True,
            options=ToolOptions(respond=tool.options.respond, when_done=tool.options.when_done),
        )

    async def _answer(self, call: ToolCall) -> str:
        if call.call_id not in self._outputs:
            raise ToolError("the tape ends before this call was answered")
        return self._outputs[call.call_id]


def replay(tape: Tape | str | Path, *, speed: float | None = None, tools: Tools = "mock") -> Replay:
    """Give the door that plays a tape: `rt.connect(dial=replay("call.jsonl"))`.

    Args:
        tape: A tape, or the path of one.
        speed: 1 plays in real time, 10 ten times as fast; by default it goes as fast as it can.
        tools: `mock` has tools answer what the tape has; `real` runs them.

    Raises:
        ConfigurationError: There is no such tape.
        ValueError: A speed that is not above zero.
    """
    if speed is not None and not speed > 0:
        raise ValueError(f"a speed is above zero, not {speed!r}")
    return Replay(tape if isinstance(tape, Tape) else Tape.read(tape), speed=speed, tools=tools)


class TapeDoor:
    """One connection of a tape, as a transport."""

    def __init__(self, playing: Replay, epoch: int) -> None:
        self._playing = playing
        self._dialect: dialects.Dialect = playing.tape.header.dialect
        self._kind: codec.Kind = playing.tape.header.kind
        self._frames = [frame for frame in playing.tape.frames if frame.epoch == epoch]
        self._taped_ending = playing.tape.endings.get(epoch, OVER)
        self._ending: TapedEnding | None = None
        self._left = Counter(_type_of(frame.data) for frame in self._frames if frame.direction == "out")
        self._said: deque[dict[str, Any]] = deque()
        self._names: dict[bytes, bytes] = {}
        self._silence = b"\0"
        self._deliver: Callable[[bytes], bool] | None = None
        self._wake = asyncio.Event()

    async def run(self, on_frame: OnFrame) -> Ending:
        """Play, and say how the taped connection ended."""
        self._deliver = on_frame
        before_s = 0.0
        for frame in self._frames:
            if self._ending is not None:
                break
            if frame.direction == "out":
                await self._let_say(frame)
                continue
            await self._playing.until(frame.t_s)
            crowded = on_frame(self._now(frame.data))
            if crowded or frame.t_s != before_s:
                await asyncio.sleep(0)
            before_s = frame.t_s
        await self._turns(lambda: self._ending is not None)
        return _as_ending(self._ending or self._taped_ending)

    async def send(self, data: bytes) -> None:
        """Take what the application says, for the tape to answer."""
        self.write(data)

    @property
    def unsent_bytes(self) -> int:
        """Nothing waits for a tape."""
        return 0

    @property
    def has_room(self) -> bool:
        """There is always room for what goes nowhere."""
        return True

    async def drain(self) -> None:
        """Wait for nothing, but tell that the tape has ended."""
        self._check()

    def write(self, data: bytes) -> None:
        """Take what the application says, for the tape to answer."""
        self._check()
        said = _fields(data)
        if self._left[_type_in(said)] > 0:
            self._said.append(said)
            self._wake.set()
        else:
            self._answer_unheard(data)

    def _check(self) -> None:
        if self._ending is not None:
            raise ConnectionLostError(self._ending.code, self._ending.reason, initiator=self._ending.initiator)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Stop playing."""
        self._end(TapedEnding(code=code, reason=reason, initiator="client"))

    def abort(self) -> None:
        """Stop playing at once."""
        self._end(ABORTED)

    def _end(self, ending: TapedEnding) -> None:
        self._ending = self._ending or ending
        self._wake.set()

    # What the application says, and what the tape says it said.

    async def _let_say(self, frame: Frame) -> None:
        """Wait for the application to say what the taped client said here, while it is busy."""
        if redaction.audio_bytes(frame.data):
            return  # Nobody holds a microphone to a replay.
        taped = _fields(frame.data)
        kind = _type_in(taped)
        if self._playing.tools == "real" and _is_output(taped):
            await self._wait_for_tool(kind)
        else:
            await self._turns(lambda: self._ending is not None or self._has_said(kind))
        self._left[kind] -= 1
        if (said := self._take(kind)) is not None:
            self._learn(taped, said)

    async def _wait_for_tool(self, kind: str) -> None:
        try:
            async with asyncio.timeout(REAL_TOOL_S):
                while self._ending is None and not self._has_said(kind):
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return  # A tool that takes so long is not waited for any more.

    async def _turns(self, until: Callable[[], bool]) -> None:
        """Give the loop its turns, by number and not by time, so that a replay goes the same way each time."""
        for _ in range(TURNS):
            if until():
                return
            await asyncio.sleep(0)

    def _has_said(self, kind: str) -> bool:
        return any(_type_in(said) == kind for said in self._said)

    def _take(self, kind: str) -> dict[str, Any] | None:
        for said in self._said:
            if _type_in(said) == kind:
                self._said.remove(said)
                return said
        return None

    def _learn(self, taped: dict[str, Any], said: dict[str, Any]) -> None:
        """Note which id of now stands for which of the tape."""
        pairs = [(taped.get("event_id"), said.get("event_id")), (_item(taped).get("id"), _item(said).get("id"))]
        for old, new in pairs:
            if isinstance(old, str) and isinstance(new, str) and old != new:
                self._names[_quoted(old)] = _quoted(new)
        while len(self._names) > NAMES:
            del self._names[next(iter(self._names))]

    def _answer_unheard(self, data: bytes) -> None:
        """Confirm a change of the session that the tape knows nothing of; nothing else can be answered for it."""
        event = dialects.to_ga(codec.decode(data, side="client", dialect=self._dialect, kind=self._kind))
        if isinstance(event, client.SessionUpdate) and self._deliver is not None:
            answer = server.SessionUpdated(event_id=f"{event.event_id}_confirmed", session=event.session)
            self._deliver(codec.encode(answer, dialect=self._dialect))

    # What the tape says.

    def _now(self, frame: bytes) -> bytes:
        """Give a taped frame with the ids of now, and silence where its audio was."""
        for old, new in self._names.items():
            if old in frame:
                frame = frame.replace(old, new)
        if b'"session.' in frame:
            self._note_format(frame)
        return redaction.with_silence(frame, self._silence)

    def _note_format(self, frame: bytes) -> None:
        event = dialects.to_ga(codec.decode(frame, dialect=self._dialect, kind=self._kind))
        audio = event.session.audio if isinstance(event, server.SessionCreated | server.SessionUpdated) else None
        wanted = audio.output.format if audio and audio.output else None
        if wanted:
            self._silence = SILENCE.get(wanted.type or "", b"\0")


def _outputs(tape: Tape) -> list[tuple[str, str]]:
    """Give the output of each tool call that the taped client answered, by the id of the call."""
    said = (_fields(frame.data) for frame in tape.frames if frame.direction == "out" and _may_be_output(frame.data))
    items = [_item(fields) for fields in said if _is_output(fields)]
    return [(str(item.get("call_id")), str(item.get("output", ""))) for item in items]


def _no_arguments(name: str, arguments: str) -> dict[str, Any]:
    """Take whatever the model wrote: the taped answer is the answer to it."""
    return {}


def _may_be_output(frame: bytes) -> bool:
    return b'"function_call_output"' in frame


def _is_output(fields: dict[str, Any]) -> bool:
    return _item(fields).get("type") == "function_call_output"


def _item(fields: dict[str, Any]) -> dict[str, Any]:
    item: Any = fields.get("item")
    return cast("dict[str, Any]", item) if isinstance(item, dict) else {}


def _fields(frame: bytes) -> dict[str, Any]:
    try:
        fields: Any = msgspec.json.decode(frame)
    except codec.DECODE_ERRORS:
        return {}
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def _type_of(frame: bytes) -> str:
    return _type_in(_fields(frame))


def _type_in(fields: dict[str, Any]) -> str:
    """Give the type of a client event; a tool's output is told from what a user says."""
    return f"{fields.get('type')}{' of output' if _is_output(fields) else ''}"


def _quoted(name: str) -> bytes:
    return msgspec.json.encode(name)


def _place(tape: Tape) -> str:
    parts = urlsplit(tape.header.url)
    return tape.header.url if parts.scheme in ("ws", "wss") and parts.hostname else PLACE


def _as_ending(ending: TapedEnding) -> Ending:
    from ..transport import Ending

    return Ending(ending.code, ending.reason, ending.initiator)


def _no_more() -> TransportError:
    error = TransportError("the tape ends here: it has no further connection")
    error.can_reconnect = False
    return error
