"""Organs that take their time: they work where the session's runner puts them, and hold up nobody."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest

from realtime_events.simulator import Organs, SimulatedSession, Simulator, ToneVoice
from realtime_events.simulator.brains import EchoBrain
from realtime_events.simulator.setup import SessionSetup
from realtime_events.simulator.translating import SimulatedTranslation

WORDS = "Good morning."
Work = Callable[[], None]


class SlowEars:
    """Ears that always hear the same."""

    is_slow = True

    def hear(self, pcm: bytes) -> str:
        return WORDS


class SlowVoice(ToneVoice):
    """A voice of tones that may break off."""

    is_slow = True

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks

    def speak(self, text: str) -> Iterator[bytes]:
        yield from super().speak(text)
        if self.breaks:
            raise OSError("no breath")


class Elsewhere:
    """A place for slow work, done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable[[Any, float], None]]] = []

    def __call__(self, job: Callable[[], Any], then: Callable[[Any, float], None]) -> None:
        self.waiting.append((job, then))

    def finish(self, client: Any) -> Any:
        """Does the work that waits and all that follows from it; gives the frames."""
        frames = client.poll()
        while self.waiting:
            job, then = self.waiting.pop(0)
            then(job(), client.now)
            frames = frames + client.poll() + client.wait()
        return frames


@pytest.fixture
def elsewhere() -> Elsewhere:
    """Gives a place for slow work."""
    return Elsewhere()


@pytest.fixture
def slow(connect_to: Any, elsewhere: Elsewhere) -> Callable[..., Any]:
    """Gives a function that opens a session with slow ears and a slow voice."""

    def open_session(*, cls: Any = SimulatedSession, kind: Any = "realtime", **voice: Any) -> Any:
        organs = Organs(brain=EchoBrain(), voice=SlowVoice(**voice), recogniser=SlowEars())
        client = connect_to(cls(organs, SessionSetup(kind=kind)))
        client.session.run_slow_organs_on(elsewhere)
        return client

    return open_session


def test_an_answer_waits_for_slow_ears_and_nothing_else_does(slow: Any, elsewhere: Elsewhere, question: bytes) -> None:
    client = slow()
    client.speak(question)
    assert client.frames.types[-2:] == ["response.created", "rate_limits.updated"]
    assert client.send("conversation.item.delete", item_id="item_none").types == ["error"]
    frames = elsewhere.finish(client)
    assert frames.one("response.output_audio_transcript.done")["transcript"] == WORDS
    assert frames.one("response.done")["response"]["status"] == "completed"


def test_a_slow_voice_says_what_a_quick_one_says(slow: Any, elsewhere: Elsewhere, question: bytes) -> None:
    client = slow()
    client.speak(question)
    deltas = elsewhere.finish(client).all("response.output_audio.delta")
    spoken = b"".join(base64.b64decode(delta["delta"]) for delta in deltas)
    assert spoken == b"".join(ToneVoice().speak(WORDS))


def test_a_response_that_is_cancelled_while_the_voice_works_stays_silent(
    slow: Any, elsewhere: Elsewhere, question: bytes
) -> None:
    client = slow()
    client.speak(question)
    hear, understood = elsewhere.waiting.pop()
    understood(hear(), client.now)
    client.poll()
    assert len(elsewhere.waiting) == 1
    assert client.send("response.cancel").one("response.done")["response"]["status"] == "cancelled"
    assert elsewhere.finish(client) == []


def test_a_slow_voice_that_breaks_fails_the_response(slow: Any, elsewhere: Elsewhere, question: bytes) -> None:
    client = slow(breaks=True)
    client.speak(question)
    response = elsewhere.finish(client).one("response.done")["response"]
    assert response["status"] == "failed"
    assert "no breath" not in str(response)


def test_a_translation_closes_only_when_its_slow_ears_have_heard_the_last_word(
    slow: Any, elsewhere: Elsewhere, question: bytes
) -> None:
    client = slow(cls=SimulatedTranslation, kind="translation")
    piece = base64.b64encode(question[: 48 * 2_600]).decode()
    client.send("session.input_audio_buffer.append", audio=piece)
    assert "session.closed" not in (client.send("session.close") + client.wait()).types
    frames = elsewhere.finish(client)
    assert frames.one("session.output_transcript.delta")["delta"] == f"[en] {WORDS}"
    assert frames.types[-1] == "session.closed"


async def test_the_server_serves_others_while_somebody_is_listened_to(question: bytes) -> None:
    listening, go_on = threading.Event(), threading.Event()

    class PatientEars(SlowEars):
        def hear(self, pcm: bytes) -> str:
            listening.set()
            assert go_on.wait(10)
            return WORDS

    async with (
        asyncio.timeout(20),
        Simulator(brain=EchoBrain(), recogniser=PatientEars(), pace=None) as sim,
        aiohttp.ClientSession(headers={"Authorization": "Bearer test-key"}) as http,
        http.ws_connect(f"{sim.url}?model=gpt-realtime") as first,
    ):
        audio = base64.b64encode(question).decode()
        await first.send_json({"type": "input_audio_buffer.append", "audio": audio})
        await asyncio.to_thread(listening.wait, 10)
        async with http.ws_connect(f"{sim.url}?model=gpt-realtime") as second:
            assert (await second.receive_json())["type"] == "session.created"
        go_on.set()
        while (frame := await first.receive_json())["type"] != "response.done":
            pass
        assert frame["response"]["output"][0]["content"][0]["transcript"] == WORDS
