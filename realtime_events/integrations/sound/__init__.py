"""A microphone and a speaker, by the extra `audio` (sounddevice, which is PortAudio, and soxr).

Owns devices: which there are (`devices.py`), opening one and hearing of it (`transducer.py`), what its thread brings
(`microphone.py`) and takes (`speaker.py`), and the pumps between them and a session (`talk.py`). Knows no protocol
beyond four event names. Before it: a sound card; after it: `Session.send_audio` and `session.playback`. Rates are
changed by `audio.Converter`: a device is always opened at its own rate.

PortAudio calls back in a thread of its own. That thread only copies bytes into or out of a bounded buffer and wakes the
event loop; everything else happens on the loop.
"""

from __future__ import annotations

from .devices import Device, list_devices
from .microphone import Microphone
from .speaker import Speaker
from .talk import Talk, talk_through

__all__ = ["Device", "Microphone", "Speaker", "Talk", "list_devices", "talk_through"]
