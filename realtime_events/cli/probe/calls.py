"""What is asked of a call that runs: who may join it, what a sideband is told, and how it ends.

Owns these questions and how they are asked. Before it: the command; after it: `line.py`, and `rest/` to hang up.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from ...call import CLEAN_CODES
from ...events.base import Event
from ...events.builders import system
from ...events.client import ResponseCreate
from ...events.response import ResponseCreateParams
from ...events.server import ResponseDone, SessionCreated
from ...exceptions import ConnectionLostError, HandshakeError
from ...rest import RestClient
from .line import Ground, Line, new_id, tells_of
from .questions import Experiment, Notebook, Question

SETTLE_S = 1.5
SPEECH_S = 30.0
HANG_UP_S = 15.0
SAY = "Say only these two words: one moment."
TAG = "probe"
BOTH_STAY, FIRST_GOES, SECOND_GOES = "both stay", "the first is closed", "the second is closed"
ONLY_ONE = "only one of them stays"

SIDEBANDS = (
    Question(
        name="sideband-greeted",
        asks="Is a sideband told session.created when it joins a call?",
        assumed=(True,),
        where=("connection.py", "simulator/app.py"),
    ),
    Question(
        name="two-sidebands",
        asks="May two sidebands be on one call at a time?",
        assumed=(FIRST_GOES,),
        where=("lifeline.py", "simulator/app.py"),
    ),
    Question(
        name="both-hear-all",
        asks="Do both sidebands of a call hear what the other does?",
        assumed=(),
        where=(),
    ),
    Question(
        name="rejoin-replay",
        asks="Is a sideband that joins again told what was before?",
        assumed=(False,),
        where=("lifeline.py", "simulator/app.py"),
    ),
)

SPEECH = (
    Question(
        name="sideband-audio",
        asks="Does a sideband carry the audio of a response?",
        assumed=(False,),
        where=("simulator/playback.py",),
    ),
)

END = (
    Question(
        name="hang-up-closes",
        asks="Is the sideband closed when the call ends?",
        assumed=(True,),
        where=("call.py", "simulator/calls.py"),
    ),
    Question(
        name="hang-up-code",
        asks="Which close code tells that the call has ended?",
        assumed=CLEAN_CODES,
        where=("call.py",),
    ),
)


async def ask_sidebands(ground: Ground, book: Notebook) -> None:
    """Join the call twice at a time, then one after the other."""
    async with ground.sideband() as first:
        await _ask_greeting(first, book)
        try:
            async with ground.sideband() as second:
                await _ask_both(first, second, book)
        except HandshakeError as refused:
            book.found("two-sidebands", SECOND_GOES, status=refused.status)
            book.not_asked("both-hear-all", ONLY_ONE)
    await _ask_replay(ground, book)


async def _ask_both(first: Line, second: Line, book: Notebook) -> None:
    await _joined(second)
    ending = await first.ended(SETTLE_S)
    if second.ending is not None:
        book.found("two-sidebands", SECOND_GOES, code=second.ending.code)
    elif ending is not None:
        book.found("two-sidebands", FIRST_GOES, code=ending.code)
    else:
        book.found("two-sidebands", BOTH_STAY)
        await _ask_whether_both_hear(first, second, book)
        return
    book.not_asked("both-hear-all", ONLY_ONE)


async def _ask_greeting(line: Line, book: Notebook) -> None:
    try:
        await line.created()
    except TimeoutError:
        book.found("sideband-greeted", False)
    else:
        book.found("sideband-greeted", True, first=line.seen[0].event.type)


async def _joined(line: Line) -> None:
    """Wait until a sideband is told that it has joined; one that is turned out, or never told, is looked at later."""
    with suppress(TimeoutError, ConnectionLostError):
        await line.created()


async def _ask_whether_both_hear(first: Line, second: Line, book: Notebook) -> None:
    heard: dict[str, bool] = {}
    for name, speaker, listener in (("first_heard", second, first), ("second_heard", first, second)):
        since = len(listener.seen)
        item_id = new_id("item")
        reply = await speaker.create(system(".", id=item_id))
        if reply.event is None or reply.error is not None:
            book.unanswered("both-hear-all", f"an item was not taken: {reply.told}")
            return
        heard[name] = await listener.until(tells_of(item_id), since=since, timeout=SETTLE_S) is not None
        await speaker.delete(item_id)
    book.found("both-hear-all", all(heard.values()), **heard)


async def _ask_replay(ground: Ground, book: Notebook) -> None:
    """Leave a mark in the conversation, leave, join again, and look for the mark before it is asked for."""
    item_id = new_id("item")
    async with ground.sideband() as before:
        await _joined(before)
        reply = await before.create(system(".", id=item_id))
        known = {event_id for seen in before.seen if (event_id := _event_id(seen.data))}
    if reply.event is None or reply.error is not None:
        book.unanswered("rejoin-replay", f"an item was not taken: {reply.told}")
        return
    async with ground.sideband() as after:
        await _joined(after)
        await after.ended(SETTLE_S)
        fence = await after.retrieve(item_id)
        told = [seen for seen in after.seen if seen.event is not fence.event]
        again = [seen for seen in told if item_id.encode() in seen.data or _event_id(seen.data) in known]
        names = sorted({seen.event.type for seen in again})
        others = [seen for seen in told if seen not in again and not isinstance(seen.event, SessionCreated)]
        book.found("rejoin-replay", bool(again), names=", ".join(names) or "none", other_events=len(others))
        await after.delete(item_id)


class _Named(msgspec.Struct):
    event_id: str | None = None


def _event_id(data: bytes) -> str | None:
    """Give the id of an event of the server's; None if it has none."""
    try:
        return msgspec.json.decode(data, type=_Named).event_id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


