"""The order of the items: by what stands before each, never by arrival."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events import server
from realtime_events.events.builders import user
from realtime_events.protocol.conversation import Conversation
from realtime_events.protocol.conversation.order import REMEMBERED_REMOVED, ROOT, Order

CHAIN = [f"item_{n}" for n in range(8)]


def added(item_id: str, previous: Any) -> server.ConversationItemAdded:
    return server.ConversationItemAdded(item=user("words", id=item_id), previous_item_id=previous)


def done(item_id: str, previous: Any) -> server.ConversationItemDone:
    return server.ConversationItemDone(item=user("words", id=item_id), previous_item_id=previous)


def told(events: Iterable[Any]) -> list[str]:
    conversation = Conversation()
    for now, event in enumerate(events):
        conversation.apply(event, float(now))
    assert len(conversation) == len(conversation.items)
    return [item.id for item in conversation]


def chain_events() -> list[Any]:
    previous = [None, *CHAIN]
    events: list[Any] = [added(*pair) for pair in zip(CHAIN, previous, strict=False)]
    events += [done(*pair) for pair in zip(CHAIN, previous, strict=False)]
    return [*events, server.ConversationItemDeleted(item_id=CHAIN[3]), server.ConversationItemDeleted(item_id=CHAIN[7])]


EXPECTED = [item_id for item_id in CHAIN if item_id not in (CHAIN[3], CHAIN[7])]


@given(st.permutations(chain_events()))
def test_any_arrival_order_gives_the_same_list(events: list[Any]) -> None:
    """B21: added, done and deleted may come in any order."""
    assert told(events) == EXPECTED


@given(st.permutations(chain_events()), st.data())
def test_hearing_everything_twice_changes_nothing(events: list[Any], data: st.DataObject) -> None:
    """B21: a server may say the same again, also of what was deleted."""
    again = data.draw(st.lists(st.sampled_from(events)))
    assert told([*events, *again]) == EXPECTED


def test_an_item_slots_in_behind_its_predecessor_when_that_arrives() -> None:
    """B21: until then it stands at the end."""
    assert told([added("b", "a"), added("x", "unknown"), added("a", None)]) == ["a", "b", "x"]


def test_an_item_inserted_behind_another_stands_between_it_and_its_follower() -> None:
    """B21: two items name the same predecessor; the later one was inserted."""
    assert told([added("a", None), added("c", "a"), added("b", "a"), added("d", "c")]) == ["a", "b", "c", "d"]


def test_an_item_inserted_at_the_root_comes_first() -> None:
    """B21: an id of None and the word root both mean the front."""
    assert told([added("b", None), added("c", "b"), added("a", "root")]) == ["a", "b", "c"]
    assert told([added("b", None), added("c", "b"), added("a", None)]) == ["a", "b", "c"]


def test_items_of_a_server_that_says_no_order_stand_as_they_came() -> None:
    """B21: an absent id is no place."""
    assert told([server.ConversationItemAdded(item=user("words", id=name)) for name in "xyz"]) == ["x", "y", "z"]


def test_what_stood_behind_a_deleted_item_stays_where_it_was() -> None:
    """B21: the next items name what is left."""
    deleted = server.ConversationItemDeleted(item_id="b")
    assert told([added("a", None), added("b", "a"), added("c", "b"), deleted, added("d", "c")]) == ["a", "c", "d"]
    assert told([added("a", None), added("b", "a"), deleted, added("c", "a")]) == ["a", "c"]


def test_items_that_stand_behind_each_other_in_a_ring_are_all_there() -> None:
    """B01: a server may say nonsense."""
    assert sorted(told([added("a", "c"), added("b", "a"), added("c", "b"), added("s", "s")])) == ["a", "b", "c", "s"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["see", "put", "remove", "forget"]),
            st.sampled_from("abcdef"),
            st.sampled_from([*"abcdef", ROOT]),
            st.sampled_from([0, 1]),
        )
    )
)
def test_the_order_kept_is_the_order_walked_anew(steps: list[tuple[str, str, str, int]]) -> None:
    """B21: appending without a walk is only a shorter way to the same list."""
    kept, walked = Order(), Order()
    for what, item_id, previous, sureness in steps:
        for order in (kept, walked):
            arguments = (item_id, previous, sureness) if what == "put" else (item_id,)
            getattr(order, what)(*arguments)
        walked._walked = walked._shown = None
        assert kept.ids() == walked.ids()
        assert len(set(kept.ids())) == len(kept.ids())


def test_ten_thousand_items_are_read_after_each_arrival_in_no_time() -> None:
    """Appending needs no walk: nothing is looked through for each item that comes."""
    order = Order()
    for n in range(10_000):
        order.put(str(n), str(n - 1) if n else ROOT, 0)
        walked = order._walked
        assert walked is not None
        assert walked[-1] == str(n)
    assert order.ids() == [str(n) for n in range(10_000)]


def test_the_memory_of_removed_items_is_bounded_and_the_order_stays() -> None:
    """B24: of very many deleted items only the newest are remembered, and what is left stands as it stood."""
    order, previous = Order(), ROOT
    for number in range(6 * REMEMBERED_REMOVED):
        item_id = f"item_{number}"
        order.put(item_id, previous, 0)
        if number % 100:
            order.remove(item_id)
        previous = item_id
    kept = [f"item_{number}" for number in range(0, 6 * REMEMBERED_REMOVED, 100)]
    assert order.ids() == kept
    assert not order.is_removed("item_1") and order.is_removed(f"item_{6 * REMEMBERED_REMOVED - 1}")
    order.put("last", kept[-1], 0)
    order.put("first", ROOT, 0)
    assert order.ids() == ["first", *kept, "last"]
