"""Which webhooks are believed, and what is said of the others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events import ConfigurationError, WebhookVerificationError, verify_webhook
from realtime_events.webhooks import RealtimeCallIncoming, SeenIds, UnknownWebhook

NOW = 1_750_861_210
SECRET = "whsec_" + base64.b64encode(b"canary-material").decode()
BODY = b'{"id": "evt_1", "type": "realtime.call.incoming", "created_at": 1750861210, "data": {"call_id": "rtc_1"}}'

# The constants of the vendor's own SDK tests, the same in each of its languages.
VECTOR_SECRET = "whsec_" + "RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c="
VECTOR_BODY = (
    b'{"id": "evt_685c059ae3a481909bdc86819b066fb6", "object": "event", "created_at": 1750861210, '
    b'"type": "response.completed", "data": {"id": "resp_123"}}'
)
VECTOR_HEADERS = {
    "webhook-id": "wh_685c059ae39c8190af8c71ed1022a24d",
    "webhook-timestamp": str(NOW),
    "webhook-signature": "v1,gUAg4R2hWouRZqRQG4uJypNS8YK885G838+EHb4nKBY=",
}


def mac(body: bytes, *, key: bytes = b"canary-material", id: str = "wh_1", timestamp: object = NOW) -> str:
    """Signs by the rules, and not by our code."""
    text = f"{id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def signed(body: bytes = BODY, *, key: bytes = b"canary-material", id: str = "wh_1", timestamp: Any = NOW) -> Any:
    """Gives the headers of a right signature."""
    signature = f"v1,{mac(body, key=key, id=id, timestamp=timestamp)}"
    return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def refused(body: bytes = BODY, headers: Any = None, **how: Any) -> WebhookVerificationError:
    """Gives the error of a webhook that must be refused."""
    with pytest.raises(WebhookVerificationError) as error:
        verify_webhook(body, signed() if headers is None else headers, **{"secret": SECRET, "now": NOW, **how})
    return error.value


def test_a_signed_call_is_a_typed_event() -> None:
    """B51."""
    event = verify_webhook(BODY, signed(), secret=SECRET, now=NOW)
    assert isinstance(event, RealtimeCallIncoming)
    assert (event.type, event.id, event.data.call_id) == ("realtime.call.incoming", "evt_1", "rtc_1")


def test_the_vectors_of_the_vendors_sdk_are_believed() -> None:
    """B51: signed by nobody here; its type is one that we do not know."""
    event = verify_webhook(VECTOR_BODY, VECTOR_HEADERS, secret=VECTOR_SECRET, now=NOW)
    assert isinstance(event, UnknownWebhook)
    assert (event.type, event.id, event.created_at) == (
        "response.completed",
        "evt_685c059ae3a481909bdc86819b066fb6",
        NOW,
    )
    assert event.raw == VECTOR_BODY
    assert refused(VECTOR_BODY, VECTOR_HEADERS, secret="whsec_Zm9v").status == 401


def test_a_secret_without_the_prefix_is_its_own_bytes() -> None:
    """As the vendor's SDK has it."""
    assert verify_webhook(BODY, signed(key=b"plain words"), secret="plain words", now=NOW).id == "evt_1"


