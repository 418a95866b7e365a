"""What every side of a session stands on: the rooms that it is made of.

Owns their names and nothing else. Before it: `Session`, which builds them; after it: the sides of the session, one file
for each, which take from here what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

from ..call import Call
from ..connection import Connection
from ..dispatcher import Dispatcher
from ..events.session import SessionConfig
from ..hearing import Heard
from ..lifeline import Lifeline
from ..options import Options
from ..protocol.core import Core
from ..speaking import Speech
from ..tools.offer import Offer
from ..tools.runner import ToolRunner

if TYPE_CHECKING:
    from ..app import Realtime
    from ..endpoint import Endpoint


class SessionBase:
    """The rooms of a session, by the names under which its sides know them."""

    # What a user meets.
    state: SimpleNamespace
    call: Call | None
    tools: Offer
    playback: Heard

    # Where it comes from, and what it was asked to be.
    _app: Realtime
    _endpoint: Endpoint
    _model: str
    _options: Options
    _wanted: SessionConfig
    _clock: Callable[[], float]
    _new_id: Callable[[str], str]

    # Set once by `drain`.
    _is_draining = False

    # The rooms that last as long as the session does.
    _dispatcher: Dispatcher
    _runner: ToolRunner
    _line: Lifeline
    _speech: Speech

    # Those of the current connection: each reconnection and each rotation brings new ones.
    _core: Core
    _connection: Connection
