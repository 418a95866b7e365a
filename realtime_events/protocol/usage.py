"""Usage: adding up what responses cost.

Pure arithmetic over the wire's `Usage`: a count that no side has stays absent, and cached tokens stay a subset of the
input tokens, never an addition. Before it: `response.done`; after it: turns and sessions.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from ..events.base import UNSET
from ..events.response import Usage

S = TypeVar("S", bound=msgspec.Struct)


def add_usage(first: Usage, second: Usage) -> Usage:
    """Give the sum of two usages, field by field and modality by modality."""
    return _add(first, second)


def _add(first: S, second: S) -> S:
    total: dict[str, Any] = {}
    for name in first.__struct_fields__:
        a, b = getattr(first, name), getattr(second, name)
        if isinstance(a, msgspec.Struct) and isinstance(b, msgspec.Struct):
            total[name] = _add(a, b)
        elif isinstance(a, int) and isinstance(b, int):
            total[name] = a + b
        else:
            total[name] = a if a not in (None, UNSET) else b
    return type(first)(**total)
