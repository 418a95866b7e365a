"""One HTTP request and its answer; every way it can go wrong is one `RestError`.

Owns aiohttp for REST: time-outs, sizes, redirects, what an error body says. Knows no endpoint by name. Before it:
`client.py`; after it: the network, by `connector.py`.

Bodies are kept in objects whose `repr` leaves them out, and errors are raised outside of aiohttp's own frames: a
traceback with locals shows no key.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp import hdrs

from ..bodies import read_body
from ..exceptions import RestError, one_line
from ..logs import logger
from ..options import Options
from ..reconnect import retry_after_s
from ..secrecy import bare_url, hide
from .retrying import is_retryable

log = logger("rest")

_T = TypeVar("_T")

EXCERPT_CHARACTERS = 300
IN_DOUBT = "; it may have been done all the same"
_OF_THE_REQUEST = re.compile(r"x-(?:ms-)?request-id|apim-request-id", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent. `repeatable` says that doing it twice does no harm."""

    method: str
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | aiohttp.MultipartWriter | None = field(repr=False)
    repeatable: bool

    @property
    def place(self) -> str:
        """The method and the URL without its query."""
        return f"{self.method} {bare_url(self.url)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back with a status of 2xx."""

    place: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The id under which the vendor finds this request."""
        return _request_id(self.headers)

    def decoded(self, shape: type[_T]) -> _T:
        """Give the body as a struct.

        Raises:
            RestError: It is none.
        """
        if not _is_json(self.headers):
            raise self.wrong(f"an answer of type {self.headers.get(hdrs.CONTENT_TYPE, 'none')!r} instead of JSON")
        reason = ""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            reason = one_line(str(error), limit=200)
        raise self.wrong(f"an answer of another form than the API's: {reason}")

    def wrong(self, what: str) -> RestError:
        """Make the error of an answer that is none; a body of ours may hold a client secret, so it is not shown."""
        return RestError(self.status, f"{self.place} gave {what}", request_id=self.request_id)


class _ErrorDetails(msgspec.Struct):
    message: str | None = None
    code: str | int | None = None
    type: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetails | str = msgspec.field(default_factory=_ErrorDetails)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a request may take in all, and how large its answer may be."""

    timeout_s: float = 30.0
    max_body_bytes: int = 1024 * 1024


async def send(client: aiohttp.ClientSession, request: Request, options: Options, limits: Limits) -> Answer:
    """Send a request once.

    Raises:
        RestError: Anything but an answer of 2xx within the limits.
    """
    started_s = time.monotonic()
    outcome = await _outcome(client, request, options, limits)
    said = f"HTTP {outcome.status}" if outcome.status else "no answer"
    took_ms = (time.monotonic() - started_s) * 1000
    request_id = one_line(outcome.request_id or "", limit=80)
    log.debug("%s: %s in %.0f ms, request id %s", request.place, said, took_ms, request_id)
    if isinstance(outcome, RestError):
        raise outcome
    return outcome


async def _outcome(
    client: aiohttp.ClientSession, request: Request, options: Options, limits: Limits
) -> Answer | RestError:
    try:
        async with client.request(
            request.method,
            request.url,
            params=request.query,
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            proxy=options.proxy,
            ssl=options.ssl if options.ssl is not None else True,
            timeout=aiohttp.ClientTimeout(total=limits.timeout_s, connect=options.connect_timeout_s),
        ) as response:
            body = await read_body(response.content, limits.max_body_bytes)
            if body is None:
                response.close()  # what is still to come is not worth the connection
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return _no_answer(request, error, options, limits)
    return _judged(request, response, body, limits)


def _judged(
    request: Request, response: aiohttp.ClientResponse, body: bytes | None, limits: Limits
) -> Answer | RestError:
    status, headers, sent = response.status, response.headers, request.headers.values()
    request_id = _request_id(headers)
    if 200 <= status < 300:
        if body is None:
            said = f"{request.place} gave an answer of more than {limits.max_body_bytes:,} bytes"
            return RestError(status, said, request_id=request_id)
        return Answer(place=request.place, status=status, headers=headers, body=body)
    if 300 <= status < 400:
        said = f"{request.place} was redirected; redirects are not followed, for the key would go with them"
        return RestError(status, said, request_id=request_id)
    code, message = said_in(headers, body or b"")
    after_s = retry_after_s(headers)
    return RestError(
        status,
        hide(message, sent),
        code=code and hide(code, sent),
        request_id=request_id and hide(request_id, sent),
        retry_after_s=after_s,
        retryable=is_retryable(status, code, repeatable=request.repeatable, says_when=after_s is not None),
    )


def said_in(headers: Mapping[str, str], body: bytes) -> tuple[str | None, str]:
    """Give the code and the message of an error body; an excerpt of what is none, a proxy's page for example."""
    try:
        error = msgspec.json.decode(body, type=_ErrorBody).error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        kind = headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0] or "no type"
        excerpt = one_line(body[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace"), limit=EXCERPT_CHARACTERS)
        return None, f"a body of {kind}: {excerpt}" if excerpt else "an empty body"
    if isinstance(error, str):
        return None, error
    code = error.code if error.code is not None else error.type
    return None if code is None else str(code), error.message or "the server gave no reason"


def _no_answer(request: Request, error: Exception, options: Options, limits: Limits) -> RestError:
    """Say in our words why there is no answer, and whether the request may have been taken all the same."""
    place = request.place
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return RestError(None, f"{place}: TLS failed: {one_line(str(error), limit=200)}")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RestError(None, f"{place}: no connection within {options.connect_timeout_s:g} s", retryable=True)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError):
        return RestError(None, f"{place}: cannot connect: {_why(error)}", retryable=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return RestError(None, f"{place}: the proxy refused with HTTP {error.status}")
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return RestError(None, f"{place}: this is no URL, or a header of it is none")
    if isinstance(error, TimeoutError):
        said = f"{place}: no whole answer within {limits.timeout_s:g} s"
    else:
        said = f"{place}: the connection was lost: {type(error).__name__}"
    return RestError(None, f"{said}{'' if request.repeatable else IN_DOUBT}", retryable=request.repeatable)


def _why(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host name {error.host!r} cannot be resolved"
    return os.strerror(error.errno).lower() if error.errno else one_line(str(error.os_error), limit=200)


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((value for name, value in headers.items() if _OF_THE_REQUEST.fullmatch(name)), None)


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower().endswith("json")
