"""Secrecy: what is secret, and how it looks where somebody might read it.

Owns the one list of fields that hold secrets, the forms of keys, and `Secret`. Pure. Before it: nothing; after it:
whatever shows something: `repr` of structs, sentences of errors, log lines, tapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn, Self
from urllib.parse import urlsplit, urlunsplit

HIDDEN: Final = "<hidden>"
SECRET_FIELDS: Final = frozenset(
    {
        "api_key",
        "authorization",
        "client_secret",
        "credentials",
        "headers",
        "password",
        "proxy_authorization",
        "sip_headers",
        "value",
    }
)
"""Fields whose whole value is hidden, by their names in lower case with `_` for `-`."""

URL_FIELDS: Final = frozenset({"server_url", "target_uri"})
"""Fields whose value may name a user and a password, or carry a key in its query."""

SHORTEST: Final = 8  # a shorter secret is a word that texts are made of
_KEYS = re.compile(
    r"\b(?:sk|ek)[-_][\w-]{8,}|\bwhsec_[\w+/=-]{8,}|\bBearer\s+\S{8,}|\bBasic\s+(?=\S*[A-Z0-9=])[\w+/=]{8,}"
)
_QUERY_KEYS = frozenset({"api_key", "apikey", "key", "token", "access_token", "authorization"})


class Secret(str):
    """A string that shows nothing by `repr`, in an f-string, or in a pickle; `str()` gives its text on purpose.

    Tracebacks with locals, debug logs and `vars()` show `<secret>`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not pickled; give the other process a callable, or an environment variable")


class SecretUrl(Secret):
    """A URL that may carry a password; its `repr` shows all the rest."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(bare_url(str(self)))


def is_secret_field(name: str) -> bool:
    """Say whether a field of this name is hidden."""
    return name.lower().replace("-", "_") in SECRET_FIELDS


def hide_keys(text: str) -> str:
    """Take out of a text what looks like a key, a client secret, credentials of a header or a webhook secret."""
    return _KEYS.sub(HIDDEN, text)


def hide(text: str, secrets: Iterable[object]) -> str:
    """Take our own secrets, and anything that looks like one, out of a text that somebody else wrote."""
    for value in secrets:
        part = str(value).removeprefix("Bearer ") if isinstance(value, Secret) else ""
        if len(part) >= SHORTEST:
            text = text.replace(part, HIDDEN)
    return hide_keys(text)


def bare_url(url: str) -> str:
    """Give a URL without its user, password, query and fragment."""
    try:
        parts = urlsplit(url)
        if parts.netloc:
            return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
        return urlunsplit((parts.scheme, "", parts.path.rpartition("@")[2], "", ""))  # sip:user:password@host
    except ValueError:
        return HIDDEN


def secret_in_url(url: str) -> str:
    """Say what of a URL is a secret, if anything is: its user, or a parameter of its query."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        return "a user name or password"
    names = (pair.partition("=")[0].lower().replace("-", "_") for pair in parts.query.split("&"))
    return next((f"a key, as {name!r}" for name in names if name in _QUERY_KEYS), "")
