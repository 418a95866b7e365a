"""The conversation of a live session, held against the simulator's own: edited, said again, exported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_events import Realtime, ServerError, Session, assistant, system, user
from realtime_events.events import (
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieved,
    ErrorDetails,
    ErrorEvent,
    Item,
)
from realtime_events.protocol.conversation import Conversation, ConversationItem
from realtime_events.simulator import Simulator
from realtime_events.simulator.plans import Call, Say
from realtime_events.simulator.scripts import Expect, Step
from realtime_events.testing import Peer

LONG = "One two three four five six seven eight nine ten."


@asynccontextmanager
async def simulated(*steps: Step, rt: Realtime | None = None) -> AsyncIterator[tuple[Session, Any]]:
    async with asyncio.timeout(10), Simulator(script=steps or None, pace=None) as sim:
        async with (rt or Realtime()).connect(endpoint=sim.endpoint) as session:
            yield session, sim.sessions[0]


def words(items: Any) -> list[str]:
    """What the items say, ours or the server's own."""
    return [item.text if isinstance(item, ConversationItem) else _words_of(item) for item in items]


def _words_of(item: Item) -> str:
    return "".join(part.text or part.transcript or "" for part in item.content or ())


def sent(simulation: Any, name: str) -> list[Any]:
    return simulation.received.named(name)


# ── editing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_edit_reorders_deletes_changes_and_adds_on_both_sides() -> None:
    """Each step is acknowledged when it returns."""
    async with simulated() as (session, simulation):
        for item in (user("one"), assistant("two"), user("three"), assistant("four")):
            await session.add_item(item)
        one, two, three, four = session.conversation.items
        changed = Item(type="message", role="user", id=three.id, content=[ContentPart(type="input_text", text="drei")])
        await session.conversation.edit([system("Be brief."), four, one, changed])
        assert words(simulation.items) == ["Be brief.", "four", "one", "drei"]
        assert words(session.conversation.items) == words(simulation.items)
        assert [item.id for item in session.conversation.items] == [item.id for item in simulation.items]
        assert two.id not in [item.id for item in simulation.items]


async def test_an_edit_that_changes_nothing_sends_nothing() -> None:
    async with simulated() as (session, simulation):
        await session.add_item(user("one"))
        await session.conversation.edit(session.conversation.items)
        assert len(sent(simulation, "conversation.item.create")) == 1
        assert not sent(simulation, "conversation.item.delete")


async def test_an_edit_sends_the_fewest_steps() -> None:
    async with simulated() as (session, simulation):
        for n in range(6):
            await session.add_item(user(str(n)))
        items = list(session.conversation.items)
        await session.conversation.edit([*items[1:4], items[0], *items[4:]])
        assert words(simulation.items) == ["1", "2", "3", "0", "4", "5"]
        assert len(sent(simulation, "conversation.item.delete")) == 1
        assert len(sent(simulation, "conversation.item.create")) == 7


async def test_a_spoken_item_that_moves_is_created_anew_as_its_words() -> None:
    async with simulated(Step(emit=[Say("Good morning.")]), Step(emit=[Say("Fine.")])) as (session, simulation):
        await session.ask("Hello!")
        question, answer = session.conversation.items
        await session.conversation.edit([answer, question])
        assert words(simulation.items) == ["Good morning.", "Hello!"]
        turn = await session.ask("How are you?")
        assert turn.text == "Fine." and words(session.conversation.items)[-1] == "Fine."


async def test_a_refused_edit_raises_and_leaves_no_wait_behind() -> None:
    """B11: the error names the step that was refused."""
    async with simulated() as (session, simulation):
        await session.add_item(user("one"))
        spoken = Item(type="message", role="nobody", content=[ContentPart(type="input_text", text="x")])
        with pytest.raises(ServerError) as refused:
            await session.conversation.edit([spoken, user("two")])
        assert isinstance(refused.value.sent_event, ConversationItemCreate)
        await session.add_item(user("three"))
        assert words(session.conversation.items) == words(simulation.items)
        assert "three" in words(simulation.items) and "x" not in words(simulation.items)


