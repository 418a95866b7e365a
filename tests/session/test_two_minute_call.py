"""A call of two minutes with six interruptions: both sides know to the millisecond what was heard, and so do captions.

The server is the simulator without its socket, and time passes only when the test says so. A loudspeaker keeps its own
books of what it has played; the client, the server and the captions are held against them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from realtime_events import Options, Realtime, Session, SessionConfig
from realtime_events.audio import PCM16, read_wav
from realtime_events.endpoint import Endpoint
from realtime_events.events import (
    AudioFlush,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ResponseOutputAudioDelta,
    SpeechInterrupted,
)
from realtime_events.protocol import decode
from realtime_events.simulator import ClipRecogniser, Organs, Say, ScriptBrain, SimulatedSession, Step
from realtime_events.testing import ManualClock
from realtime_events.transport import Ending, OnFrame

CLIPS = Path(__file__).parent.parent / "fixtures" / "audio"
QUESTION = ("weather_bern.wav", "Hello! What is the weather in Bern today?")
BOOKING = ("book_table.wav", "Please book a table for two at seven o'clock.")
REMARK = ("librivox_0880.wav", "He was not an ill disposed young man.")
STOP = ("stop.wav", "Stop, wait a moment.")

TICK_MS = 20
CALL_MS = 120_000
LETTER_MS = 60  # a brisk reader
LIST_LETTER_MS = 20
DEVICE_MS = 40  # how long a loudspeaker takes to begin

WEATHER = (
    "In Bern it is eighteen degrees and sunny this morning, with a light wind from the west. In the afternoon some "
    "clouds come in from the Jura, and by the evening there may be a little rain over the lakes, so take a coat."
)
RIGHT = "All right, I am listening."
TABLE = (
    "There is a table for two at seven in the old restaurant by the river, and another one at half past seven in the "
    "garden of the museum. Both have a kitchen that is open until ten. Which of the two would you like me to book?"
)
TOMORROW = (
    "Tomorrow begins with fog along the river that is gone by ten, then it is dry and warm until the late afternoon, "
    "with twenty-two degrees in town and a few less on the hills around it. Towards the night it is getting cooler."
)
# As long a word as the simulator says with each 100 ms of audio, so that words and audio come in step.
LIST = " ".join(["dogs", "cats", "bees", "hens", "bats", "cows", "owls", "rats", "pigs", "deer"] * 6)
FIRST = "That is a remark from an old novel, I believe, about a man and what he had promised to his father."
SECOND = "Shall I go on and read you the whole chapter it is from?"
SHORT = "Unfortunately not."
GOODBYE = "Good, then I stop here. Thank you for your call, and have a pleasant day."

STEPS = [[WEATHER], [RIGHT], [TABLE], [TOMORROW], [LIST], [FIRST, SECOND], [SHORT], [GOODBYE]]


class EvenVoice:
    """Every letter sounds for the same time, so that it is known to the millisecond when each word is over."""

    def speak(self, text: str) -> Iterator[bytes]:
        yield PCM16.silence(letter_ms(text) * len(text))


def letter_ms(text: str) -> int:
    return LIST_LETTER_MS if text == LIST else LETTER_MS


def words_until(text: str, ms: float) -> str:
    """Give the words of a text that the voice has ended after so many milliseconds."""
    ends = [word.end() for word in re.finditer(r"\S+", text) if word.end() * letter_ms(text) <= ms]
    return text[: ends[-1]] if ends else ""


class Line:
    """A connection without a network: what one side says has reached the other before time goes on."""

    def __init__(self, server: SimulatedSession, clock: ManualClock) -> None:
        self.server, self.clock = server, clock
        self.truncates: list[tuple[str, int]] = []
        self.truncated: list[tuple[str, int]] = []
        self.has_room, self.unsent_bytes = True, 0
        self._on_frame: OnFrame | None = None
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def dial(self, url: str, headers: dict[str, str], options: Options) -> Any:
        return self

    async def run(self, on_frame: OnFrame) -> Ending:
        self._on_frame = on_frame
        self.deliver()
        return await self._ended

    def deliver(self) -> None:
        """Give the client what is due now."""
        while self._on_frame is not None and (frames := self.server.poll(self.clock())):
            for frame in frames:
                event = decode(frame)
                if isinstance(event, ConversationItemTruncated):
                    self.truncated.append((event.item_id, event.audio_end_ms))
                self._on_frame(frame)

    def pass_ms(self, ms: float) -> None:
        """Let time pass, stopping wherever the server has something to say."""
        end = round(self.clock.now + ms / 1000, 6)
        while (due := self.server.next_due()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            self.deliver()
        self.clock.now = end

    def write(self, data: bytes) -> None:
        event = decode(data, side="client")
        if isinstance(event, ConversationItemTruncate):
            self.truncates.append((event.item_id, event.audio_end_ms))
        self.server.receive(data, self.clock())

    async def send(self, data: bytes) -> None:
        self.write(data)

    async def drain(self) -> None:
        """There is always room."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if not self._ended.done():
            self._ended.set_result(Ending(code, reason, "client"))

    def abort(self) -> None:
        self._ended.cancel()


