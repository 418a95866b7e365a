"""`run --mic` and the devices in `doctor`: with a sound card that is only memory, and without any."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from realtime_events.cli import main
from realtime_events.integrations.sound import devices

Capture = pytest.CaptureFixture[str]
Write = Callable[..., str]

ENDS = """
from realtime_events import Realtime

rt = Realtime()

@rt.on("session.updated", "connection.opened")
async def end(event, session):
    await session.close()
"""


class Card:
    """What stands in for the module sounddevice: a headset that nobody speaks into."""

    class PortAudioError(Exception):
        pass

    class Stream:
        def __init__(self, **how: Any) -> None: ...

        def start(self) -> None: ...

        def abort(self) -> None: ...

        def close(self) -> None: ...

    RawInputStream = RawOutputStream = Stream

    def __init__(self, *names: str) -> None:
        self.devices = [
            {
                "index": index,
                "name": name,
                "max_input_channels": 1,
                "max_output_channels": 2,
                "default_samplerate": 48_000.0,
            }
            for index, name in enumerate(names)
        ]

    def query_devices(self, kind: str | None = None) -> Any:
        return self.devices if kind is None else self.devices[0]


def install(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", card)  # type: ignore[arg-type]


def test_an_application_is_talked_to_until_its_session_ends(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The devices are named, and the program's own start is left out."""
    install(monkeypatch, Card("Headset"))
    assert main(["run", write(ENDS), "--mic", "--simulate"]) == 0
    assert "at the simulator · Headset → Headset · Ctrl-C ends" in capsys.readouterr().out


def no_portaudio(name: str) -> Any:
    raise OSError("PortAudio library not found")


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        ("without the extra", 'sounddevice is not installed; run: pip install "realtime-events[audio]"'),
        ("without PortAudio", "the PortAudio library is not installed; on Debian and Ubuntu run: apt install"),
        ("without a device", "this machine has no microphone, or PortAudio sees none"),
    ],
)
def test_what_is_missing_is_one_sentence(
    machine: str, told: str, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Exit code 2, before anything is connected."""
    if machine == "without the extra":
        monkeypatch.setitem(sys.modules, "sounddevice", None)
    elif machine == "without PortAudio":
        monkeypatch.setattr(devices, "import_module", no_portaudio)
    else:
        install(monkeypatch, Card())
    assert main(["run", write(ENDS), "--mic", "--simulate"]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("card", "rows"),
    [
        (
            Card("Headset", "Horn\x1b[2J"),
            ["microphones 0 Headset, 1 Horn\\x1b[2J", "speakers 0 Headset, 1 Horn\\x1b[2J"],
        ),
        (Card(), ["microphones none", "speakers none"]),
        (None, ['audio devices sounddevice is not installed; run: pip install "realtime-events[audio]"']),
    ],
)
def test_doctor_tells_the_devices(card: Any, rows: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Names come from drivers, and are printed harmlessly."""
    monkeypatch.setenv("OPENAI_REALTIME_URL", "ws://127.0.0.1:9/v1/realtime")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    assert main(["doctor"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row not in lines] == []
