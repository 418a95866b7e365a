"""What is asked of a session of one's own: how it begins, how it takes items, how it ends.

Owns these questions and how they are asked. No response is generated, so they cost no tokens. Before it: the command;
after it: `line.py`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ...endpoint import Endpoint
from ...events.builders import system
from ...events.client import ConversationItemCreate
from ...events.items import Item
from ...events.server import ConversationItemAdded, ConversationItemCreated, ErrorEvent, SessionCreated
from ...protocol.batches import output_item_id
from ...protocol.core import SESSION_EXPIRED
from ...simulator.exchange import GOING_AWAY
from ...vigil import LIMIT_S
from .line import Ground, Line, Reply, code_of, new_id, tells_of
from .questions import Experiment, Notebook, Question

LATE_S = 300.0
SHORT_LIFE = "expire=1"

BEGINNING = (
    Question(
        name="created-first",
        asks="Is session.created the first event of a session?",
        assumed=(True,),
        where=("connection.py", "lifeline.py"),
    ),
    Question(name="expires-at", asks="Does session.created say when it expires?", assumed=(True,), where=("vigil.py",)),
    Question(
        name="lifetime",
        asks="How many minutes does a session last, by expires_at?",
        assumed=(round(LIMIT_S / 60),),
        where=("vigil.py", "simulator/setup.py"),
    ),
)

ITEMS = (
    Question(
        name="item-id-kept",
        asks="Does an item keep the id that the client gave it?",
        assumed=(True,),
        where=("protocol/requests.py", "protocol/resume.py"),
    ),
    Question(
        name="duplicate-refused",
        asks="Is an item refused whose id exists already?",
        assumed=(True,),
        where=("protocol/batches.py", "simulator/conversation.py"),
    ),
    Question(
        name="duplicate-code",
        asks="Which code does that refusal bear?",
        assumed=("item_create_duplicate_item_id",),
        where=("simulator/conversation.py",),
    ),
    Question(
        name="error-names-event",
        asks="Does that error name the event at fault?",
        assumed=(True,),
        where=("protocol/requests.py",),
    ),
    Question(
        name="output-orphan",
        asks="What answers a tool output whose call nobody knows?",
        assumed=("invalid_tool_call_id",),
        where=("simulator/session.py",),
    ),
    Question(
        name="output-retrieved",
        asks="Can a tool output be retrieved by its id?",
        assumed=(True,),
        where=("protocol/batches.py",),
    ),
    Question(
        name="output-resent",
        asks="Is a tool output refused that is sent again under its id?",
        assumed=(True,),
        where=("protocol/batches.py", "simulator/conversation.py"),
    ),
)

LIMIT = (
    Question(
        name="limit-error",
        asks="Which error comes before a session is ended at its limit?",
        assumed=(SESSION_EXPIRED,),
        where=("protocol/core.py", "simulator/exchange.py"),
    ),
    Question(
        name="limit-code",
        asks="Which close code ends a session at its limit?",
        assumed=(GOING_AWAY,),
        where=("simulator/exchange.py",),
    ),
)


async def ask_beginning(ground: Ground, book: Notebook) -> None:
    """Look at the first event."""
    async with ground.session() as line:
        created = await line.created()
        book.found("created-first", line.seen[0].event is created, first=line.seen[0].event.type)
        left_s = _left_s(created)
        book.found("expires-at", left_s is not None)
        if left_s is None:
            book.not_asked("lifetime", "session.created has no expires_at")
        else:
            book.found("lifetime", round(left_s / 60), seconds=round(left_s))


async def ask_items(ground: Ground, book: Notebook) -> None:
    """Create items once and twice, and retrieve one."""
    async with ground.session() as line:
        await line.created()
        if (item_id := await _ask_id(line, book)) is not None:
            await line.retrieve(item_id)  # All that the first one caused has come by now.
            _tell_duplicate(book, await line.create(system(".", id=item_id)))
        await _ask_outputs(line, book)


async def _ask_id(line: Line, book: Notebook) -> str | None:
    """Create an item, and give the id that it got; None where it was not taken."""
    item = system(".", id=new_id("item"))
    reply = await line.reply(ConversationItemCreate(item=item), tells_of(None))
    if not isinstance(reply.event, ConversationItemAdded | ConversationItemCreated):
        for name in ("item-id-kept", "duplicate-refused", "duplicate-code", "error-names-event"):
            book.unanswered(name, f"the item was not taken: {reply.told}")
        return None
    book.found("item-id-kept", reply.event.item.id == item.id)
    return str(reply.event.item.id or item.id)


def _tell_duplicate(book: Notebook, reply: Reply) -> None:
    book.found("duplicate-refused", reply.error is not None, answer=reply.told)
    if reply.error is None:
        for name in ("duplicate-code", "error-names-event"):
            book.not_asked(name, "it is not refused")
    else:
        book.found("duplicate-code", code_of(reply.error), type=reply.error.error.type)
        book.found("error-names-event", reply.error.error.event_id == reply.event_id)


async def _ask_outputs(line: Line, book: Notebook) -> None:
    """Answer a call that nobody made, then one that was put into the conversation, and that one twice."""
    book.found("output-orphan", (await line.create(_output(new_id("call")))).told)
    call_id = new_id("call")
    call = Item(type="function_call", id=new_id("item"), call_id=call_id, name="probe", arguments="{}")
    output = _output(call_id)
    for item in (call, output):
        reply = await line.create(item)
        if reply.error is not None or reply.event is None:
            for name in ("output-retrieved", "output-resent"):
                book.unanswered(name, f"a {item.type} was not taken: {reply.told}")
            return
    retrieved = await line.retrieve(str(output.id))
    book.found("output-retrieved", retrieved.event is not None and retrieved.error is None, answer=retrieved.told)
    again = await line.create(output)
    book.found("output-resent", again.error is not None, answer=again.told)


def _output(call_id: str) -> Item:
    return Item(type="function_call_output", id=output_item_id(call_id), call_id=call_id, output="0")


async def ask_limit(ground: Ground, book: Notebook) -> None:
    """Keep a session until the server ends it."""
    endpoint = _short_lived(ground.endpoint) if ground.endpoint.is_simulated else ground.endpoint
    async with ground.session(endpoint) as line:
        left_s = _left_s(await line.created())
        wait_s, began_s = LIMIT_S if left_s is None else max(left_s, 0.0), time.monotonic()
        until = datetime.now().astimezone() + timedelta(seconds=wait_s)
        ground.note(f"waits for the end of a session, until {until:%H:%M}; Ctrl-C keeps what was found")
        ending = await line.ended(wait_s + LATE_S)
        lived_s = round(time.monotonic() - began_s)
        if ending is None:
            for name in ("limit-error", "limit-code"):
                book.unanswered(name, f"the session was open after {lived_s} s")
            return
        errors = [seen.event for seen in line.seen if isinstance(seen.event, ErrorEvent)]
        book.found("limit-error", code_of(errors[-1]) if errors else "none", lived_s=lived_s)
        book.found("limit-code", ending.code, by=ending.initiator, lived_s=lived_s)


def _left_s(created: SessionCreated) -> float | None:
    expires_at = created.session.expires_at
    return expires_at - time.time() if isinstance(expires_at, int) else None


def _short_lived(endpoint: Endpoint) -> Endpoint:
    """Give the simulator's endpoint for a session that lives a second."""
    parts = urlsplit(endpoint.url)
    query = urlencode([*parse_qsl(parts.query), ("faults", SHORT_LIFE)])
    return replace(endpoint, url=urlunsplit(parts._replace(query=query)))


QUICK = (Experiment(questions=BEGINNING, ask=ask_beginning), Experiment(questions=ITEMS, ask=ask_items))
SLOW = (
    Experiment(
        questions=LIMIT,
        ask=ask_limit,
        lacks=lambda ground: "" if ground.may_wait else "takes up to an hour (--wait-for-limit)",
    ),
)
