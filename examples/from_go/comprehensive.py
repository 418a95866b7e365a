"""The Go client's `comprehensive_example`: every event there is, in both directions, met on a real socket and counted.

python comprehensive.py [--faults drop:rate_limits.updated]

It ends with a table, and with exit code 1 if an event is missing, which it names; `--faults` makes the simulator lose
some, to see that. It always talks to the simulator: no service fails a transcription or presses a key on request.
"""

import argparse
import asyncio
import logging
import math
import os
import signal
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import msgspec

from realtime_events import (
    AudioFormatError,
    ConfigurationError,
    Connecting,
    Realtime,
    RealtimeError,
    Session,
    assistant,
    hosted_mcp,
    system,
    user,
)
from realtime_events.audio import PCM16, read_wav
from realtime_events.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    McpListedTool,
    OutputAudioBufferClear,
    ResponseCancel,
    ResponseCreate,
    ResponseCreateParams,
    beta,
)
from realtime_events.events.base import Event
from realtime_events.recorder import Tape
from realtime_events.rest import RestClient
from realtime_events.simulator import ClipRecogniser, McpServer, Simulator, ToneVoice

DEADLINE_S, SCENE_S = 120, 10
MODEL = "gpt-realtime-2.1"
TWELVE = "One two three four five six seven eight nine ten eleven twelve."
RECORDED = "Hello! What is the weather in Bern today?"


# ── what there is to meet ────────────────────────────────────────────────────────────────────────────────────────────


def names(*classes: type[Event]) -> tuple[str, ...]:
    """Give the names of events on the wire."""
    return tuple(str(cls.__struct_config__.tag) for cls in classes)


SERVER, CLIENT = names(*SERVER_EVENTS), names(*CLIENT_EVENTS)
BETA_SERVER = tuple(name for name in names(*beta.SERVER_EVENTS) if name not in SERVER)
BETA_CLIENT = tuple(name for name in names(*beta.CLIENT_EVENTS) if name not in CLIENT)

# What the README of the Go client counts: 28 incoming events in the names of the beta, which had seven more,
GO_LACKS = {
    "conversation.item.retrieved",
    "conversation.item.input_audio_transcription.delta",
    *(
        name
        for name in names(*beta.SERVER_EVENTS)
        if name.startswith(("output_audio_buffer.", "transcription_session."))
    ),
}
GO_README = [name for name in names(*beta.SERVER_EVENTS) if name not in GO_LACKS]
# five that its last version adds, each with what a server says, since it made two of them up,
GO_ADDED = {
    "conversation.item.input_audio_transcription.delta": "conversation.item.input_audio_transcription.delta",
    "transcription_session.created": "transcription_session.created",
    "transcription_session.updated": "transcription_session.updated",
    "input_audio.transcription": "conversation.item.input_audio_transcription.completed",
    "transcription.done": "conversation.item.input_audio_transcription.completed",
}
# and ten outgoing ones.
GO_OUTGOING = [
    *(name for name in CLIENT if name not in ("output_audio_buffer.clear", "conversation.item.retrieve")),
    *BETA_CLIENT,
]

ONLY_IN = {
    "input_audio_buffer.dtmf_event_received": "SIP",
    "conversation.created": "beta servers",
    "conversation.item.created": "beta servers",
    **{name: "SIP, WebRTC" for name in (*SERVER, *CLIENT) if name.startswith("output_audio_buffer.")},
    **{name: "hosted MCP" for name in SERVER if "mcp_" in name},
    **dict.fromkeys((*BETA_SERVER, *BETA_CLIENT), "beta servers"),
}


def today(name: str) -> str:
    """Give the GA name of one of the beta's."""
    for old, new in (("response.text.", "response.output_text."), ("response.audio", "response.output_audio")):
        name = name.replace(old, new)
    return name


@dataclass
class Tally:
    """What was met, each way, by its name on the wire: read from the tapes of the sessions."""

    incoming: Counter[str] = field(default_factory=Counter[str])
    outgoing: Counter[str] = field(default_factory=Counter[str])

    def count(self, tape: Tape) -> list[str]:
        """Count what is on a tape; gives the names that are new."""
        new: list[str] = []
        for frame in tape:
            side = self.incoming if frame.direction == "in" else self.outgoing
            name = msgspec.json.decode(frame.data)["type"]
            side[name] += 1
            if side[name] == 1:
                new.append(name)
        return new

    @property
    def missing(self) -> list[str]:
        """The events that were not met, with the direction that they should have gone."""
        return [
            *(f"← {name}" for name in (*SERVER, *BETA_SERVER) if not self.incoming[name]),
            *(f"→ {name}" for name in (*CLIENT, *BETA_CLIENT) if not self.outgoing[name]),
        ]


