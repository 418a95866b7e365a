"""Keys, and the short-lived client secrets that this server makes itself.

Owns who may come in. Knows no socket. Before it: `app.py` and `rest.py`; after it: `errors.py` for the refusals.
Real keys are never checked against anything but what the server was started with, and never kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from .config import Kind
from .errors import Refusal

PREFIX = "ek_"
DEFAULT_LIFE_S = 600
SHORTEST_S, LONGEST_S = 10, 7200
MOST_SECRETS = 10_000
SUBPROTOCOL = "openai-insecure-api-key."


class ClientSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A key for one client: `session` is the configuration that comes with it."""

    value: str
    expires_at: int
    kind: Kind
    session: Any


class Keys:
    """Decides who may come in: one fixed key, or any that is not empty; and client secrets until they expire."""

    def __init__(self, api_key: str | None, unix: Callable[[], float]) -> None:
        self._api_key = api_key
        self._unix = unix
        self._secrets: dict[str, ClientSecret] = {}

    def issue(self, *, kind: Kind, session: Any, seconds: int) -> ClientSecret:
        """Make a client secret that is good for `seconds`."""
        self._forget_expired()
        number = len(self._secrets) + 1
        while (value := f"{PREFIX}simulated_{number:06d}") in self._secrets:
            number += 1
        secret = ClientSecret(value=value, expires_at=int(self._unix()) + seconds, kind=kind, session=session)
        self._secrets[value] = secret
        return secret

    def admit(self, headers: Mapping[str, str], query: Mapping[str, str]) -> ClientSecret | None:
        """Let a request in; give the client secret that it came with, if it did.

        Raises:
            Refusal: (401) there is no key, or not the right one.
        """
        key = _key_of(headers, query)
        if not key:
            raise _unauthorized(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
                code=None,
            )
        if key.startswith(PREFIX):
            return self._redeem(key)
        if self._api_key is not None and not hmac.compare_digest(key.encode(), self._api_key.encode()):
            raise _unauthorized(f"Incorrect API key provided: {_masked(key)}.", code="invalid_api_key")
        return None

    def _redeem(self, value: str) -> ClientSecret:
        secret = self._secrets.get(value)
        if secret is None:
            raise _unauthorized(f"Incorrect API key provided: {_masked(value)}.", code="invalid_api_key")
        if secret.expires_at <= self._unix():
            raise _unauthorized("The client secret has expired.", code="token_expired")
        return secret

    def _forget_expired(self) -> None:
        if len(self._secrets) >= MOST_SECRETS:
            now = self._unix()
            self._secrets = {value: kept for value, kept in self._secrets.items() if kept.expires_at > now}
        if len(self._secrets) >= MOST_SECRETS:
            raise Refusal("Too many client secrets.", code="rate_limit_exceeded", type="rate_limit_error", status=429)


def offered_protocols(headers: Mapping[str, str]) -> list[str]:
    """Give the WebSocket sub-protocols that a browser offers; a browser cannot set headers."""
    return [name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]


def wants_beta(headers: Mapping[str, str]) -> bool:
    """Tell whether the client asks for the beta's events."""
    asked = "realtime=v1" in headers.get("OpenAI-Beta", "")
    return asked or "openai-beta.realtime-v1" in offered_protocols(headers)


def _key_of(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if key := (headers.get("api-key") or query.get("api-key") or "").strip():
        return key
    return _from_protocols(offered_protocols(headers))


def _from_protocols(offered: Iterable[str]) -> str:
    return next((name[len(SUBPROTOCOL) :] for name in offered if name.startswith(SUBPROTOCOL)), "")


def _unauthorized(message: str, *, code: str | None) -> Refusal:
    return Refusal(message, code=code, status=401)


def _masked(key: str) -> str:
    return f"{key[:3]}***" if len(key) > 8 else "***"
