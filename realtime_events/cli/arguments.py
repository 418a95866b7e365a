"""What may be typed: the commands, their options, and what is said about a word that is none of them.

Owns the parser. Knows no command's work. Before it: `main`; after it: the command's own file, by the name in
`arguments.command`.
"""

from __future__ import annotations

import argparse
import difflib
import re
from pathlib import Path
from typing import NoReturn

PROGRAM = "realtime-events"
ABOUT = "An event-emitter framework for OpenAI's Realtime API."
APP_HELP = "a file or module, and the name of its Realtime where it has several: app.py, app.py:rt, package.app:rt"
SESSION_HELP = "a file with the session's configuration, in the words of session.update"
RECORD_HELP = "record every frame but the audio onto a tape, compressed if its name ends in .gz; see `inspect`"
SIMULATE_HELP = "talk to a simulator on this machine instead of the service; needs no key"


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, and which word may have been meant."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(argv: list[str]) -> argparse.Namespace:
    """Turn arguments into the settings of one command; leaves with a sentence where they make no sense."""
    parser, commands = build()
    if not argv:
        parser.print_help()
        parser.exit(0)
    word = next((word for word in argv if not word.startswith("-")), None)
    if word is not None and word not in commands:
        parser.error(f"unknown command {word!r}{_did_you_mean(word, list(commands))}")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        commands[arguments.command].error(_about_unknown(unknown[0], commands[arguments.command]))
    arguments.argv = argv
    return arguments


def build() -> tuple[Parser, dict[str, Parser]]:
    """Give the parser, and the parser of each command."""
    from .. import __version__

    parser = Parser(prog=PROGRAM, description=ABOUT, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    group = parser.add_subparsers(dest="command", metavar="command", required=True, parser_class=Parser)

    def add(name: str, about: str) -> Parser:
        return group.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".", allow_abbrev=False)

    commands = {
        "demo": _demo(add("demo", "a bot, a tool call and speech against the simulator: no key, no network")),
        "run": _run(add("run", "run an application")),
        "chat": _chat(add("chat", "talk by text in the terminal")),
        "simulate": _simulate(
            add("simulate", "run the simulator by itself, for any client; its URL is the first line")
        ),
        "replay": _replay(add("replay", "play a tape into an application, or show the conversation on it")),
        "inspect": _inspect(add("inspect", "show what is on a tape: what happened, and what can be counted")),
        "events": _events(add("events", "show events with their spellings, direction and fields")),
        "secret": _secret(add("secret", "make a client secret, the short-lived key for a browser; prints only that")),
        "calls": _calls(add("calls", "accept, reject, refer or hang up a call")),
        "tools": _tools(add("tools", "show the tool schemas that the model is given")),
        "probe": _probe(add("probe", "ask the service what only it can settle, and compare with what is assumed")),
        "doctor": add("doctor", "show versions, key, endpoint and extras of this machine"),
    }
    return parser, commands


def _demo(parser: Parser) -> Parser:
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--audio", type=Path, metavar="out.wav", help="write the assistant's speech to a WAV file")
    return parser


def _run(parser: Parser) -> Parser:
    parser.add_argument("app", help=APP_HELP)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--text", action="store_true", help="talk to it by text: one line, one turn; /quit ends")
    how.add_argument("--mic", action="store_true", help="talk to it by microphone and speaker, by the extra `audio`")
    how.add_argument("--wav", type=Path, metavar="in.wav", help="say a WAV file to it, wait for the answer, and end")
    parser.add_argument("--simulate", action="store_true", help=SIMULATE_HELP)
    parser.add_argument("--record", type=Path, metavar="tape", help=RECORD_HELP)
    parser.add_argument("--reload", action="store_true", help="start again whenever a Python file beside it changes")
    parser.epilog = (
        "A file that starts itself, by asyncio.run(...) or under `if __name__ == '__main__'`, is started as it is. "
        "With --text, --mic or --wav, or with the name of its Realtime, its start is left out, and the Realtime is "
        "connected."
    )
    return parser


def _chat(parser: Parser) -> Parser:
    parser.add_argument("--simulate", action="store_true", help=SIMULATE_HELP)
    return parser