# ── the scenes ───────────────────────────────────────────────────────────────────────────────────────────────────────

rt = Realtime(instructions="You are a cheerful concierge.", voice="marin")
plain = Realtime(instructions='Say "Yes."')


@rt.tool
async def get_weather(city: str) -> str:
    """Look up the current weather.

    Args:
        city: The city's name, such as "Bern".
    """
    return f"18 °C and sunny in {city}"


@dataclass
class Stage:
    """What the scenes share: two servers, a recording, and a folder of tapes."""

    sim: Simulator
    old: Simulator
    recording: bytes
    tapes: Path

    @property
    def tape(self) -> Path:
        """The path of a new tape."""
        return self.tapes / f"{len(list(self.tapes.iterdir())):02}.jsonl"

    def connect(self, app: Realtime = rt, **changes: Any) -> Connecting:
        """Connect to the simulator, with a tape running."""
        return app.connect(**{"endpoint": self.sim.endpoint, "record": self.tape, **changes})


def show(what: str, came: object = "") -> None:
    """Print one step of a scene."""
    print(f"  {what:34} {came}".rstrip())


async def by_hand_and_by_rest(stage: Stage) -> None:
    """Tests 1 and 2: a hand-made session.create, which is no event; then a session by REST."""
    async with stage.connect() as session, session.stream("error") as errors:
        await session.send_raw(b'{"type": "session.create", "session": {"modalities": ["text"]}}')
        show("session.create", one_line(await anext(errors)))
    async with RestClient(stage.sim.endpoint) as rest:
        secret = await rest.create_client_secret({"type": "realtime", "model": MODEL})
    async with stage.connect(endpoint=replace(stage.sim.endpoint, api_key=secret.value)) as session:
        show("a client secret opens", session.id)


async def in_one_session(stage: Stage) -> None:
    """Tests 3 to 10: one session from its configuration to its errors."""
    async with stage.connect() as session:
        await configure(session)
        await session.add_item(user("Hello!"))
        show("a user item", session.conversation.items[-1].text)
        await send_silence_and_a_tone(session)
        await ask_for_a_function(session)
        await cancel(session)
        await change_items(session)
        await provoke(session)


async def configure(session: Session) -> None:
    """Change the session. GA has no temperature any more, which is said before anything is sent."""
    try:
        await session.update(temperature=0.8)
    except ConfigurationError as error:
        show("temperature", error)
    detection = {"type": "server_vad", "threshold": 0.6, "create_response": False}
    audio = {"input": {"turn_detection": detection}, "output": {"format": {"type": "audio/pcm", "rate": 24_000}}}
    config = await session.update(instructions="You are a brief concierge.", voice="cedar", audio=audio)
    show("session.update", f"tools {', '.join(str(tool.name) for tool in config.tools or ())}")


async def send_silence_and_a_tone(session: Session) -> None:
    """Append, commit, append, clear: without turn detection, which would commit by itself."""
    await session.update(audio={"input": {"turn_detection": None}})
    for piece in (PCM16.silence(200), tone()):
        await session.send_audio(piece)
    show("silence and a tone are committed", await session.commit_audio())
    await session.send_audio(tone())
    await session.clear_audio()


async def ask_for_a_function(session: Session) -> None:
    """Ask for speech, with metadata, about something that a function knows; it was declared, this time."""
    await session.add_item(user("What should I wear in Bern today?"))
    async with session.stream("response.done") as done:
        await session.respond(output_modalities=["audio"], metadata={"test": "6"})
        await anext(done)  # the call
        await anext(done)  # what is said about its output
    show("a function is called, and said", session.conversation.items[-1].text)
    async with session.respond(conversation="none", output_modalities=["text"], input=[user("Hello!")]) as response:
        show("a text beside the conversation", await response.text)


async def cancel(session: Session) -> None:
    """Start a response, and cancel it by its id once it is heard."""
    await session.add_item(user(f"Please repeat: {TWELVE}"))
    async with session.respond() as response:
        async for _ in response.audio:
            break
        show("response.cancel", (await response.cancel()).status)


async def change_items(session: Session) -> None:
    """Add three items; truncate what was spoken, fetch it, and delete one."""
    for item in (system("Be kind."), user("And tomorrow?"), assistant("It will rain.")):
        await session.add_item(item)
    last = session.conversation.items[-1]
    spoken = next(item for item in session.conversation if item.role == "assistant" and item.audio_ms)
    await session.truncate_item(spoken.id, audio_end_ms=100)
    show("conversation.item.truncate", f"{spoken.audio_end_ms} of {spoken.audio_ms:.0f} ms were heard")
    await session.retrieve_item(spoken.id)
    await session.delete_item(last.id)


