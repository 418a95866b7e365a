"""The responses of one session: which run, who may start one, and what stops them.

Owns the rule of one response at a time in the conversation, the out-of-band ones beside it, and their pacing. Knows
no client event. Before it: `session.py` and `listening.py`, which ask for responses and interrupt them; after it:
`generation.py`, one for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ..events.base import ServerEvent
from ..events.items import Item
from ..events.response import ResponseCreateParams
from ..events.server import ResponseOutputAudioDelta
from ..logs import logger
from .config import ResponseSettings, input_of, output_of, settings_for, wire_format
from .conversation import Entry, sent_audio, understood
from .errors import SERVER_FAILED, Refusal
from .generation import Generation
from .hosted import as_function_calls
from .plans import Plan, Request
from .stage import Stage
from .tokens import Count, context_tokens
from .writing import Step

log = logger("simulator")

MOST_AT_ONCE = 64
OUTBOX_LIMIT = 256


class Answering:
    """Starts responses, lets them run on the timeline, and cuts them.

    `hear` finds the words of audio that a response brings with it.
    """

    def __init__(self, stage: Stage, *, hear: Callable[[Entry, float], None]) -> None:
        self._stage = stage
        self._hear = hear
        self.on_over: Callable[[Generation, float], None] = lambda generation, now: None
        self._running: dict[str, Generation] = {}
        self._active: Generation | None = None
        self._waiting: list[Callable[[float], None]] = []
        self._wants_answer = False
        self._cached = Count()

    @property
    def active(self) -> Generation | None:
        """The response that runs in the conversation."""
        return self._active

    def create(self, params: ResponseCreateParams, now: float) -> None:
        """Start a response that the client asked for.

        Raises:
            Refusal: One is active already, too many run, or the input names an item that is not there.
        """
        settings = settings_for(self._stage.config, params)
        if settings.in_band and self._active is not None:
            raise Refusal(
                f"Conversation already has an active response in progress: {self._active.id}. Wait until the response "
                "is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        if len(self._running) >= MOST_AT_ONCE:
            raise Refusal("Too many responses in progress.", code="rate_limit_exceeded", type="rate_limit_error")
        self._begin(settings, self._context(params, now), now)

    def answer_turn(self, now: float) -> None:
        """Answer the user's turn by itself: now, or when the response that runs has ended."""
        if self._active is not None:
            self._wants_answer = True
        else:
            self.create(ResponseCreateParams(), now)

    def cancel(self, response_id: str | None, now: float) -> None:
        """Cancel a response for the client.

        Raises:
            Refusal: It does not run.
        """
        generation = self._running.get(response_id) if response_id else self._active
        if generation is None:
            raise Refusal("Cancellation failed: no active response found", code="response_cancel_not_active")
        self._send(generation.cancel("client_cancelled"), now)
        self._over(generation, now)

    def interrupt(self, now: float) -> None:
        """Cut the response of the conversation, because the user speaks."""
        self._wants_answer = False
        if self._stage.playback is not None:
            self._stage.playback.clear()
        if self._active is not None:
            generation = self._active
            self._send(generation.cancel("turn_detected"), now)
            self._over(generation, now)

    def heard(self, now: float) -> None:
        """Go on with what waited for the user's words."""
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on(now)

    def _begin(self, settings: ResponseSettings, context: list[Entry], now: float) -> None:
        prompt = settings.instructions + msgspec.json.encode(settings.tools).decode()
        cached = self._cached if settings.in_band else Count()
        generation = Generation(self._stage, settings, read=context_tokens(context, prompt=prompt), cached=cached)
        self._running[generation.id] = generation
        if settings.in_band:
            self._active = generation
            self._cached = generation.read
        self._send(generation.opening(), now)
        if any(entry.heard is None for entry in context):
            self._waiting.append(lambda later: self._think(generation, context, later))
        else:
            self._think(generation, context, now)

    def _think(self, generation: Generation, context: Sequence[Entry], now: float) -> None:
        request = self._request(generation.settings, list(as_function_calls(map(understood, context))))
        brain = self._stage.organs.brain
        self._stage.work(
            brain, lambda: brain.plan(request), lambda plan, later: self._run(generation, plan, later), now
        )

    def _request(self, settings: ResponseSettings, items: list[Item]) -> Request:
        return Request(
            conversation=items,
            tools=self._stage.hosted.functions(settings.tools),
            tool_choice=settings.tool_choice,
            instructions=settings.instructions,
            output_modalities=settings.output_modalities,
            metadata=settings.metadata,
        )

    def _run(self, generation: Generation, plan: Plan | Exception, now: float) -> None:
        if generation.is_over:
            return
        if isinstance(plan, Exception):
            self._break(generation, plan, now)
        else:
            generation.began_at = now
            self._pump(generation, generation.steps(plan), now)

    def _pump(self, generation: Generation, steps: Iterator[Step], now: float) -> None:
        if generation.is_over:
            return
        stage, voice = self._stage, self._stage.organs.voice
        while True:
            try:
                step = next(steps)
            except Exception as broken:  # noqa: BLE001 - foreign code may raise anything
                self._break(generation, broken, now)
                return
            self._send(step.events, now)
            if generation.is_over:
                self._over(generation, now)
                return
            if step.job is not None and stage.works_elsewhere(voice):
                stage.work(voice, step.job, lambda _, later: self._pump(generation, steps, later), now)
                return
            if step.job is not None:
                step.job()
            if step.wait_s or len(stage.outbox) >= OUTBOX_LIMIT:
                stage.timeline.at(now + step.wait_s, lambda due: self._pump(generation, steps, due))
                return

    def _break(self, generation: Generation, broken: Exception, now: float) -> None:
        if isinstance(broken, Refusal):
            events = generation.fail(type=broken.type, code=broken.code or "server_error", message=broken.message)
        else:
            log.error("a brain or a voice failed", exc_info=broken)
            events = generation.fail(type="server_error", code="server_error", message=SERVER_FAILED)
        self._send(events, now)
        self._over(generation, now)

    def _over(self, generation: Generation, now: float) -> None:
        self._running.pop(generation.id, None)
        if generation is self._active:
            self._active = None
        self.on_over(generation, now)
        if self._active is None and self._wants_answer:
            self._wants_answer = False
            self.create(ResponseCreateParams(), now)

    def _send(self, events: Sequence[ServerEvent], now: float) -> None:
        for event in events:
            if type(event) is ResponseOutputAudioDelta:
                self._stage.has_spoken = True
            if self._stage.playback is not None:
                self._stage.playback.send(event, wire_format(output_of(self._stage.config).format), now)
            else:
                self._stage.send(event)

    def _context(self, params: ResponseCreateParams, now: float) -> list[Entry]:
        if not isinstance(params.input, list):
            return list(self._stage.conversation)
        return [self._entry(item, index, now) for index, item in enumerate(params.input)]

    def _entry(self, item: Item, index: int, now: float) -> Entry:
        if item.type != "item_reference":
            return self._inline(item, now)
        entry = self._stage.conversation.find(str(item.id))
        if entry is None:
            text = f"Item with id '{item.id}' not found."
            raise Refusal(text, code="item_not_found", param=f"response.input[{index}].id")
        return entry

    def _inline(self, item: Item, now: float) -> Entry:
        entry = Entry(item)
        if audio := sent_audio(item):
            entry.audio, entry.audio_format = audio, wire_format(input_of(self._stage.config).format)
            self._hear(entry, now)
        return entry
