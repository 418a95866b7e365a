"""Gathering: the keys that a caller presses, as phone menus ask for them.

Owns the question whether the assistant still speaks, and its silence at the first key. The keys themselves are with the
call (`call.py`). Before it: the application; after it: the call's keypad.
"""

from __future__ import annotations

from ..call import Entry
from ..exceptions import LocalProtocolError
from .base import SessionBase


class Gathering(SessionBase):
    """What a caller can enter."""

    async def gather(
        self,
        count: int | None = None,
        *,
        timeout: float | None = 5.0,
        total_timeout: float | None = None,
        finish_on: str = "#",
    ) -> str:
        """Take the keys that the caller presses, as phone menus do: `digits = await session.gather(4, timeout=5)`.

        What was pressed before, and not taken, comes first. A key silences the assistant, and the time for an answer
        begins when the assistant has been heard to its end. It ends with the last key of `count`, with a key of
        `finish_on`, or with a time that has passed, and gives what was pressed by then: fewer keys, or an empty string.

        Args:
            count: How many keys are wanted; None takes what comes until a finishing key or a time ends it.
            timeout: How many seconds of silence after a key, or before the first one, end it; None waits on.
            total_timeout: How many seconds it may take in all; None bounds it by the silence alone.
            finish_on: The keys that end it, and are not given; an empty string for none.

        Raises:
            LocalProtocolError: This session is attached to no call, or somebody else gathers.
            ConnectionLostError: The call ended first.
            ConfigurationError: Nothing would ever end it, or a key is none.
        """
        if self.call is None:
            raise LocalProtocolError("this session is attached to no call, so nobody presses keys")
        entry = Entry(count=count, timeout=timeout, total_timeout=total_timeout, finish_on=finish_on)
        return await self.call.keypad.gather(entry, is_spoken_to=self._is_speaking, hush=self._hush)

    def _is_speaking(self) -> bool:
        return self._core.response_active or bool(self._core.voice.playing_response)

    def _hush(self) -> None:
        self._core.voice.interrupt(self._clock())
        self._connection.carry_out()