async def test_an_edit_waits_for_each_acknowledgement() -> None:
    """B11: and times out if one does not come."""
    peer = Peer()
    async with asyncio.timeout(5), Realtime().connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        peer.say(ConversationItemAdded(item=user("one", id="a")))
        await session.wait_for("conversation.item.added")
        editing = asyncio.create_task(session.conversation.edit([user("two")]))
        deletion = await peer.heard(ConversationItemDelete)
        creation = await peer.heard(ConversationItemCreate)
        assert peer.sent == [deletion, creation] and creation.previous_item_id == "root"
        peer.say(ConversationItemAdded(item=creation.item, previous_item_id=None))
        await session.wait_for("conversation.item.added")
        assert not editing.done()
        peer.say(ConversationItemDeleted(item_id="a"))
        await editing
        assert words(session.conversation.items) == ["two"]
        with pytest.raises(TimeoutError, match=r"did not confirm the edit within 0\.01 s"):
            await session.conversation.edit([], timeout=0.01)


# ── single items ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_items_are_added_retrieved_truncated_and_deleted() -> None:
    """B11: each is awaited, and a refusal is raised."""
    async with simulated(Step(emit=[Say(LONG)])) as (session, simulation):
        added = await session.add_item(user("Count."))
        assert added.id and added.status == "completed"
        await session.respond()
        answer = session.conversation.items[-1]
        retrieved = await session.retrieve_item(answer.id)
        assert retrieved.content and len(retrieved.content[0].audio or b"") == answer.audio_bytes
        await session.truncate_item(answer.id, audio_end_ms=500)
        assert answer.interrupted and answer.audio_end_ms == 500 and answer.heard
        assert LONG.startswith(answer.heard) and len(answer.heard) < len(LONG)
        await session.delete_item(str(added.id))
        assert [item.id for item in session.conversation.items] == [answer.id] == [item.id for item in simulation.items]
        for refused in (session.delete_item("nobody"), session.retrieve_item("nobody")):
            with pytest.raises(ServerError, match="nobody"):
                await refused


async def test_an_error_that_names_no_event_is_raised_by_the_only_item_call_that_it_can_mean() -> None:
    """B11."""
    peer = Peer()
    async with asyncio.timeout(5), Realtime().connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        deleting = asyncio.create_task(session.delete_item("a"))
        retrieving = asyncio.create_task(session.retrieve_item("b"))
        await peer.heard(ConversationItemDelete)
        code = "item_delete_invalid_item_id"
        peer.say(ErrorEvent(error=ErrorDetails(type="invalid_request_error", code=code, message="no such item")))
        with pytest.raises(ServerError, match="no such item"):
            await deleting
        peer.say(ConversationItemRetrieved(item=user("b", id="b")))
        assert (await retrieving).id == "b"


# ── saving and saying again ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_saved_conversation_is_said_again_and_gone_on_with() -> None:
    """Of an interrupted item only the words that were heard; a tool call with its output."""
    rt = Realtime()

    @rt.tool
    async def get_weather(city: str) -> str:
        """Look up the current weather."""
        return f"18 °C in {city}"

    before = [Step(emit=[Call("get_weather", '{"city":"Bern"}')]), Step(emit=[Say("Mild.")]), Step(emit=[Say(LONG)])]
    async with simulated(*before, rt=rt) as (session, _):
        await session.ask("Weather in Bern?")
        session.playback.played(session.conversation.items[-1].id, ms=session.conversation.items[-1].audio_ms)
        await session.ask("Count.")
        counted = session.conversation.items[-1]
        session.playback.played(counted.id, ms=counted.audio_ms / 2)
        await session.interrupt()
        heard, kept = counted.heard, session.conversation.to_json()
        assert heard and heard != LONG and LONG.startswith(heard)

    saved = Conversation.from_json(kept)
    after = [Step(emit=[Say("You are welcome.")], expect=Expect(user="Thank you"))]
    async with simulated(*after, rt=rt) as (session, simulation):
        assert await session.seed(saved) == ()
        assert [item.type for item in simulation.items] == [
            "message",
            "function_call",
            "function_call_output",
            "message",
            "message",
            "message",
        ]
        assert words(simulation.items) == ["Weather in Bern?", "", "", "Mild.", "Count.", heard]
        assert simulation.items[-1].content[0].type == "output_text"
        assert words(session.conversation.items) == words(simulation.items)
        assert (await session.ask("Thank you.")).text == "You are welcome."


