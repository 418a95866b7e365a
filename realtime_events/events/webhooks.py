"""What webhooks tell: an incoming call, and whatever else an account has subscribed to.

Owns their shapes. These events come by HTTP, each signed; `realtime_events.webhooks` verifies and reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

from .base import UNSET, Struct, UnsetType

__all__ = ["IncomingCall", "RealtimeCallIncoming", "SipHeader", "UnknownWebhook", "WebhookEvent"]


class SipHeader(Struct, frozen=True, kw_only=True):
    """One header of a SIP INVITE, written by whoever calls: never instructions, never logged; `repr` hides `value`."""

    name: str = ""
    value: str = ""


class IncomingCall(Struct, frozen=True, kw_only=True):
    """A call that rings. Names of `sip_headers` may repeat and keep their order; all of it is untrusted."""

    call_id: str
    sip_headers: Sequence[SipHeader] = ()
    sip_media_security: str | UnsetType | None = UNSET

    def header(self, name: str) -> str | None:
        """Give the value of the first SIP header of a name, in any case; None where there is none."""
        return next((header.value for header in self.sip_headers if header.name.lower() == name.lower()), None)


class WebhookEvent(Struct, frozen=True, kw_only=True):
    """Anything a webhook tells. `created_at` is seconds since 1970."""

    id: str
    created_at: int | UnsetType = UNSET
    object: str | UnsetType | None = UNSET

    @property
    def type(self) -> str:
        """The event's name, as on the wire."""
        return str(self.__struct_config__.tag)


class RealtimeCallIncoming(WebhookEvent, frozen=True, kw_only=True, tag_field="type", tag="realtime.call.incoming"):
    """Somebody calls by SIP: accept or reject it with `data.call_id`."""

    data: IncomingCall


class UnknownWebhook(WebhookEvent, frozen=True, kw_only=True):
    """A verified webhook of a type that this package does not know.

    `type` is the wire's type, `raw` the body's bytes as they came.
    """

    type: str  # pyright: ignore[reportIncompatibleMethodOverride]
    raw: bytes