async def provoke(session: Session) -> None:
    """Send half a sample, ask for a modality that does not exist, and cancel a response that does not exist."""
    try:
        await session.send_audio(bytes(range(255)))
    except AudioFormatError as error:
        show("half a sample is not even sent", error)
    async with session.stream("error") as errors:
        wrong = ResponseCreateParams(conversation="none", output_modalities=["smell"])
        await session.send(ResponseCreate(response=wrong))
        show("response.create", one_line(await anext(errors)))
    await session.send(ResponseCancel(response_id="resp_nobody"))  # its error is none: it came too late, that is all
    await session.add_item(user("Goodbye!"))
    show("response.cancel", "is passed over: nothing was running")


async def by_turn_detection(stage: Stage) -> None:
    """Speech is found, transcribed and answered; then nobody speaks."""
    heard = {
        "transcription": {"model": "gpt-4o-transcribe"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 800, "idle_timeout_ms": 200},
    }
    names = ("*.completed", "input_audio_buffer.timeout_triggered")
    async with stage.connect(plain, session={"audio": {"input": heard}}) as session, session.stream(*names) as news:
        await session.send_file(stage.recording, pace=math.inf, silence_ms=1_000)
        show("transcribed", (await anext(news)).transcript)
        show("nobody speaks", (await anext(news)).type)


async def by_transcription(stage: Stage) -> None:
    """A transcription session: a line with its speaker, and one that cannot be understood."""
    async with rt.transcribe(
        model="gpt-4o-transcribe-diarize", turn_detection=None, endpoint=stage.sim.endpoint, record=stage.tape
    ) as transcription:
        for audio in (stage.recording, tone()):
            await transcription.send_audio(audio)
            await transcription.commit()
        await transcription.finish()
        for line in transcription.lines:
            show(f"line of {line.speaker or 'nobody'}", line.error.message if line.error else line.text)


async def by_hosted_mcp(stage: Stage) -> None:
    """Tools that the server itself lists and calls: one works, one fails; one server cannot be reached."""
    tools = [hosted_mcp(label, url="https://mcp.example.com", require_approval="never") for label in ("docs", "lost")]
    async with stage.connect(plain, session={"tools": tools}) as session, session.stream("mcp_list_tools.*") as lists:
        while (await anext(lists)).type == "mcp_list_tools.in_progress":
            pass
        for question in ("Search the docs for pagination.", "Delete the page pagination."):
            await session.ask(question)
            call = session.conversation.items[-1]
            show(question, call.output or (call.error and call.error.message))


async def by_telephone(stage: Stage) -> None:
    """A call: the caller presses a key and is answered; the server plays, and is told to stop."""
    call = await stage.sim.ring()
    async with RestClient(stage.sim.endpoint) as rest:
        await rest.accept_call(call.id, {"type": "realtime", "model": MODEL, "instructions": 'Say "Yes."'})
        events = ("output_audio_buffer.*", "input_audio_buffer.dtmf_event_received")
        async with stage.connect(plain, call_id=call.id) as session, session.stream(*events) as news:
            call.press("5")
            show("key", (await anext(news)).event)
            await session.send(ResponseCreate())
            show("the server plays", [(await anext(news)).type for _ in range(2)])
            longer = ResponseCreateParams(instructions=f'Say "{TWELVE}"')
            await session.send(ResponseCreate(response=longer))
            await anext(news)
            await session.send(OutputAudioBufferClear())
            show("and stops at once", (await anext(news)).type)
            await rest.hang_up(call.id)
            await session.wait_closed()


async def by_the_beta(stage: Stage) -> None:
    """A server that speaks the beta: other names on the wire, the same handlers."""
    async with stage.connect(endpoint=stage.old.endpoint) as session:
        show("spoken", (await session.ask("What is the weather in Bern?")).text)
        async with session.respond(output_modalities=["text"], input=[user("Hello!")]) as response:
            show("written", await response.text)
    kind = {"kind": "transcription", "session": {"type": "transcription"}}
    async with plain.connect(endpoint=stage.old.endpoint, record=stage.tape, **kind) as session:
        show("transcription_session.update", session.id)


SCENES: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    by_hand_and_by_rest,
    in_one_session,
    by_turn_detection,
    by_transcription,
    by_hosted_mcp,
    by_telephone,
    by_the_beta,
)


# ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Ears(ClipRecogniser):
    """Understands the recording, and breaks at anything else, so that a transcription fails."""

    def hear(self, pcm: bytes) -> str:
        """Give the words."""
        if (words := super().hear(pcm)) == "[inaudible]":
            raise RuntimeError("these ears break on purpose")
        return words


