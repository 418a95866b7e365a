"""The page of `examples/15_browser`: what its server gives, and a conversation with it in a real browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from realtime_events.audio import PCM16, read_wav, write_wav

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


@pytest.fixture
async def url(child_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[str]:
    """Gives the address of the example's server, which has no key and so talks to the simulator."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVER), "0"), cwd=tmp_path, env=child_environment, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    async with asyncio.timeout(55):
        yield (await server.stdout.readline()).decode().split()[0]
        server.terminate()
        await server.wait()
        server._transport.close()  # type: ignore[attr-defined]


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


@pytest.mark.skipif(not DRIVEN, reason="no Chromium or no playwright-core; `nox -s browser` brings what it can")
async def test_a_page_in_chromium_speaks_and_hears_the_answer(
    url: str, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """B48: speech of a WAV file goes in by the microphone; words and sound of the answer arrive, and no key."""
    write_wav(tmp_path / "microphone.wav", PCM16.silence(1_000) + read_wav(QUESTION) + PCM16.silence(30_000))
    driver = await asyncio.create_subprocess_exec(
        *("node", str(DRIVER), f"{NODE_MODULES}/playwright-core", CHROMIUM, str(tmp_path / "microphone.wav"), url),
        env=child_environment,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(50):
        out, _ = await driver.communicate()
    assert driver.returncode == 0
    seen = json.loads(out)
    assert seen["problems"] == []
    assert seen["you"] == ["Hello! What is the weather in Bern today?"]
    assert len(seen["assistant"]) == 1
    assert "18 °C and sunny in Bern" in seen["assistant"][0]
    assert seen["sent"] > PCM16.n_bytes(SPEAK_S * 1_000)
    assert seen["heard"] > PCM16.n_bytes(500)
    assert seen["button"] == "Talk"
    assert not re.search(r"sk-|test-key|ek_|cheerful concierge|get_weather", out.decode())
