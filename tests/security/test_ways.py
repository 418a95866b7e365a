"""The ways a key may take: encrypted, or within this machine."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from realtime_events import ConfigurationError, Endpoint
from realtime_events.connector import LocalNames, Pool
from realtime_events.secrecy import Secret
from realtime_events.transport import Dialling, dial

KEYED = {"Authorization": Secret("Bearer test-key")}


class Names(AbstractResolver):
    """Resolves every name to the same addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        return [{"hostname": host, "host": one, "port": port, "family": family} for one in self._addresses]

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("name", ["localhost", "tenant.localhost"])
@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("127.0.0.1", "10.0.0.1"), ("fe80::1",)])
async def test_a_name_of_this_machine_that_leads_elsewhere_is_refused(name: str, addresses: tuple[str, ...]) -> None:
    """B48: such names alone may be given a key without TLS, so they lead nowhere else, whatever DNS says."""
    assert Endpoint(url=f"ws://{name}/v1", api_key="test-key")
    with pytest.raises(OSError, match="was resolved to another"):
        await LocalNames(Names(*addresses)).resolve(name, 80)


@pytest.mark.parametrize(
    ("name", "address"), [("localhost", "127.0.0.1"), ("a.localhost", "::1"), ("host", "10.0.0.1")]
)
async def test_other_names_and_honest_ones_resolve(name: str, address: str) -> None:
    """B48: a server in a private network is reached by `wss://` as ever."""
    assert [one["host"] for one in await LocalNames(Names(address)).resolve(name, 80)] == [address]


async def test_every_connection_asks_this_resolver() -> None:
    """B48: sockets and REST share it."""
    pool = Pool.of_this_loop()
    client = pool.take(False)
    assert isinstance(client.connector._resolver, LocalNames)  # type: ignore[union-attr]
    await pool.give_back()


async def test_a_key_takes_no_plain_way_through_a_proxy_elsewhere() -> None:
    """B48: to the proxy it would travel unencrypted, though the server is this machine."""
    with pytest.raises(ConfigurationError, match="unencrypted through the proxy"):
        await dial("ws://127.0.0.1:9/v1", dict(KEYED), Dialling(proxy="http://proxy.invalid:8080"))


@pytest.mark.parametrize("address", ["10.0.0.1", "example.com", "127.0.0.1.example.com", "[fe80::1]"])
def test_a_key_is_not_sent_in_the_clear_to_another_machine(address: str) -> None:
    """B48: refused before anything is dialled."""
    with pytest.raises(ConfigurationError, match="unencrypted"):
        Endpoint(url=f"ws://{address}/v1", api_key="test-key")
