"""The sound devices of this machine, by the module sounddevice.

Owns finding one, and what to install where that module is not there. Knows no audio. Before it: PortAudio; after it: a
microphone or a speaker.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

import msgspec

from ...exceptions import ConfigurationError, MissingExtra

Side = Literal["input", "output"]

NO_PORTAUDIO = (
    "the PortAudio library is not installed; on Debian and Ubuntu run: apt install libportaudio2, on macOS: "
    "brew install portaudio"
)
NAMES = {"input": "microphone", "output": "speaker"}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A sound device: its number and name, its own rate in Hz, and how many channels it has each way."""

    index: int
    name: str
    rate: int
    inputs: int
    outputs: int


def list_devices(*, backend: Any = None) -> list[Device]:
    """Gives the sound devices of this machine, in the order of their numbers; an empty list is possible.

    Args:
        backend: What stands in for the module sounddevice, in tests.

    Raises:
        MissingExtra: sounddevice is not installed.
        ConfigurationError: PortAudio is not installed, or cannot ask for devices.
    """
    backend = backend or sounddevice()
    with portaudio_errors(backend, "the sound devices cannot be listed"):
        return [_device(found) for found in backend.query_devices()]


def _device(found: Any) -> Device:
    return Device(
        index=int(found["index"]),
        name=str(found["name"]),
        rate=round(found["default_samplerate"]),
        inputs=int(found["max_input_channels"]),
        outputs=int(found["max_output_channels"]),
    )


def sounddevice() -> Any:
    """Gives the module, which loads PortAudio.

    Raises:
        MissingExtra: It is not installed.
        ConfigurationError: PortAudio is not installed.
    """
    try:
        return import_module("sounddevice")
    except ImportError as error:
        raise MissingExtra("audio", "sounddevice") from error
    except OSError as error:
        raise ConfigurationError(NO_PORTAUDIO) from error


@contextmanager
def portaudio_errors(backend: Any, what: str) -> Generator[None]:
    """Makes an error of PortAudio one of ours, which begins with what cannot be done."""
    try:
        yield
    except backend.PortAudioError as error:
        raise ConfigurationError(f"{what}: {error.args[0] if error.args else error}") from error


def find_device(backend: Any, side: Side, wanted: int | str | None) -> Device:
    """Gives the device of a number, the first whose name holds some words, or the machine's default one."""
    fitting = [device for device in list_devices(backend=backend) if getattr(device, f"{side}s")]
    if not fitting:
        raise ConfigurationError(f"this machine has no {NAMES[side]}, or PortAudio sees none")
    if wanted is None:
        with portaudio_errors(backend, f"this machine has no default {NAMES[side]}; name one of {_named(fitting)}"):
            return _device(backend.query_devices(kind=side))
    if isinstance(wanted, int):
        matches = [device for device in fitting if device.index == wanted]
    else:
        same = [device for device in fitting if device.name.casefold() == wanted.casefold()]
        matches = same or [device for device in fitting if wanted.casefold() in device.name.casefold()]
    if not matches:
        raise ConfigurationError(f"no {NAMES[side]} is called {wanted!r}; there are {_named(fitting)}")
    return matches[0]


def _named(devices: list[Device]) -> str:
    return ", ".join(f"{device.index} {device.name!r}" for device in devices)
