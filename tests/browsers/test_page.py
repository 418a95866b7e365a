"""The page of `examples/15_browser`: what its server gives, and a conversation with it in a real browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime_events.audio import PCM16, read_wav, write_wav

from ..hosting import hosted

ROOT = Path(__file__).parent.parent.parent
SERVER = ROOT / "examples" / "15_browser" / "server.py"
PAGE = SERVER.parent / "page"
DRIVER = Path(__file__).parent / "talk_in_chromium.js"
QUESTION = ROOT / "tests" / "fixtures" / "audio" / "weather_bern.wav"
# Read here, because each test hides such settings; `nox -s browser` brings what it names.
NODE_MODULES = os.environ.get("REALTIME_EVENTS_NODE_MODULES", "")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
DRIVEN = NODE_MODULES and CHROMIUM and shutil.which("node")
SPEAK_S = 2.0


OTHER_END = """<!doctype html><script>
const peer = new RTCPeerConnection(), ear = new Audio();
ear.autoplay = true;  // what nobody plays is not decoded either
peer.ontrack = (event) => { [ear.srcObject] = event.streams; };
async function energyHeard() {
  for (;;) {
    for (const report of (await peer.getStats()).values())
      if (report.type === "inbound-rtp" && report.totalAudioEnergy > 0) return report.totalAudioEnergy;
    await new Promise((then) => setTimeout(then, 50));
  }
}
(async () => {
  const offer = await (await fetch("/offer")).text();
  const context = new AudioContext(), out = context.createMediaStreamDestination();
  const tone = context.createOscillator();
  tone.connect(out);
  tone.start();
  peer.addTrack(out.stream.getTracks()[0], out.stream);
  peer.ondatachannel = ({ channel }) => {
    const say = (event) => channel.send(JSON.stringify(event));
    const tell = () => {
      say({ type: "input_audio_buffer.speech_started", item_id: "1" });
      say({ type: "conversation.item.input_audio_transcription.completed", item_id: "1", transcript: "Hello!" });
      say({ type: "response.output_audio_transcript.delta", item_id: "2", delta: "Good " });
      say({ type: "response.output_audio_transcript.delta", item_id: "2", delta: "day." });
      say({ type: "response.output_audio_transcript.done", item_id: "2", transcript: "Good day." });
    };
    if (channel.readyState === "open") tell(); else channel.onopen = tell;
  };
  await peer.setRemoteDescription({ type: "offer", sdp: offer });
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== "complete")
    await new Promise((then) => { peer.onicegatheringstatechange = then; });
  await fetch("/answer", { method: "POST", body: peer.localDescription.sdp });
})();
</script>"""


class OtherEnd:
    """An API whose end of a WebRTC call is a page in the same browser: it answers offers, and says one sentence."""

    def __init__(self) -> None:
        self._offer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.session: dict[str, Any] = {}

    async def call(self, request: web.Request) -> web.Response:
        form = await request.post()
        offer, session = form["sdp"], form["session"]
        self.session = json.loads(_text(session))
        self._offer.set_result(_text(offer))
        headers = {"Location": "/v1/realtime/calls/rtc_1"}
        return web.Response(status=201, text=await self._answer, content_type="application/sdp", headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(text=OTHER_END, content_type="text/html")

    async def offer(self, request: web.Request) -> web.Response:
        return web.Response(text=await self._offer)

    async def answer(self, request: web.Request) -> web.Response:
        self._answer.set_result(await request.text())
        return web.Response()


def _text(part: Any) -> str:
    raw = part.file.read() if isinstance(part, web.FileField) else part
    return raw.decode() if isinstance(raw, bytes | bytearray) else raw


@pytest.fixture
async def other_end() -> AsyncIterator[tuple[OtherEnd, str]]:
    """Runs the other end and gives its address."""
    end, app = OtherEnd(), web.Application()
    app.router.add_post("/v1/realtime/calls", end.call)
    app.router.add_get("/", end.page)
    app.router.add_get("/offer", end.offer)
    app.router.add_post("/answer", end.answer)
    async with hosted(app) as host:
        yield end, host.place


@asynccontextmanager
async def serving_the_page(folder: Path, env: dict[str, str]) -> AsyncIterator[str]:
    """Runs the example's server and gives its address."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVER), "0"), cwd=folder, env=env, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    async with asyncio.timeout(55):
        yield (await server.stdout.readline()).decode().split()[0]
        server.terminate()
        await server.wait()
        server._transport.close()  # type: ignore[attr-defined]


