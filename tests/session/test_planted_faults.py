"""The machine can fail: each law is broken on purpose, and is seen to be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from realtime_events.connection import Connection
from realtime_events.dispatcher import Dispatcher
from realtime_events.events import ConnectionLost, ConversationItemCreate, ConversationItemDone
from realtime_events.lanes import Lane
from realtime_events.protocol.batches import Batches
from realtime_events.protocol.conversation import Conversation
from realtime_events.protocol.core import Core
from realtime_events.protocol.exchange import Exchange
from realtime_events.protocol.resume import Resumption

from .playing import play
from .schedules import Schedule
from .test_reconnect_machine import LENGTH, Machine

SEEDS = 60
SHORT = 8

Plant = Callable[[pytest.MonkeyPatch], None]


def swallow_lost_audio(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Connection, "_tell_gap", lambda self, gap: None)


def swallow_audio_in_doubt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Connection, "audio_in_doubt", lambda self: [])


def say_audio_twice(patch: pytest.MonkeyPatch) -> None:
    send_audio = Connection.send_audio

    async def twice(self: Connection, event: Any) -> None:
        await send_audio(self, event)
        self._post(event)

    patch.setattr(Connection, "send_audio", twice)


def answer_twice(patch: pytest.MonkeyPatch) -> None:
    post = Connection._post

    def twice(self: Connection, event: Any) -> None:
        post(self, event)
        if isinstance(event, ConversationItemCreate) and event.item.type == "function_call_output":
            post(self, event)

    patch.setattr(Connection, "_post", twice)


def answer_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Core, "answer_tool", lambda *_, **__: True)


def forget_the_orphans(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batches, "orphan", lambda self: [])


def hear_the_dead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Connection, "retire", lambda self, silent: None)


def lose_an_event(patch: pytest.MonkeyPatch) -> None:
    publish = Dispatcher.publish
    patch.setattr(
        Dispatcher, "publish", lambda self, event: isinstance(event, ConversationItemDone) or publish(self, event)
    )


def give_an_event_twice(patch: pytest.MonkeyPatch) -> None:
    publish = Dispatcher.publish
    patch.setattr(
        Dispatcher,
        "publish",
        lambda self, event: [publish(self, event) for _ in range(1 + isinstance(event, ConversationItemDone))],
    )


def mix_up_a_lane(patch: pytest.MonkeyPatch) -> None:
    put = Lane.put

    def in_front(self: Lane, event: Any) -> None:
        put(self, event)
        if isinstance(event, ConversationItemDone) and self.queue:
            self.queue.rotate(1)

    patch.setattr(Lane, "put", in_front)


def keep_old_ids(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Conversation, "carry_over", lambda self, ids, call_ids: None)


def name_nothing_lost(patch: pytest.MonkeyPatch) -> None:
    take = Resumption.take

    def quietly(self: Resumption, *args: Any) -> Any:
        items = take(self, *args)
        self.dropped, self.lost_in_flight = [], []
        return items

    patch.setattr(Resumption, "take", quietly)


def tell_nobody_who_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exchange, "_settle", lambda self, waiter, outcome: None)


def hide_the_loss(patch: pytest.MonkeyPatch) -> None:
    publish = Dispatcher.publish
    patch.setattr(Dispatcher, "publish", lambda self, event: isinstance(event, ConnectionLost) or publish(self, event))


PLANTED: list[tuple[str, Plant]] = [
    ("audio", swallow_lost_audio),
    ("audio", swallow_audio_in_doubt),
    ("audio", say_audio_twice),
    ("answers", answer_twice),
    ("answers", answer_nobody),
    ("answers", forget_the_orphans),
    ("delivery", hear_the_dead),
    ("delivery", lose_an_event),
    ("delivery", give_an_event_twice),
    ("delivery", mix_up_a_lane),
    ("silence", keep_old_ids),
    ("silence", name_nothing_lost),
    ("silence", tell_nobody_who_asks),
    ("silence", hide_the_loss),
]


def broken_by(seeds: range) -> str:
    """Give what the first of some schedules says that breaks a law; "" if none does."""
    for seed in seeds:
        try:
            play(Schedule.of_seed(seed, LENGTH), ask_often=False)
        except AssertionError as error:
            return str(error)
    return ""


@pytest.mark.parametrize(("law", "plant"), PLANTED, ids=[plant.__name__ for _, plant in PLANTED])
def test_a_planted_fault_breaks_its_law(law: str, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """B42: schedules that break no law would prove nothing if nothing could break one."""
    plant(monkeypatch)
    assert broken_by(range(SEEDS)).startswith(f"{law}: ")


def test_what_hypothesis_finds_is_short_and_is_told_as_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """B42: whoever sees it fail can play it again, and with nothing in it that does not belong to it."""
    many = settings(max_examples=1_000, stateful_step_count=40, phases=[Phase.generate, Phase.shrink])
    with monkeypatch.context() as patch:
        swallow_audio_in_doubt(patch)
        with pytest.raises(AssertionError, match="audio: ") as raised:
            run_state_machine_as_test(Machine, settings=many)
        told = "\n".join(raised.value.__notes__)
        [spelled, again] = re.findall(r'STEPS="(.+?)" python -m pytest tests/session/test_reconnect_machine', told)
        found = Schedule.parse(spelled)
        assert spelled == again == str(found)
        assert len(found.steps) <= SHORT
        with pytest.raises(AssertionError, match="audio: "):
            play(found)
    play(found)


def test_a_seed_that_breaks_a_law_is_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """B42: of the steps of a seed, those are told that it takes."""

    def breaks(schedule: Schedule) -> bool:
        try:
            play(schedule)
        except AssertionError:
            return True
        return False

    swallow_audio_in_doubt(monkeypatch)
    seed = next(seed for seed in range(SEEDS) if breaks(Schedule.of_seed(seed, LENGTH)))
    assert len(Schedule.of_seed(seed, LENGTH).shortened(breaks).steps) <= SHORT


def test_a_schedule_is_what_it_is_spelled() -> None:
    """B42: a command plays what was found."""
    schedule = Schedule.of_seed(7, LENGTH)
    assert Schedule.parse(str(schedule)) == schedule
    with pytest.raises(ValueError, match="jump"):
        Schedule.parse("world:1 jump:0.5")
    with pytest.raises(ValueError, match="world"):
        Schedule.parse("audio:0.5")
