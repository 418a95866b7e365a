"""For tests of applications: a server that is only memory, and a clock that is moved by hand.

Owns the names a test imports: `Peer` (`peer.py`), the server's side of a connection without a socket, and
`ManualClock` (`clock.py`). Knows no test framework.

    peer = Peer()
    async with rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        peer.say(ResponseOutputTextDelta(...))
        sent = await peer.heard(ResponseCreate)
"""

from .clock import ManualClock
from .peer import Peer

__all__ = ["ManualClock", "Peer"]
