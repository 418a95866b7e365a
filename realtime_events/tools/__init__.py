"""Tools: functions that the model can call.

From a function's signature and docstring to the JSON Schema that the model reads (`schema`), from its calls to the
function's arguments (`arguments`), and from what it returns to one answer per call (`runner`).
"""

from __future__ import annotations

from .calling import Progress, Say
from .methods import tool
from .offer import Offer, ToolUsage
from .options import ToolOptions, ToolSettings
from .output import Outcome
from .registry import Tool, ToolRegistry
from .runner import ToolRunner
from .threads import ThreadPool

__all__ = [
    "Offer",
    "Outcome",
    "Progress",
    "Say",
    "ThreadPool",
    "Tool",
    "ToolOptions",
    "ToolRegistry",
    "ToolRunner",
    "ToolSettings",
    "ToolUsage",
    "tool",
]
