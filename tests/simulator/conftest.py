"""What the simulator's tests share: a client without a socket, a clock that is a number, and the schemas."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from realtime_events.audio import PCM16, read_wav
from realtime_events.simulator import ClipRecogniser, Organs, Plan, Request, Say, SimulatedSession, ToneVoice
from realtime_events.simulator.setup import SessionSetup

FIXTURES = Path(__file__).parent.parent / "fixtures"
CHUNK_BYTES = PCM16.n_bytes(100)
Frame = dict[str, Any]


@cache
def _validators(words: str) -> dict[str, jsonschema.Draft202012Validator]:
    dialect, side = ("ga", "translation_server") if words == "translation" else (words, "server")
    schema = json.loads((FIXTURES / "schemas" / f"{dialect}.schema.json").read_text(encoding="utf-8"))
    if words == "beta":  # the secret is there only when the session was made over REST, says the schema's own note
        schema["$defs"]["TranscriptionSession"]["required"].remove("client_secret")
    return {
        event: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
        for event, name in schema["x-events"][side].items()
    }


def check_frame(data: bytes | str, words: str) -> Frame:
    """Gives a server's frame as a mapping if it is what the schema of `ga`, `beta` or `translation` says."""
    frame: Frame = json.loads(data)
    problems = [f"{error.json_path}: {error.message}" for error in _validators(words)[frame["type"]].iter_errors(frame)]
    assert not problems, f"{frame['type']} is not as the schema says: {problems[:3]}\n{data!r:.600}"
    return frame


class Frames(list[Frame]):
    """Frames in order."""

    @property
    def types(self) -> list[str]:
        """The names of the frames."""
        return [frame["type"] for frame in self]

    def all(self, name: str) -> list[Frame]:
        """Gives the frames of a name."""
        return [frame for frame in self if frame["type"] == name]

    def one(self, name: str) -> Frame:
        """Gives the only frame of a name."""
        (found,) = self.all(name)
        return found

    def __add__(self, other: list[Frame]) -> Frames:  # type: ignore[override]
        return Frames([*self, *other])


class Reply:
    """A brain that answers with the plans it was given, the last of them for ever; keeps what it was asked."""

    def __init__(self, *plans: Plan) -> None:
        self.plans = list(plans) or [[Say("Hello there, how are you today?")]]
        self.asked: list[Request] = []

    def plan(self, request: Request) -> Plan:
        self.asked.append(request)
        return self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]


class Client:
    """Speaks to a session without a socket; time passes only when it says so."""

    def __init__(self, session: Any, brain: Reply | None = None) -> None:
        self.session = session
        self.brain = brain or Reply()
        self._words = "translation" if session.kind == "translation" else session.dialect
        self.now = 0.0
        self.frames = Frames()
        self.opening = self.poll()

    def poll(self) -> Frames:
        """Gives the frames that are due now, each checked against the schema."""
        fresh = Frames()
        while frames := self.session.poll(self.now):
            fresh += [check_frame(frame, self._words) for frame in frames]
        self.frames += fresh
        return fresh

    def raw(self, data: bytes) -> Frames:
        """Sends bytes and gives what is answered at once."""
        self.session.receive(data, self.now)
        return self.poll()

    def send(self, name: str, **fields: Any) -> Frames:
        """Sends a client event and gives what is answered at once."""
        return self.raw(json.dumps({"type": name, **fields}).encode())

    def refused(self, name: str, **fields: Any) -> Frame:
        """Sends a client event that must be refused, and nothing else; gives the error."""
        (frame,) = self.send(name, event_id="mine", **fields)
        assert frame["type"] == "error", frame
        assert frame["error"]["event_id"] == "mine"
        error: Frame = frame["error"]
        return error

    def wait(self, seconds: float = math.inf) -> Frames:
        """Lets time pass, stopping at each due time; without a number, until nothing but the expiry is planned."""
        end = self.now + seconds
        fresh = Frames()
        while (due := self.session.next_due()) is not None and due <= min(end, 3_000.0):
            self.now = max(self.now, due)
            fresh += self.poll()
        if seconds is not math.inf:
            self.now = end
        return fresh

    def say(self, text: str, **response: Any) -> Frames:
        """Adds a user's message, asks for a response, and gives everything up to its end."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        fresh = self.send("conversation.item.create", item=item)
        fresh += self.send("response.create", **({"response": response} if response else {}))
        return fresh + self.wait()

    def configure(self, **session: Any) -> Frame:
        """Updates the session and gives what is then in effect."""
        (frame,) = self.send("session.update", session={"type": self.session.kind, **session})
        assert frame["type"] == "session.updated", frame
        confirmed: Frame = frame["session"]
        return confirmed

    def speak(self, audio: bytes, *, chunk_bytes: int = CHUNK_BYTES, paced: bool = False) -> Frames:
        """Appends audio in pieces, in no time or in its own."""
        fresh = Frames()
        for start in range(0, len(audio), chunk_bytes):
            piece = base64.b64encode(audio[start : start + chunk_bytes]).decode()
            fresh += self.send("input_audio_buffer.append", audio=piece)
            if paced:
                fresh += self.wait(0.1)
        return fresh


Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Connect:
    """Gives a function that opens a session: `connect(*plans, pace=..., **setup)`."""

    def open_session(*plans: Plan, pace: float = math.inf, ears: ClipRecogniser | None = None, **setup: Any) -> Client:
        brain = Reply(*plans)
        organs = Organs(brain=brain, voice=ToneVoice(), recogniser=ears or ClipRecogniser(), pace=pace)
        return Client(SimulatedSession(organs, SessionSetup(**setup)), brain)

    return open_session


@pytest.fixture
def connect_to() -> Connect:
    """Gives a function that makes a client of a session."""
    return Client


@pytest.fixture
def client(connect: Connect) -> Client:
    """Gives a client of a new session that answers as fast as it is read."""
    return connect()


@pytest.fixture(scope="session")
def question() -> bytes:
    """Gives a spoken question with silence after it: pcm16 at 24 kHz."""
    return read_wav(FIXTURES / "audio" / "weather_bern.wav") + PCM16.silence(1_000)
