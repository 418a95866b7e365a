"""What each call sends and what it gives, played by the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from realtime_events import ConfigurationError, Endpoint, LocalProtocolError, Realtime, RestError
from realtime_events.events import beta, rest, webhooks
from realtime_events.events.session import SessionConfig
from realtime_events.events.translation import TranslationAudio, TranslationOutput, TranslationSession
from realtime_events.rest import RestClient
from realtime_events.simulator import Simulator

from .conftest import Serve, secret_answer

SAMPLES = sorted((Path(__file__).parent.parent / "fixtures" / "rest").glob("*.json"))
OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"
SHAPES: dict[str, Any] = {
    "client_secrets.request": rest.ClientSecretRequest,
    "client_secrets.response": rest.ClientSecret,
    "translations.client_secrets.request": rest.TranslationClientSecretRequest,
    "translations.client_secrets.response": rest.TranslationClientSecret,
    "calls.create.request": rest.CallOffer,
    "calls.accept.request": SessionConfig,
    "calls.reject.request": rest.Rejection,
    "calls.refer.request": rest.Referral,
    "sessions.request": beta.Session,
    "sessions.response": beta.Session,
    "transcription_sessions.request": beta.Session,
    "transcription_sessions.response": beta.Session,
    "webhook.realtime.call.incoming": webhooks.RealtimeCallIncoming,
}


def name_of(path: Path) -> str:
    """Gives `client_secrets.request` of `ga.client_secrets.request.max1.json`."""
    return path.name.split(".", 1)[1].rsplit(".", 2)[0]


@pytest.mark.parametrize("path", [one for one in SAMPLES if name_of(one) != "connect.query"], ids=lambda one: one.name)
def test_every_body_is_a_struct_and_is_written_as_it_came(path: Path) -> None:
    """Every sample of a REST body: nothing in it is lost."""
    body = path.read_bytes()
    assert json.loads(msgspec.json.encode(msgspec.json.decode(body, type=SHAPES[name_of(path)]))) == json.loads(body)


@pytest.mark.parametrize("path", [one for one in SAMPLES if name_of(one) == "connect.query"], ids=lambda one: one.name)
def test_every_query_of_a_handshake_is_one_we_can_make(path: Path) -> None:
    """Every sample of the query with which a socket is opened."""
    wanted = json.loads(path.read_bytes())
    endpoint = Endpoint(url="wss://api.openai.com/v1/realtime")
    assert dict(parse_qsl(urlsplit(endpoint.connect_url(**wanted)).query)) == wanted


async def test_a_client_secret_opens_the_session_it_was_made_for() -> None:
    """A conversation's secret, redeemed by a session of ours."""
    async with Simulator(api_key="test-key") as sim, RestClient(sim.endpoint) as client:
        secret = await client.create_client_secret({"instructions": "Be brief."}, expires_after_s=60)
        assert secret.value.startswith("ek_")
        assert isinstance(secret.session, SessionConfig) and secret.session.instructions == "Be brief."
        assert secret.value not in repr(secret)
        async with Realtime().connect(endpoint=Endpoint(url=sim.url, api_key=secret.value)) as session:
            assert session.config.instructions == "Be brief."


async def test_a_secret_for_a_transcription_and_one_for_a_translation() -> None:
    """The other two kinds."""
    translation = TranslationSession(
        model="gpt-realtime-translate", audio=TranslationAudio(output=TranslationOutput(language="es"))
    )
    async with Simulator() as sim, RestClient(sim.endpoint) as client:
        transcribing = await client.create_client_secret({"type": "transcription"})
        translating = await client.create_client_secret(translation)
    assert transcribing.session and transcribing.session.type == "transcription"
    assert translating.session and translating.session.audio and translating.session.audio.output
    assert translating.session.audio.output.language == "es"


async def test_the_betas_sessions_come_with_their_key() -> None:
    """R01, R02 of the client that came before."""
    async with Simulator(dialect="beta") as sim, RestClient(sim.endpoint) as client:
        session = await client.create_session({"input_audio_format": "g711_ulaw", "voice": "alloy"})
        transcription = await client.create_transcription_session(beta.Session(input_audio_format="pcm16"))
    assert session.input_audio_format == "g711_ulaw"
    for made in (session, transcription):
        assert made.client_secret and str(made.client_secret.value).startswith("ek_")
        assert "ek_" not in repr(made)


async def test_an_incoming_call_is_accepted_referred_and_over() -> None:
    """The verbs of a SIP call, in the order of its life."""
    async with Simulator() as sim, RestClient(sim.endpoint) as client:
        call = await sim.ring()
        await client.accept_call(call.id, {"model": "gpt-realtime", "instructions": "Be brief."})
        assert call.state == "active"
        await client.refer_call(call.id, "tel:+15550100")
        assert (call.state, call.refer_to) == ("referred", "tel:+15550100")
        with pytest.raises(RestError) as refused:
            await client.hang_up(call.id)
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (409, "invalid_call_state", False)


