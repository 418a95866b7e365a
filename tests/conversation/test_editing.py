"""Editing a conversation in the fewest steps, and saying it again in a fresh session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events import server
from realtime_events.events.base import Event
from realtime_events.events.builders import assistant, audio, image, system, user
from realtime_events.events.client import ConversationItemCreate, ConversationItemDelete
from realtime_events.events.items import ContentPart, Item
from realtime_events.exceptions import ConfigurationError
from realtime_events.protocol.conversation import Conversation, ConversationItem

Play = Callable[[Iterable[tuple[Event, float]]], Conversation]


def holding(*items: Item) -> Conversation:
    conversation = Conversation()
    for item in items:
        conversation.apply(server.ConversationItemDone(item=item), 1.0)
    return conversation


def plan(conversation: Conversation, wanted: Sequence[Item | ConversationItem]) -> list[Any]:
    numbers = count(1)
    return list(conversation.edit_plan(wanted, new_id=lambda prefix: f"{prefix}_new{next(numbers)}"))


def obey(conversation: Conversation, steps: Iterable[Any]) -> list[tuple[str, str]]:
    """Does what a server does with the steps, and gives ids and words."""
    there = [(item.id, item.text) for item in conversation]
    for step in steps:
        if isinstance(step, ConversationItemDelete):
            (gone,) = [entry for entry in there if entry[0] == step.item_id]
            there.remove(gone)
            continue
        assert isinstance(step, ConversationItemCreate)
        ids = ["root", *(item_id for item_id, _ in there)]
        assert step.item.id not in ids
        words = "\n".join(part.text or "" for part in step.item.content or ())
        there.insert(ids.index(str(step.previous_item_id)), (str(step.item.id), words))
    return there


def common(a: Sequence[Any], b: Sequence[Any], same: Callable[[Any, Any], bool]) -> int:
    """Counts the longest common subsequence by trying everything."""
    if not a or not b:
        return 0
    best = max(common(a[1:], b, same), common(a, b[1:], same))
    return max(best, 1 + common(a[1:], b[1:], same)) if same(a[0], b[0]) else best


MESSAGES = st.builds(
    lambda words, item_id: user(words, id=item_id),
    st.sampled_from(["x", "y"]),
    st.sampled_from(["a", "b", "c", "d", "e"]) | st.none(),
)


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xy")), max_size=5, unique_by=lambda pair: pair[0]),
    st.lists(MESSAGES, max_size=5),
)
def test_the_plan_makes_what_is_wanted_in_the_fewest_steps(there: list[tuple[str, str]], wanted: list[Item]) -> None:
    """Compared with a server that obeys it, and with trying every way to keep items."""
    conversation = holding(*(user(words, id=item_id) for item_id, words in there))
    steps = plan(conversation, wanted)
    words = [item.content[0].text for item in wanted if item.content]
    assert [said for _, said in obey(conversation, steps)] == words

    def same(pair: tuple[str, str], item: Item) -> bool:
        assert item.content
        return pair[1] == item.content[0].text and (not item.id or item.id == pair[0])

    assert len(steps) == len(there) + len(wanted) - 2 * common(there, wanted, same)


def test_wanting_what_is_there_needs_no_step(recording: Any, play: Play) -> None:
    """Items as they are, and as they are said again: speech is not deleted to be written down."""
    conversation = play(recording)
    assert plan(conversation, conversation.items) == []
    assert plan(conversation, conversation.seed_items()) == []


def test_the_newest_items_are_kept_and_the_others_summed_up(recording: Any, play: Play) -> None:
    """What a summary does: delete the old items, put one at the front."""
    conversation = play(recording)
    steps = plan(conversation, [system("They spoke of the weather."), *conversation.items[-2:]])
    assert [step.item_id for step in steps[:-1]] == [item.id for item in conversation.items[:-2]]
    assert steps[-1] == ConversationItemCreate(
        item=system("They spoke of the weather.", id="item_new1"), previous_item_id="root"
    )


def test_an_item_of_other_words_is_made_anew_in_its_place_under_a_fresh_id() -> None:
    """The server cannot change an item, and knows the old id still."""
    conversation = holding(user("one", id="a"), user("two", id="b"), user("three", id="c"))
    steps = plan(conversation, [conversation.items[0], user("zwei", id="b"), conversation.items[2]])
    assert steps == [
        ConversationItemDelete(item_id="b"),
        ConversationItemCreate(item=user("zwei", id="item_new1"), previous_item_id="a"),
    ]


def test_assistant_speech_that_moves_is_created_as_text() -> None:
    """The API takes no assistant audio."""
    said = ContentPart(type="output_audio", transcript="Hello")
    spoken = Item(id="a", type="message", role="assistant", status="completed", content=[said])
    conversation = holding(spoken, user("Hi", id="b"))
    for wanted in (conversation.items[::-1], [user("Hi"), spoken]):
        (_, created) = plan(conversation, wanted)
        assert created.item in (assistant("Hello", id="item_new1"), user("Hi", id="item_new1"))
    (_, created) = plan(holding(spoken, user("Hi", id="b"), user("Ho", id="c")), [user("Hi"), user("Ho"), spoken])
    assert created == ConversationItemCreate(item=assistant("Hello", id="item_new1"), previous_item_id="c")


def test_new_audio_and_images_of_the_user_are_sent_as_they_are() -> None:
    """Only what is not at hand becomes words."""
    parts = [audio(b"\x00" * 4_800), image("data:image/png;base64,aGVsbG8=")]
    (created,) = plan(holding(), [user(parts, id="mine")])
    assert created.item == user(parts, id="mine")


def test_what_cannot_be_created_is_refused_before_anything_changes() -> None:
    """An empty item, and one of a hosted MCP server; where it stands it may stay."""
    listing = Item(id="m", type="mcp_list_tools")
    conversation = holding(listing, user("a", id="a"), user("b", id="b"))
    assert plan(conversation, [listing, conversation.items[1]]) == [ConversationItemDelete(item_id="b")]
    for moved in (listing, conversation.items[0], user([]), Item(id="x", type="mcp_call")):
        with pytest.raises(ConfigurationError, match="cannot be created"):
            plan(conversation, [*conversation.items[1:], moved])


def test_a_conversation_of_thousands_is_compared_in_a_moment() -> None:
    """Nearly all of it stays; no item is compared with all others."""
    items = [user(str(n), id=f"i{n}") for n in range(3_000)]
    conversation = holding(*items)
    wanted = [*items[1_000:2_000], *items[2_001:], user("end")]
    assert len(plan(conversation, wanted)) == 1_002


# Saying it again.


def test_a_session_is_said_again_in_order_with_its_calls(recording: Any, play: Play) -> None:
    """B42: text as it was, speech as its words, of the interrupted item what was heard."""
    seed = play(recording).seed()
    assert [item.type for item in seed.items] == [*["message"] * 5, "function_call", "function_call_output"] + [
        "message"
    ] * 2
    assert seed.items[2].content == [ContentPart(type="output_text", text="Good morning,")]
    assert seed.items[3].content == [ContentPart(type="input_text", text="what is the weather in Bern")]
    assert seed.dropped == []


def call(call_id: str, item_id: str, **fields: Any) -> Item:
    return Item(id=item_id, type="function_call", call_id=call_id, name="look", arguments="{}", **fields)


def output(call_id: str, item_id: str) -> Item:
    return Item(id=item_id, type="function_call_output", call_id=call_id, output="seen")


def test_what_cannot_be_said_again_is_told_with_the_reason() -> None:
    """B42: honest about what is lost."""
    conversation = holding(
        output("late", "o0"),
        call("late", "c0"),
        call("one", "c1"),
        call("two", "c2"),
        output("two", "o2"),
        output("one", "o1"),
        output("one", "o1b"),
        call("open", "c3"),
        output("gone", "o4"),
        call("cut", "c5", status="incomplete"),
        output("cut", "o5"),
        Item(id="m", type="mcp_call"),
        Item(id="e", type="message", role="user"),
        Item(id="s", type="message", role="user", content=[ContentPart(type="input_audio")]),
        Item(id="x", type="hologram"),
    )
    conversation.pieces("live", 0, "r").append("and so")
    seed = conversation.seed()
    assert [item.id for item in seed.items] == ["c1", "c2", "o2", "o1"]
    assert conversation.seed_items() == seed.items
    assert dict(seed.dropped) == {
        "o0": "a tool output without its call",
        "c0": "a tool call without its output",
        "o1b": "a second output of one tool call",
        "c3": "a tool call without its output",
        "o4": "a tool output without its call",
        "c5": "a tool call that was cut off",
        "o5": "a tool output without its call",
        "m": "of a hosted MCP server",
        "e": "empty",
        "s": "speech without a transcript",
        "x": "no client can create hologram",
        "live": "not finished",
    }