async def ask_speech(ground: Ground, book: Notebook) -> None:
    """Have two words said beside the conversation, and look for their audio."""
    params = ResponseCreateParams(
        conversation="none",
        input=[],
        instructions=SAY,
        output_modalities=["audio"],
        tool_choice="none",
        metadata={TAG: TAG},
    )
    async with ground.sideband() as line:
        await _joined(line)
        reply = await line.reply(ResponseCreate(response=params), _is_end, timeout=SPEECH_S)
        if not isinstance(reply.event, ResponseDone):
            book.unanswered("sideband-audio", f"nothing was said: {reply.told}")
            return
        if (status := str(reply.event.response.status)) != "completed":
            book.unanswered("sideband-audio", f"the response ended as {status}")
            return
        deltas = [seen for seen in line.seen if _is_audio(seen.event)]
        size = sum(len(seen.data) for seen in deltas)
        book.found("sideband-audio", bool(deltas), deltas=len(deltas), frame_bytes=size)


def _is_end(event: Event) -> bool:
    return isinstance(event, ResponseDone) and (event.response.metadata or {}).get(TAG) == TAG


def _is_audio(event: Event) -> bool:
    """Say whether an event carries audio, of either side; one that is newer than this package, too."""
    return event.type.endswith("audio.delta") or event.type.endswith("audio_buffer.append")


async def ask_end(ground: Ground, book: Notebook) -> None:
    """Hang up, and look at what becomes of the sideband."""
    async with ground.sideband() as line:
        await _joined(line)
        async with RestClient(ground.endpoint) as rest:
            await rest.hang_up(str(ground.call_id))
        ending = await line.ended(HANG_UP_S)
        book.found("hang-up-closes", ending is not None)
        if ending is None:
            book.not_asked("hang-up-code", f"the sideband is open {HANG_UP_S:g} s later")
        else:
            book.found("hang-up-code", ending.code, by=ending.initiator)


def _lacks_call(ground: Ground) -> str:
    return "" if ground.call_id else "needs a call (--call CALL_ID)"


def _lacks_leave(ground: Ground) -> str:
    return _lacks_call(ground) or ("" if ground.may_hang_up else "ends the call (--hang-up)")


EXPERIMENTS = (
    Experiment(
        questions=SIDEBANDS,
        ask=ask_sidebands,
        lacks=_lacks_call,
        warning="joins the call by two sidebands, which may throw out another, and adds and deletes items of one dot",
    ),
    Experiment(
        questions=SPEECH, ask=ask_speech, lacks=_lacks_call, tokens=150, warning="has two words said to the caller"
    ),
    Experiment(questions=END, ask=ask_end, lacks=_lacks_leave, warning="ends the call"),
)
