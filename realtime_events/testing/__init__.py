"""For tests of applications: a server that is only memory, a network that breaks on demand, a clock moved by hand.

Owns the names a test imports: `Peer` (`peer.py`), the server's side of a connection without a socket; `FaultProxy`
(`fault_proxy.py`) with its `Toxics` (`toxics.py`), a TCP proxy that breaks real connections; `ManualClock`
(`clock.py`); and `tape` (`tape.py`), which plays what was recorded into the application under test. Knows no
test framework.

    peer = Peer()
    async with rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        peer.say(ResponseOutputTextDelta(...))
        sent = await peer.heard(ResponseCreate)
"""

from .clock import ManualClock
from .fault_proxy import FaultProxy
from .peer import Peer
from .tape import Played, tape
from .toxics import Toxics

__all__ = ["FaultProxy", "ManualClock", "Peer", "Played", "Toxics", "tape"]