class Played(NamedTuple):
    """An item that the loudspeaker was playing, or was still to play, when it was told to stop."""

    item_id: str
    ms: Fraction


class Loudspeaker:
    """Plays what comes, piece after piece, and keeps books in exact fractions of a millisecond.

    With a `delay_ms` it is a real one: it begins late, and reports to the session what it has played.
    """

    def __init__(self, rt: Realtime, clock: ManualClock, *, delay_ms: int, reports: bool) -> None:
        self.began_ms: dict[str, Fraction] = {}
        self.stops: list[list[Played]] = []
        self.heard_ms: dict[str, Fraction] = {}
        self._pieces: list[tuple[str, Fraction, Fraction]] = []
        self._reported: dict[str, Fraction] = {}
        self._clock, self._delay_ms, self._reports = clock, delay_ms, reports
        rt.on("response.output_audio.delta", self._take, delivery="inline")
        rt.on("audio.flush", self._stop, delivery="inline")

    def now_ms(self) -> Fraction:
        return Fraction(round(self._clock() * 1_000_000), 1_000)

    def _take(self, event: ResponseOutputAudioDelta) -> None:
        begin = self.now_ms() + self._delay_ms
        if self._pieces and self._pieces[-1][2] >= self.now_ms():
            begin = self._pieces[-1][2]
        self.began_ms.setdefault(event.item_id, begin)
        self._pieces.append((event.item_id, begin, begin + Fraction(len(event.delta), 48)))

    def _played(self, item_id: str) -> Fraction:
        now = self.now_ms()
        spans = ((begin, end) for name, begin, end in self._pieces if name == item_id)
        return sum((min(max(now - begin, Fraction(0)), end - begin) for begin, end in spans), Fraction(0))

    def report(self, session: Session) -> None:
        """Say what was played so far."""
        if self._reports:
            for item_id in dict.fromkeys(name for name, _, _ in self._pieces):
                self._reported[item_id] = self._played(item_id)
                session.playback.played(item_id, ms=float(self._reported[item_id]))

    def _stop(self, event: AudioFlush) -> None:
        now = self.now_ms()
        waiting = dict.fromkeys(name for name, _, end in self._pieces if end > now)
        known = self._reported if self._reports else {name: self._played(name) for name in waiting}
        self.stops.append([Played(name, known.get(name, Fraction(0))) for name in waiting])
        self.heard_ms |= {played.item_id: played.ms for played in self.stops[-1]}
        self._pieces.clear()

    @property
    def is_playing(self) -> bool:
        return bool(self._pieces) and self._pieces[-1][2] > self.now_ms()


