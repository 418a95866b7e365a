"""Browsers: what a web page is given of an application, and on which conditions.

Owns the HTTP routes for pages: a short-lived key or an answered SDP offer at `POST /session`, and a WebSocket relay at
`GET /relay`. The configuration is decided by the application alone, and its key never leaves the process. Before it:
the page; after it: `rest/` for keys and calls, and the sessions of the application.
"""

from .admission import Admission, Authorize
from .limiting import RateLimit
from .routes import WebRoutes

__all__ = ["Admission", "Authorize", "RateLimit", "WebRoutes"]