def test_the_secret_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_WEBHOOK_SECRET; without one the sentence says where they are made."""
    with pytest.raises(ConfigurationError, match="set OPENAI_WEBHOOK_SECRET"):
        verify_webhook(BODY, signed(), now=NOW)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", f" {SECRET}\n")
    assert verify_webhook(BODY, signed(), now=NOW).id == "evt_1"


@pytest.mark.parametrize("secret", ["", "  ", [], ["good", ""], "whsec_", "whsec_%%%", ["good", "whsec_canary!"]])
def test_a_secret_that_is_none_is_said_without_showing_it(secret: Any) -> None:
    """Nobody must run unverified by mistake."""
    with pytest.raises(ConfigurationError) as error:
        verify_webhook(BODY, signed(), secret=secret, now=NOW)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("key", [b"old secret", b"new secret"])
def test_any_secret_of_a_rotation_is_accepted(key: bytes) -> None:
    """B51: both count while one takes over from the other."""
    assert verify_webhook(BODY, signed(key=key), secret=["new secret", "old secret"], now=NOW).id == "evt_1"


@pytest.mark.parametrize("away_s", [-300, -299, 0, 299, 300])
def test_a_timestamp_within_five_minutes_is_accepted(away_s: int) -> None:
    """B51: in both directions."""
    assert verify_webhook(BODY, signed(timestamp=NOW + away_s), secret=SECRET, now=NOW).id == "evt_1"


@pytest.mark.parametrize("away_s", [-301, 301, 10**9])
def test_a_timestamp_further_away_is_refused(away_s: int) -> None:
    """B51: although the signature is right."""
    error = refused(headers=signed(timestamp=NOW + away_s))
    assert (error.status, "more than 300 s away" in str(error)) == (400, True)


@pytest.mark.parametrize(
    "timestamp",
    ["", "soon", "1_750_861_210", "+1750861210", " 1750861210", "1750861210.0", "１７５０８６１２１０", "9" * 5000],
)
def test_a_timestamp_is_digits_and_nothing_else(timestamp: str) -> None:
    """Python's int() would take most of these."""
    assert refused(headers=signed(timestamp=timestamp)).status == 400


@pytest.mark.parametrize("id", ["", "a.b", "a b", "ä", "x" * 257, "a\n"])
def test_an_id_is_printable_and_has_no_full_stop(id: str) -> None:
    """A full stop ends the id in the text that is signed."""
    assert refused(headers=signed(id=id)).status == 400


@pytest.mark.parametrize(
    ("signature", "status"),
    [
        (f"v1,{mac(BODY + b' ')}", 401),
        (f"v1,{mac(BODY, key=b'other')}", 401),
        (mac(BODY), 400),
        (f"v2,{mac(BODY)}", 400),
        (f"v1a,{mac(BODY)}", 400),
        (f"V1,{mac(BODY)}", 400),
        (f"v1,{mac(BODY)[:-4]}", 400),
        (f"v1,{mac(BODY)}AAAA", 400),
        (f"v1,{mac(BODY).replace('=', '')}", 400),
        ("v1,", 400),
        ("v1,é", 400),
        ("", 400),
        (" ".join([f"v1,{mac(b'x')}"] * 8), 401),
        (" ".join([f"v1,{mac(b'x')}"] * 8 + [f"v1,{mac(BODY)}"]), 400),
    ],
)
def test_a_wrong_signature_is_401_and_one_that_is_none_400(signature: str, status: int) -> None:
    """B51: the prefix is needed, and nobody makes us compare a thousand."""
    assert refused(headers={**signed(), "webhook-signature": signature}).status == status


def test_one_right_signature_among_eight_is_enough() -> None:
    """A sender that rotates its own secrets signs with several."""
    several = " ".join([f"v1,{mac(b'x')}"] * 6 + [f"v1a,{mac(BODY)}", f"v1,{mac(BODY)}"])
    headers = {**signed(), "webhook-signature": several}
    assert verify_webhook(BODY, headers, secret=SECRET, now=NOW).id == "evt_1"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed_once(missing: str) -> None:
    """Two of a name, in whatever case, are as bad as none."""
    headers = signed()
    value = headers.pop(missing)
    assert refused(headers=headers).status == 400
    assert refused(headers={**headers, missing: value, missing.upper(): value}).status == 400
    assert verify_webhook(BODY, {**headers, missing.title(): value}, secret=SECRET, now=NOW).id == "evt_1"


