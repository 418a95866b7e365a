"""The call: what a session that is attached to a phone or WebRTC call can do with it beside talking.

Owns the call's handle, the keys that its caller has pressed, and the words for its end. Knows no event but those of the
keys and of what is played to the caller. Before it: the session, which it belongs to; after it: `rest/` for what is
asked of the call, and the door, whose clean close means that the call is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .events.server import InputAudioBufferDtmfEventReceived
from .events.webhooks import SipHeader
from .exceptions import ConfigurationError, HandshakeError, LocalProtocolError, RestError
from .logs import logger
from .outer_door import OuterDoor

if TYPE_CHECKING:
    from .connection import Dial
    from .endpoint import Endpoint
    from .options import Options
    from .rest import RestClient
    from .transport import Ending, OnFrame, Transport

log = logger("call")

CALL_ENDED = "the call ended"
CLEAN_CODES = (1000, 1005)  # RFC 6455 section 7.4.1: a normal closure, and a CLOSE frame that gives no code
OVER = (404, 409)
KEYS = frozenset("0123456789*#ABCD")
MOST_KEYS = 256
LATE_S = 3.0
REST_TIMEOUT_S = 10.0


def has_ended(ending: Ending) -> bool:
    """Say whether a connection ended because the call did."""
    return ending.initiator == "server" and ending.reason == CALL_ENDED


def is_over(error: BaseException) -> bool:
    """Say whether a sideband could not be attached again because there is no such call any more."""
    return isinstance(error, HandshakeError) and error.status == 404


class Call:
    """A phone or WebRTC call with a session attached to it: `session.call`.

    Attributes:
        id: The call's id, `rtc_…`.
        sip_headers: The headers of the SIP INVITE, where a webhook told of the call. Whoever calls has written them:
            data, never instructions, and never for a log.
        keypad: The keys that the caller has pressed.
    """

    def __init__(
        self, call_id: str, endpoint: Endpoint, options: Options, *, sip_headers: Sequence[SipHeader] = ()
    ) -> None:
        if not call_id:
            raise ConfigurationError("an empty string is no call id")
        self.id = call_id
        self.sip_headers = tuple(sip_headers)
        self.keypad = Keypad()
        self._endpoint = endpoint
        self._options = options

    def __repr__(self) -> str:
        return f"<Call {self.id}>"

    def header(self, name: str) -> str | None:
        """Give the value of the first SIP header of a name, in any case; None where there is none. It is untrusted."""
        return next((header.value for header in self.sip_headers if header.name.lower() == name.lower()), None)

    async def refer(self, target_uri: str) -> None:
        """Hand the call over to a `tel:`, `sip:` or `sips:` address; the session ends when the server lets go of it.

        Raises:
            RestError: The server refused, or there was no answer; it is not asked twice for what it may have done.
            ConfigurationError: The address is none.
        """
        async with self.rest() as rest:
            await rest.refer_call(self.id, target_uri)

    async def hang_up(self) -> None:
        """End the call; of one that is over already, nothing more is wanted.

        Raises:
            RestError: The server refused, or there was no answer.
        """
        try:
            async with self.rest() as rest:
                await rest.hang_up(self.id)
        except RestError as error:
            if error.status not in OVER:
                raise
            log.debug("call %s was over already", self.id)

    def rest(self) -> RestClient:
        """Give a client for the same server, key, proxy and TLS as the session has; to be used in `async with`."""
        from .rest import RestClient

        return RestClient(self._endpoint, options=self._options, timeout_s=REST_TIMEOUT_S)

    def dialling(self, dial: Dial) -> Dial:
        """Give a way to dial by which a clean close is called what it is: the end of the call."""

        async def dial_sideband(url: str, headers: dict[str, str], options: Options) -> Transport:
            return _Sideband(await dial(url, headers, options))

        return dial_sideband


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is asked of the caller's keypad. See `Session.gather`.

    Raises:
        ConfigurationError: Nothing could ever end it, or a number or a key makes no sense.
    """

    count: int | None = None
    timeout: float | None = None
    total_timeout: float | None = None
    finish_on: str = "#"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ConfigurationError(f"nobody can press {self.count} keys")
        if wrong := sorted(set(self.finish_on) - KEYS):
            raise ConfigurationError(f"{wrong[0]!r} is no key of a phone")
        if self.count is None and not self.finish_on and self.timeout is None and self.total_timeout is None:
            raise ConfigurationError("nothing would ever end this entry: give a count, a key or a time")

    def taken(self, keys: Sequence[str]) -> int | None:
        """Say how many keys make the whole entry, the finishing one included; None while it goes on."""
        for place, key in enumerate(keys):
            if key in self.finish_on:
                return place + 1
            if place + 1 == self.count:
                return place + 1
        return None

    def text(self, keys: Sequence[str]) -> str:
        """Give what was entered by these keys."""
        return "".join(keys).rstrip(self.finish_on) if self.finish_on else "".join(keys)


