"""The REST client: one method for each thing the API does beside the socket.

Owns which call goes where with which body. Before it: the application, `webhooks/` for calls that come in, the command
line; after it: `retrying.py` and `requests.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload

import aiohttp
import msgspec

from ..connector import Pool
from ..endpoint import Endpoint, check_way
from ..events import beta, rest
from ..events.base import UNSET, Struct, UnsetType
from ..events.session import SessionConfig
from ..events.translation import TranslationSession
from ..exceptions import ConfigurationError, LocalProtocolError, one_line
from ..options import Options
from ..protocol.dialect.config import session_config
from ..secrecy import Secret, bare_url
from .requests import Answer, Limits, Request, send
from .retrying import Retry

_T = TypeVar("_T")

JSON = "application/json"
SDP = "application/sdp"
BETA_REST = {"OpenAI-Beta": "assistants=v2"}  # what the vendor's own SDK sends on the beta's two endpoints
SHORTEST_S, LONGEST_S = 10, 7200
DECLINE = 603
SIP_FAILURES = range(300, 700)  # RFC 3261 section 21: final answers that are not 2xx
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LOCATION = re.compile(r"/calls/([A-Za-z0-9_-]{1,128})/?(?:\?.*)?$")
_TARGET = re.compile(r"(?:tel|sips?):[!-~]{1,1000}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """A call that was made: the SDP for the other side, and the id by which a sideband joins it."""

    sdp: str = field(repr=False)
    call_id: str
    request_id: str | None = None


class RestClient:
    """The API beside the socket: client secrets, calls, and the beta's sessions.

        async with RestClient() as rest:
            secret = await rest.create_client_secret({"type": "realtime", "model": "gpt-realtime-2.1"})

    It shares the connector with the sessions of the same event loop. What may be tried again is tried again (see
    `retrying.py`); what fails is one `RestError`.

    Args:
        endpoint: Where and as whom; the environment's where it is left out.
        options: The options of sessions, of which `proxy`, `ssl`, `trust_env` and `connect_timeout_s` count here.
        retry: How often and when to try again.
        timeout_s: How long one attempt may take in all.
        max_body_bytes: The largest answer that is taken.
        headers: More headers for every request.
        query: More parameters for every URL.

    Raises:
        ConfigurationError: There is no key.
    """

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        options: Options | None = None,
        retry: Retry | None = None,
        timeout_s: float = 30.0,
        max_body_bytes: int = 1024 * 1024,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoint = endpoint or Endpoint.openai()
        self._options = options or Options()
        self._retry = retry or Retry()
        self._limits = Limits(timeout_s=timeout_s, max_body_bytes=max_body_bytes)
        self._headers = {name: Secret(value) for name, value in (headers or {}).items()}
        self._query = dict(query or {})
        self._pool: Pool | None = None
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        if self._client is not None:
            raise LocalProtocolError("this RestClient is open already")
        self._pool = Pool.of_this_loop()
        self._client = self._pool.take(self._options.trust_env and not self.endpoint.is_in_the_clear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connector back; a second time is fine."""
        pool, self._pool, self._client = self._pool, None, None
        if pool is not None:
            await pool.give_back()

    @overload
    async def create_client_secret(
        self, session: TranslationSession, *, expires_after_s: int | None = None
    ) -> rest.TranslationClientSecret: ...

    @overload
    async def create_client_secret(
        self, session: SessionConfig | Mapping[str, Any] | None = None, *, expires_after_s: int | None = None
    ) -> rest.ClientSecret: ...

    async def create_client_secret(
        self,
        session: SessionConfig | TranslationSession | Mapping[str, Any] | None = None,
        *,
        expires_after_s: int | None = None,
    ) -> rest.ClientSecret | rest.TranslationClientSecret:
        """Make a key for one browser or device, which opens only a session of this configuration.

        Args:
            session: The configuration: a realtime or a transcription session by its `type`, realtime without one; a
                `TranslationSession` for a translation.
            expires_after_s: How long the secret opens new sessions, 10 to 7,200; the server takes 600.

        Raises:
            RestError: The server refused, or there was no answer.
            ConfigurationError: The configuration or the number makes no sense.
        """
        life = _life(expires_after_s)
        if isinstance(session, TranslationSession):
            wish = rest.TranslationClientSecretRequest(session=session, expires_after=life)
            answer = await self._post("translations/client_secrets", wish, accept=JSON, repeatable=True)
            return _with_id(answer.decoded(rest.TranslationClientSecret), answer)
        session = _typed(session)  # bound again, as a struct whose `repr` hides what MCP servers are given
        body = rest.ClientSecretRequest(session=session, expires_after=life)
        answer = await self._post("client_secrets", body, accept=JSON, repeatable=True)
        return _with_id(answer.decoded(rest.ClientSecret), answer)

    async def create_call(self, sdp_offer: str, session: SessionConfig | Mapping[str, Any] | None = None) -> CallAnswer:
        """Answer a browser's WebRTC offer with the server's own key.

        Without a session the offer goes alone, for a key that carries one.

        Raises:
            RestError: The server refused, or there was no answer; never tried again once it may have been taken.
            ConfigurationError: The configuration makes no sense, or the offer is none.
        """
        if not sdp_offer.startswith("v=0"):
            raise ConfigurationError("this is no SDP offer: it should begin with 'v=0'")
        session = None if session is None else _typed(session)
        answer = await self._post("calls", _Form(sdp_offer, session), accept=SDP)
        found = _LOCATION.search(answer.headers.get("Location", ""))
        if found is None:
            raise answer.wrong("no call id in its Location header")
        return CallAnswer(sdp=answer.body.decode("utf-8", "replace"), call_id=found[1], request_id=answer.request_id)

    async def accept_call(self, call_id: str, session: SessionConfig | Mapping[str, Any]) -> str | None:
        """Take an incoming call with a session of this configuration, which a sideband then joins by `call_id`.

        Returns:
            The id of the request.

        Raises:
            RestError: The server refused, or there was no answer.
            ConfigurationError: The configuration makes no sense, or the id is none.
        """
        session = _typed(session)
        return (await self._post(f"calls/{_checked(call_id)}/accept", session)).request_id

    async def reject_call(self, call_id: str, status_code: int = DECLINE) -> str | None:
        """Turn an incoming call away with a SIP status: 603 declines, 486 is busy, 404 is nobody of this name.

        Raises:
            RestError: The server refused, or there was no answer.
            ConfigurationError: The status turns nobody away, or the id is none.
        """
        if status_code not in SIP_FAILURES:
            raise ConfigurationError(f"SIP status {status_code} turns no call away; take one of 300 to 699")
        body = rest.Rejection(status_code=status_code)
        return (await self._post(f"calls/{_checked(call_id)}/reject", body)).request_id

    async def refer_call(self, call_id: str, target_uri: str) -> str | None:
        """Hand a running call over to a `tel:`, `sip:` or `sips:` address; it then ends here.

        Raises:
            RestError: The server refused, or there was no answer.
            ConfigurationError: The address or the id is none.
        """
        if not _TARGET.fullmatch(target_uri):
            said = one_line(bare_url(target_uri), limit=80)
            raise ConfigurationError(f"{said!r} is no address to refer to; it should look like tel:+15550100")
        body = rest.Referral(target_uri=target_uri)
        return (await self._post(f"calls/{_checked(call_id)}/refer", body)).request_id

    async def hang_up(self, call_id: str) -> str | None:
        """End a call, SIP or WebRTC.

        Raises:
            RestError: The server refused (404: the call is over already), or there was no answer.
            ConfigurationError: The id is none.
        """
        return (await self._post(f"calls/{_checked(call_id)}/hangup", None)).request_id

    async def create_session(self, session: beta.Session | Mapping[str, Any] | None = None) -> beta.Session:
        """Make a session as the beta did: flat, with its key in `client_secret`. New code takes a client secret.

        Raises:
            RestError: The server refused, or there was no answer.
            ConfigurationError: The configuration has a field or a value that is none.
        """
        return await self._beta_session("sessions", session)

    async def create_transcription_session(
        self, session: beta.Session | Mapping[str, Any] | None = None
    ) -> beta.Session:
        """Make a transcription session as the beta did; its wish for an expiry is in `client_secret.expires_at`.

        Raises:
            RestError: The server refused, or there was no answer.
            ConfigurationError: The configuration has a field or a value that is none.
        """
        return await self._beta_session("transcription_sessions", session)

    async def _beta_session(self, path: str, session: beta.Session | Mapping[str, Any] | None) -> beta.Session:
        body = _beta_config(session)
        answer = await self._post(path, body, accept=JSON, repeatable=True, more=BETA_REST)
        return answer.decoded(beta.Session)

    async def _post(
        self,
        path: str,
        body: Struct | _Form | None,
        *,
        accept: str = "*/*",
        repeatable: bool = False,
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        client = self._client
        if client is None:
            raise LocalProtocolError("this RestClient is not open; use it in `async with`")
        url = self.endpoint.rest_url(path)
        shown = {**(more or {}), "Accept": accept}

        async def attempt() -> Answer:
            # Made anew each time: a form can be sent only once, and a callable may give a fresh key.
            headers = {**await self.endpoint.rest_headers(), **shown}
            check_way(url, self._options.proxy, headers)
            request = self._request(url, headers, body, repeatable=repeatable)
            return await send(client, request, self._options, self._limits)

        return await self._retry.run(attempt)

    def _request(
        self, url: str, headers: Mapping[str, str], body: Struct | _Form | None, *, repeatable: bool
    ) -> Request:
        kind, data = _encoded(body)
        return Request(
            method="POST",
            url=url,
            query=self._query,
            headers={**headers, **kind, **self._headers},
            body=data,
            repeatable=repeatable,
        )


@dataclass(frozen=True, slots=True)
class _Form:
    """An SDP offer with the session it is for."""

    sdp: str = field(repr=False)
    session: SessionConfig | None


def _encoded(body: Struct | _Form | None) -> tuple[dict[str, str], bytes | aiohttp.MultipartWriter | None]:
    """Give a body as it is sent, with the header that says what it is."""
    if body is None:
        return {}, None
    if isinstance(body, Struct):
        return {"Content-Type": JSON}, msgspec.json.encode(body)
    if body.session is None:
        return {"Content-Type": SDP}, body.sdp.encode()
    form = aiohttp.MultipartWriter("form-data")
    for name, kind, data in (("sdp", SDP, body.sdp.encode()), ("session", JSON, msgspec.json.encode(body.session))):
        form.append(data, {"Content-Type": kind}).set_content_disposition("form-data", name=name)
    return {}, form


def _typed(session: SessionConfig | Mapping[str, Any] | None) -> SessionConfig:
    """Give a configuration with the `type` that every REST endpoint asks for."""
    config = session_config(session or {})
    return config if config.type else msgspec.structs.replace(config, type="realtime")


def _beta_config(session: beta.Session | Mapping[str, Any] | None) -> beta.Session:
    if isinstance(session, beta.Session):
        return session
    given: Mapping[str, Any] = session or {}
    if unknown := given.keys() - set(beta.Session.__struct_fields__):
        raise ConfigurationError(f"unknown field {min(unknown)!r} in a configuration of the beta dialect")
    try:
        return msgspec.convert(given, beta.Session)
    except msgspec.ValidationError as error:
        reason = one_line(str(error), limit=300)
    raise ConfigurationError(f"wrong value in the configuration: {reason}")


def _life(seconds: int | None) -> rest.ExpiresAfter | UnsetType:
    if seconds is None:
        return UNSET
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise ConfigurationError(f"a client secret lives {SHORTEST_S} to {LONGEST_S:,} s, not {seconds}")
    return rest.ExpiresAfter(anchor="created_at", seconds=seconds)


def _checked(call_id: str) -> str:
    """Refuse what would lead to another path."""
    if not _CALL_ID.fullmatch(call_id):
        raise ConfigurationError(f"{one_line(call_id, limit=80)!r} is no call id")
    return call_id


def _with_id(secret: _T, answer: Answer) -> _T:
    if answer.request_id is None:
        return secret
    return cast("_T", msgspec.structs.replace(cast("Struct", secret), request_id=answer.request_id))
