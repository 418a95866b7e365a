"""The targets: each takes bytes as they could come from a server, a model, a sender or a disk, and must not raise.

Owns what is allowed to be raised where. `fuzz/__main__.py` drives them with atheris, `tests/security/test_fuzz.py` with
a fixed set of inputs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from realtime_events import ConfigurationError, Realtime, Session, WebhookVerificationError
from realtime_events.exceptions import ToolArgumentsError
from realtime_events.protocol import decode, encode, redaction
from realtime_events.protocol.conversation import Conversation
from realtime_events.recorder import Tape
from realtime_events.simulator.calls import signed
from realtime_events.testing import Peer
from realtime_events.tools.registry import ToolRegistry
from realtime_events.webhooks import verify_webhook

SAMPLES = Path(__file__).parents[1] / "tests" / "fixtures" / "samples"
SECRET = "whsec_Zm9yLWZ1enppbmctb25seQ=="
FRAMES_PER_SESSION = 500
MOST_TAPE_BYTES = 1 << 20


def frame(data: bytes) -> None:
    """The codec is total, for both dialects, all kinds and both sides; what was not understood is sent as it came."""
    for dialect in ("ga", "beta"):
        for side in ("server", "client"):
            event = decode(data, dialect=dialect, side=side)  # type: ignore[arg-type]
            repr(event)
            if hasattr(event, "raw"):
                assert encode(event) == data
    decode(data, kind="transcription")
    decode(data, kind="translation")


def taped(data: bytes) -> None:
    """What goes onto a tape can be made of any frame, and no audio is counted below zero."""
    redaction.without_secrets(redaction.without_audio(data))
    redaction.with_silence(data) if len(data) < 256 else None
    assert redaction.audio_bytes(data) >= 0


class Walk:
    """A session with every handler, whose frames come from the fuzzer."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._session: Session | None = None
        self._left = 0

    def __call__(self, data: bytes) -> None:
        """A frame walks through all rooms; State never raises on what a server says."""
        self._runner.run(self._walk(data))

    async def _walk(self, data: bytes) -> None:
        if not self._left or self._session is None or self._session.is_closed:
            await self._begin()
        self._left -= 1
        assert self._session is not None
        self._session._connection._on_frame(data)
        await asyncio.sleep(0)

    async def _begin(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._left = FRAMES_PER_SESSION
        rt = Realtime()
        rt.on("*", lambda event: None)
        rt.tool(_booked)
        peer = Peer()
        self._session = await rt.connect(endpoint=peer.endpoint, dial=peer.dial)


async def _booked(city: str, nights: int = 1, guests: list[str] | None = None) -> str:
    """Book a room."""
    return f"{nights} nights in {city} for {guests}"


_registry = ToolRegistry()
_registry.tool(_booked)
_booking = _registry.get("_booked")


def arguments(data: bytes) -> None:
    """A model's arguments are taken, or refused in words."""
    try:
        _booking.decode("book", data.decode("utf-8", "replace"))
    except ToolArgumentsError as error:
        assert str(error).isprintable()


def webhook(data: bytes) -> None:
    """A sender that nobody knows is refused, and a signed body that is no event as well."""
    now = int(time.time())
    for headers in (signed(data, webhook_id="wh_1", unix_s=now, secret=SECRET), _headers(data)):
        try:
            verify_webhook(data, headers, secret=SECRET, now=now)
        except WebhookVerificationError as error:
            assert str(error).isprintable()


def _headers(data: bytes) -> dict[str, str]:
    words = [*data.decode("latin-1").split("\n"), "", "", ""]
    return dict(zip(("webhook-id", "webhook-timestamp", "webhook-signature"), words, strict=False))


def tape(data: bytes) -> None:
    """A tape is read as far as it goes, however it was torn."""
    try:
        repr(Tape.parse(data, max_bytes=MOST_TAPE_BYTES))
    except OverflowError:
        assert data.startswith(b"\x1f\x8b") or len(data) > MOST_TAPE_BYTES


def conversation(data: bytes) -> None:
    """A saved conversation is restored, or refused; what was restored is saved again the same."""
    try:
        restored = Conversation.from_json(data)
    except ConfigurationError:
        return
    saved = restored.to_json()
    assert Conversation.from_json(saved).to_json() == saved


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "frame": frame,
    "path": Walk(),
    "taped": taped,
    "arguments": arguments,
    "webhook": webhook,
    "tape": tape,
    "conversation": conversation,
}


def corpus() -> Iterator[bytes]:
    """Gives what to begin with: a frame of every event, and one of each other thing that is read."""
    for path in sorted(SAMPLES.rglob("*.json")):
        yield path.read_bytes()
    yield b'{"city":"Bern","nights":2,"guests":["Ann"]}'
    yield b'{"id":"evt_1","type":"realtime.call.incoming","data":{"call_id":"rtc_1","sip_headers":[]}}'
    yield b'{"tape":1,"dialect":"ga","kind":"realtime"}\n{"t":0.1,"epoch":1}\n{"t":0.200000,"d":"in","f":{}}\n'
    yield b'{"format":"realtime_events.conversation","version":1,"items":[{"id":"i","type":"message","role":"user"}]}'
