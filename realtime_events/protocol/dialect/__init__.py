"""The dialect: the only room that knows two spellings of the protocol.

Owns the names and fields that GA and beta call differently, and the way from one to the other. Everywhere else an
event is the GA one. Before it: the codec; after it: State. Azure's preview endpoints speak beta.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Literal, TypeAlias

from ...events.base import Event
from .config import check_config, response_params, session_config
from .names import canonical, matching, nearest, spellings

Dialect: TypeAlias = Literal["ga", "beta"]
"""A spelling of the protocol."""


def to_ga(event: Event) -> Event:
    """Give the GA event of an event of either dialect and either side.

    An event that is the same in both is given back as it is. `conversation.item.created` becomes
    `conversation.item.added`; what GA has no word for, such as `temperature`, is left out.
    """
    converted: Event = _conversion().to_ga(event)
    return converted


def to_beta(event: Event) -> Event | None:
    """Give the beta event of an event of either dialect and either side; None where beta has no word for it.

    That is so for `conversation.item.done`. Fields that beta has no word for are left out; `check_config` finds
    them in a configuration.
    """
    converted: Event | None = _conversion().to_beta(event)
    return converted


@cache
def _conversion() -> ModuleType:
    # The beta classes are loaded by the first session that needs them.
    from . import conversion

    return conversion


__all__ = [
    "Dialect",
    "canonical",
    "check_config",
    "matching",
    "nearest",
    "response_params",
    "session_config",
    "spellings",
    "to_beta",
    "to_ga",
]