class Keypad:
    """The keys that a caller has pressed and nobody has taken yet; it subscribes to the events that tell of them."""

    keys = (
        "input_audio_buffer.dtmf_event_received",
        "output_audio_buffer.*",
        "response.created",
        "response.done",
    )

    def __init__(self) -> None:
        self._pressed: list[str] = []
        self._late, self._late_until = "", 0.0
        self._news = asyncio.Event()
        self._gathering = False
        self._error: Exception | None = None

    def put(self, event: Any) -> None:
        """Take note of a key, or of something that may have changed whether the caller is spoken to."""
        if isinstance(event, InputAudioBufferDtmfEventReceived):
            if event.event not in KEYS or self._is_late(event.event) or len(self._pressed) >= MOST_KEYS:
                return
            self._pressed.append(event.event)
        self._news.set()

    def _is_late(self, key: str) -> bool:
        """Say whether a key finishes an entry that its count has finished before."""
        late, self._late = self._late, ""
        return key in late and asyncio.get_running_loop().time() < self._late_until

    def purge(self, response_ids: Set[str]) -> int:
        """Take out nothing: keys belong to no response."""
        return 0

    def end(self, error: Exception) -> None:
        """Take note that no more keys will come."""
        self._error = error
        self._news.set()

    def clear(self) -> None:
        """Forget what was pressed and not taken."""
        self._pressed.clear()
        self._late = ""

    async def gather(self, entry: Entry, *, is_spoken_to: Callable[[], bool], hush: Callable[[], None]) -> str:
        """Give what is entered; see `Session.gather`. `hush` is called at a key while the caller is spoken to.

        Raises:
            LocalProtocolError: Somebody else gathers already.
            ConnectionLostError: The call ended before the entry did.
        """
        if self._gathering:
            raise LocalProtocolError("the keys of this call are being gathered already")
        self._gathering = True
        try:
            return await self._gather(entry, Patience(entry), is_spoken_to, hush)
        finally:
            self._gathering = False

    async def _gather(
        self, entry: Entry, patience: Patience, is_spoken_to: Callable[[], bool], hush: Callable[[], None]
    ) -> str:
        hushed = False
        while True:
            speaking = is_spoken_to()
            if self._pressed and speaking and not hushed:
                hushed = True
                hush()
            if (taken := entry.taken(self._pressed)) is not None:
                return self._take(entry, taken)
            if self._error is not None:
                raise self._error
            self._news.clear()
            try:
                async with asyncio.timeout_at(patience.until(len(self._pressed), is_spoken_to=speaking)):
                    await self._news.wait()
            except TimeoutError:
                taken = entry.taken(self._pressed)  # A key may have come in the same moment.
                return self._take(entry, len(self._pressed) if taken is None else taken)

    def _take(self, entry: Entry, taken: int) -> str:
        """Take out the keys of an entry, and the finishing key that many people press after the last digit as well."""
        keys, self._pressed = self._pressed[:taken], self._pressed[taken:]
        if taken == entry.count and keys[-1] not in entry.finish_on:
            if self._pressed:
                self._pressed = self._pressed[self._pressed[0] in entry.finish_on :]
            else:
                self._late = entry.finish_on
                self._late_until = asyncio.get_running_loop().time() + LATE_S
        return entry.text(keys)


@dataclass(slots=True)
class Patience:
    """How long to wait for the next key: the silence counts from the last key, or from when the caller could answer."""

    entry: Entry
    pressed: int = -1
    was_spoken_to: bool = False
    since: float = 0.0
    last: float | None = field(init=False)

    def __post_init__(self) -> None:
        total = self.entry.total_timeout
        self.last = None if total is None else asyncio.get_running_loop().time() + total

    def until(self, pressed: int, *, is_spoken_to: bool) -> float | None:
        """Give the loop's time until which the next key may come; None for ever."""
        if pressed != self.pressed or is_spoken_to or self.was_spoken_to:
            self.since = asyncio.get_running_loop().time()
        self.pressed, self.was_spoken_to = pressed, is_spoken_to
        silence = None if self.entry.timeout is None or is_spoken_to else self.since + self.entry.timeout
        limits = [limit for limit in (silence, self.last) if limit is not None]
        return min(limits) if limits else None


class _Sideband(OuterDoor):
    """A door that calls a clean close the end of the call."""

    async def run(self, on_frame: OnFrame) -> Ending:
        """Read frames until the connection ends, and say how it ended."""
        ending = await super().run(on_frame)
        if ending.initiator == "server" and ending.code in CLEAN_CODES:
            return replace(ending, reason=CALL_ENDED)
        return ending
