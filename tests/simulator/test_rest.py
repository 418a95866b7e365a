"""The REST endpoints beside the socket: client secrets and the beta's sessions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from realtime_events.simulator import Simulator
from realtime_events.simulator.client_secrets import Keys
from realtime_events.simulator.errors import Refusal

KEY = {"Authorization": "Bearer test-key"}
SCHEMAS = Path(__file__).parent.parent / "fixtures" / "schemas"


def check(body: Any, name: str, dialect: str = "ga") -> None:
    """Checks a body against its schema."""
    schema = json.loads((SCHEMAS / f"{dialect}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}).validate(body)


async def post(sim: Simulator, path: str, body: Any = None, headers: Any = None) -> tuple[int, Any]:
    """Posts JSON and gives status and answer."""
    data = body if isinstance(body, bytes) else json.dumps(body)
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{sim.http_url}{path}", data=data, headers=KEY if headers is None else headers) as answer:
            return answer.status, await answer.json()


async def connected(sim: Simulator, key: str, path: str = "/v1/realtime") -> Any:
    """Connects with a key and gives the session as it is created."""
    async with aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {key}"}
        async with http.ws_connect(f"ws://127.0.0.1:{sim.port}{path}", headers=headers) as socket:
            return (await socket.receive_json())["session"]


async def test_a_client_secret_opens_its_session() -> None:
    async with Simulator(api_key="test-key") as sim:
        wanted = {"type": "realtime", "model": "gpt-realtime-2", "instructions": "Be brief."}
        status, body = await post(sim, "/v1/realtime/client_secrets", {"session": wanted})
        assert status == 200
        check(body, "ClientSecretCreateResponse")
        assert body["value"].startswith("ek_")
        session = await connected(sim, body["value"])
        assert (session["model"], session["instructions"]) == ("gpt-realtime-2", "Be brief.")


async def test_a_client_secret_is_for_its_kind() -> None:
    async with Simulator() as sim:
        wanted = {"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        _, body = await post(sim, "/v1/realtime/client_secrets", {"session": wanted})
        check(body, "ClientSecretCreateResponse")
        session = await connected(sim, body["value"])
        assert session["type"] == "transcription"
        assert session["audio"]["input"]["transcription"]["model"] == "whisper-1"


async def test_a_client_secret_lives_as_long_as_asked() -> None:
    async with Simulator() as sim:
        body = {"session": {"type": "realtime"}, "expires_after": {"anchor": "created_at", "seconds": 10}}
        _, made = await post(sim, "/v1/realtime/client_secrets", body)
        assert made["expires_at"] - time.time() == pytest.approx(10, abs=2)


def test_a_client_secret_expires() -> None:
    now = [1_000.0]
    keys = Keys(None, lambda: now[0])
    secret = keys.issue(kind="realtime", session=None, seconds=10)
    headers = {"Authorization": f"Bearer {secret.value}"}
    assert keys.admit(headers, {}) == secret
    now[0] += 10
    with pytest.raises(Refusal, match="expired") as refused:
        keys.admit(headers, {})
    assert refused.value.status == 401


async def test_a_made_up_client_secret_is_refused() -> None:
    async with Simulator() as sim:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connected(sim, "ek_made_up")
        assert refused.value.status == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"session": {}}, "session.type"),
        ({"session": {"type": "poem"}}, "session.type"),
        ({"session": {"type": "realtime", "voice": "ash"}}, "session.voice"),
        ({"session": {"type": "realtime"}, "expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"session": {"type": "realtime", "output_modalities": ["smell"]}}, "session.output_modalities"),
        (b"{", None),
    ],
)
async def test_a_bad_body_is_refused(body: Any, param: str | None) -> None:
    async with Simulator() as sim:
        status, said = await post(sim, "/v1/realtime/client_secrets", body)
        assert status == 400
        assert said["error"]["param"] == param


async def test_rest_needs_a_real_key() -> None:
    async with Simulator(api_key="test-key") as sim:
        assert (await post(sim, "/v1/realtime/client_secrets", {}, {}))[0] == 401
        _, made = await post(sim, "/v1/realtime/client_secrets", {})
        with_secret = {"Authorization": f"Bearer {made['value']}"}
        assert (await post(sim, "/v1/realtime/client_secrets", {}, with_secret))[0] == 401


async def test_a_translation_secret_opens_a_translation() -> None:
    async with Simulator() as sim:
        wanted = {"model": "gpt-realtime-translate", "audio": {"output": {"language": "es"}}}
        _, body = await post(sim, "/v1/realtime/translations/client_secrets", {"session": wanted})
        check(body, "RealtimeTranslationClientSecretCreateResponse")
        session = await connected(sim, body["value"], "/v1/realtime/translations")
        assert (session["type"], session["audio"]["output"]["language"]) == ("translation", "es")


@pytest.mark.parametrize(
    ("path", "name"),
    [("sessions", "SessionCreateResponse"), ("transcription_sessions", "TranscriptionSession")],
)
async def test_the_betas_sessions_come_flat_with_their_secret(path: str, name: str) -> None:
    async with Simulator(dialect="beta") as sim:
        wanted = {"input_audio_format": "g711_ulaw", "turn_detection": {"type": "server_vad", "threshold": 0.3}}
        status, body = await post(sim, f"/v1/realtime/{path}", wanted)
        assert status == 200
        check(body, name, "beta")
        session = await connected(sim, body["client_secret"]["value"])
        assert session["input_audio_format"] == "g711_ulaw"
        assert session["turn_detection"]["threshold"] == 0.3
