"""`secret`: a client secret for one browser or device.

Owns what is printed: the secret by itself on standard output, for a script to take; never the key. Before it: the
arguments; after it: `realtime_events.rest`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from ..events.rest import ClientSecret, TranslationClientSecret
from ..events.translation import TranslationSession
from ..exceptions import ConfigurationError, one_line
from ..rest import RestClient
from .configuring import session_from
from .failures import say
from .output import printable
from .simulate import simulated

if TYPE_CHECKING:
    from ..endpoint import Endpoint


def command(arguments: argparse.Namespace) -> int:
    """Make a client secret and print it."""
    config = session_from(arguments.session, model=arguments.model)
    with simulated(arguments.simulate) as endpoint:
        secret = asyncio.run(_make(endpoint, config, arguments.ttl))
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(secret), indent=2).decode())
        return 0
    say(f"it opens sessions for {secret.expires_at - time.time():.0f} s from now")
    print(printable(secret.value))
    return 0


async def _make(
    endpoint: Endpoint | None, config: dict[str, Any], ttl_s: int | None
) -> ClientSecret | TranslationClientSecret:
    async with RestClient(endpoint) as client:
        if config["type"] == "translation":
            return await client.create_client_secret(_translation(config), expires_after_s=ttl_s)
        return await client.create_client_secret(config, expires_after_s=ttl_s)


def _translation(config: dict[str, Any]) -> TranslationSession:
    """Read a translation's configuration; its type is in the URL and not in the body."""
    given = {name: value for name, value in config.items() if name != "type"}
    try:
        return msgspec.convert(given, TranslationSession)
    except msgspec.ValidationError as error:
        reason = one_line(str(error), limit=300)
    raise ConfigurationError(f"wrong value in the configuration: {reason}")
