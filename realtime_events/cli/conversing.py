"""A conversation by microphone and speaker: the turns are shown while they are spoken.

Owns what is shown of it. Knows no device (that is `integrations/sound/`). Before it: `run --mic`; after it:
`talk_through`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import TurnDone
from ..integrations.sound import Microphone, Speaker, talk_through
from .output import Printer
from .serving import opened, patience_s, verdict
from .speaking import show

if TYPE_CHECKING:
    from ..app import Realtime


async def converse(application: Realtime) -> int:
    """Connect an application and let a person talk with it, until the session ends.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or there is no microphone or speaker.
    """
    microphone, speaker = Microphone(), Speaker()  # before anything is connected: this machine may have none
    printer = Printer()

    def tell(event: TurnDone) -> None:
        show(printer, event.turn)

    application.on(TurnDone, tell)
    async with (
        application.connect(connect_retry_s=patience_s(application)) as session,
        talk_through(session, microphone, speaker) as talk,
    ):
        printer.note(f"{opened(session)} · {microphone.device.name} → {speaker.device.name} · Ctrl-C ends")
        await talk.ended()
        return verdict(await session.wait_closed())
