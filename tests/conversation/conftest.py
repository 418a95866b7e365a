"""What the conversation's tests share: a recorded session, and a way to play events as State does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from realtime_events.audio import PCM16, read_wav
from realtime_events.events import server
from realtime_events.events.base import Event
from realtime_events.events.client import InputAudioBufferAppend
from realtime_events.protocol import decode, encode
from realtime_events.protocol.conversation import Conversation
from realtime_events.simulator import Call, ClipRecogniser, Organs, Say, SimulatedSession, ToneVoice

AUDIO = Path(__file__).parent.parent / "fixtures" / "audio"
PICTURE = "data:image/png;base64,aGVsbG8="
Timed = tuple[Event, float]
Play = Callable[[Iterable[Timed]], Conversation]


class Answers:
    """A brain that calls a tool when the weather is asked for, and talks otherwise."""

    def plan(self, request: Any) -> list[Any]:
        last = request.conversation[-1] if request.conversation else None
        words = " ".join(part.text or part.transcript or "" for part in (last.content or ())) if last else ""
        if last is not None and last.type == "function_call_output":
            return [Say("It is eighteen degrees and sunny in Bern.")]
        if "weather" in words:
            return [Say("One moment, I will look."), Call("get_weather", '{"city": "Bern"}')]
        return [Say("Good morning, what can I do for you on this fine day?")]


class Recorder:
    """Talks to a simulated session, and keeps each of its events with the time."""

    def __init__(self) -> None:
        question = read_wav(AUDIO / "weather_bern.wav")
        ears = ClipRecogniser()
        ears.add(question, "what is the weather in Bern")
        self.question = question + PCM16.silence(1_000)
        self.session = SimulatedSession(Organs(brain=Answers(), voice=ToneVoice(), recogniser=ears, pace=4.0))
        self.events: list[Timed] = []
        self.now = 0.0

    def send(self, name: str, **fields: Any) -> None:
        self.session.receive(json.dumps({"type": name, **fields}).encode(), self.now)
        self.poll()

    def append(self, audio: bytes) -> None:
        for start in range(0, len(audio), PCM16.n_bytes(100)):
            event = InputAudioBufferAppend(audio=audio[start : start + PCM16.n_bytes(100)])
            self.session.receive(encode(event), self.now)
            self.wait(0.1)

    def wait(self, seconds: float = math.inf) -> None:
        end = self.now + seconds
        while (due := self.session.next_due()) is not None and due <= min(end, 3_000.0):
            self.now = max(self.now, due)
            self.poll()
        if seconds is not math.inf:
            self.now = end

    def poll(self) -> None:
        while frames := self.session.poll(self.now):
            self.events += [(decode(frame), self.now) for frame in frames]

    def last(self, kind: type[Any]) -> Any:
        return [event for event, _ in self.events if isinstance(event, kind)][-1]


def record() -> list[Timed]:
    """Records a session: text, an image, speech, a tool call, an interruption, an out-of-band response, a deletion."""
    talk = Recorder()
    transcribed = {"transcription": {"model": "whisper-1"}}
    talk.send("session.update", session={"type": "realtime", "audio": {"input": transcribed}})
    hello = [{"type": "input_text", "text": "Good morning"}, {"type": "input_image", "image_url": PICTURE}]
    talk.send("conversation.item.create", item={"type": "message", "role": "user", "content": hello, "id": "hello"})
    talk.send("response.create")
    talk.wait(0.2)
    talk.send("response.cancel")
    talk.wait(0.1)
    spoken = talk.last(server.ResponseOutputAudioDelta)
    talk.send("conversation.item.truncate", item_id=spoken.item_id, content_index=0, audio_end_ms=300)
    talk.append(talk.question)
    talk.wait()
    call = talk.last(server.ResponseFunctionCallArgumentsDone)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "18 °C and sunny"}
    talk.send("conversation.item.create", item=output)
    talk.send("response.create")
    talk.wait()
    talk.send("response.create", response={"conversation": "none", "output_modalities": ["text"]})
    talk.wait()
    for words, item_id in (("forget this", "forgotten"), ("thank you", "thanks")):
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}
        talk.send("conversation.item.create", item={**message, "id": item_id})
    talk.send("conversation.item.delete", item_id="forgotten")
    first = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind"}], "id": "kind"}
    talk.send("conversation.item.create", item=first, previous_item_id="root")
    talk.wait()
    return talk.events


def play_as_state(events: Iterable[Timed]) -> Conversation:
    """Passes events and deltas on as State does."""
    conversation = Conversation()
    for event, now in events:
        match event:
            case server.ResponseOutputTextDelta() | server.ResponseOutputAudioTranscriptDelta():
                conversation.pieces(event.item_id, event.content_index, event.response_id).append(event.delta)
            case server.ResponseFunctionCallArgumentsDelta():
                conversation.arguments(event.item_id, event.response_id, event.call_id).append(event.delta)
            case server.ResponseMcpCallArgumentsDelta():
                conversation.arguments(event.item_id, event.response_id, "").append(event.delta)
            case server.ResponseOutputAudioDelta():
                conversation.audio_item(event.item_id, event.response_id).audio_bytes += len(event.delta)
            case _:
                conversation.apply(event, now)
    return conversation


@pytest.fixture(scope="session")
def recording() -> list[Timed]:
    """Gives the events of a recorded session, each with its time."""
    return record()


@pytest.fixture(scope="session")
def play() -> Play:
    """Gives a function that makes a conversation of events."""
    return play_as_state