async def test_a_call_is_rejected_with_603_or_as_said() -> None:
    """A SIP status turns it away."""
    async with Simulator() as sim, RestClient(sim.endpoint) as client:
        first, second = await sim.ring(), await sim.ring()
        await client.reject_call(first.id)
        await client.reject_call(second.id, 486)
    assert [first.reject_code, second.reject_code] == [603, 486]


async def test_an_offer_is_answered_and_the_call_joined_by_its_id() -> None:
    """WebRTC: the id comes from Location; then the call is hung up."""
    async with Simulator() as sim, RestClient(sim.endpoint) as client:
        made = await client.create_call(OFFER, {"model": "gpt-realtime"})
        assert made.sdp.startswith("v=0")
        assert [call.id for call in sim.calls] == [made.call_id]
        await client.hang_up(made.call_id)
        assert sim.calls[0].state == "ended"


async def test_an_offer_alone_goes_as_sdp_with_a_key_that_carries_a_session() -> None:
    """Without a session there is no form."""
    async with Simulator(api_key="test-key") as sim:
        async with RestClient(sim.endpoint) as client:
            secret = await client.create_client_secret({"model": "gpt-realtime"})
        async with RestClient(Endpoint(url=sim.url, api_key=secret.value)) as browser:
            made = await browser.create_call(OFFER)
        assert [call.id for call in sim.calls] == [made.call_id]


async def test_headers_and_queries_are_sent_as_asked(serve: Serve) -> None:
    """Organisation, project and safety identifier from the endpoint; more from the client; the key as a bearer."""
    async with serve(secret_answer()) as server:
        endpoint = Endpoint.openai(
            api_key="test-key", url=server.url, organization="org", project="proj", safety_identifier="user"
        )
        async with RestClient(endpoint, headers={"X-Trace": "7"}, query={"region": "eu"}) as client:
            secret = await client.create_client_secret()
            assert secret.request_id == "req_2"
            await client.create_session()
    first, second = server.asked
    told = ("Authorization", "OpenAI-Organization", "OpenAI-Project", "OpenAI-Safety-Identifier", "X-Trace", "Accept")
    assert [first.headers[name] for name in told] == ["Bearer test-key", "org", "proj", "user", "7", "application/json"]
    assert first.headers["Content-Type"] == "application/json" and first.query == {"region": "eu"}
    assert ("OpenAI-Beta" in first.headers, second.headers["OpenAI-Beta"]) == (False, "assistants=v2")
    assert json.loads(server.bodies[0]) == {"session": {"type": "realtime"}}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda client: client.create_client_secret(expires_after_s=9), "lives 10 to 7,200 s, not 9"),
        (lambda client: client.create_client_secret({"voice": "ash"}), "audio.output.voice"),
        (lambda client: client.create_call("hello"), "no SDP offer"),
        (lambda client: client.accept_call("../client_secrets", {}), "is no call id"),
        (lambda client: client.hang_up(""), "is no call id"),
        (lambda client: client.reject_call("rtc_1", 200), "turns no call away"),
        (lambda client: client.refer_call("rtc_1", "https://example.com"), "no address to refer to"),
        (lambda client: client.refer_call("rtc_1", "tel:+1\r\nX: y"), "no address to refer to"),
        (lambda client: client.create_session({"vioce": "ash"}), "unknown field 'vioce'"),
        (lambda client: client.create_session({"tools": 5}), "wrong value"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_it_is_sent(call: Any, told: str, serve: Serve) -> None:
    """Each is a ConfigurationError, and the server hears nothing."""
    async with serve(secret_answer()) as server, RestClient(server.endpoint) as client:
        with pytest.raises(ConfigurationError, match=told.replace(".", r"\.")):
            await call(client)
    assert server.asked == []


async def test_a_client_is_used_while_it_is_open() -> None:
    """Before and after, a call says so; opening twice too; closing twice is fine."""
    client = RestClient(Endpoint(url="ws://127.0.0.1:9/v1/realtime"))
    with pytest.raises(LocalProtocolError, match="not open"):
        await client.hang_up("rtc_1")
    async with client:
        with pytest.raises(LocalProtocolError, match="open already"):
            await client.__aenter__()
    await client.close()
    with pytest.raises(LocalProtocolError, match="not open"):
        await client.hang_up("rtc_1")


def test_without_a_key_there_is_no_client() -> None:
    """The same sentence as for a session."""
    with pytest.raises(ConfigurationError, match="no API key: set OPENAI_API_KEY"):
        RestClient()
