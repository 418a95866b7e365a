"""The bodies of the REST endpoints beside the socket: client secrets, calls, and the beta's sessions.

Owns their shapes, in the words of the vocabulary: a session is configured here as it is in `session.update`. The
beta's two endpoints take and give `beta.Session` as it is.
"""

from __future__ import annotations

from .base import UNSET, Struct, UnsetType
from .beta import ExpiresAfter
from .session import SessionConfig
from .translation import TranslationSession

__all__ = [
    "CallOffer",
    "ClientSecret",
    "ClientSecretRequest",
    "ExpiresAfter",
    "Referral",
    "Rejection",
    "TranslationClientSecret",
    "TranslationClientSecretRequest",
]


class ClientSecretRequest(Struct, frozen=True, kw_only=True):
    """The wish for a client secret of a realtime or a transcription session. It lives 10 to 7,200 s, 600 by default."""

    session: SessionConfig | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET


class ClientSecret(Struct, frozen=True, kw_only=True):
    """A client secret: `value` is the key for one client, never shown in a `repr`; `expires_at` is seconds since 1970.

    `session` is what a session that is opened with it will be. `request_id` is of the answer's header, not of its body.
    """

    value: str
    expires_at: int = 0
    session: SessionConfig | UnsetType | None = UNSET
    request_id: str | UnsetType = UNSET


class TranslationClientSecretRequest(Struct, frozen=True, kw_only=True):
    """The wish for a client secret of a translation session."""

    session: TranslationSession
    expires_after: ExpiresAfter | UnsetType | None = UNSET


class TranslationClientSecret(Struct, frozen=True, kw_only=True):
    """A client secret of a translation session; its fields are those of `ClientSecret`."""

    value: str
    expires_at: int = 0
    session: TranslationSession | UnsetType | None = UNSET
    request_id: str | UnsetType = UNSET


class CallOffer(Struct, frozen=True, kw_only=True):
    """A WebRTC call to be made: the two parts of its form."""

    sdp: str
    session: SessionConfig | UnsetType | None = UNSET


class Rejection(Struct, frozen=True, kw_only=True):
    """Why an incoming call is turned away: a SIP status; the server takes 603 (decline) where it is left out."""

    status_code: int | UnsetType = UNSET


class Referral(Struct, frozen=True, kw_only=True):
    """Where a call is handed over to: a `tel:`, `sip:` or `sips:` address."""

    target_uri: str
