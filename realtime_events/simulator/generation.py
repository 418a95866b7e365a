"""One response, from `response.created` to `response.done`.

Owns the order of a response's events and how it ends: completed, cancelled, incomplete or failed. Knows no other
response and no clock; each step says how long to wait after it. Before it: `answering.py`, which starts and stops it;
after it: `writing.py`, which writes the items.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..events.base import ServerEvent
from ..events.items import Item
from ..events.response import FailureDetails, Response, StatusDetails, Usage
from ..events.server import (
    ConversationItemAdded,
    ConversationItemDone,
    RateLimit,
    RateLimitsUpdated,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
)
from ..events.session import AudioConfig, AudioOutput
from .config import ResponseSettings, wire_format
from .conversation import Entry
from .hosted import HostedTool
from .hosted_writing import ApprovalWriter, McpCallWriter
from .plans import Call, Fail, Plan, Say
from .stage import Stage
from .tokens import Count, usage
from .writing import CallWriter, Place, SpeechWriter, Step, TextWriter, Writer

TOKENS_PER_MINUTE = 40_000
REQUESTS_PER_MINUTE = 5_000
RESERVED_TOKENS = 4_096


class Generation:
    """A response in the making; `is_over` once `response.done` has been given.

    `began_at` is when its first piece came, `spoken_ms` how much audio its finished items have.
    """

    def __init__(self, stage: Stage, settings: ResponseSettings, *, read: Count, cached: Count) -> None:
        self.id = stage.ids("resp")
        self.settings = settings
        self.is_over = False
        self.began_at = 0.0
        self.spoken_ms = 0.0
        self._stage = stage
        self._read = read
        self._cached = cached
        self._written = Count()
        self._output: list[Item] = []
        self._open: tuple[Writer, Entry | None] | None = None
        self._count = 0

    @property
    def read(self) -> Count:
        """The tokens of the context; the next response finds them in the cache."""
        return self._read

    def opening(self) -> list[ServerEvent]:
        """Give the events that come before anything is generated."""
        limits = _limits(self._read.total + RESERVED_TOKENS)
        return [ResponseCreated(response=self._response("in_progress")), RateLimitsUpdated(rate_limits=limits)]

    def steps(self, plan: Plan) -> Iterator[Step]:
        """Give the response piece by piece, to its `response.done`."""
        for part in plan:
            if isinstance(part, Fail):
                yield Step(self.fail(type=part.type, code=part.code, message=part.message))
                return
            yield from self._write(part)
            if self.is_over:
                return
        yield Step(self._end("completed"))

    def cancel(self, reason: str) -> list[ServerEvent]:
        """Cut the response; `reason` is `turn_detected` or `client_cancelled`."""
        return self._end("cancelled", reason=reason)

    def fail(self, *, type: str, code: str, message: str) -> list[ServerEvent]:
        """End the response as failed."""
        return self._end("failed", error=FailureDetails(type=type, code=code, message=message))

    def _write(self, part: Say | Call) -> Iterator[Step]:
        writer = self._writer(part)
        yield Step(self._begin(writer))
        for step in writer.pieces(self._written):
            yield step
            if self._is_too_long():
                yield Step(self._end("incomplete", reason="max_output_tokens"))
                return
        yield Step(self._finish("completed"))

    def _writer(self, part: Say | Call) -> Writer:
        stage, pace = self._stage, self._stage.organs.pace
        if isinstance(part, Call) and (tool := stage.hosted.find(part.name, self.settings.tools)) is not None:
            return self._hosted_writer(tool, part.arguments)
        place = self._place("item")
        if isinstance(part, Call):
            return CallWriter(place, name=part.name, arguments=part.arguments, call_id=stage.ids("call"), pace=pace)
        if not self.settings.is_spoken:
            return TextWriter(place, part.text, pace=pace)
        audio_format = wire_format(self.settings.audio.format)
        return SpeechWriter(place, part.text, voice=stage.organs.voice, audio_format=audio_format, pace=pace)

    def _hosted_writer(self, tool: HostedTool, arguments: str) -> Writer:
        if not tool.needs_approval:
            return McpCallWriter(self._place("mcp"), tool, arguments, pace=self._stage.organs.pace)
        place = self._place("mcpr")
        self._stage.hosted.ask(place.item_id, tool, arguments)
        return ApprovalWriter(place, tool, arguments, pace=self._stage.organs.pace)

    def _place(self, prefix: str) -> Place:
        place = Place(self.id, self._stage.ids(prefix), self._count)
        self._count += 1
        return place

    def _begin(self, writer: Writer) -> list[ServerEvent]:
        item, index = writer.item("in_progress"), writer.place.output_index
        events: list[ServerEvent] = [ResponseOutputItemAdded(response_id=self.id, output_index=index, item=item)]
        entry = None
        if self.settings.in_band:
            entry, previous = self._stage.conversation.add(item)
            entry.is_final = False
            entry.audio, entry.audio_format = writer.audio, writer.audio_format
            events.append(ConversationItemAdded(previous_item_id=previous, item=item))
        self._open = writer, entry
        return [*events, *writer.begin()]

    def _finish(self, status: str) -> list[ServerEvent]:
        if self._open is None:
            return []
        (writer, entry), self._open = self._open, None
        events = writer.finish()
        item, index = writer.item(status), writer.place.output_index
        self._output.append(item)
        self.spoken_ms += writer.audio_format.duration_ms(len(writer.audio))
        events.append(ResponseOutputItemDone(response_id=self.id, output_index=index, item=item))
        if entry is not None and self._stage.conversation.find(entry.id) is entry:
            events.append(self._settle(entry, writer, item))
        return events

    def _settle(self, entry: Entry, writer: Writer, item: Item) -> ServerEvent:
        conversation = self._stage.conversation
        entry.item, entry.is_final, entry.audio = item, True, b""
        if writer.audio:
            conversation.set_audio(entry, bytes(writer.audio), writer.audio_format)
        if entry.cut_ms is not None:
            conversation.cut(entry, entry.cut_ms)
        return ConversationItemDone(previous_item_id=conversation.previous_id(entry.id), item=item)

    def _end(self, status: str, *, reason: str | None = None, error: FailureDetails | None = None) -> list[ServerEvent]:
        events = self._finish("incomplete")
        self.is_over = True
        details = None
        if status != "completed":
            details = StatusDetails(type=status, reason=reason) if reason else StatusDetails(type=status, error=error)
        spent = usage(self._read, self._cached, self._written)
        return [*events, ResponseDone(response=self._response(status, details, spent))]

    def _is_too_long(self) -> bool:
        limit = self.settings.max_output_tokens
        return isinstance(limit, int) and self._written.total >= limit

    def _response(self, status: str, details: StatusDetails | None = None, spent: Usage | None = None) -> Response:
        settings = self.settings
        audio = AudioConfig(output=AudioOutput(format=settings.audio.format, voice=settings.audio.voice))
        return Response(
            id=self.id,
            object="realtime.response",
            status=status,
            status_details=details,
            output=list(self._output),
            conversation_id=self._stage.conversation_id if settings.in_band else None,
            output_modalities=settings.output_modalities,
            audio=audio,
            max_output_tokens=settings.max_output_tokens,
            metadata=settings.metadata,
            usage=spent,
        )


def _limits(reserved: int) -> list[RateLimit]:
    left = max(TOKENS_PER_MINUTE - reserved, 0)
    reset_s = round((TOKENS_PER_MINUTE - left) * 60 / TOKENS_PER_MINUTE, 3)
    requests = REQUESTS_PER_MINUTE - 1
    return [
        RateLimit(name="requests", limit=REQUESTS_PER_MINUTE, remaining=requests, reset_seconds=0.012),
        RateLimit(name="tokens", limit=TOKENS_PER_MINUTE, remaining=left, reset_seconds=reset_s),
    ]
