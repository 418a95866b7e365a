"""`doctor`: what this machine has, and whether it reaches the service.

Owns the report. A key is said to be there and never shown. Before it: the arguments; after it: `endpoint.py` and
`transport.py`, for one handshake.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import metadata

from .. import __version__
from ..app import DEFAULT_MODEL
from ..endpoint import Endpoint
from ..exceptions import AuthenticationError, ConfigurationError, MissingExtra, TransportError
from ..integrations.sound import Device, list_devices
from .output import Printer, printable

DISTRIBUTION = "realtime-events"
PACKAGES = ("aiohttp", "msgspec", "pyee", "docstring-parser")
REACH_TIMEOUT_S = 5.0
LABEL_COLUMNS = 18


def command(arguments: argparse.Namespace) -> int:
    """Print the report; the exit code is 1 where there is a key and it does not open the endpoint."""
    printer = Printer()
    _row(printer, "realtime-events", __version__)
    _row(printer, "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in PACKAGES:
        version = _version(name)
        _row(printer, name, version or "missing", good=version is not None)
    for extra, missing in _extras():
        told = f'missing {", ".join(missing)}: pip install "{DISTRIBUTION}[{extra}]"' if missing else "installed"
        _row(printer, f"extra {extra}", told, good=None if missing else True)
    _report_sound(printer)
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    _row(printer, "OPENAI_API_KEY", "set" if key else "not set; --simulate needs none", good=True if key else None)
    return _report_endpoint(printer, key)


def _report_sound(printer: Printer) -> None:
    """Say what `run --mic` would talk through, or what it would need."""
    try:
        devices = list_devices()
    except (ConfigurationError, MissingExtra) as error:
        _row(printer, "audio devices", str(error))
        return
    _row(printer, "microphones", _names(device for device in devices if device.inputs))
    _row(printer, "speakers", _names(device for device in devices if device.outputs))


def _names(devices: Iterable[Device]) -> str:
    return ", ".join(f"{device.index} {printable(device.name)}" for device in devices) or "none"


def _report_endpoint(printer: Printer, key: str) -> int:
    try:
        endpoint = Endpoint.openai(api_key=key or "none")
    except ConfigurationError as error:
        _row(printer, "endpoint", str(error), good=False)
        return 1
    _row(printer, "endpoint", endpoint.url.partition("?")[0])
    good, told = asyncio.run(_reach(endpoint if key else replace(endpoint, api_key=None)))
    _row(printer, "reachable", told, good=good)
    return 1 if key and not good else 0


async def _reach(endpoint: Endpoint) -> tuple[bool, str]:
    """Try one handshake; without a key, a refusal of it shows that the server is there."""
    from ..transport import Dialling, dial

    how = Dialling(connect_timeout_s=REACH_TIMEOUT_S, ping_interval_s=None)
    try:
        transport = await dial(endpoint.connect_url(model=DEFAULT_MODEL), await endpoint.handshake_headers(), how)
    except AuthenticationError as error:
        if endpoint.api_key is None:
            return True, f"yes, and it asks for a key (HTTP {error.status})"
        return False, str(error)
    except TransportError as error:
        return False, str(error)
    transport.abort()
    await transport.close()
    return True, "yes, and the handshake succeeded"


def _row(printer: Printer, label: str, text: str, *, good: bool | None = None) -> None:
    printer.write(label.ljust(LABEL_COLUMNS), "note")
    printer.write(f"{text}\n", {True: "good", False: "bad", None: ""}[good])


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> Iterator[tuple[str, list[str]]]:
    """Give each extra of the installed distribution, with the packages of it that are missing."""
    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return  # Run from the source, uninstalled: nothing says which extras there are.
    required = metadata.requires(DISTRIBUTION) or []
    for extra in about.get_all("Provides-Extra") or []:
        marked = [line for line in required if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", line)]
        names = [found[0] for line in marked if (found := re.match(r"[\w.-]+", line))]
        yield extra, [name for name in names if _version(name) is None]
