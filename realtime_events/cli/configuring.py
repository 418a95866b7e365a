"""A session's configuration from a file, for the commands that send one.

Owns the reading of the file. Before it: `secret` and `calls`; after it: `realtime_events.rest`, which checks
the fields.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ..app import DEFAULT_MODEL
from ..exceptions import ConfigurationError


def session_from(path: Path | None, *, model: str | None = None, instructions: str | None = None) -> dict[str, Any]:
    """Give the configuration of a file, with what the command line says on top; a realtime session without a file.

    Raises:
        ConfigurationError: The file cannot be read, or is no JSON object.
    """
    config = {} if path is None else _read(path)
    said = {"model": model, "instructions": instructions}
    config |= {name: value for name, value in said.items() if value is not None}
    if config.setdefault("type", "realtime") == "realtime":
        config.setdefault("model", DEFAULT_MODEL)
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {(error.strerror or 'no reason given').lower()}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigurationError(f'{path} is no JSON object; it should look like {{"type": "realtime"}}')
    return cast("dict[str, Any]", config)