def test_a_body_is_256_kib_at_most() -> None:
    """One byte more is 413, before anything is computed."""
    body = BODY + b" " * (256 * 1024 - len(BODY))
    assert verify_webhook(body, signed(body), secret=SECRET, now=NOW).id == "evt_1"
    assert refused(body + b" ", signed(body + b" ")).status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"id": "evt_1"}',
        b'{"type": "realtime.call.incoming"}',
        b'{"id": "evt_1", "type": "realtime.call.incoming"}',
        b'{"id": "evt_1", "type": "realtime.call.incoming", "data": {"call_id": 5}}',
        b'{"id": 5, "type": "x"}',
    ],
)
def test_a_signed_body_that_is_no_event_is_malformed(body: bytes) -> None:
    """Whoever signed it."""
    assert refused(body, signed(body)).status == 400


def test_a_delivery_that_comes_again_is_refused() -> None:
    """B51: replayed ids, with the memory that is passed; a forged one is not remembered."""
    seen = SeenIds()
    assert refused(headers={**signed(), "webhook-signature": f"v1,{mac(b'x')}"}, seen=seen).status == 401
    assert len(seen) == 0
    assert verify_webhook(BODY, signed(), secret=SECRET, now=NOW, seen=seen).id == "evt_1"
    assert refused(seen=seen).status == 409
    assert verify_webhook(BODY, signed(id="wh_2"), secret=SECRET, now=NOW, seen=seen).id == "evt_1"


def test_ids_are_kept_for_as_long_as_a_copy_could_be_believed() -> None:
    """Ten minutes and the tolerance; never more than the limit."""
    seen = SeenIds(most=3)
    assert seen.add("a", 0.0)
    assert not seen.add("a", 899.9)
    assert seen.add("a", 900.0)
    assert [seen.add(id, 901.0) for id in "bcd"] == [True, True, True]
    assert len(seen) == 3
    assert seen.add("a", 902.0)


def test_what_a_caller_says_is_data_and_never_shown() -> None:
    """B48: SIP headers are in no repr; `header` gives the first of a name."""
    body = (
        b'{"id": "evt_1", "type": "realtime.call.incoming", "data": {"call_id": "rtc_1", "sip_headers": ['
        b'{"name": "From", "value": "canary-1"}, {"name": "from", "value": "canary-2"}]}}'
    )
    event = verify_webhook(body, signed(body), secret=SECRET, now=NOW)
    assert isinstance(event, RealtimeCallIncoming)
    assert [header.value for header in event.data.sip_headers] == ["canary-1", "canary-2"]
    assert (event.data.header("FROM"), event.data.header("To")) == ("canary-1", None)
    assert "canary" not in repr(event)


@pytest.mark.parametrize(
    ("secret", "headers"),
    [(SECRET, signed(timestamp=0)), (SECRET, signed(b"other")), ("whsec_canary!", signed()), ([SECRET], signed())],
)
def test_no_traceback_shows_a_secret_or_what_a_caller_sent(secret: Any, headers: Any) -> None:
    """B48: with the locals of every frame of ours."""
    body = b'{"id": "evt_1", "type": "realtime.call.incoming", "data": "canary-caller"}'
    if isinstance(secret, list):
        headers = signed(body)
    with pytest.raises((WebhookVerificationError, ConfigurationError)) as error:
        verify_webhook(body, headers, secret=secret, now=NOW)
    told = traceback.TracebackException.from_exception(error.value, capture_locals=True)
    frames = [frame for frame in told.stack if "/tests/" not in frame.filename]
    assert frames
    everything = str(told) + "".join(f"{frame.locals}" for frame in frames)
    assert "canary" not in everything and SECRET[6:] not in everything


@given(
    body=st.binary(max_size=200),
    id=st.text(max_size=20),
    timestamp=st.text(max_size=12) | st.just(str(NOW)),
    signature=st.text(max_size=80)
    | st.binary(min_size=32, max_size=32).map(lambda b: f"v1,{base64.b64encode(b).decode()}"),
)
def test_no_input_gives_anything_but_a_refusal(body: bytes, id: str, timestamp: str, signature: str) -> None:
    """The vendor's SDK raises TypeError or UnicodeDecodeError for some of these."""
    headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    assert refused(body, headers).status in (400, 401)
