"""An event-emitter framework for OpenAI's Realtime API: decorated handlers, and tools that answer by themselves.

    import asyncio
    from realtime_events import Realtime

    rt = Realtime(instructions="You are a cheerful concierge.")

    @rt.on("response.text.delta")
    async def show(event):
        print(event.delta, end="", flush=True)

    @rt.tool
    async def get_weather(city: str) -> str:
        \"\"\"Look up the current weather.\"\"\"
        return f"18 °C and sunny in {city}"

    async def main():
        async with rt.connect() as session:
            turn = await session.ask("What should I wear in Bern today?")
            print(turn.text)

    asyncio.run(main())

This is the front door: the public names, and nothing else. The events are in `realtime_events.events`, the codec in
`realtime_events.protocol`, the offline server in `realtime_events.simulator`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .app import DEFAULT_MODEL, Connecting, Realtime
from .endpoint import Endpoint
from .events import (
    UNSET,
    AudioConfig,
    AudioFormat,
    AudioInput,
    AudioOutput,
    ContentPart,
    Event,
    InputTranscription,
    Item,
    MalformedEvent,
    SessionConfig,
    ToolCall,
    ToolResult,
    TurnDetection,
    UnknownEvent,
)
from .events.builders import assistant, hosted_mcp, image, system, text, user
from .exceptions import (
    AudioFormatError,
    AuthenticationError,
    ConfigurationError,
    ConnectionLostError,
    FrameTooLarge,
    HandshakeError,
    LocalProtocolError,
    MissingExtra,
    ProtocolError,
    RealtimeError,
    RemoteProtocolError,
    ResponseFailed,
    RestError,
    ServerError,
    SessionExpired,
    ToolArgumentsError,
    ToolError,
    ToolNotFound,
    ToolTimeout,
    TransportError,
    WebhookVerificationError,
)
from .options import Options
from .plugin import Plugin
from .protocol.batches import ToolLimits
from .protocol.captions import Caption
from .protocol.lines import Line
from .protocol.turns import Turn
from .session import Session
from .streams import Stream
from .tools.calling import Progress, Say
from .tools.methods import tool
from .transcription import Transcription
from .translation import CaptionPiece, TranslatedAudio, Translation

if TYPE_CHECKING:
    from .integrations.mcp import McpServer
    from .recorder import Recording, Tape, replay
    from .rest import RestClient
    from .simulator import Simulator
    from .switchboard import Reject
    from .webhooks import WebhookHandler, verify_webhook

__version__ = "0.1.0"

# What needs aiohttp is imported when it is first asked for: aiohttp is most of the time an import takes.
_LAZY = {
    "McpServer": "realtime_events.integrations.mcp",
    "Reject": "realtime_events.switchboard",
    "Recording": "realtime_events.recorder",
    "RestClient": "realtime_events.rest",
    "Simulator": "realtime_events.simulator",
    "Tape": "realtime_events.recorder",
    "WebhookHandler": "realtime_events.webhooks",
    "replay": "realtime_events.recorder",
    "verify_webhook": "realtime_events.webhooks",
}

__all__ = [
    "DEFAULT_MODEL",
    "UNSET",
    "AudioConfig",
    "AudioFormat",
    "AudioFormatError",
    "AudioInput",
    "AudioOutput",
    "AuthenticationError",
    "Caption",
    "CaptionPiece",
    "ConfigurationError",
    "Connecting",
    "ConnectionLostError",
    "ContentPart",
    "Endpoint",
    "Event",
    "FrameTooLarge",
    "HandshakeError",
    "InputTranscription",
    "Item",
    "Line",
    "LocalProtocolError",
    "MalformedEvent",
    "McpServer",
    "MissingExtra",
    "Options",
    "Plugin",
    "Progress",
    "ProtocolError",
    "Realtime",
    "RealtimeError",
    "Recording",
    "Reject",
    "RemoteProtocolError",
    "ResponseFailed",
    "RestClient",
    "RestError",
    "Say",
    "ServerError",
    "Session",
    "SessionConfig",
    "SessionExpired",
    "Simulator",
    "Stream",
    "Tape",
    "ToolArgumentsError",
    "ToolCall",
    "ToolError",
    "ToolLimits",
    "ToolNotFound",
    "ToolResult",
    "ToolTimeout",
    "Transcription",
    "TranslatedAudio",
    "Translation",
    "TransportError",
    "Turn",
    "TurnDetection",
    "UnknownEvent",
    "WebhookHandler",
    "WebhookVerificationError",
    "assistant",
    "hosted_mcp",
    "image",
    "replay",
    "system",
    "text",
    "tool",
    "user",
    "verify_webhook",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
