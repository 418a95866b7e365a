"""REST: what the API does beside the socket, over HTTP.

Owns the client (`client.py`), one HTTP request and its answer (`requests.py`), and what is tried again and when
(`retrying.py`). Knows no session. Before it: the application; after it: `endpoint.py` for URLs and keys,
`connector.py` for sockets.
"""

from __future__ import annotations

from ..events.beta import ExpiresAfter
from ..events.rest import ClientSecret, TranslationClientSecret
from .client import CallAnswer, RestClient
from .retrying import Retry

__all__ = ["CallAnswer", "ClientSecret", "ExpiresAfter", "RestClient", "Retry", "TranslationClientSecret"]
