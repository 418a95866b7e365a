"""What a scripted brain promises: it plays its steps, and tells exactly where a client went another way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime_events.events.items import ContentPart, Item
from realtime_events.events.session import Tool
from realtime_events.exceptions import ConfigurationError
from realtime_events.simulator.brains import Call, Fail, Request, Say, ScriptBrain, Step
from realtime_events.simulator.scripts import Expect

WEATHER = Tool(type="function", name="get_weather", description="", parameters={})
ASKED = Item(type="message", role="user", content=[ContentPart(type="input_text", text="Weather in Bern?")])
CALLED = Item(type="function_call", call_id="c1", name="get_weather", arguments='{"city":"Bern"}')
ANSWERED = Item(type="function_call_output", call_id="c1", output="18 °C and sunny")
SCRIPT = {
    "steps": [
        {
            "expect": {"user": "weather in bern", "tools": ["get_weather"], "metadata": {"topic": "demo"}},
            "emit": [{"say": "One moment."}, {"call": "get_weather", "arguments": {"city": "Bern"}}],
        },
        {"expect": {"output": "18 °C", "instructions": "kind"}, "emit": [{"say": "It is 18 degrees."}]},
        {"emit": [{"fail": {"type": "server_error", "code": "overloaded", "message": "Try later."}}]},
    ]
}
FIRST = Request(conversation=[ASKED], tools=[WEATHER], metadata={"topic": "demo", "more": "x"})
SECOND = Request(conversation=[ASKED, CALLED, ANSWERED], instructions="Be kind.")


def script() -> ScriptBrain:
    return ScriptBrain.from_json(json.dumps(SCRIPT))


def test_a_script_plays_its_steps_and_is_done() -> None:
    brain = script()
    assert brain.plan(FIRST) == [Say("One moment."), Call("get_weather", '{"city":"Bern"}')]
    assert brain.plan(SECOND) == [Say("It is 18 degrees.")]
    assert not brain.done
    assert brain.plan(SECOND) == [Fail("server_error", "overloaded", "Try later.")]
    assert brain.done
    brain.assert_done()


def test_a_script_can_be_written_in_python_and_read_from_a_file(tmp_path: Path) -> None:
    written = ScriptBrain([Step(expect=Expect(user="bern"), emit=[Say("Yes.")]), Step(emit=[])])
    assert written.plan(FIRST) == [Say("Yes.")]
    assert written.plan(FIRST) == []
    path = tmp_path / "script.json"
    path.write_text(json.dumps(SCRIPT), encoding="utf-8")
    assert ScriptBrain.from_file(path).plan(FIRST)[0] == Say("One moment.")


def test_a_request_that_is_not_as_expected_is_reported_with_both_sides_and_what_was_around() -> None:
    brain = script()
    (failed,) = brain.plan(Request(conversation=[ASKED, CALLED, ANSWERED], tools=[]))
    assert isinstance(failed, Fail)
    assert failed.code == "script_mismatch"
    assert failed.message.splitlines() == [
        "step 1 of 3 of the script",
        "expected: the tools ['get_weather']",
        "got: []",
        "expected: the metadata {'topic': 'demo'}",
        "got: {}",
        "conversation:",
        "  user: Weather in Bern?",
        '  function_call get_weather {"city":"Bern"}',
        "  function_call_output 18 °C and sunny",
    ]
    with pytest.raises(AssertionError, match="step 1 of 3") as raised:
        brain.assert_done(frames=["→ response.create", "← response.created"])
    assert str(raised.value).splitlines()[-3:] == ["frames:", "  → response.create", "  ← response.created"]


@pytest.mark.parametrize(
    ("expect", "got"),
    [
        (Expect(user="Zurich"), "got: 'Weather in Bern?'"),
        (Expect(output="sunny"), "got: no tool output"),
        (Expect(instructions="kind"), "got: ''"),
    ],
)
def test_every_expectation_says_what_it_got(expect: Expect, got: str) -> None:
    brain = ScriptBrain([Step(expect=expect, emit=[])])
    brain.plan(Request(conversation=[ASKED]))
    assert got in brain.failure.splitlines()


def test_the_first_mismatch_stays_the_reported_one() -> None:
    brain = script()
    brain.plan(SECOND)
    first = brain.failure
    assert brain.plan(FIRST) == [Fail("invalid_request_error", "script_mismatch", first)]
    assert not brain.done


def test_a_request_after_the_last_step_is_a_mismatch() -> None:
    brain = ScriptBrain([])
    assert brain.done
    brain.plan(FIRST)
    with pytest.raises(AssertionError, match="expected: no further response\ngot: one more request"):
        brain.assert_done()


def test_a_script_that_was_not_played_to_its_end_says_what_it_waited_for() -> None:
    brain = script()
    brain.plan(FIRST)
    with pytest.raises(AssertionError, match="before step 2 of 3") as raised:
        brain.assert_done()
    assert "expected: a request with output '18 °C', instructions 'kind'" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "this is no script"),
        ('{"steps": 3}', "`array`"),
        ('{"steps": [{"emit": [{"say": "a", "call": "b"}]}]}', "one of say, call and fail"),
        ('{"steps": [{"emit": [{}]}]}', "one of say, call and fail"),
        ('{"steps": [{"emit": [], "expect": {"usr": "typo"}}]}', "usr"),
        (b"\xff", "this is no script"),
    ],
)
def test_what_is_no_script_is_refused_with_the_place(text: str | bytes, where: str) -> None:
    with pytest.raises(ConfigurationError, match=where):
        ScriptBrain.from_json(text)
