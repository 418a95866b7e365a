"""The words the API puts into its string fields.

Owns every enumeration, each of them open: a type checker and an editor offer the known words, and any other string
is allowed, because servers learn new words before this package does. At runtime each of them is plain `str`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    _Words = TypeVar("_Words")
    Open: TypeAlias = _Words | str
else:

    class Open:
        """`Open[Literal["a", "b"]]` is `Literal["a", "b"] | str` for a type checker and `str` at runtime."""

        def __class_getitem__(cls, words: Any) -> type[str]:
            return str


AllowedCaller: TypeAlias = Open[Literal["direct", "programmatic"]]
AudioFormatType: TypeAlias = Open[Literal["audio/pcm", "audio/pcmu", "audio/pcma"]]
BetaAudioFormat: TypeAlias = Open[Literal["pcm16", "g711_ulaw", "g711_alaw"]]
ConnectorId: TypeAlias = Open[
    Literal[
        "connector_dropbox",
        "connector_gmail",
        "connector_googlecalendar",
        "connector_googledrive",
        "connector_microsoftteams",
        "connector_outlookcalendar",
        "connector_outlookemail",
        "connector_sharepoint",
    ]
]
ConversationChoice: TypeAlias = Open[Literal["auto", "none"]]
Delay: TypeAlias = Open[Literal["minimal", "low", "medium", "high", "xhigh"]]
Detail: TypeAlias = Open[Literal["auto", "low", "high", "original"]]
Eagerness: TypeAlias = Open[Literal["low", "medium", "high", "auto"]]
Effort: TypeAlias = Open[Literal["minimal", "low", "medium", "high", "xhigh"]]
Include: TypeAlias = Open[Literal["item.input_audio_transcription.logprobs"]]
ItemStatus: TypeAlias = Open[Literal["completed", "incomplete", "in_progress"]]
ItemType: TypeAlias = Open[
    Literal[
        "message",
        "function_call",
        "function_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_list_tools",
        "mcp_call",
        "item_reference",
    ]
]
McpErrorType: TypeAlias = Open[Literal["protocol_error", "http_error", "tool_execution_error"]]
Modality: TypeAlias = Open[Literal["text", "audio"]]
Model: TypeAlias = Open[
    Literal[
        "gpt-realtime",
        "gpt-realtime-1.5",
        "gpt-realtime-2",
        "gpt-realtime-2.1",
        "gpt-realtime-2.1-mini",
        "gpt-realtime-2025-08-28",
        "gpt-4o-realtime-preview",
        "gpt-4o-realtime-preview-2024-10-01",
        "gpt-4o-realtime-preview-2024-12-17",
        "gpt-4o-realtime-preview-2025-06-03",
        "gpt-4o-mini-realtime-preview",
        "gpt-4o-mini-realtime-preview-2024-12-17",
        "gpt-realtime-mini",
        "gpt-realtime-mini-2025-10-06",
        "gpt-realtime-mini-2025-12-15",
        "gpt-audio-1.5",
        "gpt-audio-mini",
        "gpt-audio-mini-2025-10-06",
        "gpt-audio-mini-2025-12-15",
    ]
]
NoiseReductionType: TypeAlias = Open[Literal["near_field", "far_field"]]
PartType: TypeAlias = Open[
    Literal[
        "input_text", "input_audio", "input_image", "output_text", "output_audio", "text", "audio", "item_reference"
    ]
]
Phase: TypeAlias = Open[Literal["commentary", "final_answer"]]
PromptVariableType: TypeAlias = Open[Literal["input_text", "input_image", "input_file"]]
RateLimitName: TypeAlias = Open[Literal["requests", "tokens"]]
RequireApproval: TypeAlias = Open[Literal["always", "never"]]
ResponseStatus: TypeAlias = Open[Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]]
Role: TypeAlias = Open[Literal["system", "user", "assistant"]]
SessionType: TypeAlias = Open[Literal["realtime", "transcription", "translation"]]
StatusReason: TypeAlias = Open[Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]]
ToolChoiceMode: TypeAlias = Open[Literal["none", "auto", "required"]]
ToolChoiceType: TypeAlias = Open[Literal["function", "mcp"]]
ToolType: TypeAlias = Open[Literal["function", "mcp"]]
TracingMode: TypeAlias = Open[Literal["auto"]]
TranscriptionModel: TypeAlias = Open[
    Literal[
        "whisper-1",
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-4o-transcribe",
        "gpt-4o-transcribe-diarize",
        "gpt-realtime-whisper",
    ]
]
TruncationMode: TypeAlias = Open[Literal["auto", "disabled"]]
TruncationType: TypeAlias = Open[Literal["retention_ratio"]]
TurnDetectionType: TypeAlias = Open[Literal["server_vad", "semantic_vad"]]
UsageType: TypeAlias = Open[Literal["tokens", "duration"]]
Voice: TypeAlias = Open[
    Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"]
]
