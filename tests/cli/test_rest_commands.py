"""`secret` and `calls`: what they do at the server, what they print, and what they never print."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from realtime_events.cli import main
from realtime_events.simulator import IncomingCall, Simulator

Write = Callable[..., str]
KEY = "canary-key-of-the-shell"


class Served:
    """A simulator in a thread of its own, for commands that run a loop of theirs."""

    def __init__(self, sim: Simulator, loop: asyncio.AbstractEventLoop) -> None:
        self.sim = sim
        self._loop = loop

    def ring(self) -> IncomingCall:
        """Lets a call come in."""
        return asyncio.run_coroutine_threadsafe(self.sim.ring(), self._loop).result(10)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Serves a simulator that the environment names, with a key that must not be seen."""
    started: Future[tuple[Simulator, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with Simulator(api_key=KEY) as sim:
            started.set_result((sim, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    sim, loop, stop = started.result(10)
    monkeypatch.setenv("OPENAI_REALTIME_URL", sim.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield Served(sim, loop)
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def test_the_secret_stands_alone_on_standard_output(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """A script takes it as it is; when it ends is said beside it."""
    assert main(["secret", "--ttl", "60"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("ek_") and printed.out.count("\n") == 1
    assert re.search(r"it opens sessions for (5\d|60) s from now", printed.err)
    assert KEY not in printed.out + printed.err


def test_the_session_comes_from_a_file_and_the_answer_as_json(
    served: Served, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line's model takes the place of the file's."""
    write('{"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}', "session.json")
    assert main(["secret", "--session", "session.json", "--model", "gpt-realtime-2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["value"].startswith("ek_")
    assert (answer["session"]["model"], answer["session"]["instructions"]) == ("gpt-realtime-2", "Be brief.")


@pytest.mark.parametrize("kind", ["transcription", "translation"])
def test_the_type_in_the_file_says_which_kind_it_is_for(
    kind: str, served: Served, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """The three kinds of sessions."""
    write(
        json.dumps({"type": kind, **({"model": "gpt-realtime-translate"} if kind == "translation" else {})}), "s.json"
    )
    assert main(["secret", "--session", "s.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["session"]["type"] == kind


def test_the_simulator_makes_one_without_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with the command, and so is good only for looking at."""
    assert main(["secret", "--simulate"]) == 0
    assert capsys.readouterr().out.startswith("ek_simulated_")


@pytest.mark.parametrize("argv", [["secret"], ["calls", "hangup", "rtc_1"], ["calls", "accept", "rtc_1"]])
def test_without_a_key_the_sentence_is_that_of_the_other_commands(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    assert main(argv) == 2
    assert "no API key: set OPENAI_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "s.json cannot be read: no such file"),
        ("{", "s.json is no JSON: "),
        ("[" * 100_000, "s.json is no JSON: "),
        ("[]", "s.json is no JSON object"),
        ('{"voice": "ash"}', "use audio.output.voice"),
        ('{"type": "translation", "model": 5}', "wrong value in the configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_said_in_one_line(
    text: str | None, told: str, served: Served, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and nothing is sent."""
    if text is not None:
        write(text, "s.json")
    assert main(["secret", "--session", "s.json"]) == 2
    printed = capsys.readouterr()
    assert told in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_a_call_is_accepted_and_referred(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """What was done is said on standard error."""
    call = served.ring()
    assert main(["calls", "accept", call.id, "--instructions", "Be brief."]) == 0
    assert call.state == "active"
    assert main(["calls", "refer", call.id, "tel:+15550100"]) == 0
    assert (call.state, call.refer_to) == ("referred", "tel:+15550100")
    printed = capsys.readouterr()
    assert f"accepted {call.id}" in printed.err and f"referred {call.id} to tel:+15550100" in printed.err
    assert printed.out == "" and KEY not in printed.err


def test_calls_are_rejected_and_hung_up(served: Served) -> None:
    """A SIP status turns one away; the other ends."""
    first, second, third = served.ring(), served.ring(), served.ring()
    assert main(["calls", "reject", first.id]) == 0
    assert main(["calls", "reject", second.id, "--status", "486"]) == 0
    assert main(["calls", "hangup", third.id]) == 0
    assert [first.reject_code, second.reject_code, third.state] == [603, 486, "ended"]


def test_what_the_server_refuses_is_one_line_and_exit_code_1(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows this call."""
    assert main(["calls", "hangup", "rtc_nobody"]) == 1
    printed = capsys.readouterr()
    assert "HTTP 404 call_id_not_found" in printed.err and printed.err.count("\n") == 1


def test_a_wrong_key_is_refused_without_being_shown(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B48: not even by a server that repeats it."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary-wrong-key")
    assert main(["secret"]) == 1
    printed = capsys.readouterr()
    assert "HTTP 401 invalid_api_key" in printed.err and "canary-wrong-key" not in printed.err


def test_what_makes_no_sense_is_said_before_anything_is_sent(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    assert main(["secret", "--ttl", "5"]) == 2
    assert main(["calls", "refer", "rtc_1", "example.com"]) == 2
    assert main(["calls", "hangup", "../x"]) == 2
    told = capsys.readouterr().err
    assert "lives 10 to 7,200 s, not 5" in told and "no address to refer to" in told and "is no call id" in told
