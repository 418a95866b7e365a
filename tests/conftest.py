"""What every test stands on: no network beyond this machine, no settings of the person who runs it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import settings

# The same inputs in every run, so that a red test is red again; `nightly` looks further.
settings.register_profile("default", deadline=None, derandomize=True, database=None, max_examples=100)
settings.register_profile("nightly", deadline=None, max_examples=5_000)
settings.load_profile("default")

PRIVATE_SETTINGS = ("OPENAI_", "AZURE_OPENAI_")
PROXIES = ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "all_proxy", "no_proxy")


def is_of_this_machine(host: object) -> bool:
    """Says whether a host name or address stays on this machine."""
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        address = ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(scope="session")
def attempts() -> Iterator[list[str]]:
    """Refuses every way off this machine and keeps a list of what was tried.

    The refusal is the `OSError` of a machine without network; names under `.invalid` are answered as unknown, and
    are not held against the test.
    """
    tried: list[str] = []
    patch = pytest.MonkeyPatch()
    connect, connect_ex, resolve = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse(address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if not is_of_this_machine(host):
            tried.append(f"connect to {host}")
            raise OSError(errno.ENETUNREACH, f"the test suite stays on this machine; refused {host}")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        refuse(address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        refuse(address)
        return connect_ex(sock, address)

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_of_this_machine(host):
            if not str(host).endswith(".invalid"):
                tried.append(f"resolve {host}")
            raise socket.gaierror(socket.EAI_NONAME, f"the test suite stays on this machine; refused {host}")
        return resolve(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield tried
    patch.undo()


@pytest.fixture(autouse=True)
def stays_on_this_machine(attempts: list[str]) -> Iterator[None]:
    """Fails the test that tried to reach another machine."""
    attempts.clear()
    yield
    assert not attempts, f"this test left the machine: {attempts}"


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the keys, addresses and proxies of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(PRIVATE_SETTINGS) or name.lower() in PROXIES:
            monkeypatch.delenv(name)


@pytest.fixture
def child_environment(nobodys_settings: None) -> dict[str, str]:
    """Gives the environment for a program that a test starts: no keys, UTF-8, and a proxy that leads nowhere."""
    away = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    here = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1")
    return {**os.environ, **away, **here, "PYTHONUTF8": "1", "PYTHONWARNINGS": "default"}
