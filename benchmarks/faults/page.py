"""The page: the Markdown written of one run's results, with versions and machine named.

Takes the results that `__main__.py` keeps as JSON; runs nothing. What is said here of the method and of the peers is
part of the page, so that it can be written again from any result file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.faults.clients import OURS
from benchmarks.faults.rows import ROWS, Measures, Row

TITLES = {OURS: "realtime_events", "openai_sdk": "openai", "openai_agents": "openai-agents", "livekit": "LiveKit"}

INTRODUCTION = """# The same faults, other clients

Written by `python -m benchmarks.faults` (`python -m nox -s faults`); do not edit. Twelve things that go wrong in the
field, and what becomes of the key, run against this package and against its peers. Every cell is measured by the
program, on the server's side or by what the application was told; **bold** marks what is as good as the best of its
row. The last column says where this package stands.
"""

METHOD = """
## How it is measured

- The server is the [simulator](../how-to/simulator.md), which speaks the service's protocol, behind a
  [`FaultProxy`](../how-to/break-the-network.md) on loopback. No key and no network are needed, and TLS is not used.
  Each scene runs with each client in a fresh process; server and client share it, so that both sides can be counted.
- Every client has its defaults, and the application around it does what the documentation of its package shows. It
  makes no connection again by itself and hides no error: what a careful application could add is not counted, for any
  of the four.
- "Back" is the next session of the server. A question asked a second later has to be answered in it; what the
  server then knows of the conversation before the fault is counted item by item.
- The half-open peer is struck at four moments after connecting, half a second to 15 seconds, because keep-alive pings
  have a phase of their own; the longest time counts. Sending to the deaf peer is ten times as fast as speech, so that
  the buffers of the system are full within seconds; its time begins with the fault and holds the filling of them.
- The slow handler awaits for four seconds at the first piece of audio: `on("response.output_audio.delta")` here and in
  `openai`, the loop over the session's events in `openai-agents`, the audio output of LiveKit.
- The key is looked for in `repr` and `vars` of the public objects of a session, in the error of a handshake refused
  with 401, in the locals of the package's own frames in its traceback, and in all log lines at DEBUG.

## How each peer is used

- `openai`: `realtime.connect(on_reconnecting=...)`, without which it does not reconnect, one `session.update` after
  connecting, handlers under `dispatch_events()`. Its reconnecting brings back the socket and what waited to be sent;
  configuration and conversation are the application's to send again. So are tools: the application runs this one in a
  task of its own and sends the output.
- `openai-agents`: `RealtimeRunner(...).run(...)` and a loop over the session. It has no reconnecting by design: the
  application is told by an exception or by the end of the loop, and makes a new session.
- LiveKit: `AgentSession(llm=openai.realtime.RealtimeModel(...))`, which needs no LiveKit server. In the field it also
  moves to a fresh connection every 20 minutes, so that it meets the 60 minutes of the service less often than here.
  Its calls that send never wait, since what they send goes to a queue without a bound.
"""


def page(results: Mapping[str, Any]) -> str:
    """Writes the whole page."""
    named = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    parts = [INTRODUCTION, f"Run of {results['date']}, on: {named}.\n", *_versions(results), "", *table(results)]
    return "\n".join([*parts, "", *_summary(results)]) + "\n" + METHOD


def table(results: Mapping[str, Any]) -> Iterator[str]:
    """Writes the lines of the table."""
    clients = [client for client in TITLES if client in results["versions"]]
    yield f"| fault | compared | {' | '.join(TITLES[client] for client in clients)} | here |"
    yield "| --- | --- |" + " --- |" * (len(clients) + 1)
    for row in ROWS:
        if measured := results["scenes"].get(row.scene):
            yield f"| {row.fault} | {row.compared} | {_cells(row, clients, measured)} | {row.standing(measured)} |"


def behind(results: Mapping[str, Any]) -> list[Row]:
    """Gives the rows in which a peer is better."""
    measured = ((row, results["scenes"].get(row.scene)) for row in ROWS)
    return [row for row, of_scene in measured if of_scene and row.standing(of_scene) == "behind"]


def _cells(row: Row, clients: list[str], measured: Mapping[str, Measures]) -> str:
    best = row.best(measured)
    told = {client: row.tell(measured[client]) for client in clients}
    return " | ".join(f"**{text}**" if client in best else text for client, text in told.items())


def _versions(results: Mapping[str, Any]) -> Iterator[str]:
    for client, versions in results["versions"].items():
        named = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield f"- {TITLES[client]}: {named}"


def _summary(results: Mapping[str, Any]) -> Iterator[str]:
    lost = behind(results)
    if not lost:
        yield "This package is first or equal in every row."
    for row in lost:
        yield f"A peer is better where {row.fault}. {row.note}".rstrip()
