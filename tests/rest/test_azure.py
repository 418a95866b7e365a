"""Azure's URLs and credentials, as a table: the GA surface, and the dated preview."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from realtime_events import ConfigurationError, Endpoint
from realtime_events.rest import RestClient
from realtime_events.simulator import Simulator

GA = "wss://res.openai.azure.com/openai/v1/realtime"
PREVIEW = "wss://res.openai.azure.com/openai/realtime"
DATED = "2025-04-01-preview"
NAMED = {"endpoint": "https://res.openai.azure.com", "api_key": "test-key"}


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://res.openai.azure.com", GA),
        ("https://res.openai.azure.com/", GA),
        ("https://res.openai.azure.com//", GA),
        (" https://res.openai.azure.com/ ", GA),
        ("wss://res.openai.azure.com", GA),
        ("https://res.openai.azure.com/openai", GA),
        ("https://res.openai.azure.com/openai/v1", GA),
        ("https://res.openai.azure.com/openai/v1/", GA),
        ("https://res.cognitiveservices.azure.com", "wss://res.cognitiveservices.azure.com/openai/v1/realtime"),
        ("https://res.services.ai.azure.com/", "wss://res.services.ai.azure.com/openai/v1/realtime"),
        ("https://gateway.example.com/tenant/7", "wss://gateway.example.com/tenant/7/openai/v1/realtime"),
    ],
)
def test_the_ga_url_of_a_resource_however_it_is_written(base: str, url: str) -> None:
    """The deployment is the model; a dated version must not be sent."""
    endpoint = Endpoint.azure(endpoint=base, api_key="test-key")
    assert endpoint.connect_url(model="my deployment") == f"{url}?model=my+deployment"
    assert endpoint.connect_url(call_id="rtc_1") == f"{url}?call_id=rtc_1"
    assert endpoint.dialect == "ga"


@pytest.mark.parametrize("base", ["https://res.openai.azure.com/", "wss://res.openai.azure.com/openai/v1"])
def test_the_preview_url_carries_its_date_and_the_deployment(base: str) -> None:
    """It speaks the beta dialect."""
    endpoint = Endpoint.azure(endpoint=base, api_key="test-key", api_version=DATED)
    url = endpoint.connect_url(model="mine")
    assert url.partition("?")[0] == PREVIEW
    assert parse_qs(urlsplit(url).query) == {"api-version": [DATED], "deployment": ["mine"]}
    assert endpoint.dialect == "beta"


@pytest.mark.parametrize(
    "path", ["client_secrets", "calls", "calls/rtc_1/accept", "calls/rtc_1/hangup", "translations/client_secrets"]
)
def test_rest_stands_below_the_sockets_url(path: str) -> None:
    """Azure's GA surface has them; the same rule gives OpenAI's."""
    assert Endpoint.azure(**NAMED).rest_url(path) == f"https://res.openai.azure.com/openai/v1/realtime/{path}"
    openai = Endpoint.openai(api_key="test-key")
    assert openai.rest_url(path) == f"https://api.openai.com/v1/realtime/{path}"


@pytest.mark.parametrize(
    ("url", "rest", "socket"),
    [
        ("wss://h/v1/realtime", "https://h/v1/realtime/calls", "wss://h/v1/realtime?model=m"),
        ("wss://h/v1/realtime/", "https://h/v1/realtime/calls", "wss://h/v1/realtime?model=m"),
        (
            "wss://h:8443/v1/realtime?k=v",
            "https://h:8443/v1/realtime/calls?k=v",
            "wss://h:8443/v1/realtime?k=v&model=m",
        ),
        ("ws://127.0.0.1:80/x", "http://127.0.0.1:80/x/calls", "ws://127.0.0.1:80/x?model=m"),
        ("wss://eu.api.openai.com/v1/realtime", "https://eu.api.openai.com/v1/realtime/calls", None),
    ],
)
def test_any_sockets_url_gives_its_rest_url(url: str, rest: str, socket: str | None) -> None:
    """Scheme, port, path and own parameters are kept."""
    endpoint = Endpoint(url=url)
    assert endpoint.rest_url("calls") == rest
    assert socket is None or endpoint.connect_url(model="m") == socket


def test_the_dated_preview_has_no_rest() -> None:
    """Said before anything is sent, with the way out."""
    endpoint = Endpoint.azure(**NAMED, api_version=DATED)
    with pytest.raises(ConfigurationError, match="leave out api_version"):
        endpoint.rest_url("client_secrets")


async def later() -> str:
    """Gives a token as a provider of the cloud's own library does."""
    return "test-token"


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ({"api_key": "test-key"}, {"api-key": "test-key"}),
        ({"api_key": lambda: "test-key"}, {"api-key": "test-key"}),
        ({"ad_token": "test-token"}, {"Authorization": "Bearer test-token"}),
        ({"ad_token": lambda: "test-token"}, {"Authorization": "Bearer test-token"}),
        ({"ad_token": later}, {"Authorization": "Bearer test-token"}),
        ({"ad_token": later, "api_key": "test-key"}, {"Authorization": "Bearer test-token"}),
    ],
)
async def test_a_key_and_a_token_travel_in_headers_of_their_own(given: Any, headers: dict[str, str]) -> None:
    """A token provider may be sync or async, and wins over a key."""
    endpoint = Endpoint.azure(endpoint="https://res.openai.azure.com", **given)
    assert await endpoint.handshake_headers() == headers
    assert await endpoint.rest_headers() == headers
    assert "test-" not in repr(endpoint)


@pytest.mark.parametrize(
    ("environment", "given", "header"),
    [
        ({"AZURE_OPENAI_API_KEY": "key-1"}, {}, ("api-key", "key-1")),
        (
            {"AZURE_OPENAI_API_KEY": "key-1", "AZURE_OPENAI_AD_TOKEN": "token-1"},
            {},
            ("Authorization", "Bearer token-1"),
        ),
        ({"AZURE_OPENAI_AD_TOKEN": "token-1"}, {"api_key": "key-2"}, ("api-key", "key-2")),
        ({"AZURE_OPENAI_API_KEY": "key-1"}, {"ad_token": "token-2"}, ("Authorization", "Bearer token-2")),
    ],
)
async def test_what_is_passed_wins_over_the_environment_and_a_token_over_a_key(
    environment: dict[str, str], given: Any, header: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY, AZURE_OPENAI_AD_TOKEN."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://res.openai.azure.com/")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    endpoint = Endpoint.azure(**given)
    assert endpoint.url == GA
    assert await endpoint.handshake_headers() == dict([header])


def test_the_version_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_API_VERSION makes it the preview."""
    monkeypatch.setenv("OPENAI_API_VERSION", DATED)
    assert Endpoint.azure(**NAMED).dialect == "beta"


@pytest.mark.parametrize(("given", "told"), [({}, "no Azure endpoint"), ({"endpoint": "https://r"}, "no Azure cred")])
def test_what_is_missing_is_named(given: Any, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure is never chosen by the environment of OpenAI alone."""
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    with pytest.raises(ConfigurationError, match=told):
        Endpoint.azure(**given)


async def test_a_client_secret_is_made_with_azures_key_and_path() -> None:
    """Against the simulator, which serves both surfaces."""
    async with Simulator(api_key="test-key") as sim:
        endpoint = Endpoint.azure(endpoint=sim.http_url, api_key="test-key")
        async with RestClient(endpoint) as client:
            secret = await client.create_client_secret({"model": "mine"})
    assert secret.value.startswith("ek_")
