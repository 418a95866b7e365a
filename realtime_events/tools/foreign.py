"""Types that msgspec does not know by itself: pydantic models.

Owns the three hooks msgspec asks: a type's schema, how to make a value of it, how to write one as JSON.
Knows no tool. pydantic is never imported here: who has a model of it in hand has loaded it already.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

__all__ = ["decode_foreign", "encode_foreign", "foreign_schema"]


def _is_model(tp: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(tp, type) and issubclass(tp, pydantic.BaseModel)


def foreign_schema(tp: Any) -> dict[str, Any]:
    """Give the JSON Schema of a pydantic model.

    Raises:
        NotImplementedError: the type is none (what msgspec expects of a hook that passes).
    """
    if not _is_model(tp):
        raise NotImplementedError
    # Two models may each define another model of one name, so every definition carries the name of its owner.
    schema: dict[str, Any] = tp.model_json_schema(ref_template=f"#/$defs/{tp.__name__}.{{model}}")
    schema["$defs"] = {f"{tp.__name__}.{name}": one for name, one in schema.get("$defs", {}).items()}
    return schema


def decode_foreign(tp: Any, value: Any) -> Any:
    """Make a value of type `tp` from plain JSON values.

    Raises:
        ValueError: it does not fit; the text names every field at fault.
        NotImplementedError: the type is no pydantic model.
    """
    if not _is_model(tp):
        raise NotImplementedError
    try:
        return tp.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        raise ValueError(_in_one_line(error)) from None


def encode_foreign(value: Any) -> Any:
    """Give a pydantic model as plain JSON values.

    Raises:
        NotImplementedError: the value is none.
    """
    if not _is_model(type(value)):
        raise NotImplementedError
    return value.model_dump(mode="json")


def _in_one_line(error: ValueError) -> str:
    listed = getattr(error, "errors", None)
    if listed is None:
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'value'}: {one['msg']}, got {one['input']!r:.80}" for one in listed()
    )
