"""`probe`: every answer comes from the wire, agreeing or not; what is printed, written, and asked beforehand."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

import realtime_events
from realtime_events import RestClient
from realtime_events.cli import main
from realtime_events.cli.probe import EXPERIMENTS
from realtime_events.simulator import Simulator

KEY = "canary-key-of-the-shell"
CALL = "rtc_1"
QUESTIONS = {question.name: question for experiment in EXPERIMENTS for question in experiment.questions}
ITEMS = [name for name in QUESTIONS if name.startswith(("item", "duplicate", "error", "output"))]
DOCS = Path(__file__).parent.parent.parent / "docs" / "how-to" / "command-line.md"

Start = Callable[..., AbstractAsyncContextManager[Any]]


class Served:
    """A server in a thread of its own, for commands that run a loop of theirs."""

    def __init__(self, made: Any, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.made = made
        self.url = url
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Does something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def in_thread(making: Callable[[], AbstractAsyncContextManager[Any]]) -> Iterator[Served]:
    """Serves what is made, which has a `url`."""
    started: Future[tuple[Any, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with making() as made:
            started.set_result((made, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    made, loop, stop = started.result(10)
    yield Served(made, made.url, loop)
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


class OtherServer:
    """A server with habits of its own: by default it answers every question otherwise than the simulator does."""

    def __init__(self, **habits: Any) -> None:
        self.url = ""
        self.habits = {
            "first": {"type": "rate_limits.updated", "rate_limits": []},
            "lifetime_s": 1800,
            "says_expiry": True,
            "takes_messages": True,
            "keeps_ids": False,
            "refuses": "",
            "blames": False,
            "retrieves_outputs": False,
            "greets": True,
            "second": "stays",
            "hears": True,
            "replays": True,
            "speaks": True,
            "closes": None,
            "limit": (1000, None),
            **habits,
        }
        self._items: dict[str, dict[str, Any]] = {}
        self._sidebands: list[web.WebSocketResponse] = []
        self._count = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[OtherServer]:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._realtime)
        app.router.add_post(f"/v1/realtime/calls/{CALL}/hangup", self._hang_up)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/v1/realtime"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _realtime(self, request: web.Request) -> web.WebSocketResponse:
        is_sideband = "call_id" in request.query
        if is_sideband and self._sidebands and self.habits["second"] == "refused":
            raise web.HTTPConflict
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if is_sideband:
            if self._sidebands and self.habits["second"] == "closed":
                await socket.close(code=4009)
                return socket
            self._sidebands.append(socket)
        await self._greet(socket, is_sideband=is_sideband)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._take(socket, json.loads(message.data))
        if is_sideband:
            self._sidebands.remove(socket)
        return socket

    async def _greet(self, socket: web.WebSocketResponse, *, is_sideband: bool) -> None:
        if self.habits["greets"]:
            await self._say(socket, **self.habits["first"]) if self.habits["first"] else None
            expiry = {"expires_at": int(time.time() + self.habits["lifetime_s"])} if self.habits["says_expiry"] else {}
            await self._say(socket, type="session.created", session={"type": "realtime", **expiry})
        if is_sideband and self.habits["replays"]:
            for item in list(self._items.values()):
                await self._say(socket, type="conversation.item.added", item=item)
        if self.habits["lifetime_s"] <= 1:
            code, error = self.habits["limit"]
            if error:
                await self._say(socket, type="error", error={"type": "invalid_request_error", "code": error})
            await socket.close(code=code)

    async def _take(self, socket: web.WebSocketResponse, event: dict[str, Any]) -> None:
        match event["type"]:
            case "conversation.item.create":
                await self._create(socket, event)
            case "conversation.item.retrieve":
                item = self._items.get(event["item_id"], {})
                if item.get("type") == "function_call_output" and not self.habits["retrieves_outputs"]:
                    await self._refuse(socket, event, "item_not_retrievable")
                else:
                    await self._say(socket, type="conversation.item.retrieved", item=item)
            case "response.create":
                await self._respond(socket, event["response"]["metadata"])

    async def _create(self, socket: web.WebSocketResponse, event: dict[str, Any]) -> None:
        item = event["item"]
        if item["type"] == "message" and not self.habits["takes_messages"]:
            await self._refuse(socket, event, "no_messages")
            return
        if self.habits["refuses"] and item["id"] in self._items:
            await self._refuse(socket, event, self.habits["refuses"])
            return
        if not self.habits["keeps_ids"] and item["type"] == "message" and not self._sidebands:
            item = {**item, "id": "item_of_the_server"}
        self._items[item["id"]] = item
        hearers = [socket]
        if socket in self._sidebands and self.habits["hears"]:
            hearers = list(self._sidebands)
        for one in hearers:
            await self._say(one, type="conversation.item.added", item=item)

    async def _respond(self, socket: web.WebSocketResponse, metadata: dict[str, str]) -> None:
        if self.habits["speaks"]:
            names = {"response_id": "resp_1", "item_id": "item_1", "delta": "AAAA"}
            await self._say(socket, type="response.output_audio.delta", **names)
        response = {"id": "resp_1", "status": "completed", "metadata": metadata}
        await self._say(socket, type="response.done", response=response)

    async def _refuse(self, socket: web.WebSocketResponse, event: dict[str, Any], code: str) -> None:
        blamed = event["event_id"] if self.habits["blames"] else None
        error = {"type": "invalid_request_error", "code": code, "message": f"org-canary {KEY}", "event_id": blamed}
        await self._say(socket, type="error", error=error)

    async def _say(self, socket: web.WebSocketResponse, **event: Any) -> None:
        self._count += 1
        await socket.send_json({"event_id": f"event_{self._count}", **event})

    async def _hang_up(self, request: web.Request) -> web.Response:
        for socket in list(self._sidebands) if self.habits["closes"] else ():
            asyncio.get_running_loop().create_task(socket.close(code=self.habits["closes"]))
        return web.Response()


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Serves another server with the habits that are said, and lets nobody wait long for what does not come."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("realtime_events.cli.probe.calls.SETTLE_S", 0.2)
    monkeypatch.setattr("realtime_events.cli.probe.calls.HANG_UP_S", 0.5)
    running: list[AbstractContextManager[Served]] = []

    def serve(**habits: Any) -> Served:
        running.append(in_thread(OtherServer(**habits).serving))
        return running[-1].__enter__()

    yield serve
    for one in running:
        one.__exit__(None, None, None)


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Serves a simulator that the environment names, with a key that must not be seen."""
    with in_thread(lambda: Simulator(api_key=KEY, pace=None)) as served:
        monkeypatch.setenv("OPENAI_REALTIME_URL", served.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield served


def found(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    """Asks, and gives the exit code with what is said of each question."""
    capsys.readouterr()
    code = main(["probe", "--json", *argv])
    printed = capsys.readouterr()
    assert KEY not in printed.out + printed.err and "org-canary" not in printed.out + printed.err
    return code, {finding["question"]: finding for finding in json.loads(printed.out)["findings"]}


# What is found.


def test_the_simulator_answers_what_is_assumed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Nothing is missing but what two sidebands hear of each other: it lets only one stay."""
    code, answers = found(capsys, "--simulate")
    assert code == 0
    assert list(answers) == list(QUESTIONS)
    agreeing = {name for name, answer in answers.items() if answer["agrees"]}
    assert set(QUESTIONS) - agreeing == {"both-hear-all"}
    assert not answers["both-hear-all"]["asked"]
    assert list(folder.iterdir()) == []  # no file, unless it is named


@pytest.mark.parametrize(
    ("name", "habits", "value"),
    [
        ("created-first", {}, False),
        ("expires-at", {"says_expiry": False}, False),
        ("lifetime", {}, 30),
        ("item-id-kept", {}, False),
        ("duplicate-refused", {"keeps_ids": True}, False),
        ("duplicate-code", {"refuses": "item_exists"}, "item_exists"),
        ("error-names-event", {"refuses": "item_exists"}, False),
        ("output-orphan", {}, "conversation.item.added"),
        ("output-retrieved", {}, False),
        ("output-resent", {}, False),
        ("limit-error", {"lifetime_s": 1}, "none"),
        ("limit-error", {"lifetime_s": 1, "limit": (1001, "too_old")}, "too_old"),
        ("limit-code", {"lifetime_s": 1}, 1000),
        ("two-sidebands", {}, "both stay"),
        ("two-sidebands", {"second": "refused"}, "the second is closed"),
        ("two-sidebands", {"second": "closed"}, "the second is closed"),
        ("rejoin-replay", {}, True),
        ("sideband-audio", {}, True),
        ("hang-up-closes", {}, False),
        ("hang-up-code", {"closes": 4001}, 4001),
    ],
)
def test_a_server_that_answers_otherwise_is_believed(
    name: str, habits: dict[str, Any], value: Any, other: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer contradicts what is assumed, and the exit code says so."""
    served = other(**habits)
    asks = ["--url", served.url, "--call", CALL, "--hang-up", "--wait-for-limit", "--out", "o.json"]
    code, answers = found(capsys, name, *asks)
    assert list(answers) == [name]
    assert (answers[name]["found"], answers[name]["agrees"], code) == (value, False, 1)


def test_the_same_server_agrees_where_it_has_the_habits_that_are_assumed(
    other: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    """So it is the habit that is seen, not the server."""
    served = other(
        first=None, lifetime_s=3600, keeps_ids=True, refuses="item_create_duplicate_item_id", blames=True,
        retrieves_outputs=True, replays=False, speaks=False, closes=1000, second="stays",
    )  # fmt: skip
    code, answers = found(capsys, "--url", served.url, "--call", CALL, "--hang-up")
    assert {name for name, answer in answers.items() if answer["agrees"] is False} == {"output-orphan", "two-sidebands"}
    assert {name for name, answer in answers.items() if not answer["asked"]} == {"limit-error", "limit-code"}
    assert code == 1


@pytest.mark.parametrize("hears", [True, False])
def test_what_two_sidebands_hear_of_each_other_contradicts_nothing(
    hears: bool, other: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing rests on it yet."""
    served = other(hears=hears)
    code, answers = found(capsys, "both-hear-all", "--url", served.url, "--call", CALL)
    assert (answers["both-hear-all"]["found"], answers["both-hear-all"]["agrees"], code) == (hears, None, 0)


def test_a_server_that_greets_no_sideband_is_asked_all_the_same(
    other: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told as such, and what follows is found out without it."""
    monkeypatch.setattr("realtime_events.cli.probe.line.ANSWER_S", 0.3)
    served = other(greets=False, replays=False)
    code, answers = found(capsys, "sideband-greeted", "rejoin-replay", "--url", served.url, "--call", CALL)
    assert (answers["sideband-greeted"]["found"], answers["rejoin-replay"]["found"], code) == (False, False, 1)


def test_a_refusal_that_is_swallowed_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, sim: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that says nothing to a second item of an id has not refused it."""
    monkeypatch.setattr("realtime_events.cli.probe.line.ANSWER_S", 0.3)
    code, answers = found(capsys, "--url", f"{sim.url}?faults=drop:error", "duplicate-*")
    assert (answers["duplicate-refused"]["found"], answers["duplicate-refused"]["seen"]) == (
        False,
        {"answer": "no answer"},
    )
    assert not answers["duplicate-code"]["asked"]
    assert code == 1


# What stays open.


def test_without_a_call_or_an_hour_the_rest_is_asked(sim: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not asked says what it needs, and is no failure."""
    code, answers = found(capsys)
    reasons = {name: answer["reason"] for name, answer in answers.items() if not answer["asked"]}
    assert reasons["limit-code"] == reasons["limit-error"] == "takes up to an hour (--wait-for-limit)"
    needy = {name for name, reason in reasons.items() if reason == "needs a call (--call CALL_ID)"}
    assert needy == {name for name in QUESTIONS if "sideband" in name or name.startswith(("both", "rejoin", "hang"))}
    assert code == 0


def test_somebody_elses_call_goes_on_unless_it_may_be_ended(sim: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """What is put into its conversation is taken out again."""

    async def make() -> str:
        async with RestClient(sim.made.endpoint) as rest:
            return (await rest.create_call("v=0\r\n", {"type": "realtime", "model": "gpt-realtime"})).call_id

    call_id = sim.do(make())
    code, answers = found(capsys, "--call", call_id)
    call = sim.made.calls[0]
    assert (code, call.state) == (0, "active")
    assert call.session.items == []
    assert answers["hang-up-code"]["reason"] == "ends the call (--hang-up)"
    assert answers["two-sidebands"]["found"] == "the first is closed"
    code, answers = found(capsys, "--call", call_id, "--hang-up", "hang-up*", "--out", "end.json")
    assert (code, call.state, answers["hang-up-code"]["found"]) == (0, "ended", 1000)


def test_a_connection_that_is_lost_leaves_its_questions_open(sim: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """What was found before counts, and the exit code says that something did not come."""
    code, answers = found(capsys, "--url", f"{sim.url}?faults=close=1011%23{5}", "created-first", *ITEMS)
    assert answers["created-first"]["agrees"] and answers["item-id-kept"]["agrees"]
    assert answers["output-resent"]["reason"] == "the connection was closed by the server with code 1011"
    assert answers["output-resent"]["asked"] and answers["output-resent"]["agrees"] is None
    assert code == 1


def test_ctrl_c_tells_and_keeps_what_was_found(child_environment: dict[str, str], start: Start, folder: Path) -> None:
    """An hour is long."""

    async def stopped() -> tuple[int, str, str]:
        async with Simulator() as simulator:
            child_environment["OPENAI_API_KEY"] = KEY
            arguments = ["--url", simulator.url, "--wait-for-limit", "--out", "found.json"]
            async with start("probe", "created-first", "limit-code", *arguments) as child:
                await child.says("waits for the end of a session", on="stderr")
                child.process.send_signal(signal.SIGINT)
                return await child.ends()

    code, out, err = asyncio.run(stopped())
    assert code == 130
    assert "Is session.created the first event" in out and "it was stopped" in out
    kept = json.loads((folder / "found.json").read_text("utf-8"))
    assert [finding["question"] for finding in kept["findings"]] == ["created-first"]
    assert kept["complete"] is False
    assert "Traceback" not in err and KEY not in out + err


def test_what_was_not_asked_is_no_finding(sim: Served, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A call that nobody knows is one line, although another question was passed over before."""
    assert main(["probe", "limit-code", "two-sidebands", "--call", CALL]) == 1
    printed = capsys.readouterr()
    assert "HTTP 404" in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert list(folder.iterdir()) == []


def test_without_a_first_item_there_is_no_second(
    other: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal of any item tells nothing about duplicates."""
    code, answers = found(capsys, "--url", other(takes_messages=False).url, "created-first", "item*", "dup*", "error*")
    told = {name: (answer["asked"], answer["found"], answer["reason"]) for name, answer in answers.items()}
    assert told.pop("created-first") == (True, False, None)
    assert set(told.values()) == {(True, None, "the item was not taken: no_messages")}
    assert code == 1


# What is printed and written.


def test_the_table_names_the_file_that_a_wrong_assumption_stands_in(
    sim: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["probe", "--url", f"{sim.url}?faults=expire=1800", "lifetime", "expires-at", "limit-code"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("question")] == [
        ["question", "assumed", "found", "agrees"]
    ]
    assert [line.split()[-3:] for line in lines if line.startswith("How many")] == [["60", "30", "no"]]
    assert any(line.startswith("lifetime: look at vigil.py, simulator/setup.py (seen: seconds 1") for line in lines)
    assert "2 of 3 answered, 1 against what is assumed" in lines
    assert max(map(len, lines)) <= 80


def test_the_file_is_its_owners_and_names_neither_key_nor_query(sim: Served, folder: Path) -> None:
    """B48: what is written may be cited."""
    assert main(["probe", "--url", f"{sim.url}?faults=seed=7", "--model", "gpt-realtime-2", "created-first"]) == 0
    path = folder / "probe.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text("utf-8")
    kept = json.loads(text)
    assert (kept["endpoint"], kept["model"], kept["version"]) == (
        sim.url,
        "gpt-realtime-2",
        realtime_events.__version__,
    )
    assert kept["complete"] is True and kept["date"].endswith("+00:00")
    assert "seed" not in text and KEY not in text and "sess_" not in text


def test_a_server_that_repeats_the_key_as_a_code_shows_it_nowhere(
    other: Callable[..., Served], capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """B48: nor what it says beside the code, which may name the organisation."""
    served = other(refuses=f"bad {KEY}", keeps_ids=True, first={"type": f"hello.{KEY}"})
    assert main(["probe", "--url", served.url]) == 1
    printed = capsys.readouterr()
    assert "bad <hidden>" in printed.out
    seen = printed.out + printed.err + (folder / "probe.json").read_text("utf-8")
    assert KEY not in seen and "org-canary" not in seen


def test_a_file_of_before_is_not_overwritten(sim: Served, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer may have taken an hour; nothing is asked."""
    (folder / "probe.json").write_text("{}")
    assert main(["probe"]) == 2
    assert "probe.json is there already" in capsys.readouterr().err
    assert sim.made.sessions == []
    assert main(["probe", "created-first", "--out", "nowhere/probe.json"]) == 2
    assert "nowhere/probe.json cannot be written: no such file or directory" in capsys.readouterr().err


def test_a_server_that_lets_nobody_in_is_one_line_and_no_file(
    sim: Served, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with the other commands."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary-wrong-key")
    assert main(["probe"]) == 1
    printed = capsys.readouterr()
    assert "HTTP 401" in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert "canary-wrong-key" not in printed.err and list(folder.iterdir()) == []


# Before anything is asked.


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["lifetmie"], "no question is called 'lifetmie'; did you mean 'lifetime'?"),
        (["xyz*"], "no question is called 'xyz*'; there are created-first, expires-at, "),
        (["--simulate", "--call", CALL], "--simulate makes a call of its own"),
        ([], "no API key: set OPENAI_API_KEY"),
        (["--simulate", "--url", "wss://nowhere.invalid"], "not allowed with argument"),
    ],
)
def test_what_makes_no_sense_is_one_line(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    assert main(["probe", *argv]) == 2
    printed = capsys.readouterr()
    assert told in printed.err and printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize(
    ("typed", "told"), [("n\n", "nothing was asked"), ("", "nothing was asked"), ("y\n", "cannot be resolved")]
)
def test_a_person_is_told_the_cost_and_asked(
    typed: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """Only on a terminal, and not about a server on this machine."""
    terminal = io.StringIO(typed)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert main(["probe", "--url", "wss://nowhere.invalid/v1/realtime", "--call", CALL]) == 1
    said = capsys.readouterr().err
    assert "15 questions for nowhere.invalid, gpt-realtime-2.1: about 150 tokens" in said
    assert "it has two words said to the caller" in said and "it ends the call" not in said
    assert told in said and list(folder.iterdir()) == []


def test_yes_is_an_answer_beforehand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """Nobody is asked."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert main(["probe", "--yes", "--url", "wss://nowhere.invalid/v1/realtime"]) == 1
    assert "Ask?" not in capsys.readouterr().err


# The questions themselves.


def test_what_takes_an_hour_is_asked_last() -> None:
    """No call would wait for it."""
    assert list(QUESTIONS)[-2:] == ["limit-error", "limit-code"]


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_assumption_stands_in_files_that_exist(name: str) -> None:
    """And the manual has the question."""
    question = QUESTIONS[name]
    package = Path(realtime_events.__file__).parent
    assert bool(question.where) == bool(question.assumed)
    assert [path for path in question.where if not (package / path).is_file()] == []
    assert f"| `{name}` |" in DOCS.read_text("utf-8")