@pytest.fixture
async def url(child_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[str]:
    """Gives the address of the example's server, which has no key and so talks to the simulator."""
    async with serving_the_page(tmp_path, child_environment) as address:
        yield address


async def test_the_page_is_served_with_a_strict_policy_and_a_name_for_its_visitor(url: str) -> None:
    """Only our own scripts run; the cookie is out of reach of scripts and of other pages."""
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        page = await answer.text()
        assert 'data-way="relay"' in page
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert re.search(r"HttpOnly; Path=/; SameSite=Strict", answer.headers["Set-Cookie"])


async def test_who_has_not_loaded_the_page_gets_no_session(url: str) -> None:
    """And a visitor from another page neither."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        origin = {"Origin": url.rstrip("/")}
        async with http.post(url + "session", headers=origin) as answer:
            assert answer.status == 401
        await http.get(url)
        async with http.post(url + "session", headers=origin) as answer:
            assert answer.status == 200
        async with http.post(url + "session", headers={"Origin": "https://evil.example"}) as answer:
            assert answer.status == 403


async def test_nothing_else_of_the_folder_is_served(url: str) -> None:
    """Least of all the program."""
    async with aiohttp.ClientSession() as http:
        for path, status in (("talk.js", 200), ("server.py", 404), ("..%2fserver.py", 404), ("index.html", 404)):
            async with http.get(url + path) as answer:
                assert answer.status == status


def test_the_page_has_no_inline_script_and_loads_nothing_from_elsewhere() -> None:
    """Its policy forbids both; a page that needed them would be broken."""
    for path in PAGE.iterdir():
        text = path.read_text("utf-8")
        assert not re.search(r"https?://|\son\w+=|<style|javascript:", text), path.name
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path.name


async def drive(folder: Path, env: dict[str, str], *pages: str) -> dict[str, Any]:
    """Opens pages in Chromium, talks on the first, and gives what was seen."""
    write_wav(folder / "microphone.wav", PCM16.silence(1_000) + read_wav(QUESTION) + PCM16.silence(30_000))
    driver = await asyncio.create_subprocess_exec(
        *("node", str(DRIVER), f"{NODE_MODULES}/playwright-core", CHROMIUM, str(folder / "microphone.wav"), *pages),
        env=env,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(50):
        out, _ = await driver.communicate()
    assert driver.returncode == 0
    seen: dict[str, Any] = json.loads(out)
    return seen


@pytest.mark.skipif(not DRIVEN, reason="no Chromium or no playwright-core; `nox -s browser` brings what it can")
async def test_a_page_in_chromium_speaks_and_hears_the_answer(
    url: str, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B48: speech of a WAV file goes in by the microphone; words and sound of the answer arrive, and no key."""
    seen = await drive(tmp_path, child_environment, url)
    assert seen["problems"] == []
    assert seen["you"] == ["Hello! What is the weather in Bern today?"]
    assert len(seen["assistant"]) == 1
    assert "18 °C and sunny in Bern" in seen["assistant"][0]
    assert seen["sent"] > PCM16.n_bytes(SPEAK_S * 1_000)
    assert seen["heard"] > PCM16.n_bytes(500)
    assert seen["button"] == "Talk"
    assert not re.search(r"sk-|test-key|ek_|cheerful concierge|get_weather", json.dumps(seen))


@pytest.mark.skipif(not DRIVEN, reason="no Chromium or no playwright-core; `nox -s browser` brings what it can")
async def test_with_a_key_the_page_talks_over_webrtc_and_never_sees_the_key(
    other_end: tuple[OtherEnd, str], tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B48: the server answers the offer; sound goes from the microphone to the other end, words come back."""
    end, host = other_end
    env = {**child_environment, "OPENAI_API_KEY": "canary-key", "OPENAI_REALTIME_URL": f"ws://{host}/v1/realtime"}
    async with serving_the_page(tmp_path, env) as url:
        seen = await drive(tmp_path, child_environment, url, f"http://{host}/")
    assert seen["problems"] == []
    assert (seen["you"], seen["assistant"]) == (["Hello!"], ["Good day."])
    assert seen["energy"] > 0
    assert end.session["instructions"] == "You are a cheerful concierge."
    assert [tool["name"] for tool in end.session["tools"]] == ["get_weather"]
    assert "canary-key" not in json.dumps(seen)
