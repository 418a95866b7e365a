"""The session: one live conversation, as a user holds it.

Owns the handle, and builds the rooms behind it. Knows no socket and no frame (that is `connection.py`), no matching of
events (that is State) and no lane (that is `lanes.py`). Before it: the application; after it: State for what a command
means, and the connection for what goes out.

Each thing that a session can do is a file, and a class that `Session` inherits from; the bases of that class are the
other sides which it needs. What all of them stand on is `base.py`.

    living        open, close, drain, wait_closed, take_up
    talking       ask, respond, extract
    sounding      send_audio, send_file, commit_audio, clear_audio, mute, is_muted, talk, answer_speech,
                  audio, interrupt
    gathering     gather
    editing       add_item, delete_item, truncate_item, retrieve_item, seed
    tooling       approve, deny, mcp_ready
    listening     wait_for, stream, emit
    sending       send, request, send_raw
    configuring   update, tell
    looking       id, model, config, options, conversation, turn, usage, cost, rate_limits, audio_ledger, counters,
                  is_closed, is_simulated
    renewing      what each new connection is made of
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..call import Call
from ..connection import Dial
from ..dialogue import LiveConversation
from ..dispatcher import Dispatcher
from ..events.session import SessionConfig
from ..following import Asking
from ..hearing import Heard
from ..options import Options
from ..protocol import dialect
from ..protocol.conversation import Conversation
from ..speaking import Speech
from ..tools.offer import Offer
from ..tools.runner import ToolRunner
from ..vigil import Vigil
from .configuring import Configuring, with_voice
from .dialling import dial_websocket
from .editing import Editing
from .gathering import Gathering
from .listening import Listening
from .living import Living
from .looking import Looking
from .renewing import Renewing
from .sending import Sending
from .sounding import Sounding
from .talking import Talking
from .tooling import Tooling

if TYPE_CHECKING:
    from ..app import Realtime
    from ..endpoint import Endpoint
    from ..plugin import Plugin

__all__ = ["Session", "dial_websocket", "with_voice"]


class Session(
    Living, Talking, Sounding, Gathering, Editing, Tooling, Renewing, Configuring, Sending, Listening, Looking
):
    """One live conversation. `Realtime.connect()` makes it; `async with` closes it.

    Attributes:
        state: Yours: a namespace for whatever the application wants to keep with the session.
        prepared: The plugins that were set up for the session, and will be closed with it.
        playback: What the user has really heard; a player reports to it.
        tools: The tools that the session offers to the model.
        call: The phone or WebRTC call that the session is attached to; None for every other session.
    """

    def __init__(  # noqa: PLR0913 - only the application makes sessions; each argument is one thing that it decides
        self,
        app: Realtime,
        endpoint: Endpoint,
        *,
        model: str,
        options: Options,
        config: SessionConfig,
        seed: Conversation | None = None,
        call: Call | None = None,
        dial: Dial = dial_websocket,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = SimpleNamespace()
        self.prepared: list[Plugin] = []
        self.call = call
        self._app = app
        self._endpoint = endpoint
        self._model = model
        self._options = options
        self._wanted = config
        self._seed = seed
        self._dial = dial if call is None else call.dialling(dial)
        self._clock = clock
        self._speaks: dialect.Dialect = options.dialect or endpoint.dialect
        self._new_id = _numbered()
        self._set_up = lambda: app.set_up(self)
        self._tear_down = lambda: app.tear_down(self)
        self._spared: set[asyncio.Task[Any]] = set()
        self._dispatcher = Dispatcher(app, self, overflow=self._overflowed, close_when_full=options.on_full == "close")
        self.tools = Offer(
            app.tools, session=self, others=config.tools or (), tell=self._offer, run=self._run_tool_by_hand
        )
        self._runner = ToolRunner(
            self.tools,
            publish=self._dispatcher.publish,
            answer=self._answer_tool,
            say=self._say_for_tool,
            inject={Session: self},
            turn=lambda: self._core.turn,
            limits=options.tool_limits,
        )
        self._line = self._make_line(LiveConversation(self._edit), on_closed=self._ended_by_itself)
        self._core, self._connection = self._line.core, self._line.connection
        self.playback = Heard(self._core.playback, clock)
        self._speech = Speech(self._core, self._connection, gate=options.gate, new_id=self._new_id, clock=clock)
        self._asking = Asking(
            self._admitted,
            self._ask_for,
            self._give_up,
            self._dispatcher.follow,
            self._failure,
        )
        if call is not None:
            self._dispatcher.follow(call.keypad)
        self._vigil = Vigil(self._line, self._dispatcher, options, close=self._close_because, clock=clock)


def _numbered() -> Callable[[str], str]:
    """Give what makes ids that no other session makes: by kind, a prefix of chance, and a number."""
    prefix, numbers = secrets.token_hex(4), itertools.count(1)
    return lambda kind: f"{kind}_{prefix}{next(numbers):06x}"
