"""Log lines: nobody forges one, no key stands in one, and none shows what a frame held."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import realtime_events
from realtime_events import Realtime, ServerError, SessionExpired
from realtime_events.logs import logger
from realtime_events.testing import Peer

PACKAGE = Path(realtime_events.__file__).parent
FORGED = "mallory\r\nINFO:root:all is well \x1b[2K\u202e\u2028\x00"
HARMFUL = ("\r", "\n", "\x1b", "\u202e", "\u2028", "\x00")


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    formatter = logging.Formatter("%(levelname)s:%(name)s:%(message)s")
    return [formatter.format(record) for record in caplog.records if record.name.startswith("realtime_events.")]


def test_what_a_log_line_is_given_becomes_one_harmless_line(caplog: pytest.LogCaptureFixture) -> None:
    """B48: control characters, line breaks and marks of direction are shown as escapes; keys are not shown."""
    log = logger("security")
    log.warning("a call of %s, %s", FORGED, ServerError(FORGED, code=FORGED, param=FORGED, type=FORGED))
    log.warning("%s", SessionExpired(FORGED, 1.0))
    log.warning("it said %s", "sk-" + "x" * 20)
    lines = lines_of(caplog)
    assert not any(mark in line for mark in HARMFUL for line in lines)
    assert lines[-1] == "WARNING:realtime_events.security:it said <hidden>"


def test_a_traceback_cannot_begin_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """B48: a caller's name in an exception's message is indented and escaped, and its key hidden."""
    try:
        raise ValueError(f"no caller {FORGED} with sk-{'x' * 20}")
    except ValueError:
        logger("security").exception("it failed")
    first, *rest = lines_of(caplog)[0].split("\n")
    assert first == "ERROR:realtime_events.security:it failed"
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert not any(mark in line for mark in HARMFUL for line in rest)
    assert "x" * 20 not in lines_of(caplog)[0]


def test_every_logger_of_the_package_is_so(caplog: pytest.LogCaptureFixture) -> None:
    """B48: a room that makes a logger of its own is found here."""
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if "integrations" not in name and "__main__" not in name:
            import_module(name.removesuffix(".__init__"))
    named = [name for name in logging.root.manager.loggerDict if name.startswith("realtime_events.")]
    ours = [one for name in named if isinstance(one := logging.root.manager.loggerDict[name], logging.Logger)]
    clean = logger("security").filters[0]
    assert len(ours) > 5
    assert [one.name for one in ours if clean not in one.filters] == []


async def test_a_frame_that_is_no_event_is_told_by_its_size_and_fault(caplog: pytest.LogCaptureFixture) -> None:
    """B48, B52: what stands in it may be audio, or a secret; a session id is the server's word, too."""
    peer, rt = Peer(session_id=FORGED), Realtime()
    caplog.set_level(logging.INFO)
    frames = [b'{"type":"session.updated","session":"a-word-of-7"', b"a-word-of-7\n", b'{"type":["a-word-of-7"]}']
    heard: list[Any] = []
    rt.on("event.malformed", heard.append)
    async with asyncio.timeout(10), rt.connect(endpoint=peer.endpoint, dial=peer.dial) as session:
        waiting = asyncio.create_task(session.wait_for("event.unknown"))
        await asyncio.sleep(0)
        peer.say(*frames, {"type": FORGED})
        await waiting
    assert len(heard) == 3
    lines = lines_of(caplog)
    assert sum("is no event" in line for line in lines) >= 2
    assert not any("a-word-of-7" in line for line in lines)
    assert not any(mark in line for mark in HARMFUL for line in lines)
