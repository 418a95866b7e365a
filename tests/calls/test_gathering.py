"""The caller's keys: what is taken of them, when an answer is over, and what is left for the next one."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events import ConfigurationError, ConnectionLostError, LocalProtocolError, Realtime
from realtime_events.call import Entry, Keypad, Patience
from realtime_events.events import InputAudioBufferDtmfEventReceived, OutputAudioBufferStopped
from realtime_events.simulator import Simulator

from .conftest import accepted

SOON_S = 0.01


class Pad:
    """A keypad without a session, and how often the assistant was silenced."""

    def __init__(self) -> None:
        self.keypad = Keypad()
        self.spoken_to = False
        self.hushed = 0

    def press(self, keys: str) -> None:
        """Presses keys."""
        for key in keys:
            self.keypad.put(InputAudioBufferDtmfEventReceived(event=key))

    def hush(self) -> None:
        """Silences the assistant."""
        self.hushed += 1
        self.spoken_to = False

    async def gather(self, count: int | None = None, **settings: Any) -> str:
        """Gathers, for ten seconds at the most."""
        settings.setdefault("timeout", SOON_S)
        entry = Entry(count=count, **settings)
        async with asyncio.timeout(10):
            return await self.keypad.gather(entry, is_spoken_to=lambda: self.spoken_to, hush=self.hush)

    async def gathering(self, count: int | None = None, **settings: Any) -> asyncio.Task[str]:
        """Begins to gather, and waits until it waits."""
        task = asyncio.create_task(self.gather(count, **settings))
        await asyncio.wait({task}, timeout=0)
        return task


async def test_the_last_digit_of_the_count_ends_the_entry() -> None:
    """No time has to pass."""
    pad = Pad()
    task = await pad.gathering(4, timeout=None)
    pad.press("1234")
    assert await task == "1234"


async def test_a_finishing_key_ends_the_entry_and_is_not_given() -> None:
    """As on any phone."""
    pad = Pad()
    task = await pad.gathering(timeout=None)
    pad.press("12#")
    assert await task == "12"


async def test_other_keys_may_finish_and_none_may() -> None:
    """`finish_on` decides."""
    pad = Pad()
    pad.press("1#2*34#")
    assert await pad.gather(finish_on="*") == "1#2"
    assert await pad.gather(3, finish_on="") == "34#"


async def test_what_was_pressed_before_comes_first_and_the_rest_is_left() -> None:
    """Who knows the menu types ahead."""
    pad = Pad()
    pad.press("51234")
    assert await pad.gather(1) == "5"
    assert await pad.gather(4) == "1234"


async def test_silence_ends_the_entry_with_what_was_pressed() -> None:
    """Fewer digits than asked for, or none, are an answer, too."""
    pad = Pad()
    pad.press("12")
    assert await pad.gather(4) == "12"
    assert await pad.gather(4) == ""


async def test_the_total_time_ends_the_entry_although_keys_still_come() -> None:
    """A caller who presses for ever is cut."""
    pad = Pad()
    task = await pad.gathering(total_timeout=SOON_S, timeout=None, finish_on="")
    pad.press("1")
    assert await task == "1"


async def test_time_counts_from_the_last_key_and_not_while_the_caller_is_spoken_to() -> None:
    """A prompt of ten seconds leaves five seconds for the answer."""
    clock = asyncio.get_running_loop().time
    patience = Patience(Entry(count=4, timeout=5.0))
    assert patience.until(0, is_spoken_to=True) is None
    begun = clock()
    first = patience.until(0, is_spoken_to=False)
    assert first is not None and first >= begun + 5.0
    assert patience.until(0, is_spoken_to=False) == first
    second = patience.until(1, is_spoken_to=False)
    assert second is not None and second > first


async def test_the_total_time_counts_even_while_the_caller_is_spoken_to() -> None:
    """It bounds all of it."""
    patience = Patience(Entry(count=4, timeout=5.0, total_timeout=3.0))
    first = patience.until(0, is_spoken_to=True)
    assert first is not None
    assert patience.until(1, is_spoken_to=False) == first


async def test_a_key_silences_the_assistant_once() -> None:
    """The caller need not hear the menu to its end."""
    pad = Pad()
    pad.spoken_to = True
    task = await pad.gathering(2, timeout=None)
    assert pad.hushed == 0
    pad.press("1")
    await asyncio.wait({task}, timeout=0)
    pad.spoken_to = True  # The server still plays until it has taken note.
    pad.keypad.put(OutputAudioBufferStopped(response_id="resp_1"))
    pad.press("2")
    assert await task == "12"
    assert pad.hushed == 1


@pytest.mark.parametrize("pressed", ["1234#5", "1234"])
async def test_the_finishing_key_after_the_last_digit_belongs_to_the_same_entry(pressed: str) -> None:
    """Many press it, although the count was enough; it is no empty answer to the next question."""
    pad = Pad()
    pad.press(pressed)
    assert await pad.gather(4) == "1234"
    if pressed == "1234":
        pad.press("#5")
    assert await pad.gather(1) == "5"


async def test_a_call_that_ends_ends_the_entry() -> None:
    """B06: a wait fails at once when the connection ends for good; what is complete is given all the same."""
    pad = Pad()
    task = await pad.gathering(4, timeout=None)
    pad.press("12")
    pad.keypad.end(ConnectionLostError(1000, "the call ended", initiator="server"))
    with pytest.raises(ConnectionLostError, match="the call ended"):
        await task
    assert await pad.gather(2) == "12"
    with pytest.raises(ConnectionLostError):
        await pad.gather(2)


async def test_who_gives_up_leaves_the_keys() -> None:
    """B46: a cancelled entry takes nothing."""
    pad = Pad()
    task = await pad.gathering(4, timeout=None)
    pad.press("12")
    await asyncio.wait({task}, timeout=0)
    task.cancel()
    await asyncio.wait({task})
    assert await pad.gather(2) == "12"


async def test_two_cannot_gather_at_once() -> None:
    """Nobody could tell whose key it is."""
    pad = Pad()
    task = await pad.gathering(1, timeout=None)
    with pytest.raises(LocalProtocolError):
        await pad.gather(1)
    pad.press("1")
    assert await task == "1"


async def test_keys_can_be_forgotten_and_are_bounded_and_must_be_keys() -> None:
    """What a server sends fills no memory."""
    pad = Pad()
    pad.press("1" * 1_000)
    assert len(await pad.gather(timeout=SOON_S)) == 256
    pad.press("12")
    pad.keypad.clear()
    pad.press("x")
    pad.keypad.put(InputAudioBufferDtmfEventReceived(event="12"))
    assert await pad.gather(1) == ""


@pytest.mark.parametrize(
    "settings",
    [{"count": 0}, {"count": -1}, {"finish_on": "x"}, {"finish_on": "", "timeout": None}, {"finish_on": "a"}],
    ids=str,
)
def test_an_entry_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    """It would never end, or never begin."""
    with pytest.raises(ConfigurationError):
        Entry(**settings)


@given(keys=st.text("0123456789*ABCD", max_size=30), counts=st.lists(st.integers(1, 6), max_size=10))
def test_no_key_is_lost_and_none_is_taken_twice(keys: str, counts: list[int]) -> None:
    """Whatever is asked for, the entries put together are what was pressed, in order."""

    async def entries() -> list[str]:
        pad = Pad()
        pad.press(keys)
        got = [await pad.gather(count, timeout=0.0) for count in counts]
        return [*got, await pad.gather(None, timeout=0.0)]

    got = asyncio.run(entries())
    assert "".join(got) == keys
    starts = itertools.accumulate(counts)
    assert [len(entry) for entry in got[:-1]] == [
        max(0, min(count, len(keys) - end + count)) for count, end in zip(counts, starts, strict=True)
    ]


async def test_digits_are_gathered_from_a_caller() -> None:
    """The keys of the simulator's caller, by way of the session; the first of them silences the question."""
    async with Simulator(pace=None) as sim, asyncio.timeout(10):
        call = await accepted(sim)
        async with Realtime().connect(endpoint=sim.endpoint, call_id=call.id) as session:
            await session.ask("Please ask for the number.")
            task = asyncio.create_task(session.gather(4))
            for key in "1234":
                call.press(key)
            assert await task == "1234"
            await session.wait_for("output_audio_buffer.cleared")
            for key in "99#":
                call.press(key)
            assert await session.gather() == "99"
