"""What a docstring tells the model: what the tool does, and what each parameter means.

Owns the reading of Google, NumPy and Sphinx docstrings. Knows no types. The parser (20 ms to import) is loaded with
the first docstring.
"""

from __future__ import annotations

import inspect
from typing import NamedTuple

__all__ = ["Docstring", "read_docstring"]


class Docstring(NamedTuple):
    """`text` is the summary and the description below it, `parameters` the text of each parameter by name."""

    text: str
    parameters: dict[str, str]


def read_docstring(source: str | None) -> Docstring:
    """Split a docstring into its description and its parameters; sections such as Returns and Raises are left out."""
    if not source or not source.strip():
        return Docstring("", {})
    from docstring_parser import parse

    cleaned = inspect.cleandoc(source)
    try:
        parsed = parse(cleaned)
    except Exception:  # noqa: BLE001  prose may look like fields; its parser then fails in more ways than it says
        return Docstring(cleaned, {})
    parts = [part for part in (parsed.short_description, parsed.long_description) if part]
    described = {p.arg_name: _joined(p.description) for p in parsed.params if p.description}
    return Docstring("\n\n".join(parts), described)


def _joined(text: str) -> str:
    """Undo the line breaks of a wrapped paragraph."""
    return " ".join(text.split())