async def test_a_session_can_begin_with_a_saved_conversation() -> None:
    """It is there before the first handler hears of the connection."""
    rt, seen = Realtime(), list[list[str]]()
    rt.on("connection.opened", lambda event, session: seen.append(words(session.conversation.items)))
    async with simulated(Step(emit=[Say("Hi Ada.")])) as (session, _):
        await session.ask("I am Ada.")
        saved = Conversation.from_json(session.conversation.to_json())
    async with asyncio.timeout(10), Simulator(pace=None) as sim:
        async with rt.connect(endpoint=sim.endpoint, conversation=saved) as session:
            assert words(session.conversation.items) == ["I am Ada.", "Hi Ada."] == words(sim.sessions[0].items)
            await session.conversation.edit([])
        assert seen == [["I am Ada.", "Hi Ada."]]


async def test_what_cannot_be_said_again_is_named() -> None:
    saved = Conversation()
    saved.apply(ConversationItemAdded(item=Item(type="function_call", id="c", call_id="c", name="f")), 0.0)
    saved.apply(ConversationItemAdded(item=user("Hello", id="u"), previous_item_id="c"), 0.0)
    async with simulated() as (session, simulation):
        [dropped] = await session.seed(saved)
        assert dropped.item_id == "c" and dropped.reason and words(simulation.items) == ["Hello"]


async def test_a_seed_that_the_server_refuses_makes_connect_fail() -> None:
    """B46: and leaves nothing behind."""
    saved = Conversation()
    saved.apply(ConversationItemAdded(item=user("one", id="a")), 0.0)
    peer = Peer()

    async def refuse() -> None:
        created = await peer.heard(ConversationItemCreate)
        error = ErrorDetails(type="invalid_request_error", message="full", event_id=created.event_id)
        peer.say(ErrorEvent(error=error))

    async with asyncio.timeout(5):
        refusing = asyncio.create_task(refuse())
        with pytest.raises(ServerError, match="full"):
            await Realtime().connect(endpoint=peer.endpoint, dial=peer.dial, conversation=saved)
        await refusing
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_long_conversation_is_said_again_whole_and_in_order() -> None:
    """More items than any list of pending requests may forget."""
    saved = Conversation()
    for n in range(300):
        saved.apply(ConversationItemAdded(item=user(str(n), id=f"i{n}"), previous_item_id=f"i{n - 1}"), 0.0)
    async with simulated() as (session, simulation):
        await session.seed(saved)
        assert words(simulation.items) == [str(n) for n in range(300)] == words(session.conversation.items)


# ── exporting ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_live_conversation_is_exported_with_times_and_what_was_heard() -> None:
    """B22: captions show the words that were really heard."""
    async with simulated(Step(emit=[Say(LONG)])) as (session, _):
        await session.ask("Count.")
        counted = session.conversation.items[-1]
        session.playback.played(counted.id, ms=counted.audio_ms / 2)
        await session.interrupt()
        assert counted.heard
        captions = session.conversation.export("srt")
        assert "00:00:0" in captions and "-->" in captions and "Count." in session.conversation.export("md")
        assert counted.heard in captions and LONG not in captions
        assert session.conversation.export("vtt").startswith("WEBVTT")
        assert Conversation.from_json(session.conversation.to_json()).export("srt") == captions
