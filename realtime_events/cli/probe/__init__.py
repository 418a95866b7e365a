"""`probe`: asks a server what only the server can settle, and compares it with what this package assumes.

Owns the plan, the question whether to go on, and the exit code. Every answer comes from the wire. Before it: the
arguments; after it: the experiments (`sessions.py`, `calls.py`), and `report.py`, which tells what they found.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from ...app import DEFAULT_MODEL
from ...endpoint import Endpoint, is_loopback
from ...exceptions import ConfigurationError, RealtimeError
from ...rest import RestClient
from ..failures import FAILED, say
from ..output import Printer, printable
from ..simulate import simulated
from . import calls, sessions
from .line import Ground, in_short
from .questions import Experiment, Notebook, Question
from .report import Keeper, Report

EXPERIMENTS = (*sessions.QUICK, *calls.EXPERIMENTS, *sessions.SLOW)  # no call lasts as long as the slow one
DEFAULT_FILE = Path("probe.json")
OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


def command(arguments: argparse.Namespace) -> int:
    """Ask; the exit code is 1 where an answer contradicts what is assumed, or did not come."""
    chosen = _chosen(arguments.questions)
    if arguments.simulate and arguments.call:
        raise ConfigurationError("--simulate makes a call of its own; leave --call out")
    with simulated(arguments.simulate) as beside:
        endpoint = beside or Endpoint.openai(url=arguments.url)
        ground = Ground(
            endpoint=endpoint,
            model=arguments.model or DEFAULT_MODEL,
            note=Printer(sys.stderr).note,
            call_id=arguments.call,
            may_hang_up=arguments.hang_up,
            may_wait=arguments.wait_for_limit,
        )
        if not (arguments.yes or _is_free(endpoint) or _may_go_on(ground, chosen)):
            say("nothing was asked")
            return FAILED
        return _asked(ground, chosen, arguments)


def _asked(ground: Ground, chosen: Sequence[Question], arguments: argparse.Namespace) -> int:
    """Ask, then tell what was found, even if it was stopped."""
    out: Path | None = arguments.out or (None if arguments.simulate else DEFAULT_FILE)
    keeper = Keeper(out) if out else None
    book = Notebook(chosen, hidden=[ground.endpoint.api_key])
    report = Report(endpoint=ground.endpoint, model=ground.model, began=datetime.now(UTC), book=book)
    try:
        asyncio.run(_ask_all(ground, chosen, book))
    finally:
        is_worth_it = book.has_answers or book.is_complete  # else there is only the error that is on its way
        if keeper is not None:
            keeper.keep(report.as_json() if is_worth_it else b"")
        if is_worth_it:
            _tell(report, as_json=arguments.json)
            if out is not None:
                ground.note(f"written to {printable(str(out))}")
    return FAILED if book.has_surprises else 0


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(report.as_json().decode())
    else:
        report.show(Printer())
    sys.stdout.flush()


async def _ask_all(ground: Ground, chosen: Sequence[Question], book: Notebook) -> None:
    """Have one experiment after the other.

    Raises:
        RealtimeError: The first one failed, so that the server, the key or the call is at fault.
        TimeoutError: The server did not answer the first one.
    """
    planned = _planned(chosen)
    if ground.endpoint.is_simulated:
        ground = await _made_whole(ground)
    for experiment in planned:
        if reason := experiment.lacks(ground):
            for question in experiment.questions:
                book.not_asked(question.name, reason)
            continue
        try:
            await experiment.ask(ground, book)
        except (RealtimeError, TimeoutError) as error:
            if not book.has_answers:
                raise
            book.leave(experiment, in_short(error))


async def _made_whole(ground: Ground) -> Ground:
    """Give the simulator's ground with a call that may be ended; a session of its may live for a second."""
    async with RestClient(ground.endpoint) as rest:
        call = await rest.create_call(OFFER, {"type": "realtime", "model": ground.model})
    return replace(ground, call_id=call.call_id, may_hang_up=True, may_wait=True)


def _chosen(names: Sequence[str]) -> list[Question]:
    """Give the questions of these names or globs; all of them without any.

    Raises:
        ConfigurationError: There is none of a name.
    """
    all_of_them = [question for experiment in EXPERIMENTS for question in experiment.questions]
    for name in names:
        if not any(fnmatchcase(question.name, name) for question in all_of_them):
            known = [question.name for question in all_of_them]
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ConfigurationError(f"no question is called {name!r}; {hint}")
    return [one for one in all_of_them if not names or any(fnmatchcase(one.name, name) for name in names)]


def _planned(chosen: Sequence[Question]) -> list[Experiment]:
    return [experiment for experiment in EXPERIMENTS if any(one in chosen for one in experiment.questions)]


def _is_free(endpoint: Endpoint) -> bool:
    """Whether it costs nobody anything: a server on this machine."""
    return is_loopback(urlsplit(endpoint.url).hostname or "")


def _may_go_on(ground: Ground, chosen: Sequence[Question]) -> bool:
    """Say what it costs and does, and ask a person; where nobody is, the command line was the answer."""
    planned = [experiment for experiment in _planned(chosen) if not experiment.lacks(ground)]
    count = sum(one in chosen for experiment in planned for one in experiment.questions)
    tokens = sum(experiment.tokens for experiment in planned)
    cost = f"about {tokens} tokens, most of them speech" if tokens else "no tokens"
    host = urlsplit(ground.endpoint.url).hostname
    ground.note(f"{count} question{'s' if count != 1 else ''} for {host}, {ground.model}: {cost}")
    for experiment in planned:
        if experiment.warning:
            ground.note(f"it {experiment.warning}")
    if not sys.stdin.isatty():
        return True
    print("Ask? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
