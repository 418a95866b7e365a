"""JSON values of anyone's making, taken with tongs.

Owns the narrowing of a value of any type: what is not an object or a list is an empty one. After it: whoever reads a
tool's schema, its output or a `tool_choice`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["list_in", "mapping_in"]


def mapping_in(value: Any) -> Mapping[str, Any]:
    """Gives the value if it is an object, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def list_in(value: Any) -> Sequence[Any]:
    """Gives the value if it is a list, else an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()