def _simulate(parser: Parser) -> Parser:
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; loopback unless you say otherwise")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0, the default, takes a free one")
    parser.add_argument("--dialect", choices=["ga", "beta"], default="ga", help="the spelling it speaks")
    parser.add_argument("--script", metavar="steps.json", help="answer step by step from a file, not by rules")
    parser.add_argument(
        "--faults", metavar="SPEC", help="misbehave on purpose, as in 'drop:response.*.delta%%0.1,seed=7'"
    )
    ears = parser.add_mutually_exclusive_group()
    ears.add_argument(
        "--clip",
        action="append",
        default=[],
        type=Path,
        metavar="in.wav",
        help="understand a recording, whose words stand in in.txt beside it; may be given again",
    )
    ears.add_argument("--local", action="store_true", help="with real ears and a voice, by the extra `local`")
    return parser


def _replay(parser: Parser) -> Parser:
    parser.add_argument("tape", type=Path, help="what `run --record` or connect(record=...) has written")
    parser.add_argument("app", nargs="?", help=APP_HELP)
    parser.add_argument("--speed", type=float, metavar="X", help="1 is real time; by default as fast as it goes")
    parser.add_argument("--real-tools", action="store_true", help="run the tools, which else answer as on the tape")
    return parser


def _inspect(parser: Parser) -> Parser:
    parser.add_argument("tape", type=Path, help="what `run --record` or connect(record=...) has written")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--table", action="store_true", help="every frame, one line each")
    what.add_argument("--timeline", action="store_true", help="speech, turns, tool calls and errors only")
    what.add_argument("--stats", action="store_true", help="counts and latencies only")
    parser.add_argument("--json", action="store_true", help="as JSON; of the statistics, where nothing else is asked")
    return parser


def _events(parser: Parser) -> Parser:
    parser.add_argument("glob", nargs="?", default="*", help="a name in any spelling, or a glob: 'response.*.delta'")
    return parser


def _tools(parser: Parser) -> Parser:
    parser.add_argument("app", help=APP_HELP)
    return parser


def _secret(parser: Parser) -> Parser:
    parser.add_argument("--session", type=Path, metavar="session.json", help=SESSION_HELP)
    parser.add_argument("--model", metavar="NAME", help="the model, in place of the file's")
    parser.add_argument("--ttl", type=int, metavar="S", help="for how many seconds it opens sessions: 10 to 7200")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    parser.add_argument("--simulate", action="store_true", help=SIMULATE_HELP)
    return parser


def _probe(parser: Parser) -> Parser:
    parser.add_argument("questions", nargs="*", metavar="question", help="which, by name or glob; else all of them")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="the server, in place of the environment's: wss://... or ws://127.0.0.1:...")
    where.add_argument("--simulate", action="store_true", help=SIMULATE_HELP)
    parser.add_argument("--model", metavar="NAME", help="the model of the sessions, in place of the default one")
    parser.add_argument("--call", metavar="CALL_ID", help="a call that runs, rtc_..., for the questions about calls")
    parser.add_argument("--hang-up", action="store_true", help="end that call at last, and see what it is told")
    parser.add_argument("--wait-for-limit", action="store_true", help="see a session's end, which takes up to an hour")
    parser.add_argument("--yes", action="store_true", help="begin without a question about the cost")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument(
        "--out", type=Path, metavar="probe.json", help="the file for what is found; with --simulate only if it is named"
    )
    return parser


def _calls(parser: Parser) -> Parser:
    verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=Parser)

    def add(verb: str, about: str) -> Parser:
        made = verbs.add_parser(verb, help=about, description=about[0].upper() + about[1:] + ".", allow_abbrev=False)
        made.add_argument("call_id", metavar="CALL_ID", help="as the webhook or the Location header has it: rtc_...")
        return made

    accept = add("accept", "take a call that rings, with --session, --model and --instructions")
    accept.add_argument("--session", type=Path, metavar="session.json", help=SESSION_HELP)
    accept.add_argument("--model", metavar="NAME", help="the model, in place of the file's")
    accept.add_argument("--instructions", metavar="TEXT", help="the instructions, in place of the file's")
    reject = add("reject", "turn a call that rings away, with a SIP --status")
    reject.add_argument("--status", type=int, default=603, metavar="N", help="603 declines (the default), 486 is busy")
    add("refer", "hand a running call over").add_argument("target", metavar="TARGET", help="tel:+15550100 or sip:...")
    add("hangup", "end a call")
    return parser


def _about_unknown(word: str, parser: Parser) -> str:
    if not word.startswith("-"):
        return f"one argument too many: {word!r}"
    name = word.partition("=")[0]
    options = re.findall(r"--[\w-]+", parser.format_help())
    if name in options:
        return f"option {name!r} belongs behind the command"
    return f"unknown option {name!r}{_did_you_mean(name, options)}"


def _did_you_mean(word: str, words: list[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
