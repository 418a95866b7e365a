"""Webhooks: requests that the service makes to us, verified before anything in them is believed.

Owns the signature's rules (`verifying.py`), the memory of what was taken before (`replays.py`) and the aiohttp handler
(`serving.py`). Knows no session. Before it: whoever receives the request; after it: `events/webhooks.py` for what was
told.
"""

from __future__ import annotations

from ..events.webhooks import IncomingCall, RealtimeCallIncoming, SipHeader, UnknownWebhook, WebhookEvent
from .replays import SeenIds
from .serving import WebhookHandler
from .verifying import verify_webhook

__all__ = [
    "IncomingCall",
    "RealtimeCallIncoming",
    "SeenIds",
    "SipHeader",
    "UnknownWebhook",
    "WebhookEvent",
    "WebhookHandler",
    "verify_webhook",
]
