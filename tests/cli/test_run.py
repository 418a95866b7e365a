"""`run` and `chat`: applications that are started, connected, talked to, and said to be wrong."""

from __future__ import annotations

import os
import shutil
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime_events.cli import main, speaking

Capture = pytest.CaptureFixture[str]
Write = Callable[..., str]

SPEECHLESS = "from realtime_events import Realtime\nrt = Realtime()\n"


# Running against the simulator.


def test_a_program_that_ends_in_asyncio_run_is_started_as_it_is(bare: str, capsys: Capture) -> None:
    """The hello of the design runs with `--simulate`, although it makes its endpoint by itself."""
    assert main(["run", bare, "--simulate"]) == 0
    printed = capsys.readouterr()
    assert "18 °C and sunny in Bern [ToolResult(" in printed.out


def test_a_guarded_start_is_run_too(guarded: str, capsys: Capture) -> None:
    """A block under `__main__` means the same as a bare call."""
    assert main(["run", guarded, "--simulate"]) == 0
    assert "sunny in Bern" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["bare", "guarded"])
def test_a_conversation_by_text_leaves_the_programs_start_out(
    program: str, request: pytest.FixtureRequest, type_in: Callable[[str], None], capsys: Capture
) -> None:
    """Each line is a turn; the program's own question is not asked."""
    name = request.getfixturevalue(program)
    type_in("Hello!\n\nWhat is the weather in Oslo?\n/quit\nNever asked\n")
    assert main(["run", name, "--simulate", "--text"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(maxsplit=1) for line in lines if not line.startswith("tool")] == [
        ["you", "Hello!"],
        ["assistant", "Hello! How can I help you?"],
        ["you", "What is the weather in Oslo?"],
        ["assistant", "18 °C and sunny in Oslo"],
    ]
    assert 'get_weather({"city":"Oslo"}) → 18 °C and sunny in Oslo' in "\n".join(lines)


@pytest.mark.parametrize(
    "start",
    [
        "asyncio.run(main())",
        "if __name__ == '__main__': asyncio.run(main())",
        "try:\n    asyncio.run(main())\nexcept KeyboardInterrupt:\n    pass",
        "ended = asyncio.run(main())",
        "rt.run()",
    ],
)
def test_a_start_is_known_in_whatever_clothes(start: str, write: Write, capsys: Capture) -> None:
    """`tools` loads the program and what follows its start, and does not run it: that would ask for a key."""
    text = "import asyncio\nfrom realtime_events import Realtime\nrt: Realtime = Realtime()\n"
    text += "async def main(): await rt.connect()\n"
    tool = '@rt.tool\ndef late() -> str:\n    """Come late."""\n    return "late"\n'
    assert main(["tools", write(f"{text}{start}\n{tool}")]) == 0
    assert '"late"' in capsys.readouterr().out


def test_what_follows_a_start_comes_after_it(write: Write, capsys: Capture) -> None:
    """A program that is started keeps its order, and knows itself as `__main__`."""
    text = "from __future__ import annotations\nimport asyncio\nasync def main(): print('started', __name__)\n"
    assert main(["run", write(text + "print('loaded')\nasyncio.run(main())\nprint('ended')\n")]) == 0
    assert capsys.readouterr().out.splitlines() == ["loaded", "started __main__", "ended"]


def test_answers_that_the_application_prints_itself_follow_whole(
    write: Write, type_in: Callable[[str], None], capsys: Capture
) -> None:
    """Two writers of the same deltas would give letter salad."""
    name = write(
        "from realtime_events import Realtime\n"
        'rt = Realtime(session={"output_modalities": ["text"]})\n'
        '@rt.on("response.text.delta")\n'
        'def show(event): print(f"<{event.delta}>", end="")\n'
    )
    type_in("Hello!\n")
    assert main(["run", name, "--simulate", "--text"]) == 0
    shown = capsys.readouterr().out
    assert "<Hello! >" in shown
    assert "\nassistant   Hello! How can I help you?" in shown


def test_a_chat_shows_its_tool_calls(type_in: Callable[[str], None], capsys: Capture) -> None:
    """`chat` needs no program, and its one tool tells the truth."""
    type_in("What time is it?\n")
    assert main(["chat", "--simulate"]) == 0
    shown = capsys.readouterr().out
    assert "tool        get_time({}) → " in shown
    assert "assistant" in shown


def test_a_recording_is_said_to_the_application(
    bare: str, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The words beside the recording let the simulator understand it; the turn is shown whole."""
    monkeypatch.setattr(speaking, "REAL_TIME", 50.0)
    shutil.copy(clip, "question.wav")
    Path("question.txt").write_text("What is the weather in Bern?\n", "utf-8")
    assert main(["run", bare, "--simulate", "--wav", "question.wav"]) == 0
    shown = capsys.readouterr().out
    assert "(speaking)   3.5 s" in shown
    assert 'get_weather({"city":"Bern"})' in shown
    assert "assistant   18 °C and sunny in Bern   " in shown
    assert " s of speech" in shown


def test_a_recording_ends_a_turn_without_turn_detection_too(
    write: Write, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Where the server does not listen for the end, the recording is committed and a response asked for."""
    monkeypatch.setattr(speaking, "REAL_TIME", 50.0)
    name = write(
        "from realtime_events import Realtime\n"
        'heard = {"format": {"type": "audio/pcmu"}, "turn_detection": None}\n'
        'rt = Realtime(session={"audio": {"input": heard}})\n'
    )
    assert main(["run", name, "--simulate", "--wav", str(clip)]) == 0
    assert "could not make out the words" in capsys.readouterr().out


def test_a_recording_without_speech_ends_with_a_line(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Silence starts no turn, and nobody waits for ever."""
    from realtime_events.audio import PCM16, write_wav

    monkeypatch.setattr(speaking, "REAL_TIME", 1000.0)
    monkeypatch.setattr(speaking, "NO_SPEECH_S", 0.2)
    write_wav(folder / "silence.wav", PCM16.silence(500))
    assert main(["run", write(SPEECHLESS), "--simulate", "--wav", "silence.wav"]) == 1
    assert "did the server hear speech?" in capsys.readouterr().err


def test_a_module_is_run_by_its_dotted_name(write: Write, capsys: Capture) -> None:
    """`run package.app` finds it below the working directory, with the imports that it has."""
    write("", "bots/__init__.py")
    write("CITY = 'Oslo'\n", "bots/places.py")
    write(
        "import asyncio\nfrom realtime_events import Realtime\nfrom .places import CITY\nrt = Realtime()\n"
        "async def main():\n"
        "    async with rt.connect() as session:\n"
        "        print(CITY, session.is_simulated)\n"
        "if __name__ == '__main__':\n    asyncio.run(main())\n",
        "bots/greeter.py",
    )
    assert main(["run", "bots.greeter", "--simulate"]) == 0
    assert capsys.readouterr().out == "Oslo True\n"


def test_a_program_does_not_take_the_place_of_a_module_of_its_name(write: Write, capsys: Capture) -> None:
    """A file called json.py is loaded under another name."""
    import json

    name = write("import asyncio\nfrom realtime_events import Realtime\nrt = Realtime()\n", "json.py")
    assert main(["tools", name]) == 0
    assert sys.modules["json"] is json
    assert capsys.readouterr().out == "[]\n"


def test_the_environment_is_as_before_after_a_simulation(
    bare: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator is named to the program only, and a real key is never sent to it."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    assert main(["run", bare, "--simulate"]) == 0
    assert os.environ["OPENAI_API_KEY"] == "canary-key"
    assert "OPENAI_REALTIME_URL" not in os.environ


def test_the_exit_code_of_a_program_is_its_own(write: Write) -> None:
    """`sys.exit(3)` in a program's start means 3."""
    name = write("import sys\nif __name__ == '__main__':\n    sys.exit(3)\n")
    assert main(["run", name]) == 3


# Wrong programs.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("x = 1\ndef f(): ...\n", "app.py has no Realtime at its top level", id="none"),
        pytest.param("x = 1\ndef f(): ...\n", "it has x, f\n", id="none-names"),
        pytest.param(
            "from realtime_events import Realtime\na = Realtime()\nb = Realtime()\n",
            "app.py has 2 Realtime applications: a, b; say which one, as in app.py:a",
            id="two",
        ),
        pytest.param("def f(:\n", "app.py:1: invalid syntax", id="syntax"),
        pytest.param("x = 1\x00\n", "app.py", id="null-byte"),
        pytest.param("import sys\nsys.exit(4)\n", "app.py:2: the program left by sys.exit(4)", id="exit"),
        pytest.param(
            SPEECHLESS + "\n@rt.on('response.done')\ndef f(a, b, c): ...\n",
            "app.py:4: a handler takes (event) or (event, session), but this is f(a, b, c)",
            id="signature",
        ),
        pytest.param(
            SPEECHLESS + "\n@rt.on('response.text.dleta')\ndef f(event): ...\n",
            "app.py:4: unknown event 'response.text.dleta'; did you mean 'response.text.delta'",
            id="misspelt",
        ),
        pytest.param(
            "from realtime_events import Realtime\nrt = Realtime(session={'modalities': ['text']})\n",
            "'modalities'",
            id="beta-field",
        ),
    ],
)
def test_a_wrong_program_is_told_in_one_line(text: str, told: str, write: Write, capsys: Capture) -> None:
    """Exit code 2, the place in the file, and no traceback."""
    assert main(["run", write(text)]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_program_that_fails_to_import_shows_its_own_traceback(write: Write, capsys: Capture) -> None:
    """From the program's first frame on; ours, which led there, are left out."""
    assert main(["run", write("def f():\n    return 1 / 0\n\nf()\n")]) == 2
    told = capsys.readouterr().err
    assert "app.py cannot be loaded:" in told
    assert 'app.py", line 4, in <module>' in told
    assert 'app.py", line 2, in f' in told
    assert "ZeroDivisionError" in told
    assert "loading.py" not in told


def test_a_program_that_fails_while_it_runs_shows_its_own_traceback(write: Write, capsys: Capture) -> None:
    """It was loaded well, so the exit code is 1."""
    text = "import asyncio\nasync def main(): raise KeyError('lost')\nasyncio.run(main())\n"
    assert main(["run", write(text)]) == 1
    told = capsys.readouterr().err
    assert "KeyError: 'lost'" in told
    assert "loading.py" not in told


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("aap.py", "no file 'aap.py' in"),
        ("aap.py", "did you mean 'app.py'?"),
        ("no_such_module", "no file and no module 'no_such_module'"),
        ("no.such.module", "no module 'no.such.module'"),
        ("app.py:tr", "'tr' is not defined in app.py; its Realtime is rt"),
        ("app.py:Realtime", "'Realtime' is of type type in app.py"),
        ("itertools:rt", "has no Python file"),
        (".", "is a folder"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(target: str, told: str, write: Write, capsys: Capture) -> None:
    """A target that leads nowhere ends with code 2 and a line."""
    write(SPEECHLESS)
    assert main(["run", target, "--text"]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "in.wav: No such file or directory"),
        (b"", "in.wav: "),
        (b"RIFF but not really", "in.wav: "),
    ],
)
def test_a_recording_that_cannot_be_read_is_told(
    content: bytes | None, told: str, write: Write, capsys: Capture
) -> None:
    """Before anything is connected."""
    if content is not None:
        Path("in.wav").write_bytes(content)
    assert main(["run", write(SPEECHLESS), "--wav", "in.wav"]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1


def test_a_recording_that_only_an_extra_can_change_is_told(
    write: Write, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B16: 44.1 kHz needs soxr, and the sentence says how to get it."""
    from realtime_events.audio import write_wav

    monkeypatch.setitem(sys.modules, "soxr", None)
    write_wav(Path("in.wav"), b"\0\0" * 100, rate=44_100)
    assert main(["run", write(SPEECHLESS), "--wav", "in.wav"]) == 2
    assert 'in.wav: soxr is not installed; run: pip install "realtime-events[audio]"' in capsys.readouterr().err


def test_a_stereo_recording_is_told(write: Write, capsys: Capture) -> None:
    """B16: both values are in the sentence."""
    with wave.open("in.wav", "wb") as file:
        file.setparams((2, 2, 24_000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(400))
    assert main(["run", write(SPEECHLESS), "--wav", "in.wav"]) == 2
    assert "in.wav: expected mono, got 2 channels" in capsys.readouterr().err


# Without a server that could be talked to.


@pytest.mark.parametrize("argv", [["chat"], ["run", "app.py"], ["run", "app.py", "--text"], ["run", "hello.py"]])
def test_without_a_key_it_is_said_what_to_set(argv: list[str], write: Write, bare: str, capsys: Capture) -> None:
    """Exit code 2, one line, no traceback; nothing falls back to the simulator."""
    write(SPEECHLESS)
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert "set OPENAI_API_KEY" in printed.err
    assert "--simulate" in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nwrong key", "HTTP 401: wrong key"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno such", "HTTP 404: no such"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>", "HTTP 200: <html></html>"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        (b"220 smtp.example ESMTP\r\n", "does not speak WebSocket"),
        (b"", "does not speak WebSocket"),
    ],
)
@pytest.mark.parametrize("argv", [["chat"], ["run", "hello.py"], ["run", "hello.py:rt"]])
def test_a_server_that_refuses_is_quoted_in_one_line(
    argv: list[str], reply: bytes, told: str, answers: Callable[[bytes], None], bare: str, capsys: Capture
) -> None:
    """Exit code 1, the status and the start of the body; the key is not in it."""
    answers(reply)
    assert main(argv) == 1
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert "test-key" not in printed.err


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("ws://127.0.0.1:9/v1/realtime", 1, "cannot connect to ws://127.0.0.1:9/v1/realtime"),
        ("wss://realtime.invalid/v1", 1, "'realtime.invalid' cannot be resolved"),
        ("realtime.example", 2, "is no WebSocket URL"),
        ("ws://realtime.example/v1", 2, "a key would travel unencrypted"),
    ],
)
def test_a_url_that_leads_nowhere_is_told_in_one_line(
    url: str, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Refused connections fail with 1; what has to be written otherwise with 2."""
    monkeypatch.setenv("OPENAI_REALTIME_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    assert main(["chat"]) == code
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