class Call:
    """The call: somebody talks into the microphone or is silent, somebody listens, and time passes."""

    def __init__(self, session: Session, line: Line, speaker: Loudspeaker) -> None:
        self.session, self.line, self.speaker = session, line, speaker
        self.told: list[tuple[str, int]] = []
        self._microphone = b""

    def note(self, event: SpeechInterrupted) -> None:
        """Note what handlers are told of an interruption."""
        self.told.append((event.item_id, event.audio_end_ms))

    def says(self, clip: tuple[str, str]) -> None:
        self._microphone = read_wav(CLIPS / clip[0])

    async def tick(self) -> None:
        size = PCM16.n_bytes(TICK_MS)
        piece, self._microphone = self._microphone[:size].ljust(size, b"\0"), self._microphone[size:]
        await self.session.send_audio(piece)
        self.line.pass_ms(TICK_MS)
        self.speaker.report(self.session)
        for _ in range(3):  # Whoever waits for what has come goes on.
            await asyncio.sleep(0)
            self.line.deliver()

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(30_000 // TICK_MS):
            if condition():
                return
            await self.tick()
        raise AssertionError("this took more than 30 seconds of the call")

    async def pass_ms(self, ms: float) -> None:
        for _ in range(round(ms / TICK_MS)):
            await self.tick()

    async def hears_for(self, ms: float) -> None:
        """Let the assistant begin, and listen for so long."""
        known = len(self.speaker.began_ms)
        await self.until(lambda: len(self.speaker.began_ms) > known)
        await self.pass_ms(ms)

    async def hears_it_all(self) -> None:
        await self.hears_for(TICK_MS)
        await self.until(lambda: not self.speaker.is_playing)
        await self.pass_ms(500)

    async def during(self, doing: Any) -> Any:
        """Let time pass until something is done."""
        task = asyncio.ensure_future(doing)
        await self.until(task.done)
        return task.result()


@asynccontextmanager
async def calling(*, with_player: bool) -> AsyncIterator[Call]:
    rt, clock, ears = Realtime(), ManualClock(0.0), ClipRecogniser()
    for name, said in (QUESTION, BOOKING, REMARK, STOP):
        ears.add(read_wav(CLIPS / name), said)
    brain = ScriptBrain(Step(emit=[Say(text) for text in step]) for step in STEPS)
    server = SimulatedSession(Organs(brain=brain, voice=EvenVoice(), recogniser=ears), now=clock())
    line, speaker = Line(server, clock), Loudspeaker(rt, clock, delay_ms=DEVICE_MS * with_player, reports=with_player)
    hearing = {"turn_detection": {"type": "server_vad"}, "transcription": {"model": "gpt-4o-transcribe"}}
    session = Session(
        rt,
        Endpoint(url="ws://localhost/v1/realtime", api_key="test-key"),
        model="any",
        options=Options(),
        config=msgspec.convert({"type": "realtime", "audio": {"input": hearing}}, SessionConfig),
        dial=line.dial,
        clock=clock,
    )
    opening = asyncio.create_task(session.open())
    while not opening.done():
        await asyncio.sleep(0)
        line.deliver()
    async with await opening:
        call = Call(session, line, speaker)
        rt.on("speech.interrupted", call.note, delivery="inline")
        yield call
        assert brain.done, brain.failure


async def talk(call: Call) -> None:
    """Talk for two minutes, and interrupt six times."""
    session = call.session
    await call.pass_ms(1_000)
    call.says(QUESTION)
    await call.hears_for(5_240)
    call.says(STOP)  # 1: by voice, in the midst of an answer.
    await call.hears_it_all()
    call.says(BOOKING)
    await call.hears_for(6_300)
    await call.during(session.interrupt())  # 2: by the application.
    await call.pass_ms(1_000)
    asking = asyncio.ensure_future(session.ask("And what is tomorrow like?"))
    await call.hears_for(4_420)
    listing = asyncio.ensure_future(  # 3: by a question.
        session.ask("Which animals are there?", policy="cancel_active")
    )
    await call.hears_for(900)
    await call.during(session.interrupt())  # 4: while it is still generated.
    assert [(await turn).status for turn in (asking, listing)] == ["completed", "cancelled"]
    await call.pass_ms(1_000)
    call.says(REMARK)
    await call.hears_for(3_080)
    call.says(STOP)  # 5: by voice, while a second item waits.
    await call.hears_for(0)
    call.says(STOP)  # 6: by voice, within the first word.
    await call.hears_it_all()
    await call.pass_ms(CALL_MS - float(call.speaker.now_ms()))


class Cue(NamedTuple):
    start_ms: int
    end_ms: int
    text: str


def ms_of(clock: str) -> int:
    hours, minutes, seconds, ms = map(int, re.split("[:,.]", clock))
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms


def cues_of(captions: str) -> list[Cue]:
    """Read captions, SRT or WebVTT, as a player would: who speaks is a prefix of the text."""
    found = re.findall(r"^(\S+) --> (\S+)\n(.+)\n", captions, re.MULTILINE)
    plain = [(start, end, re.sub(r"^<v (\w+)>(.*)</v>$", r"\1: \2", text)) for start, end, text in found]
    return [Cue(ms_of(start), ms_of(end), text) for start, end, text in plain]


@pytest.fixture(params=[False, True], ids=["by the clock", "by a player"])
async def call(request: pytest.FixtureRequest) -> AsyncIterator[Call]:
    """Gives a call that has ended, and whose session is still open."""
    async with asyncio.timeout(50), calling(with_player=request.param) as made:
        await talk(made)
        yield made


def cuts_of(speaker: Loudspeaker) -> list[tuple[str, int]]:
    """Give what the loudspeaker was told to stop, and how many whole milliseconds of it had been played."""
    return [(played.item_id, int(played.ms)) for stop in speaker.stops for played in stop]


def spoken(call: Call) -> list[tuple[Any, str]]:
    """Give what the assistant said: the items of the conversation, each with the whole text of the script."""
    items = [item for item in call.session.conversation if item.role == "assistant"]
    return list(zip(items, [text for step in STEPS for text in step], strict=True))


async def test_six_interruptions_are_right_to_the_millisecond_on_both_sides(call: Call) -> None:
    """B22, B23: what the client says, the server confirms, keeps, and a loudspeaker has really played."""
    session, line, speaker = call.session, call.line, call.speaker
    cuts = cuts_of(speaker)
    assert speaker.now_ms() == CALL_MS
    assert [len(stop) for stop in speaker.stops] == [1, 1, 1, 1, 2, 1] and cuts[5][1] == 0
    assert line.truncates == cuts and line.truncated == cuts
    assert call.told == [cuts[place] for place in (0, 1, 2, 3, 4, 6)]
    for item_id, audio_end_ms in cuts:
        whole = await call.during(session.retrieve_item(item_id))
        kept = sum(len(part.audio) for part in whole.content if part.audio)
        assert PCM16.duration_ms(kept) == audio_end_ms


async def test_items_keep_what_was_said_and_know_what_was_heard_of_it(call: Call) -> None:
    """B22: what was not cut was heard to its end."""
    cuts = dict(cuts_of(call.speaker))
    for item, text in spoken(call):
        assert item.audio_end_ms == cuts.get(item.id) and item.interrupted == (item.id in cuts)
        assert item.text == text or (text == LIST and text.startswith(item.text))  # Its generation was cancelled.
        if item.id in cuts:
            assert item.heard == words_until(text, cuts[item.id]) and len(item.heard) < len(item.text)
        else:
            assert item.heard is None


@pytest.mark.parametrize("format", ["srt", "vtt"])
async def test_captions_show_the_words_really_heard_and_when(call: Call, format: Any) -> None:
    """B22: with a mark where somebody was cut short, and nothing of what nobody heard."""
    session, speaker = call.session, call.speaker
    began_ms = round((session.conversation.began_s or 0) * 1_000)
    expected = []
    for item, text in spoken(call):
        heard_ms = float(speaker.heard_ms.get(item.id, letter_ms(text) * len(text)))
        if words := words_until(text, heard_ms):
            start_ms = round(float(speaker.began_ms[item.id])) - began_ms
            marked = f"Assistant: {words} —" if item.id in speaker.heard_ms else f"Assistant: {words}"
            expected.append(Cue(start_ms, start_ms + int(heard_ms), marked))
    cues = cues_of(session.conversation.export(format))
    shown = [cue for cue in cues if cue.text.startswith("Assistant")]
    assert [(cue.end_ms, cue.text) for cue in shown] == [(cue.end_ms, cue.text) for cue in expected]
    # What was typed at the same moment is shown for a millisecond before it.
    assert all(cue.start_ms - true.start_ms in (0, 1) for cue, true in zip(shown, expected, strict=True))
    assert sum(cue.text.endswith("—") for cue in cues) == 5  # Of the sixth no word was heard.
    clips = [words for _, words in (QUESTION, STOP, BOOKING, REMARK, STOP, STOP)]
    said = [*clips[:3], "And what is tomorrow like?", "Which animals are there?", *clips[3:]]
    assert [cue.text for cue in cues if cue.text.startswith("User")] == [f"User: {words}" for words in said]
