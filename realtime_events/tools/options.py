"""How a tool is run: its policy, one field for each question that a call raises.

Owns the options with their defaults and bounds. Knows no registry and no task. Before it: whoever registers a tool;
after it: `registry`, which keeps them with the tool, and `runner`, which obeys them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from ..exceptions import ConfigurationError
from ..protocol.batches import WhenDone
from .output import MAX_OUTPUT_BYTES

__all__ = ["Approval", "Kind", "ToolOptions", "ToolSettings", "read_options"]

Kind = Literal["read", "write", "destructive"]
Approval = Literal["never", "always"] | Callable[..., Any]

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class ToolOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a tool is run.

    Attributes:
        timeout_s: After it the model is told that there is no result. It bounds the whole call from its approval on:
            waiting for its turn and retries included.
        retries: How often the function is called again after an unexpected exception (never after a `ToolError`).
        retry_delay_s: How long the first retry waits; each further one waits twice as long, 5 s at the most.
        max_concurrency: How many calls of it run at once in a session; more wait. None: as many as there are.
        max_attempts: After so many failed calls in one turn, further ones are answered unrun.
        on_interrupt: What a barge-in does to a running call.
        on_duplicate: What becomes of a call with the same arguments as one that runs: it runs too, it joins the other
            and gets its result, or it is refused.
        when_done: What becomes of a result that arrives while somebody speaks: the model speaks of it when it is idle,
            interrupts at once, or keeps silent about it.
        respond: Whether the model is asked to go on once the output is there.
        approval: Whether a call waits for `session.approve(call_id)`, or a function that decides: it takes the
            `ToolCall` (and the session, if it takes two arguments) and gives True, False, the reason of a refusal as
            text, or None to wait for `session.approve`.
        approval_timeout_s: After it an unanswered request counts as denied.
        kind: What the tool does to the world. Retries of one that does more than read need a `ToolCall` parameter,
            whose `call_id` tells the world that it is the same call.
        expose_errors: Whether the text of an unexpected exception is told to the model.
        max_output_bytes: How much of a result the model is given, in bytes of UTF-8; a longer one is cut, and marked.
        available_when: Takes the session and says whether the tool is offered in it now.
    """

    timeout_s: _Seconds = 30.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    retry_delay_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.2
    max_concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] = 3
    on_interrupt: Literal["finish", "cancel"] = "finish"
    on_duplicate: Literal["run", "join", "refuse"] = "run"
    when_done: WhenDone = "idle"
    respond: bool = True
    approval: Any = "never"
    approval_timeout_s: _Seconds = 60.0
    kind: Kind = "read"
    expose_errors: bool = False
    max_output_bytes: Annotated[int, msgspec.Meta(ge=256, le=16 * 1024 * 1024)] = MAX_OUTPUT_BYTES
    available_when: Any = None


class ToolSettings(TypedDict, total=False):
    """The options of `tool(...)` by name; each is a field of `ToolOptions`."""

    timeout_s: float
    retries: int
    retry_delay_s: float
    max_concurrency: int | None
    max_attempts: int
    on_interrupt: Literal["finish", "cancel"]
    on_duplicate: Literal["run", "join", "refuse"]
    when_done: WhenDone
    respond: bool
    approval: Approval
    approval_timeout_s: float
    kind: Kind
    expose_errors: bool
    max_output_bytes: int
    available_when: Callable[[Any], object] | None


def read_options(settings: ToolSettings) -> ToolOptions:
    """Check the options of a tool.

    Raises:
        ConfigurationError: one is unknown or out of range.
    """
    try:
        options = msgspec.convert(settings, ToolOptions)
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(error)) from None
    if options.approval not in ("never", "always") and not callable(options.approval):
        raise ConfigurationError(f"approval={options.approval!r} is neither 'never' nor 'always' nor a function")
    if options.available_when is not None and not callable(options.available_when):
        raise ConfigurationError(f"available_when={options.available_when!r} is no function")
    return options
