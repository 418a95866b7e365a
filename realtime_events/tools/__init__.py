"""Tools: functions that the model can call.

From a function's signature and docstring to the JSON Schema that the model reads (`schema`), from its calls to the
function's arguments (`arguments`), and from what it returns to one answer per call (`runner`).
"""

from __future__ import annotations

from .registry import Tool, ToolOptions, ToolRegistry, ToolSettings
from .runner import Outcome, Progress, ToolRunner
from .threads import ThreadPool

__all__ = [
    "Outcome",
    "Progress",
    "ThreadPool",
    "Tool",
    "ToolOptions",
    "ToolRegistry",
    "ToolRunner",
    "ToolSettings",
]
