"""The signature of a webhook, by the rules of Standard Webhooks, and what its body tells.

Owns what makes a request believable. Knows no socket: bytes and headers in, an event out. Before it: `serving.py`, or
the handler of any other web framework; after it: `events/webhooks.py`.

It is 40 lines of `hmac` instead of the package `standardwebhooks`, because the rules here are stricter than a library
for every vendor can be: raw bytes and never text, the prefix `v1,` required, at most eight candidates, digits only in
the timestamp, every secret of a rotation tried, no answer that depends on which part of a signature was wrong, and a
difference between what is malformed and what is forged. It would be a dependency for what the standard library does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ..events.webhooks import RealtimeCallIncoming, UnknownWebhook, WebhookEvent
from ..exceptions import ConfigurationError, WebhookVerificationError, one_line
from ..secrecy import Secret
from .replays import TOLERANCE_S, SeenIds

MOST_CANDIDATES = 8
MOST_BODY_BYTES = 256 * 1024
PREFIX = "whsec_"
VERSION = "v1,"
MAC_BYTES = 32
NO_SECRET = (
    "no webhook secret: set OPENAI_WEBHOOK_SECRET (it is shown once, where the webhook is made at "
    "platform.openai.com/settings/project/webhooks) or pass secret=..."
)

_ID = re.compile(r"[!-\-/-~]{1,256}")  # printable ASCII without the full stop, which ends an id in the signed text
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_KNOWN: dict[str, type[WebhookEvent]] = {"realtime.call.incoming": RealtimeCallIncoming}


class Secrets:
    """The secrets that may have signed, as bytes that no `repr` shows: several while one takes over from another.

    Raises:
        ConfigurationError: There is none, or one that begins with `whsec_` is no base64 behind it.
    """

    def __init__(self, hidden: Sequence[Secret]) -> None:
        if not hidden or not all(hidden):
            raise ConfigurationError(NO_SECRET)
        self._keys = tuple(_Hidden(_key(text)) for text in hidden)

    def signed(self, text: bytes, candidates: Iterable[bytes]) -> bool:
        """Say whether any secret gives any candidate. Every pair is compared, each in constant time."""
        expected = [hmac.digest(key, text, hashlib.sha256) for key in self._keys]
        matches = [hmac.compare_digest(mac, candidate) for candidate in candidates for mac in expected]
        return True in matches


def hidden(secret: str | Sequence[str] | None) -> tuple[Secret, ...]:
    """Give the secrets, or the environment's, as strings without a `repr`. It raises nothing that would show them."""
    given = os.environ.get("OPENAI_WEBHOOK_SECRET", "") if secret is None else secret
    return tuple(Secret(text.strip()) for text in ([given] if isinstance(given, str) else given))


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secret: str | Sequence[str] | Secrets | None = None,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
    seen: SeenIds | None = None,
) -> WebhookEvent:
    """Verify a webhook and give what it tells; nothing of the body is read before the signature is right.

    Args:
        body: The bytes of the request as they came, before any decoding.
        headers: The headers of the request; their names in any case.
        secret: The secret, or several of which any may have signed; `OPENAI_WEBHOOK_SECRET` where it is left out.
        tolerance_s: How far the timestamp may lie from `now`, in either direction.
        now: Seconds since 1970; the clock's where it is left out.
        seen: The memory that refuses a delivery which comes again.

    Returns:
        `RealtimeCallIncoming`, or `UnknownWebhook` for a type that this package does not know.

    Raises:
        WebhookVerificationError: It was refused; `status` says what to answer.
        ConfigurationError: There is no secret.
    """
    # Bound again, so that no traceback with locals shows a secret, or what a caller sent.
    secret = secret if isinstance(secret, Secrets) else hidden(secret)
    body = _Body(body)
    secrets = secret if isinstance(secret, Secrets) else Secrets(secret)
    now = time.time() if now is None else now
    if len(body) > MOST_BODY_BYTES:
        raise WebhookVerificationError(f"the body is over {MOST_BODY_BYTES:,} bytes", status=413)
    delivery = _delivery(headers)
    if abs(now - int(delivery.timestamp)) > tolerance_s:
        raise WebhookVerificationError(f"the timestamp is more than {tolerance_s:g} s away")
    if not secrets.signed(f"{delivery.id}.{delivery.timestamp}.".encode() + body, delivery.candidates):
        raise WebhookVerificationError("the signature is of another body or another secret", status=401)
    event = _event(body)
    if seen is not None and not seen.add(delivery.id, now):
        raise WebhookVerificationError("this delivery was taken before", status=409)
    return event


class _Body(bytes):
    """A body whose `repr` shows only its size."""

    def __repr__(self) -> str:
        return f"<{len(self)} B>"


class _Hidden(bytes):
    """A key, which `repr` does not show."""

    def __repr__(self) -> str:
        return "<secret>"


class _Delivery(NamedTuple):
    id: str
    timestamp: str
    candidates: tuple[bytes, ...]


def _delivery(headers: Mapping[str, str]) -> _Delivery:
    """Read the three headers, whose form nobody has vouched for."""
    delivery_id = _header(headers, "webhook-id")
    timestamp = _header(headers, "webhook-timestamp")
    if not _ID.fullmatch(delivery_id):
        raise WebhookVerificationError("webhook-id is no id")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise WebhookVerificationError("webhook-timestamp is no number of seconds")
    return _Delivery(delivery_id, timestamp, _candidates(_header(headers, "webhook-signature")))


def _header(headers: Mapping[str, str], name: str) -> str:
    found = [value for key, value in headers.items() if key.lower() == name]
    if len(found) != 1:
        raise WebhookVerificationError(f"{name} is there {len(found)} times, not once")
    return found[0]


def _candidates(header: str) -> tuple[bytes, ...]:
    words = header.split()
    if len(words) > MOST_CANDIDATES:
        raise WebhookVerificationError(f"webhook-signature has more than {MOST_CANDIDATES} signatures")
    found = tuple(mac for word in words if word.startswith(VERSION) and (mac := _mac(word.removeprefix(VERSION))))
    if not found:
        raise WebhookVerificationError("webhook-signature has no signature of the form v1,<base64>")
    return found


def _mac(text: str) -> bytes:
    """Give the bytes of a signature; none where it is of another form."""
    try:
        mac = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error, and what is no ASCII
        return b""
    return mac if len(mac) == MAC_BYTES else b""


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigurationError(f"a webhook secret that begins with {PREFIX} is base64 behind it, and this one is not")
    return key


class _Header(msgspec.Struct):
    """What is needed to know which event a body is."""

    id: str
    type: str
    created_at: int | msgspec.UnsetType = msgspec.UNSET


def _event(body: bytes) -> WebhookEvent:
    try:
        header = msgspec.json.decode(body, type=_Header)
        if known := _KNOWN.get(header.type):
            return msgspec.json.decode(body, type=known)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = one_line(str(error), limit=200)
    else:
        return UnknownWebhook(id=header.id, type=header.type, created_at=header.created_at, raw=bytes(body))
    raise WebhookVerificationError(f"the body is no event: {reason}")
