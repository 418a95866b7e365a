"""What a client may ask for.

Owns the ranges, the closed sets and the fields that cannot change, each with the refusal that the API gives. Knows
no connection and changes nothing. Before it: the codec; after it: `config.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..events.base import UNSET
from ..events.items import Item, McpError
from ..events.response import ResponseCreateParams
from ..events.session import Prompt, PromptVariable, SessionConfig, Tool, ToolChoice
from .config import output_of
from .errors import Refusal, invalid_value, missing, not_matching, out_of_range, too_long, unknown

Check = Callable[[str, Any], None]

LONGEST_ID = 32
MOST_METADATA, LONGEST_METADATA_KEY, LONGEST_METADATA_VALUE = 16, 64, 512
MOST_OUTPUT_TOKENS = 128_000
MODALITIES = (["audio"], ["text"])
ROLES_AND_PARTS = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text", "output_audio"),
}
CONNECTORS = (
    "connector_dropbox",
    "connector_gmail",
    "connector_googlecalendar",
    "connector_googledrive",
    "connector_microsoftteams",
    "connector_outlookcalendar",
    "connector_outlookemail",
    "connector_sharepoint",
)
ITEM_TYPES = (
    "message",
    "function_call",
    "function_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_list_tools",
    "mcp_call",
)
_CALL_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


def is_given(value: object) -> bool:
    """Tell whether a field has a value, be it an empty one."""
    return value is not UNSET and value is not None


def one_of(*words: str) -> Check:
    """Make a check for a closed set."""

    def check(path: str, value: Any) -> None:
        if not is_given(value):
            raise missing(path)
        if value not in words:
            raise invalid_value(path, value, words)

    return check


def between(low: float, high: float) -> Check:
    """Make a check for a range, ends included."""

    def check(path: str, value: Any) -> None:
        if not low <= value <= high:
            raise out_of_range(path, value, low, high)

    return check


def _modalities(path: str, value: Any) -> None:
    if value not in MODALITIES:
        text = f"Invalid modalities: {value}. Supported combinations are: ['text'] and ['audio']."
        raise Refusal(text, code="invalid_value", param=path)


def _max_tokens(path: str, value: Any) -> None:
    if isinstance(value, int):
        between(1, MOST_OUTPUT_TOKENS)(path, value)
    elif value != "inf":
        raise invalid_value(path, value, ("inf",))


def _tool_choice(path: str, value: Any) -> None:
    if isinstance(value, str):
        one_of("none", "auto", "required")(path, value)
    elif value.type not in ("function", "mcp"):
        raise invalid_value(f"{path}.type", value.type or "", ("function", "mcp"))
    elif value.type == "function" and not value.name:
        raise missing(f"{path}.name")
    elif value.type == "mcp" and not value.server_label:
        raise missing(f"{path}.server_label")


def _tools(path: str, tools: list[Tool]) -> None:
    for index, tool in enumerate(tools):
        (_mcp_tool if tool.type == "mcp" else _function_tool)(f"{path}[{index}]", tool)


def _function_tool(path: str, tool: Tool) -> None:
    if is_given(tool.type):
        one_of("function", "mcp")(f"{path}.type", tool.type)
    if not tool.name:
        raise missing(f"{path}.name")
    if not _NAME.match(tool.name):
        text = (
            f"Invalid '{path}.name': string does not match pattern. Expected a string that matches '{_NAME.pattern}'."
        )
        raise Refusal(text, code="invalid_value", param=f"{path}.name")


def _mcp_tool(path: str, tool: Tool) -> None:
    if not tool.server_label:
        raise missing(f"{path}.server_label")
    if not (tool.server_url or tool.connector_id or tool.tunnel_id):
        raise missing(f"{path}.server_url")
    if is_given(tool.connector_id):
        one_of(*CONNECTORS)(f"{path}.connector_id", tool.connector_id)
    if isinstance(tool.require_approval, str):
        one_of("always", "never")(f"{path}.require_approval", tool.require_approval)
    for index, caller in enumerate(tool.allowed_callers or ()):
        one_of("direct", "programmatic")(f"{path}.allowed_callers[{index}]", caller)


def _truncation(path: str, value: Any) -> None:
    if isinstance(value, str):
        one_of("auto", "disabled")(path, value)
    elif value.type != "retention_ratio":
        raise invalid_value(f"{path}.type", value.type or "", ("retention_ratio",))
    elif not value.retention_ratio:
        raise missing(f"{path}.retention_ratio")
    else:
        between(0, 1)(f"{path}.retention_ratio", value.retention_ratio)


def _prompt(path: str, value: Prompt) -> None:
    if not value.id:
        raise missing(f"{path}.id")
    for name, variable in (value.variables or {}).items():
        if not isinstance(variable, str):
            _variable(f"{path}.variables.{name}", variable)


def _variable(path: str, value: PromptVariable) -> None:
    one_of("input_text", "input_image", "input_file")(f"{path}.type", value.type)
    if value.type == "input_text" and not is_given(value.text):
        raise missing(f"{path}.text")
    if value.type == "input_image" or is_given(value.detail):
        words = ("auto", "low", "high", "original") if value.type == "input_image" else ("auto", "low", "high")
        one_of(*words)(f"{path}.detail", value.detail)
    if value.prompt_cache_breakpoint:
        one_of("explicit")(f"{path}.prompt_cache_breakpoint.mode", value.prompt_cache_breakpoint.mode)
        if is_given(value.prompt_cache_breakpoint.ttl):
            one_of("30m", "12h")(f"{path}.prompt_cache_breakpoint.ttl", value.prompt_cache_breakpoint.ttl)


def _tracing(path: str, value: Any) -> None:
    if isinstance(value, str):
        one_of("auto")(path, value)


def _includes(path: str, value: list[str]) -> None:
    for index, word in enumerate(value):
        one_of("item.input_audio_transcription.logprobs")(f"{path}[{index}]", word)


def _metadata(path: str, value: Mapping[str, str]) -> None:
    if len(value) > MOST_METADATA:
        raise Refusal(
            f"Invalid '{path}': too many properties. Expected an object with at most {MOST_METADATA} properties, "
            f"but got an object with {len(value)} properties instead.",
            code="object_above_max_properties",
            param=path,
        )
    for key, text in value.items():
        if len(key) > LONGEST_METADATA_KEY:
            raise too_long(path, len(key), LONGEST_METADATA_KEY)
        if len(text) > LONGEST_METADATA_VALUE:
            raise too_long(f"{path}.{key}", len(text), LONGEST_METADATA_VALUE)


_FORMAT: dict[str, Check] = {
    "format.type": one_of("audio/pcm", "audio/pcmu", "audio/pcma"),
    "format.rate": between(24_000, 24_000),
}
_INPUT: dict[str, Check] = {
    **_FORMAT,
    "noise_reduction.type": one_of("near_field", "far_field"),
    "transcription.delay": one_of("minimal", "low", "medium", "high", "xhigh"),
    "turn_detection.type": one_of("server_vad", "semantic_vad"),
    "turn_detection.threshold": between(0.0, 1.0),
    "turn_detection.prefix_padding_ms": between(0, 60_000),
    "turn_detection.silence_duration_ms": between(0, 60_000),
    "turn_detection.idle_timeout_ms": between(1, 3_600_000),
    "turn_detection.eagerness": one_of("low", "medium", "high", "auto"),
}
_OUTPUT: dict[str, Check] = {**_FORMAT, "speed": between(0.25, 1.5)}
_SHARED: dict[str, Check] = {
    "output_modalities": _modalities,
    "max_output_tokens": _max_tokens,
    "tool_choice": _tool_choice,
    "tools": _tools,
    "prompt": _prompt,
    "reasoning.effort": one_of("minimal", "low", "medium", "high", "xhigh"),
    **{f"audio.output.{path}": check for path, check in _OUTPUT.items()},
}
SESSION_CHECKS: dict[str, Check] = {
    **_SHARED,
    "truncation": _truncation,
    "tracing": _tracing,
    "include": _includes,
    **{f"audio.input.{path}": check for path, check in _INPUT.items()},
}
RESPONSE_CHECKS: dict[str, Check] = {**_SHARED, "metadata": _metadata}
READ_ONLY = ("id", "object", "expires_at")
TRANSCRIPTION_FIELDS = ("type", "audio", "include")


def check_session(change: SessionConfig, current: SessionConfig, *, has_spoken: bool) -> None:
    """Refuse an update that the session does not allow."""
    if not change.type:
        raise missing("session.type")
    one_of("realtime", "transcription")("session.type", change.type)
    if change.type != current.type:
        text = f"Passing a {change.type} session update event to a {current.type} session is not allowed."
        raise Refusal(text, code="invalid_parameter", param="session.type")
    check_config(change)
    _check_immutable(change, current, has_spoken=has_spoken)


def check_beta_transcription(change: SessionConfig) -> None:
    """Refuse a model that transcription sessions of the beta do not have; their list is closed."""
    heard = change.audio.input if change.audio else None
    if heard and heard.transcription and is_given(heard.transcription.model):
        models = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1")
        one_of(*models)("session.audio.input.transcription.model", heard.transcription.model)


def check_config(config: SessionConfig) -> None:
    """Refuse a configuration with a value that no session can have."""
    for name in READ_ONLY:
        if getattr(config, name) is not UNSET:
            raise unknown(f"session.{name}")
    if config.type == "transcription":
        _check_transcription(config)
    _run("session", config, SESSION_CHECKS)


def check_response(params: ResponseCreateParams, *, tools: list[Tool]) -> None:
    """Refuse a response that cannot be; `tools` are those of the session, which count where it names none."""
    _run("response", params, RESPONSE_CHECKS)
    if is_given(params.conversation):
        one_of("auto", "none")("response.conversation", params.conversation)
    choice = params.tool_choice
    offered = tools if params.tools is UNSET or params.tools is None else params.tools
    if (
        isinstance(choice, ToolChoice)
        and choice.type == "function"
        and choice.name not in {tool.name for tool in offered}
    ):
        text = f"Tool choice '{choice.name}' not found in 'tools' parameter."
        raise Refusal(text, code="invalid_value", param="response.tool_choice")
    for index, item in enumerate(params.input or ()):
        if item.type != "item_reference":
            check_item(item, f"response.input[{index}]")
        elif not item.id:
            raise missing(f"response.input[{index}].id")


def check_item(item: Item, path: str = "item") -> None:
    """Refuse an item that a client cannot make."""
    if not item.type:
        raise missing(f"{path}.type")
    one_of(*ITEM_TYPES)(f"{path}.type", item.type)
    if item.id and len(item.id) > LONGEST_ID:
        raise too_long(f"{path}.id", len(item.id), LONGEST_ID)
    for name in _needed(item):
        if not is_given(getattr(item, name)):
            raise missing(f"{path}.{name}")
    if item.error:
        _check_mcp_error(f"{path}.error", item.error)
    if item.type == "message":
        _check_message(item, path)
    elif item.call_id and not _CALL_ID.match(item.call_id):
        raise not_matching(f"{path}.call_id", _CALL_ID.pattern)


def _check_mcp_error(path: str, error: McpError) -> None:
    one_of("protocol_error", "http_error", "tool_execution_error")(f"{path}.type", error.type)
    for name in ("message",) if error.type == "tool_execution_error" else ("code", "message"):
        if not is_given(getattr(error, name)):
            raise missing(f"{path}.{name}")


def _needed(item: Item) -> tuple[str, ...]:
    return {
        "message": ("role", "content"),
        "function_call": ("name", "arguments"),
        "function_call_output": ("call_id", "output"),
        "mcp_approval_request": ("server_label", "name", "arguments"),
        "mcp_approval_response": ("approval_request_id", "approve"),
        "mcp_list_tools": ("server_label", "tools"),
        "mcp_call": ("server_label", "name", "arguments"),
    }[str(item.type)]


def _check_message(item: Item, path: str) -> None:
    one_of(*ROLES_AND_PARTS)(f"{path}.role", item.role)
    allowed = ROLES_AND_PARTS[str(item.role)]
    for index, part in enumerate(item.content or ()):
        here = f"{path}.content[{index}]"
        kind = part.type or allowed[0]
        one_of(*allowed)(f"{here}.type", kind)
        if kind == "output_audio":
            raise Refusal("Assistant audio messages cannot be created.", code="unsupported_content_type", param=here)
        if is_given(part.detail):
            one_of("auto", "low", "high")(f"{here}.detail", part.detail)
        needed = {"input_audio": "audio", "input_image": "image_url"}.get(kind, "text")
        if not is_given(getattr(part, needed)):
            raise missing(f"{here}.{needed}")


def _check_transcription(config: SessionConfig) -> None:
    for name in config.__struct_fields__:
        if name not in TRANSCRIPTION_FIELDS and getattr(config, name) is not UNSET:
            raise unknown(f"session.{name}")
    if config.audio and config.audio.output:
        raise unknown("session.audio.output")


def _check_immutable(change: SessionConfig, current: SessionConfig, *, has_spoken: bool) -> None:
    if is_given(change.model) and change.model != current.model:
        text = f"Cannot update a session's model: it is '{current.model}'."
        raise Refusal(text, code="cannot_update_model", param="session.model")
    voice = change.audio.output.voice if change.audio and change.audio.output else None
    if has_spoken and voice and voice != output_of(current).voice:
        text = "Cannot update a conversation's voice if assistant audio is present."
        raise Refusal(text, code="cannot_update_voice", param="session.audio.output.voice")
    if current.tracing and change.tracing is not UNSET and change.tracing != current.tracing:
        text = "Cannot update a session's tracing once it is enabled."
        raise Refusal(text, code="cannot_update_tracing", param="session.tracing")


def _run(root: str, value: Any, checks: Mapping[str, Check]) -> None:
    for path, check in checks.items():
        found = _at(value, path)
        if is_given(found):
            check(f"{root}.{path}", found)


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = getattr(value, name, UNSET)
        if value is UNSET or value is None:
            return UNSET
    return value
