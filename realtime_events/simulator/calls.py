"""WebRTC and SIP calls: how they ring, who answers, and what the caller does.

Owns the state of each call, and the webhook that tells of an incoming one, signed as the service signs (Standard
Webhooks). Knows no socket. Before it: `rest.py` and `server.py`; after it: the session of the call, which a sideband
connection joins by `call_id`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from .errors import Refusal, invalid_value
from .session import SimulatedSession

State = Literal["ringing", "active", "rejected", "referred", "ended"]
MOST_CALLS = 1_000
HUNG_UP = 1000
KEYS = tuple("0123456789*#ABCD")
SDP_ANSWER = (
    "v=0\r\n"
    "o=- {number} 2 IN IP4 127.0.0.1\r\n"
    "s=-\r\n"
    "t=0 0\r\n"
    "a=group:BUNDLE 0 1\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "c=IN IP4 127.0.0.1\r\n"
    "a=mid:0\r\n"
    "a=sendrecv\r\n"
    "a=setup:active\r\n"
    "a=rtcp-mux\r\n"
    "a=rtpmap:111 opus/48000/2\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    "c=IN IP4 127.0.0.1\r\n"
    "a=mid:1\r\n"
    "a=sctp-port:5000\r\n"
)


class SipHeader(msgspec.Struct, frozen=True):
    """One header of the SIP INVITE; names may repeat."""

    name: str
    value: str


class Call:
    """One call, seen from the caller. `refer_to` and `reject_code` say how it ended, if it was referred or rejected."""

    def __init__(self, call_id: str, *, clock: Callable[[], float], sip_headers: Sequence[SipHeader] = ()) -> None:
        self.id = call_id
        self._clock = clock
        self.sip_headers = list(sip_headers)
        self.state: State = "ringing"
        self.session: SimulatedSession | None = None
        self.refer_to: str | None = None
        self.reject_code: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody can answer or join it any more."""
        return self.state not in ("ringing", "active")

    def check_ringing(self) -> None:
        """Refuse what only a ringing call can be asked.

        Raises:
            Refusal: It does not ring.
        """
        self._must_be("ringing")

    def answer(self, session: SimulatedSession) -> None:
        """Let a session take the call.

        Raises:
            Refusal: It does not ring.
        """
        self._must_be("ringing")
        self.state, self.session = "active", session

    def reject(self, status_code: int) -> None:
        """Turn the call away with a SIP status.

        Raises:
            Refusal: It does not ring.
        """
        self._must_be("ringing")
        self.state, self.reject_code = "rejected", status_code

    def refer(self, target_uri: str) -> None:
        """Hand the call over to somebody else.

        Raises:
            Refusal: It is not active.
        """
        self._must_be("active")
        self.refer_to = target_uri
        self._end("referred")

    def hang_up(self) -> None:
        """End the call, from either side.

        Raises:
            Refusal: It is over already.
        """
        self._must_be("active" if self.session else "ringing")
        self._end("ended")

    def say(self, audio: bytes) -> None:
        """Speak as the caller, in the input format of the session.

        Raises:
            Refusal: Nobody has answered.
        """
        self._answered().hear(audio, self._clock())

    def press(self, key: str) -> None:
        """Press a key as the caller: `0` to `9`, `*`, `#`, `A` to `D`.

        Raises:
            Refusal: Nobody has answered, or there is no such key.
        """
        if key not in KEYS:
            raise invalid_value("key", key, KEYS)
        self._answered().press(key, self._clock())

    def joinable(self) -> SimulatedSession:
        """Give the session that a sideband joins.

        Raises:
            Refusal: Nobody has answered yet, or the call is over (404).
        """
        if self.is_over:
            raise Refusal(f"No call found with id '{self.id}'.", code="call_id_not_found", param="call_id", status=404)
        return self._answered()

    def _answered(self) -> SimulatedSession:
        self._must_be("active")
        assert self.session is not None
        return self.session

    def _end(self, state: State) -> None:
        self.state = state
        if self.session is not None:
            self.session.close(HUNG_UP, "the call has ended")
            self.session.end(self._clock())

    def _must_be(self, state: State) -> None:
        if self.state != state:
            text = f"The call '{self.id}' is {self.state}, not {state}."
            raise Refusal(text, code="invalid_call_state", param="call_id", status=409)


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """The request that tells of an incoming call: its body, and headers that sign it."""

    body: bytes
    headers: dict[str, str]


def incoming_webhook(call: Call, *, event_id: str, unix_s: int, secret: str) -> Webhook:
    """Make the webhook `realtime.call.incoming` of a call."""
    data = {"call_id": call.id, "sip_headers": call.sip_headers, "sip_media_security": "rtp"}
    event = {"id": event_id, "object": "event", "type": "realtime.call.incoming", "created_at": unix_s, "data": data}
    body = msgspec.json.encode(event)
    return Webhook(body=body, headers=signed(body, webhook_id=event_id, unix_s=unix_s, secret=secret))


def signed(body: bytes, *, webhook_id: str, unix_s: int, secret: str) -> dict[str, str]:
    """Give the headers that sign a body (Standard Webhooks: HMAC-SHA256 over id, time and body)."""
    text = f"{webhook_id}.{unix_s}.".encode() + body
    signature = base64.b64encode(hmac.new(_key(secret), text, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(unix_s),
        "webhook-signature": f"v1,{signature}",
    }


def sdp_answer(number: int) -> str:
    """Give the text of an SDP answer; no media follows it."""
    return SDP_ANSWER.format(number=number)


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return secret.encode()


def check_sdp(text: Any) -> None:
    """Refuse what is no SDP offer."""
    if not isinstance(text, str) or not text.startswith("v=0"):
        raise Refusal("Invalid SDP offer: it should begin with 'v=0'.", code="invalid_offer", param="sdp")
