"""A page that talks: over WebRTC with a key, over a WebSocket relay to the simulator without one.

python server.py [port]

The page decides nothing: instructions, voice and tools are those of this program, whose key stays here.
"""

import asyncio
import os
import secrets
import sys
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path

from aiohttp import web

from realtime_events import Endpoint, Realtime
from realtime_events.audio import read_wav
from realtime_events.simulator import ClipRecogniser, Simulator

PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
RECORDED = "Hello! What is the weather in Bern today?"
COOKIE = "visitor"
SAFE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

rt = Realtime(
    instructions="You are a cheerful concierge.",
    session={"audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}},
)


@rt.tool
async def get_weather(city: str) -> str:
    """Look up the current weather.

    Args:
        city: The city's name, such as "Bern".
    """
    return f"18 °C and sunny in {city}"


class Site:
    """The page and its visitors: whoever has loaded it may talk, and is known by a cookie."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._visitors: set[str] = set()

    def who(self, request: web.Request) -> str | None:
        """Give the visitor behind a request; a real application looks at its own login here."""
        visitor = request.cookies.get(COOKIE, "")
        return visitor if visitor in self._visitors else None

    async def index(self, request: web.Request) -> web.Response:
        """Give the page, which is told by which way it shall talk."""
        page = (PAGE / "index.html").read_text("utf-8").replace("{way}", self._way)
        answer = web.Response(text=page, content_type="text/html", headers=SAFE)
        visitor = secrets.token_urlsafe(16)
        self._visitors.add(visitor)
        answer.set_cookie(COOKIE, visitor, httponly=True, samesite="Strict")
        return answer

    async def part(self, request: web.Request) -> web.Response:
        """Give a script or the style of the page."""
        path = PAGE / request.match_info["name"]
        return web.Response(text=path.read_text("utf-8"), content_type=KINDS[path.suffix], headers=SAFE)


async def endpoint_of(stack: AsyncExitStack) -> Endpoint:
    """Give the real endpoint where there is a key, and the simulator, which knows one recording, elsewhere."""
    if "OPENAI_API_KEY" in os.environ:
        return Endpoint.openai()
    ears = ClipRecogniser()
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as recorded:
        ears.add(read_wav(recorded), RECORDED)
    return (await stack.enter_async_context(Simulator(recogniser=ears))).endpoint


async def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8015
    async with AsyncExitStack() as stack:
        endpoint = await endpoint_of(stack)
        site = Site("relay" if endpoint.is_simulated else "webrtc")
        app = web.Application()
        rt.web_routes(authorize=site.who, relay=True, endpoint=endpoint).add_to(app)
        app.router.add_get("/", site.index)
        app.router.add_get(r"/{name:[a-z]+\.(?:js|css)}", site.part)
        runner = web.AppRunner(app, shutdown_timeout=2.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}/  (Ctrl-C ends it)", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
