"""Where to connect, and as whom.

Owns URLs, credentials and the environment variables they come from. Knows no socket and no event: the rooms after it,
`transport.py` and `rest/`, ask it for a URL and for headers at each handshake and each request.
"""

from __future__ import annotations

import inspect
import ipaddress
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from .exceptions import ConfigurationError
from .protocol.codec import Kind
from .protocol.dialect import Dialect
from .secrecy import Secret, bare_url, is_secret_field, secret_in_url

KeySource: TypeAlias = str | Callable[[], str | Awaitable[str]]

OPENAI_URL = "wss://api.openai.com/v1/realtime"
NO_KEY = (
    "no API key: set OPENAI_API_KEY (a key is made at platform.openai.com/api-keys) or pass "
    "Endpoint.openai(api_key=...); --simulate and Simulator() need none"
)


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Endpoint:
    """A Realtime server and the credentials for it.

    Attributes:
        url: The whole WebSocket URL; `?model=` is added to it when connecting.
        api_key: The key, or a callable (sync or async) that gives one at each handshake.
        headers: More headers for the handshake.
        dialect: The spelling of the protocol that the server speaks.
        key_header: `Authorization` (a bearer token) or Azure's `api-key`.
        model_parameter: The query parameter that carries the model (Azure's preview calls it `deployment`).

    Its `repr` shows no key, and it cannot be pickled with one.

    Raises:
        ConfigurationError: The URL is no `ws://` or `wss://` URL, has a key or a password in it, or a key would travel
            in the clear: over `ws://` it may only to this machine, and names of this machine lead nowhere else.
    """

    url: str
    api_key: KeySource | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    dialect: Dialect
    key_header: Literal["Authorization", "api-key"]
    model_parameter: Literal["model", "deployment"]
    is_simulated: bool

    def __init__(
        self,
        *,
        url: str,
        api_key: KeySource | None = None,
        headers: Mapping[str, str] | None = None,
        dialect: Dialect = "ga",
        key_header: Literal["Authorization", "api-key"] = "Authorization",
        model_parameter: Literal["model", "deployment"] = "model",
        is_simulated: bool = False,
    ) -> None:
        # Bound again before anything can fail, so that no traceback with locals shows them.
        api_key = Secret(api_key) if isinstance(api_key, str) else api_key
        headers = {name: Secret(value) if _is_secret(name) else value for name, value in (headers or {}).items()}
        unwanted = secret_in_url(url)
        url = bare_url(url) if unwanted else url
        given = {
            "url": url,
            "api_key": api_key,
            "headers": headers,
            "dialect": dialect,
            "key_header": key_header,
            "model_parameter": model_parameter,
            "is_simulated": is_simulated,
        }
        for name, value in given.items():  # before anything is refused: a traceback shows `self`, too
            object.__setattr__(self, name, value)
        self._check(unwanted)
        if isinstance(api_key, str):
            object.__setattr__(self, "api_key", _checked(api_key, "the api_key"))

    def _check(self, unwanted: str) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ConfigurationError(f"{bare_url(self.url)!r} is no WebSocket URL; it should look like {OPENAI_URL}")
        if unwanted:
            raise ConfigurationError(f"the URL of {parts.hostname!r} has {unwanted} in it; pass it as api_key=")
        if self.is_in_the_clear and not is_loopback(parts.hostname):
            raise ConfigurationError(f"a key would travel unencrypted to {parts.hostname!r}; use wss://")

    @property
    def is_in_the_clear(self) -> bool:
        """Whether there is a key that travels unencrypted, as it may within this machine."""
        secret = self.api_key is not None or any(isinstance(value, Secret) for value in self.headers.values())
        return secret and self.url.startswith("ws://")

    @classmethod
    def openai(
        cls,
        *,
        api_key: KeySource | None = None,
        url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        safety_identifier: str | None = None,
        dialect: Dialect = "ga",
    ) -> Endpoint:
        """Give OpenAI's endpoint, or a compatible one that the environment names.

        What is not passed comes from `OPENAI_API_KEY`, `OPENAI_REALTIME_URL` (the whole WebSocket URL) or
        `OPENAI_BASE_URL` (to which `/realtime` is added), `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`.

        Raises:
            ConfigurationError: There is no key.
        """
        api_key = _hidden(api_key or os.environ.get("OPENAI_API_KEY", "").strip())
        if not api_key:
            raise ConfigurationError(NO_KEY)
        named = {
            "OpenAI-Organization": organization or os.environ.get("OPENAI_ORG_ID"),
            "OpenAI-Project": project or os.environ.get("OPENAI_PROJECT_ID"),
            "OpenAI-Safety-Identifier": safety_identifier,
        }
        return cls(
            url=url or _url_from_environment(),
            api_key=api_key,
            headers={name: value for name, value in named.items() if value},
            dialect=dialect,
        )

    @classmethod
    def azure(
        cls,
        *,
        endpoint: str | None = None,
        api_key: KeySource | None = None,
        ad_token: KeySource | None = None,
        api_version: str | None = None,
    ) -> Endpoint:
        """Give an Azure OpenAI endpoint; the model of `connect()` is the name of the deployment.

        Without `api_version` it is the GA URL (`/openai/v1/realtime?model=`), with one the preview URL, which speaks
        the beta dialect. What is not passed comes from `AZURE_OPENAI_ENDPOINT`, `AZURE_OPENAI_AD_TOKEN` (which wins
        over a key), `AZURE_OPENAI_API_KEY` and `OPENAI_API_VERSION`.

        Raises:
            ConfigurationError: The resource's address or the credentials are missing.
        """
        base = endpoint or os.environ.get("AZURE_OPENAI_ENDPOINT")
        api_key, ad_token = _hidden(api_key), _hidden(ad_token)
        token = ad_token or _hidden(os.environ.get("AZURE_OPENAI_AD_TOKEN") if api_key is None else None)
        key = token or api_key or _hidden(os.environ.get("AZURE_OPENAI_API_KEY"))
        version = api_version or os.environ.get("OPENAI_API_VERSION")
        if not base:
            raise ConfigurationError(
                "no Azure endpoint: set AZURE_OPENAI_ENDPOINT or pass Endpoint.azure(endpoint=...)"
            )
        if not key:
            raise ConfigurationError("no Azure credentials: set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN")
        root = _azure_root(base)
        return cls(
            url=f"{root}/openai/realtime?api-version={quote(version)}" if version else f"{root}/openai/v1/realtime",
            api_key=key,
            key_header="Authorization" if token else "api-key",
            dialect="beta" if version else "ga",
            model_parameter="deployment" if version else "model",
        )

    def connect_url(self, *, model: str | None = None, kind: Kind = "realtime", call_id: str | None = None) -> str:
        """Give the URL of a handshake: a session with a model, a transcription session, or a running call."""
        parts = urlsplit(self.url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        if call_id is not None:
            query.append(("call_id", call_id))
        elif kind == "transcription":
            query.append(("intent", "transcription"))
        elif model is not None:
            query.append((self.model_parameter, model))
        path = parts.path.rstrip("/") + ("/translations" if kind == "translation" else "")
        return urlunsplit(parts._replace(path=path, query=urlencode(query)))

    def rest_url(self, path: str) -> str:
        """Give the URL of a REST endpoint that stands below `/realtime`: `client_secrets`, `calls/{id}/accept`.

        Raises:
            ConfigurationError: Azure's dated preview has no such endpoints.
        """
        if self.model_parameter == "deployment":
            raise ConfigurationError(
                "Azure's dated preview has no REST endpoints beside the socket; leave out api_version to use the GA URL"
            )
        parts = urlsplit(self.url)
        scheme = "https" if parts.scheme == "wss" else "http"
        whole = f"{parts.path.rstrip('/')}/{path}"
        return urlunsplit(parts._replace(scheme=scheme, path=whole, fragment=""))

    async def handshake_headers(self) -> dict[str, str]:
        """Give the headers of a handshake; asks a callable key for a fresh one.

        Raises:
            ConfigurationError: The callable gave no key.
        """
        headers = await self.rest_headers()
        if self.dialect == "beta" and self.key_header == "Authorization":
            headers["OpenAI-Beta"] = "realtime=v1"
        return headers

    async def rest_headers(self) -> dict[str, str]:
        """Give the headers of a REST request; asks a callable key for a fresh one.

        Raises:
            ConfigurationError: The callable gave no key.
        """
        headers = dict(self.headers)
        key = await _resolve(self.api_key)
        if key:
            headers[self.key_header] = Secret("Bearer " + key if self.key_header == "Authorization" else key)
        return headers


def _hidden(key: KeySource | None) -> KeySource | None:
    return Secret(key) if isinstance(key, str) else key


async def _resolve(source: KeySource | None) -> str | None:
    if source is None or isinstance(source, str):
        return source
    given = source()
    return _checked(await given if inspect.isawaitable(given) else given, "the api_key callable")


def _checked(key: object, what: str) -> Secret:
    """Take a key, whatever its annotation says.

    A line break in one would end its header; aiohttp says so with the key in the locals of its traceback.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f"{what} gave {type(key).__name__}, not a key")
    key = Secret(key.strip())
    if not key or not key.isprintable():
        raise ConfigurationError(f"{what} is {'no key: it has a line break or the like in it' if key else 'empty'}")
    return key


def _is_secret(header: str) -> bool:
    return is_secret_field(header) or header.lower() in ("cookie", "x-api-key", "ocp-apim-subscription-key")


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine itself (RFC 6761 section 6.3 for `localhost`)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_the_clear(url: str, headers: Mapping[str, str]) -> bool:
    """Say whether a key among the headers would travel unencrypted."""
    return url.startswith(("ws://", "http://")) and any(isinstance(value, Secret) for value in headers.values())


def check_way(url: str, proxy: str | None, headers: Mapping[str, str]) -> None:
    """Refuse to send a key unencrypted to a proxy on another machine.

    Raises:
        ConfigurationError: It would be.
    """
    if proxy is not None and in_the_clear(url, headers) and not is_loopback(urlsplit(proxy).hostname or ""):
        raise ConfigurationError("a key would travel unencrypted through the proxy; use wss://, or no proxy")


def _url_from_environment() -> str:
    if whole := os.environ.get("OPENAI_REALTIME_URL"):
        return _websocket_url(whole)
    if base := os.environ.get("OPENAI_BASE_URL"):
        return _websocket_url(base.rstrip("/")) + "/realtime"
    return OPENAI_URL


def _azure_root(base: str) -> str:
    """Give the resource's own URL; its pages also show it with `/openai` or `/openai/v1` behind it."""
    root = _websocket_url(base.strip().rstrip("/"))
    return root.removesuffix("/v1").removesuffix("/openai") if root.endswith(("/openai", "/openai/v1")) else root


def _websocket_url(url: str) -> str:
    """`https://` is what base URLs are written with; the socket's own scheme is `wss://`."""
    for scheme, ours in (("https://", "wss://"), ("http://", "ws://")):
        if url.startswith(scheme):
            return ours + url.removeprefix(scheme)
    return url