def tone() -> bytes:
    """Give a sine wave, as long as a short word."""
    return b"".join(ToneVoice().speak("Word"))


def docs(name: str, arguments: dict[str, Any]) -> str:
    """Be the MCP server."""
    if name == "delete":
        raise PermissionError("The docs are read-only.")
    return f"Nothing is found about {arguments['query']}."


def servers(faults: str, recording: bytes) -> tuple[Simulator, Simulator]:
    """Give a server that speaks GA, and one that speaks the beta."""
    ears = Ears()
    ears.add(recording, RECORDED)
    schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    listed = [
        McpListedTool(name="search", description="Search the docs.", input_schema=schema),
        McpListedTool(name="delete", description="Delete a page.", input_schema=schema),
    ]
    mcp = {"docs": McpServer(tools=listed, answer=docs)}
    return Simulator(recogniser=ears, mcp_servers=mcp, faults=faults), Simulator(dialect="beta", faults=faults)


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def paint(text: str, code: str) -> str:
    """Colour a text where somebody looks at it."""
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def one_line(event: Any) -> str:
    """Give the beginning of what an error says."""
    return textwrap.shorten(event.error.message, 80, placeholder=" …")


def rows(title: str, wanted: Iterable[str], met: Counter[str], of_go: Collection[str]) -> None:
    """Print a part of the table."""
    print(paint(f"\n{title:54} {'times':>5}  Go  only in", "1"))
    for name in wanted:
        mark = "✓" if name in of_go else " "
        line = f"{name:54} {met[name] or '-':>5}  {mark:2}  {ONLY_IN.get(name, '')}".rstrip()
        print(line if met[name] else paint(f"{line}  MISSING", "31"))


def report(tally: Tally) -> None:
    """Print the table, and what it comes to."""
    incoming = {*GO_README, *map(today, GO_README), *GO_ADDED.values()}
    rows("← from the server", SERVER, tally.incoming, incoming)
    rows("← from a server of the beta", BETA_SERVER, tally.incoming, incoming)
    rows("→ to the server", (*CLIENT, *BETA_CLIENT), tally.outgoing, GO_OUTGOING)
    print()
    readme = [(name, today(name)) for name in GO_README]
    for what, met, groups in (
        ("events of servers", tally.incoming, [(name,) for name in (*SERVER, *BETA_SERVER)]),
        ("events of clients", tally.outgoing, [(name,) for name in (*CLIENT, *BETA_CLIENT)]),
        ("incoming, Go's README", tally.incoming, readme),
        ("incoming, Go's last version", tally.incoming, [*readme, *((now,) for now in GO_ADDED.values())]),
        ("outgoing, Go's last version", tally.outgoing, [(name,) for name in GO_OUTGOING]),
    ):
        count = sum(all(met[name] for name in group) for group in groups)
        print(f"{what:30} {count:2} of {len(groups)}")


async def perform(stage: Stage, tally: Tally) -> None:
    """Play the scenes; one that breaks ends there, and what it would have met is missing."""
    for scene in SCENES:
        print(paint("\n" + str(scene.__doc__).rstrip("."), "1"))
        before = set(stage.tapes.iterdir())
        try:
            async with asyncio.timeout(SCENE_S):
                await scene(stage)
        except (RealtimeError, TimeoutError, StopAsyncIteration) as error:
            print(paint(f"  broken off: {type(error).__name__} {error}", "31"))
        tapes = sorted(set(stage.tapes.iterdir()) - before)
        new = [name for tape in tapes for name in tally.count(Tape.read(tape))]
        print(paint(textwrap.fill(", ".join(new), 116, initial_indent="  met: ", subsequent_indent="       "), "2"))


async def main(faults: str = "") -> int:
    """Give the exit code."""
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as path:
        recording = read_wav(path)
    ga, old = servers(faults, recording)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        async with asyncio.timeout(DEADLINE_S), ga, old:
            await perform(Stage(ga, old, recording, Path(folder)), tally)
    report(tally)
    if not tally.missing:
        print(paint("every event was met", "32"))
        return 0
    print(paint(f"missing: {', '.join(tally.missing)}", "31"))
    return 1


async def until_stopped(faults: str) -> int:
    """Run to the end or until SIGTERM; Ctrl-C is seen to by asyncio. Both leave every block on the way out."""
    running = asyncio.create_task(main(faults))
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await running


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="  %(name)s: %(message)s")
    logging.getLogger("realtime_events.simulator").setLevel(logging.CRITICAL)  # its ears break on purpose
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", default="", help="what the simulator does wrong")
    try:
        sys.exit(asyncio.run(until_stopped(parser.parse_args().faults)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped; every session is closed")
